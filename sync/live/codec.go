package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// MaxFile bounds a snapshot file: 20,000 pods take about a tenth of it.
const MaxFile = 256 << 20

// Decode reads a snapshot file, JSON or YAML. It is strict: an unknown or missing
// key, a key that stands twice, an unknown word, another kind or version, and a second
// document are errors that say where and what was expected.
func Decode(data []byte) (*Snapshot, error) {
	f, err := DecodeFacts(data)
	if err != nil {
		return nil, err
	}
	return New(f)
}

// DecodeFacts is [Decode] without the index.
func DecodeFacts(data []byte) (Facts, error) {
	f, err := decode(data)
	if err != nil {
		return Facts{}, fmt.Errorf("decode snapshot: %w", err)
	}
	return f, nil
}

func decode(data []byte) (f Facts, err error) {
	if len(data) > MaxFile {
		return f, fmt.Errorf("%d bytes are more than %d: it is not one that lanyard took", len(data), MaxFile)
	}
	first := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(first) == 0:
		return f, errors.New("it is empty: take one with `lanyard snapshot`")
	case first[0] != '{':
		if data, err = yamlToJSON(data); err != nil {
			return f, err
		}
	}
	if err := headOf(data); err != nil {
		return f, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := newChecker(dec).value(reflect.TypeFor[Facts]()); err != nil {
		return f, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("something follows the snapshot: one file holds one")
	}
	return f, readable(json.Unmarshal(data, &f))
}

// headOf refuses what is no snapshot before its keys are compared with a snapshot's.
// It reads no further than it must.
func headOf(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("it is no document of kind %s: take one with `lanyard snapshot`", Kind)
	}
	head := map[string]string{}
	for dec.More() && len(head) < 2 {
		key, err := dec.Token()
		if err != nil {
			return readable(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return readable(err)
		}
		if key == "apiVersion" || key == "kind" {
			var word string
			_ = json.Unmarshal(value, &word) // what is no text is no head either
			head[key.(string)] = word
		}
	}
	if head["apiVersion"] != APIVersion || head["kind"] != Kind {
		return fmt.Errorf("it is %q %q, not %s %s: take one with `lanyard snapshot`", head["apiVersion"], head["kind"], APIVersion, Kind)
	}
	return nil
}

// readable puts the errors of encoding/json into a file's terms.
func readable(err error) error {
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return fmt.Errorf("%s: %s is not what stands here (%s is)", wrong.Field, article(wrong.Value), article(kindOf(wrong.Type)))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends in the middle: take it again")
	}
	return err
}

// kindOf names what a file holds for a Go type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Slice:
		return "list"
	case reflect.Int:
		return "whole number"
	}
	return t.Kind().String()
}

func article(noun string) string {
	switch noun {
	case "array":
		return "a list"
	case "object":
		return "an object"
	}
	return "a " + noun
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
	return ToYAML(data)
}
