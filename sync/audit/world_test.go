package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	account  = "123456789012"
	other    = "210987654321"
	host     = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	issuer   = "https://" + host
	provider = "arn:aws:iam::123456789012:oidc-provider/" + host
	cluster  = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	apiRole  = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-api-role"
	webRole  = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-web-role"
	node     = "ip-10-0-1-11"
)

var (
	now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	api = identity.Subject{Namespace: "demo", ServiceAccount: "api"} // by IRSA
	web = identity.Subject{Namespace: "demo", ServiceAccount: "web"} // by Pod Identity
)

func arn(text string) identity.RoleARN {
	r, err := identity.ParseRoleARN(text)
	if err != nil {
		panic(err)
	}
	return r
}

// irsa is a statement that lets subs in by IRSA; the test of :sub is by operator.
func irsa(operator string, subs ...string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Principal":{"Federated":"%s"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{%q:{"%s:sub":["%s"],"%s:aud":"sts.amazonaws.com"}}}`,
		provider, operator, host, strings.Join(subs, `","`), host)
}

// pods is a statement that lets a subject in by Pod Identity.
func pods(s identity.Subject) string {
	return fmt.Sprintf(`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceAccount":%q,"aws:RequestTag/eks-cluster-arn":%q,"aws:RequestTag/kubernetes-namespace":%q,"aws:RequestTag/kubernetes-service-account":%q}}}`,
		account, cluster, s.Namespace, s.ServiceAccount)
}

func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// world is what an audit is made from. The one that [sound] returns has everything read
// and nothing to find.
type world struct {
	f     live.Facts
	o     audit.Options
	state desired.State
}

func sound() *world {
	role := func(text, trustPolicy string) live.Role {
		return live.Role{ARN: arn(text), Presence: live.Present, TrustPolicy: trustPolicy, CreatedAt: now.Add(-24 * time.Hour), DetailsRead: true, Tags: map[string]string{"team": "demo"},
			Boundary: "arn:aws:iam::123456789012:policy/edge", LastUsedAt: now.Add(-time.Hour), LastUsedRegion: "eu-west-1", PoliciesRead: true, Policies: []live.Policy{{Name: "s3"}, {Name: "own", ARN: "arn:aws:iam::123456789012:policy/own"}}}
	}
	pod := func(s identity.Subject, c live.Container) live.Pod {
		return live.Pod{Namespace: s.Namespace, Name: s.ServiceAccount + "-1", ServiceAccount: s.ServiceAccount, Node: node, Owner: live.WorkloadRef{Kind: "Deployment", Name: s.ServiceAccount},
			CreatedAt: now.Add(-time.Hour), Phase: "Running", Ready: true, Containers: []live.Container{c}}
	}
	workload := func(s identity.Subject) live.Workload {
		return live.Workload{Namespace: s.Namespace, Kind: "Deployment", Name: s.ServiceAccount, ServiceAccount: s.ServiceAccount, Replicas: 2, Containers: []live.Template{{Name: "main"}}}
	}
	return &world{
		o: audit.Options{RoleName: audit.DefaultRoleName},
		f: live.Facts{
			TakenAt:    now,
			Cluster:    live.Cluster{Name: "irsa-lab", ARN: cluster, Issuer: issuer, APIServerIssuer: issuer},
			Namespaces: []live.Namespace{{Name: "demo"}},
			ServiceAccounts: []live.ServiceAccount{
				{Namespace: "demo", Name: "api", Annotations: map[string]string{"eks.amazonaws.com/role-arn": apiRole}, Managers: []live.FieldManager{{Annotation: "eks.amazonaws.com/role-arn", Manager: "helm"}}},
				{Namespace: "demo", Name: "plain"},
				{Namespace: "demo", Name: "web"},
			},
			Associations: []live.Association{{Namespace: "demo", ServiceAccount: "web", ID: "a-1", ARN: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/irsa-lab/a-1", Described: true, Role: arn(webRole), CreatedAt: now.Add(-2 * time.Hour)}},
			Workloads:    []live.Workload{workload(api), workload(web)},
			Pods: []live.Pod{
				pod(api, live.Container{Name: "main", Credential: live.CredentialIRSA, Role: apiRole, Audience: "sts.amazonaws.com"}),
				pod(web, live.Container{Name: "main", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"}),
			},
			Nodes:     []live.Node{{Name: node, ComputeType: "ec2", OS: "linux", CreatedAt: now.Add(-time.Hour), Ready: true, AgentReady: true}},
			Webhook:   live.Webhook{Present: true},
			Accounts:  []live.Account{{ID: account, TrustSizeQuota: 2048, Roles: 2, IdentityProviders: 1, RolesListed: true, ProvidersListed: true}},
			Roles:     []live.Role{role(apiRole, policy(irsa("StringEquals", api.OIDCSubject()))), role(webRole, policy(pods(web)))},
			Providers: []live.OIDCProvider{{ARN: provider, Account: account, URL: host, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
		},
	}
}

// The parts that changes reach for: those of demo/api.
func (w *world) role() *live.Role         { return &w.f.Roles[0] }
func (w *world) sa() *live.ServiceAccount { return &w.f.ServiceAccounts[0] }
func (w *world) pod() *live.Pod           { return &w.f.Pods[0] }
func (w *world) trust(statements ...string) {
	w.role().TrustPolicy = policy(statements...)
}

// And those of demo/web.
func (w *world) association() *live.Association { return &w.f.Associations[0] }

func (w *world) gap(source live.Source, scope string) {
	w.f.Gaps = append(w.f.Gaps, live.Gap{Source: source, Scope: scope, Reason: live.GapRefused, Message: "AccessDenied"})
}

func (w *world) audit(t testing.TB) audit.Report {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	return audit.New(w.state, snap, w.o)
}

// of returns the findings of a check.
func of(r audit.Report, c audit.Check) []audit.Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f audit.Finding) bool { return f.Check != c })
}

// unmade returns the facts for which a check was not made.
func unmade(r audit.Report, c audit.Check) []string {
	var out []string
	for _, u := range r.Unknown {
		if slices.Contains(u.Checks, c) {
			out = append(out, u.About()+": "+u.Fact)
		}
	}
	return out
}

func row(t testing.TB, r audit.Report, s identity.Subject) audit.Wired {
	t.Helper()
	for _, w := range r.ServiceAccounts {
		if w.Name() == s.String() {
			return w
		}
	}
	t.Fatalf("%s is not listed", s)
	return audit.Wired{}
}
