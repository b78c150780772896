// Package live holds what was seen of a cluster, and what could not be seen.
//
// [Facts] is the plain record of one look, and at the same time the file format
// `kind: Snapshot`. A [Snapshot] is the same facts, indexed; it answers every
// question with a [Presence], so that a caller must say what it does with Unknown:
// a read that was refused, throttled or cut short is a [Gap], and a gap never reads
// as absence (design.md, law 2).
//
// The package looks at nothing itself: package observe fills Facts, tests and files
// do too. It is pure, reads no clock ([Facts.TakenAt] is the only one that deciding
// code sees), and holds nothing secret: of a container's environment only the
// mechanism it means is kept, never a value of a key or token.
//
//	snap, err := live.Decode(data)
//	role, presence := snap.Role(arn)
//	switch presence {
//	case live.Present: // role is filled
//	case live.Absent:  // IAM said NoSuchEntity
//	case live.Unknown: // do nothing about it
//	}
package live
