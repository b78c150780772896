package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

func newDiff(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
		r      reviewing
	)
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what differs between Git and the live world, or what merging a branch will do to it",
		Long: `Compare what Git wants with the four live planes, and show every difference, what a
round would write about it, and what it would leave to whom. Nothing is changed.

With --base REF it is the report on a pull request: what merging the head into the base
will lead to, apart from what was wrong before and from what it heals. The head is --ref
of --repo, or the working tree as it is on disk; what counts is what merging makes of
both, so that a branch which was not updated for a while does not undo what others have
merged meanwhile. Where Git would not merge, that is told as a mistake of the head.

Exit code 0: no difference and nothing unread. 2: differences, or something could not be
read. 1: no answer. With --base, 0: the head does nothing. 2: it does something, or needs
a fact that is missing; or, with --fail-on, what is named there. 1: no answer, or a head
with mistakes, which are in the report.`,
		Example: `  # A working tree against the cluster of the current kubeconfig and AWS credentials.
  lanyard diff --path fleet --cluster irsa-lab

  # What merging the branch that is checked out will do, without any access.
  lanyard diff --base origin/main --path fleet --live live.yaml

  # The same of what a pull request's pipeline checks out, as a comment, from a daemon.
  lanyard diff --base HEAD^1 --path fleet --live https://lanyard.example.com -o markdown

  # A branch of a repository, failing on a high risk only.
  lanyard diff --base main --repo https://github.com/example/fleet --ref my-branch --path fleet --live live.yaml --fail-on high`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("base") && r.base == "" {
				return errors.New("--base is empty: name the branch that is merged into (is a variable not set?)")
			}
			if r.base != "" {
				return r.run(cmd.Context(), &w, world, talk, output)
			}
			switch {
			case len(r.failOn) > 0 && world.Getenv("LANYARD_FAIL_ON") == "" || r.policies: // that variable is audit's too
				return errors.New("--fail-on and --policies go with --base: name the branch that is merged into")
			case output == "sarif":
				return errors.New("-o sarif goes with --base: it is about a change")
			}
			d, err := compare(cmd.Context(), &w, world, talk)
			if err != nil {
				return err
			}
			if err := printDiff(world, talk, d, output); err != nil {
				return err
			}
			return differs(d.Differs())
		},
	}
	w.wanted(cmd)
	w.source(cmd)
	w.world(cmd)
	w.rules(cmd)
	r.flags(cmd)
	format(cmd, &output, "text", "table", "json", "yaml", "markdown", "sarif")
	return cmd
}

// standing is what Git wants, what is live, and what the operator lets be done.
type standing struct {
	state    desired.State
	snapshot *live.Snapshot
	policy   plan.Policy
	mode     desired.Mode
	config   *desired.Configuration
}

// stand reads Git and the live world.
func stand(ctx context.Context, w *where, world World, talk *voice) (s standing, err error) {
	o, err := w.options(world, talk)
	if err != nil {
		return s, err
	}
	if o.Desired, err = w.desired(world, o.Config); err != nil {
		return s, err
	}
	talk.progress("reading Git")
	git, err := app.OpenGit(o.Desired)
	if err != nil {
		return s, err
	}
	defer git.Close()
	if s.state, s.snapshot, err = look(ctx, w, world, o, git); err != nil {
		return s, err
	}
	s.ruled(o.Config)
	return s, nil
}

// ruled notes what the operator lets be done: by the configuration, or without one by
// what was in force when the snapshot was taken.
func (s *standing) ruled(c *desired.Configuration) {
	rails := s.snapshot.Facts().GuardRails
	s.policy, s.mode, s.config = app.RailsOf(rails), desired.Mode(rails.Mode), c
	if c != nil {
		s.policy, s.mode = app.Rails(c, app.Self()), c.Mode
	}
}

// compare reads Git and the live world, and plans a round without taking it.
func compare(ctx context.Context, w *where, world World, talk *voice) (report.Diff, error) {
	s, err := stand(ctx, w, world, talk)
	if err != nil {
		return report.Diff{}, err
	}
	result := diff.Compare(s.state, s.snapshot, s.policy.Diff)
	p, _ := plan.Repair(plan.Input{Revision: s.state.Revision, Result: result, Snapshot: s.snapshot, Policy: s.policy})
	return report.NewDiff(s.mode, s.state.Revision, result, p, s.snapshot.Gaps()), nil
}

// look reads the wishes for, and the facts of, one cluster.
func look(ctx context.Context, w *where, world World, o app.Options, git *app.Git) (desired.State, *live.Snapshot, error) {
	if w.live != "cluster" {
		snapshot, err := w.snapshotOf(ctx, world, o)
		if err != nil {
			return desired.State{}, nil, err
		}
		state, err := git.Latest(ctx, snapshot.Cluster())
		return state, snapshot, err
	}
	// Git first: a mistake there is found in no time, and without any access.
	if _, err := git.Repository(ctx); err != nil {
		return desired.State{}, nil, err
	}
	var state desired.State
	snapshot, err := w.watch(ctx, o, func(c identity.Cluster) (desired.State, error) {
		var err error
		state, err = git.Latest(ctx, c)
		return state, err
	})
	return state, snapshot, err
}

// watch looks at the cluster, at all that some wishes for it need.
func (w *where) watch(ctx context.Context, o app.Options, wishes func(identity.Cluster) (desired.State, error)) (*live.Snapshot, error) {
	reader, err := app.NewReader(ctx, o)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	cluster, err := reader.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	state, err := wishes(cluster)
	if err != nil {
		return nil, err
	}
	return w.observe(ctx, reader, state)
}

// snapshotOf is [where.snapshot] of the cluster that is meant.
func (w *where) snapshotOf(ctx context.Context, world World, o app.Options) (*live.Snapshot, error) {
	snapshot, err := w.snapshot(ctx, world, o)
	if err != nil {
		return nil, err
	}
	if c := snapshot.Cluster().Name; o.Cluster != "" && o.Cluster != c || o.Config != nil && o.Config.Cluster != c {
		return nil, fmt.Errorf("%s is a snapshot of cluster %s: leave --cluster and --config out, or name that one", w.live, c)
	}
	return snapshot, nil
}

// isURL reports whether --live names a running daemon.
func isURL(live string) bool {
	return strings.HasPrefix(live, "http://") || strings.HasPrefix(live, "https://")
}

// snapshot reads the live world that --live names, and that is not the cluster itself: a
// running daemon's, or a file's.
func (w *where) snapshot(ctx context.Context, world World, o app.Options) (*live.Snapshot, error) {
	var (
		snapshot *live.Snapshot
		err      error
	)
	if isURL(w.live) {
		o.Progress("asking the daemon")
		snapshot, err = app.RemoteSnapshot(ctx, w.live, app.Access{Token: world.Getenv("LANYARD_API_TOKEN"), CAFile: w.apiCA})
	} else {
		o.Progress("reading the snapshot")
		snapshot, err = readSnapshot(w.live)
	}
	if err != nil {
		return nil, err
	}
	if err := w.fresh(snapshot, time.Now()); err != nil {
		return nil, fmt.Errorf("%s: %w", w.live, err)
	}
	return snapshot, nil
}

// readSnapshot reads a snapshot file.
func readSnapshot(name string) (*live.Snapshot, error) {
	if isURL(name) {
		return nil, errors.New("--live takes a snapshot file here")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w: write one with `lanyard snapshot`, or leave --live out to read the cluster", err)
	}
	snapshot, err := live.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return snapshot, nil
}

func printDiff(world World, talk *voice, d report.Diff, output string) error {
	switch output {
	case "json":
		b, err := d.JSON()
		if err != nil {
			return err
		}
		_, err = world.Stdout.Write(b)
		return err
	case "yaml":
		b, err := d.YAML()
		if err != nil {
			return err
		}
		_, err = world.Stdout.Write(b)
		return err
	case "markdown":
		return d.Markdown(world.Stdout)
	case "table":
		return d.Table(world.Stdout, talk.paint())
	}
	return d.Text(world.Stdout, talk.paint())
}
