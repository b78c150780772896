//go:build nightly

package mutation

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// mutant is one line of the list: in a file, behind the head of a function if one is
// named, old stands exactly once and becomes new.
type mutant struct {
	file, function, old, new string
	survives                 string // why no test can tell
}

func (m mutant) String() string {
	return strings.TrimSpace(m.file+" "+m.function) + ": " + m.old + " ==> " + m.new
}

var line = regexp.MustCompile(`^([a-z]+\.go)(?: (\w+))?: (.+) ==>(?: (.*))?$`)

func mutants(t *testing.T) (out []mutant) {
	text, err := os.ReadFile("mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.Split(string(text), "\n") {
		why, isWhy := strings.CutPrefix(l, "\tsurvives: ")
		switch m := line.FindStringSubmatch(l); {
		case l == "" || strings.HasPrefix(l, "#"):
		case isWhy && len(out) > 0:
			out[len(out)-1].survives = why
		case m == nil:
			t.Fatalf("mutations.txt:%d: want \"file.go function: old ==> new\" or a tab and \"survives: why\", found %q", i+1, l)
		default:
			out = append(out, mutant{file: m[1], function: m[2], old: m[3], new: m[4]})
		}
	}
	return out
}

// apply returns the file with the mutation in it.
func (m mutant) apply(t *testing.T, dir string) []byte {
	source, err := os.ReadFile(filepath.Join(dir, m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, from := string(source), 0
	if m.function != "" {
		head := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + m.function + `[(\[]`).FindStringIndex(text)
		if head == nil {
			t.Fatalf("%s has no function %s: mend mutations.txt", m.file, m.function)
		}
		from = head[0]
	}
	body := text[from:]
	if m.function != "" {
		body = body[:strings.Index(body, "\n}\n")+1]
	}
	if n := strings.Count(body, m.old); n != 1 {
		t.Fatalf("%q stands %d times in %s %s, want once: mend mutations.txt", m.old, n, m.file, m.function)
	}
	return []byte(text[:from] + strings.Replace(body, m.old, m.new, 1) + text[from+len(body):])
}

// TestMutants runs the tests of sync/trust against each mutant.
func TestMutants(t *testing.T) {
	pkg, err := filepath.Abs("../../sync/trust")
	if err != nil {
		t.Fatal(err)
	}
	all := mutants(t)
	var killed, survived atomic.Int32
	t.Run("mutant", func(t *testing.T) {
		for _, m := range all {
			t.Run(strings.ReplaceAll(m.file+" "+m.function+" "+m.old, "/", " "), func(t *testing.T) {
				t.Parallel()
				switch output, alive := run(t, pkg, m); {
				case !alive && m.survives == "":
					killed.Add(1)
					t.Logf("killed    %s", m)
				case alive && m.survives != "":
					survived.Add(1)
					t.Logf("survives  %s", m)
				case alive:
					t.Errorf("no test notices %s", m)
				default:
					t.Errorf("said to survive (%s), but a test notices %s:\n%s", m.survives, m, output)
				}
			})
		}
	})
	t.Logf("%d mutants: %d killed, %d survive and are explained", len(all), killed.Load(), survived.Load())
}

// run builds the package's tests with the mutant laid over it and runs them.
func run(t *testing.T, pkg string, m mutant) (output string, alive bool) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(m.file, m.apply(t, pkg))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(pkg, m.file): path(m.file)}})
	if err != nil {
		t.Fatal(err)
	}
	write("overlay.json", overlay)

	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", path("overlay.json"), "-o", path("trust.test"), ".")
	build.Dir = pkg
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("does not compile, so it shows nothing: %s: %v\n%s", m, err, out)
	}
	// A mutant that never ends is noticed too.
	tests := exec.CommandContext(t.Context(), path("trust.test"), "-test.failfast", "-test.timeout=2m")
	tests.Dir = pkg
	out, err := tests.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	return strings.Join(lines[:min(len(lines), 5)], "\n"), err == nil
}
