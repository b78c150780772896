// Package probe asks API servers what a new pod of a workload would be given: the
// admission probe of design.md section 6.
//
// EKS's webhook acts when a pod is made, fails open, and says nothing of what it knows.
// So the probe makes the workload's own pod as a server-side dry run, which passes every
// admission plugin and is never stored, and reads the answer as observe reads live pods.
// Each answer comes over a connection of its own, to every address of EndpointSlice
// default/kubernetes in turn: behind one address may stand several control-plane
// instances, each with a webhook and a cache of its own.
//
// What the answers mean together is decided in migrate ([migrate.Answers]); this package
// decides nothing. It writes nothing either, and takes no chance with that: before each
// question it reads back the ValidatingAdmissionPolicy that refuses lanyard's user any
// pod that is not a dry run, and asks nothing unless it stands as internal/rights prints
// it ([Prober.Guard]).
//
// The wiring imports it.
//
//	p := probe.New(probe.Options{Kube: kube, Dial: probe.Dialer(config, nil), Judge: observe.Given})
//	pass, err := p.Ask(ctx, subject, workload)
//	answers = answers.Add(pass)
package probe
