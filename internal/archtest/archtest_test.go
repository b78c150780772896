package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// root is the module's directory, seen from this package's.
const root = "../.."

// TestArrows judges the whole module.
func TestArrows(t *testing.T) {
	t.Parallel()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages found under %s: the walk is broken", len(packages), root)
	}
	for _, offence := range Check(packages) {
		t.Error(offence)
	}
}

// TestRows holds the table itself: every row and library has its reason, none is
// there twice, and no row lets a package import upward.
func TestRows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range house {
		if r.why == "" || seen[r.path] {
			t.Errorf("row %s: no reason, or a second row", r.path)
		}
		seen[r.path] = true
		if r.level != aside && r.below > r.level {
			t.Errorf("row %s: level %d may import everything below %d, which is upward", r.path, r.level, r.below)
		}
		for _, also := range r.also {
			to, known := roomOf(strings.TrimSuffix(also, "/..."))
			if !known || r.level != aside && to.level > r.level {
				t.Errorf("row %s: may import %s, which is unknown or above it", r.path, also)
			}
		}
	}
	for _, l := range libraries {
		if l.why == "" || len(l.rooms) == 0 {
			t.Errorf("library %v: no reason, or nobody who may use it", l.prefixes)
		}
	}
}

// worlds are synthetic modules, each with the offences that it must yield, written
// "rule: what". Together they show that every rule can fail, and how it speaks.
var worlds = []struct {
	name  string
	files map[string]string // imports by file name; a body may follow after a semicolon
	want  []string
}{
	{
		"downward and asides", map[string]string{
			"internal/identity/a.go":        "fmt",
			"sync/live/a.go":                "lanyard/sync/trust lanyard/internal/identity gopkg.in/yaml.v3 net/url",
			"sync/plan/a.go":                "lanyard/sync/diff lanyard/sync/live lanyard/desired lanyard/internal/remedy",
			"migrate/a.go":                  "lanyard/sync/plan lanyard/sync/diff lanyard/sync/live lanyard/sync/trust",
			"sync/observe/a.go":             "os lanyard/sync/live github.com/aws/aws-sdk-go-v2/service/iam k8s.io/client-go/informers",
			"desired/gitsource/a.go":        "os lanyard/desired github.com/go-git/go-git/v5",
			"sync/a.go":                     "sync log/slog lanyard/sync/report lanyard/desired",
			"metrics/a.go":                  "lanyard/sync/report github.com/prometheus/client_golang/prometheus",
			"internal/app/a.go":             "lsync=lanyard/sync lanyard/migrate lanyard/metrics lanyard/sync/apply",
			"cmd/lanyard/internal/cli/a.go": "lanyard/internal/app lanyard/internal/sandbox lanyard/sync/report github.com/spf13/cobra",
			"cmd/lanyard/main.go":           "os lanyard/cmd/lanyard/internal/cli",
			"internal/sandbox/a.go":         "lanyard/internal/sandbox/awsd k8s.io/client-go/kubernetes/fake",
			"examples/a.go":                 "embed",
			"sync/trust/a_test.go":          "os time lanyard/internal/sandbox/awsd lanyard/internal/testkit github.com/google/go-cmp/cmp; var _ = time.Now",
			"desired/a.go":                  "time; var _ = time.Date",
		}, nil,
	},
	{"a package without a row", map[string]string{"sync/util/a.go": "fmt"}, []string{"table: sync/util is not in the table"}},
	{
		"the alias", map[string]string{
			"internal/app/a.go":      "lanyard/sync",
			"internal/app/b.go":      "loop=lanyard/sync",
			"internal/app/c_test.go": "lanyard/sync",
		}, []string{
			`alias: internal/app imports github.com/lanyard-io/lanyard/sync as "", not as lsync`,
			`alias: internal/app imports github.com/lanyard-io/lanyard/sync as "loop", not as lsync`,
			`alias: internal/app imports github.com/lanyard-io/lanyard/sync as "", not as lsync`,
		},
	},
	{"a dot import", map[string]string{"desired/a_test.go": ".=time"}, []string{"dot: desired imports time into its own scope"}},
	{"cgo", map[string]string{"sync/observe/a.go": "C"}, []string{"cgo: sync/observe uses cgo"}},
	{
		"test rooms in shipped code", map[string]string{"sync/plan/a.go": "lanyard/internal/testkit", "internal/sandbox/awsd/a.go": "lanyard/internal/testkit"},
		[]string{"tests: internal/sandbox/awsd imports internal/testkit", "tests: sync/plan imports internal/testkit"},
	},
	{
		"upward and sideways", map[string]string{
			"internal/remedy/a.go": "lanyard/internal/identity",
			"desired/a.go":         "lanyard/sync/live",
			"sync/trust/a.go":      "lanyard/sync/live",
			"sync/diff/a.go":       "lanyard/sync/plan",
			"sync/plan/a.go":       "lanyard/migrate",
			"sync/report/a.go":     "lanyard/migrate",
			"metrics/a.go":         "lanyard/sync/diff",
			"sync/status/a.go":     "lsync=lanyard/sync",
		}, []string{
			"arrows: desired imports sync/live",
			"arrows: internal/remedy imports internal/identity",
			"arrows: metrics imports sync/diff",
			"arrows: sync/diff imports sync/plan",
			"arrows: sync/plan imports migrate",
			"arrows: sync/report imports migrate",
			"arrows: sync/status imports sync",
			"arrows: sync/trust imports sync/live",
		},
	},
	{
		"hands hold each other", map[string]string{"sync/observe/a.go": "lanyard/sync/apply", "sync/apply/a.go": "lanyard/desired/gitsource"},
		[]string{"arrows: sync/apply imports desired/gitsource", "arrows: sync/observe imports sync/apply"},
	},
	{
		"the loop", map[string]string{"sync/a.go": "lanyard/migrate lanyard/sync/observe"},
		[]string{"arrows: sync imports migrate", "arrows: sync imports sync/observe"},
	},
	{
		"the sandbox", map[string]string{"internal/sandbox/awsd/a.go": "lanyard/sync/trust", "internal/app/a.go": "lanyard/internal/sandbox", "cmd/lanyard/main.go": "lanyard/internal/sandbox"},
		[]string{"arrows: cmd/lanyard imports internal/sandbox", "arrows: internal/app imports internal/sandbox", "arrows: internal/sandbox/awsd imports sync/trust"},
	},
	{
		"the mouth", map[string]string{"cmd/lanyard/internal/cli/a.go": "lanyard/sync/apply", "sync/status/a.go": "lanyard/internal/app"},
		[]string{"arrows: cmd/lanyard/internal/cli imports sync/apply", "arrows: sync/status imports internal/app"},
	},
	{
		"an impure planner", map[string]string{"sync/plan/a.go": "os/exec net/http log/slog", "internal/identity/a.go": "net/netip os"},
		[]string{"pure: internal/identity imports os", "pure: sync/plan imports log/slog", "pure: sync/plan imports net/http", "pure: sync/plan imports os/exec"},
	},
	{
		"libraries out of place", map[string]string{
			"sync/plan/a.go":         "gopkg.in/yaml.v3",
			"sync/a.go":              "github.com/prometheus/client_golang/prometheus",
			"desired/gitsource/a.go": "k8s.io/client-go/rest github.com/spf13/cobra github.com/someone/else",
			"internal/testkit/a.go":  "github.com/google/go-cmp/cmp golang.org/x/time/rate",
		}, []string{
			"library: desired/gitsource imports github.com/someone/else",
			"library: desired/gitsource imports github.com/spf13/cobra",
			"library: desired/gitsource imports k8s.io/client-go/rest",
			"library: internal/testkit imports golang.org/x/time/rate",
			"library: sync imports github.com/prometheus/client_golang/prometheus",
			"library: sync/plan imports gopkg.in/yaml.v3",
		},
	},
	{
		"clocks", map[string]string{"migrate/a.go": "time; var _ = time.Since(time.Time{})", "desired/a.go": "wall=time; var now = wall.Now"},
		[]string{"clock: desired uses time.Now", "clock: migrate uses time.Since"},
	},
	{
		"an SDK behind two doors", map[string]string{
			"migrate/a.go":      "lanyard/sync/plan",
			"sync/plan/a.go":    "lanyard/sync/observe",
			"sync/observe/a.go": "github.com/aws/aws-sdk-go-v2/service/iam",
		}, []string{
			"arrows: sync/plan imports sync/observe",
			"reach: migrate imports sync/plan imports sync/observe imports github.com/aws/aws-sdk-go-v2/service/iam",
			"reach: sync/plan imports sync/observe imports github.com/aws/aws-sdk-go-v2/service/iam",
		},
	},
}

func TestRulesCanFail(t *testing.T) {
	t.Parallel()
	for _, world := range worlds {
		t.Run(world.name, func(t *testing.T) {
			t.Parallel()
			offences := checkSynthetic(t, world.files)
			var got []string
			for _, o := range offences {
				got = append(got, o.Rule+": "+o.What)
				if o.Why == "" || o.At.Filename == "" {
					t.Errorf("%s: an offence without its reason or place", o)
				}
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(world.want)); !slices.Equal(got, want) {
				t.Errorf("offences of %v\n got %s\nwant %s", world.files, list(got), list(want))
			}
		})
	}
}

// TestEveryRuleIsShown holds the worlds above complete.
func TestEveryRuleIsShown(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, world := range worlds {
		for _, want := range world.want {
			rule, _, _ := strings.Cut(want, ":")
			shown[rule] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(shown)), slices.Sorted(slices.Values(Rules)); !slices.Equal(got, want) {
		t.Errorf("rules shown to fail: %v, want all of %v", got, want)
	}
}

// TestReasonsAreNearest holds that an edge is refused with its own reason where it
// has one, and with the row's elsewhere.
func TestReasonsAreNearest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, imports, want string }{
		{"sync/a.go", "lanyard/migrate", "asks a Planner interface"},
		{"sync/observe/a.go", "lanyard/sync/apply", "law 7"},
		{"sync/plan/a.go", "lanyard/internal/sandbox", "leans on the double"},
		{"internal/sandbox/awsd/a.go", "lanyard/sync/trust", "agree with lanyard's bugs"},
		{"sync/plan/a.go", "lanyard/sync/report", "levels 0 to 2"},
		{"cmd/lanyard/internal/cli/a.go", "lanyard/sync/observe", "only through internal/app"},
	} {
		offences := checkSynthetic(t, map[string]string{test.file: test.imports})
		if len(offences) != 1 || !strings.Contains(offences[0].String(), test.want) {
			t.Errorf("%s imports %s: got %v, want one offence that says %q", test.file, test.imports, offences, test.want)
		}
	}
}

// checkSynthetic writes a file for each "name=path path; body" and checks them all.
func checkSynthetic(t *testing.T, files map[string]string) []Offence {
	t.Helper()
	sources := map[string][]byte{}
	for name, spec := range files {
		imports, body, _ := strings.Cut(spec, "; ")
		src := "package p\n"
		for field := range strings.FieldsSeq(imports) {
			alias, target, found := strings.Cut(field, "=")
			if !found {
				alias, target = "", field
			}
			if rest, ours := strings.CutPrefix(target, "lanyard/"); ours {
				target = Module + "/" + rest
			}
			src += fmt.Sprintf("import %s %q\n", alias, target)
		}
		sources[name] = []byte(src + body + "\n")
	}
	packages, err := parse(sources)
	if err != nil {
		t.Fatal(err)
	}
	return Check(packages)
}

func list(lines []string) string {
	if len(lines) == 0 {
		return "none"
	}
	return "\n\t" + strings.Join(lines, "\n\t")
}
