package desired

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on a document. yaml.v3 builds nodes without following aliases, so a bomb
// is small until somebody walks it; measure counts what a walk would meet.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 100     // levels of nesting, aliases followed
	maxNodes = 20_000  // nodes that a document's aliases may add to it
)

// yamlLineRE is the line that yaml.v3 puts into its messages; ours is better.
var yamlLineRE = regexp.MustCompile(`line [0-9]+: `)

// collector gathers mistakes and says when there are enough of them.
type collector struct {
	errs Errors
	full bool
}

func (c *collector) add(at Position, what, instead string) {
	switch {
	case c.full:
	case len(c.errs) == kept:
		c.full = true
		c.errs = append(c.errs, Error{At: at, What: fmt.Sprintf("more than %d mistakes, reading stopped here", kept), Instead: "mend those before it"})
	default:
		c.errs = append(c.errs, Error{At: at, What: what, Instead: instead})
	}
}

// eachDocument calls do with the root of each document of a file, until do
// returns false; an empty document's root has no kind. What is not YAML, and what
// would not fit into the bounds, it adds to errs.
func eachDocument(file string, data []byte, errs *collector, do func(*yaml.Node) bool) {
	if at, what := unreadable(file, data); what != "" {
		errs.add(at, what, "write UTF-8 text")
		return
	}
	lines := &lineReader{rest: data}
	for decoder := yaml.NewDecoder(lines); !errs.full; {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			errs.add(syntaxPlace(file, data, lines.lines), "not YAML: "+strings.TrimPrefix(yamlLineRE.ReplaceAllString(err.Error(), ""), "yaml: "),
				"mend it at this line or just before")
			return
		}
		root := &yaml.Node{}
		if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
			root = doc.Content[0]
		}
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" && root.Value == "" {
			root = &yaml.Node{Line: root.Line, Column: root.Column} // nothing between two separators
		}
		if node, what, instead := measure(root); node != nil {
			errs.add(Position{file, node.Line, node.Column}, what, instead)
			continue
		}
		if !do(root) {
			return
		}
	}
}

// lineReader hands out one line at a time, so that the lines handed out when the
// parser fails tell where it failed: the line in yaml.v3's message may be that of
// the block around.
type lineReader struct {
	rest  []byte
	lines int
	begun bool
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	if !r.begun {
		r.begun, r.lines = true, r.lines+1
	}
	n := min(len(p), len(r.rest))
	if i := bytes.IndexByte(r.rest[:n], '\n'); i >= 0 {
		n, r.begun = i+1, false
	}
	copy(p, r.rest[:n])
	r.rest = r.rest[n:]
	return n, nil
}

// syntaxPlace returns the first character of a line that is not blank.
func syntaxPlace(file string, data []byte, line int) Position {
	line = max(line, 1)
	content := lineOf(data, line)
	return Position{file, line, 1 + len(content) - len(strings.TrimLeft(content, " "))}
}

// lineOf returns the text of a line, counted from one.
func lineOf(data []byte, line int) string {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	content, _, _ := bytes.Cut(data, []byte("\n"))
	return string(content)
}

// unreadable finds what no YAML text may contain, which yaml.v3 reports without
// a place: bytes that are not UTF-8, and control characters.
func unreadable(file string, data []byte) (at Position, what string) {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			return Position{file, line, column}, fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return Position{file, line, column}, fmt.Sprintf("control character %U", r)
		case r == '\n':
			line, column = line+1, 0
		}
		i += size
		column++
	}
	return Position{}, ""
}

// measure walks a document as a reader of it would, each alias followed anew, and
// returns the node at which it goes out of bounds. Sizes are remembered by
// anchor, so that measuring takes no longer than the document is long.
func measure(root *yaml.Node) (bad *yaml.Node, what, instead string) {
	type extent struct{ size, written, depth int } // size counts what written nodes expand to
	known := map[*yaml.Node]extent{}
	open := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node, depth int) extent
	walk = func(n *yaml.Node, depth int) extent {
		if bad != nil {
			return extent{}
		}
		if depth > maxDepth {
			bad, what, instead = n, fmt.Sprintf("more than %d levels of nesting", maxDepth), "write fewer"
			return extent{}
		}
		target := n
		if n.Kind == yaml.AliasNode {
			target = n.Alias
			if open[target] {
				bad, what, instead = n, fmt.Sprintf("alias *%s is inside what it names", printable(n.Value)), "write the value out"
				return extent{}
			}
			if e, ok := known[target]; ok {
				if depth+e.depth > maxDepth {
					bad, what, instead = n, fmt.Sprintf("more than %d levels of nesting behind alias *%s", maxDepth, printable(n.Value)), "write the value out"
				}
				e.written = 1
				return e
			}
		}
		anchored := target.Anchor != ""
		if anchored {
			open[target] = true
		}
		e := extent{size: 1, written: 1}
		for _, child := range target.Content {
			c := walk(child, depth+1)
			e.size, e.written, e.depth = e.size+c.size, e.written+c.written, max(e.depth, c.depth+1)
			if bad == nil && e.size-e.written > maxNodes {
				bad, what, instead = child, fmt.Sprintf("aliases that expand to more than %d values", maxNodes), "write the values out"
			}
		}
		if anchored {
			delete(open, target)
			known[target] = e
		}
		return e
	}
	walk(root, 1)
	return bad, what, instead
}

// pair is one key of a mapping and its value, aliases followed.
type pair struct {
	key, value *yaml.Node
	merged     bool // it came through a merge key
}

// pairs returns the keys of a mapping in their order, those of merge keys (<<)
// after its own. A document that was measured makes it end.
// https://yaml.org/type/merge.html
func pairs(n *yaml.Node) (own, merged []pair) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!merge" {
			own = append(own, pair{key: follow(key), value: value})
			continue
		}
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			if source = follow(source); source.Kind != yaml.MappingNode {
				own = append(own, pair{key: key, value: source}) // an unknown key, "<<"
				continue
			}
			inner, further := pairs(source)
			for _, p := range append(inner, further...) {
				p.merged = true
				merged = append(merged, p)
			}
		}
	}
	return own, merged
}

// follow returns the node that an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// isText reports whether a node is text to YAML: not a number, a boolean, ...
func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" }

// called says what a node is, in a person's words.
func called(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	case "!!merge":
		return "a merge key"
	default:
		return "tagged " + printable(tag)
	}
}
