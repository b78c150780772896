package desired

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Flip asks that one mapping says another mechanism.
type Flip struct {
	At Position // of the mapping: its [Mapping.At]
	To identity.Mechanism
}

// Rewrite returns the text of a file in which each flip's mapping says its
// mechanism. Everything else stays byte for byte: comments, order, quotes, line
// breaks, a byte order mark. A mapping that takes its mechanism from defaults gets
// a line of its own; the defaults are never touched, for they are others' too.
//
// What cannot be changed alone is refused, all of it at once, as [Errors]: a value
// behind an alias, with an anchor or by way of a merge key, and whatever is not
// found in the text as it was parsed. The text is parsed again before it is
// returned, and holds the same documents but for the mechanisms.
func Rewrite(file string, data []byte, flips []Flip) ([]byte, error) {
	roots, err := rootsOf(file, data)
	if err != nil {
		return nil, err
	}
	e := newEditor(file, data, roots)
	for _, f := range flips {
		e.flip(f)
	}
	if err := e.errs.errs.orNil(); err != nil {
		return nil, err
	}
	out := e.apply(data)
	after, err := rootsOf(file, out)
	if err != nil || !slices.EqualFunc(roots, after, alike) { // roots say by now what they shall
		return nil, Errors{{At: Position{File: file}, What: "the mechanism cannot be changed here without changing more", Instead: "change it by hand"}}
	}
	return out, nil
}

// Refusals says of each flip why [Rewrite] would refuse it; nil where it would not. The
// file is parsed once, however many there are.
func Refusals(file string, data []byte, flips []Flip) []error {
	out := make([]error, len(flips))
	roots, err := rootsOf(file, data)
	e := newEditor(file, data, roots)
	for i, f := range flips {
		if out[i] = err; err == nil {
			e.errs = &collector{}
			e.flip(f)
			out[i] = e.errs.errs.orNil()
		}
	}
	return out
}

// rootsOf returns the documents of a file.
func rootsOf(file string, data []byte) ([]*yaml.Node, error) {
	var errs collector
	var roots []*yaml.Node
	eachDocument(file, data, &errs, func(root *yaml.Node) bool {
		roots = append(roots, root)
		return true
	})
	return roots, errs.errs.orNil()
}

// alike reports whether two documents say the same in the same words. Places and
// comments do not count: the bytes of comments are not touched, and which value
// they belong to is the library's guess.
func alike(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Style != b.Style || a.Tag != b.Tag || a.Value != b.Value || a.Anchor != b.Anchor {
		return false
	}
	return slices.EqualFunc(a.Content, b.Content, alike) // an alias has none: its name is its value
}

// editor gathers what to put into a text.
type editor struct {
	decoder
	text     source
	mappings map[Position]*yaml.Node // by the place of their names
	edits    []edit
}

func newEditor(file string, data []byte, roots []*yaml.Node) *editor {
	e := &editor{decoder: decoder{file: file, source: data, errs: &collector{}}, text: newSource(data), mappings: map[Position]*yaml.Node{}}
	for _, root := range roots {
		if name := reached(reached(root, "metadata"), "name"); name != nil && valueOf(root, "kind") == kindMapping {
			e.mappings[e.at(name)] = root
		}
	}
	return e
}

// edit puts words in the place of what stands from one offset to another.
type edit struct {
	from, to int
	words    string
}

func (e *editor) apply(data []byte) []byte {
	slices.SortFunc(e.edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var out []byte
	done := 0
	for _, one := range e.edits {
		out = append(append(out, data[done:one.from]...), one.words...)
		done = one.to
	}
	return append(out, data[done:]...)
}

// flip finds a mapping and adds the edit that makes it say its mechanism, to the
// text and to its document.
func (e *editor) flip(f Flip) {
	say := "write mechanism: " + f.To.String()
	root := e.mappings[f.At]
	if root == nil {
		e.errs.add(f.At, "no mapping begins here", "read the file again")
		return
	}
	key, spec := written(root, "spec")
	switch {
	case spec == nil:
		e.wrong(root, "spec comes by way of a merge key", say+" in a spec of its own")
		return
	case spec.Kind != yaml.MappingNode:
		e.wrong(spec, "spec is "+reference(spec), say+" in a spec of its own")
		return
	}
	_, mechanism := written(spec, "mechanism")
	switch {
	case mechanism == nil && reached(spec, "mechanism") != nil:
		e.wrong(reached(spec, "mechanism"), "mechanism comes from here by way of a merge key", say+" in spec itself, at "+e.at(spec).String())
	case mechanism == nil:
		e.insert(key, spec, f.To.String(), say)
	case mechanism.Kind == yaml.AliasNode || mechanism.Anchor != "":
		e.wrong(mechanism, "mechanism is "+reference(mechanism)+", which other values share", say+" in its place")
	default:
		from, to, ok := e.text.extent(mechanism)
		if !ok {
			e.wrong(mechanism, "mechanism is not written as a plain word", say)
			return
		}
		quote := e.text.data[from:to][:quoted(mechanism)]
		e.edits = append(e.edits, edit{from, to, string(quote) + f.To.String() + string(quote)})
		mechanism.Value = f.To.String()
	}
}

// insert gives a spec a mechanism of its own: after roleARN, or first where that is
// not written, or not on one line.
func (e *editor) insert(key, spec *yaml.Node, word, say string) {
	neighbour, role := written(spec, "roleARN")
	flow := spec.Style&yaml.FlowStyle != 0
	like := neighbour // whose quotes the new key has
	switch {
	case like == nil && len(spec.Content) > 0:
		like = spec.Content[0]
	case like == nil:
		like = key
	}
	entry := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "mechanism"}
	wanted := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word}
	words := "mechanism: " + word
	if like.Style&yaml.DoubleQuotedStyle != 0 {
		entry.Style, wanted.Style = yaml.DoubleQuotedStyle, yaml.DoubleQuotedStyle
		words = fmt.Sprintf("%q: %q", entry.Value, word)
	}
	at := 0 // in the content
	place := func() (edit, bool) {
		if role != nil {
			if _, end, ok := e.text.extent(role); ok {
				at = slices.Index(spec.Content, role) + 1
				if flow {
					return edit{end, end, ", " + words}, true
				}
				if indent, ok := e.text.indent(neighbour); ok {
					return e.text.line(role.Line, indent+words), true
				}
			}
		}
		at = 0
		switch start, ok := e.text.offset(spec); {
		case !ok:
			return edit{}, false
		case flow && len(spec.Content) == 0:
			return edit{start + 1, start + 1, words}, e.text.data[start] == '{'
		case flow:
			first, ok := e.text.offset(spec.Content[0])
			return edit{first, first, words + ", "}, ok
		}
		// Under the line of spec, and so above the comments of its first key.
		indent, ok := e.text.indent(spec.Content[0])
		return e.text.line(key.Line, indent+words), ok
	}
	one, ok := place()
	if !ok {
		e.wrong(spec, "spec has no mechanism, and no place where one can be added", say+" in it")
		return
	}
	e.edits = append(e.edits, one)
	spec.Content = slices.Insert(spec.Content, at, entry, wanted)
}

// written returns a key of a mapping and its value as they are written there: not
// by way of a merge key, and no alias followed. Nil where there is none.
func written(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isText(n.Content[i]) && n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// reached returns the value of a key as a reader of the document sees it; nil for none.
func reached(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	own, merged := pairs(n)
	for _, p := range slices.Concat(own, merged) {
		if isText(p.key) && p.key.Value == key {
			return p.value
		}
	}
	return nil
}

func valueOf(n *yaml.Node, key string) string {
	if v := reached(n, key); v != nil {
		return v.Value
	}
	return ""
}

// reference says how a value is tied to others.
func reference(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode {
		return "the alias *" + printable(n.Value)
	}
	return "the anchor &" + printable(n.Anchor)
}

// source is a file's bytes and where its lines begin.
type source struct {
	data  []byte
	lines []int
}

// newSource finds the lines as YAML 1.1 counts them: not only after a line feed. A
// byte order mark at the beginning is no character.
// https://yaml.org/spec/1.1/#id871136
func newSource(data []byte) source {
	t := source{data: data, lines: []int{len(data) - len(bytes.TrimPrefix(data, []byte("\ufeff")))}}
	for i := 0; i < len(data); {
		if n := breakAt(data[i:]); n > 0 {
			i += n
			t.lines = append(t.lines, i)
		} else {
			i++
		}
	}
	return t
}

// breakAt returns the length of the line break with which a text begins, or 0.
func breakAt(data []byte) int {
	for _, b := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.HasPrefix(data, []byte(b)) {
			return len(b)
		}
	}
	return 0
}

// offset returns where a node begins.
func (t source) offset(n *yaml.Node) (int, bool) {
	if n.Line < 1 || n.Line > len(t.lines) {
		return 0, false
	}
	i := t.lines[n.Line-1]
	for range n.Column - 1 {
		if i >= len(t.data) {
			return 0, false
		}
		_, size := utf8.DecodeRune(t.data[i:])
		i += size
	}
	return i, i < len(t.data)
}

// extent returns where a value stands that is one word, its quotes included, or an
// alias; it is not ok for a value with an escape, a tag, an anchor or several lines.
func (t source) extent(n *yaml.Node) (from, to int, ok bool) {
	from, ok = t.offset(n)
	if !ok {
		return 0, 0, false
	}
	said := n.Value
	switch {
	case n.Kind == yaml.AliasNode:
		said = "*" + said
	case n.Kind != yaml.ScalarNode || n.Style&^(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return 0, 0, false
	case n.Style == yaml.DoubleQuotedStyle:
		said = `"` + said + `"`
	case n.Style == yaml.SingleQuotedStyle:
		said = "'" + said + "'"
	}
	return from, from + len(said), bytes.HasPrefix(t.data[from:], []byte(said)) && !strings.ContainsFunc(said, func(r rune) bool { return breakAt([]byte(string(r))) > 0 })
}

// quoted is how many quotes stand on each side of a scalar.
func quoted(n *yaml.Node) int {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return 1
	}
	return 0
}

// indent returns what stands before a key on its line; it is not ok for anything but
// spaces.
func (t source) indent(key *yaml.Node) (string, bool) {
	at, ok := t.offset(key)
	if !ok {
		return "", false
	}
	before := string(t.data[t.lines[key.Line-1]:at])
	return before, strings.Trim(before, " ") == ""
}

// line is the edit that adds a line after another one, with its kind of break.
func (t source) line(after int, words string) edit {
	if after < len(t.lines) {
		next := t.lines[after]
		return edit{next, next, words + t.breakBefore(after)}
	}
	ending := "\n"
	if after > 1 {
		ending = t.breakBefore(after - 1)
	}
	return edit{len(t.data), len(t.data), ending + words}
}

// breakBefore returns the line break at the end of a line, counted from one, that is
// not the last.
func (t source) breakBefore(line int) string {
	end := t.data[t.lines[line-1]:t.lines[line]]
	for i := range end {
		if breakAt(end[i:]) == len(end)-i {
			return string(end[i:])
		}
	}
	return ""
}

// Clusters returns the names and globs of the clusters that each mapping is for, by its
// [Mapping.At], as its document or its defaults have them; none for every cluster that
// reads it.
func (r *Repository) Clusters() map[Position][]string {
	out := make(map[Position][]string, len(r.drafts))
	for _, d := range r.drafts {
		out[d.mapping.At] = d.clusters
	}
	return out
}

// OnlyFlipped returns an error unless a revision says what an earlier one says, for
// every cluster, but for the mechanisms of the flips. Places are the earlier one's;
// in the later one a line may have been added.
func OnlyFlipped(before, after *Repository, flips []Flip) error {
	if len(before.drafts) != len(after.drafts) || len(before.waivers) != len(after.waivers) || before.counts != after.counts {
		return fmt.Errorf("the changed files hold %d mappings, and before %d: nothing was written", len(after.drafts), len(before.drafts))
	}
	to := map[Position]identity.Mechanism{}
	for _, f := range flips {
		to[f.At] = f.To
	}
	for i, d := range before.drafts {
		want, got := d, after.drafts[i]
		if m, flipped := to[d.mapping.At]; flipped {
			want.mapping.Mechanism = m
			delete(to, d.mapping.At)
		}
		if !reflect.DeepEqual(want.placeless(), got.placeless()) {
			return fmt.Errorf("%s: %s would not be changed in its mechanism alone, as was asked: nothing was written", d.mapping.At, d.mapping.Key())
		}
	}
	for at := range to {
		return fmt.Errorf("%s: no mapping stands there: nothing was written", at)
	}
	for i, w := range before.waivers {
		if !reflect.DeepEqual(w.placeless(), after.waivers[i].placeless()) {
			return fmt.Errorf("%s: a waiver would change: nothing was written", w.waiver.At)
		}
	}
	return nil
}

// placeless is the draft without its lines; its file stays.
func (d draft) placeless() draft {
	m := &d.mapping
	for _, at := range []*Position{&m.At, &m.RoleAt, &m.MechanismAt, &d.role.at, &d.target.at} {
		*at = Position{}
	}
	return d
}

func (w waiverDraft) placeless() waiverDraft {
	w.waiver.At, w.role.at = Position{}, Position{}
	return w
}
