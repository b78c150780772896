// Package faults holds the tests that make calls go wrong while lanyard works: every
// read and every write, in every way that the sandbox can, with design.md's laws judged
// after each write by what the sandbox itself knows, never by lanyard's own report.
//
// Beside that matrix there are storms (hooks, pods that come and go, errors on every
// call) and a soak of a thousand rounds, which hold the daemon's memory, goroutines and
// connections within bounds.
//
// It has no code of its own and nothing imports it. What takes minutes runs at night:
//
//	go test ./test/faults
//	go test -tags nightly -timeout 60m ./test/faults
package faults
