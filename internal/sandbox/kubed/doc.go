// Package kubed is the sandbox's Kubernetes: client-go's fake clientset in front of
// a small API server in memory that does what the fake leaves out.
//
// The generated fake answers every verb of every resource, but keeps no
// resourceVersion, accepts stale writes, stores dry runs, ignores field selectors
// and leaves generateName, uid and creationTimestamp empty. A [Cluster] answers in
// its place, with the errors a real API server has: resourceVersion on every object
// and a conflict for a stale update; server-side apply with field managers and
// conflicts that name the other manager; JSON, merge and strategic patches; dry runs
// answered and not stored; the status, scale and eviction subresources; lists in
// pages; watches that resume from a resourceVersion and never drop an event. All
// times come from the sandbox's [virtual.Clock], all names and uids from its seed,
// so that a run can be repeated to the byte.
//
// It never judges trust, never runs a controller (package actors does) and never
// listens on a socket. [Cluster.Inject] makes calls fail, before or after they took
// effect, or answers lists from the past; [Cluster.Calls] is the record of every call.
//
// Only the sandbox and tests import it.
//
//	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
//	cluster := kubed.New(kubed.Options{Clock: clock})
//	client := cluster.Client("lanyard")
//	pods, err := client.CoreV1().Pods("demo").List(ctx, metav1.ListOptions{})
package kubed
