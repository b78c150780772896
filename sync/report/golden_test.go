package report_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares with testdata/<TestName>/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", filepath.FromSlash(t.Name()), name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); rewrite with -update\n%s", file, diff[:min(len(diff), 4000)])
	}
}

// painted marks each styled word, so that a golden file shows the styles.
func painted(s report.Style, text string) string {
	return fmt.Sprintf("<%s>%s</>", [...]string{"critical", "warning", "info", "good", "strong", "faint"}[s], text)
}

// TestDiff shows the examples in every form.
func TestDiff(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) world{"examples": example, "mixed": mixed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := make(t).diff()
			forms := map[string]func(*strings.Builder) error{
				"text":    func(b *strings.Builder) error { return d.Text(b, nil) },
				"table":   func(b *strings.Builder) error { return d.Table(b, nil) },
				"md":      func(b *strings.Builder) error { return d.Markdown(b) },
				"painted": func(b *strings.Builder) error { return errors.Join(d.Table(b, painted), d.Text(b, painted)) },
				"json": func(b *strings.Builder) error {
					j, err := d.JSON()
					b.Write(j)
					return err
				},
			}
			for form, write := range forms {
				var b strings.Builder
				if err := write(&b); err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				golden(t, "diff."+form, b.String())
			}
		})
	}
}

// TestDiffInSync shows that nothing is hidden when all is well, and that a long list
// is cut.
func TestDiffInSync(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 30, 32} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var text, md strings.Builder
			d := inSync(n)
			if err := d.Text(&text, nil); err != nil {
				t.Fatal(err)
			}
			if err := d.Markdown(&md); err != nil {
				t.Fatal(err)
			}
			if d.Differs() {
				t.Error("Differs is true for a report without a finding or a gap")
			}
			for what, got := range map[string]string{"text": text.String(), "markdown": md.String()} {
				named := strings.Count(got, "demo/sa-")
				if want := min(n, 30); named != want {
					t.Errorf("%s of %d mappings names %d, want %d\n%s", what, n, named, want, head(got))
				}
				if has, want := strings.Contains(got, "and 2 more\n"), n == 32; has != want {
					t.Errorf("%s of %d mappings says \"and 2 more\": %t, want %t\n%s", what, n, has, want, head(got))
				}
			}
		})
	}
}

// TestDiffUnmanaged shows that a long list of unmanaged ServiceAccounts is cut.
func TestDiffUnmanaged(t *testing.T) {
	t.Parallel()
	d := inSync(0)
	for _, m := range inSync(31).Mappings {
		d.Unmanaged = append(d.Unmanaged, subject(m.Namespace, m.ServiceAccount))
	}
	var text, md strings.Builder
	if err := d.Text(&text, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if want := "never touched (31)</summary>"; !strings.Contains(md.String(), want) {
		t.Errorf("markdown does not say %q", want)
	}
	for what, got := range map[string]string{"text": text.String(), "markdown": md.String()} {
		if strings.Count(got, "demo/sa-") != 30 || !strings.Contains(got, "and 1 more\n") {
			t.Errorf("%s does not name 30 of 31 unmanaged ServiceAccounts:\n%s", what, head(got))
		}
	}
}

// TestDiffModes: a report says whether a round would really write its steps.
func TestDiffModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[desired.Mode]string{
		desired.ModeRepair:  "A round would write",
		desired.ModeMigrate: "A round would write",
		desired.ModeObserve: "In mode repair a round would write (mode observe: nothing is written)",
		"":                  "In mode repair a round would write (no configuration: nothing is written)",
	} {
		w := example(t)
		w.mode = mode
		var text, md strings.Builder
		if err := errors.Join(w.diff().Text(&text, nil), w.diff().Markdown(&md)); err != nil {
			t.Fatal(err)
		}
		if line := "\n\n" + strings.ToLower(want[:1]) + want[1:] + "\n  widen "; !strings.Contains(text.String(), line) {
			t.Errorf("mode %q: text does not say %q:\n%s", mode, line, text.String())
		}
		if line := "<summary>" + want + " (1)</summary>"; !strings.Contains(md.String(), line) {
			t.Errorf("mode %q: markdown does not say %q", mode, line)
		}
	}
}

// TestTextWidth: no line is wider than a terminal of 100 columns, but for a word that
// is, and what is to be copied.
func TestTextWidth(t *testing.T) {
	t.Parallel()
	long := everywhere(strings.Repeat("word ", 150))
	long.Left, long.Steps[0].Subject = nil, subject("demo", "a")
	for i, m := range inSync(2).Mappings {
		m.ServiceAccount += strings.Repeat("n", 60*i)
		long.Mappings = append(long.Mappings, m)
	}
	long.Cluster = strings.Repeat("c", 90)
	for name, d := range map[string]report.Diff{"examples": example(t).diff(), "mixed": mixed(t).diff(), "long": long} {
		var b strings.Builder
		if err := d.Text(&b, nil); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimRight(line, "\n")
			body := strings.TrimLeft(line, " ")
			copied := strings.HasPrefix(body, "{") || strings.HasPrefix(body, "aws ") || strings.HasPrefix(body, "kubectl ")
			named := strings.HasPrefix(body, "word word") && !strings.Contains(body, ", ") // a name is one word, and never has a space
			if len(line) > 100 && strings.Contains(body, " ") && !copied && !named {
				t.Errorf("%s: %d columns: %s", name, len(line), head(line))
			}
		}
	}
}

// TestTablePainted: colours do not move columns.
func TestTablePainted(t *testing.T) {
	t.Parallel()
	var bare, coloured strings.Builder
	d := mixed(t).diff()
	if err := errors.Join(d.Table(&bare, nil), d.Table(&coloured, painted)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(coloured.String(), "<critical>critical</>") {
		t.Errorf("a severity is not painted:\n%s", head(coloured.String()))
	}
	if diff := cmp.Diff(bare.String(), regexp.MustCompile("<[a-z]+>|</>").ReplaceAllString(coloured.String(), "")); diff != "" {
		t.Errorf("without its colours the table differs (-bare +painted)\n%s", diff)
	}
}

// TestTableWithout: a table of nothing says so, and what was not read.
func TestTableWithout(t *testing.T) {
	t.Parallel()
	clear, unread := inSync(1), inSync(1)
	unread.Gaps = []live.Gap{{Source: live.SourcePods, Reason: live.GapRefused}}
	for name, tt := range map[string]struct {
		d    report.Diff
		want string
	}{
		"in sync": {clear, "no differences\n\n1 mapping, 1 in sync; 0 findings (0 critical, 0 warning, 0 info); 0 to write, 0 left; 0 gaps\n"},
		"a gap": {unread, "no differences in what could be read\n\n1 mapping, 1 in sync; 0 findings (0 critical, 0 warning, 0 info); 0 to write, 0 left; 0 gaps\n" +
			"not read: " + string(live.SourcePods) + ": refused\n"},
	} {
		var b strings.Builder
		if err := tt.d.Table(&b, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
