// Package gitwrite puts changed files into a working tree, for `lanyard propose`: as a
// patch to be looked at, in place, or as a commit on a branch of their own. A [Change]
// carries what each file held when it was read; a file that holds anything else by now
// is left alone, and so are all others.
//
// It never pushes, never moves a branch that exists, and never touches what is checked
// out or the index when it commits. No git binary is run, so no hook is, and no commit
// is signed. Files are replaced by a rename, so that a reader sees the old or the new.
//
// It stands apart from package gitsource, which the daemon reads Git with and which
// cannot write. It imports internal/remedy and go-git; internal/app builds it.
//
//	c := gitwrite.Change{Top: top, Edits: []gitwrite.Edit{{Path: "demo/api.yaml", Before: old, After: young}}}
//	patch, err := c.Patch()
//	made, err := c.Commit(gitwrite.Commit{Branch: "move-api", Message: "Move demo/api to EKS Pod Identity"})
package gitwrite
