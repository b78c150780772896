// Package prober is the judge of law 1, "no pod loses access": for every running pod it
// obtains credentials as the pod would, and keeps the books of who got none.
//
// It stands in each container's place. What the container was given is read from the
// pod as it was admitted; the AWS SDK's own providers do the rest, in the SDK's order:
// keys in variables, web identity, container credentials. Only what a process in a
// container finds around itself is supplied: a token path leads to a TokenRequest with
// that audience bound to that pod, renewed as the kubelet renews it, and 169.254.170.23
// to the agent of the pod's node. The STS and EKS Auth that answer are the AWS double's.
// The providers' caches are left out: a probe is a container that was just restarted.
//
// [Prober.Round] probes once and is as repeatable as the world's clock; [Prober.Start]
// goes on probing until [Prober.Close]. [Prober.Report] books each failure by law 1: what
// breaks the law, what befell pods exposed by the delete of an association, of which the
// judge is told ([Prober.Deleted], [Prober.Restarted]), and what befell the first minutes
// of a node. A wiring that never worked breaks nothing.
//
// It reads no environment, and connects to the double and the agents only. What a
// container reads from files of its own, such as a profile, it does not see; variables
// that come from Secrets count as set. Tests import it, and the sandbox's own fleet.
//
//	p := prober.New(prober.Options{Client: client, Clock: clock, Region: "eu-west-1", Endpoint: world.URL, Agents: fleet})
//	defer p.Close()
//	_, err := p.Round(ctx)
//	for _, broken := range p.Report().Broken {
//		t.Error(broken)
//	}
package prober
