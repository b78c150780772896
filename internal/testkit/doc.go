// Package testkit holds the few helpers that tests of several rooms share: [Golden]
// compares output with a file under testdata, [Logger] sends a log to the test.
//
// It knows nothing of lanyard, holds no fixture of the domain and no assertion
// language: a test says itself what it wants and prints input, got and want. It
// imports the standard library and go-cmp; only tests may import it.
//
//	func TestPlanText(t *testing.T) {
//		testkit.Golden(t, "widen.txt", plan.Text()) // testdata/TestPlanText/widen.txt
//	}
//
// go test -update (make golden) rewrites the files; the diff is then reviewed like
// any other.
package testkit
