package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// Git is where lanyard reads its wishes. It keeps the parsed repository while the
// ref has not moved.
type Git struct {
	source interface {
		Latest(context.Context) (gitsource.Snapshot, bool, error)
		Close() error
	}
	ref    string // of a repository
	paths  []string
	show   func(string) string // a file's name, as its reader opens it
	parsed *desired.Repository
	base   *desired.Repository // of the last [Git.Change]
}

// OpenGit opens the source that the options name. It must be closed.
func OpenGit(d Desired) (*Git, error) {
	if d.Source != nil {
		return openSource(*d.Source, d.WorkDir, d.Token)
	}
	if d.URL == "" {
		if len(d.Dirs) == 0 {
			return nil, errors.New("nothing to read: name a directory with --path, or a repository with --repo")
		}
		tree, err := gitsource.OpenWorkTree(d.Dirs...)
		if err != nil {
			return nil, err
		}
		return &Git{source: tree, paths: tree.Paths(), show: tree.Show}, nil
	}
	source, err := gitsource.Open(gitsource.Options{URL: d.URL, Ref: d.Ref, Auth: gitsource.Auth{Username: d.Username, Token: gitsource.Secret(d.Token)}})
	if err != nil {
		return nil, err
	}
	paths := d.Paths
	if len(paths) == 0 {
		paths = []string{"."}
	}
	return &Git{source: source, ref: d.Ref, paths: paths, show: func(name string) string { return name }}, nil
}

// Close gives the source back.
func (g *Git) Close() error { return g.source.Close() }

// Repository returns what the ref or the working tree says now, for any cluster. Its
// error may be [desired.Errors]: every mistake of the revision at once.
func (g *Git) Repository(ctx context.Context) (*desired.Repository, error) {
	snapshot, changed, err := g.source.Latest(ctx)
	if err != nil {
		return nil, err
	}
	if g.parsed == nil || changed {
		g.parsed = nil
		repo, err := desired.ParseShown(snapshot.FS, g.paths, snapshot.Revision, g.show)
		if err != nil {
			return nil, fmt.Errorf("revision %s is not accepted:\n%w", snapshot.Revision, err)
		}
		g.parsed = repo
	}
	return g.parsed, nil
}

// Latest returns what Git wants of one cluster.
func (g *Git) Latest(ctx context.Context, c identity.Cluster) (desired.State, error) {
	repo, err := g.Repository(ctx)
	if err != nil {
		return desired.State{}, err
	}
	state, err := repo.For(c)
	if err != nil {
		return desired.State{}, fmt.Errorf("revision %s is not accepted for cluster %s:\n%w", state.Revision, c.Name, err)
	}
	return state, nil
}

// openSource opens the source that a configuration names, for commands that look
// once. Its commit must be signed as the configuration asks; it is not compared with
// one that was accepted before, which is a daemon's to know.
func openSource(c desired.Source, workDir, token string) (*Git, error) {
	o := sourceOptions(c, workDir)
	if token != "" {
		o.Auth.Token, o.Auth.TokenFile = gitsource.Secret(token), ""
	}
	source, err := gitsource.Open(o)
	if err != nil {
		return nil, err
	}
	return &Git{source: source, ref: c.Ref, paths: c.Paths, show: func(name string) string { return name }}, nil
}
