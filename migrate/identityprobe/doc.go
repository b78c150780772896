// Package identityprobe asks AWS who a ServiceAccount's pods are: a Job of lanyard's own
// image under that ServiceAccount runs `lanyard whoami`, and what it says comes back as the
// termination message of its pod, so that no right to read logs is needed. A check, never
// a gate: nothing waits for it.
//
// [Prober.Round] never waits. It makes the one Job that is asked for, or reads it and
// deletes it once its pod has spoken; and it deletes every other Job of lanyard's, those of
// a process before this one too. Where a round never comes, a Job ends by its own deadline
// and goes by its own TTL.
//
// It creates and deletes Jobs of that name and label and writes nothing else, and creates
// none unless the ValidatingAdmissionPolicy that holds it to that stands. It decides
// nothing: whom to ask about, and what an answer is worth, is package migrate's
// ([migrate.IdentityChecks]). Only internal/app imports it.
//
//	p := identityprobe.New(identityprobe.Options{Kube: client, Guard: guard})
//	answer, err := p.Round(ctx, &ask)
package identityprobe
