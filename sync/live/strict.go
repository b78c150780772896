package live

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// checker compares a JSON document, token by token, with the type that it is to be
// decoded into. Package encoding/json takes keys in any case, the last of two equal
// keys and null for anything, and lets a missing key pass; in a file that says what
// is absent each of those could make something present read as absent. The type also
// bounds how deep it goes: what nests where nothing may is refused there.
type checker struct {
	dec    *json.Decoder
	shapes map[reflect.Type]shape
	texts  map[reflect.Type]bool // types that read themselves from a text
}

// shape is what an object of a struct type looks like.
type shape struct {
	fields   map[string]reflect.Type
	required []string
}

func newChecker(dec *json.Decoder) *checker {
	return &checker{dec: dec, shapes: map[reflect.Type]shape{}, texts: map[reflect.Type]bool{}}
}

// badValue is an error with the place where it stands.
type badValue struct {
	path string
	err  error
}

func (e *badValue) Error() string { return e.path + ": " + e.err.Error() }
func (e *badValue) Unwrap() error { return e.err }

// in says in which part of a value an error is.
func in(part string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*badValue](err); ok {
		if !strings.HasPrefix(e.path, "[") {
			part += "."
		}
		return &badValue{part + e.path, e.err}
	}
	return &badValue{part, err}
}

// value checks the next value against a type.
func (c *checker) value(t reflect.Type) error {
	token, err := c.dec.Token()
	if err != nil {
		return readable(err)
	}
	switch token {
	case json.Delim('{'):
		return c.object(t)
	case json.Delim('['):
		return c.list(t)
	case nil:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
			return fmt.Errorf("there is no value: write one, or leave the key out")
		}
	}
	if word, is := token.(string); is && c.isText(t) {
		return reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(word))
	}
	return nil // the rest is for encoding/json to judge
}

func (c *checker) list(t reflect.Type) error {
	if t.Kind() != reflect.Slice {
		return fmt.Errorf("a list is not what stands here (%s is)", article(kindOf(t)))
	}
	for i := 0; c.dec.More(); i++ {
		if err := c.value(t.Elem()); err != nil {
			return in(fmt.Sprintf("[%d]", i), err)
		}
	}
	_, err := c.dec.Token()
	return readable(err)
}

func (c *checker) object(t reflect.Type) error {
	if kind := t.Kind(); c.isText(t) || kind != reflect.Struct && kind != reflect.Map {
		return fmt.Errorf("an object is not what stands here (a text, number or list is)")
	}
	seen := make(map[string]bool, 8)
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return readable(err)
		}
		key := token.(string) // or Token would have failed
		if seen[key] {
			return in(key, fmt.Errorf("the key stands twice: leave one"))
		}
		seen[key] = true
		elem, known := c.field(t, key)
		if !known {
			return in(key, fmt.Errorf("unknown key: leave it out, or read the file with the release that wrote it"))
		}
		if err := c.value(elem); err != nil {
			return in(key, err)
		}
	}
	if t.Kind() == reflect.Struct {
		for _, key := range c.shape(t).required {
			if !seen[key] {
				return in(key, fmt.Errorf("the key is missing"))
			}
		}
	}
	_, err := c.dec.Token()
	return readable(err)
}

func (c *checker) isText(t reflect.Type) bool {
	is, known := c.texts[t]
	if !known {
		is = reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
		c.texts[t] = is
	}
	return is
}

// field returns the type of a key's value.
func (c *checker) field(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	field, known := c.shape(t).fields[key]
	return field, known
}

// shape reads a struct's json tags: a field that may be left out says so there.
func (c *checker) shape(t reflect.Type) shape {
	if s, ok := c.shapes[t]; ok {
		return s
	}
	s := shape{fields: map[string]reflect.Type{}}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		s.fields[name] = t.Field(i).Type
		if !slices.Contains([]string{"omitempty", "omitzero"}, options) {
			s.required = append(s.required, name)
		}
	}
	c.shapes[t] = s
	return s
}
