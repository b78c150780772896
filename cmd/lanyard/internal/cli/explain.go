package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/explain"
)

func newExplain(world World, talk *voice) *cobra.Command {
	var (
		w      where
		output string
		said   string
	)
	cmd := &cobra.Command{
		Use:   "explain [namespace/serviceaccount | namespace/pod]",
		Short: "Find the broken link between a ServiceAccount and its role",
		Long: `Walk the chain by which a ServiceAccount's pods get their role: the line in Git, the
ServiceAccount, its wiring, EKS's webhook, what running pods were given, the OIDC provider
or the Pod Identity agent, the role, the clause of its trust policy. Each link is good,
broken or unknown, with what shows it; the answer ends with the first broken link, what
mends it, and who owns that place. Nothing is changed.

Git need not be named: then what stands is explained.

Exit code 0: every link is good. 2: a link is broken or unknown. 1: no answer.`,
		Example: `  # Why does this pod get AccessDenied?
  lanyard explain demo/s3-reader --cluster irsa-lab

  # Of one pod, by its name.
  lanyard explain demo/s3-reader-6d4b75cb6d-a2kz0 --cluster irsa-lab

  # What does this error mean, and does it hold still?
  lanyard explain --error "InvalidIdentityToken: Incorrect token audience"
  lanyard explain demo/s3-reader --cluster irsa-lab --error "$(kubectl logs deploy/s3-reader)"

  # From a snapshot, and held against Git.
  lanyard explain demo2/s3-reader --path fleet --live live.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var message *explain.Message
			if said != "" {
				m, known := explain.Understand(said)
				if !known {
					return errors.New("that error is not known to come from the way to a role: name the ServiceAccount without it, as namespace/name")
				}
				message = &m
			}
			switch {
			case len(args) == 0 && message == nil:
				return errors.New("nothing to explain: name a ServiceAccount as namespace/name, or an error with --error")
			case len(args) == 0:
				_, err := fmt.Fprint(world.Stdout, message.Text())
				return err
			}
			namespace, name, is := strings.Cut(args[0], "/")
			if !is || namespace == "" || name == "" {
				return fmt.Errorf("%q names no ServiceAccount: write namespace/name", args[0])
			}
			var s standing
			o, err := w.options(world, talk)
			if err != nil {
				return err
			}
			if w.repo != "" || len(w.paths) > 0 || o.Config != nil && o.Config.Source.URL != "" {
				s, err = stand(cmd.Context(), &w, world, talk)
			} else {
				s.snapshot, s.policy, err = facts(cmd.Context(), &w, world, talk)
				s.state = desired.State{}
			}
			if err != nil {
				return err
			}
			subject, pod := explain.Subject(s.state, s.snapshot, namespace, name)
			c, err := explain.Walk(s.state, s.snapshot, subject, explain.Options{Policy: s.policy, Message: message, Pod: pod})
			if err != nil {
				return err
			}
			if output == "json" {
				b, err := c.JSON()
				if err != nil {
					return err
				}
				if _, err := world.Stdout.Write(b); err != nil {
					return err
				}
			} else if err := c.Text(world.Stdout, talk.paint()); err != nil {
				return err
			}
			return differs(c.First != "")
		},
	}
	w.wanted(cmd)
	w.source(cmd)
	w.world(cmd)
	w.rules(cmd)
	cmd.Flags().StringVar(&said, "error", "", "an error that a pod met, as its log has it")
	format(cmd, &output, "text", "json")
	return cmd
}
