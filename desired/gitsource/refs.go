package gitsource

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// listing is what one look at a repository's refs showed.
type listing struct {
	head string // the ref that HEAD names; empty when HEAD is a commit or nothing
	refs map[string]plumbing.Hash
}

// target is what a ref asked for stands on.
type target struct {
	name   string        // for people: main, v1, 1a2b3c4
	ref    string        // full name, empty for a commit named by hash
	hash   plumbing.Hash // of a commit or tag; zero while only prefix is known
	prefix string        // of a commit's hash, as asked for
}

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"

	hexDigits = "0123456789abcdef"
	// shortest is the least that is taken for an abbreviated hash: what Git itself
	// prints. Shorter ones are more often a branch that does not exist.
	shortest = 7
	full     = 40
)

// isHash reports whether ref can be a commit's hash, whole or abbreviated.
func isHash(ref string) bool {
	return len(ref) >= shortest && len(ref) <= full && strings.Trim(ref, hexDigits) == ""
}

// resolve finds what ref stands on: a full hash is a commit, then come full ref
// names, branches, tags, and short hashes. A branch wins over a tag of its name,
// as in git clone --branch: to push a tag often takes less than to merge.
func (l *listing) resolve(ref string) (target, error) {
	if len(l.refs) == 0 {
		return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: push a first commit", ErrEmpty))
	}
	if len(ref) == full && isHash(ref) {
		return target{name: ref, hash: plumbing.NewHash(ref), prefix: ref}, nil
	}
	if ref == "" || ref == "HEAD" {
		ref = cmp.Or(l.head, "HEAD")
	}
	for _, full := range []string{ref, heads + ref, tags + ref} {
		if full != "HEAD" && !strings.HasPrefix(full, "refs/") {
			continue
		}
		if hash, ok := l.refs[full]; ok {
			name := strings.TrimPrefix(strings.TrimPrefix(full, heads), tags)
			return target{name: name, ref: full, hash: hash}, nil
		}
	}
	switch {
	case isHash(ref):
		return l.tip(ref), nil
	case len(ref) == 64 && strings.Trim(ref, hexDigits) == "":
		return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s is a SHA-256 hash and only SHA-1 repositories can be read", ErrUnsupported, ref))
	}
	return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w %q: %s", ErrRefNotFound, ref, l.suggest(ref)))
}

// tip looks for a short hash among the commits that refs stand on.
func (l *listing) tip(prefix string) target {
	t := target{name: prefix, prefix: prefix}
	for _, hash := range l.refs {
		if !strings.HasPrefix(hash.String(), prefix) || hash == t.hash {
			continue
		}
		if !t.hash.IsZero() {
			return target{name: prefix, prefix: prefix} // two: let the history tell
		}
		t.hash = hash
	}
	return t
}

// isTip reports whether a ref stands on hash, so that any server hands it out.
func (l *listing) isTip(hash plumbing.Hash) bool {
	for _, tip := range l.refs {
		if tip == hash {
			return true
		}
	}
	return false
}

// suggest names the branches and tags that are written most like ref.
func (l *listing) suggest(ref string) string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	for _, full := range slices.Sorted(maps.Keys(l.refs)) {
		name, isTag := strings.CutPrefix(full, tags)
		name, isHead := strings.CutPrefix(name, heads)
		if !isTag && !isHead {
			continue
		}
		d := distance(strings.ToLower(ref), strings.ToLower(name))
		if last := name[strings.LastIndexByte(name, '/')+1:]; last == ref {
			d = 0
		}
		if d <= max(2, len(ref)/3) {
			found = append(found, near{name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	if len(found) == 0 {
		return "name a branch, a tag or a commit of this repository"
	}
	names := make([]string, 0, 3)
	for _, n := range found[:min(len(found), cap(names))] {
		names = append(names, fmt.Sprintf("%q", n.name))
	}
	return "did you mean " + strings.Join(names, " or ") + "?"
}

// distance is Levenshtein's, over bytes; names beyond 100 are not compared.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
