package desired

import (
	"regexp"
	"time"
)

// A shape says once what a value may be. The decoder holds nodes against it and
// [Schema] prints it, so that what an editor underlines and what lanyard refuses
// cannot drift apart. What no schema can say is a rule: a function beside the
// pattern, for the decoder alone.
type shape struct {
	kind    kind
	words   []string       // text: a closed list
	pattern *regexp.Regexp // text: what it must match, written so that ECMA 262 reads it alike
	is      string         // "... is not <is>: write <write>"
	write   string
	max     int                     // text: characters; list: items; 0 means the default of its kind
	lines   bool                    // text: line breaks and tabs may occur
	blank   bool                    // text: "" may be written and means not set
	from    int                     // count: bounds, both inclusive
	to      int                     //
	least   time.Duration           // span: bounds, both inclusive
	most    time.Duration           //
	filled  bool                    // list: may not be empty
	rule    func(string) *complaint // text: what a pattern cannot say; not asked about ""
	items   *shape                  // list
	fields  []field                 // object
}

// kind is the YAML type that a value must have.
type kind uint8

const (
	text   kind = iota
	flag        // true or false
	count       // an integer
	span        // a duration, written as text
	date        // a day or a moment; YAML may take it for a timestamp, which is the same text
	list        // of text or of objects
	object      //
)

// field is one key of an object.
type field struct {
	key      string
	shape    *shape
	required bool
	doc      string // one sentence, for the schema
	initial  any    // the default, for the schema; nil when there is none
}

// complaint is what a rule has against a text. offset counts the characters
// before the place meant; -1 means the text as a whole. A secret text is not
// repeated in the error.
type complaint struct {
	what, instead string
	offset        int
	secret        bool
}

const (
	maxText  = 4096 // characters in a text of which nothing else is said
	maxItems = 256  // items in a list
)

// spanRE is the part of Go's durations that people write.
var spanRE = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(h|m|s))+$`)

func (s *shape) field(key string) *shape {
	for _, f := range s.fields {
		if f.key == key {
			return f.shape
		}
	}
	return nil
}

func (s *shape) keys() []string {
	keys := make([]string, len(s.fields))
	for i, f := range s.fields {
		keys[i] = f.key
	}
	return keys
}

func oneOf(words ...string) *shape { return &shape{kind: text, words: words} }

func objectOf(fields ...field) *shape { return &shape{kind: object, fields: fields} }

func listOf(items *shape) *shape { return &shape{kind: list, items: items} }

func someOf(items *shape) *shape { return &shape{kind: list, items: items, filled: true} }

func matching(pattern, is, write string) *shape {
	return &shape{kind: text, pattern: regexp.MustCompile(pattern), is: is, write: write}
}

// orBlank returns a copy of s that may also be "".
func orBlank(s *shape) *shape {
	c := *s
	c.blank = true
	return &c
}

// with returns a copy of s with a rule.
func with(s *shape, rule func(string) *complaint) *shape {
	c := *s
	c.rule = rule
	return &c
}

// atMost returns a copy of s with another bound.
func atMost(s *shape, n int) *shape {
	c := *s
	c.max = n
	return &c
}
