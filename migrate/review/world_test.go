package review_test

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The revisions of the tests' pull requests.
var (
	mainline = desired.Revision{Ref: "main", Commit: "1111111111111111111111111111111111111111"}
	merged   = desired.Revision{Ref: "merge", Commit: "2222222222222222222222222222222222222222"}
)

// files are the fleet's, as a repository has them.
func files(t testing.TB) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(examples.Fleet(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(examples.Fleet(), name)
		out["fleet/"+name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// world is the live world of the fleet as JSON, which is read faster than YAML.
var world = sync.OnceValue(func() []byte {
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		panic(err)
	}
	text, err := f.EncodeJSON()
	if err != nil {
		panic(err)
	}
	return text
})

// facts is the live world of the fleet.
func facts(t testing.TB) live.Facts {
	t.Helper()
	f, err := live.DecodeFacts(world())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func snapshot(t testing.TB, f live.Facts) *live.Snapshot {
	t.Helper()
	s, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(fsys fs.FS, r desired.Revision, c identity.Cluster) (desired.State, error) {
	repo, err := desired.Parse(fsys, []string{"fleet"}, r)
	if err != nil {
		return desired.State{Revision: r}, err
	}
	state, err := repo.For(c)
	if err != nil {
		return desired.State{Revision: r}, err
	}
	return state, nil
}

// fleet is what the fleet's files say.
func fleet(t testing.TB, s *live.Snapshot) desired.State {
	t.Helper()
	state, err := parse(files(t), mainline, s.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// policy is the rules of a configuration, as the wiring makes them of it.
func policy(t testing.TB, text string) (plan.Policy, *desired.Configuration) {
	t.Helper()
	c, err := desired.ParseConfiguration("lanyard.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p := plan.DefaultPolicy()
	p.Prune, p.RemovalsPerHour, p.ChangesPerRound = c.Prune, c.Budgets.RemovalsPerHour, c.Budgets.ChangesPerRound
	p.Diff.Forbid = func(m desired.Mapping) (string, bool) {
		rule, at, ok := c.Permit(m)
		return rule.Refusal(at, m), !ok
	}
	return p, c
}

// pull is a pull request: a txtar whose comment has lines "key: value" and whose files
// are those that it writes. A line "delete: PATH" deletes one, "only: PATHS" leaves no
// others in the base, "idle: NAMESPACE/NAME" takes a ServiceAccount's pods and workloads
// from the live world, "unassociated" its association,
// "recreate" gives its workloads that strategy, "absent: ROLE" says that a role does not
// exist, "quota: N" how long trust policies may be, and "mode" and "prune" are the operator's. A file base/PATH is one
// of the base; lanyard.yaml is the operator's configuration.
func pull(t testing.TB, name string) review.Input {
	t.Helper()
	if in, read := inputs.Load(name); read {
		return in.(review.Input)
	}
	in := readPull(t, name)
	inputs.Store(name, in)
	return in
}

// inputs and reviews are what tests share, which change nothing in them.
var inputs, reviews sync.Map

// reviewed is the review of a pull request, made once for all tests.
func reviewed(t testing.TB, name string) review.Review {
	t.Helper()
	if r, made := reviews.Load(name); made {
		return r.(review.Review)
	}
	r := review.New(pull(t, name))
	reviews.Store(name, r)
	return r
}

func readPull(t testing.TB, name string) review.Input {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "pulls", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	base := files(t)
	configuration := string(examples.Configuration)
	var deleted []string
	f := facts(t)
	for line := range strings.Lines(string(a.Comment)) {
		key, value, is := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case !is || strings.HasPrefix(line, "#"):
		case key == "mode":
			configuration = strings.Replace(configuration, "mode: repair", "mode: "+value, 1)
		case key == "prune":
			configuration = strings.Replace(configuration, "prune: never", "prune: "+value, 1)
		case key == "delete":
			deleted = append(deleted, value)
		case key == "only":
			maps.DeleteFunc(base, func(name string, _ *fstest.MapFile) bool { return !slices.Contains(strings.Fields(value), name) })
		case key == "idle":
			idle(&f, value)
		case key == "absent":
			role, err := identity.ParseRoleARN(value)
			if err != nil {
				t.Fatal(err)
			}
			f.Roles = append(f.Roles, live.Role{ARN: role, Presence: live.Absent})
		case key == "quota":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			for i := range f.Accounts {
				f.Accounts[i].TrustSizeQuota = n
			}
		case key == "recreate":
			for i := range f.Workloads {
				if w := &f.Workloads[i]; w.Namespace+"/"+w.ServiceAccount == value {
					w.Strategy = live.Strategy{Type: "Recreate"}
				}
			}
		case key == "unassociated":
			f.Associations = slices.DeleteFunc(f.Associations, func(a live.Association) bool { return a.Subject().String() == value })
		default:
			t.Fatalf("%s: unknown line %q", name, line)
		}
	}
	head := maps.Clone(base)
	for _, one := range a.Files {
		switch name, on := strings.CutPrefix(one.Name, "base/"); {
		case on:
			base[name] = &fstest.MapFile{Data: one.Data}
			if !has(a, name) {
				head[name] = base[name]
			}
		case one.Name == "lanyard.yaml":
			configuration = string(one.Data)
		default:
			head[one.Name] = &fstest.MapFile{Data: one.Data}
		}
	}
	for _, d := range deleted {
		if head[d] == nil {
			t.Fatalf("%s: there is no %s to delete", name, d)
		}
		delete(head, d)
	}
	s := snapshot(t, f)
	in := review.Input{Snapshot: s, Age: 90 * time.Second}
	p, c := policy(t, configuration)
	in.Policy, in.Mode = p, c.Mode
	in.Outline = outline.Options{Diff: p.Diff, Pace: c.Migration, Migrate: migrate.Options{}}
	if in.Base, err = parse(base, mainline, s.Cluster()); err != nil {
		t.Fatal(err)
	}
	if in.Head, err = parse(head, merged, s.Cluster()); err != nil {
		if !errors.As(err, &in.Refused) {
			t.Fatal(err)
		}
	}
	return in
}

// idle takes what uses a ServiceAccount from the live world.
func idle(f *live.Facts, name string) {
	f.Pods = slices.DeleteFunc(f.Pods, func(p live.Pod) bool { return p.Subject().String() == name })
	f.Workloads = slices.DeleteFunc(f.Workloads, func(w live.Workload) bool { return w.Namespace+"/"+w.ServiceAccount == name })
}

func has(a *txtar.Archive, name string) bool {
	for _, f := range a.Files {
		if f.Name == name {
			return true
		}
	}
	return false
}

// pulls are the names of all pull requests in testdata.
func pulls(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/pulls/*.txtar")
	if err != nil || len(all) == 0 {
		t.Fatal(err, "no pull requests")
	}
	for i, name := range all {
		all[i] = strings.TrimSuffix(filepath.Base(name), ".txtar")
	}
	return all
}

// golden holds a report to a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "reviews", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is not as it was: run with -update and look at what changed", file)
	}
}
