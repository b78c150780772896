package gitsource_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// on commits to any branch.
func (f *fleet) on(t *testing.T, branch string, c gitd.Change) string {
	t.Helper()
	c.Branch, c.By = branch, gitd.By(noon)
	hash, err := f.Commit(c)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// branch makes a branch where another commit is.
func (f *fleet) branch(t *testing.T, name, at string) { f.do(t, f.SetBranch(name, at)) }

// files are what a file system holds below a directory, a link as its target.
func files(t *testing.T, fsys fs.FS, under string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(fsys, under, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(fsys, name)
			all[name] = "-> " + target
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		all[name] = string(data)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// merged is a merge that was read.
type merged struct {
	gitsource.Merge
	base, head map[string]string
}

func merge(t *testing.T, s *gitsource.Source, base, head string) (m merged, err error) {
	t.Helper()
	err = s.Merge(t.Context(), base, head, []string{"fleet"}, func(one gitsource.Merge) error {
		m = merged{one, files(t, one.Base.FS, "fleet"), files(t, one.Head.FS, "fleet")}
		return nil
	})
	return m, err
}

func lines(names ...string) string { return strings.Join(names, "\n") + "\n" }

// split is a repository whose main and change come from one commit.
func split(t *testing.T) *fleet {
	t.Helper()
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: repo}
	f.on(t, "main", gitd.Change{Write: map[string]string{"README.md": "zero\n"}})
	f.first = f.on(t, "main", gitd.Change{Write: map[string]string{
		"fleet/a.yaml": lines("1", "2", "3", "4", "5", "6", "7", "8"), "fleet/b.yaml": "b\n", "fleet/c.yaml": "c\n", "fleet/d/e.yaml": "e\n",
		"README.md": "one\n",
	}})
	f.branch(t, "change", f.first)
	return f
}

// TestMerge: what merging makes is the same whatever the way to the repository, and
// nothing that others have merged meanwhile is undone.
func TestMerge(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.second = f.on(t, "main", gitd.Change{
		Write:  map[string]string{"fleet/a.yaml": lines("1", "two", "3", "4", "5", "6", "7", "8"), "fleet/new.yaml": "new\n", "fleet/same.yaml": "same\n", "README.md": "two\n"},
		Delete: []string{"fleet/c.yaml"},
	})
	head := f.on(t, "change", gitd.Change{
		Write:  map[string]string{"fleet/a.yaml": lines("1", "2", "3", "4", "5", "six", "7", "8"), "fleet/mine.yaml": "mine\n", "fleet/same.yaml": "same\n", "README.md": "three\n"},
		Link:   map[string]string{"fleet/link.yaml": "mine.yaml"},
		Delete: []string{"fleet/d"},
	})
	want := map[string]string{
		"fleet/a.yaml": lines("1", "two", "3", "4", "5", "six", "7", "8"), "fleet/b.yaml": "b\n", "fleet/new.yaml": "new\n",
		"fleet/same.yaml": "same\n", "fleet/mine.yaml": "mine\n", "fleet/link.yaml": "-> mine.yaml",
	}
	f.do(t, f.Tag("marker", f.first))
	for way, o := range f.ways(t) {
		t.Run(way, func(t *testing.T) {
			src := open(t, o)
			m, err := merge(t, src, "main", "change")
			if err != nil {
				t.Fatal(err)
			}
			if m.Fork != f.first || !m.Behind() || len(m.Conflicts) > 0 || m.Base.Revision.String() != "main@sha1:"+f.second || m.Head.Revision.String() != "change@sha1:"+head {
				t.Errorf("merge of %v into %v from %s, behind %t, conflicts %v", m.Head.Revision, m.Base.Revision, m.Fork, m.Behind(), m.Conflicts)
			}
			if diff := cmp.Diff(want, m.head); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
			if m.base["fleet/a.yaml"] != lines("1", "two", "3", "4", "5", "6", "7", "8") || m.base["fleet/mine.yaml"] != "" || m.base["fleet/new.yaml"] != "new\n" {
				t.Errorf("base: %q", m.base)
			}
			for name, tt := range map[string]struct {
				base, head string
				behind     bool
				same       bool // head's files are base's
			}{
				"merged already":           {"main", f.first, true, true},
				"head is base":             {"main", "main", false, true},
				"by hash":                  {f.second, head, true, false},
				"by short hash":            {f.second[:8], head[:8], true, false},
				"head has all of the base": {"marker", "change", false, false},
			} {
				m, err := merge(t, src, tt.base, tt.head)
				if err != nil || m.Behind() != tt.behind || cmp.Equal(m.base, m.head) != tt.same || len(m.Conflicts) > 0 {
					t.Errorf("%s: %v, behind %t, conflicts %v, head %q", name, err, m.Behind(), m.Conflicts, m.head)
				}
			}
		})
	}
}

// TestMergeConflicts are told of the watched paths, all at once, and say what to do.
func TestMergeConflicts(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.on(t, "main", gitd.Change{
		Write:  map[string]string{"fleet/a.yaml": lines("1", "two", "3", "4", "5", "6", "7", "8"), "fleet/b.yaml": "main's\n", "fleet/new.yaml": "main's\n", "README.md": "two\n"},
		Delete: []string{"fleet/c.yaml"},
	})
	f.on(t, "change", gitd.Change{
		Write:  map[string]string{"fleet/a.yaml": lines("1", "2", "drei", "4", "5", "6", "7", "8"), "fleet/c.yaml": "change's\n", "fleet/new.yaml": "change's\n", "README.md": "three\n"},
		Delete: []string{"fleet/b.yaml"},
	})
	want := []gitsource.Conflict{
		{File: "fleet/a.yaml", Base: "changed", Head: "changed"},
		{File: "fleet/b.yaml", Base: "changed", Head: "deleted"},
		{File: "fleet/c.yaml", Base: "deleted", Head: "changed"},
		{File: "fleet/new.yaml", Base: "added", Head: "added"},
	}
	for way, o := range f.ways(t) {
		m, err := merge(t, open(t, o), "main", "change")
		if diff := cmp.Diff(want, m.Conflicts); err != nil || diff != "" {
			t.Errorf("%s: %v, conflicts (-want +got):\n%s", way, err, diff)
			continue
		}
		told := m.Errors(func(name string) string { return "./" + name })
		if text := told[1].Error(); text != "./fleet/b.yaml: a conflict: it was changed in main and deleted here, since commit "+f.first+": merge or rebase onto main first" {
			t.Errorf("%s: %s", way, text)
		}
	}
}

// TestMergeLastLine: a last line without a line break is merged as it is, and takes none
// from the lines before it.
func TestMergeLastLine(t *testing.T) {
	t.Parallel()
	const old = "1\n2\n3\n4\n5\n6\n7\n8"
	tests := map[string]struct{ old, theirs, want string }{ // ours has one for the first line
		"changed":                {old, "1\n2\n3\n4\n5\n6\n7\neight", "one\n2\n3\n4\n5\n6\n7\neight"},
		"gets a line break":      {old, old + "\n", "one\n2\n3\n4\n5\n6\n7\n8\n"},
		"loses its line break":   {old + "\n", old, "one\n2\n3\n4\n5\n6\n7\n8"},
		"another after it":       {old, old + "\n9", "one\n2\n3\n4\n5\n6\n7\n8\n9"},
		"another shortly before": {old, "1\n2\n3\n4\n5\n6\nnew\n7\n8", "one\n2\n3\n4\n5\n6\nnew\n7\n8"},
	}
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: repo}
	start, ours, theirs := map[string]string{}, map[string]string{}, map[string]string{}
	for name, tt := range tests {
		file := "fleet/" + strings.ReplaceAll(name, " ", "-") + ".yaml"
		start[file], ours[file], theirs[file] = tt.old, "one"+strings.TrimPrefix(tt.old, "1"), tt.theirs
	}
	f.branch(t, "change", f.on(t, "main", gitd.Change{Write: start}))
	f.on(t, "main", gitd.Change{Write: ours})
	f.on(t, "change", gitd.Change{Write: theirs})
	m, err := merge(t, open(t, gitsource.Options{URL: f.Dir}), "main", "change")
	if err != nil || len(m.Conflicts) > 0 {
		t.Fatalf("%v, conflicts %v", err, m.Conflicts)
	}
	for name, tt := range tests {
		if got := m.head["fleet/"+strings.ReplaceAll(name, " ", "-")+".yaml"]; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestMergeAsGitDoes compares with git merge-tree: a merge that is clean here is clean
// there, and the same. Lines of few kinds make the comparisons of lines as hard as they
// get.
func TestMergeAsGitDoes(t *testing.T) {
	t.Parallel()
	bin := gitBinary(t)
	var clean, conflicts, stricter int
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 9))
		repo, err := gitd.Init(t.TempDir() + "/fleet.git")
		if err != nil {
			t.Fatal(err)
		}
		f := &fleet{Repo: repo}
		text := func() []string {
			all := make([]string, 12+random.IntN(20))
			for i := range all {
				all[i] = fmt.Sprint(random.IntN(30))
			}
			return all
		}
		start := map[string][]string{}
		write := map[string]string{}
		for i := range 6 {
			name := fmt.Sprintf("fleet/%d/x.yaml", i)
			start[name] = text()
			write[name] = lines(start[name]...)
		}
		first := f.on(t, "main", gitd.Change{Write: write})
		f.branch(t, "change", first)
		for _, branch := range []string{"main", "change"} {
			c := gitd.Change{Write: map[string]string{}}
			for _, name := range slices.Sorted(maps.Keys(start)) {
				switch now := slices.Clone(start[name]); random.IntN(12) {
				case 0:
					c.Delete = append(c.Delete, name)
				case 1, 2, 3, 4:
				default:
					for range 1 + random.IntN(2) {
						at := random.IntN(len(now) - 3)
						switch random.IntN(3) {
						case 0:
							now = slices.Delete(now, at, at+1+random.IntN(2))
						case 1:
							now = slices.Insert(now, at, fmt.Sprint(random.IntN(30)))
						default:
							now[at] = fmt.Sprint(random.IntN(30))
						}
					}
					c.Write[name] = lines(now...)
				}
			}
			f.on(t, branch, c)
		}
		m, err := merge(t, open(t, gitsource.Options{URL: f.Dir}), "main", "change")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), bin, "-c", "safe.directory=*", "-c", "merge.renames=false", "merge-tree", "--write-tree", "main", "change")
		cmd.Dir, cmd.Env = f.Dir, []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
		out, err := cmd.Output()
		agrees := err == nil
		if failed, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || failed.ExitCode() != 1) {
			t.Fatal(err)
		}
		switch {
		case len(m.Conflicts) == 0 && !agrees:
			t.Errorf("seed %d: git has a conflict, and there is none here:\n%s", seed, out)
		case len(m.Conflicts) > 0 && agrees:
			stricter++
		case agrees:
			clean++
			commit, err := f.CommitTree(strings.TrimSpace(string(out)), gitd.By(noon))
			f.do(t, err)
			f.branch(t, "git", commit)
			snapshot, _ := latest(t, open(t, gitsource.Options{URL: f.Dir, Ref: "git"}))
			if diff := cmp.Diff(files(t, snapshot.FS, "fleet"), m.head); diff != "" {
				t.Errorf("seed %d: (-git +here):\n%s", seed, diff)
			}
		default:
			conflicts++
		}
	}
	t.Logf("%d merges alike, %d conflicts in both, %d here alone", clean, conflicts, stricter)
	if clean < 8 || conflicts < 8 || stricter > 3 {
		t.Errorf("%d merges alike, %d conflicts in both, %d here alone", clean, conflicts, stricter)
	}
}

// TestMergeOfDocuments compares with git merge-tree where it is hard: files of several
// documents whose lines are mostly alike. Git takes a line of one document for that of
// another now and then, and so does lanyard; hardly ever one without the other.
func TestMergeOfDocuments(t *testing.T) {
	t.Parallel()
	bin := gitBinary(t)
	random := rand.New(rand.NewPCG(9, 8))
	document := func(name int) []string {
		d := []string{"---", "apiVersion: lanyard.io/v1", "kind: IdentityMapping", "metadata:", fmt.Sprintf("  name: a%d", name), "  namespace: demo", "spec:",
			fmt.Sprintf("  roleARN: arn:aws:iam::111122223333:role/r%d", random.IntN(4))}
		return append(d, [][]string{nil, {"  mechanism: irsa"}, {"", "# a note"}}[random.IntN(3)]...)
	}
	edited := func(all [][]string) string {
		all = slices.Clone(all)
		for range 1 + random.IntN(3) {
			i := random.IntN(len(all))
			switch d := slices.Clone(all[i]); random.IntN(5) {
			case 0:
				all = slices.Insert(all, i, document(10+random.IntN(90)))
			case 1:
				all = slices.Insert(slices.Delete(all, i, i+1), min(i, len(all)-1), document(10+random.IntN(90)))
			case 2:
				d[7] = fmt.Sprintf("  roleARN: arn:aws:iam::111122223333:role/r%d", random.IntN(4))
				all[i] = d
			default:
				all[i] = slices.Insert(d, 8, [][]string{{"  mechanism: pod-identity"}, {"  migration:", "    restart: never"}}[random.IntN(2)]...)
			}
		}
		return lines(slices.Concat(all...)...)
	}
	const many = 600
	start, sides := map[string]string{}, [2]map[string]string{{}, {}}
	for i := range many {
		name := fmt.Sprintf("fleet/%d.yaml", i)
		all := [][]string{document(0), document(1)}
		for n := range random.IntN(4) {
			all = append(all, document(2+n))
		}
		start[name], sides[0][name], sides[1][name] = lines(slices.Concat(all...)...), edited(all), edited(all)
	}
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: repo}
	f.branch(t, "change", f.on(t, "main", gitd.Change{Write: start}))
	f.on(t, "main", gitd.Change{Write: sides[0]})
	f.on(t, "change", gitd.Change{Write: sides[1]})
	m, err := merge(t, open(t, gitsource.Options{URL: f.Dir}), "main", "change")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-c", "safe.directory=*", "-c", "merge.renames=false", "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "main", "change")
	cmd.Dir, cmd.Env = f.Dir, []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	out, _ := cmd.Output() // it ends with 1: there are conflicts
	tree, rest, ok := strings.Cut(string(out), "\x00")
	if !ok {
		t.Fatalf("git merge-tree says %q", out)
	}
	commit, err := f.CommitTree(tree, gitd.By(noon))
	f.do(t, err)
	f.branch(t, "git", commit)
	snapshot, _ := latest(t, open(t, gitsource.Options{URL: f.Dir, Ref: "git"}))
	theirs := files(t, snapshot.FS, "fleet")
	conflicts := map[string]bool{}
	for _, c := range m.Conflicts {
		conflicts[c.File] = true
	}
	var alike, wrong, strict int
	for name := range start {
		switch refused := slices.Contains(strings.Split(rest, "\x00"), name); {
		case conflicts[name] && !refused:
			strict++
		case conflicts[name]:
		case refused || m.head[name] != theirs[name]:
			wrong++
			t.Logf("%s: refused by git %t, as there %t", name, refused, m.head[name] == theirs[name])
		default:
			alike++
		}
	}
	t.Logf("of %d files %d are merged alike, %d otherwise, and %d conflicts are here alone", many, alike, wrong, strict)
	if alike < many/3 || wrong > many/100 || strict > many/20 {
		t.Errorf("of %d files %d are merged alike, %d otherwise, and %d conflicts are here alone", many, alike, wrong, strict)
	}
}

// TestMergeRequests counts what a merge costs a server.
func TestMergeRequests(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.on(t, "main", gitd.Change{Write: map[string]string{"fleet/new.yaml": "new\n"}})
	f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/mine.yaml": "mine\n"}})
	f.branch(t, "other", f.first)
	f.on(t, "other", gitd.Change{Write: map[string]string{"fleet/other.yaml": "other\n"}})
	f.branch(t, "deep", f.first)
	for i := range 60 {
		f.on(t, "deep", gitd.Change{Write: map[string]string{"fleet/deep.yaml": fmt.Sprintf("%d\n", i)}})
	}
	for _, tt := range []struct {
		name   string
		server gitd.Options
		head   string
		want   []int // POSTs of the first look, a second at the same, and one after the base moved
	}{
		{"git", gitd.Options{Git: gitBinary(t)}, "change", []int{2, 1, 2}},
		{"git, deep", gitd.Options{Git: gitBinary(t)}, "deep", []int{3, 1, 2}},
		{"git by ref", gitd.Options{Git: gitBinary(t), Advertised: true}, "change", []int{2, 1, 2}},
		{"without depths", gitd.Options{}, "change", []int{1, 1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fleet{Repo: f.Repo}
			server := f.serve(t, tt.server)
			src := open(t, gitsource.Options{URL: server.URL})
			was, err := f.Head("main")
			f.do(t, err)
			for i, want := range tt.want {
				if i == 2 {
					f.on(t, "main", gitd.Change{Write: map[string]string{"fleet/later.yaml": "later\n"}})
				}
				server.Forget()
				if _, err := merge(t, src, "main", tt.head); err != nil {
					t.Fatal(err)
				}
				var gets, posts int
				for _, r := range server.Requests() {
					if r.Method == "GET" {
						gets++
					} else {
						posts++
					}
				}
				if gets != 1 || posts != want {
					t.Errorf("look %d: %d listings and %d fetches, want 1 and %d", i+1, gets, posts, want)
				}
			}
			f.branch(t, "main", was)
		})
	}
}

// TestMergeWithoutAFork: what is not known is an error that says what to do.
func TestMergeWithoutAFork(t *testing.T) {
	t.Parallel()
	f := split(t)
	tip := f.first
	blob, err := f.Blob("x\n")
	f.do(t, err)
	tree, err := f.Tree(gitd.Entry{Name: "x.yaml", Mode: filemode.Regular, Hash: blob})
	f.do(t, err)
	for range 501 {
		tip, err = f.CommitTree(tree, gitd.By(noon), tip)
		f.do(t, err)
	}
	f.branch(t, "main", tip)
	f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/mine.yaml": "mine\n"}})
	orphan, err := f.CommitTree(tree, gitd.By(noon))
	f.do(t, err)
	f.branch(t, "orphan", orphan)
	// Crosswise: x and y each merge the other's first commit.
	x := f.on(t, "x", gitd.Change{Write: map[string]string{"fleet/x.yaml": "x\n"}})
	y := f.on(t, "y", gitd.Change{Write: map[string]string{"fleet/y.yaml": "y\n"}})
	for branch, parents := range map[string][]string{"cross-x": {x, y}, "cross-y": {y, x}} {
		commit, err := f.CommitTree(tree, gitd.Signature{Name: branch, Email: "a@example.com", Message: branch, When: noon}, parents...)
		f.do(t, err)
		f.branch(t, branch, commit)
	}
	octopus, err := f.CommitTree(tree, gitd.Signature{Name: "a", Email: "a@example.com", Message: "octopus", When: noon}, slices.Repeat([]string{f.first}, 101)...)
	f.do(t, err)
	f.branch(t, "octopus", octopus)
	for way, o := range f.ways(t) {
		for _, tt := range []struct {
			base, head string
			is         error
			say        string
		}{
			{"main", "change", gitsource.ErrNoFork, "have none within 500 commits: merge or rebase change onto main"},
			{"change", "orphan", gitsource.ErrNoFork, "change and orphan have none: merge or rebase orphan onto change"},
			{"cross-x", "cross-y", gitsource.ErrNoFork, "crosswise"},
			{"change", "octopus", gitsource.ErrMalformed, "has 101 parents"},
			{"mian", "change", gitsource.ErrRefNotFound, `did you mean "main"?`},
			{"main", strings.Repeat("12345678", 5), gitsource.ErrRefNotFound, "no branch or tag reaches"},
		} {
			_, err := merge(t, open(t, o), tt.base, tt.head)
			if !errors.Is(err, tt.is) || !strings.Contains(errorText(err), tt.say) || remedy.Of(err) != remedy.Hold {
				t.Errorf("%s: %s into %s: %v (remedy %v), want %v saying %q (remedy hold)", way, tt.head, tt.base, err, remedy.Of(err), tt.is, tt.say)
			}
		}
		if _, err := merge(t, open(t, o), tip, "main"); err != nil {
			t.Errorf("%s: by hash: %v", way, err)
		}
	}
}

// TestMergeIsBounded: what bounds a look bounds a merge.
func TestMergeIsBounded(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.on(t, "main", gitd.Change{Write: map[string]string{"fleet/new.yaml": "new\n"}})
	f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/big.bin": strings.Repeat("0123456789", 1<<15)}})
	server := f.serve(t, gitd.Options{Git: gitBinary(t)})
	for limit, limits := range map[string]gitsource.Limits{
		"ObjectBytes": {ObjectBytes: 1 << 16}, "UnpackedBytes": {UnpackedBytes: 1 << 16}, "Objects": {Objects: 8}, "Files": {Files: 5}, "Depth": {Depth: 1}, "ListingBytes": {ListingBytes: 50},
	} {
		dir := t.TempDir()
		_, err := merge(t, open(t, gitsource.Options{URL: server.URL, Limits: limits, WorkDir: dir}), "main", "change")
		if limit == "Depth" && err == nil {
			continue // nothing lies that deep
		}
		over, ok := errors.AsType[*gitsource.LimitError](err)
		if !ok || over.Limit != limit {
			t.Errorf("%s: %v", limit, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %d directories are left", limit, len(left))
		}
	}
	dir := t.TempDir()
	if _, err := merge(t, open(t, gitsource.Options{URL: server.URL, WorkDir: dir}), "main", "change"); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d directories are left", len(left))
	}
}

// TestMergeVerifiesTheBase: an unsigned base is refused, an unsigned head is not asked.
func TestMergeVerifiesTheBase(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/mine.yaml": "mine\n"}})
	signers, err := os.ReadFile("testdata/signed/ed25519.pub")
	f.do(t, err)
	src := open(t, gitsource.Options{URL: f.Dir, Verify: gitsource.Verify{AllowedSignersFile: writeFile(t, "signers", "a "+string(signers))}})
	if _, err := merge(t, src, "main", "change"); !errors.Is(err, gitsource.ErrUnverified) || !strings.Contains(errorText(err), "base main") {
		t.Errorf("Merge = %v, want %v", err, gitsource.ErrUnverified)
	}
}

// mergeTree merges a working tree.
func mergeTree(t *testing.T, dir, base string) (m merged, err error) {
	t.Helper()
	w := openTree(t, dir+"/fleet")
	err = w.Merge(t.Context(), base, func(one gitsource.Merge) error {
		m = merged{one, files(t, one.Base.FS, "fleet"), files(t, one.Head.FS, "fleet")}
		return nil
	})
	return m, err
}

// TestMergeOfAWorkTree: what is on disk is merged, committed or not.
func TestMergeOfAWorkTree(t *testing.T) {
	t.Parallel()
	f := split(t)
	f.second = f.on(t, "main", gitd.Change{
		Write:  map[string]string{"fleet/a.yaml": lines("1", "two", "3", "4", "5", "6", "7", "8"), "fleet/new.yaml": "new\n"},
		Delete: []string{"fleet/d"},
	})
	head := f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/mine.yaml": "mine\n"}})
	dir := clone(t, f)
	run(t, dir, "checkout", "--quiet", "change")
	want := map[string]string{"fleet/a.yaml": lines("1", "two", "3", "4", "5", "6", "7", "8"), "fleet/b.yaml": "b\n", "fleet/c.yaml": "c\n", "fleet/new.yaml": "new\n", "fleet/mine.yaml": "mine\n"}
	for _, base := range []string{"main", "origin/main", "refs/remotes/origin/main", f.second, f.second[:9], "main~0", "main^0"} {
		m, err := mergeTree(t, dir, base)
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		if diff := cmp.Diff(want, m.head); diff != "" || !m.Behind() || m.Fork != f.first {
			t.Errorf("%s: from %s (-want +got):\n%s", base, m.Fork, diff)
		}
		if m.Base.Revision.Commit != f.second || m.Base.Revision.Ref != base || m.Head.Revision.Commit != head || m.Head.Revision.Dirty {
			t.Errorf("%s: %v and %v", base, m.Base.Revision, m.Head.Revision)
		}
	}
	// The parent of what is checked out: the head has all of it, and is read as it is.
	m, err := mergeTree(t, dir, "HEAD^")
	if err != nil || m.Behind() || m.Base.Revision.Commit != f.first || len(m.head) != 5 {
		t.Errorf("HEAD^: %v, behind %t of %v, head %v", err, m.Behind(), m.Base.Revision, m.head)
	}
	write(t, dir+"/fleet/a.yaml", lines("1", "2", "3", "4", "5", "six", "7", "8"))
	write(t, dir+"/fleet/untracked.yaml", "untracked\n")
	if err := os.Remove(dir + "/fleet/b.yaml"); err != nil {
		t.Fatal(err)
	}
	want["fleet/a.yaml"], want["fleet/untracked.yaml"] = lines("1", "two", "3", "4", "5", "six", "7", "8"), "untracked\n"
	delete(want, "fleet/b.yaml")
	m, err = mergeTree(t, dir, "main")
	if diff := cmp.Diff(want, m.head); err != nil || diff != "" || !m.Head.Revision.Dirty {
		t.Errorf("uncommitted: %v, %v (-want +got):\n%s", err, m.Head.Revision, diff)
	}
	if m, err := mergeTree(t, dir, "HEAD"); err != nil || m.Behind() || m.head["fleet/untracked.yaml"] == "" || m.base["fleet/untracked.yaml"] != "" {
		t.Errorf("uncommitted, to HEAD: %v, behind %t, %v to %v", err, m.Behind(), m.base, m.head)
	}
	write(t, dir+"/fleet/a.yaml", lines("1", "zwei", "3", "4", "5", "6", "7", "8"))
	write(t, dir+"/fleet/d/e.yaml", "edited\n")
	m, err = mergeTree(t, dir, "main")
	if diff := cmp.Diff([]gitsource.Conflict{{"fleet/a.yaml", "changed", "changed"}, {"fleet/d/e.yaml", "deleted", "changed"}}, m.Conflicts); err != nil || diff != "" {
		t.Errorf("conflicts: %v (-want +got):\n%s", err, diff)
	}
}

// TestMergeOfWhatCIChecksOut: a clone of depth 2 of a merge commit has what it takes, a
// shallower one says what it lacks.
func TestMergeOfWhatCIChecksOut(t *testing.T) {
	t.Parallel()
	f := split(t)
	base := f.on(t, "main", gitd.Change{Write: map[string]string{"fleet/new.yaml": "new\n"}})
	head := f.on(t, "change", gitd.Change{Write: map[string]string{"fleet/mine.yaml": "mine\n"}})
	work := clone(t, f)
	run(t, work, "checkout", "--quiet", "-b", "merge", "main")
	run(t, work, "-c", "user.name=x", "-c", "user.email=x@example.com", "merge", "--quiet", "--no-edit", "origin/change")
	run(t, work, "push", "--quiet", "origin", "merge")
	for depth, ok := range map[string]bool{"1": false, "2": true} {
		dir := t.TempDir() + "/clone"
		run(t, t.TempDir(), "clone", "--quiet", "--depth", depth, "--branch", "merge", "file://"+f.Dir, dir)
		m, err := mergeTree(t, dir, "HEAD^1")
		if !ok {
			if !errors.Is(err, gitsource.ErrRefNotFound) || !strings.Contains(errorText(err), "git fetch --unshallow") || !strings.Contains(errorText(err), "fetch-depth: 0") {
				t.Errorf("depth %s: %v", depth, err)
			}
			continue
		}
		if err != nil || m.Behind() || m.Base.Revision.Commit != base || m.base["fleet/new.yaml"] == "" || m.base["fleet/mine.yaml"] != "" || m.head["fleet/mine.yaml"] == "" || m.head["fleet/new.yaml"] == "" {
			t.Errorf("depth %s: %v, %v to %v", depth, err, m.base, m.head)
		}
		if m, err := mergeTree(t, dir, "HEAD^2"); err != nil || m.Base.Revision.Commit != head {
			t.Errorf("HEAD^2: %v, %v", m.Base.Revision, err)
		}
		for name, say := range map[string]string{"HEAD^3": "no such parent", "HEAD^{tree}": "only ^, ^2 and ~3", "origin/main": "git fetch origin main:refs/remotes/origin/main", "other": "git fetch origin other:other", "0123456": "git fetch origin 0123456", "HEAD~999": "too far"} {
			if _, err := mergeTree(t, dir, name); !errors.Is(err, gitsource.ErrRefNotFound) || !strings.Contains(errorText(err), say) {
				t.Errorf("%s: %v, want one that says %q", name, err, say)
			}
		}
	}
	// A branch of which only the tip was fetched does not show where it parts.
	dir := t.TempDir() + "/clone"
	run(t, t.TempDir(), "clone", "--quiet", "--depth", "1", "--no-single-branch", "--branch", "change", "file://"+f.Dir, dir)
	if _, err := mergeTree(t, dir, "origin/main"); !errors.Is(err, gitsource.ErrNoFork) || !strings.Contains(errorText(err), "the clone is shallow: git fetch --unshallow") {
		t.Errorf("tips only: %v", err)
	}
	plain := t.TempDir()
	write(t, plain+"/fleet/x.yaml", "x\n")
	if _, err := mergeTree(t, plain, "main"); !errors.Is(err, gitsource.ErrNoRepository) {
		t.Errorf("no repository: %v", err)
	}
	unborn := t.TempDir()
	run(t, unborn, "init", "--quiet")
	write(t, unborn+"/fleet/x.yaml", "x\n")
	if _, err := mergeTree(t, unborn, "main"); err == nil || !strings.Contains(err.Error(), "check one out") {
		t.Errorf("no commit: %v", err)
	}
}

// TestForkAsGitDoes compares where two commits of made-up histories part with what git
// merge-base says.
func TestForkAsGitDoes(t *testing.T) {
	t.Parallel()
	bin := gitBinary(t)
	repo, err := gitd.Init(t.TempDir() + "/fleet.git")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Repo: repo}
	tree, err := f.Tree()
	f.do(t, err)
	kinds := map[int]int{}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 11))
		var commits []string
		for i := range 30 {
			var parents []string
			for range min(len(commits), 1+random.IntN(3)/2) {
				parents = append(parents, commits[max(0, len(commits)-1-random.IntN(6))])
			}
			if i == 15 && seed%4 == 0 { // a second root
				parents = nil
			}
			by := gitd.Signature{Name: "a", Email: "a@example.com", Message: fmt.Sprintf("%d of %d", i, seed), When: noon}
			commit, err := f.CommitTree(tree, by, parents...)
			f.do(t, err)
			commits = append(commits, commit)
		}
		src := open(t, gitsource.Options{URL: f.Dir})
		for range 6 {
			base, head := commits[10+random.IntN(20)], commits[10+random.IntN(20)]
			f.branch(t, "base", base)
			f.branch(t, "head", head)
			cmd := exec.CommandContext(t.Context(), bin, "-c", "safe.directory=*", "merge-base", "--all", base, head)
			cmd.Dir, cmd.Env = f.Dir, []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
			out, err := cmd.Output()
			if failed, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || failed.ExitCode() != 1) {
				t.Fatal(err)
			}
			want := strings.Fields(string(out))
			kinds[min(len(want), 2)]++
			m, err := merge(t, src, "base", "head")
			switch {
			case len(want) == 1 && (err != nil || m.Fork != want[0]):
				t.Errorf("seed %d, %s and %s: %v, from %s, want %s", seed, base, head, err, m.Fork, want[0])
			case len(want) != 1 && !errors.Is(err, gitsource.ErrNoFork):
				t.Errorf("seed %d, %s and %s: %v, from %s, and git finds %v", seed, base, head, err, m.Fork, want)
			}
		}
	}
	if kinds[0] == 0 || kinds[1] < 20 || kinds[2] == 0 {
		t.Errorf("%v pairs with none, one and several", kinds)
	}
}

// BenchmarkMerge merges a change of 25 files into a base that has gone on by 25 others,
// in a repository of 5,000.
func BenchmarkMerge(b *testing.B) {
	repo, err := gitd.Init(b.TempDir() + "/fleet.git")
	if err != nil {
		b.Fatal(err)
	}
	write := func(branch, mechanism string, from, to int) {
		c := gitd.Change{Branch: branch, By: gitd.By(noon), Write: map[string]string{}}
		for i := from; i < to; i++ {
			c.Write[fmt.Sprintf("fleet/ns%d/sa%d.yaml", i%200, i)] = strings.ReplaceAll(mapping(fmt.Sprintf("sa%d", i)), "irsa", mechanism)
		}
		if _, err := repo.Commit(c); err != nil {
			b.Fatal(err)
		}
	}
	write("main", "irsa", 0, 5000)
	first, err := repo.Head("main")
	if err != nil {
		b.Fatal(err)
	}
	if err := repo.SetBranch("change", first); err != nil {
		b.Fatal(err)
	}
	write("main", "auto", 0, 25)
	write("change", "auto", 25, 50)
	server, err := gitd.Serve(b.Context(), repo, gitd.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	for name, url := range map[string]string{"disk": repo.Dir, "http": server.URL} {
		b.Run(name, func(b *testing.B) {
			src, err := gitsource.Open(gitsource.Options{URL: url})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = src.Close() })
			b.ReportAllocs()
			for b.Loop() {
				err := src.Merge(b.Context(), "main", "change", []string{"fleet"}, func(m gitsource.Merge) error {
					if !m.Behind() || len(m.Conflicts) > 0 {
						return errors.New("not what was meant")
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
