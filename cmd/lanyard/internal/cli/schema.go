package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
)

func newSchema(world World) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [fleet|configuration]",
		Short: "Print the JSON Schema of lanyard's files",
		Long: `Print the JSON Schema (draft 2020-12) of the documents that lanyard reads: those of a
fleet repository (IdentityMapping, IdentityDefaults, AuditWaiver), or the operator's
configuration.`,
		Example: `  lanyard schema > lanyard.schema.json
  lanyard schema configuration`,
		ValidArgs: []string{"fleet", "configuration"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			schema := desired.Schema()
			if len(args) == 1 && args[0] == "configuration" {
				schema = desired.ConfigurationSchema()
			}
			_, err := fmt.Fprintf(world.Stdout, "%s", schema)
			return err
		},
	}
}
