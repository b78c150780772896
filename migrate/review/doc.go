// Package review is the report on a pull request: what merging it will lead to in the
// live cluster, apart from what was wrong there before and from what it heals.
//
// [New] judges two revisions against one look at the live world, with what decides in
// the daemon too, and subtracts: what the head leads to and the base does not is
// *caused*; what both do was there *before*; what only the base does is *healed*. The
// [Review] has a stable JSON form, and is written as text, a table, Markdown and SARIF.
// The package is pure: it knows no clock and no Git, and writes to what it is given.
//
//	r := review.New(review.Input{Base: base, Head: head, Snapshot: snapshot, Policy: plan.DefaultPolicy()})
//	err := r.Markdown(os.Stdout, 60_000)
package review
