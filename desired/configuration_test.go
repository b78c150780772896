package desired_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func at(line, column int) desired.Position {
	return desired.Position{File: "c.yaml", Line: line, Column: column}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	minimal := desired.Configuration{
		Cluster: "irsa-lab", Mode: desired.ModeObserve, Prune: desired.PruneNever,
		Source:    desired.Source{Ref: "main", Paths: []string{"."}, Interval: time.Minute},
		Budgets:   desired.Budgets{RemovalsPerHour: 5, ChangesPerRound: 20},
		Migration: desired.Pace{MaxConcurrent: 1, PerNamespace: 1, Settle: time.Minute},
		At:        at(1, 1), AllowAt: at(1, 1),
	}
	whole := minimal
	whole.Mode, whole.Prune = desired.ModeMigrate, desired.PruneOwned
	whole.Source = desired.Source{
		URL: "https://github.com/acme/fleet", Ref: "main", Paths: []string{"fleet"}, Interval: time.Minute,
		Auth: desired.Auth{
			Username: "git", TokenFile: "/run/secrets/token", CAFile: "/etc/ca.pem", Proxy: "http://proxy:3128",
		},
		Verify: desired.Verify{GPGKeysFile: "/etc/keys.asc", AllowedSignersFile: "/etc/signers"},
	}
	whole.Allow = []desired.Allow{{
		Namespaces: []string{"demo", "team-*"}, Roles: []string{"arn:aws:iam::123456789012:role/eks-irsa-lab-*"}, At: at(13, 9),
	}}
	whole.AllowAt = at(13, 8)
	whole.Protect = []desired.Protect{{Namespace: "kube-system", At: at(14, 11)}}
	whole.Accounts = []desired.Account{{
		ID: "210987654321", ExternalID: "irsa-lab-accountb-shared-id", At: at(15, 12),
		Role: identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "lanyard-read"},
	}}
	whole.OrganizationID, whole.PrometheusURL = "o-a1b2c3d4e5", "http://prometheus.monitoring:9090"
	whole.Migration.StartupTaint = "ebs.csi.aws.com/agent-not-ready:NoExecute"
	whole.Features = desired.Features{CloudTrail: true, IdentityProbe: true, SecretKeys: true, Self: true, PullRequests: true}
	whole.PullRequests = desired.PullRequests{
		TokenFile: "/run/secrets/github", URL: "https://ghe.example.com/api/v3", Repository: "acme/fleet", CAFile: "/etc/ghe.pem",
		Author: "lanyard[bot]", Context: "lanyard/eu/irsa-lab", Forks: true,
	}
	for name, want := range map[string]desired.Configuration{"minimal": minimal, "whole": whole} {
		data, err := os.ReadFile("testdata/configuration/good/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		got, err := desired.ParseConfiguration("c.yaml", data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestForge: where pull requests are is read from source.url as far as it shows that, and
// never guessed.
func TestForge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source, ref string
		pulls       desired.PullRequests
		want        desired.Forge
		wrong       string
	}{
		{source: "https://github.com/acme/fleet", want: desired.Forge{API: "https://api.github.com", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "https://GitHub.com/acme/fleet.git/", want: desired.Forge{API: "https://api.github.com", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "git@github.com:acme/fleet.git", want: desired.Forge{API: "https://api.github.com", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "ssh://git@ssh.github.com:443/acme/fleet.git", want: desired.Forge{API: "https://api.github.com", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "https://octo.ghe.com/acme/fleet", want: desired.Forge{API: "https://api.octo.ghe.com", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "https://github.com/acme/fleet", ref: "refs/heads/release/1", pulls: desired.PullRequests{Context: "x"}, want: desired.Forge{API: "https://api.github.com", Repository: "acme/fleet", Branch: "release/1", Context: "x"}},
		{source: "https://ghe.example.com/acme/fleet", wrong: "pullRequests.url"},
		{source: "https://evilgithub.com/acme/fleet", wrong: "pullRequests.url"},
		{source: "https://github.com.evil.example/acme/fleet", wrong: "pullRequests.url"},
		{source: "/srv/fleet.git", wrong: "pullRequests.url"},
		{source: "https://ghe.example.com/acme/fleet", pulls: desired.PullRequests{URL: "https://ghe.example.com/api/v3"}, want: desired.Forge{API: "https://ghe.example.com/api/v3", Repository: "acme/fleet", Branch: "main", Context: "lanyard/lab"}},
		{source: "/srv/fleet.git", pulls: desired.PullRequests{URL: "https://ghe.example.com/api/v3"}, wrong: "pullRequests.repository"},
		{source: "https://github.com/a/b/c", wrong: "pullRequests.repository"},
		{source: "https://github.com/acme/fleet", ref: "refs/tags/v1", wrong: "source.ref"},
		{source: "https://github.com/acme/fleet", ref: "0123456789012345678901234567890123456789", wrong: "source.ref"},
	} {
		c := &desired.Configuration{Cluster: "lab", Source: desired.Source{URL: tt.source, Ref: or(tt.ref, "main")}, PullRequests: tt.pulls}
		got, err := c.Forge()
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s at %q: %v, want an error that names %s", tt.source, tt.ref, err, tt.wrong)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s at %q: %v (-want +got)\n%s", tt.source, tt.ref, err, diff)
		}
	}
}

func TestPermit(t *testing.T) {
	t.Parallel()
	role := func(s string) identity.RoleARN {
		r, err := identity.ParseRoleARN(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	allow := []desired.Allow{
		{Namespaces: []string{"demo", "team-*"}, Roles: []string{"arn:aws:iam::123456789012:role/eks-*"}, At: at(4, 3)},
		{Namespaces: []string{"kube-system"}, Roles: []string{"*"}, At: at(5, 3)},
	}
	protect := []desired.Protect{{Namespace: "kube-*", At: at(7, 3)}}
	guarded := &desired.Configuration{Mode: desired.ModeRepair, Allow: allow, AllowAt: at(3, 1), Protect: protect, At: at(1, 1)}
	const own, other = "arn:aws:iam::123456789012:role/eks-a", "arn:aws:iam::210987654321:role/eks-a"
	for _, tt := range []struct {
		name                    string
		c                       *desired.Configuration
		namespace, role, target string
		want                    desired.Rule
		at                      desired.Position
	}{
		{"no configuration", nil, "demo", other, "", desired.RuleNone, desired.Position{}},
		{"allowed", guarded, "demo", own, "", desired.RuleNone, desired.Position{}},
		{"allowed by glob", guarded, "team-a", own, "", desired.RuleNone, desired.Position{}},
		{"role with a path", guarded, "demo", "arn:aws:iam::123456789012:role/eks-x/y", "", desired.RuleNone, desired.Position{}},
		{"other account", guarded, "demo", other, "", desired.RuleRole, at(3, 1)},
		{"other namespace", guarded, "prod", own, "", desired.RuleRole, at(3, 1)},
		{"role of one rule, namespace of another", guarded, "team-", other, "", desired.RuleRole, at(3, 1)},
		{"protected, though allowed", guarded, "kube-system", own, "", desired.RuleProtect, at(7, 3)},
		{"target allowed", guarded, "demo", own, "arn:aws:iam::123456789012:role/eks-b", desired.RuleNone, desired.Position{}},
		{"target not allowed", guarded, "demo", own, other, desired.RuleTarget, at(3, 1)},
		{"observing without rules", &desired.Configuration{Mode: desired.ModeObserve, At: at(1, 1)}, "demo", own, "", desired.RuleNone, desired.Position{}},
		{"observing with rules", &desired.Configuration{Mode: desired.ModeObserve, Allow: allow, AllowAt: at(3, 1)}, "prod", own, "", desired.RuleRole, at(3, 1)},
		{"mode lifted by a flag", &desired.Configuration{Mode: desired.ModeRepair, At: at(1, 1)}, "demo", own, "", desired.RuleNoAllow, at(1, 1)},
	} {
		m := desired.Mapping{Subject: identity.Subject{Namespace: tt.namespace, ServiceAccount: "a"}, Role: role(tt.role)}
		if tt.target != "" {
			m.PodIdentity.TargetRole = role(tt.target)
		}
		rule, place, ok := tt.c.Permit(m)
		if rule != tt.want || place != tt.at || ok != (tt.want == desired.RuleNone) {
			t.Errorf("%s: got %q at %s, %v; want %q at %s", tt.name, rule, place, ok, tt.want, tt.at)
		}
		if got := desired.RefusedBy(rule.Refusal(place, m)); got != rule {
			t.Errorf("%s: the rule of its refusal is %q, want %q", tt.name, got, rule)
		}
		if (rule.Explain(m) == "") != ok {
			t.Errorf("%s: explained as %q", tt.name, rule.Explain(m))
		}
	}
}
