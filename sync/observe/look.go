package observe

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// Look looks at one subject and some roles, now and without a cache, for the guard
// before a write and the read-back after it. Of others the snapshot says nothing: ask
// it about this subject and these roles only. Nodes and the webhook object are as the
// informers last saw them, the cluster as EKS last described it.
func (o *Observer) Look(ctx context.Context, subject identity.Subject, roles ...identity.RoleARN) (*live.Snapshot, error) {
	now := o.opts.Now()
	seen, cluster, err := o.clusterFacts(ctx, false)
	if err != nil {
		return nil, err
	}
	g := &gaps{}
	f := live.Facts{APIVersion: live.APIVersion, Kind: live.Kind, TakenAt: now.UTC(), Cluster: seen}
	var visits []*visit
	var reads sync.WaitGroup
	reads.Go(func() { o.lookKubernetes(ctx, &f, subject, g) })
	reads.Go(func() { f.Associations = o.lookAssociation(ctx, subject, now, g) })
	reads.Go(func() { visits = o.lookRoles(ctx, cluster, roles, now, g) })
	reads.Wait()
	for _, v := range visits {
		v.report(&f)
	}
	if err := cancelled(ctx, "look at "+subject.String()); err != nil {
		return nil, err
	}
	f.Gaps, f.ReadAt = g.sorted(), o.opts.Now().UTC()
	return live.New(f)
}

// lookKubernetes reads the ServiceAccount, its namespace, its pods and the workloads
// that may make more of them.
func (o *Observer) lookKubernetes(ctx context.Context, f *live.Facts, subject identity.Subject, g *gaps) {
	ctx, cancel := context.WithTimeout(ctx, o.limits.Call)
	defer cancel()
	core := o.opts.Kube.CoreV1()
	scope := subject.String()
	if ns, err := core.Namespaces().Get(ctx, subject.Namespace, metav1.GetOptions{}); err == nil {
		f.Namespaces = []live.Namespace{namespaceFacts(ns)}
	} else if !apierrors.IsNotFound(err) {
		g.add(live.SourceNamespaces, subject.Namespace, err)
	}
	if a, err := core.ServiceAccounts(subject.Namespace).Get(ctx, subject.ServiceAccount, metav1.GetOptions{}); err == nil {
		f.ServiceAccounts = []live.ServiceAccount{serviceAccountFacts(a)}
	} else if !apierrors.IsNotFound(err) {
		g.add(live.SourceServiceAccounts, scope, err)
	}
	from := resources(o.opts.Kube, subject.Namespace)
	var p parts
	var err error
	p.pods, err = fresh[podSeen](ctx, from["pods"], metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.serviceAccountName", subject.ServiceAccount).String(),
	})
	if err != nil {
		g.add(live.SourcePods, scope, err)
	}
	p.pods = slices.DeleteFunc(p.pods, func(p podSeen) bool { return p.Subject() != subject })
	for _, name := range workloads {
		listed, err := fresh[live.Workload](ctx, from[name], metav1.ListOptions{})
		if err != nil {
			g.add(live.SourceWorkloads, scope, err)
		}
		if name == "replicasets" {
			p.replicaSets = listed
		} else {
			p.workloads = append(p.workloads, listed...)
		}
	}
	o.surroundings(f, &p, g)
	f.Pods, f.Nodes, f.Workloads = p.assemble()
	f.Workloads = slices.DeleteFunc(f.Workloads, func(w live.Workload) bool { return w.Subject() != subject })
	o.rollouts(ctx, f.Workloads, []string{subject.Namespace}, f.TakenAt, g)
}

// surroundings takes from the informers the nodes that the pods are on, whether their
// agents are ready, and the webhook object.
func (o *Observer) surroundings(f *live.Facts, p *parts, g *gaps) {
	o.mu.Lock()
	w := o.watchers
	o.mu.Unlock()
	if w == nil {
		g.put(live.Gap{Source: live.SourceNodes, Reason: live.GapFailed, Message: "the observer was not started"})
		g.put(live.Gap{Source: live.SourceWebhook, Reason: live.GapFailed, Message: "the observer was not started"})
		return
	}
	for _, name := range []string{"nodes", "mutatingwebhookconfigurations"} {
		if err := w[name].unread(o.limits.Stale); err != nil {
			g.add(w[name].source, "", err)
		}
	}
	for _, hook := range cached[live.Webhook](w["mutatingwebhookconfigurations"]) {
		if hook.Present {
			f.Webhook = hook
		}
	}
	_, nodes, _ := parts{pods: cached[podSeen](w["pods"]), nodes: cached[live.Node](w["nodes"])}.assemble()
	p.nodes = slices.DeleteFunc(nodes, func(n live.Node) bool {
		return !slices.ContainsFunc(p.pods, func(p podSeen) bool { return p.Node == n.Name })
	})
}

// lookAssociation lists the subject's association and describes it.
func (o *Observer) lookAssociation(ctx context.Context, subject identity.Subject, now time.Time, g *gaps) []live.Association {
	listed, _, err := o.listAssociations(ctx, subject)
	if err != nil {
		g.add(live.SourceListAssociations, subject.String(), err)
	}
	out := make([]live.Association, 0, len(listed))
	for _, s := range listed {
		id := aws.ToString(s.AssociationId)
		if err := o.describeAssociation(ctx, id, now); err != nil {
			g.add(live.SourceDescribeAssociation, id, err)
		}
		o.mu.Lock()
		a := o.association(s)
		o.mu.Unlock()
		if a.Subject() == subject {
			out = append(out, a)
		}
	}
	return onePerSubject(out)
}

// lookRoles reads the roles one by one, with the provider and the quota of their
// accounts. A quota that was seen before is not asked for again.
func (o *Observer) lookRoles(ctx context.Context, cluster identity.Cluster, roles []identity.RoleARN, now time.Time, g *gaps) []*visit {
	byAccount := map[string][]identity.RoleARN{}
	for _, arn := range roles {
		if !arn.IsZero() && !slices.Contains(byAccount[arn.Account], arn) {
			byAccount[arn.Account] = append(byAccount[arn.Account], arn)
		}
	}
	visits := make([]*visit, 0, len(byAccount))
	var reads sync.WaitGroup
	for id, want := range byAccount {
		v := o.enter(id, want, now, g)
		visits = append(visits, v)
		if v.shut != nil {
			continue
		}
		reads.Go(func() {
			v.knownSummary(ctx)
			if arn := providerARN(cluster, id); v.shut == nil && arn != "" {
				v.provider(ctx, arn)
			}
			if v.shut == nil {
				v.singly(ctx, want)
			}
		})
	}
	reads.Wait()
	slices.SortFunc(visits, func(a, b *visit) int { return cmp.Compare(a.id, b.id) })
	return visits
}

// knownSummary takes the account's summary as last seen, or asks for it.
func (v *visit) knownSummary(ctx context.Context) {
	v.o.mu.Lock()
	seen := v.a.seen
	v.o.mu.Unlock()
	if seen.ID == "" {
		v.summary(ctx)
		return
	}
	v.facts.account = &seen
}
