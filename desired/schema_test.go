package desired_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/desired"
)

// TestSchemaFiles holds the committed copies against what is printed.
func TestSchemaFiles(t *testing.T) {
	t.Parallel()
	golden(t, "schema.json", string(desired.Schema()))
	golden(t, "schema-configuration.json", string(desired.ConfigurationSchema()))
}

func compile(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// documentsOf returns the documents of a file as JSON has them.
func documentsOf(t *testing.T, name string) []any {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []any
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc any
		if err := decoder.Decode(&doc); err != nil {
			break
		}
		if doc != nil {
			all = append(all, asJSON(doc))
		}
	}
	return all
}

// asJSON replaces what JSON lacks: an unquoted day is text there.
func asJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = asJSON(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = asJSON(inner)
		}
	case time.Time:
		return v.Format(time.DateOnly)
	}
	return v
}

// TestSchemaAgrees holds schema and parser against each other: what the parser
// accepts the schema accepts, what is wrong in a document's shape both refuse, and
// what only a rule can say the schema lets pass.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	for _, set := range []struct {
		prefix string
		schema []byte
	}{
		{"", desired.Schema()},
		{"configuration", desired.ConfigurationSchema()},
	} {
		schema := compile(t, set.schema)
		for _, dir := range []string{"good", "shape", "rule"} {
			for _, name := range fixtures(t, filepath.ToSlash(filepath.Join(set.prefix, dir))) {
				var refused error
				for _, doc := range documentsOf(t, name) {
					if err := schema.Validate(doc); err != nil {
						refused = err
					}
				}
				if parsed := judge(t, name); (parsed == nil) != (dir == "good") {
					t.Errorf("%s: the parser says %v", name, parsed)
				}
				if (refused != nil) != (dir == "shape") {
					t.Errorf("%s: the schema says %v", name, refused)
				}
			}
		}
	}
}
