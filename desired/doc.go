// Package desired is what Git says: which ServiceAccount uses which IAM role by
// which mechanism. [Parse] reads every YAML file of a revision strictly and
// collects all of its mistakes, each with its place; [Repository.For] then says
// what the revision means for one cluster, with defaults applied and templates
// expanded. [ParseConfiguration] reads the operator's guard rails, which bound
// what a committer may ask for.
//
// It judges documents, never the world: whether a role exists, or an account
// may be written, is not known here. It reads from the [io/fs.FS] it is given
// and from nothing else, knows no clock, and writes nothing. Its JSON Schemas
// are printed from the same table that the parser obeys.
//
// It imports internal/identity and yaml.v3; every room above level 1 may import
// it.
//
//	repo, err := desired.Parse(os.DirFS("."), []string{"fleet"}, desired.Revision{Ref: "worktree"})
//	if err != nil {
//		return err // fleet/demo.yaml:6:12: roleARN "arn:aws:iam::1:role/x": account "1" is not 12 digits: ...
//	}
//	state, err := repo.For(cluster)
package desired
