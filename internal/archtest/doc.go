// Package archtest holds the house's rules that the compiler does not know: which
// package may import which, what the deciding packages may touch, what a package
// must say about itself. The table is in house.go, one row for each package and each
// kept library, and every rule carries its reason; an offence prints both, so that
// who meets it can judge whether the rule or the import is wrong.
//
// It reads source files with go/parser and runs nothing: packages that do not
// compile are judged all the same, and go test knows every file that was read, so a
// cached result is never stale. Changing a rule means editing its reason, in the same
// commit (docs/contributing.md).
//
// It imports the standard library only. Nothing imports it but its own tests.
//
//	packages, err := archtest.Load(root)
//	for _, offence := range archtest.Check(packages) {
//		fmt.Println(offence) // sync/round.go:9:2: sync imports migrate (arrows): the loop asks ...
//	}
package archtest
