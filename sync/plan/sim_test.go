package plan_test

import (
	"fmt"
	"math/rand/v2"
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

const (
	account = "123456789012"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
)

var (
	cluster = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	start   = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

func roleARN(name string) identity.RoleARN {
	return identity.RoleARN{Partition: "aws", Account: account, Path: "/", Name: name}
}

func providerARN() string { return cluster.Issuer.ProviderARN("aws", account) }

// sim is a world in memory that takes a plan's steps as the real one would.
type sim struct {
	t      *testing.T
	facts  live.Facts
	state  desired.State
	policy plan.Policy
	memory plan.Memory
	step   func(before *live.Snapshot, s plan.Step) // called after each step
}

func (s *sim) snapshot() *live.Snapshot {
	s.t.Helper()
	f := s.facts
	f.Roles, f.ServiceAccounts, f.Associations = slices.Clone(f.Roles), slices.Clone(f.ServiceAccounts), slices.Clone(f.Associations)
	snap, err := live.New(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return snap
}

// round plans one round, takes its steps, and returns the plan.
func (s *sim) round() plan.Plan {
	s.t.Helper()
	snap := s.snapshot()
	var p plan.Plan
	p, s.memory = plan.Repair(plan.Input{Revision: s.state.Revision, Result: diff.Compare(s.state, snap, s.policy.Diff),
		Snapshot: snap, Policy: s.policy, Memory: s.memory})
	for _, step := range p.Steps {
		for _, g := range step.Guards {
			if err := g.Check(s.snapshot()); err != nil && !slices.ContainsFunc(p.Steps, func(o plan.Step) bool { return o.Subject != step.Subject && touchesSameRole(o, step) }) {
				s.t.Fatalf("step %v: guard %s does not hold on the world it was planned for: %v", step.Action, g.Kind(), err)
			}
		}
		before := s.snapshot()
		s.take(step)
		if s.step != nil {
			s.step(before, step)
		}
		s.memory = s.memory.Record(s.facts.TakenAt, step)
	}
	return p
}

func touchesSameRole(a, b plan.Step) bool { return roleOf(a) != "" && roleOf(a) == roleOf(b) }

func roleOf(s plan.Step) string {
	switch a := s.Action.(type) {
	case plan.PutTrustStatement:
		return a.Role.String()
	case plan.DropTrustStatement:
		return a.Role.String()
	case plan.RevokeTrust:
		return a.Role.String()
	case plan.SetAnnotation, plan.DropAnnotation, plan.CreateAssociation, plan.UpdateAssociation, plan.DeleteAssociation,
		plan.EvictPod, plan.RestartWorkload, plan.PauseRollout, plan.ResumeRollout:
	}
	return ""
}

func (s *sim) take(step plan.Step) {
	s.t.Helper()
	sub := step.Subject
	switch a := step.Action.(type) {
	case plan.PutTrustStatement:
		s.edit(a.Role, func(d *trust.Document) (trust.Edit, error) { return d.Add(a.Grant, a.Quota) })
	case plan.DropTrustStatement:
		s.edit(a.Role, func(d *trust.Document) (trust.Edit, error) { return d.RemoveSid(a.Sid) })
	case plan.SetAnnotation:
		s.annotate(sub, a.Key, a.Value)
	case plan.DropAnnotation:
		s.annotate(sub, a.Key, "")
	case plan.CreateAssociation:
		s.facts.Associations = append(slices.Clone(s.facts.Associations), live.Association{Namespace: sub.Namespace, ServiceAccount: sub.ServiceAccount,
			ID: "a-" + sub.ServiceAccount, Described: true, Role: a.Role, TargetRole: a.TargetRole, SessionTagsOff: a.SessionTagsOff, SessionPolicy: a.SessionPolicy,
			Tags: a.Tags, CreatedAt: s.facts.TakenAt, ModifiedAt: s.facts.TakenAt})
	case plan.UpdateAssociation:
		s.associate(sub, func(x *live.Association) {
			if !a.Role.IsZero() {
				x.Role = a.Role
			}
			if !a.TargetRole.IsZero() {
				x.TargetRole = a.TargetRole
			}
			if a.SessionTagsOff != nil {
				x.SessionTagsOff = *a.SessionTagsOff
			}
			if a.SessionPolicy != "" {
				x.SessionPolicy = a.SessionPolicy
			}
			x.ModifiedAt = s.facts.TakenAt
		})
	case plan.DeleteAssociation:
		s.facts.Associations = slices.DeleteFunc(slices.Clone(s.facts.Associations), func(x live.Association) bool { return x.Subject() == sub })
	case plan.RevokeTrust:
		s.edit(a.Role, func(d *trust.Document) (trust.Edit, error) { return d.Remove(a.Request) })
	case plan.EvictPod, plan.RestartWorkload, plan.PauseRollout, plan.ResumeRollout:
		s.t.Errorf("repair never moves pods, and plans: %s", a)
	}
}

func (s *sim) edit(role identity.RoleARN, edit func(*trust.Document) (trust.Edit, error)) {
	s.t.Helper()
	for i, r := range s.facts.Roles {
		if r.ARN != role {
			continue
		}
		doc, err := trust.Parse(r.TrustPolicy)
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := edit(doc)
		if err != nil {
			s.t.Fatalf("planned edit of %s: %v", role, err)
		}
		s.facts.Roles = slices.Clone(s.facts.Roles)
		s.facts.Roles[i].TrustPolicy = e.Document.Text()
		return
	}
	s.t.Fatalf("a step edits role %s, which is not there", role)
}

func (s *sim) annotate(sub identity.Subject, key, value string) {
	s.facts.ServiceAccounts = slices.Clone(s.facts.ServiceAccounts)
	for i := range s.facts.ServiceAccounts {
		a := &s.facts.ServiceAccounts[i]
		if a.Subject() != sub {
			continue
		}
		annotations := map[string]string{}
		for k, v := range a.Annotations {
			annotations[k] = v
		}
		a.Managers = slices.DeleteFunc(slices.Clone(a.Managers), func(m live.FieldManager) bool { return m.Annotation == key })
		if value == "" {
			delete(annotations, key)
		} else {
			annotations[key] = value
			a.Managers = append(a.Managers, live.FieldManager{Annotation: key, Manager: diff.FieldManager, Operation: "Apply", Time: s.facts.TakenAt})
		}
		a.Annotations = annotations
	}
}

func (s *sim) associate(sub identity.Subject, change func(*live.Association)) {
	s.facts.Associations = slices.Clone(s.facts.Associations)
	for i := range s.facts.Associations {
		if s.facts.Associations[i].Subject() == sub {
			change(&s.facts.Associations[i])
		}
	}
}

// rest makes rounds until nothing is planned and nothing is waited for, checking each.
func (s *sim) rest(check func(before live.Facts, p plan.Plan)) {
	s.t.Helper()
	for range 200 {
		before := s.facts
		p := s.round()
		check(before, p)
		wait, waits := time.Duration(0), false
		for _, h := range p.Holds {
			if h.Waits() && (!waits || h.NotBefore.Sub(s.facts.TakenAt) < wait) {
				wait, waits = h.NotBefore.Sub(s.facts.TakenAt), true
			}
		}
		if len(p.Steps) == 0 && !waits {
			return
		}
		s.facts.TakenAt = s.facts.TakenAt.Add(max(wait, 5*time.Second))
	}
	s.t.Fatal("200 rounds did not reach rest")
}

// generated makes a world of a few subjects in any state, from a seed.
func generated(t *testing.T, seed uint64) *sim {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), sim: &sim{t: t}}
	s := g.sim
	s.policy = plan.DefaultPolicy()
	s.policy.Prune = pick(g, desired.PruneNever, desired.PruneOwned, desired.PruneOwned)
	s.policy.Accept = pick(g, "", strings.Repeat("ab", 20))
	s.policy.RemovalsPerHour = pick(g, 0, 1, 5)
	s.policy.ChangesPerRound = pick(g, 1, 20)
	s.state.Revision = desired.Revision{Ref: "main", Commit: strings.Repeat("ab", 20)}
	s.facts = live.Facts{TakenAt: start, Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: issuer, APIServerIssuer: issuer},
		Accounts: []live.Account{{ID: account, TrustSizeQuota: pick(g, 2048, 1000, 4096)}}}
	if g.chance(95) {
		s.facts.Providers = []live.OIDCProvider{{ARN: providerARN(), Account: account, ClientIDs: []string{"sts.amazonaws.com", "example.com"}, Described: true}}
	}
	var subjects []identity.Subject
	for i := range 1 + g.IntN(5) {
		subjects = append(subjects, identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%d", i)})
	}
	for _, sub := range subjects {
		g.subject(sub)
	}
	for _, name := range []string{"one", "two", "three"} {
		g.role(name, subjects)
	}
	if g.chance(10) {
		s.facts.Gaps = append(s.facts.Gaps, live.Gap{Source: pick(g, live.SourcePods, live.SourceListAssociations, live.SourceServiceAccounts, live.SourceListProviders), Reason: live.GapRefused})
	}
	return s
}

type generator struct {
	*rand.Rand
	sim *sim
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) subject(sub identity.Subject) {
	s := g.sim
	role := roleARN(pick(g, "one", "two", "three"))
	m := desired.Mapping{Subject: sub, Name: sub.ServiceAccount, Role: role, Mechanism: pick(g, identity.IRSA, identity.PodIdentity, identity.Auto),
		Adopt: desired.Adopt{Annotation: g.chance(50), Trust: g.chance(60), Association: g.chance(50)}, At: desired.Position{File: "f.yaml", Line: 1, Column: 1}}
	m.PodIdentity = desired.PodIdentity{SessionTags: g.chance(80), Trust: identity.Width(g.IntN(4))}
	if !m.PodIdentity.SessionTags {
		m.PodIdentity.Trust = pick(g, identity.WidthAccount, identity.WidthBare)
	}
	if g.chance(20) {
		m.IRSA.Audience = "example.com"
	}
	if g.chance(15) {
		m.IRSA.TokenExpiration = time.Hour
	}
	if g.chance(60) {
		s.state.Mappings = append(s.state.Mappings, m)
	}
	annotated := roleARN(pick(g, role.Name, role.Name, "one", "gone")).String()
	if g.chance(92) {
		a := live.ServiceAccount{Namespace: sub.Namespace, Name: sub.ServiceAccount, UID: "uid-" + sub.ServiceAccount, Annotations: map[string]string{}}
		if g.chance(60) {
			a.Annotations[diff.AnnotationRole] = annotated
			a.Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: pick(g, "lanyard", "helm")}}
		}
		if g.chance(15) {
			a.Annotations[diff.AnnotationAudience] = pick(g, "example.com", "sts.amazonaws.com")
		}
		s.facts.ServiceAccounts = append(s.facts.ServiceAccounts, a)
	}
	associated := g.chance(50)
	if associated {
		x := live.Association{Namespace: sub.Namespace, ServiceAccount: sub.ServiceAccount, ID: "a-0" + sub.ServiceAccount, Described: g.chance(97),
			Role: roleARN(pick(g, role.Name, role.Name, "one")), SessionTagsOff: g.chance(20), CreatedAt: start.Add(-time.Hour), ModifiedAt: start.Add(-time.Duration(g.IntN(10)) * time.Hour)}
		if g.chance(60) {
			x.Tags = map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: m.Key()}
		}
		if g.chance(5) {
			x.OwnerARN = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"
		}
		s.facts.Associations = append(s.facts.Associations, x)
	}
	for i := range g.IntN(3) {
		c := live.Container{Name: "app", Credential: live.CredentialNone}
		switch {
		case g.chance(20):
		case associated:
			c.Credential = live.CredentialPodIdentity
		case g.chance(15):
			c.Credential = live.CredentialPodIdentity
		default:
			c = live.Container{Name: "app", Credential: live.CredentialIRSA, Role: annotated, Audience: pick(g, "sts.amazonaws.com", "sts.amazonaws.com", "example.com")}
		}
		s.facts.Pods = append(s.facts.Pods, live.Pod{Namespace: sub.Namespace, Name: fmt.Sprintf("%s-%d", sub.ServiceAccount, i), ServiceAccount: sub.ServiceAccount,
			CreatedAt: start.Add(-time.Hour), Phase: "Running", Containers: []live.Container{c}})
	}
}

func (g *generator) role(name string, subjects []identity.Subject) {
	r := live.Role{ARN: roleARN(name), Presence: live.Present}
	var statements []string
	for _, sub := range subjects {
		for _, mechanism := range []identity.Mechanism{identity.IRSA, identity.PodIdentity} {
			if g.chance(35) {
				grant := trust.Grant{Mechanism: mechanism, Subject: sub, Cluster: cluster, Provider: providerARN(), Audiences: []string{"sts.amazonaws.com"}, SessionTags: true}
				if mechanism == identity.PodIdentity {
					grant.Width = identity.Width(g.IntN(4))
				} else if g.chance(30) {
					grant.Audiences = append(grant.Audiences, "example.com")
				}
				st := string(grant.Statement())
				if g.chance(40) { // made by hand: the same without the Sid
					st = strings.Replace(st, `"Sid":"`+grant.Sid()+`",`, "", 1)
				}
				statements = append(statements, st)
			}
		}
	}
	if g.chance(20) {
		statements = append(statements, `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
	}
	if g.chance(5) {
		statements = append(statements, `{"Sid":"Guard","Effect":"Deny","Principal":"*","Action":"sts:TagSession"}`)
	}
	if len(statements) == 0 || g.chance(30) {
		statements = append(statements, `{ "Effect" : "Allow", "Principal" : {"AWS":"arn:aws:iam::123456789012:root"}, "Action":"sts:AssumeRole" }`)
	}
	r.TrustPolicy = `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",\n") + `]}`
	switch {
	case g.chance(3):
		r.TrustPolicy = "{"
	case g.chance(3):
		r = live.Role{ARN: r.ARN, Presence: live.Absent}
	case g.chance(3):
		return // never looked at: unknown
	}
	g.sim.facts.Roles = append(g.sim.facts.Roles, r)
}
