package main

import (
	"bytes"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// matches holds standard output, or a file, against a JSON Schema:
// matches SCHEMA stdout.
func matches(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: matches SCHEMA FILE|stdout")
	}
	c := jsonschema.NewCompiler()
	schema, err := c.Compile(args[0])
	ts.Check(err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewBufferString(ts.ReadFile(args[1])))
	ts.Check(err)
	if err := schema.Validate(value); (err == nil) == neg {
		ts.Fatalf("schema %s, negated %t: %v", args[0], neg, err)
	}
}
