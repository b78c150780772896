package metrics_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/metrics"
)

const pageFile = "../docs/metrics.md"

var tableRE = regexp.MustCompile(`(?m)(?:^\|.*\n)+`)

// TestPage holds the tables of docs/metrics.md to the one in code, and with -update
// makes them: each section's stands under its heading, and the prose stays.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	var order []string
	for _, m := range metrics.Table() {
		if _, met := sections[m.Section]; !met {
			order = append(order, m.Section)
			sections[m.Section] = "| metric | type | labels | meaning | alert on |\n|---|---|---|---|---|\n"
		}
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, ", ") + "` "
		}
		if m.About == "" || m.Alert == "" {
			t.Errorf("%s: no meaning or no hint", m.Name)
		}
		sections[m.Section] += fmt.Sprintf("| `%s` | %s | %s| %s | %s |\n", m.Name, m.Type, labels, m.About, m.Alert)
	}
	want := page
	for _, section := range order {
		start := bytes.Index(want, []byte("\n## "+section+"\n"))
		if start < 0 {
			t.Fatalf("%s has no section %q: write its heading, a word on it, and a row that begins with |", pageFile, section)
		}
		at := tableRE.FindIndex(want[start:])
		if next := bytes.Index(want[start+1:], []byte("\n## ")); at == nil || next >= 0 && at[0] > next {
			t.Fatalf("%s: section %q has no table: write a row that begins with |", pageFile, section)
		}
		want = bytes.Join([][]byte{want[:start+at[0]], []byte(sections[section]), want[start+at[1]:]}, nil)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(pageFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(page)); diff != "" {
		t.Errorf("%s is not what the code says: go test ./metrics -run TestPage -update (-code +page)\n%s", pageFile, diff)
	}
	if tables := len(tableRE.FindAll(page, -1)); tables != len(order) {
		t.Errorf("%s has %d tables, want %d: one of each section in code", pageFile, tables, len(order))
	}
}
