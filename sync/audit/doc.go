// Package audit judges the live world by itself: every ServiceAccount that is wired to a
// role by IRSA or EKS Pod Identity, what the role is, who else may assume it, and what of
// all that is not as it should be. Git is not needed; where it is given, its waivers
// silence single findings, and its mappings count for the verdict.
//
// [New] is pure: a snapshot in, a [Report] out. What was not read is told as [Unknown],
// together with the checks that were not made for it, and never as absent or clean. The
// list of [Checks] is closed; each has its paragraph in docs/audit.md. Whether a pod could
// move to Pod Identity is asked of package migrate, and what differs from the wiring of
// package diff; the rest is judged here, trust policies by package trust.
//
// Commands and the wiring import it.
//
//	r := audit.New(state, snapshot, audit.Options{RoleName: audit.DefaultRoleName})
//	err := r.Table(os.Stdout, audit.View{})
package audit
