// Package proof looks for positive proof that a subject uses the mechanism that it was
// moved to (design.md section 6, "Proof"), and for use of the one that it came from.
//
// It reads CloudTrail's event history, in as few calls as there are: one sweep of the
// events of a Region serves all subjects of the cluster. Where a mapping says so it asks
// Prometheus instead, or nobody. It decides nothing: what it saw is a [migrate.Use],
// which says what was shown, until when was looked, and why nobody could look. Silence,
// a refusal and a throttled call are told apart from use and from each other, and never
// become "not used" (law 2).
//
// Package internal/app builds a [Prover]; nobody else imports this package.
//
//	p := proof.New(proof.Options{CloudTrail: clients, Cluster: cluster})
//	uses := p.Look(ctx, asks) // at most ten seconds
package proof
