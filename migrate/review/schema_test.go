package review_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/migrate/review"
)

const schemaFile = "../../docs/schemas/review.json"

func schema(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, name string, s *jsonschema.Schema, text []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestSchema: the report is what docs/schemas/review.json says, which lets nothing else
// in, and no list of it is null.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := schema(t, schemaFile)
	for _, name := range pulls(t) {
		text, err := reviewed(t, name).JSON()
		if err != nil {
			t.Fatal(err)
		}
		validate(t, name, s, text)
		if bytes.Contains(text, []byte(": null")) {
			t.Errorf("%s: a list is null", name)
		}
	}
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if open := strings.Count(string(data), `"type": "object"`) - strings.Count(string(data), `"additionalProperties"`); open != 0 {
		t.Errorf("%d objects of the schema let in what it does not name", open)
	}
	var words struct {
		Defs struct {
			Danger struct {
				Properties struct {
					Code struct {
						Enum []review.Code `json:"enum"`
					} `json:"code"`
				} `json:"properties"`
			} `json:"danger"`
			Workload struct {
				Properties struct {
					Change struct {
						Enum []review.Change `json:"enum"`
					} `json:"change"`
				} `json:"properties"`
			} `json:"workload"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &words); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(review.Codes(), words.Defs.Danger.Properties.Code.Enum); diff != "" {
		t.Errorf("-codes +schema\n%s", diff)
	}
	if diff := gocmp.Diff(review.Changes(), words.Defs.Workload.Properties.Change.Enum); diff != "" {
		t.Errorf("-changes +schema\n%s", diff)
	}
}

// TestSARIF: what is written is SARIF 2.1.0 by its published schema; each result has a
// place below the repository's root, and a fingerprint that no other has.
func TestSARIF(t *testing.T) {
	t.Parallel()
	s := schema(t, "testdata/sarif/sarif-schema-2.1.0.json")
	for _, name := range pulls(t) {
		var b bytes.Buffer
		if err := reviewed(t, name).SARIF(&b); err != nil {
			t.Fatal(err)
		}
		validate(t, name, s, b.Bytes())
		for _, result := range results(t, b.Bytes()) {
			if len(result.Locations) != 1 || !strings.HasPrefix(result.Locations[0].Physical.Artifact.URI, "fleet/") || result.Locations[0].Physical.Artifact.Base != "SRCROOT" {
				t.Errorf("%s: %s is at %+v", name, result.Rule, result.Locations)
			}
		}
	}
	if err := s.Validate(map[string]any{"version": "2.1.0"}); err == nil {
		t.Error("the schema lets anything through")
	}
}

type result struct {
	Rule      string `json:"ruleId"`
	Level     string `json:"level"`
	Locations []struct {
		Physical struct {
			Artifact struct {
				URI  string `json:"uri"`
				Base string `json:"uriBaseId"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
	} `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

func results(t *testing.T, text []byte) []result {
	t.Helper()
	var log struct {
		Runs []struct {
			Results []result `json:"results"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(text, &log); err != nil || len(log.Runs) != 1 {
		t.Fatal(err, len(log.Runs))
	}
	var prints []string
	for _, r := range log.Runs[0].Results {
		print := r.Fingerprints["lanyard/v1"]
		if print == "" || slices.Contains(prints, print) {
			t.Errorf("%s has fingerprint %q, as another has", r.Rule, print)
		}
		prints = append(prints, print)
	}
	return log.Runs[0].Results
}

// TestSARIFPlaces: a file below the root is a reference relative to it, one that is not
// has no place, and the schema's own words are no links and placeholders.
func TestSARIFPlaces(t *testing.T) {
	t.Parallel()
	r := review.Review{Cluster: "irsa-lab"}
	want := map[string]string{"fleet/a b/ü.yaml": "fleet/a%20b/%C3%BC.yaml", "./fleet/x.yaml": "fleet/x.yaml", "x:y.yaml": "./x:y.yaml", "/etc/passwd": "", "../x.yaml": "", "fleet/../../x.yaml": "", "": ""}
	for file := range want {
		r.Refused = append(r.Refused, review.Mistake{File: file, Line: 3, Column: 7, What: file, Instead: "see [a](https://evil.example) {0}"})
	}
	var b bytes.Buffer
	if err := r.SARIF(&b); err != nil {
		t.Fatal(err)
	}
	validate(t, "places", schema(t, "testdata/sarif/sarif-schema-2.1.0.json"), b.Bytes())
	got := map[string]int{}
	for _, result := range results(t, b.Bytes()) {
		uri := ""
		if len(result.Locations) > 0 {
			uri = result.Locations[0].Physical.Artifact.URI
		}
		got[uri]++
	}
	wanted := map[string]int{}
	for _, uri := range want {
		wanted[uri]++
	}
	if diff := gocmp.Diff(wanted, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if strings.Contains(b.String(), "see [a]") || strings.Contains(b.String(), " {0}") {
		t.Error("a message has a link or a placeholder")
	}
}

// TestSARIFBound: there are no more results than are shown, and it is told how many are
// left out.
func TestSARIFBound(t *testing.T) {
	t.Parallel()
	var r review.Review
	for i := range 5003 {
		r.Refused = append(r.Refused, review.Mistake{File: "a.yaml", Line: i + 1, What: strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26), Instead: "z"})
	}
	var b bytes.Buffer
	if err := r.SARIF(&b); err != nil {
		t.Fatal(err)
	}
	validate(t, "many", schema(t, "testdata/sarif/sarif-schema-2.1.0.json"), b.Bytes())
	if n := strings.Count(b.String(), `"ruleId"`); n != 5000 || !strings.Contains(b.String(), "3 more results left out") {
		t.Errorf("%d results, and what is left out is told: %t", n, strings.Contains(b.String(), "left out"))
	}
}
