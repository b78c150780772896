package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxDepth bounds how deep a YAML document nests; a snapshot needs six levels.
const maxDepth = 64

// yamlToJSON converts one YAML document. Aliases are refused: a snapshot has none,
// and they are how a small file becomes a large one.
func yamlToJSON(data []byte) ([]byte, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty: take one with `lanyard snapshot`")
	} else if err != nil {
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
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return writeJSON(out, n.Content[0], depth)
	case yaml.AliasNode:
		return fmt.Errorf("line %d: aliases are not allowed in a snapshot: write the value out", n.Line)
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
		switch {
		case key.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: a key must be a plain text", key.Line)
		case seen[key.Value]:
			return fmt.Errorf("line %d: key %q stands twice: leave one", key.Line, key.Value)
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
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp", "!!merge":
	case "!!bool", "!!int", "!!float", "!!null":
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
	default:
		return fmt.Errorf("line %d: tag %s is not allowed in a snapshot: leave it out", n.Line, tag)
	}
	b, err := json.Marshal(v)
	if err != nil { // .inf and .nan
		return fmt.Errorf("line %d: %q is no number of JSON", n.Line, n.Value)
	}
	out.Write(b)
	return nil
}

// ToYAML turns a JSON document into YAML: keys in the same order, texts of several
// lines as blocks. What it writes reads back as the same, whatever the texts hold:
// the document is built value by value, because JSON is not quite YAML (a raw U+007F
// is an error there, and U+0085 a line break).
func ToYAML(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	doc, err := yamlValue(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("write YAML: %w", readable(err))
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(doc), enc.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// yamlValue reads the next value of a JSON document.
func yamlValue(dec *json.Decoder, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		return yamlContainer(dec, v, depth)
	case string:
		return yamlText(v), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// yamlContainer reads the rest of a list or an object. In an object keys and values
// take turns, as they do in a yaml.Node.
func yamlContainer(dec *json.Decoder, open json.Delim, depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if open == '{' {
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	}
	for dec.More() {
		item, err := yamlValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.MappingNode && len(n.Content)%2 == 0 && strings.Contains(item.Value, "\n") {
			item.Style = yaml.DoubleQuotedStyle // a key stands on one line
		}
		n.Content = append(n.Content, item)
	}
	_, err := dec.Token()
	return n, err
}

// yaml11 matches texts that YAML 1.1 reads as something else and 1.2 as texts. They
// are quoted for readers that are not Go's.
var yaml11 = regexp.MustCompile(`^(?i:y|yes|n|no|on|off|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9]*)?)$`)

// yamlText chooses how a text is written: as a block if it has several lines and a
// block keeps every character of it, also with readers that see a line's end where
// YAML 1.2 does not.
func yamlText(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case strings.ContainsAny(s, "\r\u0085\u2028\u2029\ufeff") || yaml11.MatchString(s):
		n.Style = yaml.DoubleQuotedStyle
	case strings.Contains(s, "\n"):
		n.Style = yaml.LiteralStyle
		if strings.TrimLeft(s, " \t\n") != s { // a block takes its indentation from its first line
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}
