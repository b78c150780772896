package proof

import (
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// FuzzEvent: an event is a stranger's text in many places. What is read of one names
// somebody, and nothing that cannot be shown.
func FuzzEvent(f *testing.F) {
	cluster := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws", Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"}
	f.Add(`{"userIdentity":{"type":"AWSService","invokedBy":"pods.eks.amazonaws.com"},"eventTime":"2026-11-23T09:00:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","requestParameters":{"roleArn":"arn:aws:iam::123456789012:role/r","tags":[{"key":"eks-cluster-arn","value":"arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"},{"key":"kubernetes-namespace","value":"demo"},{"key":"kubernetes-service-account","value":"x"}]}}`)
	f.Add(`{"userIdentity":{"type":"WebIdentityUser","principalId":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:sts.amazonaws.com:system:serviceaccount:demo:x","userName":"system:serviceaccount:demo:x","identityProvider":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"},"eventTime":"2026-11-23T09:00:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithWebIdentity","userAgent":"aws-sdk-go/1.45.1","requestParameters":{"roleArn":"arn:aws:iam::123456789012:role/r"}}`)
	f.Add(`{"requestParameters":null,"eventTime":"0001-01-01T00:00:00Z"}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, ours, err := parse(text, cluster)
		if ours && (err != nil || s.subject.Namespace == "" || s.subject.ServiceAccount == "" || s.role.IsZero() || s.at.IsZero() || s.mechanism == identity.None ||
			printable(s.agent) != s.agent || (s.mechanism == identity.IRSA) != (s.provider != "")) {
			t.Errorf("%q is read as %+v, %v", text, s, err)
		}
	})
}

// TestForgets: what is remembered is bounded, in number and in time.
func TestForgets(t *testing.T) {
	t.Parallel()
	tr := newTrail(Options{Limits: Limits{}.withDefaults()})
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	role := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "r"}
	for i := range mostSights + 10 {
		tr.found(sight{subject: identity.Subject{Namespace: "demo", ServiceAccount: string(rune('a' + i%20))}, mechanism: identity.IRSA, role: role, provider: time.Duration(i).String(), at: at})
	}
	if tr.count != mostSights || !tr.full {
		t.Errorf("%d kinds are remembered, full %t", tr.count, tr.full)
	}
	tr.found(sight{subject: identity.Subject{Namespace: "demo", ServiceAccount: "a"}, mechanism: identity.IRSA, role: role, provider: "0s", at: at.Add(time.Hour)})
	tr.forget(at.Add(time.Minute))
	if tr.count != 1 || tr.full || len(tr.seen) != 1 {
		t.Errorf("%d kinds of %d subjects are left, full %t; want the one that is newer", tr.count, len(tr.seen), tr.full)
	}
}

// TestCovered: nothing counts as looked at that was not read to its end.
func TestCovered(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	for _, tt := range []struct {
		name  string
		todo  []span
		since int
		want  time.Time
	}{
		{"all is read", nil, 0, at(100)},
		{"nothing is", []span{{from: at(0), to: at(100)}}, 0, time.Time{}},
		{"what is new is not", []span{{from: at(70), to: at(100), again: true, known: at(90)}}, 0, at(90)},
		{"what is old is not", []span{{from: at(0), to: at(70)}}, 10, time.Time{}},
		{"what is older than asked is not", []span{{from: at(0), to: at(20)}}, 30, at(100)},
		{"half of what is old is", []span{{from: at(0), to: at(70), oldest: at(20)}}, 30, at(100)},
		{"a part in between is not", []span{{from: at(50), to: at(70)}}, 10, at(50)},
		{"two are not", []span{{from: at(70), to: at(100), again: true, known: at(95)}, {from: at(40), to: at(60)}}, 10, at(40)},
	} {
		l := lane{from: at(0), to: at(100), todo: tt.todo}
		if got := l.covered(at(tt.since)); !got.Equal(tt.want) {
			t.Errorf("%s: covered until %s, want %s", tt.name, got, tt.want)
		}
	}
}
