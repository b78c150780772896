package app

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// Change is what merging a head into a base does to the files, for no cluster yet.
type Change struct {
	base, head *desired.Repository // head is nil if it is refused
	at         desired.Revision    // of the head
	refused    desired.Errors

	// Behind says that the base has gone on since both parted: then the head is what the
	// merge would make of both.
	Behind bool

	// Touches says that a file changes at or below a path that is read, in whatever way.
	Touches bool
}

// Pair is what Git wants of one cluster before and after a merge.
type Pair struct {
	Base, Head desired.State
	// Refused are why the head is not accepted: its mistakes, and the files that Git would
	// not merge. Head has its revision and no more then.
	Refused desired.Errors
}

// All are the mappings of both, to look for what either needs.
func (p Pair) All() desired.State {
	all := p.Head
	all.Mappings = slices.Concat(p.Head.Mappings, p.Base.Mappings)
	slices.SortStableFunc(all.Mappings, func(a, b desired.Mapping) int { return a.Subject.Compare(b.Subject) })
	return all
}

// Change reads what merging head into base does. Both are refs of the repository; with a
// working tree head is empty, and is the files as they are. A head of its own that is
// empty is the ref that the Git was opened with. One Git may be asked for many heads, one
// after another.
func (g *Git) Change(ctx context.Context, base, head string) (*Change, error) {
	var c *Change
	take := func(m gitsource.Merge) (err error) {
		c, err = g.change(m)
		return err
	}
	switch source := g.source.(type) {
	case *gitsource.WorkTree:
		if head != "" {
			return nil, errors.New("a working tree is its own head")
		}
		if err := source.Merge(ctx, base, take); err != nil {
			return nil, err
		}
	case *gitsource.Source:
		if head == "" {
			head = g.ref
		}
		if err := source.Merge(ctx, base, head, g.paths, take); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a %T has no history", source)
	}
	return c, nil
}

func (g *Git) change(m gitsource.Merge) (*Change, error) {
	c := &Change{at: m.Head.Revision, Behind: m.Behind(), Touches: m.Touches(g.paths), refused: m.Errors(g.show)}
	whole, err := g.parseBase(m.Base)
	if err != nil {
		return nil, fmt.Errorf("base %s is not accepted, so there is nothing to compare with; name a commit that is, or leave --base out:\n%w", m.Base.Revision, err)
	}
	c.base = g.base
	switch {
	case len(c.refused) > 0:
		return c, nil
	case !c.Touches && whole: // the same files
		c.head = c.base
		return c, nil
	}
	c.head, err = desired.ParseShown(m.Head.FS, g.paths, m.Head.Revision, g.show)
	if mistakes, are := errors.AsType[desired.Errors](err); are {
		c.refused, c.head = mistakes, nil
	} else if err != nil {
		return nil, fmt.Errorf("revision %s cannot be read: %w", m.Head.Revision, err)
	}
	return c, nil
}

// parseBase reads the paths that the base has: one that the head adds is no mistake of
// the base's. It tells whether that are all. Many heads have one base, which is read once.
func (g *Git) parseBase(base gitsource.Snapshot) (whole bool, err error) {
	var has []string
	for _, p := range g.paths {
		if _, err := fs.Stat(base.FS, p); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		has = append(has, p)
	}
	whole = len(has) == len(g.paths)
	switch {
	case g.base != nil && g.base.Revision() == base.Revision:
		return whole, nil
	case len(has) == 0:
		g.base, err = desired.Parse(embed.FS{}, nil, base.Revision) // nothing at all
	default:
		g.base, err = desired.ParseShown(base.FS, has, base.Revision, g.show)
	}
	return whole, err
}

// For says what the change does to one cluster.
func (c *Change) For(cluster identity.Cluster) (Pair, error) {
	p := Pair{Head: desired.State{Revision: c.at, Cluster: cluster.Name}, Refused: c.refused}
	var err error
	if p.Base, err = c.base.For(cluster); err != nil {
		return Pair{}, fmt.Errorf("base %s is not accepted for cluster %s, so there is nothing to compare with; name a commit that is, or leave --base out:\n%w", c.base.Revision(), cluster.Name, err)
	}
	if c.head == nil {
		return p, nil
	}
	head, err := c.head.For(cluster)
	if mistakes, are := errors.AsType[desired.Errors](err); are {
		p.Refused = mistakes
		return p, nil
	} else if err != nil {
		return Pair{}, err
	}
	p.Head = head
	p.Head.Revision = c.at // where nothing changes the files are the base's
	return p, nil
}
