package app

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/identityprobe"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/observe"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// identityHand runs lanyard whoami under a ServiceAccount.
type identityHand interface {
	Round(ctx context.Context, ask *migrate.IdentityAsk) (identityprobe.Answer, error)
}

// checking is how long all calls of identity probes in one round may take together.
const checking = 5 * time.Second

// pending is the word of a question without an answer yet; the others are migrate's.
const pending = "pending"

// checks are the identity probes of one set of clients: package migrate says who is to be
// asked about, and what an answer is worth. They come after a round and not in it, one at
// a time, and nothing that a round decides depends on them.
type checks struct {
	hand identityHand
	now  func() time.Time
	log  *slog.Logger
	told func(migrate.IdentityCheck) // of each answer, once

	clean   bool // no Job of lanyard's is left, as far as is known
	running migrate.IdentityAsk
	waits   string // what keeps its pod from saying anything
	checks  migrate.IdentityChecks

	mu    sync.Mutex // guards what follows against who asks for it
	shown map[identity.Subject]outline.IdentityProbe
}

// newChecks returns the identity probes of a generation; nil where they are off. A mode
// that moves nothing has nothing to check, and is built without the hand (law 7).
func newChecks(c *desired.Configuration, r *Reader, o Options, told func(migrate.IdentityCheck)) *checks {
	if c.Mode != desired.ModeMigrate || !c.Features.IdentityProbe {
		return nil
	}
	kube := r.clients.kube
	guard := probe.New(probe.Options{Kube: kube, Judge: observe.Given})
	return &checks{hand: identityprobe.New(identityprobe.Options{Kube: kube, Guard: guard.GuardJobs, Now: o.Now}), now: o.Now, log: o.Log, told: told}
}

// round asks what is due after a round: it makes a Job, or reads the one that it made. At
// rest it calls nobody.
func (c *checks) round(ctx context.Context, judged []diff.Judged, next map[identity.Subject]migrate.Next) {
	due := c.checks.See(judged, next, c.now())
	defer func() { c.show(due) }()
	ctx, cancel := withinLease(ctx, checking)
	defer cancel()
	for ctx.Err() == nil && (len(due) > 0 || !c.clean) {
		ask := c.pick(due)
		answer, err := c.hand.Round(ctx, ask)
		c.clean = err == nil && ask == nil && answer.Left == 0
		if err != nil {
			c.log.Warn("identity probes: it is tried again after the next round", "err", err)
		}
		if ask == nil || !c.answered(*ask, answer, due) {
			return
		}
		due = c.checks.Due()
	}
}

// pick returns the question that is under way, as long as it is due, or the first.
func (c *checks) pick(due []migrate.IdentityAsk) *migrate.IdentityAsk {
	if len(due) == 0 {
		return nil
	}
	ask := due[max(0, slices.Index(due, c.running))]
	if ask != c.running {
		c.running, c.waits = ask, ""
	}
	return &ask
}

// answered takes in what a question came to, if it has come to anything. Where no Job may
// be made none is made for the others either.
func (c *checks) answered(ask migrate.IdentityAsk, a identityprobe.Answer, due []migrate.IdentityAsk) bool {
	c.waits = cmp.Or(a.Said.Waits, c.waits)
	if !a.Done {
		return false
	}
	asks := []migrate.IdentityAsk{ask}
	if a.Said.Unguarded != "" {
		asks = due
	}
	a.Said.Waits = c.waits
	for _, x := range asks {
		check := x.Judge(a.Said, c.now())
		before, again := c.checks.Known()[x.Subject]
		again = again && before.Result == check.Result && before.Message == check.Message
		c.checks.Answered(check)
		c.log.Info("identity probe", "subject", x.Subject.String(), "wanted", x.Wanted.String(), "job", x.Job(), "result", string(check.Result), "session", check.Session, "message", check.Message)
		if !again {
			c.told(check)
		}
	}
	return true
}

// show makes what is known readable for others.
func (c *checks) show(due []migrate.IdentityAsk) {
	shown := map[identity.Subject]outline.IdentityProbe{}
	for s, k := range c.checks.Known() {
		shown[s] = outline.IdentityProbe{Wanted: k.Ask.Wanted, Role: k.Ask.Role.String(), Result: string(k.Result), Session: k.Session, Message: k.Message, At: k.At.UTC()}
	}
	for _, a := range due {
		if _, known := shown[a.Subject]; known { // and asked for again
			continue
		}
		p := outline.IdentityProbe{Wanted: a.Wanted, Role: a.Role.String(), Result: pending, Message: "others come first"}
		if a == c.running {
			p.Message = cmp.Or(c.waits, "its pod has not answered yet")
		}
		shown[a.Subject] = p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = shown
}

// of returns what is known of a subject.
func (c *checks) of(s identity.Subject) (outline.IdentityProbe, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.shown[s]
	return p, known
}

// list returns what is known of all, for the status.
func (c *checks) list() []status.IdentityProbe {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []status.IdentityProbe
	for _, s := range slices.SortedFunc(maps.Keys(c.shown), identity.Subject.Compare) {
		p := c.shown[s]
		all = append(all, status.IdentityProbe{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Wanted: p.Wanted.String(), Role: p.Role,
			Result: p.Result, Session: p.Session, Message: p.Message, At: p.At})
	}
	return all
}

// close deletes what is left, as far as the Lease lasts: the feature may have been turned
// off, and what comes after may no longer delete it. What stays goes by its own TTL.
func (c *checks) close(ctx context.Context) {
	ctx, cancel := withinLease(context.WithoutCancel(ctx), checking)
	defer cancel()
	if c.clean || ctx.Err() != nil {
		return
	}
	if _, err := c.hand.Round(ctx, nil); err != nil {
		c.log.Warn("identity probes: a Job may be left, and goes by its own TTL", "err", err)
	}
}

// withinLease bounds a context of leading: in time, and by when the Lease could have
// passed on.
func withinLease(ctx context.Context, long time.Duration) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(long)
	if until := leaseUntil(ctx); until != nil {
		if at := until(); at.Before(deadline) {
			deadline = at
		}
	}
	return context.WithDeadline(ctx, deadline)
}

// checked runs the identity probes that are due after a round, and shows what they came to.
func (g *generation) checked(ctx context.Context, r report.Round) {
	if g.checks == nil || r.Result.Mismatch() {
		return
	}
	g.checks.round(ctx, r.Result.Judged, g.syncer.planner.upcoming())
	g.daemon.board.IdentityProbes(g.checks.list())
}

// identified tells of the answer of an identity probe.
func (g *generation) identified(c migrate.IdentityCheck) {
	g.daemon.metrics.IdentityProbe(string(c.Result))
	kind := corev1.EventTypeWarning
	if c.Result == migrate.IdentityAsGit {
		kind = corev1.EventTypeNormal
	}
	g.said.put(g.syncer.loop.Snapshot(), c.Ask.Subject, kind, reasonIdentity, string(c.Result), string(c.Result)+": "+c.Message)
}
