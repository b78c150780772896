package migrate_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/migrate"
)

// TestDocs holds docs/reasons.md to the lists: a paragraph of its own for each code, in
// the order of reports, and none besides.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]migrate.Code{"keep-irsa": migrate.Keeps(), "blocked": migrate.Blocks(), "warnings": migrate.Warnings(), "holds": migrate.Holds()}
	got := map[string][]migrate.Code{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		for _, part := range strings.Split(body, "\n### ")[1:] {
			code, paragraph, _ := strings.Cut(part, "\n")
			if got[title] = append(got[title], migrate.Code(code)); len(strings.TrimSpace(paragraph)) < 80 {
				t.Errorf("%s: its paragraph says too little", code)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reasons.md (-codes +page)\n%s", diff)
	}
}
