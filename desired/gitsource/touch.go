package gitsource

import "strings"

// Touches reports whether the merge changes a file at or below one of the paths, or any
// file if a link leads out of them. It reads no file: Git names content by its hash.
func (m Merge) Touches(paths []string) bool {
	base, isBase := m.Base.FS.(*treeFS)
	head, isHead := m.Head.FS.(*treeFS)
	if !isBase || !isHead {
		return true
	}
	for _, p := range head.objects.reads(paths, base.root, head.root) {
		if differ(base.root.below(p), head.root.below(p)) {
			return true
		}
	}
	return false
}

// below finds a node by its path; nil if there is none. Links are not followed.
func (n *node) below(name string) *node {
	if name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		child, ok := n.child(part)
		if !ok {
			return nil
		}
		n = child
	}
	return n
}

// differ compares what two nodes hold; a directory that was merged has no hash.
func differ(a, b *node) bool {
	switch {
	case same(a, b):
		return false
	case !isDir(a) || !isDir(b) || len(a.children) != len(b.children):
		return true
	}
	for i, child := range a.children {
		if other := b.children[i]; child.name != other.name || differ(child, other) {
			return true
		}
	}
	return false
}
