// Package rights says what lanyard needs of AWS and of Kubernetes, for each mode and
// each optional feature, and nothing more: design.md's law 8. `lanyard policy` prints
// it, deploy/ grants it, and a test holds it equal to the calls that lanyard makes.
//
// It is a table and the texts made of it. It never asks what is granted. The command
// line and tests import it.
//
//	w, err := rights.For("repair", []string{"prune"}, rights.Place{Cluster: "irsa-lab"})
//	fmt.Print(w.IAM())  // the IAM policy
//	fmt.Print(w.RBAC()) // the Kubernetes roles and bindings
package rights
