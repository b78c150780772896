package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// moved is a world in which one subject is on IRSA and Git asks for Pod Identity.
func moved(t *testing.T) *sim {
	t.Helper()
	s := &sim{t: t, policy: plan.DefaultPolicy()}
	sub := identity.Subject{Namespace: "demo", ServiceAccount: "api"}
	s.state.Mappings = []desired.Mapping{{Subject: sub, Name: "api", Role: roleARN("one"), Mechanism: identity.PodIdentity,
		PodIdentity: desired.PodIdentity{SessionTags: true, Trust: identity.WidthPinned}, Adopt: desired.Adopt{Trust: true, Annotation: true}}}
	irsa := trust.Grant{Mechanism: identity.IRSA, Subject: sub, Cluster: cluster, Provider: providerARN(), Audiences: []string{"sts.amazonaws.com"}}
	s.facts = live.Facts{TakenAt: start, Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: issuer, APIServerIssuer: issuer},
		Accounts:   []live.Account{{ID: account, TrustSizeQuota: 2048}},
		Providers:  []live.OIDCProvider{{ARN: providerARN(), Account: account, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
		Namespaces: []live.Namespace{{Name: "demo"}},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "api", UID: "u",
			Annotations: map[string]string{diff.AnnotationRole: roleARN("one").String()}}},
		Roles: []live.Role{{ARN: roleARN("one"), Presence: live.Present, TrustPolicy: `{"Version":"2012-10-17","Statement":[` + string(irsa.Statement()) + `]}`}},
		Pods: []live.Pod{{Namespace: "demo", Name: "api-1", UID: "p", ServiceAccount: "api", CreatedAt: start.Add(-time.Hour), Phase: "Running",
			Containers: []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: roleARN("one").String(), Audience: "sts.amazonaws.com"}}}},
	}
	return s
}

// twoStatements puts another statement beside the one that trusts the subject.
func twoStatements(s *sim) {
	s.facts.Roles[0].TrustPolicy = strings.Replace(s.facts.Roles[0].TrustPolicy, `"Statement":[`,
		`"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"},`, 1)
}

// planned plans with a move, and returns the actions of its steps and its reasons.
func planned(s *sim, m plan.Move) (steps, holds string, p plan.Plan) {
	snap := s.snapshot()
	m.Subject = s.state.Mappings[0].Subject
	p, s.memory = plan.Repair(plan.Input{Result: diff.Compare(s.state, snap, diff.Options{}), Snapshot: snap, Policy: s.policy, Memory: s.memory,
		Moves: map[identity.Subject]plan.Move{m.Subject: m}})
	var a, r []string
	for _, st := range p.Steps {
		a = append(a, st.Action.Kind())
	}
	for _, h := range p.Holds {
		r = append(r, string(h.Reason))
	}
	return strings.Join(a, " "), strings.Join(r, " "), p
}

// TestAbandonedRollouts: a rollout that lanyard paused is named once its mapping has left
// Git; others' pauses, and those of mappings, are not. However many there are, a plan
// names some, and touches none.
func TestAbandonedRollouts(t *testing.T) {
	t.Parallel()
	s := moved(t)
	s.facts.Workloads = []live.Workload{{Namespace: "demo", Kind: "Deployment", Name: "api", UID: "w", ServiceAccount: "api", PausedBy: "pod api-2 has none"},
		{Namespace: "demo", Kind: "Deployment", Name: "theirs", UID: "x", ServiceAccount: "theirs", Suspended: true}}
	at := func(moves map[identity.Subject]plan.Move) []plan.Hold {
		snap := s.snapshot()
		p, _ := plan.Repair(plan.Input{Result: diff.Compare(s.state, snap, diff.Options{}), Snapshot: snap, Policy: s.policy, Moves: moves})
		for _, st := range p.Steps {
			if st.Plane == diff.PlanePods {
				t.Errorf("a step: %v", st)
			}
		}
		return slices.DeleteFunc(p.Holds, func(h plan.Hold) bool { return h.Plane != diff.PlanePods || h.Reason != plan.OwnerMustAct })
	}
	if got := at(map[identity.Subject]plan.Move{}); len(got) > 0 {
		t.Errorf("while Git has the mapping: %v", got)
	}
	s.state.Mappings = nil
	if got := at(nil); len(got) > 0 {
		t.Errorf("in mode repair: %v", got)
	}
	if got := at(map[identity.Subject]plan.Move{}); len(got) != 1 || !strings.Contains(got[0].Message, "Deployment api ") {
		t.Errorf("got %+v, want the one", got)
	}
	for i := range 100 {
		w := s.facts.Workloads[0]
		w.Name = fmt.Sprint("forged-", i)
		s.facts.Workloads = append(s.facts.Workloads, w)
	}
	if got := at(map[identity.Subject]plan.Move{}); len(got) != 20 {
		t.Errorf("%d are named of many", len(got))
	}
}

// TestMoves holds how a move goes through the planner of repairs.
func TestMoves(t *testing.T) {
	t.Parallel()
	evict := plan.Step{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "api"}, Plane: diff.PlanePods, Effect: plan.Cross, Action: plan.EvictPod{Pod: "api-1", UID: "p"}}
	rescue := evict
	rescue.Rescue = true
	drop := func(s *sim) plan.Step {
		return plan.Step{Subject: s.state.Mappings[0].Subject, Plane: diff.PlaneTrust, Effect: plan.Narrow, Action: plan.RevokeTrust{Role: roleARN("one"),
			Request: trust.Request{Mechanism: identity.IRSA, Subject: s.state.Mappings[0].Subject, Cluster: cluster, Provider: providerARN(), Audience: "sts.amazonaws.com"}}}
	}
	for _, tt := range []struct {
		name         string
		change       func(*sim)
		move         func(*sim) plan.Move
		steps, holds string
	}{
		{"without one it is a transition", nil, nil, "", "in-transition"},
		{"prepare widens", nil, func(*sim) plan.Move { return plan.Move{Prepare: true} }, "put-trust-statement", ""},
		{"a widening goes before a step", nil, func(*sim) plan.Move { return plan.Move{Prepare: true, Steps: []plan.Step{evict}} }, "put-trust-statement", ""},
		{"a step", nil, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict}} }, "evict-pod", ""},
		{"one at a time", nil, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict, evict}} }, "evict-pod", ""},
		{"a pause stops it", func(s *sim) { s.facts.Namespaces[0].Pause = "why" }, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict}} }, "", "paused"},
		{"a pause stops no rescue", func(s *sim) { s.facts.Namespaces[0].Pause = "why" }, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{rescue}} }, "evict-pod", ""},
		{"guard rails stop both", func(s *sim) {
			s.policy.Diff.Forbid = func(desired.Mapping) (string, bool) { return "protect", true }
		}, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{rescue}} }, "", "guard-rail"},
		{"the old side's trust is gone, and pods are on it", func(s *sim) {
			s.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`
		}, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict}} }, "put-trust-statement", ""},
		{"pods have another role by the old side", func(s *sim) {
			s.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`
			s.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = roleARN("before").String()
			s.facts.Pods[0].Containers[0].Role = roleARN("before").String()
		}, func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict}} }, "evict-pod", ""},
		{"pods are on the side that Git asks for, which is not armed, and the move is held", func(s *sim) {
			s.state.Mappings[0].Mechanism = identity.IRSA
			own := trust.Grant{Mechanism: identity.PodIdentity, Subject: s.state.Mappings[0].Subject, Cluster: cluster, SessionTags: true}
			s.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[` + string(own.Statement()) + `]}`
			s.facts.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "api", ID: "a-1", Described: true, Role: roleARN("one"),
				Tags: map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: "demo/api"}}}
		}, func(*sim) plan.Move { return plan.Move{} }, "put-trust-statement", ""},
		{"trust that pods live on is not taken away", twoStatements, func(s *sim) plan.Move { return plan.Move{Steps: []plan.Step{drop(s)}} }, "", "in-use"},
		{"trust that nobody lives on", func(s *sim) {
			s.facts.Pods, s.facts.ServiceAccounts[0].Annotations = nil, nil
			twoStatements(s)
		}, func(s *sim) plan.Move { return plan.Move{Alone: true, Steps: []plan.Step{drop(s)}} }, "revoke-trust", ""},
		{"more removals than an hour may have", func(s *sim) {
			s.facts.Pods, s.facts.ServiceAccounts[0].Annotations, s.policy.RemovalsPerHour = nil, nil, 0
			twoStatements(s)
		}, func(s *sim) plan.Move { return plan.Move{Alone: true, Steps: []plan.Step{drop(s)}} }, "", "removal-budget"},
		{"a fact is missing", func(s *sim) { s.facts.Gaps = []live.Gap{{Source: live.SourcePods, Reason: live.GapRefused}} },
			func(*sim) plan.Move { return plan.Move{Steps: []plan.Step{evict}} }, "", "blind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := moved(t)
			if tt.change != nil {
				tt.change(s)
			}
			if tt.move == nil {
				p := s.round()
				if len(p.Steps) != 0 || len(p.Holds) != 1 || string(p.Holds[0].Reason) != tt.holds {
					t.Errorf("got %+v", p)
				}
				return
			}
			steps, holds, p := planned(s, tt.move(s))
			if steps != tt.steps || holds != tt.holds {
				t.Errorf("steps %q, holds %q; want %q, %q\n%+v", steps, holds, tt.steps, tt.holds, p.Holds)
			}
		})
	}
}

// TestMoveConditions: what a move has seen is dated by the memory, and forgotten once it
// no longer holds.
func TestMoveConditions(t *testing.T) {
	t.Parallel()
	s := moved(t)
	planned(s, plan.Move{Seen: []string{"ready"}})
	if at := s.memory.Seen["ready"]; !at.Equal(start) {
		t.Fatalf("seen at %s, want %s", at, start)
	}
	s.facts.TakenAt = start.Add(time.Minute)
	planned(s, plan.Move{Seen: []string{"ready"}})
	if at := s.memory.Seen["ready"]; !at.Equal(start) {
		t.Errorf("seen at %s, want the first time, %s", at, start)
	}
	planned(s, plan.Move{})
	if _, known := s.memory.Seen["ready"]; known {
		t.Error("a condition that no longer holds is remembered")
	}
}

// TestNobodyIsPlannedTwice: a subject has the steps of a repair or of a move in a round,
// never both (design.md section 5: one plane per step, a fresh look in between).
func TestNobodyIsPlannedTwice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		s := generated(t, seed)
		snap := s.snapshot()
		moves := map[identity.Subject]plan.Move{}
		for _, m := range s.state.Mappings {
			moves[m.Subject] = plan.Move{Subject: m.Subject, Steps: []plan.Step{{Subject: m.Subject, Plane: diff.PlanePods, Effect: plan.Cross, Action: plan.EvictPod{Pod: "moved", UID: "moved"}}}}
		}
		p, _ := plan.Repair(plan.Input{Result: diff.Compare(s.state, snap, diff.Options{}), Snapshot: snap, Policy: s.policy, Moves: moves})
		for _, step := range p.Steps {
			if _, moves := step.Action.(plan.EvictPod); moves && slices.ContainsFunc(p.Steps, func(o plan.Step) bool {
				return o.Subject == step.Subject && o.Action.Kind() != step.Action.Kind() && o.Effect != plan.Narrow
			}) {
				t.Fatalf("seed %d: %s is planned by both: %+v", seed, step.Subject, p.Steps)
			}
		}
	}
}

// TestNoRepairUndoesARollback: in mode repair too, an association that a rollback deleted
// is not made again for the pods that are still on their way back.
func TestNoRepairUndoesARollback(t *testing.T) {
	t.Parallel()
	s := moved(t)
	s.facts.ServiceAccounts[0].Annotations = map[string]string{}
	s.facts.Pods[0].Containers[0] = live.Container{Name: "app", Credential: live.CredentialPodIdentity}
	own := trust.Grant{Mechanism: identity.PodIdentity, Subject: s.state.Mappings[0].Subject, Cluster: cluster, SessionTags: true}
	s.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[` + string(own.Statement()) + `]}`
	s.round()
	s.facts.TakenAt = start.Add(time.Hour)
	if p := s.round(); len(p.Steps) != 1 || p.Steps[0].Action.Kind() != "create-association" {
		t.Fatalf("without a mark the lost association is made again; got %+v", p)
	}
	s.facts.Associations = nil
	s.facts.ServiceAccounts[0].Annotations[diff.RolledBackMark] = "x"
	s.facts.TakenAt = start.Add(3 * time.Hour)
	if p := s.round(); len(p.Steps) != 1 || p.Steps[0].Action.Kind() != "create-association" {
		t.Fatalf("a mark that stayed from before is no reason without an annotation to go back to; got %+v", p)
	}
	s.facts.Associations = nil
	s.facts.ServiceAccounts[0].Annotations[diff.AnnotationRole] = s.state.Mappings[0].Role.String()
	s.facts.TakenAt = start.Add(5 * time.Hour)
	if p := s.round(); len(p.Steps) != 0 || !slices.ContainsFunc(p.Holds, func(h plan.Hold) bool { return h.Reason == plan.RolledBack }) {
		t.Errorf("got %+v", p)
	}
}

// TestWhatIsNotVisibleYet: a write that a look does not show yet is not made again before
// a late look must show it, and nothing is built on it meanwhile. What the world has
// shown since, and somebody took back, is made again at once; so is trust that pods
// depend on.
func TestWhatIsNotVisibleYet(t *testing.T) {
	t.Parallel()
	s := moved(t)
	prepare := plan.Move{Prepare: true, Steps: []plan.Step{{Subject: s.state.Mappings[0].Subject, Plane: diff.PlanePods, Effect: plan.Cross, Action: plan.EvictPod{Pod: "api-1", UID: "p"}}}}
	before := s.facts.Roles[0].TrustPolicy
	at := func(after time.Duration, wantSteps, wantHolds string) plan.Plan {
		t.Helper()
		s.facts.TakenAt = start.Add(after)
		steps, holds, p := planned(s, prepare)
		if steps != wantSteps || holds != wantHolds {
			t.Fatalf("%s: steps %q, holds %q; want %q, %q", after, steps, holds, wantSteps, wantHolds)
		}
		return p
	}
	p := at(0, "put-trust-statement", "")
	s.memory = s.memory.Record(start, p.Steps...)
	p = at(5*time.Second, "", "settling")
	if until := p.Holds[0].NotBefore; !until.Equal(start.Add(10 * time.Second)) {
		t.Errorf("looked at again at %s, want 5 s later", until)
	}
	p = at(20*time.Second, "put-trust-statement", "") // a third of settle: it is not to come any more
	s.memory = s.memory.Record(start.Add(20*time.Second), p.Steps...)
	s.take(p.Steps[0])
	at(25*time.Second, "evict-pod", "") // the world shows it
	s.facts.Roles[0].TrustPolicy = before
	at(30*time.Second, "put-trust-statement", "") // and somebody took it back

	s = moved(t)
	s.facts.Roles[0].TrustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}`
	prepare = plan.Move{}
	p = at(0, "put-trust-statement", "") // pods are on IRSA
	s.memory = s.memory.Record(start, p.Steps...)
	at(5*time.Second, "put-trust-statement", "")
}
