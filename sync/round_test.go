package sync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	lsync "github.com/lanyard-io/lanyard/sync"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

var (
	cluster = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws", Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"}
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	role    = identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "reader"}
)

// hands are Git, the world and the writer of one subject whose annotation is missing.
type hands struct {
	now       time.Time
	clock     func() time.Time // in place of now
	gone      bool             // Git names nothing
	log       []string
	facts     live.Facts
	gitErr    error
	lookErr   error
	lookFault func() error
	again     []identity.Subject
	gaps      [][]live.Gap                   // of each look in turn
	outcome   func(plan.Step) report.Outcome // in place of success
}

func newHands() *hands {
	h := &hands{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	provider := cluster.Issuer.ProviderARN("aws", cluster.Account)
	grant := trust.Grant{Mechanism: identity.IRSA, Subject: subject, Cluster: cluster, Provider: provider, Audiences: []string{"sts.amazonaws.com"}}
	h.facts = live.Facts{Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: cluster.Issuer, APIServerIssuer: cluster.Issuer},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1", Annotations: map[string]string{}}},
		Accounts:        []live.Account{{ID: cluster.Account, TrustSizeQuota: 2048}},
		Providers:       []live.OIDCProvider{{ARN: provider, Account: cluster.Account, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
		Roles:           []live.Role{{ARN: role, Presence: live.Present, TrustPolicy: `{"Version":"2012-10-17","Statement":[` + string(grant.Statement()) + `]}`}}}
	return h
}

func (h *hands) Cluster(context.Context) (identity.Cluster, error) {
	h.log = append(h.log, "cluster")
	return cluster, nil
}

func (h *hands) Latest(_ context.Context, c identity.Cluster) (desired.State, error) {
	h.log = append(h.log, "git")
	if h.gone {
		return desired.State{Cluster: c.Name, Revision: desired.Revision{Ref: "main", Commit: commit}}, h.gitErr
	}
	return desired.State{Cluster: c.Name, Mappings: []desired.Mapping{{Subject: subject, Name: "reader", Role: role, Mechanism: identity.IRSA}}}, h.gitErr
}

func (h *hands) Observe(_ context.Context, s desired.State) (*live.Snapshot, error) {
	h.log = append(h.log, "observe")
	if h.lookErr != nil {
		return nil, h.lookErr
	}
	if h.lookFault != nil {
		if err := h.lookFault(); err != nil {
			return nil, err
		}
	}
	f := h.facts
	f.TakenAt = h.now
	if h.clock != nil {
		f.TakenAt = h.clock()
	}
	f.ServiceAccounts = slices.Clone(f.ServiceAccounts)
	if len(h.gaps) > 0 {
		f.Gaps, h.gaps = h.gaps[0], h.gaps[1:]
	}
	return live.New(f)
}

func (h *hands) Again(ctx context.Context, s desired.State, subjects []identity.Subject) (*live.Snapshot, error) {
	snapshot, err := h.Observe(ctx, s)
	h.log[len(h.log)-1] = "again"
	h.again = append(h.again, subjects...)
	return snapshot, err
}

func (h *hands) Apply(_ context.Context, p plan.Plan) []report.Outcome {
	h.log = append(h.log, "apply")
	var out []report.Outcome
	for _, s := range p.Steps {
		o := report.Outcome{Step: s, Result: report.Done, After: "set", At: h.now}
		if h.outcome != nil {
			o = h.outcome(s)
		} else {
			h.facts.ServiceAccounts = []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1",
				Annotations: map[string]string{diff.AnnotationRole: role.String()}}}
		}
		out = append(out, o)
	}
	return out
}

const commit = "0123456789abcdef0123456789abcdef01234567"

// orphan leaves lanyard's statement behind after its ServiceAccount has gone.
func (h *hands) orphan() {
	h.gone = true
	h.facts.ServiceAccounts = nil
	policy := h.facts.Roles[0].TrustPolicy
	const other = `{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`
	h.facts.Roles[0].TrustPolicy = strings.TrimSuffix(policy, "]}") + "," + other + "]}"
	h.outcome = func(s plan.Step) report.Outcome {
		h.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[` + other + `]}`
		return report.Outcome{Step: s, Result: report.Done, Before: "there", At: h.now}
	}
}

func (h *hands) loop(mode desired.Mode, applier lsync.Applier) *lsync.Loop {
	return lsync.New(lsync.Options{Source: h, Observer: h, Applier: applier, Mode: mode, Policy: plan.DefaultPolicy(), Now: func() time.Time { return h.now }})
}

func (h *hands) sleep(_ context.Context, d time.Duration) error {
	h.now = h.now.Add(d)
	return nil
}

// TestRoundReadsAsATableOfContents: a round asks which cluster it is, reads Git,
// looks, and only then writes; between two rounds it looks afresh.
func TestRoundReadsAsATableOfContents(t *testing.T) {
	t.Parallel()
	h := newHands()
	var rounds []report.Round
	last, err := h.loop(desired.ModeRepair, h).Rest(t.Context(), time.Hour, h.sleep, func(r report.Round) { rounds = append(rounds, r) })
	if err != nil {
		t.Fatal(err)
	}
	want := "cluster git observe | cluster git observe apply | cluster git observe"
	if got := strings.ReplaceAll(strings.Join(h.log, " "), " cluster", " | cluster"); got != want {
		t.Errorf("calls\n got %s\nwant %s", got, want)
	}
	if len(rounds) != 3 || !last.InSync() || !last.AtRest() || rounds[1].Writes() != 1 {
		t.Errorf("%d rounds, in sync %t, at rest %t, writes in the second %d; want 3, true, true, 1", len(rounds), last.InSync(), last.AtRest(), rounds[1].Writes())
	}
	if d := rounds[1].Started.Sub(rounds[0].Started); d < time.Minute {
		t.Errorf("the annotation was set %v after its trust was first seen to allow; want a minute at least", d)
	}
}

// TestLaw7NoApplierNoWrite: without an applier, and in mode observe, steps are shown
// and not taken.
func TestLaw7NoApplierNoWrite(t *testing.T) {
	t.Parallel()
	for name, loop := range map[string]func(*hands) *lsync.Loop{
		"no applier":   func(h *hands) *lsync.Loop { return h.loop(desired.ModeRepair, nil) },
		"mode observe": func(h *hands) *lsync.Loop { return h.loop(desired.ModeObserve, h) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHands()
			l := loop(h)
			for range 3 {
				r, err := l.Round(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range r.Outcomes {
					if o.Result != report.NotTaken {
						t.Errorf("%v came to %s, want not-taken", o.Step.Action, o.Result)
					}
				}
				h.now = h.now.Add(2 * time.Minute)
			}
			if slices.Contains(h.log, "apply") {
				t.Errorf("calls %v; want no apply", h.log)
			}
		})
	}
}

// TestRoundErrors: what makes a round impossible is an error that says which part.
func TestRoundErrors(t *testing.T) {
	t.Parallel()
	h := newHands()
	h.gitErr = errors.New("auth refused")
	if _, err := h.loop(desired.ModeRepair, h).Round(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "read what Git wants: ") {
		t.Errorf("got %v; want one that begins with: read what Git wants", err)
	}
	h = newHands()
	h.lookErr = errors.New("no such cluster")
	if _, err := h.loop(desired.ModeRepair, h).Round(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "observe: ") {
		t.Errorf("got %v; want one that begins with: observe", err)
	}
}

// TestRestEnds: rounds end when more would not help, and within the limit.
func TestRestEnds(t *testing.T) {
	t.Parallel()
	fail := func(class remedy.Class) func(plan.Step) report.Outcome {
		return func(s plan.Step) report.Outcome {
			return report.Outcome{Step: s, Result: report.Failed, Err: errors.New("refused"), Remedy: class}
		}
	}
	for _, tt := range []struct {
		name  string
		class remedy.Class
		most  int
	}{
		{"a person must act", remedy.Hold, 3},
		{"an invariant broke", remedy.Halt, 3},
		{"transient: slower and slower", remedy.Retry, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHands()
			h.outcome = fail(tt.class)
			rounds := 0
			r, err := h.loop(desired.ModeRepair, h).Rest(t.Context(), 10*time.Minute, h.sleep, func(report.Round) { rounds++ })
			if err != nil {
				t.Fatal(err)
			}
			if rounds > tt.most || rounds < 2 || r.Failures() != 1 {
				t.Errorf("%d rounds, the last with %d failures; want 2 to %d, and 1", rounds, r.Failures(), tt.most)
			}
		})
	}
}

// TestRestLooksAgain: what could not be read a moment ago is looked at again, a few
// times; what was refused is not.
func TestRestLooksAgain(t *testing.T) {
	t.Parallel()
	gap := func(reason live.GapReason) []live.Gap {
		return []live.Gap{{Source: live.SourceRole, Scope: "arn:aws:iam::123456789012:role/other", Reason: reason}}
	}
	for _, tt := range []struct {
		name   string
		gaps   [][]live.Gap
		rounds int
	}{
		{"read the second time", [][]live.Gap{gap(live.GapFailed)}, 2},
		{"refused", [][]live.Gap{gap(live.GapRefused), gap(live.GapRefused)}, 1},
		{"never read", [][]live.Gap{gap(live.GapThrottled), gap(live.GapThrottled), gap(live.GapThrottled), gap(live.GapThrottled), gap(live.GapThrottled), gap(live.GapThrottled)}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHands()
			h.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = role.String()
			h.gaps = tt.gaps
			rounds := 0
			if _, err := h.loop(desired.ModeRepair, h).Rest(t.Context(), time.Hour, h.sleep, func(report.Round) { rounds++ }); err != nil {
				t.Fatal(err)
			}
			if rounds != tt.rounds {
				t.Errorf("%d rounds; want %d", rounds, tt.rounds)
			}
		})
	}
}
