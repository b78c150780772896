package observe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

const (
	next      = "arn:aws:iam::123456789012:role/next"
	chainText = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + next + `"},{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
)

// TestPolicies: inline and managed policies come with the bulk read, by name; AWS's own
// are not read. A role that a policy names in full is looked at in the same look.
func TestPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const disguised = "arn:aws:iam::123456789012:policy/:iam::aws:policy/own"
	w.must(w.PutPolicy(awsd.Policy{ARN: "arn:aws:iam::123456789012:policy/own", Document: chainText}))
	w.must(w.PutPolicy(awsd.Policy{ARN: disguised, Document: chainText}))
	w.must(w.PutPolicy(awsd.Policy{ARN: "arn:aws:iam::aws:policy/AmazonSQSFullAccess", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`}))
	w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust, Inline: map[string]string{"a": chainText},
		Attached: []string{"arn:aws:iam::123456789012:policy/own", disguised, "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}}))
	w.putRole(next)
	arn := w.role(readerRole)
	o := w.observer()
	s := w.observe(o, arn)
	wantNoGaps(t, s)
	chain := []live.PolicyStatement{{Actions: []string{"sts:AssumeRole"}, Resources: []string{next}}}
	want := []live.Policy{{Name: "AmazonSQSFullAccess", ARN: "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}, {Name: "a", Statements: chain, Everywhere: []string{"s3:*"}}, {Name: "own", ARN: disguised, Statements: chain, Everywhere: []string{"s3:*"}},
		{Name: "own", ARN: "arn:aws:iam::123456789012:policy/own", Statements: chain, Everywhere: []string{"s3:*"}}}
	got, presence := s.Policies(arn)
	if diff := cmp.Diff(want, got); diff != "" || presence != live.Present {
		t.Errorf("policies, %s (-want +got)\n%s", presence, diff)
	}
	if p := presenceOf(s, w.role(next)); p != "present" {
		t.Errorf("a role that a policy names: %s, want present", p)
	}
	w.clock.Advance(time.Minute)
	s = w.observe(o, arn)
	if _, p := s.Policies(arn); p != live.Present || presenceOf(s, w.role(next)) != "present" {
		t.Errorf("a minute later: policies %s, the next role %s", p, presenceOf(s, w.role(next)))
	}
	if look, err := o.Look(t.Context(), reader, arn); err != nil || len(look.Facts().Roles) != 1 || !look.Facts().Roles[0].PoliciesRead {
		t.Errorf("a look at one subject: %v %v", look.Facts().Roles, err)
	}
}

// TestPermissionsBoundary: of a boundary what speaks of the session counts, and what it
// allows does not.
func TestPermissionsBoundary(t *testing.T) {
	t.Parallel()
	const bound, pin = "arn:aws:iam::123456789012:policy/bound", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:userid}/*"}`
	for name, tt := range map[string]struct {
		document string
		want     []live.Policy
		presence live.Presence
	}{
		"a pin":     {`{"Version":"2012-10-17","Statement":[` + pin + `,{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`, []live.Policy{{Name: "bound", ARN: bound, Bounds: true, Statements: []live.PolicyStatement{{Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::b/${aws:userid}/*"}}}}}, live.Present},
		"none":      {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`, []live.Policy{}, live.Present},
		"not there": {"", nil, live.Unknown},
	} {
		w := newWorld(t)
		if tt.document != "" {
			w.must(w.PutPolicy(awsd.Policy{ARN: bound, Document: tt.document}))
		}
		w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust, Boundary: bound}))
		got, presence := w.observe(w.observer(), w.role(readerRole)).Policies(w.role(readerRole))
		if diff := cmp.Diff(tt.want, got); diff != "" || presence != tt.presence {
			t.Errorf("%s: %s (-want +got)\n%s", name, presence, diff)
		}
	}
}

// TestPoliciesOfNewRoles: a role that is new since the sweep has policies that are not
// known, until the next sweep, which comes within minutes for it.
func TestPoliciesOfNewRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.putRole(readerRole)
	o := w.observer()
	w.observe(o, old)
	fresh := w.putRole("arn:aws:iam::123456789012:role/fresh")
	w.clock.Advance(time.Minute)
	if _, p := w.observe(o, fresh).Policies(fresh); p != live.Unknown {
		t.Errorf("a minute after the sweep: %s, want unknown", p)
	}
	w.clock.Advance(sweepRest)
	if _, p := w.observe(o, fresh).Policies(fresh); p != live.Present {
		t.Errorf("minutes after the sweep: %s, want present", p)
	}
	w.calls()
	w.clock.Advance(sweepRest)
	w.observe(o, fresh)
	if calls := w.calls(); calls["GetAccountAuthorizationDetails"] != 0 {
		t.Errorf("with nothing new: %v, want no bulk read", calls)
	}
	late := w.role("arn:aws:iam::123456789012:role/late")
	w.observe(o, late)
	for range 3 {
		w.calls()
		w.clock.Advance(sweepRest)
		w.observe(o, late)
	}
	if calls := w.calls(); calls["GetAccountAuthorizationDetails"] != 0 {
		t.Errorf("for a role that is not there: %v, want no bulk read", calls)
	}
	w.putRole(late.String())
	w.observe(o, late)
	w.clock.Advance(sweepRest)
	if _, p := w.observe(o, late).Policies(late); p != live.Present {
		t.Errorf("minutes after it was made: %s, want present", p)
	}
}

// TestPoliciesAreNotKept: once the bulk read is refused, or ends early, what it told
// before is not what the policies say now.
func TestPoliciesAreNotKept(t *testing.T) {
	t.Parallel()
	for _, kind := range []awsd.Kind{awsd.Refuse, awsd.Throttle} {
		w := newWorld(t)
		arn := w.putRole(readerRole)
		o := w.observer()
		if _, p := w.observe(o, arn).Policies(arn); p != live.Present {
			t.Fatalf("at first: %s", p)
		}
		lift := w.AddFault(awsd.Fault{Service: "iam", Operation: "GetAccountAuthorizationDetails", Kind: kind})
		w.clock.Advance(o.opts.DescribeInterval)
		if s := w.observe(o, arn); presenceOf(s, arn) != "present" {
			t.Errorf("%v: the role is %s, want present", kind, presenceOf(s, arn))
		} else if _, p := s.Policies(arn); p != live.Unknown {
			t.Errorf("%v: policies %s, want unknown", kind, p)
		}
		lift()
		w.clock.Advance(o.opts.DescribeInterval)
		if _, p := w.observe(o, arn).Policies(arn); p != live.Present {
			t.Errorf("%v, and granted again: %s, want present", kind, p)
		}
	}
}

// TestPoliciesUnread: where the bulk read is refused, or a document is none, nothing is
// said of a role's policies.
func TestPoliciesUnread(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"refused": func(w *world) {
			w.AddFault(awsd.Fault{Service: "iam", Operation: "GetAccountAuthorizationDetails", Kind: awsd.Refuse})
		},
		"a bad document": func(w *world) {
			w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust, Inline: map[string]string{"a": "{"}}))
		},
		"a policy that is not there": func(w *world) {
			w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: podTrust, Attached: []string{"arn:aws:iam::123456789012:policy/gone"}}))
		},
	} {
		w := newWorld(t)
		w.putRole(readerRole)
		spoil(w)
		s := w.observe(w.observer(), w.role(readerRole))
		if _, p := s.Policies(w.role(readerRole)); p != live.Unknown || presenceOf(s, w.role(readerRole)) != "present" {
			t.Errorf("%s: policies %s of a role that is %s; want unknown, present", name, p, presenceOf(s, w.role(readerRole)))
		}
	}
}

// TestNodeGroups: the groups that nodes name are described, and their roles looked at.
func TestNodeGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "general"}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "general"}}})
	role := w.putRole("arn:aws:iam::123456789012:role/node")
	w.must(w.PutNodeGroup(awsd.NodeGroup{Cluster: lab, Name: "general", RoleARN: role.String()}))
	o := w.observer()
	s := w.observe(o)
	if g, p := s.NodeGroup("general"); p != live.Present || g.Role != role || presenceOf(s, role) != "present" {
		t.Errorf("node group %+v %s, its role %s", g, p, presenceOf(s, role))
	}
	if n := w.calls()["DescribeNodegroup"]; n != 1 {
		t.Errorf("%d calls for one group, want 1", n)
	}
	w = newWorld(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"eks.amazonaws.com/nodegroup": "general"}}})
	w.AddFault(awsd.Fault{Service: "eks", Operation: "DescribeNodegroup", Kind: awsd.Refuse})
	s = w.observe(w.observer())
	wantGap(t, s, live.SourceDescribeNodeGroup, "general", live.GapRefused, "AccessDenied")
	if _, p := s.NodeGroup("general"); p != live.Unknown {
		t.Errorf("a group that may not be described: %s, want unknown", p)
	}
}
