package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestEvents: one for each step that was taken and for each new critical finding; none
// for what was not taken, what is known, what is mild, and what has no ServiceAccount.
func TestEvents(t *testing.T) {
	t.Parallel()
	kube := fake.NewClientset()
	subject := identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	snapshot, err := live.New(live.Facts{Cluster: live.Cluster{Name: "c", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/c"},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	sent, lost := 0, 0
	e := newEvents(kube, "one", slog.New(slog.DiscardHandler), func() time.Time { return now }, func(ok bool) {
		if ok {
			sent++
		} else {
			lost++
		}
	})
	step := plan.Step{Subject: subject, Effect: plan.Widen, Action: plan.SetAnnotation{Key: "k", Value: strings.Repeat("é", 2000)}, Because: "why"}
	critical := diff.Finding{Subject: subject, Kind: diff.RoleMissing, Severity: diff.Critical, Message: "gone"}
	mild, nobody := critical, critical
	mild.Severity, mild.Kind = diff.Info, diff.AnnotationUnexpected
	nobody.Subject.ServiceAccount = "missing"
	r := report.Round{Outcomes: []report.Outcome{{Step: step, Result: report.Done}, {Step: step, Result: report.NotTaken}},
		Result: diff.Result{Findings: []diff.Finding{critical, mild, nobody}}}
	e.saw(r, snapshot)
	r.Outcomes = nil
	e.saw(r, snapshot) // still there: nothing new
	r.Result.Findings = nil
	e.saw(r, snapshot) // mended
	r.Result.Findings = []diff.Finding{critical}
	e.saw(r, snapshot) // and back
	e.start(context.Background())
	e.close()
	list, err := kube.EventsV1().Events("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, event := range list.Items {
		reasons[event.Reason]++
		if len(event.Note) > 1024 || !utf8.ValidString(event.Note) || event.Regarding.UID != "uid-1" || event.Action == "" || event.ReportingController == "" || event.EventTime.IsZero() {
			t.Errorf("an Event that the API server would refuse: %+v", event)
		}
	}
	if reasons[reasonStep] != 1 || reasons[reasonFinding] != 2 || sent != 3 || lost != 0 {
		t.Errorf("Events %v, %d sent, %d lost; want a step and the finding twice", reasons, sent, lost)
	}
}

// TestEventsOfSteps: each action makes an Event that says what was done and why; one that
// fails in the same way every few seconds makes one in a while; a failed move, a stopped
// rollout and an error are warnings.
func TestEventsOfSteps(t *testing.T) {
	t.Parallel()
	kube := fake.NewClientset()
	subject := identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	snapshot, err := live.New(live.Facts{Cluster: live.Cluster{Name: "c", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/c"},
		ServiceAccounts: []live.ServiceAccount{{Namespace: "demo", Name: "reader", UID: "uid-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	role := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "reader-role"}
	web := live.WorkloadRef{Kind: "Deployment", Name: "web"}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	e := newEvents(kube, "one", slog.New(slog.DiscardHandler), func() time.Time { return now }, func(bool) {})
	take := func(a plan.Action, result report.Result, err error) {
		e.saw(report.Round{Outcomes: []report.Outcome{{Step: plan.Step{Subject: subject, Effect: plan.Cross, Action: a, Because: "why"}, Result: result, Err: err}}}, snapshot)
	}
	done := []struct {
		action    plan.Action
		kind, say string
	}{
		{plan.PutTrustStatement{Role: role, Grant: trust.Grant{Mechanism: identity.PodIdentity}}, "Normal", "done: put pod-identity statement Lanyard"},
		{plan.DropTrustStatement{Role: role, Sid: "Lanyard0"}, "Normal", "done: drop statement Lanyard0 from the trust policy of role reader-role (why)"},
		{plan.RevokeTrust{Role: role, Request: trust.Request{Subject: subject, Mechanism: identity.IRSA}}, "Normal", "done: take what lets demo/reader in by irsa out of the trust policy of role reader-role (why)"},
		{plan.SetAnnotation{Key: "eks.amazonaws.com/role-arn", Value: "arn"}, "Normal", "done: set annotation eks.amazonaws.com/role-arn=arn (why)"},
		{plan.SetAnnotation{Key: diff.RolledBackMark, Value: "0123"}, "Warning", "done: set annotation lanyard.io/rolled-back=0123 (why)"},
		{plan.DropAnnotation{Key: "k", Old: "v"}, "Normal", "done: drop annotation k=v (why)"},
		{plan.CreateAssociation{Role: role}, "Normal", "done: create the Pod Identity association with role reader-role (why)"},
		{plan.UpdateAssociation{ID: "a-1", Role: role}, "Normal", "done: update Pod Identity association a-1 to role reader-role (why)"},
		{plan.DeleteAssociation{ID: "a-1"}, "Normal", "done: delete Pod Identity association a-1 (why)"},
		{plan.EvictPod{Pod: "web-1", UID: "u"}, "Normal", "done: evict pod web-1 (why)"},
		{plan.RestartWorkload{Workload: web}, "Normal", "done: restart Deployment web (why)"},
		{plan.PauseRollout{Workload: web, Why: "a pod has no credentials"}, "Warning", "done: pause the rollout of Deployment web: a pod has no credentials (why)"},
		{plan.ResumeRollout{Workload: web}, "Normal", "done: resume the rollout of Deployment web (why)"},
	}
	for _, d := range done {
		take(d.action, report.Done, nil)
	}
	for range 200 { // more than 16 minutes
		now = now.Add(5 * time.Second)
		take(plan.EvictPod{Pod: "web-2"}, report.Failed, errors.New("the disruption budget web needs 2 healthy pods"))
	}
	take(plan.EvictPod{Pod: "web-2"}, report.Done, nil)
	e.start(context.Background())
	e.close()
	list, err := kube.EventsV1().Events("demo").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool {
			return strings.HasPrefix(e.Note, d.say) && e.Type == d.kind && e.Regarding.Name == "reader" && e.Reason == reasonStep
		}) {
			t.Errorf("%s: no Event says %q as %s", d.action.Kind(), d.say, d.kind)
		}
	}
	failed := 0
	for _, e := range list.Items {
		if strings.Contains(e.Note, "failed: evict pod web-2 (why): the disruption budget web needs") && e.Type == "Warning" {
			failed++
		}
	}
	if failed != 2 || len(list.Items) != len(done)+3 {
		t.Errorf("%d Events, %d of the failure; want %d and 2", len(list.Items), failed, len(done)+3)
	}
}

// TestEventsAreBounded: a storm of findings loses Events, and holds nothing up.
func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	f := live.Facts{Cluster: live.Cluster{Name: "c", ARN: "arn:aws:eks:eu-west-1:123456789012:cluster/c"}}
	var r report.Round
	for i := range 3 * eventQueue {
		name := "sa-" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + time.Duration(i).String()
		f.ServiceAccounts = append(f.ServiceAccounts, live.ServiceAccount{Namespace: "demo", Name: name})
		r.Result.Findings = append(r.Result.Findings, diff.Finding{Subject: identity.Subject{Namespace: "demo", ServiceAccount: name}, Kind: diff.RoleMissing, Severity: diff.Critical})
	}
	snapshot, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	e := newEvents(fake.NewClientset(), "one", slog.New(slog.DiscardHandler), time.Now, func(ok bool) {
		if !ok {
			lost++
		}
	})
	e.saw(r, snapshot)
	if lost != 2*eventQueue || len(e.queue) != eventQueue {
		t.Errorf("%d lost, %d queued; want %d and %d", lost, len(e.queue), 2*eventQueue, eventQueue)
	}
}

// TestEventsHoldNoLease: an API server that does not answer holds the end up for a
// moment, however many Events wait.
func TestEventsHoldNoLease(t *testing.T) {
	t.Parallel()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client leave
		<-r.Context().Done()
	}))
	defer hung.Close()
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: hung.URL})
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	e := newEvents(kube, "one", slog.New(slog.DiscardHandler), time.Now, func(ok bool) {
		if !ok {
			lost++
		}
	})
	e.farewell = 50 * time.Millisecond
	for range eventQueue {
		e.queue <- &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "x"}}
	}
	start := time.Now()
	e.start(context.Background())
	e.close()
	if took := time.Since(start); took > eventTimeout || lost != eventQueue {
		t.Errorf("the end took %v and lost %d Events; want a moment, and all %d", took, lost, eventQueue)
	}
}
