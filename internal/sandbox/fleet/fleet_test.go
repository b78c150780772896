package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

func begun(t *testing.T) *Fleet {
	t.Helper()
	f, err := New(t.Context(), Options{Small: true, Start: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *Fleet) pass(t *testing.T, d time.Duration) {
	t.Helper()
	if err := f.Pass(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// TestStill: nobody does anything, everything works, and nothing is where a move would
// have left it but what is there already.
func TestStill(t *testing.T) {
	t.Parallel()
	f := begun(t)
	f.pass(t, time.Hour)
	if j := f.Judge(); j.Requests < 100 || j.Failed+j.Exposed+len(j.Broken)+j.Restarts() > 0 {
		t.Errorf("%+v", j)
	}
	strays, rests, err := f.Strays(t.Context())
	if err != nil || rests[Settled] != 12 || rests[Kept] != 1 || len(strays) != 2 ||
		!strings.Contains(strays[0], "idle") || !strings.Contains(strays[1], "the mark of a rollback is missing") {
		t.Errorf("strays %q, rests %v, %v", strays, rests, err)
	}
}

// TestBroken: the judge sees a role that lets nobody in any more, and an association that
// goes though Git wants it; and it excuses what a move back exposes, and nothing else.
func TestBroken(t *testing.T) {
	t.Parallel()
	f := begun(t)
	w := f.Workloads[0]
	if err := f.AWS.PutRole(awsd.Role{ARN: w.Role, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}); err != nil {
		t.Fatal(err)
	}
	f.pass(t, 15*time.Minute) // its turn comes
	j := f.Judge()
	if j.Failed == 0 || !slices.ContainsFunc(j.Broken, func(s string) bool { return strings.Contains(s, w.Name) && strings.Contains(s, "trust at fault") }) {
		t.Errorf("a role without trust: %+v", j)
	}
	if err := f.Wants(t.Context(), PodIdentity); err != nil {
		t.Fatal(err)
	}
	if err := f.deleted(t.Context(), w.Subject(), f.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if j := f.Judge(); len(j.Wrong) != 1 || len(f.exposed) > 0 {
		t.Errorf("an association that Git wants: %v", j.Wrong)
	}
	if err := f.Wants(t.Context(), IRSA); err != nil {
		t.Fatal(err)
	}
	if err := f.deleted(t.Context(), w.Subject(), f.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if j := f.Judge(); len(j.Wrong) != 1 || len(f.exposed) != 1 {
		t.Errorf("a move back: %v, exposed %v", j.Wrong, f.exposed)
	}
	f.pass(t, time.Minute)
	if len(f.exposed) > 0 {
		t.Error("no pod is left that was exposed, and the exposure goes on")
	}
}

// TestFleet: the whole fleet has what the scenario promises, and Git's files name all.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := &Fleet{Workloads: catalogue(false)}
	rests := map[Rest]int{}
	kinds := map[string]int{}
	for _, w := range f.Workloads {
		rests[w.Rest(PodIdentity)]++
		kinds[w.Kind]++
	}
	if len(f.Workloads) < 50 || rests[RolledBack] != 2 || rests[Kept] < 4 || rests[Held] != 1 || len(kinds) != 5 {
		t.Errorf("%d workloads, %v, %v", len(f.Workloads), rests, kinds)
	}
	for _, to := range []Side{IRSA, PodIdentity} {
		text := strings.Join(slices.Collect(func(yield func(string) bool) {
			for _, file := range f.Files(to) {
				if !yield(file) {
					return
				}
			}
		}), "")
		if n := strings.Count(text, "kind: IdentityMapping"); n != len(subjects(f.Workloads)) {
			t.Errorf("to %s: %d mappings of %d ServiceAccounts", to, n, len(subjects(f.Workloads)))
		}
	}
}
