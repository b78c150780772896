package archtest

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackageDocs holds that each package says in one comment of at least three
// lines what it does, what it never does and who may import it. A command says what
// it is.
func TestPackageDocs(t *testing.T) {
	t.Parallel()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		for _, problem := range docProblems(p) {
			t.Errorf("%s: %s (a package without a comment is read by its callers alone: write doc.go)", p.Path, problem)
		}
	}
}

// docProblems judges the package comment of one package.
func docProblems(p *Package) []string {
	var docs []string
	name, shipped := "", false
	for _, file := range p.Files {
		shipped = shipped || !file.Test
	}
	for _, file := range p.Files {
		if file.Test && shipped {
			continue
		}
		name = strings.TrimSuffix(file.AST.Name.Name, "_test")
		if doc := file.AST.Doc.Text(); doc != "" {
			docs = append(docs, doc)
		}
	}
	first, lines := "Package "+name+" ", 3
	if name == "main" {
		first, lines = "Command "+path.Base(p.Path)+" ", 1
	}
	switch {
	case len(docs) == 0:
		return []string{"no package comment"}
	case len(docs) > 1:
		return []string{"package comments in several files; go doc joins them in an order nobody chose"}
	}
	var problems []string
	if !strings.HasPrefix(docs[0], first) {
		problems = append(problems, "the package comment does not begin with "+strings.TrimSpace(first))
	}
	if n := strings.Count(docs[0], "\n"); n < lines {
		problems = append(problems, "the package comment is shorter than three lines: say what it does, what it never does, who may import it")
	}
	return problems
}

func TestPackageDocsCanFail(t *testing.T) {
	t.Parallel()
	three := "// Package p does.\n// It never does.\n// Anyone may.\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"good", map[string]string{"p/doc.go": three + "package p", "p/a.go": "package p"}, ""},
		{"good command", map[string]string{"cmd/p/main.go": "// Command p is.\npackage main"}, ""},
		{"good tests", map[string]string{"p/doc_test.go": three + "package p_test", "p/a_test.go": "package p_test"}, ""},
		{"none", map[string]string{"p/a.go": "package p"}, "no package comment"},
		{"in a test only", map[string]string{"p/a.go": "package p", "p/a_test.go": three + "package p"}, "no package comment"},
		{"detached", map[string]string{"p/a.go": three + "\npackage p"}, "no package comment"},
		{"twice", map[string]string{"p/a.go": three + "package p", "p/b.go": three + "package p"}, "several files"},
		{"short", map[string]string{"p/a.go": "// Package p does.\npackage p"}, "shorter than three lines"},
		{"another name", map[string]string{"p/a.go": strings.Replace(three, "Package p", "Package q", 1) + "package p"}, "does not begin with"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sources := map[string][]byte{}
			for name, src := range test.files {
				sources[name] = []byte(src)
			}
			packages, err := parse(sources)
			if err != nil || len(packages) != 1 {
				t.Fatalf("parse %v: %d packages, %v", test.files, len(packages), err)
			}
			got := strings.Join(docProblems(packages[0]), "; ")
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("docProblems(%v) = %q, want %q", test.files, got, test.want)
			}
		})
	}
}

// topLevel is fixed: a new name there is a decision about the whole house.
var topLevel = []string{
	".ci", ".gitignore", ".golangci.yml", "Dockerfile", "LICENSE", "Makefile", "README.md",
	"cmd", "deploy", "desired", "docs", "examples", "go.mod", "go.sum", "internal", "metrics", "migrate", "sync", "test",
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	names, err := Tree(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range names {
		first, _, _ := strings.Cut(name, "/")
		if !slices.Contains(got, first) {
			got = append(got, first)
		}
	}
	for _, name := range got {
		if !slices.Contains(topLevel, name) {
			t.Errorf("%s: the top level is fixed to %v: put it below one of these, or into .gitignore", name, topLevel)
		}
	}
}

// machinePath matches a path that exists on somebody's machine only. The words are
// split so that this file does not name one.
var machinePath = regexp.MustCompile(`(?:^|[^\w./~-])(?:/` + `work|/` + `root|/` + `home/\w+|/` + `Users/\w+|[A-Z]:\\` + `Users)(?:[/\\]|\b)[^\s"'` + "`" + `]*`)

// wellKnown are the exceptions: where tools keep a user's settings in any container.
var wellKnown = regexp.MustCompile(`/(?:root|home/(?:app|nonroot))/\.(?:aws|kube|ssh)\b`)

func findMachinePath(line string) string {
	for _, found := range machinePath.FindAllString(line, -1) {
		if !wellKnown.MatchString(found) {
			return found
		}
	}
	return ""
}

// TestNoMachinePaths holds that no file of the tree names a place on the machine
// where it was written.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	names, err := Tree(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if os.IsNotExist(err) {
			continue // removed since the walk
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
			continue // binary
		}
		for i, line := range strings.Split(string(data), "\n") {
			if found := findMachinePath(line); found != "" {
				t.Errorf("%s:%d: %q is a path of one machine", name, i+1, found)
			}
		}
	}
}

func TestNoMachinePathsCanFail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"see /" + "work/main":                      true,
		`"/` + `home/ann/go"`:                      true,
		"/" + "root/go/pkg/mod":                    true,
		"/root/.aws/config, /home/app/.kube/x":     false,
		"/root/.aws/config /" + "home/ann/x":       true,
		`C:\` + `Users\ann`:                        true,
		"(/" + "Users/ann)":                        true,
		"fleet/root and /workload and /homes":      false,
		"/var/run/secrets/eks.amazonaws.com":       false,
		"$HOME/.cache, ~/work, ./work/x, a/home/b": false,
		"https://kubernetes.io/docs/home/":         false,
	} {
		if got := findMachinePath(text) != ""; got != want {
			t.Errorf("a machine's path found in %q: %v, want %v", text, got, want)
		}
	}
}

func TestIgnore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(".gitignore", "# built\n/bin/\n*.out\n")
	for _, name := range []string{"bin/x", "a/bin/x", "cover.out", "a/b.out", "a.go", ".git/HEAD"} {
		write(name, "x")
	}
	got, err := Tree(dir)
	if want := []string{".gitignore", "a.go", "a/bin/x"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Tree = %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"!keep\n", "a/b\n"} {
		write(".gitignore", bad)
		if _, err := Tree(dir); err == nil {
			t.Errorf("Tree with .gitignore %q: no error, want one: the pattern is not understood", bad)
		}
	}
}
