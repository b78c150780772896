package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

func newRetry(world World, talk *voice) *cobra.Command {
	var (
		w   where
		dry bool
	)
	cmd := &cobra.Command{
		Use:   "retry namespace/serviceaccount...",
		Short: "Let a workload that was rolled back be moved again",
		Long: `Take the mark of a rollback (annotation lanyard.io/rolled-back) off ServiceAccounts.

A workload whose move failed is taken back to the mechanism before, and is not tried again
until its mapping changes; after two failures within 24 hours not even then. When what was
wrong is mended (a new image, a node's agent), take the mark away: the daemon tries again
in its next round, if Git still asks for it. The mark says when the move failed, and why.

It needs the right to get and patch the ServiceAccount. Nothing else is changed.

Exit code 0: every mark is gone, or was shown. 1: one could not be, or there was none.`,
		Example: `  # What does the mark say? (writes nothing)
  lanyard retry demo/s3-reader --dry-run

  # Try these two again.
  lanyard retry demo/s3-reader demo/uploader`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("which ServiceAccounts? write namespace/name; lanyard status lists those that were rolled back")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			subjects, err := subjectsOf(args)
			if err != nil {
				return err
			}
			o := app.Options{Kubeconfig: w.kubeconfig, Context: w.context}
			failed := 0
			err = app.Retry(cmd.Context(), o, subjects, dry, func(s identity.Subject, m migrate.Mark, err error) {
				switch {
				case errors.Is(err, app.ErrNoMark):
					failed++
					talk.say("%s bears no mark of a rollback: lanyard plan %s says what else holds it", s, s)
				case err != nil:
					failed++
					talk.say("%v", err)
				case dry:
					fmt.Fprintf(world.Stdout, "%s was rolled back%s: %s\n", s, when(m), printable(cmp.Or(m.Reason, "no reason was noted")))
				default:
					fmt.Fprintf(world.Stdout, "%s will be tried again; it was rolled back%s: %s\n", s, when(m), printable(cmp.Or(m.Reason, "no reason was noted")))
				}
			})
			if err == nil && failed > 0 {
				err = fmt.Errorf("%d of %d marks were not %s", failed, len(subjects), map[bool]string{true: "found", false: "taken away"}[dry])
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: as kubectl finds it)")
	f.StringVar(&w.context, "context", "", "context of the kubeconfig")
	f.BoolVar(&dry, "dry-run", false, "only say what the marks say")
	return cmd
}

// when says when a workload was rolled back, as far as its mark tells.
func when(m migrate.Mark) string {
	if len(m.At) == 0 {
		return ""
	}
	return " at " + m.At[0].UTC().Format(time.RFC3339)
}

// subjectsOf reads namespace/name words.
func subjectsOf(args []string) ([]identity.Subject, error) {
	var out []identity.Subject
	for _, a := range args {
		namespace, name, ok := strings.Cut(a, "/")
		if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("%q is not a ServiceAccount: write namespace/name", a)
		}
		out = append(out, identity.Subject{Namespace: namespace, ServiceAccount: name})
	}
	return out, nil
}
