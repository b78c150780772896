package migrate_test

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// second adds a ServiceAccount that is as the world's own, with a Deployment and a pod of
// its own, and returns its mapping.
func (w *world) second(name string, role identity.RoleARN) desired.Mapping {
	m := w.m
	m.Subject, m.Name, m.Role = identity.Subject{Namespace: "demo", ServiceAccount: name}, name, role
	a, d, p := *w.sa(), *w.workload(), *w.pod()
	a.Name, a.UID, a.Annotations = name, "uid-"+name, map[string]string{diff.AnnotationRole: role.String()}
	d.Name, d.UID, d.ServiceAccount = name, "uid-"+name, name
	p.Name, p.UID, p.ServiceAccount, p.Owner.Name = name+"-1", "uid-"+name, name, name
	w.f.ServiceAccounts, w.f.Workloads, w.f.Pods = append(w.f.ServiceAccounts, a), append(w.f.Workloads, d), append(w.f.Pods, p)
	return m
}

// roundOf plans one round in mode migrate, and returns its plan with the trust policies
// that it leaves, by role name.
func roundOf(t *testing.T, w *world, mappings ...desired.Mapping) (plan.Plan, map[string]string) {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	a := migrate.NewAssessor(snap, migrate.Options{Mappings: mappings})
	r := diff.Compare(desired.State{Mappings: mappings}, snap, diff.Options{})
	moves := map[identity.Subject]plan.Move{}
	for s, n := range a.Next(r.Judged, mappings, onPods()) {
		moves[s] = n.Move
	}
	p, _ := plan.Repair(plan.Input{Result: r, Snapshot: snap, Policy: plan.DefaultPolicy(), Moves: moves})
	left := map[string]string{}
	for _, role := range w.f.Roles {
		left[role.ARN.Name] = role.TrustPolicy
	}
	for _, s := range p.Steps { // as the applier takes them: each guarded by what the one before left
		var role string
		var edit func(*trust.Document) (trust.Edit, error)
		if a, is := s.Action.(plan.PutTrustStatement); is {
			role, edit = a.Role.Name, func(d *trust.Document) (trust.Edit, error) { return d.Add(a.Grant, a.Quota) }
		} else if a, is := s.Action.(plan.RevokeTrust); is {
			role, edit = a.Role.Name, func(d *trust.Document) (trust.Edit, error) { return d.Remove(a.Request) }
		} else {
			continue
		}
		doc, err := trust.Parse(left[role])
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range s.Guards {
			if is, ok := g.(plan.TrustIs); ok && is.Digest != doc.Digest() {
				t.Errorf("%s: its guard does not expect what the step before leaves", s.Action)
			}
		}
		e, err := edit(doc)
		if err != nil {
			t.Fatal(err)
		}
		left[role] = e.Document.Text()
	}
	return p, left
}

func kinds(p plan.Plan) string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, s.Subject.ServiceAccount+":"+s.Action.Kind())
	}
	return strings.Join(all, " ")
}

// elsewhere are statements of one federated principal each that are not this cluster's.
const elsewhere = `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:demo/api:*"}}},` +
	`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OTHER"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/OTHER:sub":"system:serviceaccount:demo:api","oidc.eks.eu-west-1.amazonaws.com/id/OTHER:aud":"sts.amazonaws.com"}}}`

// TestEksctlDefects: each defect that the code of eksctl utils migrate-to-pod-identity
// shows (github.com/eksctl-io/eksctl, pkg/actions/podidentityassociation, read at commit
// 99984adb), with the opposite outcome. One is tested where the work is done: that a
// ServiceAccount which is written to keeps imagePullSecrets, secrets and
// automountServiceAccountToken, by TestForeignSurvives in sync/apply.
func TestEksctlDefects(t *testing.T) {
	t.Parallel()
	batch := identity.Subject{Namespace: "demo", ServiceAccount: "batch"}
	for defect, check := range map[string]func(*testing.T, *world){
		"appends the Pod Identity statement without looking for an existing one": func(t *testing.T, w *world) {
			if p, _ := roundOf(t, w, w.m); kinds(p) != "api:create-association" {
				t.Errorf("steps %q over a policy that has both statements", kinds(p))
			}
		},
		"shared role: parallel unsynchronised read-modify-write": func(t *testing.T, w *world) {
			m := w.second("batch", w.m.Role)
			w.role().TrustPolicy = strings.Replace(irsaTrust(subject.OIDCSubject()), `"`+subject.OIDCSubject()+`"`, `["`+subject.OIDCSubject()+`","`+batch.OIDCSubject()+`"]`, 1)
			p, left := roundOf(t, w, w.m, m)
			if kinds(p) != "api:put-trust-statement batch:put-trust-statement" {
				t.Fatalf("steps %q", kinds(p))
			}
			for _, s := range []identity.Subject{subject, batch} {
				if n := strings.Count(left["api"], `"aws:RequestTag/kubernetes-service-account":"`+s.ServiceAccount+`"`); n != 1 {
					t.Errorf("%d statements for %s in %s", n, s, left["api"])
				}
			}
		},
		"OIDC removal drops every single-principal oidc-provider statement": func(t *testing.T, w *world) {
			*w = *soaked()
			delete(w.sa().Annotations, diff.AnnotationRole)
			w.role().TrustPolicy = strings.TrimSuffix(w.role().TrustPolicy, "]}") + "," + elsewhere + "]}"
			p, left := roundOf(t, w, w.m)
			if kinds(p) != "api:revoke-trust" || !strings.Contains(left["api"], elsewhere) || strings.Contains(left["api"], "EXAMPLE:sub") {
				t.Errorf("steps %q leave %s", kinds(p), left["api"])
			}
		},
		"a role shared by an add-on and a plain ServiceAccount loses the latter's trust": func(t *testing.T, w *world) {
			*w = *soaked()
			delete(w.sa().Annotations, diff.AnnotationRole)
			w.second("batch", w.m.Role) // Git does not name it, and it lives on the same statement
			w.f.Addons = append(w.f.Addons, live.Addon{Name: "aws-ebs-csi-driver", Status: "ACTIVE", Described: true, ServiceAccountRole: w.m.Role.String()})
			w.role().TrustPolicy = strings.Replace(w.role().TrustPolicy, `"system:serviceaccount:demo:api"`, `["system:serviceaccount:demo:api","system:serviceaccount:demo:batch"]`, 1)
			p, left := roundOf(t, w, w.m)
			if !strings.Contains(left["api"], "system:serviceaccount:demo:batch") {
				t.Errorf("steps %q leave %s", kinds(p), left["api"])
			}
		},
		"of two add-ons that share a role only one is looked at": func(t *testing.T, w *world) {
			m := w.second("batch", w.m.Role)
			w.f.Associations = []live.Association{association(w), association(w)}
			for i, name := range []string{"api", "batch"} {
				a := &w.f.Associations[i]
				a.ServiceAccount, a.ID, a.OwnerARN = name, "a-"+name, "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/"+name+"/1"
				w.f.Addons = append(w.f.Addons, live.Addon{Name: name, Status: "ACTIVE", Described: true, ServiceAccountRole: role})
			}
			snap, err := live.New(w.f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []desired.Mapping{w.m, m} {
				v := migrate.NewAssessor(snap, migrate.Options{Mappings: []desired.Mapping{m}}).Assess(m)
				found := false
				for _, r := range v.Reasons {
					found = found || r.Code == migrate.AddonOwned
				}
				if !found {
					t.Errorf("%s: %+v", m.Subject, v.Reasons)
				}
			}
		},
		"OIDC trust and annotation go first, and nothing is restarted": func(t *testing.T, w *world) {
			for _, w := range []*world{widened(), crossing()} {
				for _, s := range func() []plan.Step { p, _ := roundOf(t, w, w.m); return p.Steps }() {
					if s.Effect == plan.Narrow {
						t.Errorf("while pods are on IRSA: %s", s.Action)
					}
				}
			}
			if words, _ := nextOf(t, crossing(), onPods()); words != "crossing +evict-pod" {
				t.Errorf("after the association: %s, want a restart", words)
			}
		},
		"a role ARN with a path aborts the run": func(t *testing.T, w *world) {
			w.m.Role = arn("arn:aws:iam::" + account + ":role/teams/demo/api")
			w.role().ARN, w.sa().Annotations[diff.AnnotationRole] = w.m.Role, w.m.Role.String()
			for i := range w.f.Pods {
				w.f.Pods[i].Containers[0].Role = w.m.Role.String()
			}
			if words, _ := nextOf(t, w, onPods()); words != "widened +create-association" {
				t.Errorf("%s", words)
			}
		},
		"a cross-account ARN is reduced to a name, and a local role of that name edited": func(t *testing.T, w *world) {
			w.m.Role = arn("arn:aws:iam::" + other + ":role/api")
			w.role().TrustPolicy = irsaTrust(subject.OIDCSubject()) // of the local role: not Git's
			w.f.Roles = append(w.f.Roles, live.Role{ARN: w.m.Role, Presence: live.Present, TrustPolicy: irsaTrust(subject.OIDCSubject()), PoliciesRead: true})
			if p, _ := roundOf(t, w, w.m); kinds(p) != "" {
				t.Errorf("steps %q", kinds(p))
			}
		},
		"an array-valued condition aborts the run": func(t *testing.T, w *world) {
			w.role().TrustPolicy = strings.Replace(irsaTrust(subject.OIDCSubject()), `"`+subject.OIDCSubject()+`"`, `["`+subject.OIDCSubject()+`","system:serviceaccount:demo:old"]`, 1)
			p, left := roundOf(t, w, w.m)
			if kinds(p) != "api:put-trust-statement" || !strings.Contains(left["api"], "pods.eks.amazonaws.com") || !strings.Contains(left["api"], "demo:old") {
				t.Errorf("steps %q leave %s", kinds(p), left["api"])
			}
		},
		"all roles of one stack get the same trust": func(t *testing.T, w *world) {
			second := arn("arn:aws:iam::" + account + ":role/batch")
			m := w.second("batch", second)
			w.trusts(identity.IRSA)
			w.f.Roles = append(w.f.Roles, live.Role{ARN: second, Presence: live.Present, TrustPolicy: irsaTrust(batch.OIDCSubject()), PoliciesRead: true, Tags: map[string]string{"aws:cloudformation:stack-name": "iam"}})
			_, left := roundOf(t, w, w.m, m)
			for name, not := range map[string]string{"api": "batch", "batch": "api"} {
				if text := left[name]; !strings.Contains(text, `service-account":"`+name+`"`) || strings.Contains(text, `service-account":"`+not+`"`) {
					t.Errorf("role %s: %s", name, text)
				}
			}
		},
		"a second run fails: the association already exists": func(t *testing.T, _ *world) {
			for _, w := range []*world{crossing(), soaked()} {
				if p, _ := roundOf(t, w, w.m); strings.Contains(kinds(p), "association") {
					t.Errorf("steps %q", kinds(p))
				}
			}
		},
	} {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			check(t, widened())
		})
	}
}
