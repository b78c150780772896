//go:build nightly

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// node runs one of the scripts in this directory.
func node(t *testing.T, stdin []byte, env []string, script ...string) []byte {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("node_modules is missing: run npm ci in test/interop, as make nightly does")
	}
	cmd := exec.CommandContext(t.Context(), "node", script...)
	cmd.Stdin, cmd.Env = bytes.NewReader(stdin), append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %v: %v\n%s%s", script, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

type question struct {
	Policy string `json:"policy"`
	Calls  []call `json:"calls"`
}

type answer struct {
	Invalid []string `json:"invalid"`
	Results []string `json:"results"`
	Thrown  string   `json:"thrown"`
}

// ask puts questions to the other evaluator.
func ask(t *testing.T, questions []question) []answer {
	t.Helper()
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]answer, 0, len(questions))
	for dec := json.NewDecoder(bytes.NewReader(node(t, in.Bytes(), nil, "evaluate.mjs"))); dec.More(); {
		var a answer
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	if len(out) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(out), len(questions))
	}
	return out
}
