package live_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	account  = "123456789012"
	cluster  = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
)

var (
	reader = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	role   = identity.RoleARN{Partition: "aws", Account: account, Path: "/", Name: "reader"}

	// reads is reviewed by hand: a new source must be placed in a lookup below.
	reads = []live.Source{
		live.SourceServiceAccounts, live.SourceNamespaces, live.SourcePods, live.SourceWorkloads, live.SourceNodes,
		live.SourceWebhook, live.SourceIssuer, live.SourceCluster, live.SourceListAssociations,
		live.SourceDescribeAssociation, live.SourceListAddons, live.SourceDescribeAddon,
		live.SourceListFargateProfiles, live.SourceDescribeFargate, live.SourceRole, live.SourceRoles,
		live.SourceAuthorizationDetails, live.SourceListProviders, live.SourceProvider, live.SourceAccountSummary,
		live.SourceAssumeRole, live.SourceCallerIdentity,
		live.SourceBudgets, live.SourceNetworkPolicies, live.SourceReaders, live.SourceDescribeNodeGroup,
	}
)

// base is a cluster with nothing in it, whose account was looked at.
func base() live.Facts {
	return live.Facts{
		Cluster:  live.Cluster{Name: "irsa-lab", ARN: cluster, Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"},
		Accounts: []live.Account{{ID: account}},
	}
}

// inhabited is base with one of everything.
func inhabited() live.Facts {
	f := base()
	f.Namespaces = []live.Namespace{{Name: "demo"}}
	f.ServiceAccounts = []live.ServiceAccount{{Namespace: "demo", Name: "reader"}}
	f.Associations = []live.Association{{Namespace: "demo", ServiceAccount: "reader", ID: "a-1", Described: true, Role: role}}
	f.Pods = []live.Pod{{Namespace: "demo", ServiceAccount: "reader", Name: "reader-1", Phase: "Running"}}
	f.Workloads = []live.Workload{{Namespace: "demo", ServiceAccount: "reader", Kind: "Deployment", Name: "reader"}}
	f.Nodes = []live.Node{{Name: "ip-10-0-0-1"}}
	f.Roles = []live.Role{{ARN: role, Presence: live.Present, TrustPolicy: `{"Version":"2012-10-17","Statement":[]}`, PoliciesRead: true}}
	f.NodeGroups = []live.NodeGroup{{Name: "general", Described: true}}
	f.Providers = []live.OIDCProvider{{ARN: provider, Account: account, Described: true}}
	f.Accounts[0].TrustSizeQuota = 2048
	return f
}

func index(t testing.TB, f live.Facts) *live.Snapshot {
	t.Helper()
	s, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type lookup struct {
	name   string
	ask    func(*live.Snapshot) live.Presence
	scopes map[live.Source]string // the reads that answer it, and the scope that means this one
	empty  live.Presence          // the answer where nothing was found and nothing went unread
	gap    gapMeans
}

// gapMeans says what a gap that covers a lookup does to what was found all the same.
type gapMeans int

const (
	stale    gapMeans = iota // it may be gone since, if nothing of the source could be read
	whole                    // it stands for itself
	someOnly                 // there may be more
)

func lookups() []lookup {
	return []lookup{
		{"Namespace", func(s *live.Snapshot) live.Presence { _, p := s.Namespace("demo"); return p },
			map[live.Source]string{live.SourceNamespaces: "demo"}, live.Absent, stale},
		{"ServiceAccount", func(s *live.Snapshot) live.Presence { _, p := s.ServiceAccount(reader); return p },
			map[live.Source]string{live.SourceServiceAccounts: "demo/reader"}, live.Absent, stale},
		{"Association", func(s *live.Snapshot) live.Presence { _, p := s.Association(reader); return p },
			map[live.Source]string{live.SourceListAssociations: "demo/reader"}, live.Absent, stale},
		{"Pods", func(s *live.Snapshot) live.Presence { _, p := s.Pods(reader); return p },
			map[live.Source]string{live.SourcePods: "demo/reader"}, live.Present, someOnly},
		{"Workloads", func(s *live.Snapshot) live.Presence { _, p := s.Workloads(reader); return p },
			map[live.Source]string{live.SourceWorkloads: "demo/reader"}, live.Present, someOnly},
		{"Node", func(s *live.Snapshot) live.Presence { _, p := s.Node("ip-10-0-0-1"); return p },
			map[live.Source]string{live.SourceNodes: "ip-10-0-0-1"}, live.Absent, stale},
		{"Role", func(s *live.Snapshot) live.Presence { _, p := s.Role(role); return p }, nil, live.Unknown, whole},
		{"Policies", func(s *live.Snapshot) live.Presence { _, p := s.Policies(role); return p }, nil, live.Unknown, whole},
		{"NodeGroup", func(s *live.Snapshot) live.Presence { _, p := s.NodeGroup("general"); return p },
			map[live.Source]string{live.SourceDescribeNodeGroup: "general"}, live.Absent, stale},
		{"Trust", func(s *live.Snapshot) live.Presence { _, p, _ := s.Trust(role); return p }, nil, live.Unknown, whole},
		{"Provider", func(s *live.Snapshot) live.Presence { _, p := s.Provider(provider); return p },
			map[live.Source]string{live.SourceListProviders: account, live.SourceAssumeRole: account, live.SourceProvider: provider}, live.Absent, whole},
		{"TrustQuota", func(s *live.Snapshot) live.Presence { _, p := s.TrustQuota(account); return p }, nil, live.Unknown, whole},
	}
}

// TestUnknownIsNotAbsent asks every lookup under every gap (design.md, law 2): of
// nothing and of something, with a gap of every source and reason that covers all,
// exactly what is asked for, or something else.
func TestUnknownIsNotAbsent(t *testing.T) {
	t.Parallel()
	for _, l := range lookups() {
		for _, source := range reads {
			own := l.scopes[source]
			for _, scope := range []string{"", own, "other/thing"} {
				for _, reason := range []live.GapReason{live.GapRefused, live.GapThrottled, live.GapTruncated, live.GapFailed, live.GapUnconfigured} {
					gap := live.Gap{Source: source, Scope: scope, Reason: reason}
					for _, there := range []bool{false, true} {
						f := base()
						if there {
							f = inhabited()
						}
						f.Gaps = []live.Gap{gap}
						if got, want := l.ask(index(t, f)), l.want(gap, there); got != want {
							t.Errorf("%s, there: %t, gap %s: %s, want %s", l.name, there, gap, got, want)
						}
					}
				}
			}
		}
	}
}

// want is the answer of a lookup under one gap.
func (l lookup) want(gap live.Gap, there bool) live.Presence {
	own, answers := l.scopes[gap.Source]
	covers := answers && (gap.Scope == "" || gap.Scope == own)
	switch {
	case covers && (!there || l.gap == someOnly), covers && l.gap == stale && gap.Scope == "" && gap.Reason != live.GapTruncated:
		return live.Unknown
	case there:
		return live.Present
	}
	return l.empty
}

// TestWithoutGaps: what was read whole is present or absent.
func TestWithoutGaps(t *testing.T) {
	t.Parallel()
	for _, l := range lookups() {
		if got := l.ask(index(t, base())); got != l.empty {
			t.Errorf("%s of nothing: %s, want %s", l.name, got, l.empty)
		}
		if got := l.ask(index(t, inhabited())); got != live.Present {
			t.Errorf("%s of something: %s, want present", l.name, got)
		}
	}
}

// TestRolePresence: a role says itself whether it is there, and its trust policy is
// as present as the role.
func TestRolePresence(t *testing.T) {
	t.Parallel()
	for _, want := range []live.Presence{live.Unknown, live.Present, live.Absent} {
		f := inhabited()
		f.Roles[0].Presence = want
		s := index(t, f)
		_, got := s.Role(role)
		doc, trust, err := s.Trust(role)
		if got != want || trust != want || err != nil || (doc != nil) != (want == live.Present) {
			t.Errorf("role that is %s: Role %s, Trust %s, document %t, error %v", want, got, trust, doc != nil, err)
		}
	}
	f := inhabited()
	f.Roles[0].TrustPolicy = `{"Version":`
	s := index(t, f)
	for range 2 { // the second answer is remembered
		if _, p, err := s.Trust(role); p != live.Present || err == nil {
			t.Errorf("trust policy cut short: %s, %v; want present and an error", p, err)
		}
	}
}

// TestTrustIsParsedOnce: equal texts share one document.
func TestTrustIsParsedOnce(t *testing.T) {
	t.Parallel()
	f, twin := inhabited(), role
	twin.Name = "twin"
	f.Roles = append(f.Roles, live.Role{ARN: twin, Presence: live.Present, TrustPolicy: f.Roles[0].TrustPolicy})
	s := index(t, f)
	a, _, _ := s.Trust(role)
	b, _, _ := s.Trust(twin)
	if a == nil || a != b {
		t.Errorf("documents %p and %p, want the same", a, b)
	}
}

// TestNotDescribed: what was listed but could not be described is unknown; the listed
// part is still returned, so that its ID can be named.
func TestNotDescribed(t *testing.T) {
	t.Parallel()
	f := inhabited()
	f.Associations[0] = live.Association{Namespace: "demo", ServiceAccount: "reader", ID: "a-1"}
	f.Providers[0].Described = false
	s := index(t, f)
	if a, p := s.Association(reader); p != live.Unknown || a.ID != "a-1" {
		t.Errorf("association: %q %s, want a-1 unknown", a.ID, p)
	}
	if o, p := s.Provider(provider); p != live.Unknown || o.ARN != provider {
		t.Errorf("provider: %q %s, want it unknown", o.ARN, p)
	}
	if got := s.Subjects(); !slices.Equal(got, []identity.Subject{reader}) {
		t.Errorf("subjects %v", got)
	}
}

// TestUnaskedAccount: the providers of an account that was not looked at are unknown.
func TestUnaskedAccount(t *testing.T) {
	t.Parallel()
	s := index(t, base())
	for _, arn := range []string{"arn:aws:iam::210987654321:oidc-provider/x", "", "arn:aws:iam", "::::"} {
		if _, p := s.Provider(arn); p != live.Unknown {
			t.Errorf("provider %q: %s, want unknown", arn, p)
		}
	}
	if q, p := s.TrustQuota("210987654321"); q != 0 || p != live.Unknown {
		t.Errorf("quota: %d %s, want 0 unknown", q, p)
	}
}

// TestPresenceWords: the zero value is unknown, and only the three words are read.
func TestPresenceWords(t *testing.T) {
	t.Parallel()
	var zero live.Presence
	if zero != live.Unknown {
		t.Errorf("the zero Presence is %s, want unknown", zero)
	}
	for _, p := range []live.Presence{live.Unknown, live.Present, live.Absent} {
		var back live.Presence
		b, _ := p.MarshalText()
		if err := back.UnmarshalText(b); err != nil || back != p || string(b) != p.String() {
			t.Errorf("%s reads back as %s, %v", b, back, err)
		}
	}
	for _, bad := range []string{"", "Present", "yes"} {
		p := live.Present
		if err := p.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is read as %s", bad, p)
		}
	}
}

// TestClosedWords: every constant is read back, anything else is refused.
func TestClosedWords(t *testing.T) {
	t.Parallel()
	for _, want := range reads {
		var s live.Source
		if err := s.UnmarshalText([]byte(want)); err != nil || s != want {
			t.Errorf("source %q: %q, %v", want, s, err)
		}
	}
	for _, want := range []live.GapReason{live.GapRefused, live.GapThrottled, live.GapTruncated, live.GapFailed, live.GapUnconfigured} {
		var r live.GapReason
		if err := r.UnmarshalText([]byte(want)); err != nil || r != want {
			t.Errorf("reason %q: %q, %v", want, r, err)
		}
	}
	for _, want := range []live.Credential{live.CredentialPodIdentity, live.CredentialIRSA, live.CredentialBoth, live.CredentialStatic,
		live.CredentialProfile, live.CredentialBroken, live.CredentialNone} {
		var c live.Credential
		if err := c.UnmarshalText([]byte(want)); err != nil || c != want {
			t.Errorf("credential %q: %q, %v", want, c, err)
		}
	}
	for _, bad := range []string{"", "IRSA", "kubernetes:pod", "podidentity"} {
		var s live.Source
		var r live.GapReason
		var c live.Credential
		for _, err := range []error{s.UnmarshalText([]byte(bad)), r.UnmarshalText([]byte(bad)), c.UnmarshalText([]byte(bad))} {
			if err == nil {
				t.Errorf("%q is read", bad)
			}
		}
	}
}

func TestGapString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		gap  live.Gap
		want string
	}{
		{live.Gap{Source: live.SourcePods, Reason: live.GapRefused}, "kubernetes:pods: refused"},
		{live.Gap{Source: live.SourceRole, Scope: role.String(), Reason: live.GapThrottled, Message: "Rate exceeded"},
			"iam:GetRole " + role.String() + ": throttled: Rate exceeded"},
	} {
		if got := fmt.Sprint(tt.gap); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.gap, got, tt.want)
		}
	}
}

// TestPoliciesUnread: a role that was read without its permission policies has an
// unknown number of them, not none.
func TestPoliciesUnread(t *testing.T) {
	t.Parallel()
	f := inhabited()
	f.Roles[0].PoliciesRead = false
	if got, p := index(t, f).Policies(role); p != live.Unknown || got != nil {
		t.Errorf("policies that were not read: %v, %s; want unknown", got, p)
	}
	f.NodeGroups[0].Described = false
	if _, p := index(t, f).NodeGroup("general"); p != live.Unknown {
		t.Errorf("a node group that was not described: %s, want unknown", p)
	}
}
