package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// linted is one finding of lint, and where.
type linted struct {
	Where string `json:"where"` // the file, or the role's ARN
	trust.Lint
}

func newTrustLint(world World, talk *voice) *cobra.Command {
	var (
		from                  policySource
		width, issuer, output string
	)
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Find what is wrong or too wide in trust policies",
		Long: `Look for what lets in more than it should, what can never let anyone in, and what IAM will
refuse to write back: in one trust policy, or in those of every role in a snapshot. The
checks are in docs/trust.md.

Exit code 0: nothing found. 2: findings, or a role could not be read. 1: no answer.`,
		Example: `  lanyard trust lint --policy trust.json
  lanyard trust lint --live live.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := from.check(); err != nil {
				return err
			}
			var o trust.LintOptions
			if err := o.Width.UnmarshalText([]byte(width)); err != nil {
				return fmt.Errorf("--width: %w", err)
			}
			found, unread, err := lint(world, &from, o, identity.Issuer(issuer))
			if err != nil {
				return err
			}
			for _, where := range unread {
				talk.say("%s could not be read, so it is not judged", where)
			}
			if err := printLint(world, found, output); err != nil {
				return err
			}
			return differs(len(found)+len(unread) > 0)
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&width, "width", "pinned", "the Pod Identity trust asked for: pinned, cluster, account or bare")
	cmd.Flags().StringVar(&issuer, "issuer", "", "with --policy: the cluster's issuer, a `URL`, to tell foreign ones")
	format(cmd, &output, "table", "json")
	return cmd
}

// lint judges a file, or every role of a snapshot; unread are roles without an answer.
func lint(world World, from *policySource, o trust.LintOptions, issuer identity.Issuer) (found []linted, unread []string, err error) {
	add := func(where string, doc *trust.Document) {
		for _, l := range doc.Lint(o) {
			found = append(found, linted{where, l})
		}
	}
	if from.policy != "" {
		doc, err := from.document(world)
		o.Cluster.Issuer = issuer
		if err == nil {
			add(from.policy, doc)
		}
		return found, nil, err
	}
	snapshot, err := readSnapshot(from.live)
	if err != nil {
		return nil, nil, err
	}
	o.Cluster = snapshot.Cluster()
	for _, role := range snapshot.Facts().Roles {
		o.Providers = providers(snapshot, role.ARN)
		switch doc, presence, err := snapshot.Trust(role.ARN); {
		case presence == live.Absent:
		case err != nil || presence != live.Present:
			unread = append(unread, role.ARN.String())
		default:
			add(role.ARN.String(), doc)
		}
	}
	return found, unread, nil
}

// providers lists the OIDC providers of a role's account; nil if they were not read.
func providers(snapshot *live.Snapshot, role identity.RoleARN) []string {
	if _, presence := snapshot.Provider(identity.Issuer("https://none.invalid").ProviderARN(role.Partition, role.Account)); presence == live.Unknown {
		return nil
	}
	out := []string{}
	for _, p := range snapshot.Facts().Providers {
		if p.Account == role.Account {
			out = append(out, p.ARN)
		}
	}
	return out
}

func printLint(world World, found []linted, output string) error {
	if output == "json" {
		if found == nil {
			found = []linted{}
		}
		return printJSON(world, found)
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(world.Stdout, "nothing to improve")
		return err
	}
	w := tabwriter.NewWriter(world.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEVERITY\tCHECK\tWHERE\tMESSAGE\tINSTEAD")
	for _, l := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Severity, l.Check, report.Printable(l.Where), report.Printable(l.Message), report.Printable(l.Instead))
	}
	return w.Flush()
}

func printJSON(world World, v any) error {
	enc := json.NewEncoder(world.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
