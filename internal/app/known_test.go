package app

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
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

// TestKnownOfOneBase: what was read for another base is of no use any more.
func TestKnownOfOneBase(t *testing.T) {
	t.Parallel()
	p := &pulls{}
	for _, k := range []*known{{base: "a", head: "1", change: &Change{}}, {base: "b", head: "1", change: &Change{}}, {base: "b", head: "2", change: &Change{}}} {
		p.keep(k)
	}
	if len(p.changes) != 2 || p.changes[0].base != "b" || p.changes[1].head != "2" {
		t.Errorf("%d are kept", len(p.changes))
	}
}

// TestChangeOfNothing: many heads have one base, which is read once; a head that touches
// nothing is not read at all, and takes no place. A path that neither has is told.
func TestChangeOfNothing(t *testing.T) {
	t.Parallel()
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	mapping := "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: { name: one, namespace: demo }\nspec: { mechanism: irsa, roleARN: \"arn:aws:iam::123456789012:role/one\" }\n"
	commit := func(branch, name, text string) (hash string) {
		t.Helper()
		if hash, err = repo.Commit(gitd.Change{Branch: branch, Write: map[string]string{name: text}, By: gitd.By(time.Unix(1e9, 0))}); err != nil {
			t.Fatal(err)
		}
		return hash
	}
	first := commit("main", "fleet/one.yaml", mapping)
	for _, name := range []string{"note", "flip"} {
		if err := repo.SetBranch(name, first); err != nil {
			t.Fatal(err)
		}
	}
	head := commit("note", "README.md", "a note\n")
	commit("flip", "fleet/one.yaml", strings.Replace(mapping, "irsa", "auto", 1))
	commit("main", "fleet/two.yaml", strings.Replace(mapping, "name: one", "name: two", 1))
	open := func(paths ...string) *Git {
		t.Helper()
		git, err := OpenGit(Desired{Source: &desired.Source{URL: "file://" + repo.Dir, Ref: "main", Paths: paths}, WorkDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = git.Close() })
		return git
	}
	git := open("fleet")
	read := func(git *Git, head string) *Change {
		t.Helper()
		c, err := git.Change(t.Context(), "main", head)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	note, flip := read(git, "note"), read(git, "flip")
	if note.Touches || note.head != note.base || note.size() != 1 {
		t.Errorf("a note: touches %t, size %d, read apart %t", note.Touches, note.size(), note.head != note.base)
	}
	if !flip.Touches || flip.base != note.base || flip.size() != 3 {
		t.Errorf("a flip: touches %t, size %d, the same base %t", flip.Touches, flip.size(), flip.base == note.base)
	}
	lab := identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws"}
	if pair, err := note.For(lab); err != nil || pair.Head.Revision.Commit != head || len(pair.Head.Mappings) != 2 {
		t.Errorf("%v: the head is %s, with %d mappings", err, pair.Head.Revision, len(pair.Head.Mappings))
	}
	if c := read(open("fleet", "flete"), "note"); len(c.refused) == 0 {
		t.Error("nothing is said of a path that is not there")
	}
	commit("main", "fleet/two.yaml", strings.Replace(mapping, "name: one", "name: three", 1))
	if pair, err := read(git, "note").For(lab); err != nil || pair.Base.Mappings[1].Name != "three" {
		t.Errorf("%v: the base that moved is not read again: %v", err, pair.Base.Mappings)
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
