package observe

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestAgain: what was written about the subject a moment ago shows, everything else is
// as it last was, and it costs a few calls.
func TestAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet()...)
	arn := w.putRole(readerRole)
	second := w.putRole("arn:aws:iam::123456789012:role/second")
	third := w.putRole("arn:aws:iam::123456789012:role/third")
	a := w.associate("demo", "s3-reader", readerRole)
	other := w.associate("demo", "other", readerRole)
	o := w.observer()
	whole := w.observe(o, arn, third)
	w.clock.Advance(5 * time.Second)

	account, err := w.kube.CoreV1().ServiceAccounts("demo").Get(t.Context(), "s3-reader", metav1.GetOptions{})
	w.must(err)
	account.Annotations["eks.amazonaws.com/role-arn"] = second.String()
	_, err = w.kube.CoreV1().ServiceAccounts("demo").Update(t.Context(), account, metav1.UpdateOptions{})
	w.must(err)
	a.RoleARN, other.RoleARN = second.String(), second.String()
	for _, changed := range []awsd.Association{a, other} {
		_, err = w.PutAssociation(changed)
		w.must(err)
	}
	const empty = `{"Version":"2012-10-17","Statement":[]}`
	w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: empty}))
	w.must(w.PutRole(awsd.Role{ARN: third.String(), Trust: empty}))
	w.calls()

	s, err := o.Again(t.Context(), Ask{Roles: []identity.RoleARN{arn}, Subjects: []identity.Subject{reader}, GuardRails: live.GuardRails{Mode: "repair"}})
	w.must(err)
	wantNoGaps(t, s)
	sa, _ := s.ServiceAccount(reader)
	association, _ := s.Association(reader)
	role, _ := s.Role(arn)
	if sa.Annotations["eks.amazonaws.com/role-arn"] != second.String() || association.Role != second || role.TrustPolicy != empty || presenceOf(s, second) != "present" {
		t.Errorf("got annotation %v, association %s, trust %s: want what was just written", sa.Annotations, association.Role, role.TrustPolicy)
	}
	untouched, _ := s.Role(third)
	neighbour, p := s.Association(identity.Subject{Namespace: "demo", ServiceAccount: "other"})
	if untouched.TrustPolicy == empty || p != live.Present || neighbour.Role != arn {
		t.Errorf("got role %s, association %s %s: want both as the whole look saw them", untouched.TrustPolicy, p, neighbour.Role)
	}
	f, before := s.Facts(), whole.Facts()
	if !f.TakenAt.After(before.TakenAt) || f.GuardRails.Mode != "repair" || len(f.Roles) != len(before.Roles)+1 || len(f.Associations) != 2 || len(f.Accounts) != len(before.Accounts) || len(f.ServiceAccounts) != len(before.ServiceAccounts) {
		t.Errorf("facts are not whole: %d roles, %d associations, %d accounts, taken %v", len(f.Roles), len(f.Associations), len(f.Accounts), f.TakenAt)
	}
	if len(before.GuardRails.Mode) > 0 || before.Associations[0].Role == second || before.Associations[1].Role == second {
		t.Error("the whole look's snapshot was changed under its reader")
	}
	calls := w.calls()
	total := 0
	for _, n := range calls {
		total += n
	}
	if total > 6 || calls["ListPodIdentityAssociations"] != 1 || calls["GetRole"] < 2 {
		t.Errorf("calls %v; want a list, a description, two or three roles and the provider", calls)
	}
}

// TestAgainKeepsGaps: what the whole look could not read stays unread, unless it was
// read now; what cannot be read now is a gap of its own.
func TestAgainKeepsGaps(t *testing.T) {
	t.Parallel()
	arn := identity.RoleARN{Partition: "aws", Account: acct, Path: "/", Name: "reader"}
	elsewhere := live.Gap{Source: live.SourceRole, Scope: "arn:aws:iam::123456789012:role/other", Reason: live.GapThrottled}
	before := []live.Gap{
		elsewhere,
		{Source: live.SourceRole, Scope: arn.String(), Reason: live.GapThrottled},
		{Source: live.SourceServiceAccounts, Scope: reader.String(), Reason: live.GapFailed},
		{Source: live.SourcePods, Reason: live.GapFailed},
		{Source: live.SourceIssuer, Reason: live.GapFailed},
		{Source: live.SourceListAddons, Reason: live.GapRefused},
	}
	now := &gaps{}
	now.put(live.Gap{Source: live.SourceRole, Scope: arn.String(), Reason: live.GapRefused})
	var got []string
	for _, g := range stillOpen(before, now, []identity.Subject{reader}, []identity.RoleARN{arn}) {
		got = append(got, g.String())
	}
	want := "eks:ListAddons: refused\niam:GetRole arn:aws:iam::123456789012:role/other: throttled\niam:GetRole arn:aws:iam::123456789012:role/reader: refused\nkubernetes:openid-configuration: failed"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// TestAgainBeforeObserve is an error, not an empty world.
func TestAgainBeforeObserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.observer().Again(t.Context(), Ask{Subjects: []identity.Subject{reader}}); err == nil {
		t.Error("got no error")
	}
}
