package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
)

func newSnapshot(world World, talk *voice) *cobra.Command {
	var (
		w            where
		output, file string
	)
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Write the live world to a file",
		Long: `Look at the live world and write it as one document of kind Snapshot, for diff, plan and
audit without access to the cluster or the account. Nothing in it is secret: no value of
an environment variable, no key, no token. Nothing is changed.

With --path or --repo the roles that Git names are looked at too; else those that
annotations and associations name.

Exit code 0: everything was read. 2: there are gaps, listed in the file. 1: no answer.`,
		Example: `  lanyard snapshot --cluster irsa-lab > live.yaml
  lanyard snapshot --cluster irsa-lab --path fleet -o json --file live.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := w.options(world, talk)
			if err != nil {
				return err
			}
			reader, err := app.NewReader(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer reader.Close()
			var state desired.State
			if w.repo != "" || len(w.paths) > 0 || o.Config != nil && o.Config.Source.URL != "" {
				if state, err = wishes(cmd, &w, world, o, reader); err != nil {
					return err
				}
			}
			snapshot, err := reader.Audit(cmd.Context(), state)
			if err != nil {
				return err
			}
			encode := snapshot.Facts().EncodeYAML
			if output == "json" {
				encode = snapshot.Facts().EncodeJSON
			}
			data, err := encode()
			if err != nil {
				return err
			}
			if err := write(world, file, data); err != nil {
				return err
			}
			for _, gap := range snapshot.Gaps() {
				talk.say("could not be read: %s", gap)
			}
			return differs(len(snapshot.Gaps()) > 0)
		},
	}
	w.wanted(cmd)
	w.world(cmd)
	w.rules(cmd)
	format(cmd, &output, "yaml", "json")
	cmd.Flags().StringVar(&file, "file", "", "write to this `file` instead of standard output")
	return cmd
}

func wishes(cmd *cobra.Command, w *where, world World, o app.Options, reader *app.Reader) (desired.State, error) {
	from, err := w.desired(world, o.Config)
	if err != nil {
		return desired.State{}, err
	}
	git, err := app.OpenGit(from)
	if err != nil {
		return desired.State{}, err
	}
	defer git.Close()
	cluster, err := reader.Cluster(cmd.Context())
	if err != nil {
		return desired.State{}, err
	}
	o.Progress("reading Git")
	return git.Latest(cmd.Context(), cluster)
}

// write writes to a file that only its owner can read, or to standard output.
func write(world World, file string, data []byte) error {
	if file == "" {
		_, err := world.Stdout.Write(data)
		return err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}
