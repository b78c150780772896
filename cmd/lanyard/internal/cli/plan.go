package cli

import (
	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/migrate/outline"
)

func newPlan(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
		view   outline.View
	)
	cmd := &cobra.Command{
		Use:   "plan [namespace/serviceaccount]",
		Short: "Show who can move to EKS Pod Identity, who must stay on IRSA, and why",
		Long: `For every mapping in Git, and every ServiceAccount that is wired without one: on which
mechanism it is, which one Git wants, whether Pod Identity can serve it, with every reason
and the way out, where it stands, and what would be done. Nothing is changed.

One workload is shown in full: each step with what is written where, exactly as it is
before and after, who else owns it, what takes it back, and which pods restart.

Exit code 0: every mapping is where Git wants it, and nothing is unread. 2: work is
waiting, or something could not be read. 1: no answer.`,
		Example: `  # The fleet of a working tree, on the cluster of the current kubeconfig.
  lanyard plan --path fleet --cluster irsa-lab

  # One workload in full, from a snapshot, without any access.
  lanyard plan demo/s3-reader --path fleet --live live.yaml

  # The order in which those that wait would move.
  lanyard plan --path fleet --live live.yaml --wave

  # A spreadsheet; a page for a browser.
  lanyard plan --path fleet --live live.yaml -o csv
  lanyard plan --path fleet --live live.yaml -o html > plan.html`,
		Args: oneWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			var namespace, name string
			if len(args) == 1 { // before anything is read: a slip of the pen is told at once
				var err error
				if namespace, name, err = workload(args[0]); err != nil {
					return err
				}
			}
			s, err := stand(cmd.Context(), &w, world, talk)
			if err != nil {
				return err
			}
			o := outline.New(s.state, s.snapshot, app.Outline(s.config, s.policy))
			waits := o.Waits()
			if len(args) == 1 {
				if o, err = o.Only(namespace, name); err != nil {
					return err
				}
				waits = o.Workloads[0].Waits()
				if !cmd.Flags().Changed("output") && world.Getenv("LANYARD_OUTPUT") == "" {
					output = "text"
				}
			}
			view.Paint = talk.paint()
			if err := printOutline(world, o, view, output); err != nil {
				return err
			}
			return differs(waits)
		},
	}
	w.wanted(cmd)
	w.source(cmd)
	w.world(cmd)
	w.rules(cmd)
	cmd.Flags().BoolVar(&view.Wide, "wide", false, "show role, declaration, warnings and holds too")
	cmd.Flags().BoolVar(&view.Waves, "wave", false, "show only what waits to move, in its order")
	format(cmd, &output, "table", "text", "json", "yaml", "markdown", "csv", "html")
	return cmd
}

func printOutline(world World, o outline.Outline, v outline.View, output string) error {
	var b []byte
	var err error
	switch output {
	case "json":
		b, err = o.JSON()
	case "yaml":
		b, err = o.YAML()
	case "text":
		return o.Text(world.Stdout, v)
	case "markdown":
		return o.Markdown(world.Stdout, v)
	case "csv":
		return o.CSV(world.Stdout, v)
	case "html":
		return o.HTML(world.Stdout, v)
	default:
		return o.Table(world.Stdout, v)
	}
	if err != nil {
		return err
	}
	_, err = world.Stdout.Write(b)
	return err
}
