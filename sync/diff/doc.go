// Package diff compares what Git wants with what is live, and names every
// difference: one [Finding] each, of a closed list of [Kind]s.
//
// It is pure and total: every mapping, and every ServiceAccount that bears our mark
// without one, gets a [Class], whatever the facts. It also draws the line between
// the planners: [Drift] is package plan's to repair, [Transition] is package
// migrate's, and of what could not be read ([Blind]) nobody may write anything.
//
// It never decides what to do about a difference, reads no clock and calls nothing.
// Levels above it (plan, migrate, report, the loop, the commands) may import it.
//
//	result := diff.Compare(state, snapshot, diff.Options{})
//	for _, f := range result.Findings {
//		fmt.Println(f.Subject, f.Kind, f.Message)
//	}
package diff
