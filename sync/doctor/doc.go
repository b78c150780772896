// Package doctor judges whether lanyard could do its work where it stands: its
// configuration, what Kubernetes and AWS let it do, the pieces of EKS that it relies on,
// the clocks, and the way to Git. The list of [Checks] is closed, and each has its
// paragraph in docs/doctor.md.
//
// Each check is a value of facts with a method Judge, which is pure: what was asked and
// what came back go in, a [Check] with its [Result], evidence and fix comes out. What got
// no answer is [Unknown], and never taken for good. Nothing is asked here: internal/app
// does that. No fact bears a secret.
//
// The wiring and commands import it.
//
//	c := doctor.Issuer{API: "https://a", EKS: "https://b", Cluster: "irsa-lab"}.Judge()
//	err := doctor.NewReport("irsa-lab", "observe", []doctor.Check{c}).Table(os.Stdout, doctor.View{})
package doctor
