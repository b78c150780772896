package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/internal/app"
)

// TestOutline: the daemon says who can move to EKS Pod Identity, who must stay and where
// each stands: counts as metrics, and the whole as lanyard plan writes it.
func TestOutline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)
	r.until(t, "verdicts", func() bool {
		return d.metric(t, `lanyard_workloads{verdict="keep-irsa"}`) != `lanyard_workloads{verdict="keep-irsa"} 0`
	})
	for _, want := range []string{
		`lanyard_workloads{verdict="keep-irsa"} 4`,
		`lanyard_workload_reasons{reason="fargate"} 1`,
		`lanyard_workload_reasons{reason="chained-role"} 1`,
		`lanyard_workload_reasons{reason="webhook-absent"} 0`,
		`lanyard_workload_phases{phase="rolled-back"} 0`,
	} {
		if name, _, _ := strings.Cut(want, " "); d.metric(t, name) != want {
			t.Errorf("%q, want %q", d.metric(t, name), want)
		}
	}
	var answer struct {
		Revision  string
		Holds     []json.RawMessage
		Migration json.RawMessage
	}
	if code := d.api(t, "/api/v1/plan", &answer); code != http.StatusOK || answer.Revision == "" || len(answer.Holds) == 0 {
		t.Errorf("/api/v1/plan says %d, revision %q, %d holds", code, answer.Revision, len(answer.Holds))
	}
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(answer.Migration)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
	if text := string(answer.Migration); !strings.Contains(text, `"code": "windows"`) || !strings.Contains(text, `"undo"`) {
		t.Errorf("no verdicts or steps in %.500s", text)
	}
	// and whoever plans from elsewhere reads the same world
	snapshot, err := app.RemoteSnapshot(t.Context(), "http://"+d.Addr().String(), app.Access{Token: apiToken})
	if err != nil || len(snapshot.Facts().ServiceAccounts) == 0 || snapshot.Facts().Cluster.Name != "irsa-lab" {
		t.Errorf("the daemon's snapshot: %v", err)
	}
}
