package app_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestOrphanInAnotherAccount: a statement of lanyard's that was left in a configured
// account is seen, though Git names no role there any more; and the guard rails that
// are in force stand in the snapshot.
func TestOrphanInAnotherAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	left, err := identity.ParseRoleARN("arn:aws:iam::210987654321:role/left")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AWS.PutRole(awsd.Role{ARN: left.String(),
		Trust: `{"Version":"2012-10-17","Statement":[{"Sid":"Lanyard0123456789abcdef","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`}); err != nil {
		t.Fatal(err)
	}
	r, err := app.NewReader(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	snap, err := r.Observe(t.Context(), desired.State{})
	if err != nil {
		t.Fatal(err)
	}
	if _, got := snap.Role(left); got != live.Present {
		t.Errorf("role %s: got %s, want present; gaps %v", left, got, snap.Gaps())
	}
	g := snap.Facts().GuardRails
	var namespaces []string
	for _, a := range s.opts.Config.Allow {
		namespaces = append(namespaces, a.Namespaces...)
	}
	var allowed []string
	for _, a := range g.Allow {
		allowed = append(allowed, a.Namespaces...)
	}
	if d := cmp.Diff(namespaces, allowed); d != "" || g.Mode != string(s.opts.Config.Mode) {
		t.Errorf("guard rails: mode %s, namespaces (-want +got):\n%s", g.Mode, d)
	}
}

// TestSTSRecovers: an account that could not be entered because STS failed is entered
// when STS answers, by the same process.
func TestSTSRecovers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, err := app.NewReader(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lift := s.AWS.AddFault(awsd.Fault{Service: "sts", Operation: "GetCallerIdentity", Kind: awsd.Throttle})
	snap, err := r.Observe(t.Context(), desired.State{})
	if err != nil || len(snap.Gaps()) == 0 {
		t.Fatalf("STS throttled: got %v, want gaps", err)
	}
	lift()
	if snap, err = r.Observe(t.Context(), desired.State{}); err != nil || len(snap.Gaps()) != 0 {
		t.Errorf("afterwards: got %v, gaps %v, want none", err, snap.Gaps())
	}
}

// TestStillRoundsAreCheap: nobody shortens the observer's interval by a default.
func TestStillRoundsAreCheap(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, err := app.NewReader(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	describes := func() (n int) {
		if _, err := r.Observe(t.Context(), desired.State{}); err != nil {
			t.Fatal(err)
		}
		calls, _ := s.AWS.Calls(0)
		for _, c := range calls {
			if c.Operation == "DescribePodIdentityAssociation" {
				n++
			}
		}
		return n
	}
	all := describes()
	s.Clock.Advance(time.Hour)
	if again := describes() - all; all < 2 || again != (all+1)/2 {
		t.Errorf("an hour later %d of %d associations were described again, want half", again, all)
	}
}

// TestUnreachableCluster: the first thing a user sees of a wrong kubeconfig is what is
// wrong, and what to do.
func TestUnreachableCluster(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	server := httptest.NewServer(nil)
	server.Close()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x"}}],"clusters":[{"name":"x","cluster":{"server":"`+server.URL+`"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.opts.Kube, s.opts.Issuer, s.opts.Kubeconfig = nil, nil, file
	_, err := app.NewReader(t.Context(), s.opts)
	want := "reach the Kubernetes API server at " + strings.TrimPrefix(server.URL, "http://") + ": connection refused: check --kubeconfig and --context, or the cluster's network"
	if err == nil || err.Error() != want || remedy.Of(err) != remedy.Retry {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
