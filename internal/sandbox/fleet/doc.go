// Package fleet is a cluster full of workloads that are to be moved from one mechanism to
// the other, with somebody in the place of every one of their containers.
//
// [New] makes it: Deployments with several replicas and with one, StatefulSets,
// DaemonSets, CronJobs and a Job; several workloads on one ServiceAccount, several
// ServiceAccounts on one role; one that is paused, one without replicas, two under a
// disruption budget; some that Pod Identity cannot serve, and two whose image cannot use
// it. The same options give the same fleet. All are on IRSA, and all of it works.
//
// [Fleet.Pass] lets time pass in small steps and watches meanwhile. It reads from the
// records of the doubles, and not from lanyard, what was written; after each write of a
// trust policy, an annotation or an association it lets pods be admitted while the write
// is on its way to those who will see it late; and it probes every container that it
// concerns, whatever else has changed, and the rest in turn. [Fleet.Judge] says what came
// of it, and [Fleet.Strays] what is not where it belongs, by the world's own state.
//
// It imports nothing of lanyard's, decides nothing about migrations, and is used by
// `lanyard sandbox --scenario migration` and by tests.
//
//	f, err := fleet.New(fleet.Options{Start: time.Now()})
//	defer f.Close()
//	f.Wants(fleet.PodIdentity)
//	err = f.Pass(ctx, time.Minute) // what lanyard's loop calls its sleep
//	judgement := f.Judge()
package fleet
