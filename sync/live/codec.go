package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxFile bounds a snapshot file: 20,000 pods take about a fifth of it.
const MaxFile = 256 << 20

// Decode reads a snapshot file, JSON or YAML. It is strict: an unknown key, another
// kind or version, and a second document are errors that say what was expected.
func Decode(data []byte) (*Snapshot, error) {
	f, err := DecodeFacts(data)
	if err != nil {
		return nil, err
	}
	return New(f)
}

// DecodeFacts is [Decode] without the index.
func DecodeFacts(data []byte) (Facts, error) {
	if len(data) > MaxFile {
		return Facts{}, fmt.Errorf("decode snapshot: %d bytes are more than %d", len(data), MaxFile)
	}
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		converted, err := yamlToJSON(data)
		if err != nil {
			return Facts{}, fmt.Errorf("decode snapshot: %w", err)
		}
		data = converted
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Facts{}, fmt.Errorf("decode snapshot: %w", err)
	}
	if head.APIVersion != APIVersion || head.Kind != Kind {
		return Facts{}, fmt.Errorf("decode snapshot: it is %q %q, not %s %s: take one with `lanyard snapshot`",
			head.APIVersion, head.Kind, APIVersion, Kind)
	}
	var f Facts
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return Facts{}, fmt.Errorf("decode snapshot: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Facts{}, errors.New("decode snapshot: something follows the snapshot: one file holds one")
	}
	return f, nil
}

// yamlToJSON converts one YAML document. Aliases are refused: a snapshot has none,
// and they are how a small file becomes a large one.
func yamlToJSON(data []byte) ([]byte, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	var next yaml.Node
	if err := dec.Decode(&next); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second YAML document follows: one file holds one snapshot")
	}
	var out bytes.Buffer
	if err := writeJSON(&out, &doc, 0); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeJSON(out *bytes.Buffer, n *yaml.Node, depth int) error {
	if depth > 64 {
		return fmt.Errorf("line %d: nested deeper than 64", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return writeJSON(out, n.Content[0], depth+1)
	case yaml.AliasNode:
		return fmt.Errorf("line %d: aliases are not allowed in a snapshot", n.Line)
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	case yaml.MappingNode:
		return writeObject(out, n, depth)
	}
	return writeScalar(out, n)
}

func writeObject(out *bytes.Buffer, n *yaml.Node, depth int) error {
	seen := make(map[string]bool, len(n.Content)/2)
	out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			return fmt.Errorf("line %d: key %q is not a plain key, or stands twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(key.Value)
		if err != nil {
			return err
		}
		out.Write(name)
		out.WriteByte(':')
		if err := writeJSON(out, n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

func writeScalar(out *bytes.Buffer, n *yaml.Node) error {
	var v any = n.Value
	switch n.ShortTag() {
	case "!!bool", "!!int", "!!float", "!!null":
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	out.Write(b)
	return nil
}

// EncodeJSON writes the facts as indented JSON.
func (f Facts) EncodeJSON() ([]byte, error) {
	f.APIVersion, f.Kind = APIVersion, Kind
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return append(b, '\n'), nil
}

// EncodeYAML writes the facts as YAML, keys in the order of [Facts], texts of several
// lines as blocks.
func (f Facts) EncodeYAML() ([]byte, error) {
	data, err := f.EncodeJSON()
	if err != nil {
		return nil, err
	}
	var doc yaml.Node // JSON is YAML
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	restyle(&doc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return out.Bytes(), nil
}

func restyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, child := range n.Content {
		restyle(child)
	}
}
