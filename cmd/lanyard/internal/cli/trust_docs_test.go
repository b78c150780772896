package cli

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	fence = regexp.MustCompile("(?ms)^```(json \\S+|console)\n(.*?)^```$")
	shell = regexp.MustCompile(`(?m)^\$ (.*)\n`)
)

// The examples of docs/trust.md do what the page says: files are fences with a
// name, commands are fences of the language console.
func TestTrustPage(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	ran := 0
	for _, m := range fence.FindAllStringSubmatch(string(page), -1) {
		if name, ok := strings.CutPrefix(m[1], "json "); ok {
			if err := os.WriteFile(name, []byte(m[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		line := shell.FindStringSubmatch(m[2])
		if line == nil {
			t.Fatalf("no command in %q", m[2])
		}
		args := strings.Fields(line[1])
		var stdout, stderr bytes.Buffer
		world := World{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}
		Main(t.Context(), args[1:], world)
		if diff := cmp.Diff(m[2][len(line[0]):], stdout.String()); diff != "" {
			t.Errorf("%s: -page +got\n%s%s", line[1], diff, stderr.String())
		}
		ran++
	}
	if ran < 4 {
		t.Errorf("only %d commands of docs/trust.md ran", ran)
	}
}
