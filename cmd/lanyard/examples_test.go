package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
)

// TestExamplesMatchTheSchema: every document of ours in the examples is one that
// `lanyard schema` describes.
func TestExamplesMatchTheSchema(t *testing.T) {
	t.Parallel()
	fleet, configuration := compile(t, "fleet", desired.Schema()), compile(t, "configuration", desired.ConfigurationSchema())
	checked := 0
	for _, tree := range []fs.FS{examples.Fleet(), os.DirFS("../../examples/reasons/fleet")} {
		err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) != ".yaml" {
				return err
			}
			data, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			checked += check(t, name, data, fleet)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	checked += check(t, "lanyard.yaml", examples.Configuration, configuration)
	if checked < 55 {
		t.Errorf("%d documents were checked, want at least 55", checked)
	}
}

func compile(t *testing.T, name string, schema []byte) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name+".json", value); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile(name + ".json")
}

// check holds each document of lanyard's in a file against the schema.
func check(t *testing.T, name string, data []byte, schema *jsonschema.Schema) (checked int) {
	t.Helper()
	docs := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data)))
	buf := make([]byte, 1<<16)
	for {
		n, err := docs.Read(buf)
		if errors.Is(err, io.EOF) {
			return checked
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := yaml.YAMLToJSON(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ APIVersion string }
		if json.Unmarshal(raw, &head) != nil || !strings.HasPrefix(head.APIVersion, "lanyard.io/") {
			continue
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checked++
	}
}
