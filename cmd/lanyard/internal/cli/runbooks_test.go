package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fencedRE  = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	commandRE = regexp.MustCompile(`(?m)^lanyard (.*)$`)
	inlineRE  = regexp.MustCompile("`lanyard ([^`\n]*)`")
)

// TestRunbookCommands: the commands that runbooks give are commands of lanyard's, with
// flags that they have.
func TestRunbookCommands(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := inlineRE.FindAllStringSubmatch(string(page), -1)
		for _, block := range fencedRE.FindAllStringSubmatch(string(page), -1) {
			lines = append(lines, commandRE.FindAllStringSubmatch(block[1], -1)...)
		}
		for _, m := range lines {
			line, _, _ := strings.Cut(m[1], " | ")
			cmd, rest, err := newRoot(World{}, &voice{}).Find(strings.Fields(line))
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if mention := len(rest) == 0; err == nil && !mention {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: lanyard %s: %v", filepath.Base(file), line, err)
			}
			found++
		}
	}
	if found < 20 {
		t.Errorf("%d commands found; the search is broken", found)
	}
}
