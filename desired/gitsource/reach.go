package gitsource

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// reads returns the paths at or below which files of some trees are read: those that are
// watched, or everything if a link leads out of them, for links are followed.
func (o *objects) reads(paths []string, roots ...*node) []string {
	for _, root := range roots {
		for _, p := range paths {
			if n, straight := root.straight(p); !straight || n != nil && o.strays(n, p, paths) {
				return []string{"."}
			}
		}
	}
	return paths
}

// straight finds a node by its path; nil if there is none. It is not straight if a link
// stands on the way, or at the end.
func (n *node) straight(name string) (found *node, straight bool) {
	if name == "." {
		return n, true
	}
	for part := range strings.SplitSeq(name, "/") {
		child, ok := n.child(part)
		if !ok {
			return nil, true
		}
		if n = child; n.mode&fs.ModeSymlink != 0 {
			return n, false
		}
	}
	return n, true
}

// strays reports whether a link at or below a node leads out of the paths, or cannot be
// told not to.
func (o *objects) strays(n *node, at string, paths []string) bool {
	if n.mode&fs.ModeSymlink == 0 {
		return slices.ContainsFunc(n.children, func(c *node) bool { return o.strays(c, path.Join(at, c.name), paths) })
	}
	target, err := o.content(n, maxTarget)
	if err != nil || path.IsAbs(string(target)) {
		return false // not followed
	}
	down := strings.TrimLeft(string(target), "./") // what comes after a leading ../..
	to := path.Join(path.Dir(at), string(target))
	return slices.Contains(strings.Split(down, "/"), "..") || !slices.ContainsFunc(paths, func(p string) bool {
		return p == "." || to == p || strings.HasPrefix(to, p+"/")
	})
}
