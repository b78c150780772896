package gitsource

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
)

// graph is what is known of who descends from whom: each commit that was read, and its
// parents. Commits do not change, so it never goes stale.
type graph map[plumbing.Hash][]plumbing.Hash

// maxGraph bounds it. Two tips 500 commits deep are a thousand commits, and more where
// branches were merged side by side. maxParents bounds what one commit can add.
const (
	maxGraph   = 20_000
	maxParents = 100
)

// grow adds the commits from a tip down, by generations, as far as they can be read.
func (g graph) grow(ctx context.Context, o *objects, tip plumbing.Hash, depth int) error {
	met := map[plumbing.Hash]bool{tip: true}
	generation := []plumbing.Hash{tip}
	for range depth {
		var next []plumbing.Hash
		for _, hash := range generation {
			if err := ctx.Err(); err != nil {
				return err
			}
			parents, known := g[hash]
			if !known {
				if len(g) >= maxGraph || !o.has(hash) {
					continue
				}
				commit, err := o.commit(hash)
				if err != nil {
					return err
				}
				if parents = commit.ParentHashes; len(parents) > maxParents {
					return malformed("commit %s has %d parents", hash, len(parents))
				}
				g[hash] = parents
			}
			for _, parent := range parents {
				if !met[parent] {
					met[parent] = true
					next = append(next, parent)
				}
			}
		}
		if generation = next; len(next) == 0 {
			break
		}
	}
	return nil
}

// ancestors are a commit and what it descends from, the nearest that are not known
// included.
func (g graph) ancestors(tip plumbing.Hash) map[plumbing.Hash]bool {
	met := map[plumbing.Hash]bool{tip: true}
	for left := []plumbing.Hash{tip}; len(left) > 0; {
		hash := left[len(left)-1]
		left = left[:len(left)-1]
		for _, parent := range g[hash] {
			if !met[parent] {
				met[parent] = true
				left = append(left, parent)
			}
		}
	}
	return met
}

// fork is where two commits part: their common ancestors that are no ancestor of another
// one, which Git calls merge bases. certain is unset where a commit that is not known
// could lead to a nearer one.
//
// A common ancestor's parents are common ancestors too, so that one which is an ancestor
// of another is the parent of some. What lies below a commit that both descend from is
// farther than it, so that only what one of them alone leads to can hide a nearer one.
func (g graph) fork(base, head plumbing.Hash) (best []plumbing.Hash, certain bool) {
	ofBase, ofHead := g.ancestors(base), g.ancestors(head)
	switch {
	case ofHead[base]:
		return []plumbing.Hash{base}, true
	case ofBase[head]:
		return []plumbing.Hash{head}, true
	}
	certain = true
	farther := map[plumbing.Hash]bool{}
	for hash := range ofBase {
		parents, known := g[hash]
		if ofHead[hash] {
			for _, parent := range parents {
				farther[parent] = true
			}
		} else if !known {
			certain = false
		}
	}
	for hash := range ofHead {
		if _, known := g[hash]; !known && !ofBase[hash] {
			certain = false
		}
		if ofBase[hash] && !farther[hash] {
			best = append(best, hash)
		}
	}
	plumbing.HashesSort(best)
	return best, certain
}
