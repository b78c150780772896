package desired_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

func mapping(namespace, name, spec string) string {
	return fmt.Sprintf("apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {namespace: %s, name: %s}\nspec: {mechanism: irsa, roleARN: \"arn:aws:iam::123456789012:role/x\"%s}\n", namespace, name, spec)
}

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func link(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }

// TestIssueExample is the mapping of the issue: a malformed ARN, an unknown
// mechanism and an unknown key are all said, each with its place.
func TestIssueExample(t *testing.T) {
	t.Parallel()
	const doc = `apiVersion: lanyard.io/v1alpha1
kind: IdentityMapping
metadata:
  name: s3-reader
  namespace: demo
spec:
  roleARN: arn:aws:iam::12345:role/s3-reader
  mechanism: podidentity
  rolARN: x
`
	_, err := desired.Parse(fstest.MapFS{"fleet/demo.yaml": file(doc)}, []string{"fleet"}, worktree)
	var all desired.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want mistakes", err)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.At.String())
	}
	want := []string{"fleet/demo.yaml:7:12", "fleet/demo.yaml:8:14", "fleet/demo.yaml:9:3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got)\n%s\n%v", diff, err)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	base := func(more fstest.MapFS) fstest.MapFS {
		all := fstest.MapFS{"fleet/a.yaml": file(mapping("demo", "a", "")), "shared/b.yaml": file(mapping("demo", "b", ""))}
		for name, f := range more {
			all[name] = f
		}
		return all
	}
	for _, tt := range []struct {
		name, watched string
		more          fstest.MapFS
		want          string // mistakes, or the subjects read
	}{
		{"none", "fleet", nil, "demo/a"},
		{"to a file", "fleet", fstest.MapFS{"fleet/b.yaml": link("../shared/b.yaml")}, "demo/a demo/b"},
		{"to a file of another ending", "fleet", fstest.MapFS{"fleet/c.yaml": link("../c.txt"), "c.txt": file(mapping("demo", "c", ""))}, "demo/a demo/c"},
		{"to a directory", "fleet", fstest.MapFS{"fleet/more": link("../shared")}, "demo/a demo/b"},
		{"to what is watched already", ".", fstest.MapFS{"fleet/b.yaml": link("../shared/b.yaml")}, "demo/a demo/b"},
		{"the watched path itself", "here", fstest.MapFS{"here": link("fleet")}, "demo/a"},
		{"to its own directory", "fleet", fstest.MapFS{"fleet/loop": link(".")}, "demo/a"},
		{"to the root", "fleet", fstest.MapFS{"fleet/root": link("..")}, "demo/a demo/b"},
		{"by way of a link", "fleet", fstest.MapFS{"fleet/b.yaml": link("../alias/b.yaml"), "alias": link("shared")}, "demo/a demo/b"},
		{"out of the tree", "fleet", fstest.MapFS{"fleet/x.yaml": link("../../etc/passwd")},
			"fleet/x.yaml: a link that leaves the tree: keep files inside the repository"},
		{"absolute", "fleet", fstest.MapFS{"fleet/x": link("/etc")},
			"fleet/x: a link that leaves the tree: keep files inside the repository"},
		{"out of the tree by way of a directory", "fleet", fstest.MapFS{"fleet/x.yaml": link("../out/passwd"), "out": link("../etc")},
			"fleet/x.yaml: a link that leaves the tree: keep files inside the repository"},
		{"into .git", "fleet", fstest.MapFS{"fleet/x.yaml": link("../.git/config"), ".git/config": file("secret")},
			"fleet/x.yaml: a path into .git: keep files inside the repository"},
		{"in a circle", "fleet", fstest.MapFS{"fleet/x.yaml": link("y.yaml"), "fleet/y.yaml": link("x.yaml")},
			"fleet/x.yaml: links that go in a circle: keep files inside the repository\nfleet/y.yaml: links that go in a circle: keep files inside the repository"},
		{"to nothing", "fleet", fstest.MapFS{"fleet/x.yaml": link("gone.yaml")},
			"fleet/x.yaml: a link that leads nowhere: delete it or point it at a file"},
		{"to nothing that would be read", "fleet", fstest.MapFS{"fleet/x.txt": link("gone.txt")}, "demo/a"},
		{"no such path", "fleets", nil, "fleets: there is no such file or directory: watch a path that this revision has"},
		{"path out of the tree", "../fleet", nil, "../fleet: the path leaves the repository: watch a path below its root"},
		{"device", "fleet", fstest.MapFS{"fleet/x.yaml": {Mode: fs.ModeNamedPipe}},
			"fleet/x.yaml: not a regular file: write a file, or give it another ending"},
		{"control characters", "fleet", fstest.MapFS{"fleet/\x1b[31m.yaml": file("")},
			`"fleet/\x1b[31m.yaml": a file name with control characters or without UTF-8: rename it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := subjects(desired.Parse(base(tt.more), []string{tt.watched}, worktree))
			if got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// TestLinksOnDisk: links are judged before they are followed, on a file system that
// would follow them anywhere.
func TestLinksOnDisk(t *testing.T) {
	t.Parallel()
	outside, tree := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		filepath.Join(outside, "secret.yaml"): mapping("demo", "secret", ""),
		filepath.Join(tree, "a.yaml"):         mapping("demo", "a", ""),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"b.yaml": filepath.Join(outside, "secret.yaml"), "c": outside, "d.yaml": "a.yaml"} {
		if err := os.Symlink(to, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "b.yaml: a link that leaves the tree: keep files inside the repository\n" +
		"c: a link that leaves the tree: keep files inside the repository"
	if got := subjects(desired.Parse(os.DirFS(tree), nil, worktree)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// subjects prints what a repository has for the lab, or its mistakes.
func subjects(repo *desired.Repository, err error) string {
	var state desired.State
	if err == nil {
		state, err = repo.For(lab)
	}
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, m := range state.Mappings {
		all = append(all, m.Subject.String())
	}
	return strings.Join(all, " ")
}

func TestBounds(t *testing.T) {
	t.Parallel()
	head := mapping("demo", "a", "")
	exact := head + "#" + strings.Repeat("x", 1<<20-len(head)-1)
	var distinct strings.Builder
	for i := range 49_999 {
		distinct.WriteString(strings.ReplaceAll("---\napiVersion: v1\nkind: X\n", "X", fmt.Sprint("X", i%7)))
	}
	split := func(extra string) fstest.MapFS { // each file is under the bound of a file
		s := distinct.String()
		half := strings.LastIndex(s[:len(s)/2], "---")
		return fstest.MapFS{"a.yaml": file(s[:half]), "b.yaml": file(s[half:]), "c.yaml": file(extra)}
	}
	mistakes := make([]string, 1500)
	for i := range mistakes {
		mistakes[i] = fmt.Sprintf("x%04d: 1", i)
	}
	for _, tt := range []struct {
		name string
		fsys fstest.MapFS
		want string // the end of what is said
	}{
		{"1 MiB", fstest.MapFS{"a.yaml": file(exact)}, "demo/a"},
		{"over 1 MiB", fstest.MapFS{"a.yaml": file(exact + "x")}, "a.yaml: the file is over 1 MiB: split it"},
		{"50,000 documents", split(head), "demo/a"},
		{"over 50,000 documents", split(head + "---\n" + mapping("demo", "b", "")), "c.yaml:6:1: more than 50000 documents: watch fewer paths"},
		{"many mistakes", fstest.MapFS{"a.yaml": file(head + strings.Join(mistakes, "\n"))}, "\nand 901 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := subjects(desired.Parse(tt.fsys, nil, worktree))
			if !strings.HasSuffix(got, tt.want) || strings.Count(got, "\n") > 100 {
				t.Errorf("got %d lines ending %q, want %q", strings.Count(got, "\n")+1, got[max(0, len(got)-200):], tt.want)
			}
		})
	}
}

// TestAliasBomb holds the memory of a ten-level bomb, which followed would be ten
// thousand million values. The fixtures say that it is refused.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString(mapping("demo", "a", "") + "x0: &x0 [a, b, c, d, e, f, g, h, i, j]\n")
	for i := range 10 {
		fmt.Fprintf(&b, "x%d: &x%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i), 10), ", "))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := desired.Parse(fstest.MapFS{"a.yaml": file(b.String())}, nil, worktree)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "aliases that expand") {
		t.Errorf("got %v, want a refusal", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("took %d bytes, want at most 8 MiB", used)
	}
}

// TestReadErrors: a repository that cannot be read is no mistake of its authors.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	for _, name := range []string{"fleet", "fleet/a.yaml"} {
		_, err := desired.Parse(brokenFS{fstest.MapFS{"fleet/a.yaml": file("")}, name, broken}, []string{"fleet"}, worktree)
		var mistakes desired.Errors
		if !errors.Is(err, broken) || errors.As(err, &mistakes) {
			t.Errorf("opening %s: got %v, want it to wrap %v and be no mistake", name, err, broken)
		}
	}
}

type brokenFS struct {
	fstest.MapFS
	name string
	err  error
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return b.MapFS.Open(name)
}

func (b brokenFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == b.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return b.MapFS.ReadDir(name)
}

// TestUnknownCluster: what a template needs of the cluster must be known.
func TestUnknownCluster(t *testing.T) {
	t.Parallel()
	doc := strings.Replace(mapping("demo", "a", ""), "123456789012", "${accountID}", 1)
	repo, err := desired.Parse(fstest.MapFS{"a.yaml": file(doc)}, nil, worktree)
	if err != nil {
		t.Fatal(err)
	}
	_, err = repo.For(identity.Cluster{Name: "irsa-lab"})
	if err == nil || !strings.Contains(err.Error(), "needs ${accountID}, which is not known here") {
		t.Errorf("got %v, want ${accountID} to be missed", err)
	}
}

func TestWaivers(t *testing.T) {
	t.Parallel()
	const doc = `apiVersion: lanyard.io/v1alpha1
kind: AuditWaiver
metadata: {name: shared}
spec: {check: trust-too-wide, roleARN: "arn:${partition}:iam::${accountID}:role/${cluster}", owner: platform, reason: why, expires: 2027-01-31}
---
apiVersion: lanyard.io/v1alpha1
kind: AuditWaiver
spec: {check: static-keys, namespace: demo, serviceAccount: a, owner: a, reason: why, expires: 2027-01-31T12:00:00+01:00}
`
	repo, err := desired.Parse(fstest.MapFS{"a.yaml": file(doc)}, nil, worktree)
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(lab)
	if err != nil {
		t.Fatal(err)
	}
	want := []desired.Waiver{
		{
			Name: "shared", Check: "trust-too-wide", Owner: "platform", Reason: "why",
			Role:    identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "irsa-lab"},
			Expires: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), At: desired.Position{File: "a.yaml", Line: 4, Column: 15},
		},
		{
			Check: "static-keys", Owner: "a", Reason: "why", Subject: identity.Subject{Namespace: "demo", ServiceAccount: "a"},
			Expires: time.Date(2027, 1, 31, 11, 0, 0, 0, time.UTC), At: desired.Position{File: "a.yaml", Line: 8, Column: 15},
		},
	}
	if diff := cmp.Diff(want, state.Waivers); diff != "" {
		t.Errorf("waivers (-want +got)\n%s", diff)
	}
	if got := repo.Counts(); got != (desired.Counts{Files: 1, Waivers: 2}) {
		t.Errorf("counts: got %+v", got)
	}
}

// TestOrder: the mappings are sorted, whatever the order of files.
func TestOrder(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"a.yaml": file(mapping("z", "a", "") + "---\n" + mapping("demo", "b", "")),
		"b.yaml": file(mapping("demo", "a", "")),
	}
	if got, want := subjects(desired.Parse(fsys, []string{"b.yaml", "a.yaml", "."}, worktree)), "demo/a demo/b z/a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	repo, err := desired.Parse(fsys, nil, worktree)
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(lab)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range state.Mappings {
		if got, ok := state.Mapping(m.Subject); !ok || got.At != m.At {
			t.Errorf("Mapping(%s) is %v, %v", m.Subject, got, ok)
		}
	}
	if m, ok := state.Mapping(identity.Subject{Namespace: "demo", ServiceAccount: "c"}); ok {
		t.Errorf("Mapping(demo/c) is %v, want none", m)
	}
}

// TestShownNames: every place, of mappings and of mistakes, names the file as it is
// shown, while defaults still follow the directories of the file system.
func TestShownNames(t *testing.T) {
	t.Parallel()
	show := func(name string) string { return "/shown/" + name }
	fsys := fstest.MapFS{
		"fleet/defaults.yaml": file("apiVersion: lanyard.io/v1alpha1\nkind: IdentityDefaults\nspec: {clusters: [irsa-lab]}\n"),
		"fleet/demo/a.yaml":   file(mapping("demo", "a", "")),
	}
	repo, err := desired.ParseShown(fsys, []string{"fleet"}, worktree, show)
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(identity.Cluster{Name: "elsewhere"})
	if err != nil || len(state.Mappings) != 0 {
		t.Errorf("For(elsewhere) = %d mappings, %v, want none: the defaults name another cluster", len(state.Mappings), err)
	}
	if state, err = repo.For(lab); err != nil || len(state.Mappings) != 1 {
		t.Fatalf("For = %d mappings, %v, want one", len(state.Mappings), err)
	}
	if got, want := state.Mappings[0].At.File, "/shown/fleet/demo/a.yaml"; got != want {
		t.Errorf("the mapping is at %s, want %s", got, want)
	}
	for name, f := range map[string]*fstest.MapFile{
		"x.yaml": file("kind: 3\n"), "syntax.yaml": file("a: [\n"), "bytes.yaml": file("\xff"), "large.yaml": file(strings.Repeat("#", 1<<20+1)),
		"link.yaml": link("nowhere"), "pipe.yaml": {Mode: fs.ModeNamedPipe}, "alias.yaml": file("a: &a [*a]\n"), "again.yaml": fsys["fleet/defaults.yaml"],
	} {
		fsys["fleet/"+name] = f
	}
	_, err = desired.ParseShown(fsys, []string{"fleet", "none"}, worktree, show)
	var all desired.Errors
	if !errors.As(err, &all) || len(all) < 9 {
		t.Fatalf("ParseShown = %v, want a mistake of each kind", err)
	}
	for _, e := range all {
		if !strings.HasPrefix(e.At.File, "/shown/") {
			t.Errorf("%s: want the name as it is shown", e)
		}
	}
	if !strings.Contains(err.Error(), "a second IdentityDefaults for directory /shown/fleet,") {
		t.Errorf("got %v, want the directory as it is shown", err)
	}
}
