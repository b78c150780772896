// Package mutation breaks sync/trust on purpose, once for each line of mutations.txt,
// and expects its tests to notice. A mutant that survives is a rule that nobody tests,
// or no mutant at all because it means the same; the list says which, in words.
//
// The list is made by hand, a rule of IAM's per line, because the tools do not fit:
// gremlins 0.6.0, the one that is kept, finds 591 places for its five swaps of an
// operator (an hour on two cores), cannot be told why a survivor is right, and never
// takes away a rule. The package is mutated through go's -overlay: the work tree is not
// touched, and plain tests do not build any of this.
//
// Nothing imports this package.
//
//	go test -tags nightly -timeout 60m ./test/mutation
package mutation
