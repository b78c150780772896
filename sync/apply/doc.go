// Package apply runs a [plan.Plan]. It is the only code of lanyard's that can write
// to IAM, EKS, ServiceAccounts and workloads, and have pods evicted; a program that
// never builds an [Applier] cannot write at all (design.md, law 7), and one that gives it
// no [Options.Pods] and [Options.Workloads] restarts nothing.
//
// Every step takes the same way, and none skips a part of it:
//
//	wait   for the role's turn, where a trust policy is written
//	look   at the one subject again, uncached
//	guard  all of the step's guards hold, and what is written to is what was planned for
//	do     one call, sent once
//	read   back what stands now, whatever the call answered
//	record the whole value on both sides: a [report.Outcome] and one line of the log
//
// The package decides nothing: what is to be done is in the plan, and where the world
// is not as the plan saw it the step is not taken. It plans nothing, repeats nothing
// (the next round does, after a fresh look) and remembers one thing only, for a
// minute: what it last wrote to a role, so that a late read is not built upon.
//
// What a call answered and what is read back after it make the result:
//
//	the call    read back as meant    as before           otherwise, or unreadable
//	succeeded   done                  unverified, retry   unverified, replan or retry
//	failed      done                  failed, by code     failed, by code
//
// When the context of [Applier.Apply] ends, nothing new is started and the step in
// hand is finished, within its own time limit and never past the context's deadline.
//
// Only package app and tests import it.
//
//	applier := apply.New(apply.Options{Cluster: cluster, Look: observer, IAM: writers, EKS: eksClient, ServiceAccounts: serviceAccounts})
//	for _, o := range applier.Apply(ctx, p) {
//		fmt.Println(o.Result, o.Step.Subject, o.Step.Action, o.Err)
//	}
package apply
