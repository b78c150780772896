package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// DescribeInterval is what [Options] mean where they name none: at 5,000 associations
// and a round a minute, 42 calls a round.
const DescribeInterval = 2 * time.Hour

// Options are what an [Observer] looks with. Cluster, Kube, EKS, STS and IAM are required.
type Options struct {
	Cluster string // the EKS cluster's name
	Kube    kubernetes.Interface
	EKS     EKSReader
	STS     STSReader

	// IAM gives a way into an account: the caller's own, or one that is reached by a
	// configured role. An error makes the account's roles unknown; [ErrUnconfigured]
	// says that nobody configured a way.
	IAM func(account string) (IAMReader, error)

	// Accounts are looked at even where nothing names a role in them: statements of
	// lanyard's may be left there. The cluster's own always is.
	Accounts []string

	// Region is where EKS is asked, for messages.
	Region string

	// Issuer asks the API server for its issuer; [ClusterIssuer] of Kube if nil.
	Issuer func(context.Context) (string, error)

	Now              func() time.Time // time.Now if nil
	DescribeInterval time.Duration    // within which every association is described and every account read whole again; the constant if zero
	Limits           Limits
	Progress         func(string) // says what takes long; one call at a time

	Waited func(service string, d time.Duration) // told how long each call waited for its rate limit
}

// Ask says what Git wants looked at. Roles that live annotations, pods and
// associations name are looked at too, and those that bear a statement of lanyard's, as
// far as they lie in an account that is looked at anyway: the cluster's, those of
// Options.Accounts, and those of the roles asked for.
type Ask struct {
	Roles      []identity.RoleARN
	Subjects   []identity.Subject // what Git names; every other ServiceAccount is seen too
	GuardRails live.GuardRails    // copied into the snapshot
	// Audit asks besides for what only an audit wants: every OIDC provider of the
	// accounts, and every role that lets the cluster's issuer or Pod Identity in, named or
	// not. It costs a bulk read and a list for each account, each time.
	Audit bool
}

// Observer looks at one cluster. It is safe for use by several goroutines. Close must
// be called after a Start.
type Observer struct {
	opts   Options
	limits Limits
	eks    *line
	sts    *line

	progressMu sync.Mutex
	documents  live.Documents // of Observe only: a Look names few, and each turns a page

	mu           sync.Mutex // guards what follows
	watchers     map[string]*watcher
	stop         context.CancelFunc
	running      sync.WaitGroup
	cluster      live.Cluster // as last seen
	fresh        bool         // seen by Cluster, and not used by a look yet
	whole        live.Facts   // what Observe saw last
	described    rolling[string, live.Association]
	addonsSeen   rolling[string, live.Addon]
	profilesSeen rolling[string, live.FargateProfile]
	groupsSeen   rolling[string, live.NodeGroup]
	readersSeen  []live.Reader // as last read
	readersAt    time.Time
	accounts     map[string]*account
}

// New returns an observer that has not started.
func New(opts Options) *Observer {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Issuer == nil {
		opts.Issuer = ClusterIssuer(opts.Kube)
	}
	if opts.DescribeInterval <= 0 {
		opts.DescribeInterval = DescribeInterval
	}
	limits := opts.Limits.withDefaults()
	return &Observer{
		opts: opts, limits: limits, accounts: map[string]*account{},
		eks: newLine(limits.EKS, limits, opts.waits(serviceEKS)), sts: newLine(limits.EKS, limits, opts.waits(serviceSTS)),
	}
}

// Start begins to watch Kubernetes, and waits until each resource is listed or shows
// that it will not be: never longer than Limits.Sync. A resource that cannot be
// listed is a gap of each look, until it can be. The context bounds the wait only.
// Where the API server cannot be reached at all, Start returns within Limits.Reach with
// an error, and may be called again.
func (o *Observer) Start(ctx context.Context) error {
	o.progress("watching Kubernetes")
	if err := o.reach(ctx); err != nil {
		return err
	}
	watchers := map[string]*watcher{}
	for name, r := range resources(o.opts.Kube, "") {
		w, err := newWatcher(o.opts.Kube, r)
		if err != nil {
			return fmt.Errorf("watch Kubernetes: %w", err)
		}
		watchers[name] = w
	}
	lifetime, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.mu.Lock()
	if o.watchers != nil {
		o.mu.Unlock()
		stop()
		return errors.New("watch Kubernetes: the observer was started before")
	}
	o.watchers, o.stop = watchers, stop
	for _, w := range watchers {
		o.running.Go(func() { w.informer.RunWithContext(lifetime) })
	}
	o.mu.Unlock()

	o.progress("listing %d Kubernetes resources", len(watchers))
	synced, cancel := context.WithTimeout(ctx, o.limits.Sync)
	defer cancel()
	for _, w := range watchers {
		w.wait(synced)
	}
	return cancelled(ctx, "watch Kubernetes")
}

// Close ends the watches and returns when they have ended.
func (o *Observer) Close() {
	o.mu.Lock()
	stop := o.stop
	o.mu.Unlock()
	if stop != nil {
		stop()
		o.running.Wait()
	}
}

func (o *Observer) progress(format string, args ...any) {
	if o.opts.Progress == nil {
		return
	}
	o.progressMu.Lock()
	defer o.progressMu.Unlock()
	o.opts.Progress(fmt.Sprintf(format, args...))
}

// Cluster tells which cluster this is: its Region, account, partition and issuer. A
// caller of another account is an error. The look that follows uses the same answers.
func (o *Observer) Cluster(ctx context.Context) (identity.Cluster, error) {
	seen, cluster, err := o.describeCluster(ctx)
	if err != nil {
		return identity.Cluster{}, err
	}
	// Where STS does not answer, the look asks again and tells the gap.
	seen.Caller, _ = o.callerARN(ctx)
	if err := errors.Join(cancelled(ctx, "ask who is calling"), foreignCaller(seen, cluster.Account)); err != nil {
		return identity.Cluster{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cluster, o.fresh = seen, true
	return cluster, nil
}

// clusterFacts describes the cluster, unless [Observer.Cluster] just did; a look at
// one subject contents itself with what was seen last.
func (o *Observer) clusterFacts(ctx context.Context, again bool) (live.Cluster, identity.Cluster, error) {
	o.mu.Lock()
	seen, usable := o.cluster, o.fresh || !again && o.cluster.ARN != ""
	if again {
		o.fresh = false
	}
	o.mu.Unlock()
	if usable {
		cluster, err := identity.ParseClusterARN(seen.ARN)
		cluster.Issuer = seen.Issuer
		return seen, cluster, err
	}
	return o.describeCluster(ctx)
}

// Forget makes the next look describe a subject's association again, whatever its
// age. Call it after a write: an update does not change the list.
func (o *Observer) Forget(subject identity.Subject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.described.entries, func(_ string, d described[live.Association]) bool {
		return d.value.Subject() == subject
	})
}

// Observe looks at everything. An error means that there is nothing to look at: EKS
// does not describe the cluster, the caller is of another account, or the context was
// cancelled. All else that cannot be read is a gap; what a watch that died showed last
// stays among the facts, under a gap of its whole source.
func (o *Observer) Observe(ctx context.Context, want Ask) (*live.Snapshot, error) {
	now := o.opts.Now()
	o.mu.Lock()
	started := o.watchers != nil
	o.mu.Unlock()
	if !started {
		return nil, errors.New("observe: the observer was not started")
	}
	seen, cluster, err := o.clusterFacts(ctx, true)
	if err != nil {
		return nil, err
	}
	g := &gaps{}
	f := live.Facts{APIVersion: live.APIVersion, Kind: live.Kind, TakenAt: now.UTC(), Cluster: seen, GuardRails: want.GuardRails}
	var reads sync.WaitGroup
	if seen.Caller == "" {
		reads.Go(func() { f.Cluster.Caller = o.caller(ctx, g) })
	}
	reads.Go(func() { f.Cluster.APIServerIssuer = o.issuer(ctx, g) })
	reads.Go(func() { f.Associations = o.associations(ctx, now, g) })
	reads.Go(func() { f.Addons = o.addons(ctx, now, g) })
	reads.Go(func() { f.FargateProfiles = o.fargateProfiles(ctx, now, g) })
	reads.Go(func() { f.Readers = o.annotationReaders(ctx, now, g) })
	o.kubernetes(&f, g)
	reads.Go(func() { f.NodeGroups = o.nodeGroups(ctx, f.Nodes, now, g) })
	reads.Go(func() { o.rollouts(ctx, f.Workloads, nil, now, g) })
	reads.Wait()
	if err := foreignCaller(f.Cluster, cluster.Account); err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.cluster = f.Cluster
	o.mu.Unlock()
	o.visits(ctx, &f, cluster, want, g)
	if err := cancelled(ctx, "observe"); err != nil {
		return nil, err
	}
	f.Gaps, f.ReadAt = g.sorted(), o.opts.Now().UTC()
	o.mu.Lock()
	o.whole = f
	o.mu.Unlock()
	return live.NewWith(f, &o.documents)
}

func (o *Observer) caller(ctx context.Context, g *gaps) string {
	arn, err := o.callerARN(ctx)
	if err != nil {
		g.add(live.SourceCallerIdentity, "", err)
	}
	return arn
}

func (o *Observer) issuer(ctx context.Context, g *gaps) identity.Issuer {
	ctx, cancel := context.WithTimeout(ctx, o.limits.Call)
	defer cancel()
	issuer, err := o.opts.Issuer(ctx)
	if err != nil {
		g.add(live.SourceIssuer, "", err)
	}
	return identity.Issuer(issuer)
}

// kubernetes fills in what the informers hold.
func (o *Observer) kubernetes(f *live.Facts, g *gaps) {
	o.mu.Lock()
	w := o.watchers
	o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if err := w[name].unread(o.limits.Stale); err != nil {
			g.add(w[name].source, "", err)
		}
	}
	f.Namespaces = cached[live.Namespace](w["namespaces"])
	slices.SortFunc(f.Namespaces, func(a, b live.Namespace) int { return cmp.Compare(a.Name, b.Name) })
	f.ServiceAccounts = cached[live.ServiceAccount](w["serviceaccounts"])
	slices.SortFunc(f.ServiceAccounts, func(a, b live.ServiceAccount) int { return a.Subject().Compare(b.Subject()) })
	for _, hook := range cached[live.Webhook](w["mutatingwebhookconfigurations"]) {
		if hook.Present {
			f.Webhook = hook
		}
	}
	f.Budgets = slices.DeleteFunc(cached[live.Budget](w["poddisruptionbudgets"]), func(b live.Budget) bool { return b.Name == "" })
	slices.SortFunc(f.Budgets, func(a, b live.Budget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	f.NetworkPolicies = slices.DeleteFunc(cached[live.NetworkPolicy](w["networkpolicies"]), func(p live.NetworkPolicy) bool { return p.Name == "" })
	slices.SortFunc(f.NetworkPolicies, func(a, b live.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	p := parts{pods: cached[podSeen](w["pods"]), nodes: cached[live.Node](w["nodes"]), replicaSets: cached[live.Workload](w["replicasets"])}
	for _, name := range workloads {
		if name != "replicasets" {
			p.workloads = append(p.workloads, cached[live.Workload](w[name])...)
		}
	}
	f.Pods, f.Nodes, f.Workloads = p.assemble()
}

// visits looks at the accounts: the cluster's own, the configured ones, and those of the
// roles asked for.
func (o *Observer) visits(ctx context.Context, f *live.Facts, cluster identity.Cluster, ask Ask, g *gaps) {
	want := map[string]map[identity.RoleARN]bool{cluster.Account: {}}
	for _, id := range o.opts.Accounts {
		want[id] = map[identity.RoleARN]bool{}
	}
	for _, arn := range ask.Roles {
		if want[arn.Account] == nil {
			want[arn.Account] = map[identity.RoleARN]bool{}
		}
		want[arn.Account][arn] = true
	}
	for arn := range named(f) {
		if roles := want[arn.Account]; roles != nil {
			roles[arn] = true
		}
	}
	ids := slices.Sorted(maps.Keys(want))
	done := make([]*visit, len(ids))
	var reads sync.WaitGroup
	for i, id := range ids {
		reads.Go(func() {
			done[i] = o.visit(ctx, id, slices.Collect(maps.Keys(want[id])), providerARN(cluster, id), ask.Audit, f.TakenAt, g)
		})
	}
	reads.Wait()
	o.chains(ctx, done)
	for _, v := range done {
		v.report(f)
	}
}

// providerARN names the provider of the cluster's issuer in an account, or nothing
// for a cluster without an issuer.
func providerARN(c identity.Cluster, account string) string {
	if c.Issuer == "" {
		return ""
	}
	return c.Issuer.ProviderARN(c.Partition, account)
}

// report adds what a visit found to the facts.
func (v *visit) report(f *live.Facts) {
	if v.facts.account != nil && v.shut == nil {
		f.Accounts = append(f.Accounts, *v.facts.account)
	}
	f.Providers = append(f.Providers, v.facts.providers...)
	f.Roles = append(f.Roles, v.withPolicies()...)
	slices.SortFunc(f.Providers, func(a, b live.OIDCProvider) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(f.Roles, func(a, b live.Role) int { return a.ARN.Compare(b.ARN) })
}

// named returns the roles that the live world names: in annotations, in pods as they
// were admitted, in associations.
func named(f *live.Facts) map[identity.RoleARN]bool {
	out := map[identity.RoleARN]bool{}
	add := func(text string) {
		if arn, err := identity.ParseRoleARN(text); err == nil {
			out[arn] = true
		}
	}
	for _, a := range f.ServiceAccounts {
		add(a.Annotations[eksPrefix+"role-arn"])
	}
	for _, p := range f.Pods {
		for _, c := range p.Containers {
			add(c.Role)
		}
	}
	for _, n := range f.NodeGroups {
		out[n.Role] = true
	}
	for _, a := range f.Associations {
		if a.Described {
			out[a.Role] = true
			out[a.TargetRole] = true
		}
	}
	delete(out, identity.RoleARN{})
	return out
}
