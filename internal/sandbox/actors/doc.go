// Package actors plays the parts of a cluster that are neither its API server nor
// lanyard: EKS's pod identity webhook, the controllers behind workloads, the scheduler
// and the kubelets.
//
// [Mutate] is the webhook as a pure function: what a pod looks like after admission.
// [Review] is the same rules as an API server calls them, by AdmissionReview.
// [Webhook] is the webhook as a process: it learns of ServiceAccounts and associations
// late, by a delay, can be down, and keeps out of pods that the webhook object's
// selector skips. [Life] moves everything else, one step at a time, over any
// kubernetes.Interface: it makes pods for Deployments, StatefulSets, DaemonSets, Jobs
// and CronJobs, places them on nodes, starts, restarts and ends them, and keeps
// disruption budgets. It has no goroutines and no clock of its own: a step happens when
// it is called, and what takes time is due on the sandbox's [virtual.Clock].
//
// The package never asks AWS anything and never decides what a pod may assume. Only the
// sandbox and tests import it.
//
//	hook := actors.NewWebhook(actors.WebhookOptions{Clock: clock, Region: "eu-west-1", Associations: world})
//	cluster.Observe(hook.Observe)
//	cluster.SetAdmission(hook)
//	life := actors.NewLife(actors.LifeOptions{Client: cluster.Client("kube-controller-manager"), Clock: clock})
//	err := life.Settle(ctx, time.Hour)
package actors
