package app_test

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestOtherAccounts: a role in another account is read through the role that the
// configuration names, with its external ID; without it, or with another one, it is a
// gap and not an absence.
func TestOtherAccounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*desired.Configuration)
		want   live.Presence
		reason live.GapReason
	}{
		{"configured", func(*desired.Configuration) {}, live.Present, ""},
		{"not configured", func(c *desired.Configuration) { c.Accounts = nil }, live.Unknown, live.GapUnconfigured},
		{"another external ID", func(c *desired.Configuration) { c.Accounts[0].ExternalID = "wrong" }, live.Unknown, live.GapRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			tt.change(s.opts.Config)
			r, err := app.NewReader(t.Context(), s.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			role, err := identity.ParseRoleARN("arn:aws:iam::210987654321:role/eks-irsa-lab-accountb-direct")
			if err != nil {
				t.Fatal(err)
			}
			snap, err := r.Observe(t.Context(), desired.State{Mappings: []desired.Mapping{{Role: role}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, got := snap.Role(role); got != tt.want {
				t.Errorf("the role is %v, want %v; gaps %v", got, tt.want, snap.Gaps())
			}
			var reasons []live.GapReason
			for _, g := range snap.Gaps() {
				if strings.Contains(g.Scope+g.Message, "210987654321") {
					reasons = append(reasons, g.Reason)
				}
			}
			if tt.reason != "" && (len(reasons) == 0 || reasons[0] != tt.reason) || tt.reason == "" && len(snap.Gaps()) != 0 {
				t.Errorf("gaps %v; want reason %q", snap.Gaps(), tt.reason)
			}
		})
	}
}

// TestRails: the guard rails of a configuration and of a snapshot that was taken under
// it forbid the same mappings.
func TestRails(t *testing.T) {
	t.Parallel()
	c, err := desired.ParseConfiguration("c.yaml", []byte(`apiVersion: lanyard.io/v1alpha1
kind: Configuration
cluster: irsa-lab
mode: repair
protect: [kube-system]
allow: [{namespaces: ["demo", "kube-*"], roles: ["arn:aws:iam::123456789012:role/eks-*"]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	rails := live.GuardRails{Mode: "repair", Protect: []string{"kube-system"},
		Allow: []live.AllowRule{{Namespaces: []string{"demo", "kube-*"}, Roles: []string{"arn:aws:iam::123456789012:role/eks-*"}}}}
	for _, tt := range []struct{ namespace, account, role, why string }{
		{"demo", "reader", "eks-a", ""},
		{"demo", "reader", "admin", "allow.role"},
		{"other", "reader", "eks-a", "allow.role"},
		{"kube-system", "reader", "eks-a", "protect"},
		{"kube-system", "eks-pod-identity-agent", "eks-a", "self"},
	} {
		m := desired.Mapping{Subject: identity.Subject{Namespace: tt.namespace, ServiceAccount: tt.account},
			Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: tt.role}}
		for from, forbid := range map[string]func(desired.Mapping) (string, bool){"configuration": app.Rails(c, nil).Diff.Forbid, "snapshot": app.RailsOf(rails).Diff.Forbid} {
			why, forbidden := forbid(m)
			if forbidden != (tt.why != "") || !strings.Contains(why, tt.why) {
				t.Errorf("%s: %v with role %s: %q, %t; want %q", from, m.Subject, tt.role, why, forbidden, tt.why)
			}
		}
	}
	if why, forbidden := app.Rails(nil, nil).Diff.Forbid(desired.Mapping{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "x"}}); forbidden {
		t.Errorf("without a configuration %q is forbidden, although nothing is written", why)
	}
}
