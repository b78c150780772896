// Package observe looks at a cluster, its AWS account and the accounts its roles
// live in, and reports what it saw as a [live.Snapshot].
//
// It reads through three interfaces that list reading calls only ([EKSReader],
// [IAMReader], [STSReader]) and through a Kubernetes client of which it uses get,
// list and watch: it cannot write, whoever builds it. It decides nothing. What was
// refused, throttled, cut short or failed becomes a [live.Gap] with its reason, and
// never an absence (design.md, law 2); nothing here waits without a bound.
//
// Kubernetes is watched by informers whose objects are reduced to facts before they
// are cached, so that no value of an environment variable is ever kept. AWS is asked
// in as few calls as there are: see roles.go and rolling.go.
//
// Package internal/app builds an [Observer]; nobody else imports this package.
//
//	o := observe.New(observe.Options{Cluster: "irsa-lab", Kube: kube, EKS: eks, STS: sts, IAM: iam})
//	if err := o.Start(ctx); err != nil { ... }
//	defer o.Close()
//	snapshot, err := o.Observe(ctx, observe.Ask{Roles: roles})
package observe
