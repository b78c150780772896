// Package plane gives a test process its Kubernetes control plane: the binary of
// test/cluster, run as a child for as long as the tests do.
//
// A package of tests calls [Main] from its TestMain and [Need] in each test. make e2e
// builds the binary and names it in LANYARD_TESTCLUSTER. Where nothing does, the tests
// are skipped; with LANYARD_E2E=1, which make e2e sets too, they fail instead. One
// cluster serves the whole process: a test takes a namespace of its own, and does not
// wait for it to be deleted, which takes 5 to 11 seconds.
//
// It knows processes and files, and no Kubernetes: clients are made by the tests, from
// the kubeconfig. It reads nobody's own kubeconfig, ever. Only tests may import it, and
// only Linux has what ends a child with its parent: elsewhere this package is empty.
package plane
