package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/trust"
)

func newAudit(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
		failOn string
		owned  bool
		view   audit.View
		o      audit.Options
	)
	cmd := &cobra.Command{
		Use:   "audit [namespace/serviceaccount]",
		Short: "List every wired ServiceAccount, who may assume its role, and what is not as it should be",
		Long: `List every ServiceAccount that is wired to a role by IRSA or EKS Pod Identity: its role and
policies, whom the role lets in, when it was last used, who made it, what uses it, and
whether it can move to Pod Identity; with every finding, what shows it, and what mends it.
Two negative tests are put to each role: the same ServiceAccount name in another namespace,
and any other ServiceAccount, must be refused. Nothing is changed.

Git need not be named. With --path or --repo its waivers (kind AuditWaiver) silence single
findings until they expire.

What was not read is told as unknown, with the checks that were not made for it.

Exit code 0: no finding of the severity of --fail-on or a worse one, and nothing unknown.
2: such findings, or something is not known. 1: no answer.`,
		Example: `  # The cluster of the current kubeconfig and AWS credentials.
  lanyard audit --cluster irsa-lab

  # One ServiceAccount in full, from a snapshot, without any access.
  lanyard audit demo/s3-reader --live live.yaml

  # With the waivers in Git; only what is critical fails a pipeline.
  lanyard audit --cluster irsa-lab --path fleet --fail-on critical

  # A spreadsheet; a page for a browser.
  lanyard audit --live live.yaml -o csv > audit.csv
  lanyard audit --live live.yaml -o html > audit.html`,
		Args: oneWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			var namespace, name string
			if len(args) == 1 {
				var err error
				if namespace, name, err = workload(args[0]); err != nil {
					return err
				}
				if owned {
					return errors.New("--owned lists what is lanyard's, and one ServiceAccount is named: leave one of them out")
				}
				if !cmd.Flags().Changed("output") && world.Getenv("LANYARD_OUTPUT") == "" {
					output = "text"
				}
			}
			if err := audit.ValidRoleName(o.RoleName); err != nil {
				return fmt.Errorf("--role-name: %w", err)
			}
			w.audit = true
			s, err := gitOrNot(cmd.Context(), &w, world, talk)
			if err != nil {
				return err
			}
			o.Diff, o.Migrate = s.policy.Diff, app.Outline(s.config, s.policy).Migrate
			r := audit.New(s.state, s.snapshot, o)
			switch {
			case owned:
				r = r.OwnedOnly()
			case name != "":
				if r, err = r.Only(namespace, name); err != nil {
					return err
				}
			}
			view.Paint = talk.paint()
			if err := printAudit(world, r, view, output); err != nil {
				return err
			}
			return differs(failOn != "never" && r.Fails(trust.Severity(failOn)))
		},
	}
	w.wanted(cmd)
	w.source(cmd)
	w.world(cmd)
	w.rules(cmd)
	f := cmd.Flags()
	f.BoolVar(&view.Wide, "wide", false, "show all columns")
	f.BoolVar(&owned, "owned", false, "show only what bears lanyard's mark")
	f.StringVar(&o.RoleName, "role-name", audit.DefaultRoleName, "`pattern` of role names, with * and ?, and ${cluster}, ${region}, ${accountID}, ${namespace}, ${serviceAccount}; empty: names are not judged")
	f.StringArrayVar(&o.Tags, "require-tag", nil, "`key` of a tag that each role must bear (repeatable; default: any tag)")
	failOn = string(trust.Warning)
	f.Var(&choice{&failOn, []string{string(trust.Info), string(trust.Warning), string(trust.Critical), "never"}}, "fail-on", "least severity that ends with exit code 2: info, warning, critical; or never")
	format(cmd, &output, "table", "text", "json", "yaml", "markdown", "csv", "html")
	return cmd
}

func printAudit(world World, r audit.Report, v audit.View, output string) error {
	var b []byte
	var err error
	switch output {
	case "json":
		b, err = r.JSON()
	case "yaml":
		b, err = r.YAML()
	case "text":
		return r.Text(world.Stdout, v)
	case "markdown":
		return r.Markdown(world.Stdout, v)
	case "csv":
		return r.CSV(world.Stdout)
	case "html":
		return r.HTML(world.Stdout, v)
	default:
		return r.Table(world.Stdout, v)
	}
	if err != nil {
		return err
	}
	_, err = world.Stdout.Write(b)
	return err
}
