package desired

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// fields are the values that a document has, by their path ("spec.roleARN").
// Objects have no entry of their own; a list has one, and an object in it keeps
// its whole path ("allow[0].roles").
type fields map[string]value

// value is one value and its place: a string, bool, int, time.Duration, or a
// list of values; an object in a list is fields.
type value struct {
	at Position
	v  any
}

func (f fields) text(key string) string {
	s, _ := f[key].v.(string)
	return s
}

func (f fields) texts(key string) []string {
	items, _ := f[key].v.([]value)
	var out []string
	for _, item := range items {
		out = append(out, item.v.(string))
	}
	return out
}

func (f fields) items(key string) []value {
	items, _ := f[key].v.([]value)
	return items
}

// or returns the value at key, or another where there is none.
func or[T any](f fields, key string, otherwise T) T {
	if v, ok := f[key].v.(T); ok {
		return v
	}
	return otherwise
}

// textOr is or, for text in which "" means not set.
func textOr(f fields, key, otherwise string) string {
	if s := f.text(key); s != "" {
		return s
	}
	return otherwise
}

// decoder holds the nodes of one document against a shape.
type decoder struct {
	file   string
	source []byte // of the whole file
	errs   *collector
}

// decode returns the values of a document, and whether all of them are right.
func (d decoder) decode(root *yaml.Node, s *shape, kind string) (fields, bool) {
	before := len(d.errs.errs)
	out := fields{}
	d.object(root, s, kind, "", out)
	return out, len(d.errs.errs) == before && !d.errs.full
}

func (d decoder) at(n *yaml.Node) Position { return Position{d.file, n.Line, n.Column} }

func (d decoder) wrong(n *yaml.Node, what, instead string) { d.errs.add(d.at(n), what, instead) }

// object decodes a mapping into out. name is what errors call it; prefix begins
// the paths of its keys.
func (d decoder) object(n *yaml.Node, s *shape, name, prefix string, out fields) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, fmt.Sprintf("%s is %s", name, called(n)), "write its keys: "+strings.Join(s.keys(), ", "))
		return
	}
	seen := map[string]*yaml.Node{}
	visit := func(p pair) {
		of := s.field(p.key.Value)
		switch {
		case !isText(p.key):
			what := "a key that is " + called(p.key)
			if p.key.Kind == yaml.ScalarNode {
				what = fmt.Sprintf("key %s in %s is %s", quote(p.key.Value), name, called(p.key))
			}
			d.wrong(p.key, what, "delete it; keys are text: "+strings.Join(s.keys(), ", "))
		case seen[p.key.Value] != nil:
			if !p.merged {
				d.wrong(p.key, fmt.Sprintf("key %s is twice in %s, first in line %d", quote(p.key.Value), name, seen[p.key.Value].Line), "delete one")
			}
		default:
			seen[p.key.Value] = p.key
			if of == nil {
				d.wrong(p.key, fmt.Sprintf("unknown key %s in %s", quote(p.key.Value), name), d.meant(p.key.Value, s, name))
				return
			}
			d.value(p.value, of, prefix+p.key.Value, out)
		}
	}
	own, merged := pairs(n)
	for _, p := range own {
		visit(p)
	}
	for _, p := range merged {
		visit(p)
	}
	for _, f := range s.fields {
		if f.required && seen[f.key] == nil {
			d.wrong(n, prefix+f.key+" is missing", "write it ("+lowerFirst(strings.TrimSuffix(f.doc, "."))+")")
		}
	}
}

// meant says what to write instead of an unknown key.
func (d decoder) meant(key string, s *shape, name string) string {
	if near := nearest(key, s.keys()); near != "" {
		return "write " + near
	}
	for _, f := range s.fields {
		if f.shape.kind == object && f.shape.field(key) != nil {
			return "write it under " + f.key
		}
	}
	return fmt.Sprintf("delete it; %s has %s", name, strings.Join(s.keys(), ", "))
}

// value decodes whatever s says into out.
func (d decoder) value(n *yaml.Node, s *shape, path string, out fields) {
	if s.kind == object {
		d.object(n, s, path, path+".", out)
		return
	}
	if v := d.single(n, s, path); v != nil {
		out[path] = value{d.at(n), v}
	}
}

// single decodes a scalar, a list, or an object of a list; nil is a mistake.
func (d decoder) single(n *yaml.Node, s *shape, path string) any {
	switch s.kind {
	case list:
		return d.list(n, s, path)
	case object:
		inner := fields{}
		d.object(n, s, path, path+".", inner)
		return inner
	case flag:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
			return strings.EqualFold(n.Value, "true")
		}
		d.wrong(n, fmt.Sprintf("%s is %s", path, called(n)), "write true or false")
		return nil
	case count:
		return d.count(n, s, path)
	}
	if s.kind == date && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" || isText(n) {
		return d.text(n, s, path)
	}
	instead := "write " + wanted(s)
	if n.Kind == yaml.ScalarNode && n.Value != "" && len(s.words) == 0 && s.kind != span && (s.pattern == nil || s.pattern.MatchString(n.Value)) {
		instead = "write it in quotes"
	}
	d.wrong(n, fmt.Sprintf("%s is %s", path, called(n)), instead)
	return nil
}

func (d decoder) list(n *yaml.Node, s *shape, path string) any {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, fmt.Sprintf("%s is %s", path, called(n)), "write a list, such as [...]")
		return nil
	}
	switch {
	case s.filled && len(n.Content) == 0:
		d.wrong(n, path+" is an empty list", "write what it is for, or delete the key")
		return nil
	case len(n.Content) > maxItems:
		d.wrong(n, fmt.Sprintf("%s has %d items", path, len(n.Content)), fmt.Sprintf("write at most %d", maxItems))
		return nil
	}
	items := make([]value, 0, len(n.Content))
	for i, item := range n.Content {
		item = follow(item)
		if v := d.single(item, s.items, fmt.Sprintf("%s[%d]", path, i)); v != nil {
			items = append(items, value{d.at(item), v})
		}
	}
	return items
}

func (d decoder) count(n *yaml.Node, s *shape, path string) any {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.wrong(n, fmt.Sprintf("%s is %s", path, called(n)), fmt.Sprintf("write a whole number from %d to %d", s.from, s.to))
		return nil
	}
	i, err := strconv.Atoi(n.Value)
	if err != nil || i < s.from || i > s.to {
		d.wrong(n, fmt.Sprintf("%s %s is out of bounds", path, printable(n.Value)), fmt.Sprintf("write a whole number from %d to %d", s.from, s.to))
		return nil
	}
	return i
}

// text decodes the kinds that are written as text.
func (d decoder) text(n *yaml.Node, s *shape, path string) any {
	text := n.Value
	most := s.max
	if most == 0 {
		most = maxText
	}
	said := path + " " + quote(text)
	bad := func(what, instead string) any {
		d.wrong(n, what, instead)
		return nil
	}
	switch length := utf8.RuneCountInString(text); {
	case text == "" && s.blank:
		return text
	case text == "":
		return bad(path+" is empty", "write "+wanted(s))
	case length > most:
		return bad(fmt.Sprintf("%s is %d characters long", path, length), fmt.Sprintf("write at most %d", most))
	case len(s.words) > 0:
		for _, w := range s.words {
			if w == text {
				return text
			}
		}
		return bad(said+" is unknown", "write "+choice(s.words))
	case s.kind == span:
		return d.span(n, s, path)
	case s.pattern != nil && !s.pattern.MatchString(text):
		return bad(said+" is not "+s.is, "write "+s.write)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && !(s.lines && (r == '\n' || r == '\t')) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return bad(fmt.Sprintf("%s has the control character %U", path, r), "delete it")
	}
	if s.rule == nil {
		return text
	}
	if c := s.rule(text); c != nil {
		if c.secret {
			said = path
		}
		d.errs.add(d.inside(n, c.offset), said+c.what, c.instead)
		return nil
	}
	return text
}

// wanted says what a text should be.
func wanted(s *shape) string {
	switch {
	case len(s.words) > 0:
		return choice(s.words)
	case s.kind == span:
		return "a duration such as 30m"
	case s.write != "":
		return s.write
	}
	return "text"
}

func (d decoder) span(n *yaml.Node, s *shape, path string) any {
	v, err := time.ParseDuration(n.Value)
	switch {
	case !spanRE.MatchString(n.Value) || err != nil:
		d.wrong(n, fmt.Sprintf("%s %s is not a duration", path, quote(n.Value)), "write hours, minutes and seconds, such as 1h30m")
	case v < s.least || v > s.most:
		d.wrong(n, fmt.Sprintf("%s %s is out of bounds", path, quote(n.Value)), fmt.Sprintf("write %s to %s", short(s.least), short(s.most)))
	case v%time.Second != 0:
		d.wrong(n, fmt.Sprintf("%s %s is not whole seconds", path, quote(n.Value)), "write whole seconds, such as 90s")
	default:
		return v
	}
	return nil
}

// inside returns the place of a character of a text, as far as the text stands in
// the file as it reads: not after an escape or a line break.
func (d decoder) inside(n *yaml.Node, offset int) Position {
	at := d.at(n)
	if offset < 0 {
		return at
	}
	line := []rune(lineOf(d.source, n.Line))
	column := n.Column - 1
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		column++
	}
	before := []rune(n.Value)[:offset]
	if column+len(before) <= len(line) && string(line[column:column+len(before)]) == string(before) {
		at.Column = column + 1 + offset
	}
	return at
}

// short returns a duration without the zeros that String adds.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func lowerFirst(s string) string {
	if len(s) > 1 && unicode.IsUpper(rune(s[1])) {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
