// Package gitsource turns a Git ref into the files of a revision. A [Source]
// reads a branch, tag or commit of a repository on disk or behind https or ssh; a
// [WorkTree] reads directories as they are on disk, committed or not. Both give a
// [Snapshot]: a [desired.Revision] and the [io/fs.FS] that [desired.Parse] reads. A
// [Follower] is a Source for a daemon: it keeps to the last accepted commit until the
// head is signed, readable, a descendant of it, and not empty ([Judge]).
//
// Looking is cheap: a ref that did not move costs one reference listing and no
// objects. Reading is bounded by [Limits] in bytes, objects, files and depth, so
// that a hostile repository ends in an error and not in the memory of a daemon,
// and in time, so that a server that answers slowly or never does too. Fetches lie in
// a work directory, one directory each, and those of crashed processes are swept. No
// git binary is run and no setting of go-git's is changed: each Source has a transport
// of its own. Secrets are read from their files for every look, go to no other host
// than the repository's, and stand in no error; URLs are printed without credentials
// ([Redact]). A server's ssh host key is known beforehand or refused.
//
// With keys configured ([Verify]) the commit itself must be signed, whatever ref or
// tag it is reached by. A last accepted commit that is fetched again after a restart
// is not judged again: keys may have been rotated since.
//
// [Source.Merge] and [WorkTree.Merge] give two revisions instead: a base, and what
// merging a head into it would make of the files, put together in memory.
//
// It never writes to a repository, never pushes, and never decides what a
// revision means. Submodules appear as empty directories and Git LFS files as
// their pointers. Repositories with SHA-256 object names are refused, because
// go-git reads SHA-1 only in an ordinary build. Remote commits are named by ref or by
// full hash at the price of one revision; a short hash that no ref stands on, or
// a server that hands out refs only, costs the history once.
//
// It imports desired, internal/remedy and go-git; internal/app builds it, nobody
// else imports it.
//
//	src, err := gitsource.Open(gitsource.Options{URL: "https://github.com/example/fleet", Ref: "main"})
//	snapshot, changed, err := src.Latest(ctx)
//	repo, err := desired.Parse(snapshot.FS, []string{"fleet"}, snapshot.Revision)
package gitsource
