package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/app"
)

// TestDaemonRepairsAndRests: a daemon repairs what the fleet asks for, tells so on all
// its surfaces, and then writes nothing but its Lease and Events.
func TestDaemonRepairsAndRests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.until(t, "ready", func() bool { code, _ := d.get(t, "/readyz", ""); return code == http.StatusOK })
	r.settled(t, d)

	wrote := r.identityWrites()
	for _, want := range []string{"iam:UpdateAssumeRolePolicy", "eks:UpdatePodIdentityAssociation", "patch serviceaccounts"} {
		if !slices.Contains(wrote, want) {
			t.Errorf("wrote %v, without %s", wrote, want)
		}
	}
	r.pass(t, 10*time.Minute)
	if again := r.identityWrites(); len(again) != len(wrote) {
		t.Errorf("wrote %v more at rest", again[len(wrote):])
	}
	var s statusSeen
	if d.api(t, "/api/v1/status", &s); !s.Ready || !s.Daemon.Leader || s.Daemon.Mode != "repair" || s.Summary == nil || s.Summary.Steps != 0 {
		t.Errorf("status %+v; want ready, leading, repair, no steps", s)
	}
	head, err := r.repo.Head("main")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(s.Daemon.Source.Accepted, head) || s.Daemon.Source.Held != nil {
		t.Errorf("accepted %s, held %v; want %s, nothing", s.Daemon.Source.Accepted, s.Daemon.Source.Held, head)
	}
	if code, _ := d.get(t, "/api/v1/status", ""); code != http.StatusUnauthorized {
		t.Errorf("the API answers %d to nobody; want 401", code)
	}
	for _, line := range []string{"lanyard_leader 1", `lanyard_aws_calls_total{code="ok",operation="UpdateAssumeRolePolicy",service="iam"}`} {
		if d.metric(t, line) == "" {
			t.Errorf("no metric begins with %s", line)
		}
	}
	if !strings.Contains(r.log.String(), `"before":"{`) || !strings.Contains(r.log.String(), `"after":"{`) {
		t.Error("the log has no line of a write with the whole value before and after")
	}
	if events := r.events(); !slices.Contains(events, "IdentityStep") {
		t.Errorf("Events %v; want one for each step", events)
	}
}

// identityWrites lists what was written besides the Lease and Events.
func (r *rig) identityWrites() []string {
	return slices.DeleteFunc(r.writes(), func(w string) bool { return strings.HasSuffix(w, " leases") || strings.HasSuffix(w, " events") })
}

// events returns the reasons of all Events there are.
func (r *rig) events() []string {
	var out []string
	for _, namespace := range []string{"demo", "demo2", "payments", "kube-system"} {
		list, err := r.Client("reader").EventsV1().Events(namespace).List(r.ctx, listAll)
		if err != nil {
			return []string{err.Error()}
		}
		for _, e := range list.Items {
			if e.ReportingController == "lanyard.io/lanyard" {
				out = append(out, e.Reason)
			}
		}
	}
	return out
}

// TestPage: the daemon serves the page at / and nothing beside it, to whoever has the
// token; what it worked out of the live world stands on it.
func TestPage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	if code, body := d.get(t, "/", ""); code != http.StatusUnauthorized || strings.Contains(string(body), "irsa-lab") {
		t.Errorf("a stranger gets %d\n%s", code, body)
	}
	r.settled(t, d)
	code, body := d.get(t, "/", apiToken)
	page := string(body)
	for _, want := range []string{
		"<strong>irsa-lab</strong>", " by Sandbox, ", "<b>fargate</b>", "<b>cross-account-role</b>", // what cannot leave IRSA
		"update Pod Identity association a-payments000000001", // what was written
		"Pod Identity associations", "of 5000",                // quotas
		"<b>trust-issuer-stale</b>", // what differs
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page (%d) does not say %q", code, want)
		}
	}
	for _, path := range []string{"/index.html", "/page", "/api"} {
		if code, _ := d.get(t, path, apiToken); code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
	if code, _ := r.start(t, func(o *app.DaemonOptions) { o.APITokenFile, o.Lease.Identity = "", "two" }).get(t, "/", apiToken); code != http.StatusNotFound {
		t.Errorf("a daemon without tokens: %d, want 404", code)
	}
}
