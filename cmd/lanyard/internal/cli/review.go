package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/report"
)

// reviewing are the flags of diff that go with --base.
type reviewing struct {
	base     string
	failOn   []string
	policies bool
}

func (r *reviewing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.base, "base", "", "report on merging into this `ref`: a branch, a tag or a commit of the repository; of a working tree also origin/main or HEAD^1")
	f.StringSliceVar(&r.failOn, "fail-on", nil, "with --base, exit with 2 for these alone (by comma): low, medium, high (that risk or a higher one), the name of a reason or finding, or drift (any change, and what was wrong before too)")
	f.BoolVar(&r.policies, "policies", false, "with --base, show trust policies line by line, before and after")
	words := make([]string, 0, len(review.FailOns()))
	for _, w := range review.FailOns() {
		words = append(words, string(w))
	}
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (r *reviewing) run(ctx context.Context, w *where, world World, talk *voice, output string) error {
	var on []review.FailOn
	for _, word := range r.failOn { // before anything is read: a slip of the pen is told at once
		f, err := review.ParseFailOn(word)
		if err != nil {
			return fmt.Errorf("--fail-on: %w", err)
		}
		on = append(on, f)
	}
	found, err := r.judge(ctx, w, world, talk)
	if err != nil {
		return err
	}
	if err := r.print(world, talk, found, output); err != nil {
		return err
	}
	if n := found.Summary.Refused; n > 0 {
		return &exit{code: exitFailed, cause: fmt.Errorf("%d %s in %s: nothing of it would be followed", n, plural(n, "mistake"), found.Head)}
	}
	fails := found.Fails(on...)
	if len(on) == 0 || slices.Contains(on, review.Drift) {
		fails = fails || found.Changes()
	}
	return differs(fails)
}

// judge reads Git and the live world, and reviews.
func (r *reviewing) judge(ctx context.Context, w *where, world World, talk *voice) (review.Review, error) {
	o, err := w.options(world, talk)
	if err != nil {
		return review.Review{}, err
	}
	if o.Desired, err = w.desired(world, o.Config); err != nil {
		return review.Review{}, err
	}
	talk.progress("reading Git")
	git, err := app.OpenGit(o.Desired)
	if err != nil {
		return review.Review{}, err
	}
	defer git.Close()
	change, err := git.Change(ctx, r.base, "")
	if err != nil {
		return review.Review{}, err
	}
	if change.Behind {
		talk.say("%s has commits that the head lacks: the report is on what merging makes of both", r.base)
	}
	var (
		pair app.Pair
		age  time.Duration
		s    standing
	)
	both := func(c identity.Cluster) (desired.State, error) {
		pair, err = change.For(c)
		return pair.All(), err
	}
	if w.live == "cluster" {
		s.snapshot, err = w.watch(ctx, o, both)
	} else if s.snapshot, err = w.snapshotOf(ctx, world, o); err == nil {
		age = ageOf(s.snapshot, time.Now())
		_, err = both(s.snapshot.Cluster())
	}
	if err != nil {
		return review.Review{}, err
	}
	s.ruled(o.Config)
	return review.New(review.Input{
		Base: pair.Base, Head: pair.Head, Refused: pair.Refused, Snapshot: s.snapshot,
		Mode: s.mode, Policy: s.policy, Outline: app.Outline(s.config, s.policy), Age: age,
	}), nil
}

func (r *reviewing) print(world World, talk *voice, found review.Review, output string) error {
	view := review.View{Diff: r.policies, Paint: talk.paint()}
	var b []byte
	var err error
	switch output {
	case "json":
		b, err = found.JSON()
	case "yaml":
		b, err = found.YAML()
	case "markdown":
		return found.Markdown(world.Stdout, report.CommentLimit)
	case "sarif":
		return found.SARIF(world.Stdout)
	case "table":
		return found.Table(world.Stdout, view)
	default:
		return found.Text(world.Stdout, view)
	}
	if err != nil {
		return err
	}
	_, err = world.Stdout.Write(b)
	return err
}
