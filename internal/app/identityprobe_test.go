package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/identityprobe"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// puppet is a hand that answers what it is told to, and keeps the books.
type puppet struct {
	calls   []string
	answers []identityprobe.Answer
	err     error
}

func (p *puppet) Round(ctx context.Context, ask *migrate.IdentityAsk) (identityprobe.Answer, error) {
	who := "nobody"
	if ask != nil {
		who = ask.Subject.String() + " " + ask.Wanted.String()
	}
	if until, bounded := ctx.Deadline(); !bounded || time.Until(until) > checking {
		who += " without a deadline"
	}
	p.calls = append(p.calls, who)
	if p.err != nil || len(p.answers) == 0 {
		return identityprobe.Answer{}, p.err
	}
	a := p.answers[0]
	p.answers = p.answers[1:]
	return a, nil
}

// asked returns the calls since the last time.
func (p *puppet) asked() string {
	out := strings.Join(p.calls, ", ")
	p.calls = nil
	return out
}

func probed(names ...string) (judged []diff.Judged, next map[identity.Subject]migrate.Next) {
	next = map[identity.Subject]migrate.Next{}
	for _, name := range names {
		s := identity.Subject{Namespace: "demo", ServiceAccount: name}
		judged = append(judged, diff.Judged{Mapping: desired.Mapping{Subject: s, Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: name}}, Wanted: identity.PodIdentity})
		next[s] = migrate.Next{Phase: migrate.PhaseSoaking}
	}
	return judged, next
}

func newPuppet(answers ...identityprobe.Answer) (*checks, *puppet, *[]string) {
	hand, told := &puppet{answers: answers}, &[]string{}
	return &checks{hand: hand, now: time.Now, log: slog.New(slog.DiscardHandler), told: func(c migrate.IdentityCheck) {
		*told = append(*told, c.Ask.Subject.ServiceAccount+" "+string(c.Result))
	}}, hand, told
}

func (c *checks) results() (out []string) {
	for _, p := range c.list() {
		out = append(out, p.ServiceAccount+" "+p.Result)
	}
	return out
}

var (
	runs  = identityprobe.Answer{Left: 1}
	waits = identityprobe.Answer{Left: 1, Said: migrate.IdentitySaid{Waits: "its container waits: ErrImagePull"}}
	ended = identityprobe.Answer{Left: 1, Done: true, Said: migrate.IdentitySaid{Ended: "deadline"}}
	gone  = identityprobe.Answer{Left: 1, Done: true, Said: migrate.IdentitySaid{Refused: "exceeded quota"}}
	naked = identityprobe.Answer{Left: 1, Done: true, Said: migrate.IdentitySaid{Unguarded: "not there"}}
	swept = identityprobe.Answer{}
)

// TestChecksOneAtATime: one question is under way at a time, the next one follows at once,
// what a pod waited for is told in the end, and at rest nobody is called.
func TestChecksOneAtATime(t *testing.T) {
	t.Parallel()
	c, hand, told := newPuppet(runs, waits, ended, gone, swept)
	judged, next := probed("a", "b")
	round := func(calls string, results ...string) {
		t.Helper()
		c.round(t.Context(), judged, next)
		if got := hand.asked(); got != calls {
			t.Errorf("called for %q, want %q", got, calls)
		}
		if got := c.results(); !slices.Equal(got, results) {
			t.Errorf("shows %q, want %q", got, results)
		}
	}
	round("demo/a pod-identity", "a pending", "b pending")
	round("demo/a pod-identity", "a pending", "b pending")
	if p, _ := c.of(identity.Subject{Namespace: "demo", ServiceAccount: "a"}); p.Message != "its container waits: ErrImagePull" || !p.At.IsZero() {
		t.Errorf("while it waits: %+v", p)
	}
	round("demo/a pod-identity, demo/b pod-identity, nobody", "a no-answer", "b refused")
	if p := c.list()[0]; p.Message != "its container waits: ErrImagePull; deadline" || p.At.IsZero() {
		t.Errorf("at the end: %+v", p)
	}
	round("", "a no-answer", "b refused")
	round("", "a no-answer", "b refused")
	if want := []string{"a no-answer", "b refused"}; !slices.Equal(*told, want) {
		t.Errorf("told %q, want %q", *told, want)
	}
}

// TestChecksUnguarded: without the policy nobody is asked about, and all are told why.
func TestChecksUnguarded(t *testing.T) {
	t.Parallel()
	c, hand, told := newPuppet(naked, swept)
	judged, next := probed("a", "b", "c")
	c.round(t.Context(), judged, next)
	c.round(t.Context(), judged, next)
	if got := hand.asked(); got != "demo/a pod-identity, nobody" {
		t.Errorf("called for %q", got)
	}
	if want := []string{"a unguarded", "b unguarded", "c unguarded"}; !slices.Equal(*told, want) || !slices.Equal(c.results(), want) {
		t.Errorf("told %q, shows %q, want %q", *told, c.results(), want)
	}
}

// TestChecksCleanUp: leftovers are looked for by a new process, until there are none; what
// is no longer asked about is removed in the next round; what is left at the end is
// removed then; and an error keeps it trying.
func TestChecksCleanUp(t *testing.T) {
	t.Parallel()
	c, hand, _ := newPuppet(runs, swept, runs, swept)
	judged, next := probed("a")
	for i, want := range []string{"nobody", "nobody", ""} { // a new process
		c.round(t.Context(), judged, nil)
		if got := hand.asked(); got != want {
			t.Errorf("round %d of a new process calls for %q, want %q", i, got, want)
		}
	}
	c.close(t.Context())
	if got := hand.asked(); got != "" {
		t.Errorf("with nothing left the end calls for %q", got)
	}
	for i, want := range []string{"demo/a pod-identity", "nobody", ""} { // and out of Git again
		if i > 0 {
			judged = nil
		}
		c.round(t.Context(), judged, next)
		if got := hand.asked(); got != want {
			t.Errorf("round %d calls for %q, want %q", i, got, want)
		}
	}
	judged, next = probed("a")
	hand.err = errors.New("refused")
	for range 2 {
		c.round(t.Context(), judged, next)
	}
	c.close(t.Context())
	if got := hand.asked(); got != "demo/a pod-identity, demo/a pod-identity, nobody" {
		t.Errorf("with errors it calls for %q", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c.close(ended) // the daemon is to end: what is left is still removed
	if got := hand.asked(); got != "nobody" {
		t.Errorf("at the end of the process it calls for %q", got)
	}
	late, end := context.WithCancelCause(t.Context())
	defer end(nil)
	c.close(&tenure{Context: late, until: time.Now().Add(-time.Second)})
	if got := hand.asked(); got != "" {
		t.Errorf("without the Lease it calls for %q", got)
	}
}

// TestChecksOff: identity probes are built in mode migrate with the feature, and nowhere
// else (law 7).
func TestChecksOff(t *testing.T) {
	t.Parallel()
	r := &Reader{clients: &clients{kube: fake.NewClientset()}}
	for _, mode := range []desired.Mode{"", desired.ModeObserve, desired.ModeRepair, desired.ModeMigrate} {
		for _, on := range []bool{false, true} {
			c := &desired.Configuration{Mode: mode, Features: desired.Features{IdentityProbe: on}}
			if built := newChecks(c, r, Options{}, nil) != nil; built != (on && mode == desired.ModeMigrate) {
				t.Errorf("mode %q, feature %t: built %t", mode, on, built)
			}
		}
	}
}
