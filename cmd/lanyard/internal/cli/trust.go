package cli

import (
	"github.com/spf13/cobra"
)

func newTrust(world World, talk *voice) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Judge and edit trust policies as AWS does",
		Long: `Judge and edit the trust policies of roles, for IRSA and EKS Pod Identity, without an
account or a cluster. The rules, and what lanyard does where AWS's documentation is silent,
are in docs/trust.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrustEval(world), newTrustEdit(world))
	return cmd
}
