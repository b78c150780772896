// Package test holds the tests of lanyard as a whole: those that belong to no one
// package, such as whether the pages in docs say what the code does.
//
// It has no code of its own and nothing imports it. Its folders hold command scripts
// (testdata), comparisons with software of other hands (interop), mutations (mutation),
// tests on a real control plane (e2e) and the module that builds it (cluster), and the one
// that builds Helm (helm); each says itself how it is run.
//
//	go test ./test
package test
