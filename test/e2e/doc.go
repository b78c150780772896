// Package e2e holds the tests against a real Kubernetes control plane: etcd, API
// server, controllers and scheduler as they ship, with nodes and pods played by kwok.
//
// It says what the fakes of internal/sandbox cannot be asked: admission, conflicts,
// RBAC, tokens, rollouts, an API server that goes away. It never leaves loopback and
// reads nobody's kubeconfig. It has no code of its own, and nothing imports it; package
// plane starts and stops the control plane, test/cluster builds it.
//
//	make e2e
package e2e
