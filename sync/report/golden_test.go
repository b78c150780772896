package report_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
				"painted": func(b *strings.Builder) error { return d.Text(b, painted) },
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
