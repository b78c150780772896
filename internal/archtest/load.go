package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Package is one directory of Go files.
type Package struct {
	Path  string // within the module
	Files []*File
}

// File is one parsed Go file, whatever its build constraints.
type File struct {
	Name string // within the module
	Test bool
	Fset *token.FileSet
	AST  *ast.File
}

// Load parses every package of the module at root. Nested modules, testdata and
// what .gitignore names are not part of it.
func Load(root string) ([]*Package, error) {
	names, err := Tree(root)
	if err != nil {
		return nil, err
	}
	sources := map[string][]byte{}
	for _, name := range names {
		if path.Ext(name) != ".go" || slices.Contains(strings.Split(name, "/"), "testdata") || nested(names, name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		sources[name] = data
	}
	return parse(sources)
}

// nested reports whether a file belongs to another module inside this one.
func nested(names []string, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, found := slices.BinarySearch(names, dir+"/go.mod"); found {
			return true
		}
	}
	return false
}

// parse makes packages of sources by file name.
func parse(sources map[string][]byte) ([]*Package, error) {
	fset := token.NewFileSet()
	byPath := map[string]*Package{}
	var errs []error
	for name, data := range sources {
		tree, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		dir := path.Dir(name)
		p := byPath[dir]
		if p == nil {
			p = &Package{Path: dir}
			byPath[dir] = p
		}
		p.Files = append(p.Files, &File{Name: name, Test: strings.HasSuffix(name, "_test.go"), Fset: fset, AST: tree})
	}
	var packages []*Package
	for _, p := range byPath {
		slices.SortFunc(p.Files, func(a, b *File) int { return strings.Compare(a.Name, b.Name) })
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return packages, errors.Join(errs...)
}

// Tree lists the files under root as slash paths, sorted, without Git's own and
// without what .gitignore names.
func Tree(root string) ([]string, error) {
	ignored, err := ignore(root)
	if err != nil {
		return nil, err
	}
	var names []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a test of another package removed its own scratch file meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case rel == ".":
		case ignored(rel) && entry.IsDir():
			return filepath.SkipDir
		case !ignored(rel) && !entry.IsDir():
			names = append(names, rel)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// ignore reads the root's .gitignore. It knows the two forms that lanyard's has: a
// rooted path (/bin/) and a pattern for a base name (*.test).
func ignore(root string) (func(rel string) bool, error) {
	data, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		return nil, err
	}
	rooted, base := []string{".git"}, []string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(strings.TrimSpace(line), "/")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '!' || strings.Contains(line[1:], "/"):
			return nil, fmt.Errorf("read .gitignore: %q: archtest knows /rooted and *.base patterns only", line)
		case line[0] == '/':
			rooted = append(rooted, line[1:])
		default:
			base = append(base, line)
		}
	}
	return func(rel string) bool {
		if slices.Contains(rooted, rel) {
			return true
		}
		return slices.ContainsFunc(base, func(pattern string) bool {
			ok, err := path.Match(pattern, path.Base(rel))
			return ok && err == nil
		})
	}, nil
}
