// Package migrate says whether a workload can move from IRSA to EKS Pod Identity, and
// where it stands on its way.
//
// [Assess] gives a [Verdict] with every [Reason] that applies, the facts behind each and
// a way out (design.md section 6). A wrong verdict is an outage, so each rests on facts
// of the snapshot, and a fact that was not read never counts as a fact: see
// [Assessment].Gaps.
//
// [Assessor.Next] plans what comes next for each mapping that is not at rest: at most one
// widening, crossing or narrowing, by the phase in which the live world shows it
// ([Standing.Phase]), towards Pod Identity or back. docs/design/0001-moves.md says how that
// goes through the loop.
//
// The package is pure: the same snapshot and mapping give the same assessment, to the
// byte. It reads no clock and calls nothing. The wiring, the command line and the report
// import it; the loop does not.
//
//	a := migrate.NewAssessor(snapshot, migrate.Options{Mappings: state.Mappings})
//	for _, m := range state.Mappings {
//		v := a.Assess(m)
//		fmt.Println(v.Subject, v.Verdict, v.Reasons)
//	}
package migrate
