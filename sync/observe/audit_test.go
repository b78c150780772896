package observe

import (
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

func (w *world) auditOf(o *Observer, roles ...identity.RoleARN) *live.Snapshot {
	w.t.Helper()
	s, err := o.Observe(w.t.Context(), Ask{Roles: roles, Audit: true})
	w.must(err)
	return s
}

// TestAudit: an audit sees every OIDC provider, and the roles that let the cluster's
// issuer or Pod Identity in, though nothing names them; each time, and nobody else does.
func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	named := w.putRole(readerRole)
	orphan := w.role("arn:aws:iam::123456789012:role/orphan")
	w.must(w.PutRole(awsd.Role{ARN: orphan.String(), Trust: strings.ReplaceAll(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"P"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`, "P", provider)}))
	byPods := w.putRole("arn:aws:iam::123456789012:role/pods")
	others := w.role("arn:aws:iam::123456789012:role/ec2")
	w.must(w.PutRole(awsd.Role{ARN: others.String(), Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}))
	const stale = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"
	w.must(w.PutProvider(awsd.Provider{ARN: stale}))
	o := w.observer()
	for range 2 {
		s := w.auditOf(o, named)
		wantNoGaps(t, s)
		if got := presenceOf(s, named, orphan, byPods); got != "present" {
			t.Errorf("roles: %s, want all present", got)
		}
		if got := presenceOf(s, others); got != "unknown" {
			t.Errorf("a role that lets neither in: %s, want untold", got)
		}
		if list, p := s.Providers(acct); p != live.Present || strings.Join(list, " ") != provider+" "+stale && strings.Join(list, " ") != stale+" "+provider {
			t.Errorf("providers %s: %v", p, list)
		}
		if got, p := s.Provider(provider); p != live.Present || len(got.ClientIDs) != 1 {
			t.Errorf("the cluster's own provider: %s %+v", p, got)
		}
		if a := s.Facts().Accounts[0]; !a.RolesListed || !a.ProvidersListed {
			t.Errorf("account: %+v", a)
		}
		if n := w.calls()["ListOpenIDConnectProviders"]; n != 1 {
			t.Errorf("%d lists of providers, want 1", n)
		}
	}
	s := w.observe(o, named)
	if got := presenceOf(s, orphan); got != "unknown" || s.Facts().Accounts[0].RolesListed || s.Facts().Accounts[0].ProvidersListed {
		t.Errorf("without an audit: the role is %s, %+v", got, s.Facts().Accounts)
	}
	if calls := w.calls(); calls["ListOpenIDConnectProviders"]+calls["GetAccountAuthorizationDetails"] != 0 {
		t.Errorf("without an audit: %v", calls)
	}
}

// TestAuditGaps: what an audit asks for besides and does not get is a gap, and nothing
// says that all was seen.
func TestAuditGaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.AddFault(awsd.Fault{Operation: "ListOpenIDConnectProviders", Kind: awsd.Refuse})
	s := w.auditOf(w.observer())
	wantGap(t, s, live.SourceListProviders, acct, live.GapRefused, "")
	if list, p := s.Providers(acct); p != live.Unknown || list != nil {
		t.Errorf("providers %s %v", p, list)
	}
	if _, p := s.Provider(provider); p != live.Present {
		t.Errorf("the cluster's own provider: %s, want present", p)
	}
	w = newWorld(t)
	w.putRole(readerRole)
	for _, op := range []string{"GetAccountAuthorizationDetails", "ListRoles"} {
		w.AddFault(awsd.Fault{Operation: op, Kind: awsd.Refuse})
	}
	if s := w.auditOf(w.observer(), w.role(readerRole)); s.Facts().Accounts[0].RolesListed || presenceOf(s, w.role(readerRole)) != "present" {
		t.Errorf("with both bulk reads refused: %+v, the role is %s", s.Facts().Accounts, presenceOf(s, w.role(readerRole)))
	}
}

// TestRoleDetails: tags, boundary and last use come with each role that is read one by
// one or by GetAccountAuthorizationDetails; ListRoles does not tell them, and then nothing
// says that there are none.
func TestRoleDetails(t *testing.T) {
	t.Parallel()
	used := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	put := func(w *world) {
		w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust, Tags: map[string]string{"team": "a"}, Boundary: "arn:aws:iam::123456789012:policy/edge", LastUsed: used, LastUsedRegion: "eu-west-1"}))
	}
	for name, prepare := range map[string]func(w *world) []identity.RoleARN{
		"one by one": func(*world) []identity.RoleARN { return nil },
		"in bulk":    func(w *world) []identity.RoleARN { return w.putRoles(acct, 30) },
	} {
		w := newWorld(t)
		put(w)
		s := w.observe(w.observer(), append(prepare(w), w.role(readerRole))...)
		r, _ := s.Role(w.role(readerRole))
		if !r.DetailsRead || r.Boundary != "arn:aws:iam::123456789012:policy/edge" || !r.LastUsedAt.Equal(used) || r.LastUsedRegion != "eu-west-1" || r.Tags["team"] != "a" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	w := newWorld(t)
	put(w)
	w.AddFault(awsd.Fault{Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
	s := w.observe(w.observer(), append(w.putRoles(acct, 30), w.role(readerRole))...)
	if r, p := s.Role(w.role(readerRole)); p != live.Present || r.DetailsRead || r.Boundary != "" || !r.LastUsedAt.IsZero() {
		t.Errorf("by ListRoles: %s %+v", p, r)
	}
	w = newWorld(t)
	w.putRole(readerRole)
	if r, _ := w.observe(w.observer(), w.role(readerRole)).Role(w.role(readerRole)); !r.DetailsRead || !r.LastUsedAt.IsZero() || r.LastUsedRegion != "" {
		t.Errorf("a role that was never used: %+v", r)
	}
}
