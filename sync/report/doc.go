// Package report is the record of a round: what was found, what was planned, what
// each step came to, and what was left. Commands print it, metrics count it and the
// status page shows it; none of them looks at the world.
//
// [Round] is the whole record, [Diff] the answer of `lanyard diff`. Both have a
// stable JSON form; text and Markdown are made here too, so that a terminal, a pull
// request and a log say the same. The package is pure: it writes to what it is given.
//
//	d := report.NewDiff(config.Mode, state.Revision, result, p, snapshot.Gaps())
//	err := d.Markdown(w)
package report
