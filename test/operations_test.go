package test_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
)

// held is the heading of docs/operations.md under which the reasons stand.
const held = "When the head of Git is held"

// TestHeldReasons: every reason for which a head is held has its paragraph in
// docs/operations.md, in the order of the code, and it says what to do.
func TestHeldReasons(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(data), "\n## "+held+"\n")
	part, _, _ = strings.Cut(part, "\n## ")
	var got []string
	for _, s := range strings.Split(part, "\n### ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		got = append(got, name)
		body = strings.TrimSpace(body)
		if n := len(strings.Fields(body)); n < 35 || strings.Contains(body, "\n\n") {
			t.Errorf("%s has %d words in %d paragraphs, want one of at least 35", name, n, 1+strings.Count(body, "\n\n"))
		}
		if !strings.Contains(body, "source.accept") {
			t.Errorf("%s does not say whether source.accept lets such a commit in", name)
		}
	}
	if diff := cmp.Diff(words(desired.HeldReasons()), got); diff != "" {
		t.Errorf("headings of docs/operations.md under %q (-code +page)\n%s", held, diff)
	}
}

var (
	headingRE = regexp.MustCompile(`(?m)^#+ (.*)$`)
	droppedRE = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are those that GitHub gives the headings of a page.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{"": true}
	for _, m := range headingRE.FindAllStringSubmatch(string(data), -1) {
		all[strings.ReplaceAll(droppedRE.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// TestOperationsLinks: links of docs/operations.md lead to pages and headings that are
// there.
func TestOperationsLinks(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	links := linkRE.FindAllStringSubmatch(string(data), -1)
	for _, m := range links {
		page, heading, _ := strings.Cut(m[1], "#")
		if page == "" {
			page = "operations.md"
		}
		if strings.HasPrefix(page, "https://") {
			continue
		}
		if !anchors(t, page)[heading] {
			t.Errorf("%s has no heading %q", page, heading)
		}
	}
	if len(links) < 8 {
		t.Errorf("%d links found; the search is broken", len(links))
	}
}
