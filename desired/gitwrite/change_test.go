package gitwrite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired/gitwrite"
)

// TestMain keeps the settings of whoever runs the tests out of them.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "gitwrite")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME"} {
		if err := os.Setenv(name, home); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(code)
}

// git runs the real git, apart from the configuration of whoever runs the test.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git binary to compare with")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"-c", "safe.directory=*", "-c", "core.quotePath=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "PATH=" + os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// long has a line of each number, so that every hunk must find its own.
func long(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// texts are files before and after, whose forms are hard on patches.
var texts = map[string][2]string{
	"plain.yaml":             {"a\nb: irsa\nc\n", "a\nb: pod-identity\nc\n"},
	"crlf.yaml":              {"a\r\nb: irsa  \r\nc\r\n", "a\r\nb: pod-identity  \r\nc\r\n"},
	"cr.yaml":                {"a\rb: irsa\rc\n", "a\rb: pod-identity\rc\n"},
	"bom.yaml":               {"\ufeffb: irsa\nc\n", "\ufeffb: pod-identity\nc\n"},
	"no-end.yaml":            {"a\nb: irsa", "a\nb: pod-identity"},
	"one-more-at-end.yaml":   {"a\nb", "a\nb\nc: pod-identity"},
	"one-more-at-top.yaml":   {"b\nc\n", "a: pod-identity\nb\nc\n"},
	"twice.yaml":             {"irsa\n" + long(30) + "irsa\n", "pod-identity\n" + long(30) + "pod-identity\n"},
	"deep/er/ünï 漢字 x.yaml":  {"b: irsa\n", "b: pod-identity\n"},
	`deep/quo"te\back'.yaml`: {"b: irsa\n", "b: pod-identity\n"},
	"run.yaml":               {"b: irsa\n", "b: pod-identity\n"}, // executable
	"long.yaml":              {long(70_000) + "b: irsa\n" + long(70_000), long(70_000) + "b: pod-identity\n" + long(70_000)},
}

// repository has the texts as they are before, committed.
func repository(t *testing.T) gitwrite.Change {
	t.Helper()
	c := gitwrite.Change{Top: t.TempDir()}
	git(t, c.Top, "init", "--quiet", "--initial-branch=main")
	for name, text := range texts {
		put(t, filepath.Join(c.Top, name), text[0])
		c.Edits = append(c.Edits, gitwrite.Edit{Path: name, Before: []byte(text[0]), After: []byte(text[1])})
	}
	slices.SortFunc(c.Edits, func(a, b gitwrite.Edit) int { return strings.Compare(a.Path, b.Path) })
	if err := os.Chmod(filepath.Join(c.Top, "run.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(c.Top, "deep", "untouched.yaml"), "x\n")
	git(t, c.Top, "add", "--all")
	git(t, c.Top, "commit", "--quiet", "--message=first")
	return c
}

func after(t *testing.T, top string) {
	t.Helper()
	for name, text := range texts {
		if got := get(t, filepath.Join(top, name)); got != text[1] {
			t.Errorf("%s holds %.60q, want %.60q", name, got, text[1])
		}
	}
}

// TestPatch: the real git applies it, and then every byte is as it should be.
func TestPatch(t *testing.T) {
	t.Parallel()
	c := repository(t)
	patch, err := c.Patch()
	if err != nil {
		t.Fatal(err)
	}
	if status := git(t, c.Top, "status", "--porcelain"); status != "" {
		t.Errorf("a patch changed the tree:\n%s", status)
	}
	file := filepath.Join(t.TempDir(), "patch")
	put(t, file, string(patch))
	git(t, c.Top, "apply", "--check", file)
	git(t, c.Top, "apply", "--whitespace=nowarn", "--index", file)
	after(t, c.Top)
	if got := git(t, c.Top, "diff", "--cached", "--summary"); got != "" {
		t.Errorf("modes or names changed:\n%s", got)
	}
	if n := strings.Count(string(patch), "\n@@ "); n != len(texts)+1 {
		t.Errorf("%d hunks, want one for each file and two for twice.yaml", n)
	}
}

// TestWrite: only the files are written, whole and with their modes.
func TestWrite(t *testing.T) {
	t.Parallel()
	c := repository(t)
	if err := os.Chmod(filepath.Join(c.Top, "plain.yaml"), 0o606); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	after(t, c.Top)
	if info, err := os.Stat(filepath.Join(c.Top, "plain.yaml")); err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("mode %v, %v; want as before", info.Mode(), err)
	}
	if got := strings.Count(git(t, c.Top, "status", "--porcelain", "--untracked-files=all"), "\n"); got != len(texts) {
		t.Errorf("%d files changed, want %d", got, len(texts))
	}
}

// TestWriteNothing: one file that is not what it was, and none is written.
func TestWriteNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		do   func(string) error
		want string
	}{
		"changed":   {func(name string) error { return os.WriteFile(name, []byte("b: irsb\n"), 0o644) }, "write run.yaml: it was changed meanwhile, so run this again: nothing was written"},
		"longer":    {func(name string) error { return os.WriteFile(name, []byte("b: irsa\n\n"), 0o644) }, "it was changed meanwhile"},
		"gone":      {os.Remove, "no such file"},
		"a link":    {func(name string) error { return errors.Join(os.Remove(name), os.Symlink("plain.yaml", name)) }, "run.yaml is no regular file"},
		"a link up": {func(name string) error { return errors.Join(os.Remove(name), os.Symlink("../x", name)) }, "run.yaml is no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := repository(t)
			if err := change.do(filepath.Join(c.Top, "run.yaml")); err != nil {
				t.Fatal(err)
			}
			if err := c.Write(); err == nil || !strings.Contains(err.Error(), change.want) {
				t.Errorf("got %v, want %q", err, change.want)
			}
			if got := git(t, c.Top, "status", "--porcelain", "--untracked-files=all"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "run.yaml") {
				t.Errorf("after it:\n%s", got)
			}
		})
	}
	c := repository(t)
	c.Edits = []gitwrite.Edit{{Path: "../out.yaml"}}
	put(t, filepath.Join(c.Top, "..", "out.yaml"), "")
	if err := c.Write(); err == nil {
		t.Error("a file out of the tree was written")
	}
}

// wave is the commit that the tests ask for.
func wave(branch string) gitwrite.Commit {
	p := gitwrite.Person{Name: "Ada <x> L.\n", Email: "ada@example.com"}
	return gitwrite.Commit{Branch: branch, Message: "Move\n\nWhy.\n", Author: p, Committer: p, When: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
}

// TestCommit: the real git finds a sound commit on a new branch, with the edits and
// nothing else, and neither the tree that is checked out nor the index has moved. No
// hook runs.
func TestCommit(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"as it is", "packed", "linked", "detached"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			c := repository(t)
			main := c.Top
			for _, hook := range []string{"pre-commit", "commit-msg", "post-commit", "reference-transaction"} {
				put(t, filepath.Join(main, ".git", "hooks", hook), "#!/bin/sh\ntouch "+filepath.Join(main, "hooked")+"\nexit 1\n")
				if err := os.Chmod(filepath.Join(main, ".git", "hooks", hook), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			switch form {
			case "packed":
				git(t, main, "-c", "core.hooksPath=/dev/null", "gc", "--quiet")
				git(t, main, "-c", "core.hooksPath=/dev/null", "pack-refs", "--all")
			case "linked":
				c.Top = filepath.Join(t.TempDir(), "linked")
				git(t, main, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", c.Top)
			case "detached":
				git(t, main, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach")
			}
			put(t, filepath.Join(c.Top, "staged.yaml"), "staged\n")
			git(t, c.Top, "add", "staged.yaml")
			head := git(t, c.Top, "rev-parse", "HEAD")
			made, err := c.Commit(wave("wave/1"))
			if err != nil || made.Before || made.Unsigned || made.Parent+"\n" != head {
				t.Fatalf("made %+v, %v", made, err)
			}
			if got := git(t, c.Top, "rev-parse", "wave/1", "HEAD", "wave/1^"); got != made.Hash+"\n"+head+head {
				t.Errorf("branch, HEAD and parent\n%s, made %+v", got, made)
			}
			if got := git(t, c.Top, "status", "--porcelain", "--untracked-files=all"); got != "A  staged.yaml\n" {
				t.Errorf("the tree or the index moved:\n%s", got)
			}
			if got := git(t, c.Top, "show", "--no-patch", "--format=%an|%ae|%cn|%ce|%aI|%B", "wave/1"); got != "Ada x L.|ada@example.com|Ada x L.|ada@example.com|2026-11-29T01:02:03+00:00|Move\n\nWhy.\n\n" {
				t.Errorf("commit %q", got)
			}
			git(t, main, "fsck", "--strict", "--no-dangling")
			if got := git(t, c.Top, "diff", "--summary", "HEAD", "wave/1"); got != "" {
				t.Errorf("modes or names changed:\n%s", got)
			}
			if got := strings.Count(git(t, c.Top, "diff", "--name-only", "HEAD", "wave/1"), "\n"); got != len(texts) {
				t.Errorf("%d files changed, want %d", got, len(texts))
			}
			again, err := c.Commit(wave("wave/1"))
			if err != nil || !again.Before || again.Hash != made.Hash {
				t.Errorf("again: %+v, %v; want the same", again, err)
			}
			if _, err := os.Stat(filepath.Join(main, "hooked")); err == nil {
				t.Error("a hook ran")
			}
			other := filepath.Join(t.TempDir(), "other")
			git(t, main, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", other, "wave/1")
			after(t, other)
		})
	}
}

// TestCommitRefuses: what it would have to guess, or move, it leaves.
func TestCommitRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, c *gitwrite.Change, want *gitwrite.Commit)
		is     error
		text   string
	}{
		{"a branch on something else", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) { git(t, c.Top, "branch", "wave") }, gitwrite.ErrBranchExists, "name another, or delete it with git branch -D"},
		{"a branch with another change", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			git(t, c.Top, "branch", "wave", strings.TrimSpace(git(t, c.Top, "commit-tree", "-p", "HEAD", "-m", "other", "HEAD^{tree}")))
		}, gitwrite.ErrBranchExists, "name another"},
		{"a branch with this change on another commit", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			if _, err := c.Commit(wave("before")); err != nil {
				t.Fatal(err)
			}
			git(t, c.Top, "branch", "wave", strings.TrimSpace(git(t, c.Top, "commit-tree", "-m", "other", "before^{tree}")))
		}, gitwrite.ErrBranchExists, "name another"},
		{"the branch that is checked out", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "main" }, gitwrite.ErrBranchExists, "commit on branch main: "},
		{"a branch below another", func(t *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "main/wave" }, nil, "commit on branch main/wave: "},
		{"no name", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "" }, nil, "no name for a branch"},
		{"HEAD", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "HEAD" }, nil, "no name for a branch"},
		{"an option", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "-f" }, nil, "no name for a branch"},
		{"out of refs", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Branch = "../../x" }, nil, "no name for a branch"},
		{"nobody", func(_ *testing.T, _ *gitwrite.Change, w *gitwrite.Commit) { w.Author.Email = "<>" }, gitwrite.ErrNoAuthor, "set user.name and user.email with git config"},
		{"a file that is not committed", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			put(t, filepath.Join(c.Top, "new.yaml"), "a\n")
			c.Edits = append(c.Edits, gitwrite.Edit{Path: "new.yaml", Before: []byte("a\n"), After: []byte("b\n")})
		}, nil, "new.yaml is not in the commit that is checked out: commit it first"},
		{"a file that is committed otherwise", func(_ *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			c.Edits[0].Before = append(c.Edits[0].Before, '\n')
		}, nil, "differs from the commit that is checked out, in its line breaks at least: commit or stash it first"},
		{"a link", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			if err := os.Symlink("plain.yaml", filepath.Join(c.Top, "link.yaml")); err != nil {
				t.Fatal(err)
			}
			git(t, c.Top, "add", "--all")
			git(t, c.Top, "commit", "--quiet", "--message=link")
			c.Edits = append(c.Edits, gitwrite.Edit{Path: "link.yaml", Before: []byte("plain.yaml")})
		}, nil, "link.yaml is no regular file in the commit that is checked out"},
		{"no commit", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) {
			c.Top = t.TempDir()
			git(t, c.Top, "init", "--quiet")
		}, nil, "nothing is committed yet: commit the files first"},
		{"no repository", func(t *testing.T, c *gitwrite.Change, _ *gitwrite.Commit) { c.Top = t.TempDir() }, nil, "give a directory of a Git work tree with --path, or take the patch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, want := repository(t), wave("wave")
			top := c.Top
			tt.change(t, &c, &want)
			refs := git(t, top, "show-ref", "--head")
			_, err := c.Commit(want)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
			if got := git(t, top, "show-ref", "--head"); got != refs {
				t.Errorf("refs moved from\n%s to\n%s", refs, got)
			}
		})
	}
}

// TestConfiguration: who commits is known from the repository's settings, and a wish for
// signatures is told.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	c, want := repository(t), wave("wave")
	want.Author, want.Committer = gitwrite.Person{}, gitwrite.Person{Name: "Env"}
	for key, value := range map[string]string{"user.name": "Conf", "user.email": "conf@example.com", "author.email": "author@example.com", "commit.gpgSign": "yes"} {
		git(t, c.Top, "config", key, value)
	}
	made, err := c.Commit(want)
	if err != nil || !made.Unsigned {
		t.Fatalf("made %+v, %v; want it told that it is unsigned", made, err)
	}
	if got := git(t, c.Top, "show", "--no-patch", "--format=%an %ae %cn %ce", "wave"); got != "Conf author@example.com Env conf@example.com\n" {
		t.Errorf("by %s", got)
	}
}
