package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/metrics"
	lsync "github.com/lanyard-io/lanyard/sync"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// term is the work of one time of leading. What it knows comes from the Lease and the
// live world alone: another replica may have led in between.
func (d *Daemon) term(ctx context.Context) error {
	d.leading()
	b, err := openBook(ctx, d.lease, d.opts.Lease, d.opts.Now)
	if err != nil {
		d.failed(err, time.Now())
		return err
	}
	if b.Accepted() == "" { // the first start; or somebody has deleted the Lease
		d.opts.Log.Warn("the Lease remembers no accepted commit: the next head that counts is accepted, whatever it descends from",
			"lease", d.opts.Lease.Namespace+"/"+d.opts.Lease.Name)
	}
	said := newEvents(d.opts.Kube, d.opts.Lease.Identity, d.opts.Log, d.opts.Now, d.metrics.Event)
	said.start(context.WithoutCancel(ctx))
	defer said.close()
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := d.generation(ctx, b, said)
		if ctx.Err() != nil || errors.Is(err, errReconfigured) {
			failures = 0
			continue
		}
		if time.Since(began) > time.Hour {
			failures = 0
		}
		failures++
		d.failed(err, began)
		if err := sleep(ctx, min(time.Second<<min(failures, 10), 5*time.Minute)); err != nil {
			break
		}
	}
	return context.Cause(ctx)
}

// errReconfigured ends a generation whose configuration has changed in what its
// clients are built of.
var errReconfigured = errors.New("the configuration has changed")

// generation builds clients and loop for the configuration in force, and runs rounds
// until another one needs other clients.
func (d *Daemon) generation(ctx context.Context, b *book, said *events) error {
	config, changed := d.settings.Now()
	o := d.opts.Options
	o.Config, o.Cluster = config, config.Cluster
	o.Called, o.Waited, o.Until = d.called, d.metrics.Waited, leaseUntil(ctx)
	g := &generation{daemon: d, config: config, said: said}
	d.metrics.SignaturesRequired(config.Source.Verify != (desired.Verify{}))
	d.board.State(func(s *status.State) {
		s.Cluster, s.Mode = config.Cluster, string(config.Mode)
		s.Source.URL, s.Source.Ref, s.Source.Paths = config.Source.URL, config.Source.Ref, config.Source.Paths
		s.Source.Accepted = b.Accepted()
	})
	source, err := openFollowed(config, d.opts.WorkDir, b, func() string { return g.config.Source.Accept }, d.followed, d.looked)
	if err != nil {
		return fmt.Errorf("open the repository: %w", err)
	}
	defer source.Close()
	if g.syncer, err = newSyncer(ctx, o, source, b, b.Removals()); err != nil {
		return err
	}
	defer g.syncer.Close()

	g.checks = newChecks(config, g.syncer.reader, o, g.identified)
	d.board.IdentityProbes(nil)
	if g.checks != nil {
		defer g.checks.close(ctx)
	}

	if g.pulls, err = d.openPulls(config); err != nil {
		d.opts.Log.Error("pull requests are not reported on", "err", err)
	}

	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	defer end(nil)
	go func() { // a change that needs other clients ends the rounds between two steps
		defer close(stopped)
		for {
			select {
			case <-running.Done():
				return
			case <-changed:
			}
			var next *desired.Configuration
			if next, changed = d.settings.Now(); !sameHands(config, next) {
				end(errReconfigured)
			}
		}
	}()
	if g.pulls != nil {
		done := make(chan struct{})
		go func() { defer close(done); g.pulls.run(running) }()
		defer func() {
			end(nil)
			<-done
			_ = g.pulls.close() // nothing was written there
		}()
	}
	err = g.syncer.loop.Run(running, lsync.Schedule{
		Interval: config.Source.Interval, Least: d.opts.Least, Sleep: d.opts.Sleep, Wake: d.woken,
		Before: g.obey, Seen: func(r report.Round) { g.seen(r); g.checked(running, r) }, Failed: func(err error) { d.failed(err, d.opts.Now()) },
	})
	return err
}

// generation is one set of clients at work. Its methods are called between rounds.
type generation struct {
	daemon *Daemon
	config *desired.Configuration
	syncer *Syncer
	said   *events
	checks *checks // nil: identity probes are off
	pulls  *pulls  // nil: reports on pull requests are off
}

// obey lets the next round keep to the guard rails in force.
func (g *generation) obey() {
	now, _ := g.daemon.settings.Now()
	if now == g.config || !sameHands(now, g.config) {
		return
	}
	g.config = now
	g.syncer.obey(now)
}

// seen tells of a round.
func (g *generation) seen(r report.Round) {
	d, snapshot := g.daemon, g.syncer.loop.Snapshot()
	d.shown(r, g.config, g.syncer, g.checks)
	if g.pulls != nil && !r.Partial {
		g.pulls.saw(standOf(r, g.syncer, g.config))
	}
	g.said.saw(r, snapshot)
	d.mu.Lock()
	d.good = true
	d.mu.Unlock()
	d.opts.Log.Info("round", "round", r.Number, "partial", r.Partial, "revision", r.Revision.String(), "mode", string(r.Mode),
		"mappings", r.Mappings, "findings", len(r.Result.Findings), "gaps", len(r.Gaps), "steps", len(r.Plan.Steps),
		"writes", r.Writes(), "failures", r.Failures(), "took", r.Ended.Sub(r.Started).String())
}

// shown puts a round that a syncer has just made on the page and among the metrics.
func (d *Daemon) shown(r report.Round, config *desired.Configuration, syncer *Syncer, probes *checks) {
	snapshot := syncer.loop.Snapshot()
	if r.Partial {
		d.metrics.Again(r)
		d.board.Again(r, snapshot)
	} else {
		d.metrics.Round(r)
		d.board.Saw(r, snapshot)
	}
	limit := config.Budgets.RemovalsPerHour
	left := max(0, limit-syncer.loop.Removals())
	d.metrics.Removals(left, limit)
	d.metrics.Quotas(quotasOf(snapshot, r.Result.Judged))
	d.metrics.Seen(seenOf(snapshot))
	budgets := map[string]metrics.Budget{}
	for service, b := range syncer.reader.observer.Budgets() {
		budgets[service] = metrics.Budget(b)
	}
	d.metrics.Budgets(budgets)
	d.board.State(func(s *status.State) { s.Removals = status.Removals{Left: left, Limit: limit}; s.Mode = string(r.Mode) })
	if !r.Partial {
		d.outlined(syncer.loop.State(), snapshot, config, syncer, probes)
	}
}

// failed tells of a round that could not be made.
func (d *Daemon) failed(err error, began time.Time) {
	stage, now := lsync.StageOf(err), d.opts.Now()
	if held, is := errors.AsType[*gitsource.HeldError](err); is {
		d.head(heldOf(held), "", now) // and the accepted revision cannot be had
	}
	d.metrics.RoundFailed(string(stage), remedy.Of(err), now)
	d.board.Failed(string(stage), err, began, now)
	attrs := []any{"stage", string(stage), "remedy", remedy.Of(err).String(), "err", err}
	if p, is := errors.AsType[*lsync.Panic](err); is {
		attrs = append(attrs, "stack", p.Stack)
	}
	d.opts.Log.Error("no round", attrs...)
}

// followed tells how the accepted revision stands with the head of Git.
func (d *Daemon) followed(s gitsource.Standing) {
	d.head(heldOf(s.Held), s.State.Revision.String(), d.opts.Now())
	d.board.State(func(st *status.State) {
		st.Source.Commit = &status.Commit{Author: s.Commit.Author, Subject: s.Commit.Subject, At: s.Commit.At.UTC()}
	})
}

// head tells which revision is accepted, if that is known, and whether a newer head is
// held.
func (d *Daemon) head(held *desired.Held, accepted string, now time.Time) {
	reason, fetched := "", held == nil || held.Reason != desired.HeldUnreachable
	if held != nil {
		reason = string(held.Reason)
	}
	if fetched && accepted != "" {
		d.metrics.Fetched(now, accepted)
	}
	d.metrics.Held(reason, now)
	news := false
	d.board.State(func(st *status.State) {
		src := &st.Source
		if fetched {
			src.Fetched = now
		}
		if accepted != "" && src.Accepted != accepted {
			src.Accepted, src.AcceptedAt = accepted, now
		}
		was := src.Held
		if src.Held = nil; held == nil {
			return
		}
		src.Held = &status.Held{Head: held.Head, Reason: reason, Message: held.Message, Since: now}
		if news = was == nil || was.Head != held.Head || was.Reason != reason; !news {
			src.Held.Since = was.Since
		}
	})
	if news {
		d.opts.Log.Warn("the head of Git is not followed", "reason", reason, "head", held.Head, "revision", accepted, "err", held.Message)
	}
}
