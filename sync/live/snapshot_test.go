package live_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestContradictions: facts that cannot all be so are refused, all at once.
func TestContradictions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		mar  func(*live.Facts)
		want []string
	}{
		{"no cluster", func(f *live.Facts) { f.Cluster = live.Cluster{} }, []string{"is not an EKS cluster ARN"}},
		{"no cluster ARN", func(f *live.Facts) { f.Cluster.ARN = "irsa-lab" }, []string{`"irsa-lab" is not an EKS cluster ARN`}},
		{"a role as cluster ARN", func(f *live.Facts) { f.Cluster.ARN = role.String() }, []string{"is not an EKS cluster ARN"}},
		{"two names", func(f *live.Facts) { f.Cluster.Name = "other" }, []string{`named "other"`, `says "irsa-lab"`}},
		{"namespaces", func(f *live.Facts) { f.Namespaces = twice(f.Namespaces) }, []string{"two entries for namespace demo"}},
		{"ServiceAccounts", func(f *live.Facts) { f.ServiceAccounts = twice(f.ServiceAccounts) }, []string{"two entries for ServiceAccount demo/reader"}},
		{"associations", func(f *live.Facts) { f.Associations = twice(f.Associations) }, []string{"two entries for association of demo/reader"}},
		{"nodes", func(f *live.Facts) { f.Nodes = twice(f.Nodes) }, []string{"two entries for node ip-10-0-0-1"}},
		{"roles", func(f *live.Facts) { f.Roles = twice(f.Roles) }, []string{"two entries for role " + role.String()}},
		{"providers", func(f *live.Facts) { f.Providers = twice(f.Providers) }, []string{"two entries for OIDC provider " + provider}},
		{"accounts", func(f *live.Facts) { f.Accounts = twice(f.Accounts) }, []string{"two entries for account " + account}},
		{"several", func(f *live.Facts) { f.Nodes, f.Roles = twice(f.Nodes), twice(f.Roles) }, []string{"two entries for node", "two entries for role"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := inhabited()
			tt.mar(&f)
			s, err := live.New(f)
			if err == nil || s != nil {
				t.Fatalf("New: %v, %v; want no snapshot and an error", s, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func twice[T any](list []T) []T { return append(list, list[0]) }

// TestPodsAreLive: pods that have ended hold nothing.
func TestPodsAreLive(t *testing.T) {
	t.Parallel()
	f := base()
	for _, phase := range []string{"Pending", "Running", "Succeeded", "Failed", "Unknown", ""} {
		f.Pods = append(f.Pods, live.Pod{Namespace: "demo", ServiceAccount: "reader", Name: "p-" + phase, Phase: phase})
	}
	f.Pods = append(f.Pods, live.Pod{Namespace: "demo", ServiceAccount: "writer", Name: "other", Phase: "Running"})
	pods, _ := index(t, f).Pods(reader)
	var got []string
	for _, p := range pods {
		got = append(got, p.Name)
	}
	if want := []string{"p-Pending", "p-Running", "p-Unknown", "p-"}; !slices.Equal(got, want) {
		t.Errorf("live pods %v, want %v", got, want)
	}
	_ = append(pods, live.Pod{Name: "mine"}) // must not reach into the snapshot
	if again, _ := index(t, f).Pods(reader); len(again) != 4 {
		t.Errorf("%d pods after an append, want 4", len(again))
	}
}

// TestUses: which mechanisms a pod may draw credentials from, by its containers.
func TestUses(t *testing.T) {
	t.Parallel()
	const token = "pods.eks.amazonaws.com"
	for _, tt := range []struct {
		name      string
		pod       []live.Container
		irsa, pia bool
	}{
		{"none", nil, false, false},
		{"irsa", []live.Container{{Credential: live.CredentialIRSA}}, true, false},
		{"pod identity", []live.Container{{Credential: live.CredentialPodIdentity}}, false, true},
		{"both", []live.Container{{Credential: live.CredentialBoth}}, true, true},
		{"one of each", []live.Container{{Credential: live.CredentialIRSA}, {Credential: live.CredentialPodIdentity}}, true, true},
		{"init only", []live.Container{{Init: true, Credential: live.CredentialIRSA}, {Credential: live.CredentialNone}}, true, false},
		{"broken", []live.Container{{Credential: live.CredentialBroken, Role: role.String()}}, false, false},
		{"keys alone", []live.Container{{Credential: live.CredentialStatic}}, false, false},
		{"keys over irsa", []live.Container{{Credential: live.CredentialStatic, Role: role.String(), Audience: "sts.amazonaws.com"}}, true, false},
		{"keys over pod identity", []live.Container{{Credential: live.CredentialStatic, Audience: token}}, false, true},
		{"profile over irsa", []live.Container{{Credential: live.CredentialProfile, Role: role.String()}}, true, false},
		{"profile over pod identity", []live.Container{{Credential: live.CredentialProfile, Audience: token}}, false, true},
		{"profile alone", []live.Container{{Credential: live.CredentialProfile}}, false, false},
	} {
		p := live.Pod{Containers: tt.pod}
		if irsa, pia := p.Uses(identity.IRSA), p.Uses(identity.PodIdentity); irsa != tt.irsa || pia != tt.pia {
			t.Errorf("%s: uses irsa %t, pod identity %t; want %t, %t", tt.name, irsa, pia, tt.irsa, tt.pia)
		}
	}
}

// TestAddon: an association is an add-on's if the add-on lists it.
func TestAddon(t *testing.T) {
	t.Parallel()
	f := inhabited()
	f.Addons = []live.Addon{{Name: "coredns", Described: true}, {Name: "vpc-cni", Described: true, Associations: []string{"arn:a", ""}}}
	s := index(t, f)
	for arn, want := range map[string]string{"arn:a": "vpc-cni", "arn:b": "", "": ""} {
		if got, ok := s.Addon(live.Association{ARN: arn}); got.Name != want || ok != (want != "") {
			t.Errorf("add-on of %q: %q %t, want %q", arn, got.Name, ok, want)
		}
	}
}

// TestSubjects: each ServiceAccount that is there or has an association, once, sorted.
func TestSubjects(t *testing.T) {
	t.Parallel()
	f := base()
	f.ServiceAccounts = []live.ServiceAccount{{Namespace: "b", Name: "x"}, {Namespace: "a", Name: "y"}}
	f.Associations = []live.Association{{Namespace: "b", ServiceAccount: "x"}, {Namespace: "a", ServiceAccount: "x"}}
	want := []identity.Subject{{Namespace: "a", ServiceAccount: "x"}, {Namespace: "a", ServiceAccount: "y"}, {Namespace: "b", ServiceAccount: "x"}}
	if diff := cmp.Diff(want, index(t, f).Subjects()); diff != "" {
		t.Errorf("subjects (-want +got)\n%s", diff)
	}
}

// TestAccessors: the snapshot hands back what it was given.
func TestAccessors(t *testing.T) {
	t.Parallel()
	f := inhabited()
	f.Gaps = []live.Gap{{Source: live.SourcePods, Reason: live.GapRefused}}
	s := index(t, f)
	if diff := cmp.Diff(f, *s.Facts()); diff != "" {
		t.Errorf("facts (-want +got)\n%s", diff)
	}
	if c := s.Cluster(); c.ARN() != cluster || c.Issuer != f.Cluster.Issuer {
		t.Errorf("cluster %+v", c)
	}
	if got := s.Gaps(); !slices.Equal(got, f.Gaps) {
		t.Errorf("gaps %v", got)
	}
	workloads, _ := s.Workloads(reader)
	node, _ := s.Node("ip-10-0-0-1")
	ns, _ := s.Namespace("demo")
	quota, _ := s.TrustQuota(account)
	if len(workloads) != 1 || node.Name != "ip-10-0-0-1" || ns.Name != "demo" || quota != 2048 {
		t.Errorf("workloads %v, node %v, namespace %v, quota %d", workloads, node, ns, quota)
	}
}

// TestDocumentsOutliveASnapshot: a text is parsed once over several snapshots, and
// forgotten when two in a row did not ask for it.
func TestDocumentsOutliveASnapshot(t *testing.T) {
	t.Parallel()
	var docs live.Documents
	next := func() *live.Snapshot {
		s, err := live.NewWith(inhabited(), &docs)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, _, _ := next().Trust(role)
	second, _, _ := next().Trust(role)
	if first != second {
		t.Error("the second snapshot parsed the text again")
	}
	next()
	next()
	if later, _, _ := next().Trust(role); later == second {
		t.Error("a text that two snapshots did not ask for is still kept")
	}
}

// TestUnread: a source with a gap of any scope has been read only in part.
func TestUnread(t *testing.T) {
	t.Parallel()
	f := base()
	f.Gaps = []live.Gap{{Source: live.SourceRole, Scope: role.String(), Reason: live.GapRefused}}
	s := index(t, f)
	for _, source := range reads {
		if got, want := s.Unread(source), source == live.SourceRole; got != want {
			t.Errorf("Unread(%s) = %t, want %t", source, got, want)
		}
	}
}
