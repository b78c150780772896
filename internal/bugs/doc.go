// Package bugs holds the deliberate bugs that the tests of law 1 must find.
//
// A test that never failed proves nothing, and a simulation can be blind in a whole
// direction without showing it. So the places where one wrong line would take a pod's
// credentials away are written twice: as they are meant, and, behind the build tag bugs,
// as a tired person would write them. TestBugsAreFound turns each one on, and the seeded
// schedules must find it within their budget.
//
// Without the tag [On] is a constant, and nothing of this is in the binary.
package bugs
