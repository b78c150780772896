package app

import (
	"encoding/base64"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// TestSelf: lanyard's own ServiceAccount is known by its token, and never touched.
func TestSelf(t *testing.T) {
	t.Parallel()
	token := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".sig"
	}
	own := identity.Subject{Namespace: "lanyard", ServiceAccount: "lanyard"}
	self := selfOf(token(`{"sub":"system:serviceaccount:lanyard:lanyard"}`))
	if len(self) != 1 || self[0] != own {
		t.Fatalf("self is %v, want %v", self, own)
	}
	for _, bad := range []string{"", "x", "a.b.c", token(`{"sub":"someone"}`), token(`[]`)} {
		if got := selfOf(bad); got != nil {
			t.Errorf("selfOf(%q) = %v, want none", bad, got)
		}
	}
	c := &desired.Configuration{Mode: desired.ModeRepair, Allow: []desired.Allow{{Namespaces: []string{"*"}, Roles: []string{"*"}}}}
	m := desired.Mapping{Subject: own, Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "r"}}
	if why, forbidden := Rails(c, self).Diff.Forbid(m); !forbidden {
		t.Errorf("lanyard's own ServiceAccount is allowed: %q", why)
	}
	c.Features.Self = true
	if why, forbidden := Rails(c, self).Diff.Forbid(m); forbidden {
		t.Errorf("with features.self it is still forbidden: %s", why)
	}
}
