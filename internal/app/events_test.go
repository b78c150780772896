package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
