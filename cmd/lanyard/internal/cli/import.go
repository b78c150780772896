package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/census"
)

func newImport(world World, talk *voice) *cobra.Command {
	var (
		w   where
		out string
	)
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Write the live world down as desired files",
		Long: `Write a mapping for every ServiceAccount that is wired by either mechanism: a file for each
namespace, with comments that say what was found and who owns it. What is written differs
from the live world in nothing, and adopts nothing: lanyard diff finds no difference, and
lanyard run would write nothing.

A ServiceAccount whose planes do not agree, or were not all read, or that an EKS add-on
rules, is written as a comment that says what is wrong, and so stays unmanaged: mend it,
then take the comment signs away. No file that exists is touched.

Exit code 0: all that is wired was written. 2: something was left out, or could not be
read. 1: no answer.`,
		Example: `  # A cluster that nobody declared, into a working tree.
  lanyard import --cluster irsa-lab --out fleet

  # From a snapshot, to look at first.
  lanyard import --live live.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := facts(cmd.Context(), &w, world, talk)
			if err != nil {
				return err
			}
			snapshot := s.snapshot
			c, err := census.Take(snapshot, s.policy.Diff)
			if err != nil {
				return err
			}
			if err := put(world, out, c); err != nil {
				return err
			}
			for _, s := range c.Left {
				talk.say("left out, see its comment: %s", s)
			}
			for _, gap := range snapshot.Gaps() {
				talk.say("could not be read: %s", gap)
			}
			talk.say("%d written, %d left out; compare with: %s", len(c.Written), len(c.Left), compareWith(&w, out))
			return differs(len(c.Left) > 0 || len(snapshot.Gaps()) > 0)
		},
	}
	w.source(cmd)
	w.world(cmd)
	w.rules(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write files into this `directory` instead of standard output")
	return cmd
}

// compareWith is the command that shows that what was written differs in nothing, against
// the same live world.
func compareWith(w *where, out string) string {
	command := "lanyard diff --path " + cmp.Or(out, "DIR")
	for _, flag := range []struct{ name, value string }{{"live", w.live}, {"cluster", w.cluster}, {"config", w.config}, {"kubeconfig", w.kubeconfig}, {"context", w.context}} {
		if flag.value != "" && flag.value != "cluster" {
			command += " --" + flag.name + " " + flag.value
		}
	}
	if out == "" {
		command += ", with what was printed in DIR"
	}
	return command
}

// facts reads the live world alone, or a snapshot of it.
func facts(ctx context.Context, w *where, world World, talk *voice) (s standing, err error) {
	o, err := w.options(world, talk)
	if err != nil {
		return s, err
	}
	if w.live != "cluster" {
		if s.snapshot, err = w.snapshot(ctx, world, o); err != nil {
			return s, err
		}
		if c := s.snapshot.Cluster().Name; o.Cluster != "" && o.Cluster != c || o.Config != nil && o.Config.Cluster != c {
			return s, fmt.Errorf("%s is a snapshot of cluster %s: leave --cluster and --config out, or name that one", w.live, c)
		}
	} else {
		reader, err := app.NewReader(ctx, o)
		if err != nil {
			return s, err
		}
		defer reader.Close()
		if s.snapshot, err = w.observe(ctx, reader, desired.State{}); err != nil {
			return s, err
		}
	}
	s.ruled(o.Config)
	return s, nil
}

// put writes the files, or prints them. None that exists is written over: all are looked
// for first, so that nothing is half done.
func put(world World, out string, c census.Census) error {
	if out == "" {
		for _, f := range c.Files {
			if _, err := world.Stdout.Write(f.Text); err != nil {
				return err
			}
		}
		return nil
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make the directory of --out: %w", err)
	}
	files := c.Files
	schema := filepath.Join(out, census.SchemaFile)
	if _, err := os.Lstat(schema); errors.Is(err, fs.ErrNotExist) {
		files = append(files, census.File{Name: census.SchemaFile, Text: []byte(desired.Schema())})
	}
	var there []error
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(out, f.Name)); err == nil {
			there = append(there, fmt.Errorf("%s exists: move it away, or name another directory with --out", filepath.Join(out, f.Name)))
		}
	}
	if err := errors.Join(there...); err != nil {
		return err
	}
	for _, f := range files {
		if err := create(filepath.Join(out, f.Name), f.Text); err != nil {
			return err
		}
	}
	return nil
}

// create writes a file that must not be there yet.
func create(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write desired state: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write desired state: %w", err)
	}
	return nil
}
