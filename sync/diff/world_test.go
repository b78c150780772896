package diff_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

const (
	account = "123456789012"
	issuer  = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
)

var (
	cluster = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	role    = identity.RoleARN{Partition: "aws", Account: account, Path: "/", Name: "reader"}
	other   = identity.RoleARN{Partition: "aws", Account: account, Path: "/", Name: "other"}
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// world is one mapping and the facts around it, in sync until a test breaks it.
type world struct {
	facts   live.Facts
	mapping desired.Mapping
	opts    diff.Options
	gone    bool // the mapping has left Git
	held    *desired.Held
}

func (w *world) sa() *live.ServiceAccount       { return &w.facts.ServiceAccounts[0] }
func (w *world) pod() *live.Pod                 { return &w.facts.Pods[0] }
func (w *world) association() *live.Association { return &w.facts.Associations[0] }
func (w *world) role() *live.Role               { return &w.facts.Roles[0] }

func (w *world) state() desired.State {
	s := desired.State{Revision: desired.Revision{Ref: "main", Commit: "0123456789abcdef0123456789abcdef01234567"}, Cluster: cluster.Name, Held: w.held}
	if !w.gone {
		s.Mappings = []desired.Mapping{w.mapping}
	}
	return s
}

func (w *world) compare(t *testing.T) diff.Result {
	t.Helper()
	s, err := live.New(w.facts)
	if err != nil {
		t.Fatal(err)
	}
	return diff.Compare(w.state(), s, w.opts)
}

func grant(m identity.Mechanism, audiences ...string) trust.Grant {
	if len(audiences) == 0 {
		audiences = []string{"sts.amazonaws.com"}
	}
	return trust.Grant{Mechanism: m, Subject: subject, Cluster: cluster, Provider: provider(account), Audiences: audiences, SessionTags: true}
}

func provider(account string) string { return cluster.Issuer.ProviderARN("aws", account) }

// policy makes a trust policy of statements; a trust.Grant stands for lanyard's own.
func policy(t *testing.T, statements ...any) string {
	t.Helper()
	raw := make([]json.RawMessage, len(statements))
	for i, s := range statements {
		switch s := s.(type) {
		case trust.Grant:
			raw[i] = s.Statement()
		case string:
			raw[i] = json.RawMessage(s)
		}
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": raw})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func base(t *testing.T) *world {
	w := &world{mapping: desired.Mapping{Subject: subject, Name: subject.ServiceAccount, Role: role,
		PodIdentity: desired.PodIdentity{SessionTags: true},
		At:          desired.Position{File: "demo.yaml", Line: 4, Column: 9}, RoleAt: desired.Position{File: "demo.yaml", Line: 7, Column: 12}}}
	w.facts = live.Facts{TakenAt: now,
		Cluster:         live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: issuer, APIServerIssuer: issuer},
		Namespaces:      []live.Namespace{{Name: "demo"}},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1"}},
		Nodes:           []live.Node{{Name: "node-1", ComputeType: "ec2", OS: "linux", CreatedAt: now.Add(-time.Hour), Ready: true, AgentReady: true}},
		Accounts:        []live.Account{{ID: account, TrustSizeQuota: 2048}},
		Providers:       []live.OIDCProvider{{ARN: provider(account), Account: account, ClientIDs: []string{"sts.amazonaws.com"}, Described: true}},
		Roles:           []live.Role{{ARN: role, Presence: live.Present, TrustPolicy: policy(t, grant(identity.IRSA), grant(identity.PodIdentity))}},
		Pods: []live.Pod{{Namespace: "demo", Name: "reader-1", ServiceAccount: "reader", Node: "node-1", Owner: live.WorkloadRef{Kind: "Deployment", Name: "reader"},
			CreatedAt: now.Add(-30 * time.Minute), Phase: "Running", Ready: true, Containers: []live.Container{{Name: "app"}}}},
		Workloads: []live.Workload{{Namespace: "demo", Kind: "Deployment", Name: "reader", ServiceAccount: "reader", Replicas: 1}},
	}
	return w
}

// onIRSA is a subject that Git wants on IRSA, and that is.
func onIRSA(t *testing.T) *world {
	w := base(t)
	w.mapping.Mechanism = identity.IRSA
	w.sa().Annotations = map[string]string{diff.AnnotationRole: role.String()}
	w.role().TrustPolicy = policy(t, grant(identity.IRSA))
	w.pod().Containers[0] = live.Container{Name: "app", Credential: live.CredentialIRSA, Role: role.String(), Audience: "sts.amazonaws.com"}
	return w
}

// onPodIdentity is a subject that Git wants on Pod Identity, and that is.
func onPodIdentity(t *testing.T) *world {
	w := base(t)
	w.mapping.Mechanism = identity.PodIdentity
	w.facts.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "reader", ID: "a-1", Described: true, Role: role,
		Tags: map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: "demo/reader"}, CreatedAt: now.Add(-time.Hour), ModifiedAt: now.Add(-time.Hour)}}
	w.role().TrustPolicy = policy(t, grant(identity.PodIdentity))
	w.pod().Containers[0] = live.Container{Name: "app", Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"}
	return w
}
