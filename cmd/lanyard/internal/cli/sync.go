package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/report"
)

func newSync(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
		mode   string
		wait   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make one round: compare, repair, report",
		Long: `Make one round as the daemon does: read Git, look at the live world, name the
differences, repair those that the configuration lets lanyard repair, and report.

Without --config, or with mode observe, nothing is written. Each write is one JSON line on
standard error, with the whole value before and after. Mode migrate takes the steps of
moves too. A workload crosses only where you are the user that lanyard's admission policy
names, the daemon's: moving is a matter for lanyard run.

What pods are to rely on must have been seen to work for a minute before they are asked to
(law 6), so some repairs take a second round: --wait makes further rounds until nothing is
left to write or to wait for, at most for that long.

Exit code 0: in sync afterwards. 2: differences or gaps are left. 1: no round could be made.`,
		Example: `  # What would it do? (writes nothing)
  lanyard sync --path fleet --cluster irsa-lab

  # Repair, and stay until it is done.
  lanyard sync --path fleet --config lanyard.yaml --wait 5m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := w.options(world, talk)
			if err != nil {
				return err
			}
			if o.Desired, err = w.desired(world, o.Config); err != nil {
				return err
			}
			if mode != "" && o.Config != nil {
				o.Config.Mode = desired.Mode(mode)
			} else if mode != "" && mode != string(desired.ModeObserve) {
				return fmt.Errorf("--mode %s needs --config: the configuration says what may be written", mode)
			}
			if c := o.Config; c != nil && c.Mode != desired.ModeObserve && len(o.Desired.Dirs) > 0 && c.Source.Verify != (desired.Verify{}) {
				return fmt.Errorf("%s: source.verify asks for signed commits, and a working tree has no signature: name a repository with --repo, or use --mode observe", c.At)
			}
			o.Log = slog.New(slog.NewJSONHandler(world.Stderr, nil))
			syncer, err := app.NewSyncer(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer syncer.Close()
			return rounds(cmd.Context(), syncer, wait, output != "json", func(r report.Round, between bool) error {
				switch {
				case output == "json":
					return json.NewEncoder(world.Stdout).Encode(r.Public())
				case between:
					return r.Brief(world.Stdout, talk.paint())
				}
				return r.Text(world.Stdout, talk.paint())
			})
		},
	}
	w.wanted(cmd)
	w.world(cmd)
	w.rules(cmd)
	cmd.Flags().Var(&choice{&mode, modes}, "mode", "in place of the configuration's mode: "+strings.Join(modes, ", "))
	cmd.Flags().DurationVar(&wait, "wait", 0, "make further rounds until there is nothing to write or to wait for, at most this long")
	format(cmd, &output, "text", "json")
	return cmd
}

// rounds makes one round, or as many as rest takes, and prints each: the first and the
// last one whole, what lies between in brief. Without whole the last is not repeated.
func rounds(ctx context.Context, s *app.Syncer, wait time.Duration, whole bool, print func(r report.Round, between bool) error) error {
	if wait <= 0 {
		r, err := s.Round(ctx)
		if err != nil {
			return err
		}
		if err := print(r, false); err != nil {
			return err
		}
		return left(r)
	}
	var failed error
	n := 0
	last, err := s.Rest(ctx, wait, func(r report.Round) {
		if n++; failed == nil {
			failed = print(r, n > 1)
		}
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	if n > 1 && whole {
		if err := print(last, false); err != nil {
			return err
		}
	}
	return left(last)
}

// left ends the command by what a round left.
func left(r report.Round) error { return differs(!r.InSync() || r.Failures() > 0) }
