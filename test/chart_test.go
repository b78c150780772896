package test_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/rights"
)

// chart is the Helm chart. What of it Helm itself must say is in helm_test.go.
const chart = deploy + "/helm/lanyard"

// chartPlace are the words of the chart's files that its templates replace.
var chartPlace = rights.Place{Namespace: "NAMESPACE", ServiceAccount: "SERVICE_ACCOUNT"}

// TestChartFiles: the files that the chart's templates take in are what `lanyard policy`
// prints, and what lies elsewhere in deploy/, to the byte. A chart can read no file
// outside of it (https://helm.sh/docs/chart_template_guide/accessing_files/).
func TestChartFiles(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"admission.yaml":           chartPlace.Admission(),
		"dashboard.json":           read(t, deploy+"/grafana/lanyard.json"),
		"rules.yaml":               read(t, deploy+"/prometheus/rules.yaml"),
		"identity-probe.yaml":      chartPlace.JobAdmission(),
		"rbac/api-access.yaml":     subject(read(t, deploy+"/kubernetes/components/api-access/rbac.yaml")),
		"rbac/identity-probe.yaml": subject(read(t, deploy+"/kubernetes/components/identity-probe/rbac.yaml")),
	}
	for _, mode := range rights.Modes() {
		w, err := rights.For(mode, nil, chartPlace)
		if err != nil {
			t.Fatal(err)
		}
		want["rbac/"+mode+".yaml"] = w.RBAC()
	}
	got := map[string]string{}
	for _, file := range deployed(t) {
		name, is := strings.CutPrefix(file, "helm/lanyard/files/")
		if !is {
			continue
		}
		if *update && want[name] != "" {
			if err := os.WriteFile(chart+"/files/"+name, []byte(want[name]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got[name] = read(t, chart+"/files/"+name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the chart's files (-want +got): go test ./test -run TestChartFiles -update\n%s", d)
	}
}

// subject puts the chart's words where a binding names lanyard's ServiceAccount.
func subject(binding string) string {
	return strings.Replace(binding, "    name: lanyard\n    namespace: lanyard\n", "    name: SERVICE_ACCOUNT\n    namespace: NAMESPACE\n", 1)
}

// chartSchema returns the schema of the chart's values as it should be: what is written by
// hand, with the one of lanyard's configuration in it.
func chartSchema(t *testing.T) []byte {
	t.Helper()
	var schema, configuration map[string]any
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(desired.ConfigurationSchema(), &configuration); err != nil {
		t.Fatal(err)
	}
	delete(configuration, "$schema")
	delete(configuration, "$id") // by which $ref would be resolved
	schema["$defs"] = map[string]any{"configuration": configuration}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// TestChartSchema: the schema of the values has lanyard's own of the configuration in it,
// refuses every key that is not in values.yaml, and explains those that are.
func TestChartSchema(t *testing.T) {
	t.Parallel()
	want := chartSchema(t)
	if *update {
		if err := os.WriteFile(chart+"/values.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, chart+"/values.schema.json"); got != string(want) {
		t.Errorf("values.schema.json: go test ./test -run TestChartSchema -update\n%s", cmp.Diff(string(want), got))
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("values.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("values.json")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict([]byte(read(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(values); err != nil {
		t.Error(err)
	}
	explained(t, "", schema, values)
}

// explained compares a level of the schema with the values that are the defaults.
func explained(t *testing.T, at string, schema *jsonschema.Schema, values map[string]any) {
	t.Helper()
	for key, s := range schema.Properties {
		value, is := values[key]
		switch {
		case at == "" && key == "config": // desired explains it
		case s.Description == "":
			t.Errorf("schema: %s%s has no description", at, key)
		case !is && key != "global":
			t.Errorf("%s%s is in the schema and not in values.yaml", at, key)
		}
		if below, is := value.(map[string]any); is && s.Properties != nil {
			if s.AdditionalProperties != false {
				t.Errorf("schema: %s%s lets any key in", at, key)
			}
			explained(t, at+key+".", s, below)
		}
	}
	if schema.AdditionalProperties != false {
		t.Errorf("schema: the level of %q lets any key in", at)
	}
}

// TestChartVersions: the tree's chart bears no release, so that make chart alone says
// which it is; and Kubernetes is as new as docs/deploy.md says.
func TestChartVersions(t *testing.T) {
	t.Parallel()
	var c struct{ Name, Version, AppVersion, KubeVersion string }
	if err := yaml.Unmarshal([]byte(read(t, chart+"/Chart.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "lanyard" || c.Version != "0.0.0" || c.AppVersion != "dev" || c.KubeVersion != ">=1.30.0-0" {
		t.Errorf("Chart.yaml has %+v", c)
	}
	if !strings.Contains(read(t, "../docs/deploy.md"), "Kubernetes 1.30 or newer") {
		t.Error("docs/deploy.md does not say that Kubernetes 1.30 is needed")
	}
}
