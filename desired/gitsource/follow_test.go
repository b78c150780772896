package gitsource_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

var lab = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: "123456789012", Partition: "aws"}

func mapping(name string) string {
	return "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: " + name + ", namespace: demo}\n" +
		"spec: {roleARN: \"arn:aws:iam::123456789012:role/" + name + "\", mechanism: irsa}\n"
}

// followed is a repository whose main holds a mapping, then two, then many commits.
func followed(t *testing.T) (f *fleet, one, two string) {
	t.Helper()
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	f = &fleet{Repo: repo}
	one = f.commit(t, gitd.Change{Write: map[string]string{"fleet/a.yaml": mapping("a")}})
	two = f.commit(t, gitd.Change{Write: map[string]string{"fleet/b.yaml": mapping("b")}})
	return f, one, two
}

func follow(t *testing.T, o gitsource.Options) *gitsource.Follower {
	t.Helper()
	o.Ref = "main"
	src, err := gitsource.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f := gitsource.Follow(src, []string{"fleet"})
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (f *fleet) ways(t *testing.T) map[string]gitsource.Options {
	t.Helper()
	_, overSSH := f.serveSSH(t, gitd.SSHOptions{})
	return map[string]gitsource.Options{
		"path":           {URL: f.Dir},
		"ssh":            overSSH,
		"git":            {URL: f.serve(t, gitd.Options{Git: gitBinary(t), Unreachable: true}).URL, WorkDir: t.TempDir()},
		"git by ref":     {URL: f.serve(t, gitd.Options{Git: gitBinary(t), Advertised: true}).URL},
		"without depths": {URL: f.serve(t, gitd.Options{}).URL},
	}
}

// TestHeadsThatAreHeld pushes one commit after another; each bad one changes nothing,
// for a Follower that runs and for one that starts then, and the next good one clears
// it.
func TestHeadsThatAreHeld(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		push   func(t *testing.T, f *fleet, one string) string
		reason gitsource.Reason
		say    string
		accept bool // source.accept helps
	}{
		{"broken", func(t *testing.T, f *fleet, _ string) string {
			return f.commit(t, gitd.Change{Write: map[string]string{"fleet/a.yaml": "kind: [\n"}})
		}, gitsource.Broken, "fleet/a.yaml:", false},
		{"emptied", func(t *testing.T, f *fleet, _ string) string {
			return f.commit(t, gitd.Change{Write: map[string]string{"fleet/a.yaml": "", "fleet/b.yaml": ""}})
		}, gitsource.Emptied, "set source.accept to", true},
		{"path gone", func(t *testing.T, f *fleet, _ string) string {
			return f.commit(t, gitd.Change{Delete: []string{"fleet"}, Write: map[string]string{"x": ""}})
		}, gitsource.Broken, "no such file or directory", false},
		{"no YAML", func(t *testing.T, f *fleet, _ string) string {
			return f.commit(t, gitd.Change{Delete: []string{"fleet"}, Write: map[string]string{"fleet/README.md": ""}})
		}, gitsource.Emptied, "set source.accept to", true},
		{"replaced", func(t *testing.T, f *fleet, one string) string {
			f.do(t, f.SetBranch("main", one))
			return f.commit(t, gitd.Change{Write: map[string]string{"fleet/c.yaml": mapping("c")}})
		}, gitsource.Stale, "does not descend", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, one, two := followed(t)
			f.do(t, f.SetBranch("keep", two)) // so that servers hand it out
			running := map[string]*gitsource.Follower{}
			ways := f.ways(t)
			for way, o := range ways {
				running[way] = follow(t, o)
				s, err := running[way].Latest(t.Context(), gitsource.Ask{Cluster: lab})
				if err != nil || s.Held != nil || !s.Moved || s.State.Revision.Commit != two || len(s.State.Mappings) != 2 {
					t.Fatalf("%s: first look = %+v, %v", way, s, err)
				}
			}
			head := tt.push(t, f, one)
			for way, o := range ways {
				for when, from := range map[string]*gitsource.Follower{"running": running[way], "started anew": follow(t, o)} {
					s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
					if err != nil {
						t.Errorf("%s, %s: %v", way, when, err)
						continue
					}
					if s.State.Revision.Commit != two || len(s.State.Mappings) != 2 || s.Moved || s.Head.Commit != head {
						t.Errorf("%s, %s: state of %v with %d mappings at head %v, want that of %s", way, when, s.State.Revision, len(s.State.Mappings), s.Head, two)
					}
					if s.Held == nil || s.Held.Reason != tt.reason || !errors.Is(s.Held, gitsource.ErrHeld) || remedy.Of(s.Held) != remedy.Hold || !strings.Contains(s.Held.Error(), tt.say) {
						t.Errorf("%s, %s: held = %v (remedy %v), want %s saying %q", way, when, s.Held, remedy.Of(s.Held), tt.reason, tt.say)
					}
					s, err = from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two, Accept: head})
					if err != nil || (s.State.Revision.Commit == head) != tt.accept {
						t.Errorf("%s, %s: with source.accept: %v, %v, want accepted %v", way, when, s.State.Revision, err, tt.accept)
					}
				}
			}
			f.do(t, f.SetBranch("main", two))
			next := f.commit(t, gitd.Change{Write: map[string]string{"fleet/d.yaml": mapping("d")}})
			for way := range ways {
				s, err := running[way].Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
				if err != nil || s.Held != nil || !s.Moved || s.State.Revision.Commit != next || len(s.State.Mappings) != 3 {
					t.Errorf("%s: the next good commit: %v, held %v, %v", way, s.State.Revision, s.Held, err)
				}
			}
		})
	}
}

// TestHistory finds the last accepted commit as far down as it may be, and no further.
func TestHistory(t *testing.T) {
	t.Parallel()
	f, _, two := followed(t)
	heads := map[int]string{}
	for i := 1; i <= 501; i++ {
		heads[i] = f.commit(t, gitd.Change{Write: map[string]string{"fleet/n.yaml": fmt.Sprintf("# %d\n", i)}})
	}
	for way, o := range f.ways(t) {
		t.Run(way, func(t *testing.T) {
			for _, n := range []int{1, 2, 49, 50, 51, 500, 501} {
				f.do(t, f.SetBranch("main", heads[n]))
				s, err := follow(t, o).Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
				if err != nil {
					t.Errorf("%d commits on: %v", n, err)
					continue
				}
				if n <= 500 && (s.Held != nil || s.State.Revision.Commit != heads[n]) || n > 500 && (s.Held == nil || s.Held.Reason != gitsource.Stale) {
					t.Errorf("%d commits on: %v, held %v", n, s.State.Revision, s.Held)
				}
			}
		})
	}
}

// TestNothingKnown: neither head nor last accepted commit can be had.
func TestNothingKnown(t *testing.T) {
	t.Parallel()
	f, one, two := followed(t)
	server := f.serve(t, gitd.Options{Git: gitBinary(t)})
	f.do(t, f.SetBranch("main", one)) // two is reached by no ref now, and this server hands it out no more
	dir := t.TempDir()
	from := follow(t, gitsource.Options{URL: server.URL, WorkDir: dir})
	for range 3 {
		s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
		if !errors.Is(err, gitsource.ErrNothingKnown) || !errors.Is(err, gitsource.ErrHeld) || remedy.Of(err) != remedy.Hold {
			t.Errorf("Latest = %v, %v, want %v (remedy hold)", s.State.Revision, err, gitsource.ErrNothingKnown)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%d directories in use, want the head's", len(left))
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
	if !errors.Is(err, gitsource.ErrNothingKnown) || remedy.Of(err) != remedy.Retry {
		t.Errorf("Latest of a server that is down = %v, %v (remedy %v), want %v (remedy retry)", s.State.Revision, err, remedy.Of(err), gitsource.ErrNothingKnown)
	}
	// With the last accepted commit in memory, the same is held.
	s, err = from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: one})
	if err != nil || s.Held == nil || s.Held.Reason != gitsource.Unreachable || s.State.Revision.Commit != one || remedy.Of(s.Held) != remedy.Retry {
		t.Errorf("Latest of a server that is down, with the last in memory = %v, held %v, %v", s.State.Revision, s.Held, err)
	}
}

// TestUnsignedIsHeld: whatever the operator accepts, a commit that nobody signed is
// held; the one that was accepted before keys were configured is not judged again.
func TestUnsignedIsHeld(t *testing.T) {
	t.Parallel()
	f, one, two := followed(t)
	signers, err := os.ReadFile("testdata/signed/ed25519.pub")
	f.do(t, err)
	verify := gitsource.Verify{AllowedSignersFile: writeFile(t, "signers", "a "+string(signers))}
	for way, o := range f.ways(t) {
		o.Verify = verify
		from := follow(t, o)
		if s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Accept: two}); !errors.Is(err, gitsource.ErrNothingKnown) || !errors.Is(err, gitsource.ErrUnverified) {
			t.Errorf("%s: first look = %v, %v, want %v", way, s.State.Revision, err, gitsource.ErrUnverified)
		}
		s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: one, Accept: two})
		if err != nil || s.State.Revision.Commit != one || s.Held == nil || s.Held.Reason != gitsource.Unverified || !strings.Contains(s.Held.Error(), two) {
			t.Errorf("%s: state of %v, held %v, %v, want that of %s, unverified", way, s.State.Revision, s.Held, err, one)
		}
		s, err = from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: two})
		if err != nil || s.State.Revision.Commit != two || s.Held != nil || s.Moved {
			t.Errorf("%s: the last accepted one: %v, held %v, %v", way, s.State.Revision, s.Held, err)
		}
	}
}

// TestCommit: what is told of a commit is what the accepted one says of itself, whether
// the head is followed or not, and after a restart too.
func TestCommit(t *testing.T) {
	t.Parallel()
	f, _, _ := followed(t)
	by := gitd.Signature{Name: "Ada " + strings.Repeat("é", 200), Email: "ada@example.com", Message: "\nMove the reader.\n\nIt has moved before.\n", When: noon.Add(time.Minute)}
	good, err := f.Commit(gitd.Change{Branch: "main", Write: map[string]string{"fleet/c.yaml": mapping("c")}, By: by})
	if err != nil {
		t.Fatal(err)
	}
	for way, o := range f.ways(t) {
		running := follow(t, o)
		for _, held := range []bool{false, true} {
			if held {
				f.commit(t, gitd.Change{Write: map[string]string{"fleet/d.yaml": "kind: Nonsense\n"}})
			}
			for when, from := range map[string]*gitsource.Follower{"running": running, "started anew": follow(t, o)} {
				s, err := from.Latest(t.Context(), gitsource.Ask{Cluster: lab, Last: good})
				if err != nil || (s.Held != nil) != held {
					t.Fatalf("%s, %s: %v, held %v, want %t", way, when, err, s.Held, held)
				}
				if c := s.Commit; c.Subject != "Move the reader." || !strings.HasPrefix(c.Author, "Ada éé") || len(c.Author) > 210 || !utf8.ValidString(c.Author) || !c.At.Equal(noon.Add(time.Minute)) {
					t.Errorf("%s, %s, held %t: commit %+v", way, when, held, c)
				}
			}
		}
		f.do(t, f.SetBranch("main", good))
	}
}
