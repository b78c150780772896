package app

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// TestKnownIsBounded: however often a pull request is pushed to, and whatever its heads
// hold, what is kept of it is bounded, and the newest is kept.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Change{
		"heads that are refused":     {refused: make(desired.Errors, 1001)},
		"heads that have no mapping": {},
	} {
		p := &pulls{}
		for i := range 20_000 {
			p.keep(&known{head: strconv.Itoa(i), change: &c})
		}
		mistakes := len(p.changes) * len(c.refused)
		if n := len(p.changes); n == 0 || n > mostKnown || mistakes > mostKnown || p.changes[n-1].head != "19999" {
			t.Errorf("%s: %d are kept, with %d mistakes", name, n, mistakes)
		}
	}
}

// TestTooLargeToKeep: one large change does not make all others be fetched again.
func TestTooLargeToKeep(t *testing.T) {
	t.Parallel()
	p := &pulls{}
	p.keep(&known{head: "small", change: &Change{}})
	p.keep(&known{head: "large", change: &Change{refused: make(desired.Errors, mostKnown)}})
	if len(p.changes) != 1 || p.changes[0].head != "small" {
		t.Errorf("%d are kept", len(p.changes))
	}
}

// TestTooManyToTell: what a pull request adds beyond what the daemon has memory for is
// not judged, and it is told so.
func TestTooManyToTell(t *testing.T) {
	t.Parallel()
	snapshot, err := live.Decode(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	repository := func(n int) *desired.Repository {
		fsys := fstest.MapFS{}
		for i := range n { // in files of a thousand: one holds a megabyte at most
			name := fmt.Sprint(i/1000, ".yaml")
			if fsys[name] == nil {
				fsys[name] = &fstest.MapFile{}
			}
			fsys[name].Data = fmt.Appendf(fsys[name].Data, "---\napiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: { name: app-%d, namespace: demo }\nspec: { mechanism: irsa, roleARN: \"arn:aws:iam::%s:role/one\" }\n", i, snapshot.Cluster().Account)
		}
		r, err := desired.Parse(fsys, nil, desired.Revision{Ref: "main", Commit: "c0"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	p := &pulls{name: "lanyard/irsa-lab"}
	p.now.Store(&stand{accepted: desired.Revision{Commit: "c0"}, snapshot: snapshot, mode: desired.ModeObserve, policy: plan.DefaultPolicy()})
	few := repository(10)
	p.changes = []*known{
		{"c0", "few", &Change{base: repository(1), head: few, Touches: true}},
		{"c0", "many", &Change{base: few, head: repository(mostAdded + 11), Touches: true}},
	}
	for head, want := range map[string]string{"few": "9 workloads", "many": "it adds 5001 mappings at once"} {
		a, err := p.diff(t.Context(), forge.Pull{Number: 1, Head: head})
		if err != nil || !strings.Contains(a.Description, want) {
			t.Errorf("%s: %q, %v; want %q", head, a.Description, err, want)
		}
	}
}
