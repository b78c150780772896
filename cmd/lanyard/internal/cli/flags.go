package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

// where are the flags that say what is wanted, what is live, and by whose rules.
type where struct {
	paths               []string
	repo, ref           string
	live, cluster       string
	config              string
	kubeconfig, context string
	describe            time.Duration
	audit               bool // the live world is read as an audit needs it
	apiCA               string
	maxAge              time.Duration // of a snapshot; zero: whatever goes for where it is from
}

// observe reads the live world.
func (w *where) observe(ctx context.Context, r *app.Reader, state desired.State) (*live.Snapshot, error) {
	if w.audit {
		return r.Audit(ctx, state)
	}
	return r.Observe(ctx, state)
}

func (w *where) wanted(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&w.paths, "path", nil, "directory of a working tree, or, with --repo, of the repository (repeatable)")
	f.StringVar(&w.repo, "repo", "", "Git repository: https://..., file:///..., or the path of a bare or local one")
	f.StringVar(&w.ref, "ref", "", "branch, tag or commit of --repo (default: its HEAD)")
}

func (w *where) rules(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.config, "config", "", "the operator's configuration `file`")
}

func (w *where) world(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.cluster, "cluster", "", "name of the EKS cluster (default: the snapshot's or the configuration's)")
	f.StringVar(&w.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: as kubectl finds it)")
	f.StringVar(&w.context, "context", "", "context of the kubeconfig")
	describeInterval(cmd, &w.describe)
}

// describeInterval is the flag for how long a description is relied upon.
func describeInterval(cmd *cobra.Command, into *time.Duration) {
	*into = app.DescribeInterval
	cmd.Flags().Var((*lasting)(into), "describe-interval", "how old what is known of an association may get before it is described again")
}

// lasting is a duration over zero.
type lasting time.Duration

// String returns the value, briefly.
func (d *lasting) String() string {
	text := time.Duration(*d).String()
	if short, whole := strings.CutSuffix(text, "m0s"); whole {
		text = short + "m"
	}
	if short, whole := strings.CutSuffix(text, "h0m"); whole {
		text = short + "h"
	}
	return text
}

// Type names the flag's type in help.
func (d *lasting) Type() string { return "duration" }

// Set takes a duration over zero.
func (d *lasting) Set(s string) error {
	v, err := time.ParseDuration(s)
	if days, is := strings.CutSuffix(s, "d"); is && err != nil {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // so many days are no overflow
		v = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return errors.New("it is no duration such as 90s, 15m, 24h or 7d")
	}
	if v <= 0 {
		return errors.New("it is not over zero")
	}
	*d = lasting(v)
	return nil
}

// daemonsAge is how old a daemon's snapshot may be, if nobody says: it looks every minute,
// so that one which has not for a quarter of an hour does not see what it tells of. What a
// file is good for, whoever wrote it knows.
const daemonsAge = 15 * time.Minute

func (w *where) source(cmd *cobra.Command) {
	cmd.Flags().Var((*lasting)(&w.maxAge), "max-age", "how old a snapshot may be (default 15m for a daemon's, any age for a file)")
	cmd.Flags().Lookup("max-age").DefValue = ""
	trusting(cmd, &w.apiCA)
	cmd.Flags().StringVar(&w.live, "live", "cluster", "the live world: `cluster`, a snapshot file of lanyard snapshot, or a daemon's URL (with LANYARD_API_TOKEN)")
}

// trusting is the flag for who vouches for a daemon.
func trusting(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "api-ca", "", "certificate authorities that vouch for a daemon's URL, a PEM `file` (default: the system's)")
}

// fresh refuses a snapshot that is older than it may be.
func (w *where) fresh(snapshot *live.Snapshot, now time.Time) error {
	most, next := w.maxAge, "write a new one with `lanyard snapshot`"
	if isURL(w.live) {
		next = "see what keeps the daemon from looking (lanyard status)"
		if most == 0 {
			most = daemonsAge
		}
	}
	if age := ageOf(snapshot, now); most > 0 && age > most {
		return fmt.Errorf("the snapshot is %s old, more than %s: %s, or allow it with --max-age",
			report.Age(age), (*lasting)(&most), next)
	}
	return nil
}

// ageOf is how long ago a snapshot was taken, to the second.
func ageOf(snapshot *live.Snapshot, now time.Time) time.Duration {
	return max(now.Sub(snapshot.Facts().TakenAt), 0).Truncate(time.Second)
}

// configuration reads --config; nil without one.
func (w *where) configuration() (*desired.Configuration, error) {
	if w.config == "" {
		return nil, nil
	}
	data, err := os.ReadFile(w.config)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w: name the operator's file with --config", err)
	}
	return desired.ParseConfiguration(w.config, data)
}

// desired turns the flags into where Git is read from. The token for https comes
// from LANYARD_GIT_TOKEN only: a flag would show in the list of processes.
func (w *where) desired(world World, c *desired.Configuration) (app.Desired, error) {
	d := app.Desired{Token: world.Getenv("LANYARD_GIT_TOKEN")}
	switch {
	case w.repo != "" && c != nil && c.Source.Verify != (desired.Verify{}):
		paths := w.paths
		if len(paths) == 0 {
			paths = []string{"."}
		}
		d.Source = &desired.Source{URL: w.repo, Ref: w.ref, Paths: paths, Verify: c.Source.Verify}
	case w.repo != "":
		d.URL, d.Ref, d.Paths = w.repo, w.ref, w.paths
	case len(w.paths) > 0:
		if w.ref != "" {
			return d, errors.New("--ref goes with --repo; a working tree is read as it is on disk")
		}
		d.Dirs = w.paths
	case c != nil && c.Source.URL != "":
		d.Source = &c.Source
	default:
		return d, errors.New("nothing to read: name a directory with --path, or a repository with --repo")
	}
	return d, nil
}

// options puts everything together for package app.
func (w *where) options(world World, talk *voice) (app.Options, error) {
	c, err := w.configuration()
	if err != nil {
		return app.Options{}, err
	}
	o := app.Options{Cluster: w.cluster, Config: c, Kubeconfig: w.kubeconfig, Context: w.context,
		DescribeInterval: w.describe, Progress: talk.progress}
	if c != nil && w.cluster != "" && c.Cluster != w.cluster {
		return o, fmt.Errorf("--cluster %s, but the configuration is for cluster %s: leave --cluster out", w.cluster, c.Cluster)
	}
	return o, nil
}

// format is a flag -o with a closed list.
func format(cmd *cobra.Command, into *string, formats ...string) {
	*into = formats[0]
	cmd.Flags().VarP(&choice{into, formats}, "output", "o", "output format: "+strings.Join(formats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

type choice struct {
	into *string
	of   []string
}

// String returns the value.
func (c *choice) String() string { return *c.into }

// Type names the flag's type in help.
func (c *choice) Type() string { return "format" }

// Set takes one of the closed list.
func (c *choice) Set(s string) error {
	for _, one := range c.of {
		if one == s {
			*c.into = s
			return nil
		}
	}
	return fmt.Errorf("it is none of %s", strings.Join(c.of, ", "))
}
