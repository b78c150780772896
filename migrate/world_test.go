package migrate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	account = "123456789012"
	other   = "210987654321"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	host    = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	role    = "arn:aws:iam::123456789012:role/api"
	node    = "ip-10-0-1-11"
)

var (
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "api"}
)

// world is what an assessment is made from. The one that [eligible] returns has
// everything read and nothing in the way.
type world struct {
	f live.Facts
	m desired.Mapping
	o migrate.Options
}

func arn(text string) identity.RoleARN {
	r, err := identity.ParseRoleARN(text)
	if err != nil {
		panic(err)
	}
	return r
}

// irsaTrust lets subjects in by IRSA.
func irsaTrust(sub string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"%s:sub":"%s"},"StringEquals":{"%s:aud":"sts.amazonaws.com"}}}]}`,
		account, host, host, sub, host)
}

func eligible() *world {
	return &world{
		f: live.Facts{
			TakenAt:         now,
			Cluster:         live.Cluster{Name: "irsa-lab", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", Issuer: issuer, APIServerIssuer: issuer},
			Namespaces:      []live.Namespace{{Name: "demo"}},
			ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "api", Annotations: map[string]string{"eks.amazonaws.com/role-arn": role}}},
			Workloads: []live.Workload{
				{Namespace: "demo", Kind: "Deployment", Name: "api", ServiceAccount: "api", Replicas: 2, PodLabels: map[string]string{"app": "api"},
					Containers: []live.Template{{Name: "api", Image: "docker.io/amazon/aws-cli:2.33.0"}}},
				{Namespace: "kube-system", Kind: "DaemonSet", Name: "eks-pod-identity-agent", ServiceAccount: "eks-pod-identity-agent", Replicas: 1,
					PodLabels: map[string]string{"app.kubernetes.io/name": "eks-pod-identity-agent"}, Tolerations: []live.Toleration{{Operator: "Exists"}}},
			},
			Pods: []live.Pod{{Namespace: "demo", Name: "api-1", ServiceAccount: "api", Node: node, Owner: live.WorkloadRef{Kind: "Deployment", Name: "api"},
				CreatedAt: now.Add(-time.Hour), Phase: "Running", Ready: true, Containers: []live.Container{{Name: "api", Credential: live.CredentialIRSA, Role: role}}}},
			Nodes: []live.Node{{Name: node, ComputeType: "ec2", OS: "linux", CreatedAt: now.Add(-time.Hour), Ready: true, AgentReady: true,
				Labels: map[string]string{"kubernetes.io/os": "linux", "eks.amazonaws.com/nodegroup": "general"}}},
			Webhook:         live.Webhook{Present: true},
			Addons:          []live.Addon{{Name: "eks-pod-identity-agent", Status: "ACTIVE", Described: true}},
			FargateProfiles: []live.FargateProfile{{Name: "batch", Status: "ACTIVE", Described: true, Selectors: []live.FargateSelector{{Namespace: "batch-*"}}}},
			NodeGroups:      []live.NodeGroup{{Name: "general", Role: arn("arn:aws:iam::123456789012:role/node"), Described: true}},
			Accounts:        []live.Account{{ID: account, TrustSizeQuota: 2048, Roles: 3}},
			Roles: []live.Role{
				{ARN: arn(role), Presence: live.Present, TrustPolicy: irsaTrust(subject.OIDCSubject()), PoliciesRead: true,
					Policies: []live.Policy{{Name: "s3"}, {Name: "AmazonSQSFullAccess", ARN: "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}}},
				{ARN: arn("arn:aws:iam::123456789012:role/node"), Presence: live.Present, TrustPolicy: `{"Version":"2012-10-17","Statement":[]}`, PoliciesRead: true,
					Policies: []live.Policy{{Name: "AmazonEKSWorkerNodePolicy", ARN: "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}}},
			},
			Providers: []live.OIDCProvider{{ARN: "arn:aws:iam::123456789012:oidc-provider/" + host, Account: account, URL: host, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
		},
		m: desired.Mapping{Subject: subject, Name: "api", Role: arn(role), Mechanism: identity.Auto,
			PodIdentity: desired.PodIdentity{SessionTags: true, Trust: identity.WidthPinned},
			Migration:   desired.Migration{Restart: desired.RestartRolling, Proof: desired.ProofCloudTrail, Cleanup: desired.CleanupFull},
			Adopt:       desired.Adopt{Trust: true}},
	}
}

// The parts that changes reach for.
func (w *world) workload() *live.Workload  { return &w.f.Workloads[0] }
func (w *world) container() *live.Template { return &w.f.Workloads[0].Containers[0] }
func (w *world) pod() *live.Pod            { return &w.f.Pods[0] }
func (w *world) node() *live.Node          { return &w.f.Nodes[0] }
func (w *world) role() *live.Role          { return &w.f.Roles[0] }
func (w *world) sa() *live.ServiceAccount  { return &w.f.ServiceAccounts[0] }
func (w *world) policy(s ...live.PolicyStatement) {
	w.role().Policies = append(w.role().Policies, live.Policy{Name: fmt.Sprint("p", len(w.role().Policies)), Statements: s})
}
func (w *world) gap(source live.Source, scope string) {
	w.f.Gaps = append(w.f.Gaps, live.Gap{Source: source, Scope: scope, Reason: live.GapRefused, Message: "AccessDenied"})
}

func (w *world) assess(t testing.TB) migrate.Assessment {
	t.Helper()
	snap, err := live.New(w.f)
	if err != nil {
		t.Fatal(err)
	}
	return migrate.Assess(w.m, snap, w.o)
}
