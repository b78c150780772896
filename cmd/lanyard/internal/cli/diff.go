package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

func newDiff(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
	)
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what differs between Git and the live world",
		Long: `Compare what Git wants with the four live planes, and show every difference, what a
round would write about it, and what it would leave to whom. Nothing is changed.

Exit code 0: no difference and nothing unread. 2: differences, or something could not be
read. 1: no answer.`,
		Example: `  # A working tree against the cluster of the current kubeconfig and AWS credentials.
  lanyard diff --path fleet --cluster irsa-lab

  # A branch against a snapshot, without any access, as a comment on a pull request.
  lanyard diff --repo https://github.com/example/fleet --ref my-branch --path fleet --live live.yaml -o markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	format(cmd, &output, "text", "table", "json", "yaml", "markdown")
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
		snapshot, err := w.snapshot(ctx, world, o)
		if err != nil {
			return desired.State{}, nil, err
		}
		if c := snapshot.Cluster().Name; o.Cluster != "" && o.Cluster != c || o.Config != nil && o.Config.Cluster != c {
			return desired.State{}, nil, fmt.Errorf("%s is a snapshot of cluster %s: leave --cluster and --config out, or name that one", w.live, c)
		}
		state, err := git.Latest(ctx, snapshot.Cluster())
		return state, snapshot, err
	}
	// Git first: a mistake there is found in no time, and without any access.
	if _, err := git.Repository(ctx); err != nil {
		return desired.State{}, nil, err
	}
	reader, err := app.NewReader(ctx, o)
	if err != nil {
		return desired.State{}, nil, err
	}
	defer reader.Close()
	cluster, err := reader.Cluster(ctx)
	if err != nil {
		return desired.State{}, nil, err
	}
	state, err := git.Latest(ctx, cluster)
	if err != nil {
		return desired.State{}, nil, err
	}
	snapshot, err := w.observe(ctx, reader, state)
	return state, snapshot, err
}

// isURL reports whether --live names a running daemon.
func isURL(live string) bool {
	return strings.HasPrefix(live, "http://") || strings.HasPrefix(live, "https://")
}

// snapshot reads the live world that --live names, and that is not the cluster itself: a
// running daemon's, or a file's.
func (w *where) snapshot(ctx context.Context, world World, o app.Options) (*live.Snapshot, error) {
	if !isURL(w.live) {
		o.Progress("reading the snapshot")
		return readSnapshot(w.live)
	}
	o.Progress("asking the daemon")
	return app.RemoteSnapshot(ctx, w.live, world.Getenv("LANYARD_API_TOKEN"))
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
