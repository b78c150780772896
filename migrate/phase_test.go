package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestPhaseIsTotal: every combination of the facts has one phase, and what the phase
// means is true of the facts, as design.md section 6 has its rules.
func TestPhaseIsTotal(t *testing.T) {
	t.Parallel()
	mechanisms := []identity.Mechanism{identity.IRSA, identity.PodIdentity}
	seen := map[migrate.Phase]int{}
	for bits := range 1 << 9 {
		is := func(n int) bool { return bits&(1<<n) != 0 }
		index := map[bool]int{true: 1}
		s := migrate.Standing{RolledBack: is(0), Foreign: is(1), Trusted: is(2), Ready: is(3), Moving: is(4), OldWired: is(5), Proven: is(6),
			Wanted: mechanisms[index[is(7)]], Armed: mechanisms[index[is(8)]]}
		p := s.Phase()
		seen[p]++
		armed := s.Armed == s.Wanted
		want := map[migrate.Phase]bool{
			migrate.PhaseRolledBack: s.RolledBack,
			migrate.PhasePending:    !s.RolledBack && (s.Foreign || !armed && !(s.Trusted && s.Ready)),
			migrate.PhaseWidened:    !s.RolledBack && !s.Foreign && !armed && s.Trusted && s.Ready,
			migrate.PhaseCrossing:   !s.RolledBack && !s.Foreign && armed && (!s.Trusted || s.Moving),
			migrate.PhaseSoaking:    !s.RolledBack && !s.Foreign && armed && s.Trusted && !s.Moving && s.OldWired && !s.Proven,
			migrate.PhaseNarrowing:  !s.RolledBack && !s.Foreign && armed && s.Trusted && !s.Moving && s.OldWired && s.Proven,
			migrate.PhaseSettled:    !s.RolledBack && !s.Foreign && armed && s.Trusted && !s.Moving && !s.OldWired,
		}
		for phase, holds := range want {
			if holds != (phase == p) {
				t.Fatalf("%+v is %s, and the rules of %s hold: %t", s, p, phase, holds)
			}
		}
	}
	for _, p := range migrate.Phases() {
		if seen[p] == 0 {
			t.Errorf("no combination is %s", p)
		}
	}
}

// stand judges the world's mapping and returns where it stands, and its way.
func stand(t *testing.T, w *world, e migrate.Evidence) (migrate.Standing, []migrate.Reason, []migrate.Leg) {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	a := migrate.NewAssessor(snap, w.o)
	m := a.Resolve(w.m)
	r := diff.Compare(desired.State{Mappings: []desired.Mapping{m}}, snap, diff.Options{})
	s, holds, ok := a.Stand(&r.Judged[0], w.m, e)
	if !ok {
		t.Fatalf("nothing can be said of %s: %v", m.Subject, r.Judged[0].Unknown)
	}
	return s, append(holds, a.Waits(&r.Judged[0], s)...), a.Route(&r.Judged[0], s)
}

// heldBy are the codes of holds, and steps the planes that are still to be written.
func heldBy(holds []migrate.Reason) string {
	var out []string
	for _, h := range holds {
		out = append(out, string(h.Code))
	}
	return strings.Join(out, " ")
}

func steps(legs []migrate.Leg) string {
	var out []string
	for _, l := range legs {
		out = append(out, l.Phase.String()+":"+string(l.Plane))
	}
	return strings.Join(out, " ")
}

// podOn puts the pod onto a mechanism.
func podOn(w *world, c live.Credential, age time.Duration) {
	w.pod().Containers = []live.Container{{Name: "api", Credential: c, Role: map[live.Credential]string{live.CredentialIRSA: role}[c]}}
	w.pod().CreatedAt, w.pod().Ready, w.pod().Phase = now.Add(-age), true, "Running"
}

// TestTheWay walks a workload to Pod Identity and back, by facts alone.
func TestTheWay(t *testing.T) {
	t.Parallel()
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	own := string(trust.Grant{Mechanism: identity.PodIdentity, Subject: subject, Cluster: cluster, SessionTags: true}.Statement())
	podTrust := func(subject string) string { return strings.TrimSuffix(irsaTrust(subject), "]}") + "," + own + "]}" }
	onlyPods := `{"Version":"2012-10-17","Statement":[` + own + "]}"
	w := eligible()
	w.m.Mechanism = identity.PodIdentity
	w.m.Adopt = desired.Adopt{Annotation: true, Trust: true, Association: true}
	w.m.Migration.Proof, w.m.Migration.Cleanup, w.m.Migration.Soak = desired.ProofDeclared, desired.CleanupFull, 30*time.Minute
	podOn(w, live.CredentialIRSA, time.Hour)
	roleOf := func() *live.Role {
		for i := range w.f.Roles {
			if w.f.Roles[i].ARN.String() == role {
				return &w.f.Roles[i]
			}
		}
		t.Fatal("no role")
		return nil
	}
	settled := func(is bool) migrate.Evidence {
		return migrate.Evidence{Settled: func(identity.Subject) bool { return is }}
	}
	for _, step := range []struct {
		name   string
		change func()
		e      migrate.Evidence
		phase  migrate.Phase
		holds  string
		left   string
	}{
		{"Git asks for Pod Identity", func() { roleOf().TrustPolicy = irsaTrust("system:serviceaccount:demo:api") }, migrate.Evidence{}, migrate.PhasePending, "",
			"pending:trust widened:association crossing:pods narrowing:service-account narrowing:trust"},
		{"the trust has just been widened", func() { roleOf().TrustPolicy = podTrust("system:serviceaccount:demo:api") }, settled(false), migrate.PhasePending, "",
			"widened:association crossing:pods narrowing:service-account narrowing:trust"},
		{"and has settled", func() {}, settled(true), migrate.PhaseWidened, "", "widened:association crossing:pods narrowing:service-account narrowing:trust"},
		{"the association is there", func() {
			a := association(w)
			a.CreatedAt = now.Add(-10 * time.Minute)
			w.f.Associations = append(w.f.Associations, a)
		}, migrate.Evidence{}, migrate.PhaseCrossing, "", "crossing:pods narrowing:service-account narrowing:trust"},
		{"and somebody takes the trust away", func() { roleOf().TrustPolicy = irsaTrust("system:serviceaccount:demo:api") }, migrate.Evidence{}, migrate.PhaseCrossing, "",
			"crossing:trust crossing:pods narrowing:service-account narrowing:trust"},
		{"a rollout is under way", func() {
			roleOf().TrustPolicy = podTrust("system:serviceaccount:demo:api")
			podOn(w, live.CredentialPodIdentity, 5*time.Minute)
			w.workload().Rolling = true
		}, migrate.Evidence{}, migrate.PhaseCrossing, "", "crossing:pods narrowing:service-account narrowing:trust"},
		{"all pods are new", func() { w.workload().Rolling = false }, migrate.Evidence{}, migrate.PhaseSoaking, "", "narrowing:service-account narrowing:trust"},
		{"and an owner has not run", func() {
			podOn(w, live.CredentialPodIdentity, time.Hour)
			w.f.Associations[len(w.f.Associations)-1].CreatedAt = now.Add(-time.Hour)
			w.pod().Ready = false
		}, migrate.Evidence{}, migrate.PhaseSoaking, "no-run-yet", "narrowing:service-account narrowing:trust"},
		{"and the association names another role", func() {
			w.pod().Ready = true
			w.f.Associations[len(w.f.Associations)-1].Role = arn(role + "-debug")
		}, migrate.Evidence{}, migrate.PhaseCrossing, "", "crossing:association narrowing:service-account narrowing:trust"},
		{"and nothing proves it", func() {
			w.f.Associations[len(w.f.Associations)-1].Role = arn(role)
			w.m.Migration.Proof = desired.ProofCloudTrail
		}, migrate.Evidence{}, migrate.PhaseSoaking, "no-proof", "narrowing:service-account narrowing:trust"},
		{"and something does", func() {}, migrate.Evidence{Proven: func(identity.Subject) bool { return true }}, migrate.PhaseNarrowing, "", "narrowing:service-account narrowing:trust"},
		{"the annotation has gone", func() { delete(w.f.ServiceAccounts[0].Annotations, diff.AnnotationRole) }, migrate.Evidence{Proven: func(identity.Subject) bool { return true }}, migrate.PhaseNarrowing, "", "narrowing:trust"},
		{"and the old trust", func() { roleOf().TrustPolicy = onlyPods }, migrate.Evidence{}, migrate.PhaseSettled, "", ""},
		{"Git asks for IRSA again", func() { w.m.Mechanism = identity.IRSA }, migrate.Evidence{}, migrate.PhasePending, "",
			"pending:trust pending:service-account widened:association crossing:pods narrowing:trust"},
		{"the other side is ready", func() {
			roleOf().TrustPolicy = podTrust("system:serviceaccount:demo:api")
			w.f.ServiceAccounts[0].Annotations = map[string]string{diff.AnnotationRole: role}
		}, migrate.Evidence{}, migrate.PhaseWidened, "", "widened:association crossing:pods narrowing:trust"},
		{"the association has gone", func() { w.f.Associations = nil }, migrate.Evidence{}, migrate.PhaseCrossing, "", "crossing:pods narrowing:trust"},
		{"a mark of a rollback stands", func() {
			w.f.ServiceAccounts[0].Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: migrate.Digest(w.m), At: []time.Time{now}, Reason: "crash loop"}.String()
		}, migrate.Evidence{}, migrate.PhaseRolledBack, "rolled-back", ""},
		{"the mapping is changed", func() { w.m.Migration.Soak = time.Hour }, migrate.Evidence{}, migrate.PhaseCrossing, "", "crossing:pods narrowing:trust"},
		{"it was rolled back twice in a day", func() {
			w.f.ServiceAccounts[0].Annotations[migrate.RolledBackMark] = migrate.Mark{Digest: "0123456789ab", At: []time.Time{now, now.Add(-23 * time.Hour)}, Reason: "x"}.String()
		}, migrate.Evidence{}, migrate.PhaseRolledBack, "rolled-back", ""},
		{"somebody wrote the mark", func() { w.f.ServiceAccounts[0].Annotations[migrate.RolledBackMark] = "yes" }, migrate.Evidence{}, migrate.PhaseRolledBack, "rolled-back", ""},
	} {
		step.change()
		s, holds, legs := stand(t, w, step.e)
		if got := s.Phase(); got != step.phase || heldBy(holds) != step.holds || steps(legs) != step.left {
			t.Errorf("%s: %s, holds %q, left %q; want %s, %q, %q\n%+v", step.name, got, heldBy(holds), steps(legs), step.phase, step.holds, step.left, s)
		}
		for _, l := range legs {
			if l.Do == "" || l.Object == "" || l.Undo == "" || l.Before == l.After || l.Calls == 0 {
				t.Errorf("%s: a step that does not say all: %+v", step.name, l)
			}
		}
	}
}

// TestForeignAssociation: rule 2. One of others that is what Git asks for counts.
func TestForeignAssociation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(a *live.Association)
		phase  migrate.Phase
		holds  string
	}{
		{func(*live.Association) {}, migrate.PhaseCrossing, ""},
		{func(a *live.Association) { a.Role = arn(role + "-other") }, migrate.PhasePending, "owner-must-act"},
		{func(a *live.Association) { a.SessionTagsOff = true }, migrate.PhasePending, "owner-must-act"},
	} {
		w := eligible()
		w.m.Mechanism = identity.PodIdentity
		podOn(w, live.CredentialIRSA, time.Hour)
		a := association(w)
		test.change(&a)
		w.f.Associations = append(w.f.Associations, a)
		if s, holds, legs := stand(t, w, migrate.Evidence{}); s.Phase() != test.phase || heldBy(holds) != test.holds || s.Foreign != (len(legs) == 0) {
			t.Errorf("%s, holds %q, %d steps; want %s, %q", s.Phase(), heldBy(holds), len(legs), test.phase, test.holds)
		}
	}
}

// TestResolve: auto means Pod Identity where there is an association, whatever the
// verdict, or where the verdict is eligible; else IRSA.
func TestResolve(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(w *world)
		want   identity.Mechanism
	}{
		{"eligible", func(*world) {}, identity.PodIdentity},
		{"not eligible", func(w *world) { w.pod().Fargate = true }, identity.IRSA},
		{"not eligible any more", func(w *world) {
			w.pod().Fargate = true
			w.f.Associations = append(w.f.Associations, association(w))
		}, identity.PodIdentity},
		{"associations unread", func(w *world) {
			w.f.Gaps = append(w.f.Gaps, live.Gap{Source: live.SourceListAssociations, Reason: live.GapFailed, Message: "refused"})
		}, identity.Auto},
		{"as written", func(w *world) { w.m.Mechanism = identity.IRSA }, identity.IRSA},
	} {
		w := eligible()
		w.m.Mechanism = identity.Auto
		test.change(w)
		snap, err := live.New(w.f)
		if err != nil {
			t.Fatal(err)
		}
		if got := migrate.NewAssessor(snap, w.o).Resolve(w.m).Mechanism; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestMark: a mark reads back as it was written, and what is none is refused.
func TestMark(t *testing.T) {
	t.Parallel()
	for _, m := range []migrate.Mark{
		{Digest: "0123456789ab", At: []time.Time{now}, Reason: "pods of Deployment demo/api were not ready"},
		{Digest: "0123456789ab", At: []time.Time{now, now.Add(-time.Hour)}},
	} {
		got, err := migrate.ParseMark(m.String())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
			t.Errorf("%q reads as %+v (%v), want %+v", m, got, err, m)
		}
	}
	for _, text := range []string{"", "x", "0123456789ab", "0123456789ab now", "0123456789abcd 2026-11-23T09:00:00Z", "0123456789ab 2026-11-23T09:00:00Z,2026-11-23T09:00:00Z,2026-11-23T09:00:00Z"} {
		if m, err := migrate.ParseMark(text); err == nil {
			t.Errorf("%q reads as %+v, want an error", text, m)
		}
	}
}

// TestDigest: every setting of the spec counts, and its place in Git does not.
func TestDigest(t *testing.T) {
	t.Parallel()
	base := eligible().m
	was := migrate.Digest(base)
	moved := base
	moved.At.Line, moved.RoleAt.File = 9, "elsewhere.yaml"
	if migrate.Digest(moved) != was {
		t.Error("a mapping that was moved in Git has another digest")
	}
	for name, change := range map[string]func(m *desired.Mapping){
		"role":         func(m *desired.Mapping) { m.Role.Name += "x" },
		"mechanism":    func(m *desired.Mapping) { m.Mechanism = identity.IRSA },
		"audience":     func(m *desired.Mapping) { m.IRSA.Audience = "x" },
		"regional":     func(m *desired.Mapping) { m.IRSA.STSRegionalEndpoints = new(true) },
		"session tags": func(m *desired.Mapping) { m.PodIdentity.SessionTags = !m.PodIdentity.SessionTags },
		"target":       func(m *desired.Mapping) { m.PodIdentity.TargetRole = m.Role },
		"soak":         func(m *desired.Mapping) { m.Migration.Soak += time.Second },
		"adopt":        func(m *desired.Mapping) { m.Adopt.Trust = !m.Adopt.Trust },
		"window": func(m *desired.Mapping) {
			windows, err := desired.ParseWindows("Mon-Fri 09:00-16:00 UTC")
			if err != nil {
				t.Fatal(err)
			}
			m.Migration.Windows = windows
		},
	} {
		m := base
		if change(&m); migrate.Digest(m) == was {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

// TestForeignLeftovers: what others made of the old side, and the mapping does not adopt,
// is not taken away, so nothing waits for it.
func TestForeignLeftovers(t *testing.T) {
	t.Parallel()
	for adopt, want := range map[desired.Adopt]string{
		{}:                              "settled",
		{Trust: true}:                   "settled", // who reads the annotation lives on the trust
		{Annotation: true}:              "soaking narrowing:service-account",
		{Annotation: true, Trust: true}: "soaking narrowing:service-account narrowing:trust",
	} {
		w := eligible()
		w.m.Mechanism, w.m.Adopt = identity.PodIdentity, adopt
		w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
		w.role().TrustPolicy = strings.TrimSuffix(irsaTrust(subject.OIDCSubject()), "]}") + `,{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
		podOn(w, live.CredentialPodIdentity, time.Hour)
		w.f.Associations = append(w.f.Associations, association(w))
		s, _, legs := stand(t, w, migrate.Evidence{})
		if got := strings.TrimSpace(s.Phase().String() + " " + steps(legs)); got != want {
			t.Errorf("adopt %+v: %q, want %q", adopt, got, want)
		}
	}
}

// TestOwnLeftovers: without adopt, lanyard's own old statement goes, and what others wrote
// beside it stays as it is.
func TestOwnLeftovers(t *testing.T) {
	t.Parallel()
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	own := string(trust.Grant{Mechanism: identity.IRSA, Subject: subject, Cluster: cluster,
		Provider: "arn:aws:iam::" + account + ":oidc-provider/" + host, Audiences: []string{"sts.amazonaws.com"}}.Statement())
	foreign := strings.TrimSuffix(irsaTrust(subject.OIDCSubject()), "]}")
	const pods = `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`
	w := eligible()
	w.m.Mechanism, w.m.Adopt = identity.PodIdentity, desired.Adopt{}
	w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
	w.role().TrustPolicy = foreign + "," + own + "," + pods + "]}"
	podOn(w, live.CredentialPodIdentity, time.Hour)
	w.f.Associations = append(w.f.Associations, association(w))
	_, _, legs := stand(t, w, migrate.Evidence{})
	want := foreign + "," + pods + "]}"
	if steps(legs) != "narrowing:trust" || legs[0].After != want {
		t.Fatalf("steps %q, after them\n%+v\nwant the policy\n%s", steps(legs), legs, want)
	}
}

// TestOwnersUnread: where the owners were not read, none of them counts as having run.
func TestOwnersUnread(t *testing.T) {
	t.Parallel()
	w := eligible()
	w.m.Mechanism, w.m.Adopt, w.m.Migration.Proof = identity.PodIdentity, desired.Adopt{Annotation: true, Trust: true}, desired.ProofDeclared
	podOn(w, live.CredentialPodIdentity, time.Hour)
	w.role().TrustPolicy = strings.TrimSuffix(irsaTrust(subject.OIDCSubject()), "]}") + `,{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	w.f.Associations = append(w.f.Associations, association(w))
	if s, holds, _ := stand(t, w, migrate.Evidence{}); s.Phase() != migrate.PhaseNarrowing {
		t.Fatalf("%s, holds %q; want narrowing", s.Phase(), heldBy(holds))
	}
	w.f.Workloads = nil
	w.gap(live.SourceWorkloads, "")
	if s, holds, _ := stand(t, w, migrate.Evidence{}); s.Phase() != migrate.PhaseSoaking || heldBy(holds) != "no-run-yet" {
		t.Errorf("%s, holds %q; want soaking, no-run-yet", s.Phase(), heldBy(holds))
	}
}

// movedWorld is the eligible world once it has moved: the association stands, the pod
// has it, and both sides are trusted.
func movedWorld() *world {
	w := eligible()
	w.m.Mechanism, w.m.Adopt = identity.PodIdentity, desired.Adopt{Annotation: true, Trust: true, Association: true}
	w.m.Migration.Proof = desired.ProofDeclared
	podOn(w, live.CredentialPodIdentity, time.Hour)
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	own := trust.Grant{Mechanism: identity.PodIdentity, Subject: subject, Cluster: cluster, SessionTags: true}.Statement()
	w.role().TrustPolicy = strings.TrimSuffix(irsaTrust(subject.OIDCSubject()), "]}") + "," + string(own) + "]}"
	w.f.Associations = append(w.f.Associations, association(w))
	return w
}

// TestCompletedRun: a CronJob has run once a pod of it on the wanted side succeeded,
// though nothing of it runs now; a run on the other side, or one that failed, is none.
func TestCompletedRun(t *testing.T) {
	t.Parallel()
	run := live.Pod{Namespace: "demo", Name: "nightly-1", ServiceAccount: "api", Owner: live.WorkloadRef{Kind: "CronJob", Name: "nightly"}, CreatedAt: now.Add(-2 * time.Hour),
		Phase: "Succeeded", Containers: []live.Container{{Name: "nightly", Credential: live.CredentialPodIdentity}}}
	for name, test := range map[string]struct {
		change func(p *live.Pod)
		holds  string
	}{
		"succeeded": {func(*live.Pod) {}, ""},
		"failed":    {func(p *live.Pod) { p.Phase = "Failed" }, "no-run-yet"},
		"on IRSA":   {func(p *live.Pod) { p.Containers[0].Credential = live.CredentialIRSA }, "no-run-yet"},
		"another's": {func(p *live.Pod) { p.Owner.Name = "weekly" }, "no-run-yet"},
	} {
		w := movedWorld()
		job(w)
		p := run
		p.Containers = slices.Clone(run.Containers)
		test.change(&p)
		w.f.Pods = append(w.f.Pods, p)
		if s, holds, _ := stand(t, w, migrate.Evidence{}); heldBy(holds) != test.holds || (s.Phase() == migrate.PhaseNarrowing) != (test.holds == "") {
			t.Errorf("%s: %s, holds %q; want %q", name, s.Phase(), heldBy(holds), test.holds)
		}
	}
}

// TestHandoffs: what is others' to write, and stands in the way, is written out for them.
func TestHandoffs(t *testing.T) {
	t.Parallel()
	back := func(w *world) { w.m.Mechanism = identity.IRSA }
	onlyPods := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	for _, test := range []struct {
		name   string
		change func(w *world)
		phase  migrate.Phase
		holds  string
		fix    string
	}{
		{"the way back is ready", back, migrate.PhaseWidened, "", ""},
		{"no provider", func(w *world) { back(w); w.f.Providers = nil }, migrate.PhasePending, "owner-must-act", "aws iam create-open-id-connect-provider --url " + issuer + " --client-id-list sts.amazonaws.com"},
		{"no audience", func(w *world) { back(w); w.f.Providers[0].ClientIDs = []string{"x"} }, migrate.PhasePending, "owner-must-act", "add-client-id-to-open-id-connect-provider"},
		{"an annotation of the chart", func(w *world) {
			back(w)
			w.m.Adopt.Annotation = false
			w.sa().Annotations[diff.AnnotationRole], w.sa().Managers = role+"-old", []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "helm"}}
		}, migrate.PhasePending, "owner-must-act", diff.AnnotationRole + ": " + role},
		{"a setting of the chart", func(w *world) {
			back(w)
			w.m.Adopt.Annotation, w.m.IRSA.TokenExpiration = false, time.Hour
			w.sa().Annotations[diff.AnnotationExpiration], w.sa().Managers = "86400", []live.FieldManager{{Annotation: diff.AnnotationExpiration, Manager: "helm"}}
		}, migrate.PhasePending, "owner-must-act", diff.AnnotationExpiration + ": 3600"},
		{"trust that is not adopted", func(w *world) { back(w); w.m.Adopt.Trust, w.role().TrustPolicy = false, onlyPods }, migrate.PhasePending, "owner-must-act", "sts:AssumeRoleWithWebIdentity"},
		{"trust that was taken away", func(w *world) {
			w.m.Adopt.Trust, w.role().TrustPolicy = false, irsaTrust(subject.OIDCSubject())
		}, migrate.PhaseCrossing, "owner-must-act", `"Service":"pods.eks.amazonaws.com"`},
		{"trust that lanyard restores", func(w *world) { w.role().TrustPolicy = irsaTrust(subject.OIDCSubject()) }, migrate.PhaseCrossing, "", ""},
	} {
		w := movedWorld()
		test.change(w)
		s, holds, legs := stand(t, w, migrate.Evidence{})
		if s.Phase() != test.phase || heldBy(holds) != test.holds || test.fix != "" && !strings.Contains(holds[0].Fix, test.fix) || len(legs) == 0 {
			t.Errorf("%s: %s, %+v, %d steps; want %s, %q with %q", test.name, s.Phase(), holds, len(legs), test.phase, test.holds, test.fix)
		}
	}
}

// TestSettingsComeBefore: on the way back a setting of the ServiceAccount that is not as
// Git asks is written first, and the association goes after.
func TestSettingsComeBefore(t *testing.T) {
	t.Parallel()
	w := movedWorld()
	w.m.Mechanism, w.m.IRSA.Audience, w.m.IRSA.TokenExpiration = identity.IRSA, "sts.amazonaws.com", time.Hour
	_, _, legs := stand(t, w, migrate.Evidence{})
	if got, want := steps(legs), "pending:service-account widened:association crossing:pods narrowing:trust"; got != want || legs[0].After != diff.AnnotationExpiration+": 3600" {
		t.Errorf("%q, first %+v; want %q", got, legs[0], want)
	}
	if last := legs[len(legs)-1]; !strings.Contains(last.Waits, "for 6h0m0s after the association has gone") {
		t.Errorf("the old trust waits %q, want as long as credentials live", last.Waits)
	}
}

// TestNotHitless: a setting that cannot be cleared, and pods that nobody makes again,
// hold; and no step says that they are updated in place, or restarted.
func TestNotHitless(t *testing.T) {
	t.Parallel()
	target := arn("arn:aws:iam::210987654321:role/target")
	for _, test := range []struct {
		name   string
		change func(w *world)
		fact   string
		leg    func(l migrate.Leg) bool // what one of the steps is
	}{
		{"a target that Git does not have", func(w *world) { w.f.Associations[0].TargetRole = target }, "has targetRoleARN",
			func(l migrate.Leg) bool {
				return strings.Contains(l.Do, "cannot clear targetRoleARN") && strings.Contains(l.Before, target.String())
			}},
		{"a policy that Git does not have", func(w *world) {
			w.m.PodIdentity.SessionTags, w.m.PodIdentity.Trust = false, identity.WidthAccount
			w.f.Associations[0].SessionTagsOff, w.f.Associations[0].SessionPolicy = true, `{}`
		}, "has sessionPolicy", func(l migrate.Leg) bool { return strings.Contains(l.Do, "cannot clear sessionPolicy") }},
		{"another target", func(w *world) {
			w.f.Associations[0].TargetRole, w.m.PodIdentity.TargetRole = target, arn(next)
			w.f.Roles = append(w.f.Roles, live.Role{ARN: arn(next), Presence: live.Present, TrustPolicy: chainAllowed})
		}, "",
			func(l migrate.Leg) bool { return strings.Contains(l.Do, "in place") }},
		{"back, with a Job's pod", func(w *world) {
			w.m.Mechanism, w.pod().Owner = identity.IRSA, live.WorkloadRef{Kind: "Job", Name: "once"}
		}, "pod demo/api-1: made by Job once", func(l migrate.Leg) bool {
			return l.Plane == diff.PlanePods && len(l.Restarts) == 0 && strings.Contains(l.Do, "wait until 1 pod")
		}},
		{"back, with a bare pod", func(w *world) { w.m.Mechanism, w.pod().Owner = identity.IRSA, live.WorkloadRef{} }, "pod demo/api-1: made by nobody", nil},
		{"back, with a Deployment's pod", func(w *world) { w.m.Mechanism = identity.IRSA }, "",
			func(l migrate.Leg) bool { return slices.Equal(l.Restarts, []string{"demo/api-1"}) }},
	} {
		w := movedWorld()
		test.change(w)
		_, holds, legs := stand(t, w, migrate.Evidence{})
		if (heldBy(holds) == "not-hitless") != (test.fact != "") || test.fact != "" && !strings.Contains(holds[0].Facts[0].String(), test.fact) {
			t.Errorf("%s: %+v, want a fact %q", test.name, holds, test.fact)
		}
		if test.leg != nil && !slices.ContainsFunc(legs, test.leg) {
			t.Errorf("%s: no such step among %+v", test.name, legs)
		}
	}
}

// TestUpdateLeavesTags: the association that an update leaves has the tags that it had,
// whoever put them there.
func TestUpdateLeavesTags(t *testing.T) {
	t.Parallel()
	w := crossing()
	w.f.Associations[0].Tags = map[string]string{"team": "payments"}
	w.f.Associations[0].SessionTagsOff = true
	_, _, legs := stand(t, w, migrate.Evidence{})
	for _, l := range legs {
		if l.Plane == diff.PlaneAssociation {
			if !strings.Contains(l.Before, `"team":"payments"`) || !strings.Contains(l.After, `"team":"payments"`) {
				t.Errorf("before %s\nafter %s", l.Before, l.After)
			}
			return
		}
	}
	t.Fatalf("no step updates the association: %s", steps(legs))
}
