package app

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// Reader looks at the live world. It has no client that could change it.
type Reader struct {
	opts     Options
	clients  *clients
	observer *observe.Observer
}

// NewReader builds what looks, and starts watching Kubernetes. It must be closed.
func NewReader(ctx context.Context, o Options) (*Reader, error) {
	o = o.withDefaults()
	if o.Cluster == "" {
		return nil, errors.New("no cluster named: use --cluster NAME, the name of the EKS cluster, or a configuration with --config")
	}
	c, err := newClients(ctx, o)
	if err != nil {
		return nil, err
	}
	r := &Reader{opts: o, clients: c, observer: observe.New(observe.Options{
		Cluster: o.Cluster, Kube: c.kube, EKS: c.eks, STS: c.sts,
		IAM:      func(account string) (observe.IAMReader, error) { return c.iamOf(account) },
		Accounts: slices.Sorted(maps.Keys(c.accounts)), Region: c.base.Region,
		Issuer: o.Issuer, Now: o.Now, DescribeInterval: o.DescribeInterval, Progress: o.Progress, Limits: o.Limits, Waited: o.Waited,
	})}
	if err := r.observer.Start(ctx); err != nil {
		r.observer.Close()
		return nil, err
	}
	return r, nil
}

// Close stops watching.
func (r *Reader) Close() { r.observer.Close() }

// Cluster tells which cluster this is.
func (r *Reader) Cluster(ctx context.Context) (identity.Cluster, error) {
	return r.observer.Cluster(ctx)
}

// Observe looks at everything that a comparison with the state needs, and writes the
// guard rails that are in force into the snapshot.
func (r *Reader) Observe(ctx context.Context, state desired.State) (*live.Snapshot, error) {
	return r.observe(ctx, state, observe.Ask{})
}

// Audit is [Reader.Observe] of what an audit wants besides: roles that nothing names,
// and every OIDC provider.
func (r *Reader) Audit(ctx context.Context, state desired.State) (*live.Snapshot, error) {
	return r.observe(ctx, state, observe.Ask{Audit: true})
}

func (r *Reader) observe(ctx context.Context, state desired.State, ask observe.Ask) (*live.Snapshot, error) {
	ask.GuardRails = railsFacts(r.opts.Config)
	for _, m := range state.Mappings {
		ask.Subjects = append(ask.Subjects, m.Subject)
		ask.Roles = append(ask.Roles, rolesOf(m)...)
	}
	return r.observer.Observe(ctx, ask)
}

// Again looks at some subjects afresh, and shows the rest as it last was.
func (r *Reader) Again(ctx context.Context, state desired.State, subjects []identity.Subject) (*live.Snapshot, error) {
	ask := observe.Ask{GuardRails: railsFacts(r.opts.Config), Subjects: subjects}
	for _, s := range subjects {
		if m, named := state.Mapping(s); named {
			ask.Roles = append(ask.Roles, rolesOf(m)...)
		}
	}
	return r.observer.Again(ctx, ask)
}

func rolesOf(m desired.Mapping) []identity.RoleARN {
	if m.PodIdentity.TargetRole.IsZero() {
		return []identity.RoleARN{m.Role}
	}
	return []identity.RoleARN{m.Role, m.PodIdentity.TargetRole}
}
