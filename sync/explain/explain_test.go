package explain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/explain"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

const (
	account = "123456789012"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	host    = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	roleARN = "arn:aws:iam::123456789012:role/api"
	node    = "ip-10-0-1-11"

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012","aws:RequestTag/eks-cluster-arn":"arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab","aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"api"}}}]}`
)

var (
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "api"}
)

func role(t testing.TB, text string) identity.RoleARN {
	t.Helper()
	r, err := identity.ParseRoleARN(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func irsaTrust(host, sub, aud string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + host + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + host + `:sub":"` + sub + `","` + host + `:aud":"` + aud + `"}}}]}`
}

// world is what is explained; those of [healthy] have nothing wrong with them.
type world struct {
	f live.Facts
	m []desired.Mapping
	p plan.Policy
}

func healthy(t testing.TB, m identity.Mechanism) *world {
	t.Helper()
	w := &world{p: plan.DefaultPolicy(), f: live.Facts{
		TakenAt:         now,
		Cluster:         live.Cluster{Name: "irsa-lab", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", Issuer: issuer, APIServerIssuer: issuer},
		Namespaces:      []live.Namespace{{Name: "demo"}},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "api", UID: "u", CreatedAt: now.Add(-2 * time.Hour), Annotations: map[string]string{diff.AnnotationRole: roleARN}}},
		Workloads:       []live.Workload{{Namespace: "demo", Kind: "Deployment", Name: "api", ServiceAccount: "api", Replicas: 1}},
		Pods: []live.Pod{{Namespace: "demo", Name: "api-1", ServiceAccount: "api", Node: node, Owner: live.WorkloadRef{Kind: "Deployment", Name: "api"}, CreatedAt: now.Add(-time.Hour), Phase: "Running", Ready: true,
			Containers: []live.Container{{Name: "main", Credential: live.CredentialIRSA, Role: roleARN, Audience: "sts.amazonaws.com"}}}},
		Nodes:     []live.Node{{Name: node, OS: "linux", Ready: true, AgentReady: true, CreatedAt: now.Add(-time.Hour)}},
		Webhook:   live.Webhook{Present: true},
		Accounts:  []live.Account{{ID: account, TrustSizeQuota: 2048}},
		Roles:     []live.Role{{ARN: role(t, roleARN), Presence: live.Present, PoliciesRead: true, TrustPolicy: irsaTrust(host, subject.OIDCSubject(), "sts.amazonaws.com")}},
		Providers: []live.OIDCProvider{{ARN: "arn:aws:iam::123456789012:oidc-provider/" + host, Account: account, URL: host, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
	}}
	mapping := desired.Undeclared(subject, role(t, roleARN), m)
	mapping.Adopt = desired.Adopt{}
	mapping.At = desired.Position{File: "fleet/api.yaml", Line: 4, Column: 9}
	w.m = []desired.Mapping{mapping}
	if m == identity.PodIdentity {
		w.f.ServiceAccounts[0].Annotations = nil
		w.f.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "api", ID: "a-1", ARN: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/irsa-lab/a-1", Described: true, Role: role(t, roleARN), CreatedAt: now.Add(-2 * time.Hour), ModifiedAt: now.Add(-2 * time.Hour)}}
		w.f.Roles[0].TrustPolicy = podTrust
		w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"}
	}
	return w
}

func (w *world) walk(t testing.TB) explain.Chain {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := explain.Walk(desired.State{Cluster: "irsa-lab", Mappings: w.m}, snap, subject, explain.Options{Policy: w.p})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// next is a role that the workload's role may assume, and whom it trusts.
const nextARN = "arn:aws:iam::210987654321:role/next"

func (w *world) next(t testing.TB, trusted string) {
	w.f.Roles[0].Policies = []live.Policy{{Name: "go-on", Statements: []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{nextARN}}}}}
	w.f.Roles = append(w.f.Roles, live.Role{ARN: role(t, nextARN), Presence: live.Present, PoliciesRead: true,
		TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + trusted + `"},"Action":"sts:AssumeRole"}]}`})
}

func (w *world) gap(s live.Source, scope string) {
	w.f.Gaps = append(w.f.Gaps, live.Gap{Source: s, Scope: scope, Reason: live.GapRefused, Message: "AccessDenied"})
}

// TestBroken: of each world the first broken link is named, with what is wrong and what
// mends it.
func TestBroken(t *testing.T) {
	t.Parallel()
	i, p := identity.IRSA, identity.PodIdentity
	for _, test := range []struct {
		name   string
		m      identity.Mechanism
		change func(w *world)
		first  string
		state  explain.State
		says   string
		fix    string
	}{
		{"the cluster is another", i, func(w *world) { w.f.Cluster.APIServerIssuer = issuer + "X" }, "git", explain.Broken, "is not that of EKS cluster", ""},
		{"the operator forbids it", i, func(w *world) {
			w.p.Diff.Forbid = func(desired.Mapping) (string, bool) { return "lanyard.yaml:7:3: namespace demo is not allowed", true }
		}, "git", explain.Broken, "lanyard.yaml:7:3", "guard rails"},
		{"a role of another partition", i, func(w *world) { w.m[0].Role.Partition = "aws-cn" }, "git", explain.Broken, "partition aws-cn", ""},
		{"a role of another account by Pod Identity", i, func(w *world) {
			w.m[0].Mechanism, w.m[0].Role.Account = identity.PodIdentity, "210987654321"
		}, "git", explain.Broken, "keep-irsa", ""},
		{"no ServiceAccount", i, func(w *world) { w.f.ServiceAccounts = nil }, "service-account", explain.Broken, "does not exist", "create ServiceAccount demo/api"},
		{"no annotation", i, func(w *world) { w.f.ServiceAccounts[0].Annotations = nil }, "wiring", explain.Broken, "no role annotation", "set annotation"},
		{"the annotation names another role", i, func(w *world) { w.f.ServiceAccounts[0].Annotations[diff.AnnotationRole] = roleARN + "x" }, "wiring", explain.Broken, "apix instead of api", "adopt: [annotation]"},
		{"the annotation is no ARN", i, func(w *world) { w.f.ServiceAccounts[0].Annotations[diff.AnnotationRole] = "api" }, "wiring", explain.Broken, "not a role ARN", ""},
		{"an association beside IRSA", i, func(w *world) {
			w.f.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "api", ID: "a-1", Described: true, Role: w.m[0].Role}}
		}, "wiring", explain.Broken, "Git asks for IRSA, but an association stands", ""},
		{"no webhook", i, func(w *world) { w.f.Webhook.Present = false }, "webhook", explain.Broken, "pod-identity-webhook is not there", "AWS Support"},
		{"pods from before the annotation", i, func(w *world) {
			w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialNone}
		}, "pods", explain.Broken, "api-1", ""},
		{"pods with static keys", i, func(w *world) { w.f.Pods[0].Containers[0].Credential = live.CredentialStatic }, "pods", explain.Broken, "api-1", ""},
		{"pods with another role", i, func(w *world) { w.f.Pods[0].Containers[0].Role = roleARN + "x" }, "pods", explain.Broken, "api-1", ""},
		{"no OIDC provider in the account", i, func(w *world) { w.f.Providers = nil }, "oidc-provider", explain.Broken, "no OIDC provider", "aws iam create-open-id-connect-provider"},
		{"the provider lacks the audience", i, func(w *world) { w.f.Providers[0].ClientIDs = []string{"other"} }, "oidc-provider", explain.Broken, "sts.amazonaws.com", "aws iam add-client-id-to-open-id-connect-provider"},
		{"no role", i, func(w *world) { w.f.Roles[0].Presence, w.f.Roles[0].TrustPolicy = live.Absent, "" }, "role", explain.Broken, "does not exist", "create role"},
		{"the trust names another namespace", i, func(w *world) {
			w.f.Roles[0].TrustPolicy = irsaTrust(host, "system:serviceaccount:demo2:api", "sts.amazonaws.com")
		}, "trust", explain.Broken, ":sub differs", `"system:serviceaccount:demo:api"`},
		{"the trust has a stale issuer", i, func(w *world) {
			w.f.Roles[0].TrustPolicy = irsaTrust("oidc.eks.eu-west-1.amazonaws.com/id/OLD", subject.OIDCSubject(), "sts.amazonaws.com")
		}, "trust", explain.Broken, "OLD", `"Sid":"Lanyard`},
		{"the trust names another audience", i, func(w *world) {
			w.f.Roles[0].TrustPolicy = irsaTrust(host, subject.OIDCSubject(), "sts.amazonaws.com.cn")
		}, "trust", explain.Broken, ":aud", ""},
		{"the trust denies it", i, func(w *world) {
			w.f.Roles[0].TrustPolicy = strings.Replace(w.f.Roles[0].TrustPolicy, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity"},`, 1)
		}, "trust", explain.Broken, "denies", "lanyard edits only its own"},
		{"the trust cannot be judged", i, func(w *world) {
			w.f.Roles[0].TrustPolicy = strings.Replace(w.f.Roles[0].TrustPolicy, `"StringEquals":{`, `"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"StringEquals":{`, 1)
		}, "trust", explain.Unknown, "aws:SourceIp", ""},

		{"Pod Identity is asked for, IRSA stands and is broken", i, func(w *world) {
			w.m[0].Mechanism = identity.PodIdentity
			w.f.Roles[0].TrustPolicy = irsaTrust(host, "system:serviceaccount:demo2:api", "sts.amazonaws.com")
		}, "trust", explain.Broken, ":sub differs", `"system:serviceaccount:demo:api"`},
		{"a role that it goes on to does not let it in", i, func(w *world) { w.next(t, "arn:aws:iam::123456789012:role/other") }, "chained-roles", explain.Broken, "role " + nextARN + " does not let it in", "allow " + roleARN},
		{"a role that it goes on to asks for an external ID", i, func(w *world) {
			w.next(t, roleARN)
			w.f.Roles[1].TrustPolicy = strings.Replace(w.f.Roles[1].TrustPolicy, `"Action"`, `"Condition":{"StringEquals":{"sts:ExternalId":"x"}},"Action"`, 1)
		}, "chained-roles", explain.Unknown, "sts:ExternalId, which the program sends", "sends what the trust policy"},
		{"a role that it goes on to was not read", i, func(w *world) { w.next(t, roleARN); w.f.Roles = w.f.Roles[:1] }, "chained-roles", explain.Unknown, "was not read", "if the program needs it"},
		{"its permission policies were not read", i, func(w *world) { w.f.Roles[0].PoliciesRead = false }, "chained-roles", explain.Unknown, "permission policies", "lanyard policy"},
		{"a role that it goes on to takes no session tags", p, func(w *world) { w.next(t, roleARN) }, "chained-roles", explain.Broken, "sts:TagSession", "sessionTags: false"},
		{"not in Git, with an annotation that is no role", i, func(w *world) {
			w.m, w.f.ServiceAccounts[0].Annotations[diff.AnnotationRole] = nil, "api"
		}, "wiring", explain.Broken, "no role ARN", "arn:aws:iam::ACCOUNT:role/NAME"},
		{"not in Git, and wired to nothing", i, func(w *world) { w.m, w.f.ServiceAccounts[0].Annotations = nil, nil }, "wiring", explain.Broken, "wired to no role", "declare a mapping"},
		{"not in Git, and no ServiceAccount was read", i, func(w *world) {
			w.m, w.f.ServiceAccounts = nil, nil
			w.gap(live.SourceServiceAccounts, "")
		}, "service-account", explain.Unknown, "kubernetes:serviceaccounts: refused: AccessDenied", "lanyard policy"},
		{"not in Git, and no association was read", i, func(w *world) {
			w.m, w.f.ServiceAccounts[0].Annotations = nil, nil
			w.gap(live.SourceListAssociations, "")
		}, "wiring", explain.Unknown, "Pod Identity association", "lanyard policy"},

		{"no association", p, func(w *world) { w.f.Associations = nil }, "wiring", explain.Broken, "no association", "create the Pod Identity association"},
		{"the association has another role", p, func(w *world) { w.f.Associations[0].Role.Name = "debug" }, "wiring", explain.Broken, "debug", ""},
		{"the association lacks session tags", p, func(w *world) { w.f.Associations[0].SessionTagsOff = true }, "wiring", explain.Broken, "sessionTags", ""},
		{"pods from before the association", p, func(w *world) {
			w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialNone}
		}, "pods", explain.Broken, "api-1", ""},
		{"pods that are on IRSA still", p, func(w *world) {
			w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialIRSA, Role: roleARN, Audience: "sts.amazonaws.com"}
		}, "pods", explain.Broken, "api-1", ""},
		{"no agent on the node", p, func(w *world) { w.f.Nodes[0].AgentReady = false }, "agent", explain.Broken, "no ready Pod Identity agent on node " + node, ""},
		{"a pod on Fargate", p, func(w *world) { w.f.Pods[0].Fargate, w.f.Nodes[0].ComputeType = true, "fargate" }, "agent", explain.Broken, "Fargate", ""},
		{"a pod on Windows", p, func(w *world) { w.f.Pods[0].Windows, w.f.Nodes[0].OS = true, "windows" }, "agent", explain.Broken, "Windows", ""},
		{"a proxy before the agent", p, func(w *world) {
			w.f.Workloads[0].Containers = []live.Template{{Name: "main", Proxy: live.ProxyUnexempted}}
		}, "agent", explain.Broken, "proxy-without-exemption", "169.254.170.23"},
		{"a NetworkPolicy before the agent", p, func(w *world) {
			w.f.NetworkPolicies = []live.NetworkPolicy{{Namespace: "demo", Name: "deny"}}
		}, "agent", explain.Unknown, "network-policy demo/deny", "169.254.170.23/32"},
		{"an SDK that is older than Pod Identity", p, func(w *world) { w.m[0].Migration.SDK = "aws-sdk-go/1.47.10" }, "pods", explain.Broken, "sdk-too-old", "1.47.11"},
		{"the trust does not name the service", p, func(w *world) {
			w.f.Roles[0].TrustPolicy = irsaTrust(host, subject.OIDCSubject(), "sts.amazonaws.com")
		}, "trust", explain.Broken, "pods.eks.amazonaws.com", `"Service":"pods.eks.amazonaws.com"`},
		{"the trust lacks TagSession", p, func(w *world) { w.f.Roles[0].TrustPolicy = strings.Replace(podTrust, `,"sts:TagSession"`, "", 1) }, "trust", explain.Broken, "sts:TagSession", ""},
		{"the trust pins another cluster", p, func(w *world) {
			w.f.Roles[0].TrustPolicy = strings.Replace(podTrust, "cluster/irsa-lab", "cluster/other", 1)
		}, "trust", explain.Broken, "eks-cluster-arn", ""},
		{"the target role lets nobody in", p, func(w *world) {
			w.m[0].PodIdentity.TargetRole = w.m[0].Role
			w.m[0].PodIdentity.TargetRole.Account = "210987654321"
			w.f.Associations[0].TargetRole = w.m[0].PodIdentity.TargetRole
			w.f.Roles = append(w.f.Roles, live.Role{ARN: w.m[0].PodIdentity.TargetRole, Presence: live.Present, TrustPolicy: podTrust})
		}, "trust", explain.Broken, "target role", ""},

		{"associations were not read", i, func(w *world) { w.gap(live.SourceListAssociations, "") }, "wiring", explain.Unknown, "Pod Identity association", "lanyard policy"},
		{"pods were not read", i, func(w *world) { w.gap(live.SourcePods, ""); w.f.Pods = nil }, "pods", explain.Unknown, "pods", "lanyard policy"},
		{"the role was not read", i, func(w *world) { w.f.Roles = nil }, "role", explain.Unknown, "role " + roleARN, "lanyard policy"},
		{"the provider was not described", i, func(w *world) {
			w.f.Providers[0].Described = false
			w.f.Gaps = append(w.f.Gaps, live.Gap{Source: live.SourceProvider, Scope: w.f.Providers[0].ARN, Reason: live.GapThrottled})
		}, "oidc-provider", explain.Unknown, "iam:GetOpenIDConnectProvider", "look again"},
		{"the webhook was not read", i, func(w *world) { w.gap(live.SourceWebhook, ""); w.f.Webhook.Present = false }, "webhook", explain.Unknown, "mutatingwebhookconfigurations", ""},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := healthy(t, test.m)
			test.change(w)
			c := w.walk(t)
			for _, l := range c.Links {
				if strings.TrimSpace(l.Says) != l.Says || l.Says == "" || strings.Contains(l.Says, "  ") {
					t.Errorf("link %s is %s of something that is not there: %q", l.Name, l.State, l.Says)
				}
				if l.Name != test.first {
					continue
				}
				text := l.Says + "\n" + strings.Join(l.Evidence, "\n")
				if c.First != test.first || l.State != test.state || !strings.Contains(text, test.says) || !strings.Contains(strings.Join(l.Fix, "\n"), test.fix) {
					t.Errorf("first %s, %s, %s\nfix %q; want %s, %s with %q and fix %q", c.First, l.State, text, l.Fix, test.first, test.state, test.says, test.fix)
				}
				if len(l.Fix) == 0 {
					t.Error("nothing says what mends it")
				}
			}
			if c.First == "" {
				t.Errorf("every link is good, want %s", test.first)
			}
		})
	}
}

// TestHealthy: where nothing is wrong every link is good, named by Git or not, with pods
// or without.
func TestHealthy(t *testing.T) {
	t.Parallel()
	for _, m := range []identity.Mechanism{identity.IRSA, identity.PodIdentity} {
		for name, change := range map[string]func(w *world){
			"as it is":     func(*world) {},
			"not in Git":   func(w *world) { w.m = nil },
			"without pods": func(w *world) { w.f.Pods = nil },
			"auto":         func(w *world) { w.m[0].Mechanism = identity.Auto },
		} {
			w := healthy(t, m)
			change(w)
			c := w.walk(t)
			if c.First != "" || len(c.Links) != 9 || c.Mechanism != m {
				t.Errorf("%s, %s: by %s the first that is not good is %q: %+v", m, name, c.Mechanism, c.First, c.Links)
			}
			for _, l := range c.Links {
				if l.Says == "" || l.State != explain.Good {
					t.Errorf("%s, %s: %+v", m, name, l)
				}
			}
		}
	}
}

// TestNothing: what is not there has no chain, and the error says what to do.
func TestNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(w *world)
		says   string
	}{
		"no such ServiceAccount": {func(w *world) { w.f.ServiceAccounts = nil }, "there is no ServiceAccount or pod demo/api"},
	} {
		w := healthy(t, identity.IRSA)
		w.m = nil
		test.change(w)
		snap, err := live.New(w.f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := explain.Walk(desired.State{}, snap, subject, explain.Options{Policy: w.p}); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
}

// TestPod: a pod is explained by its ServiceAccount, and what it was given is told.
func TestPod(t *testing.T) {
	t.Parallel()
	w := healthy(t, identity.IRSA)
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	state := desired.State{Cluster: "irsa-lab", Mappings: w.m}
	s, pod := explain.Subject(state, snap, "demo", "api-1")
	if s != subject || pod != "api-1" {
		t.Fatalf("pod api-1 is %s's, %q", s, pod)
	}
	c, err := explain.Walk(state, snap, s, explain.Options{Policy: w.p, Pod: pod})
	if err != nil || c.Pod != "api-1" || c.Links[4].Says != "pod api-1 was given what is wired: main irsa" {
		t.Errorf("%v: %+v", err, c)
	}
	w.f.Pods = append(w.f.Pods, live.Pod{Namespace: "demo", Name: "api-2", ServiceAccount: "api", Node: node, CreatedAt: now.Add(-3 * time.Hour), Phase: "Running",
		Containers: []live.Container{{Name: "main", Credential: live.CredentialNone}}})
	both, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	for pod, first := range map[string]string{"": "pods", "api-1": "", "api-2": "pods"} { // another pod's trouble is not this one's
		if c, err := explain.Walk(state, both, subject, explain.Options{Policy: w.p, Pod: pod}); err != nil || c.First != first {
			t.Errorf("pod %q: first %q, %v, want %q", pod, c.First, err, first)
		}
	}
	if s, pod := explain.Subject(state, snap, "demo", "api"); s != subject || pod != "" {
		t.Errorf("ServiceAccount api is %s, pod %q", s, pod)
	}
	if s, pod := explain.Subject(state, snap, "demo", "nobody"); s.ServiceAccount != "nobody" || pod != "" {
		t.Errorf("nobody is %s, pod %q", s, pod)
	}
}

// state says how a link of a chain is; empty where it has none of the name.
func state(c explain.Chain, name string) explain.State {
	for _, l := range c.Links {
		if l.Name == name {
			return l.State
		}
	}
	return ""
}

// TestStands: where Git asks for what is not there yet, or cannot be, the chain is that of
// what stands. No link is good that nothing was looked at for.
func TestStands(t *testing.T) {
	t.Parallel()
	w := healthy(t, identity.IRSA)
	w.m[0].Mechanism = identity.PodIdentity
	c := w.walk(t)
	if c.First != "" || c.Mechanism != identity.IRSA || !strings.Contains(c.Links[0].Says, "asks for pod-identity with role api; it is on irsa still") || !strings.Contains(strings.Join(c.Links[0].Evidence, " "), "lanyard plan demo/api") {
		t.Errorf("by %s, first %q: %+v", c.Mechanism, c.First, c.Links[0])
	}
	w = healthy(t, identity.IRSA)
	w.m[0].Mechanism, w.m[0].Role.Account = identity.PodIdentity, "210987654321"
	c = w.walk(t)
	for _, l := range c.Links[1:] {
		if c.Mechanism != identity.IRSA || l.State != explain.Good {
			t.Errorf("by %s: %+v", c.Mechanism, l)
		}
	}
	w = healthy(t, identity.IRSA)
	w.f.Roles[0] = live.Role{ARN: w.f.Roles[0].ARN, Presence: live.Absent}
	if c = w.walk(t); c.First != "role" || state(c, "trust") != explain.Unknown {
		t.Errorf("first %s, and the trust of a role that is not there is %s", c.First, state(c, "trust"))
	}
	w = healthy(t, identity.IRSA)
	w.m, w.f.ServiceAccounts[0].Annotations[diff.AnnotationRole] = nil, strings.Replace(roleARN, "arn:aws:", "arn:aws-cn:", 1)
	if c = w.walk(t); c.First != "wiring" || state(c, "trust") == explain.Good || state(c, "oidc-provider") == explain.Good {
		t.Errorf("an annotation of another partition: first %s, trust %s", c.First, state(c, "trust"))
	}
	w = healthy(t, identity.PodIdentity)
	w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialIRSA, Role: roleARN, Audience: "sts.amazonaws.com"}
	w.f.Nodes[0].AgentReady = false
	for _, l := range w.walk(t).Links {
		if l.Name == "agent" && strings.Contains(l.Says, "ready") {
			t.Errorf("no agent is there: %+v", l)
		}
	}
}

// TestFix: the exact text is there, and that of another link is not.
func TestFix(t *testing.T) {
	t.Parallel()
	w := healthy(t, identity.IRSA)
	w.m[0].Adopt = desired.Adopt{Trust: true}
	w.f.Providers = nil
	w.f.Roles[0].TrustPolicy = irsaTrust(host, "system:serviceaccount:demo2:api", "sts.amazonaws.com")
	for _, l := range w.walk(t).Links {
		text := strings.Join(l.Fix, "\n")
		switch l.Name {
		case "oidc-provider":
			if !strings.Contains(text, "aws iam create-open-id-connect-provider") || strings.Contains(text, "Sid") {
				t.Errorf("what mends the provider: %s", text)
			}
		case "trust":
			if strings.Contains(text, "aws iam") || !strings.Contains(text, `"Sid":"Lanyard`) || !strings.Contains(text, "mode repair") {
				t.Errorf("what mends the trust: %s", text)
			}
		}
	}
	w = healthy(t, identity.IRSA)
	w.f.Pods[0].Containers[0] = live.Container{Name: "main", Credential: live.CredentialNone}
	var b strings.Builder
	if err := w.walk(t).Text(&b, nil); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Count(text, "kubectl rollout restart") != 1 || !strings.Contains(text, "\n  kubectl -n demo rollout restart deployment/api\n") || strings.Contains(text, "made by") {
		t.Errorf("what mends the pods: %s", text)
	}
}
