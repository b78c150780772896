package audit_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestSound: a world with nothing to find, and all that is told of it.
func TestSound(t *testing.T) {
	t.Parallel()
	r := sound().audit(t)
	if len(r.Findings)+len(r.Unknown)+len(r.Gaps) > 0 || r.Fails(trust.Info) {
		t.Fatalf("findings %+v\nunknown %+v", r.Findings, r.Unknown)
	}
	if len(r.ServiceAccounts) != 2 {
		t.Fatalf("%d ServiceAccounts, want the two that are wired", len(r.ServiceAccounts))
	}
	got := r.ServiceAccounts[0]
	refused := []audit.Refusal{{Test: audit.OtherNamespace, Result: audit.Refused}, {Test: audit.OtherServiceAccount, Result: audit.Refused}}
	want := audit.Wired{Namespace: "demo", ServiceAccount: "api", Mechanism: identity.IRSA, Role: apiRole, Account: account, Presence: live.Present,
		Attached: []string{"own"}, Inline: []string{"s3"}, PoliciesRead: true, Boundary: "arn:aws:iam::123456789012:policy/edge", Tags: []string{"team=demo"},
		LastUsed: "2026-11-23T08:00:00Z", LastUsedRegion: "eu-west-1", Trust: "allow", Refuses: refused, Others: []audit.Other{}, OthersWhole: true,
		Owner: "helm", Workloads: []string{"Deployment api"}, Pods: 1, Verdict: got.Verdict, Reasons: got.Reasons, Owned: []string{}, Checks: []audit.Check{}}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".role" }, cmp.Ignore())); diff != "" {
		t.Errorf("demo/api (-want +got)\n%s", diff)
	}
	bound := sound() // a boundary is no attached policy, and grants nothing
	bound.role().Policies = append(bound.role().Policies, live.Policy{Name: "edge", ARN: "arn:aws:iam::123456789012:policy/edge", Bounds: true, Everywhere: []string{"*"}})
	if again := bound.audit(t); len(again.Findings) > 0 || cmp.Diff(row(t, again, api).Attached, got.Attached) != "" {
		t.Errorf("with what its boundary says: %+v %v", again.Findings, row(t, again, api).Attached)
	}
	if w := row(t, r, web); w.Mechanism != identity.PodIdentity || w.Role != webRole || w.Trust != "allow" || cmp.Diff(refused, w.Refuses) != "" {
		t.Errorf("demo/web: %+v", w)
	}
	if s := r.Summary; s.Roles != 2 || s.Mechanisms["irsa"] != 1 || s.Mechanisms["pod-identity"] != 1 {
		t.Errorf("summary %+v", s)
	}
}

// breaks has for each check one break or more of the sound world, and whom it concerns.
func breaks() map[audit.Check][]struct {
	name  string
	about string // of the finding; empty: demo/api
	do    func(w *world)
} {
	type list = []struct {
		name  string
		about string
		do    func(w *world)
	}
	const staleHost = "oidc.eks.eu-west-1.amazonaws.com/id/OLD"
	stale := strings.ReplaceAll(irsa("StringEquals", api.OIDCSubject()), host, staleHost)
	good := irsa("StringEquals", api.OIDCSubject())
	target := arn("arn:aws:iam::" + other + ":role/next")
	chain := func(w *world, condition string) {
		w.role().Policies = append(w.role().Policies, live.Policy{Name: "chain", Statements: []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{target.String()}}}})
		w.f.Roles = append(w.f.Roles, live.Role{ARN: target, Presence: live.Present, TrustPolicy: policy(`{"Effect":"Allow","Principal":{"AWS":"` + apiRole + `"},"Action":"sts:AssumeRole"` + condition + `}`)})
	}
	return map[audit.Check][]struct {
		name  string
		about string
		do    func(w *world)
	}{
		audit.TrustTooWide: list{
			{"any of the namespace", "", func(w *world) { w.trust(irsa("StringLike", "system:serviceaccount:demo:*")) }},
			{"the name in any namespace", "", func(w *world) { w.trust(irsa("StringLike", "system:serviceaccount:*:api")) }},
			{"a pattern of namespaces", "", func(w *world) { w.trust(irsa("StringLike", "system:serviceaccount:demo*:api")) }},
			{"Pod Identity beside", "", func(w *world) {
				w.trust(good, `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
			}},
			{"the whole account by Pod Identity", "demo/web", func(w *world) {
				w.f.Roles[1].TrustPolicy = policy(`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}}`)
			}},
		},
		audit.TrustOpen: list{{"anyone", "", func(w *world) { w.trust(good, `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`) }}},
		audit.SubjectUnwired: list{
			{"another by IRSA", "", func(w *world) { w.trust(good, irsa("StringEquals", "system:serviceaccount:demo:plain")) }},
			{"another by Pod Identity", "", func(w *world) { w.trust(good, pods(identity.Subject{Namespace: "demo", ServiceAccount: "plain"})) }},
		},
		audit.ExternalID: list{
			{"another account", "", func(w *world) {
				w.trust(good, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"sts:AssumeRole"}`)
			}},
			{"a target", "", func(w *world) { chain(w, "") }},
		},
		audit.Check(trust.CheckSubjectMissing): list{{"no sub", "", func(w *world) {
			w.trust(strings.Replace(good, `"`+host+`:sub":["`+api.OIDCSubject()+`"],`, "", 1))
		}}},
		audit.Check(trust.CheckSubjectWide): list{{"a pattern", "", func(w *world) { w.trust(irsa("StringLike", "system:serviceaccount:demo:*")) }}},
		audit.Check(trust.CheckAudienceMissing): list{{"no aud", "", func(w *world) {
			w.trust(strings.Replace(good, `,"`+host+`:aud":"sts.amazonaws.com"`, "", 1))
		}}},
		audit.Check(trust.CheckLikeWithout): list{{"StringLike", "", func(w *world) { w.trust(irsa("StringLike", api.OIDCSubject())) }}},
		audit.Check(trust.CheckSeveralSubjects): list{{"two", "", func(w *world) {
			w.trust(irsa("StringEquals", api.OIDCSubject(), "system:serviceaccount:demo:plain"))
		}}},
		audit.Check(trust.CheckIssuerForeign): list{{"another cluster", "", func(w *world) {
			w.trust(good, stale)
			w.f.Providers = append(w.f.Providers, live.OIDCProvider{ARN: strings.Replace(provider, host, staleHost, 1), Account: account})
		}}},
		audit.Check(trust.CheckIssuerStale): list{{"no such provider", "", func(w *world) { w.trust(good, stale) }}},
		audit.Check(trust.CheckIssuerKey):   list{{"with its scheme", "", func(w *world) { w.trust(good, strings.ReplaceAll(good, `"`+host, `"https://`+host)) }}},
		audit.Check(trust.CheckPodIdentityWide): list{{"no namespace", "demo/web", func(w *world) {
			w.f.Roles[1].TrustPolicy = strings.Replace(policy(pods(web)), `,"aws:RequestTag/kubernetes-namespace":"demo"`, "", 1)
		}}},
		audit.Check(trust.CheckNeverHolds): list{{"a principal's tag", "", func(w *world) {
			w.trust(good, strings.Replace(good, `"StringEquals":{`, `"StringEquals":{"aws:PrincipalTag/x":"y",`, 1))
		}}},
		audit.Check(trust.CheckAssociationARN): list{{"its ARN", "demo/web", func(w *world) {
			w.f.Roles[1].TrustPolicy = strings.Replace(policy(pods(web)), `"aws:SourceAccount":"123456789012"`, `"aws:SourceArn":"`+w.association().ARN+`"`, 1)
		}}},
		audit.Check(trust.CheckDeleted): list{{"a deleted role", "", func(w *world) {
			w.trust(good, `{"Effect":"Allow","Principal":{"AWS":"AROAEXAMPLEDELETEDROLE"},"Action":"sts:AssumeRole"}`)
		}}},
		"trust-subject-missing":      list{{"another alone", "", func(w *world) { w.trust(irsa("StringEquals", "system:serviceaccount:demo:plain")) }}},
		"trust-issuer-stale":         list{{"the cluster before", "", func(w *world) { w.trust(stale) }}},
		"trust-audience-wrong":       list{{"another audience", "", func(w *world) { w.trust(strings.Replace(good, "sts.amazonaws.com", "example.com", 1)) }}},
		"trust-pod-identity-missing": list{{"IRSA only", "demo/web", func(w *world) { w.f.Roles[1].TrustPolicy = policy(irsa("StringEquals", web.OIDCSubject())) }}},
		"trust-tag-session-missing": list{{"not allowed", "demo/web", func(w *world) {
			w.f.Roles[1].TrustPolicy = strings.Replace(policy(pods(web)), `,"sts:TagSession"`, "", 1)
		}}},
		"trust-undecidable": list{{"no policy", "", func(w *world) { w.role().TrustPolicy = "[" }}},
		audit.SharedRole: list{{"two by annotation", "", func(w *world) {
			w.f.ServiceAccounts[1].Annotations = map[string]string{"eks.amazonaws.com/role-arn": apiRole}
		}}},
		audit.RoleName: list{
			{"another pattern", "", func(w *world) { w.o.RoleName = "${namespace}-${serviceAccount}-?" }},
			{"another name", "", func(w *world) {
				w.role().ARN.Name = "api"
				w.sa().Annotations["eks.amazonaws.com/role-arn"] = w.role().ARN.String()
			}},
		},
		audit.RoleMalformed: list{{"a name", "", func(w *world) { w.sa().Annotations["eks.amazonaws.com/role-arn"] = "api" }}},
		audit.RoleElsewhere: list{{"another account by Pod Identity", "demo/web", func(w *world) {
			w.association().Role = target
			w.f.Roles = append(w.f.Roles, live.Role{ARN: target, Presence: live.Absent})
		}}},
		"role-missing":   list{{"no such role", "", func(w *world) { *w.role() = live.Role{ARN: arn(apiRole), Presence: live.Absent} }}},
		audit.RoleUnused: list{{"long ago", "", func(w *world) { w.role().LastUsedAt = now.Add(-91 * 24 * time.Hour) }}, {"never", "", func(w *world) { w.role().LastUsedAt, w.role().CreatedAt = time.Time{}, now.Add(-91*24*time.Hour) }}},
		audit.OrphanRole: list{
			{"of IRSA", "arn:aws:iam::123456789012:role/left", func(w *world) {
				r := w.f.Roles[0]
				r.ARN, r.TrustPolicy = arn("arn:aws:iam::123456789012:role/left"), policy(irsa("StringEquals", "system:serviceaccount:gone:gone"))
				w.f.Roles = append(w.f.Roles, r)
			}},
			{"of Pod Identity", "arn:aws:iam::123456789012:role/left", func(w *world) {
				r := w.f.Roles[0]
				r.ARN, r.TrustPolicy = arn("arn:aws:iam::123456789012:role/left"), policy(pods(identity.Subject{Namespace: "gone", ServiceAccount: "gone"}))
				w.f.Roles = append(w.f.Roles, r)
			}},
		},
		audit.Boundary: list{{"none", "", func(w *world) { w.role().Boundary = "" }}},
		audit.Tags:     list{{"none", "", func(w *world) { w.role().Tags = nil }}, {"not that one", "", func(w *world) { w.o.Tags = []string{"owner"} }}},
		audit.StarAction: list{{"everything", "", func(w *world) { w.role().Policies[0].Everywhere = []string{"*"} }}, {"all but some", "", func(w *world) { w.role().Policies[0].Everywhere = []string{"!iam:*"} }}, {"an administrator", "", func(w *world) {
			w.role().Policies = append(w.role().Policies, live.Policy{Name: "AdministratorAccess", ARN: "arn:aws:iam::aws:policy/AdministratorAccess"})
		}}},
		audit.StarResource: list{{"all of a service", "", func(w *world) { w.role().Policies[1].Everywhere = []string{"s3:*"} }}, {"AWS's", "", func(w *world) {
			w.role().Policies = append(w.role().Policies, live.Policy{Name: "AmazonS3FullAccess", ARN: "arn:aws:iam::aws:policy/AmazonS3FullAccess"})
		}}},
		audit.AWSManaged: list{{"one", "", func(w *world) {
			w.role().Policies = append(w.role().Policies, live.Policy{Name: "AmazonEKS_CNI_Policy", ARN: "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"})
		}}},
		audit.WiringUnused:     list{{"nothing", "", func(w *world) { w.f.Workloads, w.f.Pods = w.f.Workloads[1:], w.f.Pods[1:] }}},
		audit.AssociationAlone: list{{"gone", "demo/web", func(w *world) { w.f.ServiceAccounts = w.f.ServiceAccounts[:2] }}},
		"annotation-unexpected": list{{"left from IRSA", "demo/web", func(w *world) {
			w.f.ServiceAccounts[2].Annotations = map[string]string{"eks.amazonaws.com/role-arn": webRole}
		}}},
		"pods-uninjected": list{{"bare", "", func(w *world) { w.pod().Containers[0] = live.Container{Name: "main", Credential: live.CredentialNone} }}},
		"pods-wrong-mechanism": list{{"on the other", "", func(w *world) {
			w.pod().Containers[0] = live.Container{Name: "main", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"}
		}}},
		"pods-wrong-role":    list{{"an older one", "", func(w *world) { w.pod().Containers[0].Role = webRole }}},
		"pods-agent-missing": list{{"not ready", "demo/web", func(w *world) { w.f.Nodes[0].AgentReady = false }}},
		"pods-unservable":    list{{"on Fargate", "demo/web", func(w *world) { w.f.Pods[1].Fargate = true }}},
		audit.StaticKeys: list{
			{"in a pod", "", func(w *world) { w.pod().Containers[0].Credential = live.CredentialStatic }},
			{"in a template", "", func(w *world) { w.f.Workloads[0].Containers[0].Variables = []string{"AWS_ACCESS_KEY_ID"} }},
			{"of one that is not wired", "demo/plain", func(w *world) {
				p := w.f.Pods[0]
				p.Name, p.ServiceAccount, p.Containers = "plain-1", "plain", []live.Container{{Name: "main", Credential: live.CredentialStatic}}
				w.f.Pods = append(w.f.Pods, p)
			}},
		},
		"oidc-provider-missing": list{{"none", "", func(w *world) { w.f.Providers = nil }}},
		"oidc-audience-missing": list{{"another", "", func(w *world) { w.f.Providers[0].ClientIDs = []string{"example.com"} }}},
		audit.ProviderCount: list{{"many", "the account", func(w *world) {
			w.f.Accounts[0].ProvidersListed, w.f.Accounts[0].IdentityProviders = false, 90
		}}},
		"cluster-mismatch": list{{"two clusters", "the account", func(w *world) { w.f.Cluster.APIServerIssuer = "https://example.com" }}},
	}
}

// TestChecks: each check of the closed list fires on its break, at a severity that it can
// have, about whom it concerns, with what mends it; and it does not fire on the sound
// world, which [TestSound] shows.
func TestChecks(t *testing.T) {
	t.Parallel()
	all := breaks()
	for _, c := range audit.Checks() {
		if len(all[c]) == 0 {
			t.Errorf("%s has no test", c)
		}
		if !strings.HasPrefix(c.Source(), "https://docs.aws.amazon.com/") {
			t.Errorf("%s has source %q", c, c.Source())
		}
		for _, b := range all[c] {
			w := sound()
			b.do(w)
			about := b.about
			if about == "" {
				about = "demo/api"
			}
			r := w.audit(t)
			found := slices.DeleteFunc(of(r, c), func(f audit.Finding) bool { return f.About() != about })
			if len(found) == 0 {
				t.Errorf("%s, %s: not found about %s; there is %+v", c, b.name, about, r.Findings)
				continue
			}
			for _, f := range found {
				if !slices.Contains(c.Severities(), f.Severity) || f.Message == "" || f.Fix == "" || f.Waived || f.Evidence == nil {
					t.Errorf("%s, %s: %+v; its severities are %v", c, b.name, f, c.Severities())
				}
			}
			if !r.Fails(trust.Info) {
				t.Errorf("%s, %s: the audit is clean all the same", c, b.name)
			}
		}
		delete(all, c)
	}
	for c := range all {
		t.Errorf("%s is no check", c)
	}
}

// TestNotFound: what comes close to a check, and is in order.
func TestNotFound(t *testing.T) {
	t.Parallel()
	good := irsa("StringEquals", api.OIDCSubject())
	for _, tt := range []struct {
		name  string
		check audit.Check
		do    func(w *world)
	}{
		{"another account with an external ID", audit.ExternalID, func(w *world) {
			w.trust(good, `{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`)
		}},
		{"another account of the organization", audit.ExternalID, func(w *world) {
			w.trust(good, `{"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}`)
		}},
		{"its own account", audit.ExternalID, func(w *world) {
			w.trust(good, `{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}`)
		}},
		{"a target with an external ID", audit.ExternalID, func(w *world) {
			target := arn("arn:aws:iam::210987654321:role/next")
			w.role().Policies[0].Statements = []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{target.String()}}}
			w.f.Roles = append(w.f.Roles, live.Role{ARN: target, Presence: live.Present, TrustPolicy: policy(`{"Effect":"Allow","Principal":{"AWS":"` + apiRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`)})
		}},
		{"anyone of the organization", audit.TrustOpen, func(w *world) {
			w.trust(good, `{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}`)
		}},
		{"two that are wired", audit.SubjectUnwired, func(w *world) {
			w.f.ServiceAccounts[1].Annotations = map[string]string{"eks.amazonaws.com/role-arn": apiRole}
			w.trust(irsa("StringEquals", api.OIDCSubject(), "system:serviceaccount:demo:plain"))
		}},
		{"a name that IAM could not have", audit.RoleName, func(w *world) { w.o.RoleName = strings.Repeat("x", 65) }},
		{"a pattern", audit.RoleName, func(w *world) { w.o.RoleName = "eks-*-role" }},
		{"no pattern", audit.RoleName, func(w *world) { w.role().ARN.Name = "x"; w.o.RoleName = "" }},
		{"a new role", audit.RoleUnused, func(w *world) { w.role().LastUsedAt = time.Time{} }},
		{"an older role that pods have", audit.OrphanRole, func(w *world) {
			r := w.f.Roles[0]
			r.ARN = arn("arn:aws:iam::123456789012:role/left")
			w.f.Roles = append(w.f.Roles, r)
			w.pod().Containers[0].Role = r.ARN.String()
		}},
		{"a role that Git asks for", audit.OrphanRole, func(w *world) {
			r := w.f.Roles[0]
			r.ARN = arn("arn:aws:iam::123456789012:role/next")
			w.f.Roles = append(w.f.Roles, r)
			w.state.Mappings = []desired.Mapping{desired.Undeclared(api, r.ARN, identity.IRSA)}
		}},
		{"another cluster's role", audit.OrphanRole, func(w *world) {
			r := w.f.Roles[0]
			r.ARN, r.TrustPolicy = arn("arn:aws:iam::123456789012:role/left"), policy(`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
			w.f.Roles = append(w.f.Roles, r)
		}},
		{"a store that names it", audit.WiringUnused, func(w *world) {
			w.f.Workloads, w.f.Pods = w.f.Workloads[1:], w.f.Pods[1:]
			w.f.Readers = []live.Reader{{Kind: "SecretStore", Namespace: "demo", Name: "x", ServiceAccount: "demo/api"}}
		}},
		{"a pod that ended", audit.StaticKeys, func(w *world) {
			w.pod().Containers[0].Credential, w.pod().Phase = live.CredentialStatic, "Succeeded"
		}},
		{"few providers", audit.ProviderCount, func(w *world) { w.f.Accounts[0].ProvidersListed, w.f.Accounts[0].IdentityProviders = false, 89 }},
	} {
		w := sound()
		tt.do(w)
		r := w.audit(t)
		if found := of(r, tt.check); len(found) > 0 || len(unmade(r, tt.check)) > 0 {
			t.Errorf("%s, %s: %+v %v", tt.check, tt.name, found, unmade(r, tt.check))
		}
	}
}

// TestUnknown: a missing fact is told with the checks that were not made for it, the
// check does not fire, and the audit is not clean.
func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		checks []audit.Check
		do     func(w *world)
	}{
		{"the role", []audit.Check{audit.TrustTooWide, audit.Boundary, audit.StarAction, "role-missing", "subject-missing"}, func(w *world) { *w.role() = live.Role{ARN: arn(apiRole)} }},
		{"its policies", []audit.Check{audit.StarAction, audit.StarResource, audit.AWSManaged, audit.ExternalID}, func(w *world) { w.role().PoliciesRead, w.role().Policies = false, nil }},
		{"its details", []audit.Check{audit.Boundary, audit.Tags, audit.RoleUnused}, func(w *world) {
			r := w.role()
			r.DetailsRead, r.Tags, r.Boundary, r.LastUsedAt = false, nil, "", time.Time{}
		}},
		{"its trust policy", []audit.Check{audit.TrustTooWide, audit.TrustOpen, "subject-missing"}, func(w *world) { w.role().TrustPolicy = `{"Statement":7}` }},
		{"a target", []audit.Check{audit.ExternalID}, func(w *world) {
			w.role().Policies[0].Statements = []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{"arn:aws:iam::210987654321:role/next"}}}
		}},
		{"the providers", []audit.Check{"issuer-stale"}, func(w *world) {
			w.f.Accounts[0].ProvidersListed = false
			w.trust(irsa("StringEquals", api.OIDCSubject()), strings.ReplaceAll(irsa("StringEquals", api.OIDCSubject()), host, "oidc.eks.eu-west-1.amazonaws.com/id/OLD"))
		}},
		{"the cluster's provider", []audit.Check{"oidc-provider-missing", "oidc-audience-missing"}, func(w *world) { w.f.Providers[0].Described = false }},
		{"the number of providers", []audit.Check{audit.ProviderCount}, func(w *world) { w.f.Accounts[0].ProvidersListed, w.f.Accounts[0].IdentityProviders = false, 0 }},
		{"other roles", []audit.Check{audit.OrphanRole}, func(w *world) { w.f.Accounts[0].RolesListed = false }},
		{"pods", []audit.Check{"pods-uninjected", audit.StaticKeys}, func(w *world) { w.f.Pods = nil; w.gap(live.SourcePods, "") }},
		{"workloads", []audit.Check{audit.WiringUnused}, func(w *world) { w.f.Workloads, w.f.Pods = nil, nil; w.gap(live.SourceWorkloads, "") }},
		{"readers", []audit.Check{audit.WiringUnused}, func(w *world) { w.f.Workloads, w.f.Pods = nil, nil; w.gap(live.SourceReaders, "") }},
		{"ServiceAccounts", []audit.Check{audit.AssociationAlone}, func(w *world) { w.f.ServiceAccounts = nil; w.gap(live.SourceServiceAccounts, "") }},
		{"associations", []audit.Check{audit.TrustTooWide}, func(w *world) { w.f.Associations = nil; w.gap(live.SourceListAssociations, "") }},
		{"an association", []audit.Check{audit.TrustTooWide}, func(w *world) {
			*w.association() = live.Association{Namespace: "demo", ServiceAccount: "web", ID: "a-1"}
		}},
		{"what a condition hangs on", []audit.Check{audit.TrustTooWide}, func(w *world) {
			w.f.Roles[1].TrustPolicy = policy(pods(web), `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceOrgId":"o-a1b2c3d4e5"}}}`)
		}},
	} {
		w := sound()
		tt.do(w)
		r := w.audit(t)
		for _, c := range tt.checks {
			if len(unmade(r, c)) == 0 || len(of(r, c)) > 0 {
				t.Errorf("%s: %s is %v, found %+v; want it told as not made", tt.name, c, unmade(r, c), of(r, c))
			}
		}
		if !r.Fails(trust.Critical) || r.Summary.Unknown != len(r.Unknown) {
			t.Errorf("%s: the audit is clean, with %d unknown", tt.name, r.Summary.Unknown)
		}
	}
}

// TestUnreadShows: what was not read is unknown in the columns too, and never empty.
func TestUnreadShows(t *testing.T) {
	t.Parallel()
	w := sound()
	*w.role() = live.Role{ARN: arn(apiRole)}
	got := row(t, w.audit(t), api)
	if got.LastUsed != audit.NotKnown || got.Trust != audit.NotKnown || got.PoliciesRead || got.OthersWhole || got.Refuses[0].Result != audit.NotKnown || got.Presence != live.Unknown || got.Verdict == migrate.Eligible {
		t.Errorf("%+v", got)
	}
	w = sound()
	w.f.Associations = nil
	w.gap(live.SourceListAssociations, "")
	if got := row(t, w.audit(t), api); got.Mechanism != identity.None {
		t.Errorf("without associations: on %s", got.Mechanism)
	}
	w = sound()
	*w.association() = live.Association{Namespace: "demo", ServiceAccount: "web", ID: "a-1"}
	if got := row(t, w.audit(t), web); got.Mechanism != identity.PodIdentity || got.Role != "" {
		t.Errorf("with an association that was not described: %+v", got)
	}
}

// TestOthers: who else may assume the role, judged where it is a ServiceAccount.
func TestOthers(t *testing.T) {
	t.Parallel()
	w := sound()
	w.trust(irsa("StringEquals", api.OIDCSubject(), "system:serviceaccount:demo2:api"),
		strings.ReplaceAll(irsa("StringEquals", api.OIDCSubject()), host, "oidc.eks.eu-west-1.amazonaws.com/id/OTHER"),
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/admin","Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`,
		`{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringEquals":{"`+host+`:sub":"system:serviceaccount:demo2:api"}}}`)
	var got []string
	for _, o := range row(t, w.audit(t), api).Others {
		got = append(got, o.String())
	}
	want := []string{"aws arn:aws:iam::123456789012:role/admin", "service ec2.amazonaws.com",
		"demo/api by irsa through arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OTHER"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("others (-want +got)\n%s", diff)
	}
}

// TestRefusals: each negative test by itself, and that the one says nothing of the other.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sub, namespace, account string
		severity                trust.Severity
	}{
		{"system:serviceaccount:*:api", audit.Admitted, audit.Refused, trust.Critical},
		{"system:serviceaccount:demo:*", audit.Refused, audit.Admitted, trust.Critical},
		{"system:serviceaccount:*", audit.Admitted, audit.Admitted, trust.Critical},
		{"system:serviceaccount:demo?:api", audit.Refused, audit.Refused, trust.Warning},
	} {
		w := sound()
		w.trust(irsa("StringEquals", api.OIDCSubject()), irsa("StringLike", tt.sub))
		r := w.audit(t)
		got := row(t, r, api).Refuses
		if got[0].Result != tt.namespace || got[1].Result != tt.account || got[0].Test != audit.OtherNamespace {
			t.Errorf("%s: %+v", tt.sub, got)
		}
		if found := of(r, audit.TrustTooWide); len(found) != 1 || found[0].Severity != tt.severity {
			t.Errorf("%s: %+v, want one of %s", tt.sub, found, tt.severity)
		}
	}
}

// TestRows: owner, add-on, what is lanyard's, and the verdict of Git's mapping.
func TestRows(t *testing.T) {
	t.Parallel()
	w := sound()
	w.sa().Managers[0].Manager = "lanyard"
	w.association().Tags = map[string]string{"lanyard.io/cluster": cluster, "lanyard.io/mapping": "demo/web"}
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	w.trust(irsa("StringEquals", api.OIDCSubject()), string(trust.Grant{Mechanism: identity.PodIdentity, Subject: api, Cluster: snap.Cluster(), SessionTags: true}.Statement()))
	m := desired.Undeclared(api, arn(apiRole), identity.Auto)
	w.state.Mappings = []desired.Mapping{m}
	r := w.audit(t)
	if got := row(t, r, api); strings.Join(got.Owned, ",") != "annotation,trust" || got.Declared != "auto" || got.Owner != "lanyard" {
		t.Errorf("demo/api: %+v", got)
	}
	if got := row(t, r, web); strings.Join(got.Owned, ",") != "association" || got.Owner != "lanyard" {
		t.Errorf("demo/web: %+v", got)
	}
	w = sound() // the role is another's, and how long tokens live lanyard's
	w.sa().Annotations["eks.amazonaws.com/token-expiration"] = "7200"
	w.sa().Managers = append(w.sa().Managers, live.FieldManager{Annotation: "eks.amazonaws.com/token-expiration", Manager: "lanyard"})
	if got := row(t, w.audit(t), api); strings.Join(got.Owned, ",") != "annotation" || got.Owner != "helm" {
		t.Errorf("demo/api with a tuning of lanyard's: %+v", got)
	}
	w = sound()
	w.association().OwnerARN = "arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/vpc-cni/1"
	if got := row(t, w.audit(t), web); got.Addon != "vpc-cni" || got.Owner != "EKS add-on vpc-cni" || len(got.Owned) > 0 {
		t.Errorf("an add-on's: %+v", got)
	}
	if r := w.audit(t).OwnedOnly(); len(r.ServiceAccounts) > 0 {
		t.Errorf("owned: %+v", r.ServiceAccounts)
	}
}

// TestOnly: one ServiceAccount with its own findings, or an error that says where to look.
func TestOnly(t *testing.T) {
	t.Parallel()
	w := sound()
	w.role().Tags, w.f.Roles[1].Tags = nil, nil
	one, err := w.audit(t).Only("demo", "web")
	if err != nil || len(one.ServiceAccounts) != 1 || len(one.Findings) != 1 || one.Findings[0].ServiceAccount != "web" || one.Summary.Info != 1 {
		t.Errorf("%+v %v", one, err)
	}
	if _, err := w.audit(t).Only("demo", "plain"); err == nil || !strings.Contains(err.Error(), "lanyard audit") {
		t.Errorf("one that is not wired: %v", err)
	}
}

// TestFails: the severity from which on an audit is not clean.
func TestFails(t *testing.T) {
	t.Parallel()
	w := sound()
	w.role().Tags = nil
	r := w.audit(t)
	if !r.Fails(trust.Info) || r.Fails(trust.Warning) || r.Fails(trust.Critical) {
		t.Errorf("info alone: %v %v %v", r.Fails(trust.Info), r.Fails(trust.Warning), r.Fails(trust.Critical))
	}
	w.role().Policies[0].Everywhere = []string{"*"}
	if r := w.audit(t); !r.Fails(trust.Critical) {
		t.Error("a critical finding does not fail")
	}
}

// TestWaivers: one in force waives what it names and nothing else; an expired one, one of
// another ServiceAccount, and one of no check waive nothing and are told.
func TestWaivers(t *testing.T) {
	t.Parallel()
	waiver := func(check string, s identity.Subject, role string, expires time.Time) desired.Waiver {
		w := desired.Waiver{Check: check, Subject: s, Owner: "demo@example.com", Reason: "because", Expires: expires}
		if role != "" {
			w.Role = arn(role)
		}
		return w
	}
	later := now.Add(time.Hour)
	for _, tt := range []struct {
		name   string
		w      desired.Waiver
		state  audit.WaiverState
		waived int // of the two findings
	}{
		{"of the ServiceAccount", waiver("tags-missing", api, "", later), audit.InForce, 1},
		{"of the role", waiver("tags-missing", identity.Subject{}, webRole, later), audit.InForce, 1},
		{"expired at this moment", waiver("tags-missing", api, "", now), audit.Expired, 0},
		{"of another check", waiver("boundary-missing", api, "", later), audit.Unused, 0},
		{"of another ServiceAccount", waiver("tags-missing", identity.Subject{Namespace: "demo", ServiceAccount: "plain"}, "", later), audit.Unused, 0},
		{"of no check", waiver("tag-missing", api, "", later), audit.UnknownCheck, 0},
	} {
		w := sound()
		w.role().Tags, w.f.Roles[1].Tags = nil, nil
		w.state.Waivers = []desired.Waiver{tt.w}
		r := w.audit(t)
		if len(r.Waivers) != 1 || r.Waivers[0].State != tt.state || r.Summary.Waived != tt.waived || r.Summary.Info != 2-tt.waived {
			t.Errorf("%s: %+v %+v", tt.name, r.Waivers, r.Summary)
		}
		for _, f := range r.Findings {
			if f.Waived != (f.WaivedBy != "") {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
	}
	w := sound()
	w.role().Tags = nil
	w.state.Waivers = []desired.Waiver{waiver("tags-missing", api, "", later)}
	if r := w.audit(t); r.Fails(trust.Info) || len(row(t, r, api).Checks) > 0 {
		t.Errorf("with its only finding waived the audit is not clean: %+v", r.ServiceAccounts)
	}
	w = sound() // what was not checked can be waived as well
	w.role().PoliciesRead, w.role().Policies = false, nil
	for _, c := range []audit.Check{audit.StarAction, audit.StarResource, audit.AWSManaged, audit.ExternalID} {
		if r := w.audit(t); !r.Fails(trust.Critical) {
			t.Errorf("without a waiver of %s the audit is clean", c)
		}
		w.state.Waivers = append(w.state.Waivers, waiver(string(c), api, "", later))
	}
	if r := w.audit(t); r.Fails(trust.Info) || slices.ContainsFunc(r.Waivers, func(w audit.Waiver) bool { return w.State != audit.InForce }) {
		t.Errorf("with all of them: %+v %+v", r.Unknown, r.Waivers)
	}
}

// TestOrder: an audit does not hang on the order of facts.
func TestOrder(t *testing.T) {
	t.Parallel()
	base := example(t)
	want, err := base.audit(t).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		w := example(t)
		r := rand.New(rand.NewPCG(seed, 1))
		mix(r, w.f.ServiceAccounts)
		mix(r, w.f.Associations)
		mix(r, w.f.Pods)
		mix(r, w.f.Workloads)
		mix(r, w.f.Roles)
		mix(r, w.f.Providers)
		mix(r, w.f.Accounts)
		mix(r, w.f.Addons)
		mix(r, w.f.Readers)
		mix(r, w.f.Nodes)
		got, err := w.audit(t).JSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
			t.Fatalf("seed %d\n%s", seed, diff)
		}
	}
}

func mix[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// TestLess: whatever is taken from the facts and told as a gap, no check that fired
// before is clean now unless it is told as not made, and none fires that did not.
func TestLess(t *testing.T) {
	t.Parallel()
	whole := example(t).audit(t)
	fired := map[string]bool{}
	key := func(f audit.Finding) string { return f.About() + " " + string(f.Check) }
	for _, f := range whole.Findings {
		fired[key(f)] = true
	}
	for name, take := range map[string]func(w *world){
		"policies": func(w *world) {
			for i := range w.f.Roles {
				w.f.Roles[i].PoliciesRead, w.f.Roles[i].Policies = false, nil
			}
		},
		"details": func(w *world) {
			for i := range w.f.Roles {
				r := &w.f.Roles[i]
				r.DetailsRead, r.Boundary, r.Tags, r.LastUsedAt = false, "", nil, time.Time{}
			}
		},
		"roles": func(w *world) {
			for i := range w.f.Roles {
				w.f.Roles[i] = live.Role{ARN: w.f.Roles[i].ARN}
			}
			for i := range w.f.Accounts {
				w.f.Accounts[i].RolesListed = false
			}
		},
		"pods": func(w *world) { w.f.Pods = nil; w.gap(live.SourcePods, "") },
	} {
		w := example(t)
		take(w)
		r := w.audit(t)
		still := map[string]bool{}
		for _, f := range r.Findings {
			if still[key(f)] = true; !fired[key(f)] {
				t.Errorf("without %s: new: %+v", name, f)
			}
		}
		for _, f := range whole.Findings {
			if !still[key(f)] && len(unmade(r, f.Check)) == 0 {
				t.Errorf("without %s: %s is gone, and nothing says that it was not checked", name, key(f))
			}
		}
	}
}

// TestValidRoleName: patterns with what is none.
func TestValidRoleName(t *testing.T) {
	t.Parallel()
	for pattern, good := range map[string]bool{
		"": true, audit.DefaultRoleName: true, "eks-*-?": true, "${accountID}-${region}": true,
		"${serviceaccount}": false, "$x": false, "{}": false, "team/${namespace}": false,
	} {
		if err := audit.ValidRoleName(pattern); (err == nil) != good {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
