// Package kubed is the sandbox's Kubernetes: client-go's fake clientset over one
// tracker that all users share, with reactors for what the fake lacks.
//
// Objects, lists, patches, server-side apply and managed fields are client-go's own:
// [k8s.io/client-go/testing.ObjectReaction] answers everything ordinary. Each other
// file makes up for one lack of the fake, named at its head: versions and stale writes
// (write.go), uids and generated names (create.go), the times of managed fields
// (managed.go), the way in for pods (admit.go), grace (delete.go), evictions and bindings
// (evict.go), ServiceAccount tokens (token.go), field selectors (fields.go), watches that are read late (watch.go).
// Outermost are faults (fault.go, stale.go) and the record of every call (record.go). All times come from the sandbox's [virtual.Clock], all names and
// uids from its seed, so that a run can be repeated to the byte.
//
// Not supported: lists in pages, deletecollection, finalizers, and subresources other
// than status, eviction, binding and token. Of a kind's validation only that of metadata is done.
//
// It never judges trust, never runs a controller (package actors does) and never
// listens on a socket. Only the sandbox and tests import it.
//
//	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
//	cluster := kubed.New(kubed.Options{Clock: clock})
//	client := cluster.Client("lanyard")
//	pods, err := client.CoreV1().Pods("demo").List(ctx, metav1.ListOptions{})
package kubed
