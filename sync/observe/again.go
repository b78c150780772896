package observe

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// Again looks at some subjects between two looks at everything: their ServiceAccounts,
// their associations and the roles that they and want.Roles name are read now and
// without a cache, what the informers hold is as fresh as ever, and everything else is
// as [Observer.Observe] last saw it. It costs a few calls for each subject. A gap that
// was there stays unless what it is about was read now.
func (o *Observer) Again(ctx context.Context, want Ask) (*live.Snapshot, error) {
	o.mu.Lock()
	f := o.whole
	o.mu.Unlock()
	if f.TakenAt.IsZero() {
		return nil, errors.New("look again: nothing was observed before")
	}
	now := o.opts.Now()
	cluster, err := identity.ParseClusterARN(f.Cluster.ARN)
	if err != nil {
		return nil, err
	}
	cluster.Issuer = f.Cluster.Issuer
	f.TakenAt, f.GuardRails = now.UTC(), want.GuardRails
	g, before := &gaps{}, f.Workloads
	o.kubernetes(&f, g)
	namespaces := make([]string, len(want.Subjects))
	for i, s := range want.Subjects {
		namespaces[i] = s.Namespace
	}
	keepRollouts(f.Workloads, before, namespaces)
	o.rollouts(ctx, f.Workloads, namespaces, now, g)
	o.againServiceAccounts(ctx, &f, want.Subjects, g)
	o.againAssociations(ctx, &f, want.Subjects, now, g)
	roles := againRoles(&f, want)
	for _, v := range o.lookRoles(ctx, cluster, roles, now, g) {
		v.replace(&f)
	}
	if err := cancelled(ctx, "look again"); err != nil {
		return nil, err
	}
	f.Gaps = stillOpen(f.Gaps, g, want.Subjects, roles)
	f.ReadAt = o.opts.Now().UTC()
	return live.NewWith(f, &o.documents)
}

// againServiceAccounts reads the ServiceAccounts past the informers, whose cache may
// still show what stood before a write.
func (o *Observer) againServiceAccounts(ctx context.Context, f *live.Facts, subjects []identity.Subject, g *gaps) {
	ctx, cancel := context.WithTimeout(ctx, o.limits.Call)
	defer cancel()
	f.ServiceAccounts = slices.DeleteFunc(f.ServiceAccounts, func(a live.ServiceAccount) bool { return slices.Contains(subjects, a.Subject()) })
	for _, s := range subjects {
		a, err := o.opts.Kube.CoreV1().ServiceAccounts(s.Namespace).Get(ctx, s.ServiceAccount, metav1.GetOptions{})
		switch {
		case err == nil:
			f.ServiceAccounts = append(f.ServiceAccounts, serviceAccountFacts(a))
		case !apierrors.IsNotFound(err):
			g.add(live.SourceServiceAccounts, s.String(), err)
		}
	}
	slices.SortFunc(f.ServiceAccounts, func(a, b live.ServiceAccount) int { return a.Subject().Compare(b.Subject()) })
}

func (o *Observer) againAssociations(ctx context.Context, f *live.Facts, subjects []identity.Subject, now time.Time, g *gaps) {
	found := make([][]live.Association, len(subjects))
	var reads sync.WaitGroup
	for i, s := range subjects {
		reads.Go(func() { found[i] = o.lookAssociation(ctx, s, now, g) })
	}
	reads.Wait()
	f.Associations = slices.DeleteFunc(slices.Clone(f.Associations), func(a live.Association) bool { return slices.Contains(subjects, a.Subject()) })
	f.Associations = append(f.Associations, slices.Concat(found...)...)
	slices.SortFunc(f.Associations, func(a, b live.Association) int { return a.Subject().Compare(b.Subject()) })
}

// againRoles returns the roles that the subjects name now, and those asked for.
func againRoles(f *live.Facts, want Ask) []identity.RoleARN {
	about := live.Facts{}
	for _, a := range f.ServiceAccounts {
		if slices.Contains(want.Subjects, a.Subject()) {
			about.ServiceAccounts = append(about.ServiceAccounts, a)
		}
	}
	for _, a := range f.Associations {
		if slices.Contains(want.Subjects, a.Subject()) {
			about.Associations = append(about.Associations, a)
		}
	}
	for _, p := range f.Pods {
		if slices.Contains(want.Subjects, p.Subject()) {
			about.Pods = append(about.Pods, p)
		}
	}
	roles := named(&about)
	for _, arn := range want.Roles {
		roles[arn] = true
	}
	visited := map[string]bool{}
	for _, a := range f.Accounts {
		visited[a.ID] = true
	}
	maps.DeleteFunc(roles, func(arn identity.RoleARN, _ bool) bool { return !visited[arn.Account] })
	out := slices.SortedFunc(maps.Keys(roles), identity.RoleARN.Compare)
	slices.SortStableFunc(out, func(a, b identity.RoleARN) int { // what Git names first
		return cmp.Compare(btoi(!slices.Contains(want.Roles, a)), btoi(!slices.Contains(want.Roles, b)))
	})
	return out[:min(len(out), maxAgain)]
}

// maxAgain bounds the roles of a look between two whole ones: pods name what they
// like. The others are as the last whole look saw them.
const maxAgain = 50

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// replace puts what a visit found in the place of what was known before.
func (v *visit) replace(f *live.Facts) {
	var found live.Facts
	v.report(&found)
	f.Accounts = slices.DeleteFunc(slices.Clone(f.Accounts), func(a live.Account) bool {
		return slices.ContainsFunc(found.Accounts, func(b live.Account) bool { return a.ID == b.ID })
	})
	f.Accounts = append(f.Accounts, found.Accounts...)
	slices.SortFunc(f.Accounts, func(a, b live.Account) int { return cmp.Compare(a.ID, b.ID) })
	f.Providers = slices.DeleteFunc(slices.Clone(f.Providers), func(a live.OIDCProvider) bool { return a.Account == v.id && v.shut == nil })
	f.Providers = append(f.Providers, found.Providers...)
	slices.SortFunc(f.Providers, func(a, b live.OIDCProvider) int { return cmp.Compare(a.ARN, b.ARN) })
	f.Roles = slices.DeleteFunc(slices.Clone(f.Roles), func(a live.Role) bool { _, again := v.roles[a.ARN]; return again })
	f.Roles = append(f.Roles, found.Roles...)
	slices.SortFunc(f.Roles, func(a, b live.Role) int { return a.ARN.Compare(b.ARN) })
}

// stillOpen joins the gaps of this look with those of the last whole one that it did
// not read again: the informers' are new, and a subject's and a role's own are.
func stillOpen(before []live.Gap, now *gaps, subjects []identity.Subject, roles []identity.RoleARN) []live.Gap {
	read := map[string]bool{}
	for _, s := range subjects {
		read[s.String()] = true
	}
	for _, arn := range roles {
		read[arn.String()] = true
	}
	for _, gap := range before {
		informed := strings.HasPrefix(string(gap.Source), "kubernetes:") && gap.Source != live.SourceIssuer && gap.Source != live.SourceReaders
		if !informed && !read[gap.Scope] {
			now.put(gap)
		}
	}
	return now.sorted()
}
