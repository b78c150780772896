package test_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// section is what stands under one heading of the third level.
type section struct{ name, above, text string } // above: the heading of the second level

// sections reads a page of docs.
func sections(t *testing.T, page string) []section {
	t.Helper()
	data, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	above := ""
	for line := range strings.Lines(string(data)) {
		if name, is := strings.CutPrefix(line, "## "); is {
			above = strings.TrimSpace(name)
		} else if name, is := strings.CutPrefix(line, "### "); is {
			all = append(all, section{name: strings.TrimSpace(name), above: above})
		} else if len(all) > 0 {
			all[len(all)-1].text += line
		}
	}
	return all
}

func names(all []section) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.name)
	}
	return out
}

func words[T ~string](list []T) []string {
	var out []string
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

// TestFindingsPage: every kind of finding has its paragraph, in the order of the code,
// under its plane, and begins with that plane and the severities that it can have.
func TestFindingsPage(t *testing.T) {
	t.Parallel()
	all := sections(t, "findings.md")
	if diff := cmp.Diff(words(diff.Kinds()), names(all)); diff != "" {
		t.Fatalf("headings of docs/findings.md (-code +page)\n%s", diff)
	}
	for i, kind := range diff.Kinds() {
		if want := string(kind.Plane()); all[i].above != want {
			t.Errorf("%s stands under %q, want %q", kind, all[i].above, want)
		}
		for _, severity := range severities(t, all[i]) {
			if !slices.Contains([]diff.Severity{diff.Info, diff.Warning, diff.Critical}, severity) {
				t.Errorf("%s: %q is no severity", kind, severity)
			}
		}
	}
}

var headRE = regexp.MustCompile("^Plane: `([a-z-]+)`\\. Severity: (`[a-z]+`(?:, `[a-z]+`)*)\\.\n\n")

// severities reads the line below a finding's heading.
func severities(t *testing.T, s section) []diff.Severity {
	t.Helper()
	m := headRE.FindStringSubmatch(s.text)
	if m == nil || m[1] != s.above {
		t.Errorf("%s begins with %.60q, want \"Plane: `%s`. Severity: ...\" and an empty line", s.name, s.text, s.above)
		return nil
	}
	var out []diff.Severity
	for word := range strings.SplitSeq(m[2], ", ") {
		out = append(out, diff.Severity(strings.Trim(word, "`")))
	}
	return out
}

// TestFindingsOfTheExample: what is found in the example fleet has a severity that the
// page says it can have.
func TestFindingsOfTheExample(t *testing.T) {
	t.Parallel()
	can := map[diff.Kind][]diff.Severity{}
	for _, s := range sections(t, "findings.md") {
		can[diff.Kind(s.name)] = severities(t, s)
	}
	snap, err := live.Decode(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(examples.Fleet(), []string{"."}, desired.Revision{Ref: "main"})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	found := diff.Compare(state, snap, diff.Options{}).Findings
	if len(found) == 0 {
		t.Error("the example fleet has no findings")
	}
	for _, f := range found {
		if !slices.Contains(can[f.Kind], f.Severity) {
			t.Errorf("%s is %s; the page says %v", f, f.Severity, can[f.Kind])
		}
	}
}

// TestHoldsPage: every reason has its paragraph, in the order of the code.
func TestHoldsPage(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(words(plan.Reasons()), names(sections(t, "holds.md"))); diff != "" {
		t.Errorf("headings of docs/holds.md (-code +page)\n%s", diff)
	}
}

// TestParagraphs: a section is one paragraph that says something.
func TestParagraphs(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"findings.md", "holds.md"} {
		for _, s := range sections(t, page) {
			body := strings.TrimSpace(headRE.ReplaceAllString(s.text, ""))
			if n := len(strings.Fields(body)); n < 35 || strings.Contains(body, "\n\n") {
				t.Errorf("%s: %s has %d words in %d paragraphs, want one of at least 35", page, s.name, n, 1+strings.Count(body, "\n\n"))
			}
		}
	}
}

var linkRE = regexp.MustCompile(`\]\(([^)]+)\)`)

// TestLinks: links between pages lead to a heading that is there; links outside are to
// documentation.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"findings.md", "holds.md", "migration.md"} {
		data, err := os.ReadFile("../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkRE.FindAllStringSubmatch(string(data), -1) {
			if err := follow(t, m[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

func follow(t *testing.T, link string) error {
	t.Helper()
	for _, site := range []string{"https://docs.aws.amazon.com/", "https://kubernetes.io/docs/", "https://github.com/aws/amazon-eks-pod-identity-webhook", "https://prometheus.io/docs/"} {
		if strings.HasPrefix(link, site) {
			return nil
		}
	}
	page, heading, _ := strings.Cut(link, "#")
	if _, err := os.Stat("../docs/" + page); err != nil || page == "" {
		return fmt.Errorf("%s is neither documentation of AWS or Kubernetes nor a page of ours", link)
	}
	if heading != "" && !anchors(t, page)[heading] {
		return fmt.Errorf("%s has no heading %s", page, heading)
	}
	return nil
}

// TestDoctorPage: every check of lanyard doctor has its paragraph, in the order of the
// code and under its area, every result is told, and the policy for whoever runs it is the
// one of the code.
func TestDoctorPage(t *testing.T) {
	t.Parallel()
	all := sections(t, "doctor.md")
	if diff := cmp.Diff(words(doctor.Checks()), names(all)); diff != "" {
		t.Fatalf("headings of docs/doctor.md (-code +page)\n%s", diff)
	}
	for i, id := range doctor.Checks() {
		if all[i].above != string(id.Area()) || len(strings.Fields(all[i].text)) < 10 {
			t.Errorf("%s stands under %q with %q, want a paragraph under %q", id, all[i].above, all[i].text, id.Area())
		}
	}
	data, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range doctor.Results() {
		if !strings.Contains(string(data), "| `"+string(r)+"` |") {
			t.Errorf("docs/doctor.md does not say what %s means", r)
		}
	}
	policy := strings.ReplaceAll(strings.TrimSpace(rights.DoctorIAM(rights.Place{})), "\n", "\n  ")
	if !strings.Contains(string(data), "  "+policy+"\n") {
		t.Errorf("docs/doctor.md does not have this policy:\n%s", policy)
	}
	for _, rule := range func() []string { _, r := rights.Doctor(rights.Place{}); return append(r.Verbs, r.Resources...) }() {
		if !strings.Contains(string(data), "`"+rule+"`") {
			t.Errorf("docs/doctor.md does not name %s", rule)
		}
	}
}

// TestReadOn: README names each page of docs among those to read on with.
func TestReadOn(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(readme), "\n## Read on\n")
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || !found || len(pages) == 0 {
		t.Fatalf("%d pages, the list is there: %t, %v", len(pages), found, err)
	}
	for _, page := range pages {
		if link := "(" + strings.TrimPrefix(page, "../") + ")"; !strings.Contains(list, link) {
			t.Errorf("README does not say what %s is for", page)
		}
	}
}
