package status_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	token = "a-token-of.somebody"
	leak  = "hunter2"
)

// trustBefore is a trust policy with what looks like a password in it, and is none.
const trustBefore = `{"Version":"2012-10-17","Statement":[{"Condition":{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml","SAML:sub":"a@b.example"}}}]}`

// clock is a board's: it stands still.
func clock() time.Time { return noon }

// someone lets the bearer of the token read everything but the snapshot, and another one
// the API alone.
func someone(_ context.Context, bearer, path string) (bool, error) {
	switch {
	case strings.HasPrefix(bearer, "down"):
		return false, errors.New("dial tcp: connection refused")
	case bearer == "limited":
		return path != "/", nil
	case bearer != token && bearer != "all":
		return false, fmt.Errorf("review: %w", status.ErrUnauthenticated)
	}
	return bearer == "all" || path != "/api/v1/snapshot", nil
}

func newBoard() *status.Board { return status.New(status.Options{Authorize: someone, Now: clock}) }

// example is a round over examples/fleet and examples/live.yaml.
func example(t testing.TB) (report.Round, *live.Snapshot) {
	t.Helper()
	data, err := os.ReadFile("../../examples/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(os.DirFS("../../examples"), []string{"fleet"}, desired.Revision{Ref: "main", Commit: "4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d"})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	r := report.Round{Number: 7, Started: noon.Add(-2 * time.Second), Ended: noon, Mode: desired.ModeRepair, Revision: state.Revision,
		Cluster: snap.Cluster(), Mappings: len(state.Mappings), Result: diff.Compare(state, snap, diff.Options{}), Gaps: snap.Gaps()}
	r.Plan, _ = plan.Repair(plan.Input{Revision: state.Revision, Result: r.Result, Snapshot: snap, Policy: plan.DefaultPolicy()})
	for i, s := range r.Plan.Steps {
		o := report.Outcome{Step: s, Result: []report.Result{report.Done, report.Failed}[i%2], At: noon, Before: trustBefore, After: `{"Version":"2012-10-17"}`}
		if o.Result == report.Failed {
			o.Err = errors.New("throttled")
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	r.Moves = []report.Move{{Subject: r.Plan.Steps[0].Subject, Wanted: identity.PodIdentity, Phase: "pending", Since: noon.Add(-time.Hour)},
		{Subject: r.Plan.Holds[0].Subject, Wanted: identity.IRSA, Phase: "crossing", Since: noon.Add(-time.Minute)}}
	r.Plan.Holds[0].NotBefore = noon.Add(5 * time.Second)
	return r, snap
}

// lived is a board after a life in which everything happened.
func lived(t testing.TB) *status.Board {
	t.Helper()
	b := newBoard()
	b.State(func(s *status.State) {
		s.Version, s.Commit, s.Cluster, s.Mode = "v1.2.3", "4f1c0c5a9a3e", "irsa-lab", "repair"
		s.Identity, s.Leader, s.LeaderIdentity = "lanyard-0", true, "lanyard-0"
		s.Source = status.Source{URL: "https://bot:" + leak + "@git.example.com/fleet.git?private_token=" + leak, Ref: "main", Paths: []string{"fleet"},
			Fetched: noon, Accepted: "main@sha1:4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d", AcceptedAt: noon.Add(-time.Hour),
			Commit: &status.Commit{Author: "Ada", Subject: "Move the reader.", At: noon.Add(-90 * time.Minute)},
			Held:   &status.Held{Head: "00c0ffee", Reason: "invalid", Message: "fetch https://bot:" + leak + "@git.example.com/fleet.git: fleet/a.yaml:3:1: no roleARN", Since: noon.Add(-time.Minute)}}
		s.Configuration = status.Configuration{File: "/etc/lanyard/lanyard.yaml", SHA256: fmt.Sprintf("%064x", 7), LoadedAt: noon.Add(-time.Hour), Error: "lanyard.yaml:3:1: unknown key"}
		s.Removals = status.Removals{Left: 4, Limit: 5}
	})
	r, snap := example(t)
	b.Failed("git", remedy.Mark(remedy.Retry, errors.New(`clone "https://`+leak+`@git.example.com/fleet.git": no route to host`)), noon.Add(-2*time.Minute), noon.Add(-time.Minute))
	b.Saw(r, snap)
	b.IdentityProbes([]status.IdentityProbe{
		{Namespace: "demo", ServiceAccount: "a", Wanted: "irsa", Role: "arn:aws:iam::123456789012:role/a", Result: "as-git", Session: "arn:aws:sts::123456789012:assumed-role/a/x", Message: "AWS takes a new pod for role a by irsa", At: noon},
		{Namespace: "demo", ServiceAccount: "b", Wanted: "irsa", Role: "arn:aws:iam::123456789012:role/b", Result: "no-answer", Message: "its pod said nothing", At: noon},
		{Namespace: "demo", ServiceAccount: "c", Wanted: "pod-identity", Role: "arn:aws:iam::123456789012:role/c", Result: "pending", Message: "others come first"},
	})
	b.Outline(func() ([]byte, error) {
		return []byte(`{"cluster": "irsa-lab", "note": "https://bot:` + leak + `@git.example.com/fleet.git"}`), nil
	})
	return b
}

// ask asks as somebody.
func ask(h http.Handler, method, path, as string, more ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if as != "" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Add(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
