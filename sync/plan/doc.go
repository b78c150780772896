// Package plan holds what lanyard would do about the differences that package diff
// found: [Step]s that are data (printable, hashable, storable), and [Hold]s, which
// say what is not done, why, and whose move it is.
//
// [Repair] is the planner for drift and orphans; transitions belong to package
// migrate. It is pure: the same input gives the same plan, to the byte. It keeps
// design.md's laws by construction: nothing is planned about a subject with a
// missing fact (law 2), nothing foreign is written without adoption (law 3), one
// kind of effect per subject and round, with settle between them (law 6), and
// removals within budgets (law 5).
//
// It calls nothing and waits for nothing: waiting is a Hold, and what was seen since
// when is a [Memory] that goes in and comes out. Levels above it may import it.
//
//	p, memory := plan.Repair(plan.Input{Result: result, Snapshot: snapshot, Memory: memory, Policy: policy})
//	for _, step := range p.Steps {
//		fmt.Println(step.Effect, step.Subject, step.Action)
//	}
package plan
