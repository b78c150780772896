package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// ErrNoFork means that two commits have no common ancestor, or none that is near enough
// to be found.
var ErrNoFork = errors.New("no common ancestor")

// Merge is what merging a head into a base would make of the files.
type Merge struct {
	// Base is the branch that is merged into, as it is.
	Base Snapshot
	// Head has the files as they would be after the merge; its Revision is the head's.
	Head Snapshot
	// Fork is the commit that both come from. It is Base's where the head has all of it,
	// and then Head's files are the head's own.
	Fork string
	// Conflicts are files below the watched paths that Git would not merge. Head has them
	// as they are there.
	Conflicts []Conflict
}

// Behind reports whether the head lacks commits of the base.
func (m Merge) Behind() bool { return m.Fork != m.Base.Revision.Commit }

// Merge merges the head into the base in memory, below paths, and hands both to read,
// which must not keep their files. What counts is what a merge would bring: a head that
// was not updated for a while does not undo what others have merged meanwhile. Both are
// named as [Options.Ref] is, so that refs/pull/7/head does; nothing but base and head is
// meant, whatever the Source's own ref is. The base's commit must be signed if keys are
// configured, the head's need not: it is a proposal.
//
// It costs one listing and at most two fetches, of the history without files and then of
// the files of three commits; a deep or unusual history, or a server that does not hand
// out commits by hash, costs one more. History that was seen is remembered, so that a
// second look at either commit costs a fetch less.
//
// Renames are not followed: where one side moved a file that the other changed, that is a
// conflict. Files are merged by lines as git merge-file does.
func (s *Source) Merge(ctx context.Context, base, head string, paths []string, read func(Merge) error) error {
	return s.during(ctx, func(ctx context.Context) (err error) {
		seen, err := s.origin.look(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, seen.close()) }()
		b, err := tipOf(seen.refsSeen(), base)
		if err != nil {
			return err
		}
		h, err := tipOf(seen.refsSeen(), head)
		if err != nil {
			return err
		}
		if s.graph == nil || len(s.graph) > maxGraph/4 { // there is room for what is looked at now
			s.graph = graph{}
		}
		p := &pair{look: seen, graph: s.graph, base: b, head: h}
		defer func() { err = errors.Join(err, p.close()) }()
		if err := p.find(ctx); err != nil {
			return err
		}
		merged, err := p.merge(ctx, paths, nil)
		if err != nil {
			return err
		}
		if err := s.verify.check(p.signed, s.now()); err != nil {
			return fmt.Errorf("base %s: %w", base, err)
		}
		return read(merged)
	})
}

// tipOf resolves what a merge is made of. The start of a hash would take the whole
// history to find.
func tipOf(refs *listing, ref string) (target, error) {
	at, err := refs.resolve(ref)
	if err == nil && at.hash.IsZero() {
		err = remedy.Mark(remedy.Hold, fmt.Errorf("%w: no branch or tag stands on a commit %s: write all 40 digits of its hash", ErrRefNotFound, ref))
	}
	return at, err
}

// pair are two commits of one repository on their way to being merged.
type pair struct {
	look
	graph      graph
	base, head target
	objects    *objects // where the commits and their files can be read

	baseCommit, headCommit, fork plumbing.Hash
	signed                       signedCommit // the base's commit
}

func (p *pair) close() error {
	if p.objects == nil {
		return nil
	}
	return p.objects.close()
}

// use takes what was fetched in place of what was fetched before.
func (p *pair) use(o *objects, err error) error {
	if err != nil {
		return err
	}
	err = p.close()
	p.objects = o
	return err
}

// find finds where the two part, and makes three commits readable with their files.
func (p *pair) find(ctx context.Context) error {
	if !p.handsOut(p.base.hash) || !p.handsOut(p.head.hash) {
		if err := p.use(p.everything(ctx, p.tips())); err != nil {
			return err
		}
		for _, at := range []target{p.base, p.head} {
			if !p.objects.has(at.hash) {
				return noCommit(at.name)
			}
		}
	}
	p.baseCommit, p.headCommit = p.base.hash, p.head.hash
	known, depth := p.parts(), 0
	for _, depth = range depths {
		if known {
			break
		}
		if p.objects == nil || !p.objects.whole {
			if err := p.use(p.history(ctx, p.tips(), depth, false)); err != nil {
				return err
			}
		}
		var err error
		if known, err = p.grow(ctx, depth); err != nil {
			return err
		}
	}
	if !known {
		return p.lost()
	}
	return p.fill(ctx, depth)
}

// tips are what the server is asked for: where a ref stands on a tag, the tag.
func (p *pair) tips() []plumbing.Hash {
	return slices.Compact([]plumbing.Hash{p.base.hash, p.head.hash})
}

// parts asks the graph where they part.
func (p *pair) parts() bool {
	best, certain := p.graph.fork(p.baseCommit, p.headCommit)
	if !certain || len(best) != 1 {
		return false
	}
	p.fork = best[0]
	return true
}

// grow reads the history that was fetched.
func (p *pair) grow(ctx context.Context, depth int) (bool, error) {
	for _, one := range []struct {
		at   target
		into *plumbing.Hash
	}{{p.base, &p.baseCommit}, {p.head, &p.headCommit}} {
		if !p.objects.has(one.at.hash) {
			return false, noCommit(one.at.name)
		}
		commit, err := p.objects.commit(one.at.hash)
		if err != nil {
			return false, err
		}
		*one.into = commit.Hash
		if err := p.graph.grow(ctx, p.objects, commit.Hash, depth); err != nil {
			return false, err
		}
	}
	return p.parts(), nil
}

// lost says why it is not known where the two part, and what to do.
func (p *pair) lost() error {
	best, certain := p.graph.fork(p.baseCommit, p.headCommit)
	next := fmt.Sprintf("merge or rebase %s onto %s", p.head.name, p.base.name)
	what := fmt.Sprintf("%s and %s have none within %d commits", p.base.name, p.head.name, deepest)
	switch {
	case len(best) > 1 && certain:
		what = fmt.Sprintf("%s and %s were merged into each other crosswise, and come from %s and %s alike", p.base.name, p.head.name, best[0], best[1])
	case certain:
		what = fmt.Sprintf("%s and %s have none", p.base.name, p.head.name)
	}
	return remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s: %s", ErrNoFork, what, next))
}

// fill makes base, head and fork readable with their files.
func (p *pair) fill(ctx context.Context, depth int) error {
	wants := []plumbing.Hash{p.base.hash, p.head.hash, p.fork}
	all := func() bool {
		return !slices.ContainsFunc(wants, func(h plumbing.Hash) bool { return !p.objects.has(h) })
	}
	if p.objects != nil && p.objects.filed && all() {
		return nil
	}
	if p.objects != nil && p.objects.whole {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w here: %s and %s come from commit %s, which this clone does not have: fetch it",
			ErrNoFork, p.base.name, p.head.name, p.fork))
	}
	if p.handsOut(p.fork) {
		plumbing.HashesSort(wants)
		return p.use(p.look.contents(ctx, slices.Compact(wants)))
	}
	for _, deep := range depths {
		if deep < depth {
			continue
		}
		if err := p.use(p.history(ctx, p.tips(), deep, true)); err != nil || all() {
			return err
		}
	}
	return p.lost()
}

// merge reads the three trees and merges them. change, if not nil, changes the head's
// before.
func (p *pair) merge(ctx context.Context, paths []string, change func(*node) error) (Merge, error) {
	b, err := p.objects.revision(ctx, p.base)
	if err != nil {
		return Merge{}, err
	}
	h, err := p.objects.revision(ctx, p.head)
	if err != nil {
		return Merge{}, err
	}
	p.signed = b.commit
	merged := Merge{Base: b.snapshot, Head: h.snapshot, Fork: p.fork.String()}
	if !merged.Behind() {
		return merged, nil
	}
	old, err := p.objects.revision(ctx, target{hash: p.fork})
	if err != nil {
		return Merge{}, err
	}
	root := rootOf(h)
	if change != nil {
		if err := change(root); err != nil {
			return Merge{}, err
		}
	}
	m := &merger{objects: p.objects, paths: p.objects.reads(paths, rootOf(b), root)}
	out, err := m.merge(ctx, ".", rootOf(old), rootOf(b), root)
	if err != nil {
		return Merge{}, err
	}
	top := *out
	top.parent, top.children = nil, slices.Clone(out.children)
	settle(&top)
	slices.SortFunc(m.conflicts, func(a, b Conflict) int { return strings.Compare(a.File, b.File) })
	merged.Head.FS, merged.Conflicts = &treeFS{objects: p.objects, root: &top}, m.conflicts
	return merged, nil
}

func rootOf(r *revision) *node {
	if t, ok := r.snapshot.FS.(*treeFS); ok {
		return t.root
	}
	return &node{name: ".", mode: fs.ModeDir}
}

// Merge is [Source.Merge] of the files as they are on disk into a commit of the
// repository that holds them, which base names: a branch, a tag, a branch of a remote
// such as origin/main, or a hash, and ^, ^2 or ~3 after it as Git understands them. What
// lies outside of the directories counts as it was committed.
func (w *WorkTree) Merge(ctx context.Context, base string, read func(Merge) error) (err error) {
	if w.fs == nil {
		return fmt.Errorf("read work tree: %w", ErrClosed)
	}
	if len(w.trees) != 1 || !w.trees[0].isGit {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w around the directories: name directories of one Git work tree, or a repository by its URL", ErrNoRepository))
	}
	t := w.trees[0]
	defer func() {
		if err != nil {
			err = fmt.Errorf("read %s: %w", t.top, err)
		}
	}()
	seen, err := (&local{dir: t.top, limits: Limits{}.orDefault()}).look(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.close()) }()
	p := &pair{look: seen, graph: graph{}}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.use(seen.contents(ctx, nil)); err != nil {
		return err
	}
	if p.head, err = seen.refsSeen().resolve("HEAD"); err != nil {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w: %w: check one out", errUnborn, err))
	}
	if p.base, err = p.objects.step(seen.refsSeen(), base); err != nil {
		return err
	}
	p.head.name = "HEAD"
	if err := p.find(ctx); err != nil {
		if errors.Is(err, ErrNoFork) && p.shallow() {
			err = tooShallow(err)
		}
		return err
	}
	merged, err := p.merge(ctx, w.paths, func(root *node) error { return t.nodes(ctx, root, p.objects.limits) })
	if err != nil {
		return err
	}
	if !merged.Behind() {
		merged.Head.FS = w.fs
	}
	here, _, err := w.Latest(ctx)
	if err != nil {
		return err
	}
	merged.Head.Revision = here.Revision
	return read(merged)
}

// shallow reports whether the repository was cloned without all of its history.
func (p *pair) shallow() bool {
	cut, err := p.objects.store.Shallow()
	return err == nil && len(cut) > 0
}

func tooShallow(err error) error {
	return remedy.Mark(remedy.Hold, fmt.Errorf("%w; the clone is shallow: git fetch --unshallow, or clone it whole (fetch-depth: 0 of actions/checkout, GIT_DEPTH: 0 in GitLab)", err))
}

// steps is what Git lets follow a revision to name an ancestor of it:
// https://git-scm.com/docs/gitrevisions.
var steps = regexp.MustCompile(`[\^~][0-9]*`)

// named is what the name of a branch may look like here.
var named = regexp.MustCompile(`^[\w./+#@-]+$`)

// fetching says how to get what is not there, so that the same name finds it then: without
// a place to go to, a fetch by a clone of one branch leaves nothing but FETCH_HEAD.
// Source: https://git-scm.com/docs/git-fetch#_configured_remote_tracking_branches
func fetching(name string) string {
	branch, tracked := strings.CutPrefix(name, "origin/")
	switch {
	case !named.MatchString(name):
		return ""
	case isHash(name):
		return ", or fetch it: git fetch origin " + name
	case tracked:
		return ", or fetch it: git fetch origin " + branch + ":refs/remotes/" + name
	}
	return ", or fetch it: git fetch origin " + branch + ":" + branch
}

// step resolves a name of a repository on disk, and goes up from there.
func (o *objects) step(refs *listing, ref string) (target, error) {
	name, up := ref, ""
	if i := strings.IndexAny(ref, "^~"); i >= 0 {
		name, up = ref[:i], ref[i:]
	}
	at, err := refs.resolve(name)
	if remote, known := refs.refs["refs/remotes/"+name]; err != nil && known {
		at, err = target{name: name, ref: "refs/remotes/" + name, hash: remote}, nil
	}
	if err == nil && at.hash.IsZero() {
		at.hash, err = o.expand(at.prefix)
	}
	if err != nil {
		return target{}, fmt.Errorf("%w%s", err, fetching(name))
	}
	all := steps.FindAllString(up, -1)
	if strings.Join(all, "") != up {
		return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %q: after a name only ^, ^2 and ~3 are understood", ErrRefNotFound, ref))
	}
	for _, one := range all {
		n, parent := 1, 0
		if count := one[1:]; count != "" {
			if n, err = strconv.Atoi(count); err != nil || n > deepest {
				return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %q goes too far", ErrRefNotFound, ref))
			}
		}
		if one[0] == '^' {
			n, parent = min(n, 1), n-1
		}
		for range n {
			commit, err := o.commit(at.hash)
			if err != nil {
				return target{}, err
			}
			if parent >= len(commit.ParentHashes) {
				return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s: commit %s has no such parent", ErrRefNotFound, ref, commit.Hash))
			}
			at = target{hash: commit.ParentHashes[parent]}
		}
		at.name = ref
	}
	if !o.has(at.hash) {
		err := fmt.Errorf("%w: %s is commit %s, which is not in this clone", ErrRefNotFound, ref, at.hash)
		if cut, bad := o.store.Shallow(); bad == nil && len(cut) > 0 {
			return target{}, tooShallow(err)
		}
		return target{}, remedy.Mark(remedy.Hold, fmt.Errorf("%w: fetch it", err))
	}
	at.name = ref
	return at, nil
}

// Errors says of conflicts what they are in a revision that is not accepted: mistakes to
// be mended, each in its file.
func (m Merge) Errors(show func(string) string) desired.Errors {
	var errs desired.Errors
	for _, c := range m.Conflicts {
		errs = append(errs, desired.Error{
			At:      desired.Position{File: show(c.File)},
			What:    fmt.Sprintf("a conflict: it was %s in %s and %s here, since commit %s", c.Base, m.Base.Revision.Ref, c.Head, m.Fork),
			Instead: fmt.Sprintf("merge or rebase onto %s first", m.Base.Revision.Ref),
		})
	}
	return errs
}
