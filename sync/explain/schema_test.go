package explain_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/explain"
	"github.com/lanyard-io/lanyard/sync/live"
)

const schemaFile = "../../docs/schemas/explain.json"

// TestSchema: the answer is what docs/schemas/explain.json says, which lets nothing else
// in, and names the links that there are.
func TestSchema(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	said, known := explain.Understand("Incorrect token audience")
	if !known {
		t.Fatal("that error is known")
	}
	alone, err := said.JSON()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"an error alone": alone}
	names := map[string]bool{}
	for _, m := range []identity.Mechanism{identity.IRSA, identity.PodIdentity} {
		for name, change := range map[string]func(w *world){
			"healthy":      func(*world) {},
			"not in Git":   func(w *world) { w.m = nil },
			"not wired":    func(w *world) { w.m, w.f.Associations, w.f.ServiceAccounts[0].Annotations = nil, nil, nil },
			"nothing read": func(w *world) { w.gap(live.SourcePods, ""); w.gap(live.SourceListAssociations, ""); w.f.Roles = nil },
			"auto unread": func(w *world) {
				w.m[0].Mechanism, w.f.Associations = identity.Auto, nil
				w.gap(live.SourceListAssociations, "")
			},
			"all broken": func(w *world) {
				w.f.Roles[0].Presence, w.f.Roles[0].TrustPolicy, w.f.Providers, w.f.Webhook.Present = live.Absent, "", nil, false
			},
		} {
			w := healthy(t, m)
			change(w)
			c := w.walk(t)
			for _, l := range c.Links {
				names[l.Name] = true
			}
			c.Message, c.Pod = &said, "api-1"
			if texts[m.String()+", "+name], err = c.JSON(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range texts {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Defs struct {
			Name struct {
				Enum []string `json:"enum"`
			} `json:"name"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	slices.Sort(file.Defs.Name.Enum)
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, file.Defs.Name.Enum) {
		t.Errorf("the links are %q, and %s has %q", got, schemaFile, file.Defs.Name.Enum)
	}
}
