//go:build nightly

package faults_test

// nightly says that there is time for everything.
const nightly = true
