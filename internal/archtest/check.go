package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// Offence is one edge or use that a rule forbids, with the rule's reason.
type Offence struct {
	At   token.Position
	What string // "sync imports migrate"
	Rule string // one of [Rules]
	Why  string
}

// String is the whole of it on one line.
func (o Offence) String() string {
	return fmt.Sprintf("%s: %s (%s): %s", o.At, o.What, o.Rule, o.Why)
}

// Rules are the names of all rules, in the order in which they are checked.
var Rules = []string{"table", "alias", "dot", "cgo", "tests", "arrows", "pure", "library", "clock", "reach"}

// Check judges packages by every rule. Test files obey only alias and dot: tests may
// import whom they test and the sandbox.
func Check(packages []*Package) []Offence {
	c := &checker{imports: map[string][]string{}}
	for _, p := range packages {
		c.pkg(p)
	}
	for _, p := range packages {
		c.reach(p)
	}
	return c.offences
}

type checker struct {
	offences []Offence
	imports  map[string][]string // shipped imports by package of ours: ours without the module's path, others whole
}

func (c *checker) add(rule, why string, at token.Position, format string, args ...any) {
	c.offences = append(c.offences, Offence{At: at, What: fmt.Sprintf(format, args...), Rule: rule, Why: why})
}

func (c *checker) pkg(p *Package) {
	from, known := roomOf(p.Path)
	if !known {
		c.add("table", whyTable, token.Position{Filename: p.Path}, "%s is not in the table", p.Path)
	}
	for _, file := range p.Files {
		for _, spec := range file.AST.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has refused it
			}
			at := file.Fset.Position(spec.Pos())
			c.naming(p, spec, target, at)
			if file.Test || !known {
				continue
			}
			if to, ours := strings.CutPrefix(target, Module+"/"); ours {
				c.imports[p.Path] = append(c.imports[p.Path], to)
				c.arrow(p, from, to, at)
			} else {
				c.imports[p.Path] = append(c.imports[p.Path], target)
				c.foreign(p, from, target, at)
			}
		}
		if pure(from) && known && !file.Test {
			c.clock(p, file)
		}
	}
}

// naming holds how things are imported, in tests too.
func (c *checker) naming(p *Package, spec *ast.ImportSpec, target string, at token.Position) {
	name := ""
	if spec.Name != nil {
		name = spec.Name.Name
	}
	if name == "." {
		c.add("dot", whyDot, at, "%s imports %s into its own scope", p.Path, target)
	}
	if target == Module+"/sync" && name != "lsync" {
		c.add("alias", whyAlias, at, "%s imports %s as %q, not as lsync", p.Path, target, name)
	}
}

// arrow judges an edge between two packages of ours.
func (c *checker) arrow(p *Package, from room, toPath string, at token.Position) {
	to, known := roomOf(toPath)
	switch {
	case !known: // reported where it is declared, and cannot be judged
		return
	case mayImport(from, to, toPath):
		return
	case to.tests:
		c.add("tests", whyTests, at, "%s imports %s", p.Path, toPath)
		return
	}
	why := fmt.Sprintf("%s; %s", from.why, from.allowance())
	if from.level != aside {
		for _, f := range fences {
			if match(f.from, p.Path) && match(f.to, toPath) {
				why = f.why
				break
			}
		}
	}
	c.add("arrows", why, at, "%s imports %s", p.Path, toPath)
}

// allowance says what of ours a room may import.
func (r room) allowance() string {
	var parts []string
	switch {
	case r.below == 1:
		parts = append(parts, "level 0")
	case r.below > 1:
		parts = append(parts, fmt.Sprintf("levels 0 to %d", r.below-1))
	}
	parts = append(parts, r.also...)
	if len(parts) == 0 {
		return "it may import nothing of lanyard's"
	}
	return "it may import " + strings.Join(parts, ", ")
}

func pure(r room) bool { return r.level >= words && r.level <= deciding }

// foreign judges an import from the standard library or a kept one.
func (c *checker) foreign(p *Package, from room, target string, at token.Position) {
	if target == "C" {
		c.add("cgo", whyCgo, at, "%s uses cgo", p.Path)
		return
	}
	if first, _, _ := strings.Cut(target, "/"); !strings.Contains(first, ".") {
		top := func(name string) bool { return match(name+"/...", target) }
		if pure(from) && slices.ContainsFunc(impure, top) && !slices.Contains(inert, target) {
			c.add("pure", whyPure, at, "%s imports %s", p.Path, target)
		}
		return
	}
	kept, known := libraryOf(target)
	if !known {
		c.add("library", whyLibrary, at, "%s imports %s", p.Path, target)
		return
	}
	if !slices.ContainsFunc(kept.rooms, func(pattern string) bool { return match(pattern, p.Path) }) {
		c.add("library", fmt.Sprintf("%s; it may be imported by %s", kept.why, strings.Join(kept.rooms, ", ")), at, "%s imports %s", p.Path, target)
	}
}

// clock finds uses of the clock, called or handed on as a value.
func (c *checker) clock(p *Package, file *File) {
	name := ""
	for _, spec := range file.AST.Imports {
		if spec.Path.Value == `"time"` {
			name = "time"
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	if name == "" {
		return
	}
	ast.Inspect(file.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && slices.Contains(clocks, sel.Sel.Name) {
			c.add("clock", whyClock, file.Fset.Position(sel.Pos()), "%s uses time.%s", p.Path, sel.Sel.Name)
		}
		return true
	})
}

// reach finds a path from a pure package to an SDK over packages of ours. A direct
// import is the library rule's to report.
func (c *checker) reach(p *Package) {
	from, known := roomOf(p.Path)
	if !known || !pure(from) {
		return
	}
	seen := map[string]bool{p.Path: true}
	paths := [][]string{{p.Path}}
	for len(paths) > 0 {
		trail := paths[0]
		paths = paths[1:]
		for _, next := range c.imports[trail[len(trail)-1]] {
			longer := append(slices.Clone(trail), next)
			if kept, ok := libraryOf(next); ok && kept.sdk && len(longer) > 2 {
				c.add("reach", whyReach, token.Position{Filename: p.Path}, "%s", strings.Join(longer, " imports "))
				return
			}
			if !seen[next] && len(c.imports[next]) > 0 {
				seen[next] = true
				paths = append(paths, longer)
			}
		}
	}
}
