package desired

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// walker finds the YAML files below the watched paths. Links are followed as long
// as they stay in the tree; whatever leads to a file or directory, it is read
// once, under its own name, so a link adds nothing to what is watched already and
// a circle of links ends.
type walker struct {
	fsys  fs.FS
	show  func(string) string
	errs  *collector
	seen  map[string]bool // files and directories met, by their own names
	files []string
}

// maxLinks bounds the links on the way to one file, as Linux does.
const maxLinks = 40

// isYAML reports whether a file of this name is read.
func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// find adds the files at or below a watched path. An error is one of reading, not
// of the documents.
func (w *walker) find(watched string) error {
	name := path.Clean(watched)
	if !fs.ValidPath(name) {
		w.errs.add(Position{File: printable(watched)}, "the path leaves the repository", "watch a path below its root")
		return nil
	}
	return w.visit(name, true, true)
}

// visit looks at name, which may be a link or lie behind one. asked is set for a
// watched path, which is read whatever it is called; wanted where a link's own
// name was that of a YAML file.
func (w *walker) visit(name string, asked, wanted bool) error {
	real, err := resolve(w.fsys, name)
	var astray *strayError
	switch {
	case errors.As(err, &astray):
		w.errs.add(w.place(name), astray.what, "keep files inside the repository")
		return nil
	case errors.Is(err, fs.ErrNotExist) && asked:
		w.errs.add(w.place(name), "there is no such file or directory", "watch a path that this revision has")
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if wanted {
			w.errs.add(w.place(name), "a link that leads nowhere", "delete it or point it at a file")
		}
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", name, err)
	}
	info, err := fs.Lstat(w.fsys, real)
	if err != nil {
		return fmt.Errorf("read %s: %w", real, err)
	}
	if info.IsDir() {
		return w.dir(real)
	}
	if wanted || isYAML(real) {
		w.file(real, info.Mode())
	}
	return nil
}

func (w *walker) dir(name string) error {
	if w.seen[name] || path.Base(name) == ".git" {
		return nil
	}
	w.seen[name] = true
	entries, err := fs.ReadDir(w.fsys, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, entry := range entries {
		if w.errs.full {
			return nil
		}
		child := path.Join(name, entry.Name())
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			err = w.visit(child, false, isYAML(child))
		case entry.IsDir():
			err = w.dir(child)
		case isYAML(child):
			w.file(child, entry.Type())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) file(name string, mode fs.FileMode) {
	if w.seen[name] {
		return
	}
	w.seen[name] = true
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		w.errs.add(w.place(name), "a file name with control characters or without UTF-8", "rename it")
	case !mode.IsRegular():
		w.errs.add(w.place(name), "not a regular file", "write a file, or give it another ending")
	default:
		w.files = append(w.files, name)
	}
}

// place is the position of a file whose name may hold anything.
func (w *walker) place(name string) Position {
	name = w.show(name)
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		name = strconv.Quote(name)
	}
	return Position{File: name}
}

// strayError says why a link is not followed.
type strayError struct{ what string }

func (e *strayError) Error() string { return e.what }

// resolve returns the name that a path has once every link on it is followed. A
// link out of the tree is a strayError, into .git too: what lies there is no part
// of a revision.
func resolve(fsys fs.FS, name string) (string, error) {
	var real []string
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case ".", "":
			continue
		case "..":
			if len(real) == 0 {
				return "", &strayError{"a link that leaves the tree"}
			}
			real = real[:len(real)-1]
			continue
		case ".git":
			return "", &strayError{"a path into .git"}
		}
		at := path.Join(append(slices.Clone(real), part)...)
		info, err := fs.Lstat(fsys, at)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = append(real, part)
			continue
		}
		if links++; links > maxLinks {
			return "", &strayError{"links that go in a circle"}
		}
		target, err := fs.ReadLink(fsys, at)
		switch {
		case err != nil:
			return "", &strayError{"a link that cannot be followed here"}
		case path.IsAbs(target):
			return "", &strayError{"a link that leaves the tree"}
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if len(real) == 0 {
		return ".", nil
	}
	return path.Join(real...), nil
}

// read returns a file's bytes, at most one more than maxFile.
func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
