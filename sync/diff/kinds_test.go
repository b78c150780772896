package diff_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// kindTests has one break for every kind of finding: the world is in sync, is broken,
// and shows the kind; mended again it shows it no more.
func kindTests(t *testing.T) map[diff.Kind][]kindTest {
	const staleIssuer = `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/OLD:sub":"system:serviceaccount:demo:reader","oidc.eks.eu-west-1.amazonaws.com/id/OLD:aud":"sts.amazonaws.com"}}}`
	const onlyAssume = `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}`
	const bare = `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`
	const byOrg = `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceOrgId":"o-a1b2c3d4e5"}}}`
	elsewhere := grant(identity.IRSA)
	elsewhere.Subject.Namespace = "demo2"
	yes := true
	return map[diff.Kind][]kindTest{
		diff.ServiceAccountMissing: {{"gone", onIRSA, func(w *world) { w.facts.ServiceAccounts = nil }}},
		diff.AnnotationMissing:     {{"none", onIRSA, func(w *world) { w.sa().Annotations = nil }}},
		diff.AnnotationMismatch: {
			{"other role", onIRSA, func(w *world) { w.sa().Annotations[diff.AnnotationRole] = other.String() }},
			{"not an ARN", onIRSA, func(w *world) { w.sa().Annotations[diff.AnnotationRole] = "reader" }},
			{"other path", onIRSA, func(w *world) {
				w.sa().Annotations[diff.AnnotationRole] = "arn:aws:iam::123456789012:role/team/reader"
			}},
		},
		diff.AnnotationUnexpected: {{"left from IRSA", onPodIdentity, func(w *world) {
			w.sa().Annotations = map[string]string{diff.AnnotationRole: role.String()}
		}}},
		diff.AnnotationTuning: {
			{"expiration", onIRSA, func(w *world) { w.mapping.IRSA.TokenExpiration = time.Hour }},
			{"regional", onIRSA, func(w *world) { w.mapping.IRSA.STSRegionalEndpoints = &yes }},
			{"audience", onIRSA, func(w *world) { w.mapping.IRSA.Audience = "example.com" }},
		},
		diff.RoleMissing: {{"no such role", onIRSA, func(w *world) { *w.role() = live.Role{ARN: role, Presence: live.Absent} }}},
		diff.TrustSubjectMissing: {
			{"another ServiceAccount", onIRSA, func(w *world) { w.role().TrustPolicy = policy(t, elsewhere) }},
			{"explicit deny", onIRSA, func(w *world) {
				w.role().TrustPolicy = policy(t, grant(identity.IRSA), `{"Effect":"Deny","Principal":"*","Action":"sts:*"}`)
			}},
		},
		diff.TrustIssuerStale:   {{"the cluster before", onIRSA, func(w *world) { w.role().TrustPolicy = policy(t, staleIssuer) }}},
		diff.TrustAudienceWrong: {{"another audience", onIRSA, func(w *world) { w.role().TrustPolicy = policy(t, grant(identity.IRSA, "example.com")) }}},
		diff.TrustTooWide: {
			{"bare instead of pinned", onPodIdentity, func(w *world) { w.role().TrustPolicy = policy(t, bare) }},
			{"an old audience in lanyard's own statement", onIRSA, func(w *world) {
				w.role().TrustPolicy = policy(t, grant(identity.IRSA, "sts.amazonaws.com", "old.example.com"))
			}},
			{"lanyard's statement on the role of before", onIRSA, func(w *world) {
				w.facts.Roles = append(w.facts.Roles, live.Role{ARN: other, Presence: live.Present, TrustPolicy: policy(t, grant(identity.IRSA), bare)})
			}},
		},
		diff.TrustPodIdentityMissing: {{"only IRSA", onPodIdentity, func(w *world) { w.role().TrustPolicy = policy(t, grant(identity.IRSA)) }}},
		diff.TrustTagSessionMissing:  {{"AssumeRole alone", onPodIdentity, func(w *world) { w.role().TrustPolicy = policy(t, onlyAssume) }}},
		diff.TrustUndecidable: {
			{"by organisation", onPodIdentity, func(w *world) { w.role().TrustPolicy = policy(t, byOrg) }},
			{"not a policy", onIRSA, func(w *world) { w.role().TrustPolicy = "{" }},
		},
		diff.OIDCProviderMissing: {{"none", onIRSA, func(w *world) { w.facts.Providers = nil }}},
		diff.OIDCAudienceMissing: {{"another client", onIRSA, func(w *world) { w.facts.Providers[0].ClientIDs = []string{"example.com"} }}},
		diff.AssociationMissing:  {{"deleted", onPodIdentity, func(w *world) { w.facts.Associations = nil }}},
		diff.AssociationRole:     {{"another role", onPodIdentity, func(w *world) { w.association().Role = other }}},
		diff.AssociationSettings: {
			{"session tags", onPodIdentity, func(w *world) { w.association().SessionTagsOff = true }},
			{"target", onPodIdentity, func(w *world) { w.association().TargetRole = other }},
			{"policy", onPodIdentity, func(w *world) { w.association().SessionPolicy = `{"Version":"2012-10-17"}` }},
		},
		diff.AssociationUnexpected: {{"beside IRSA", onIRSA, func(w *world) {
			w.facts.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "reader", ID: "a-1", Described: true, Role: role}}
		}}},
		diff.AssociationForeign: {
			{"not ours and wrong", onPodIdentity, func(w *world) { w.association().Tags, w.association().Role = nil, other }},
			{"an add-on's and wrong", onPodIdentity, func(w *world) {
				w.association().OwnerARN, w.association().Role = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1", other
			}},
		},
		diff.PodsUninjected: {
			{"no variables", onIRSA, func(w *world) { w.pod().Containers[0] = live.Container{Name: "app", Credential: live.CredentialNone} }},
			{"variables without a mount", onIRSA, func(w *world) {
				w.pod().Containers[0] = live.Container{Name: "app", Credential: live.CredentialBroken, Why: "no mount"}
			}},
		},
		diff.PodsWrongMechanism: {
			{"still IRSA", onPodIdentity, func(w *world) { w.pod().Containers[0].Credential = live.CredentialIRSA }},
			{"both", onPodIdentity, func(w *world) { w.pod().Containers[0].Credential = live.CredentialBoth }},
			{"Pod Identity under IRSA", onIRSA, func(w *world) { w.pod().Containers[0].Credential = live.CredentialPodIdentity }},
		},
		diff.PodsWrongRole:    {{"made before the change", onIRSA, func(w *world) { w.pod().Containers[0].Role = other.String() }}},
		diff.PodsStaticKeys:   {{"keys", onIRSA, func(w *world) { w.pod().Containers[0].Credential = live.CredentialStatic }}},
		diff.PodsAgentMissing: {{"agent down", onPodIdentity, func(w *world) { w.facts.Nodes[0].AgentReady = false }}},
		diff.PodsUnservable: {
			{"Fargate", onPodIdentity, func(w *world) { w.pod().Fargate = true }},
			{"Windows", onPodIdentity, func(w *world) { w.facts.Nodes[0].OS = "windows" }},
		},
		diff.MappingInvalid: {
			{"role of another account", onPodIdentity, func(w *world) { w.mapping.Role.Account = "210987654321" }},
			{"role of another partition", onIRSA, func(w *world) { w.mapping.Role.Partition = "aws-cn" }},
		},
		diff.MappingForbidden: {{"by rule", onIRSA, func(w *world) {
			w.opts.Forbid = func(desired.Mapping) (string, bool) { return "protect: demo", true }
		}}},
		diff.MappingGone: {
			{"association", onPodIdentity, func(w *world) { w.gone = true }},
			{"statement", onIRSA, func(w *world) { w.gone = true }},
			{"statement of a ServiceAccount that is gone too", onIRSA, func(w *world) {
				w.gone, w.facts.ServiceAccounts = true, nil
			}},
			{"annotation", onIRSA, func(w *world) {
				w.gone = true
				w.role().TrustPolicy = policy(t, bare)
				w.sa().Managers = []live.FieldManager{{Annotation: diff.AnnotationRole, Manager: "lanyard"}}
			}},
		},
		diff.ClusterMismatch: {
			{"another issuer", onIRSA, func(w *world) { w.facts.Cluster.APIServerIssuer = "https://example.com" }},
			{"unreadable issuer", onIRSA, func(w *world) { w.facts.Cluster.APIServerIssuer = "" }},
		},
		diff.RevisionStale: {
			{"unsigned", onIRSA, func(w *world) {
				w.held = &desired.Held{Reason: desired.HeldUnsigned, Head: "89abcdef0123456789abcdef0123456789abcdef", Message: "no signature of a configured key: sign the commit"}
			}},
			{"unreachable", onIRSA, func(w *world) {
				w.held = &desired.Held{Reason: desired.HeldUnreachable, Message: "connection refused"}
			}},
			{"broken", onIRSA, func(w *world) {
				w.held = &desired.Held{Reason: desired.HeldInvalid, Head: "89abcdef0123456789abcdef0123456789abcdef", Message: "mistakes",
					Errors: desired.Errors{{At: desired.Position{File: "a.yaml", Line: 3, Column: 5}, What: "unknown key x", Instead: "write spec"}}}
			}},
		},
	}
}

type kindTest struct {
	name  string
	world func(*testing.T) *world
	wreck func(*world)
}

func TestKinds(t *testing.T) {
	t.Parallel()
	tests := kindTests(t)
	for _, kind := range diff.Kinds() {
		if len(tests[kind]) == 0 {
			t.Errorf("no test shows %s", kind)
		}
		for _, tt := range tests[kind] {
			t.Run(string(kind)+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				has := func(w *world) bool {
					return slices.ContainsFunc(w.compare(t).Findings, func(f diff.Finding) bool { return f.Kind == kind })
				}
				if has(tt.world(t)) {
					t.Errorf("%s shows in a world that is in sync", kind)
				}
				w := tt.world(t)
				tt.wreck(w)
				if !has(w) {
					t.Errorf("%s does not show; findings: %v", kind, w.compare(t).Findings)
				}
				for _, f := range w.compare(t).Findings {
					if f.Message == "" || f.Plane != f.Kind.Plane() && f.Kind != diff.MappingGone || f.Severity == "" {
						t.Errorf("finding is not whole: %+v", f)
					}
				}
			})
		}
	}
}

// TestInSync is the other half: a world in sync has no findings at all.
func TestInSync(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) *world{"irsa": onIRSA, "pod-identity": onPodIdentity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := make(t).compare(t)
			if len(r.Findings) != 0 || r.Judged[0].Class != diff.Rest {
				t.Errorf("findings %v, class %v; want none, rest", r.Findings, r.Judged[0].Class)
			}
		})
	}
}

// TestHeldHeadHoldsNothingBack: a head that is not followed is named with its commit and
// its mistakes with their places, a bounded number of them; what the accepted revision
// asks for is compared and classed as ever.
func TestHeldHeadHoldsNothingBack(t *testing.T) {
	t.Parallel()
	w := onIRSA(t)
	w.held = &desired.Held{Reason: desired.HeldInvalid, Head: "89abcdef0123456789abcdef0123456789abcdef", Message: "mistakes"}
	for line := range 30 {
		w.held.Errors = append(w.held.Errors, desired.Error{At: desired.Position{File: "a.yaml", Line: line + 1, Column: 1}, What: "wrong", Instead: "write it right"})
	}
	r := w.compare(t)
	if len(r.Findings) != 21 || r.Judged[0].Class != diff.Rest {
		t.Fatalf("%d findings, class %s; want 21 and rest", len(r.Findings), r.Judged[0].Class)
	}
	places := map[string]bool{}
	for _, f := range r.Findings {
		places[f.Position.String()] = true
		if f.Actual != w.held.Head {
			t.Errorf("finding %v does not name the head", f)
		}
	}
	if !places["a.yaml:20:1"] || !places[""] {
		t.Errorf("places %v; want those of 20 mistakes, and one finding that counts the rest", places)
	}
}
