package app

import (
	"context"
	"errors"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	lsync "github.com/lanyard-io/lanyard/sync"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Syncer makes rounds. In mode observe it has no writer.
type Syncer struct {
	reader *Reader
	git    *Git
	loop   *lsync.Loop
	opts   Options

	planner *planner // in mode migrate
}

// NewSyncer builds the loop of `lanyard sync`: with a configuration whose mode
// writes, the writers too. It must be closed.
func NewSyncer(ctx context.Context, o Options) (*Syncer, error) {
	o = o.withDefaults()
	o.Progress("reading Git")
	git, err := OpenGit(o.Desired)
	if err != nil {
		return nil, err
	}
	// Git first: a mistake there is found in no time, and without any access.
	if _, err := git.Repository(ctx); err != nil {
		return nil, errors.Join(err, git.Close())
	}
	s, err := newSyncer(ctx, o, git, nil, nil)
	if err != nil {
		return nil, errors.Join(err, git.Close())
	}
	s.git = git
	return s, nil
}

// newSyncer builds the loop over a source, which stays the caller's to close.
func newSyncer(ctx context.Context, o Options, source lsync.Source, ledger lsync.Ledger, removed []time.Time) (*Syncer, error) {
	reader, err := NewReader(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Syncer{reader: reader, opts: o}
	var mode desired.Mode // none: nothing is written
	if o.Config != nil {
		mode = o.Config.Mode
	}
	var applier lsync.Applier
	var planner lsync.Planner // none: nothing is moved
	if mode == desired.ModeRepair || mode == desired.ModeMigrate {
		cluster, err := reader.Cluster(ctx)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		applier = newApplier(reader, cluster, mode, o)
		if mode == desired.ModeMigrate {
			if s.planner, err = newPlanner(ctx, reader, o); err != nil {
				return nil, errors.Join(err, s.Close())
			}
			planner = s.planner
		}
	}
	s.loop = lsync.New(lsync.Options{Source: source, Observer: reader, Applier: applier, Planner: planner, Ledger: ledger, Removed: removed,
		Mode: mode, Policy: s.policy(o.Config), Now: o.Now})
	return s, nil
}

// policy returns what the guard rails let a round do.
func (s *Syncer) policy(c *desired.Configuration) plan.Policy {
	p := Rails(c, Self())
	if s.opts.Settle > 0 {
		p.Settle = s.opts.Settle
	}
	return p
}

// obey makes the rounds to come keep to other guard rails. It must not be called
// during a round.
func (s *Syncer) obey(c *desired.Configuration) {
	s.reader.opts.Config = c
	s.loop.Obey(s.policy(c))
}

// Close stops watching and gives the repository back.
func (s *Syncer) Close() error {
	s.reader.Close()
	if s.git == nil {
		return nil
	}
	return s.git.Close()
}

// Round makes one pass.
func (s *Syncer) Round(ctx context.Context) (report.Round, error) { return s.loop.Round(ctx) }

// Rest makes rounds until nothing is left to write or to wait for, or until limit.
func (s *Syncer) Rest(ctx context.Context, limit time.Duration, seen func(report.Round)) (report.Round, error) {
	return s.loop.Rest(ctx, limit, s.opts.Sleep, seen)
}

// Run makes rounds as the daemon does, until the context ends, and returns its cause: whole
// ones at an interval, and more for what is on its way. Failed is told of each that could
// not be made.
func (s *Syncer) Run(ctx context.Context, interval time.Duration, seen func(report.Round), failed func(error)) error {
	return s.loop.Run(ctx, lsync.Schedule{Interval: interval, Sleep: s.opts.Sleep, Seen: seen, Failed: failed})
}

// newApplier builds the only code that can write.
func newApplier(r *Reader, cluster identity.Cluster, mode desired.Mode, o Options) *apply.Applier {
	c := r.clients
	options := apply.Options{
		Cluster: cluster,
		Look:    r.observer,
		IAM:     func(account string) (apply.TrustWriter, error) { return c.iamOf(account) },
		EKS:     c.eks,
		ServiceAccounts: func(namespace string) apply.ServiceAccountWriter {
			return c.kube.CoreV1().ServiceAccounts(namespace)
		},
		Spacing: o.Spacing,
		Until:   o.Until,
		Now:     o.Now,
		Wrote:   func(s plan.Step) { r.observer.Forget(s.Subject) },
		Started: func(s plan.Step) { o.Progress(s.Effect.String() + " " + s.Subject.String() + ": " + s.Action.String()) },
		Log:     o.Log,
	}
	options.Pods, options.Workloads = c.hands(mode)
	return apply.New(options)
}

// hands are what evicts pods and writes to workloads: mode migrate's, and no other's.
// Repair restarts nothing (design.md section 5).
func (c *clients) hands(mode desired.Mode) (func(namespace string) apply.PodEvicter, func(kind, namespace string) apply.WorkloadWriter) {
	if mode != desired.ModeMigrate {
		return nil, nil
	}
	return func(namespace string) apply.PodEvicter { return c.kube.CoreV1().Pods(namespace) }, apply.Workloads(c.kube, c.custom)
}
