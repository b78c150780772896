package status_test

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("../../docs/schemas/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, file string, data []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, file).Validate(value); err != nil {
		t.Errorf("%s: %.2000s", file, err)
	}
}

// TestSchema: the status is as its schema says, which notices each member that is
// missing and each that is too many.
func TestSchema(t *testing.T) {
	t.Parallel()
	validate(t, "status.json", ask(newBoard().Handler(), "GET", "/api/v1/status", token).Body.Bytes())
	data := ask(lived(t).Handler(), "GET", "/api/v1/status", token).Body.Bytes()
	validate(t, "status.json", data)
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	s := compile(t, "status.json")
	optional := map[string][]string{
		".daemon.source":        {"acceptedAt", "fetched"},
		".daemon.configuration": {"loadedAt"},
		".moving.holds":         {"until"},
		".identityProbes":       {"at", "session"},
	}
	for _, pass := range []string{".lastGood", ".lastFailed", ".rounds"} {
		optional[pass] = []string{"error", "mode", "remedy", "revision", "stage", "summary"}
	}
	var visit func(path string, value any)
	visit = func(path string, value any) {
		switch value := value.(type) {
		case []any:
			for _, one := range value {
				visit(path, one)
			}
		case map[string]any:
			if strings.HasSuffix(path, ".byPlane") {
				return
			}
			value["surplus"] = "x"
			if s.Validate(root) == nil {
				t.Errorf("%s: a member that is not ours passes", path)
			}
			delete(value, "surplus")
			for _, key := range slices.Sorted(maps.Keys(value)) {
				member := value[key]
				delete(value, key)
				lacks, may := s.Validate(root) == nil, slices.Contains(optional[path], key)
				if value[key] = member; lacks != may {
					t.Errorf("%s without %q: valid %t, want %t", path, key, lacks, may)
				}
				visit(path+"."+key, member)
			}
		}
	}
	visit("", root)
}

func identityResults() (all []string) {
	for _, r := range migrate.IdentityResults() {
		all = append(all, string(r))
	}
	return all
}

// TestSchemaWords compares the schema's closed lists with the code's.
func TestSchemaWords(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/schemas/status.json")
	if err != nil {
		t.Fatal(err)
	}
	for what, words := range map[string][]string{
		"planes":  {string(diff.PlaneServiceAccount), string(diff.PlaneTrust), string(diff.PlaneAssociation), string(diff.PlanePods), string(diff.PlaneGit)},
		"phases":  {"pending", "widened", "crossing", "soaking", "narrowing", "rolled-back"}, // all but settled
		"results": {string(report.Done), string(report.Unverified), string(report.Skipped), string(report.Failed), string(report.NotTaken)},
		"effects": {plan.Widen.String(), plan.Cross.String(), plan.Narrow.String()},
		"probes":  append([]string{"pending"}, identityResults()...),
		"modes":   {string(desired.ModeObserve), string(desired.ModeRepair), string(desired.ModeMigrate)},
	} {
		if want := `"` + strings.Join(words, `", "`) + `"`; !strings.Contains(string(data), want) {
			t.Errorf("the schema's %s are not %s", what, want)
		}
	}
}

// TestPage: docs/api.md names every path, and every code that is answered.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append([]string{"/"}, paths...) {
		if !strings.Contains(string(page), "\n| `"+path+"` |") {
			t.Errorf("docs/api.md has no row for %s", path)
		}
	}
	for _, code := range []string{"200", "401", "403", "404", "405", "503"} {
		if !strings.Contains(string(page), "\n| "+code+" |") {
			t.Errorf("docs/api.md has no row for %s", code)
		}
	}
}
