package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

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
or the Pod Identity agent, the role, the clause of its trust policy, the roles that may
come next. Each link is good, broken or unknown, with what shows it; the answer ends with
the first broken link, what mends it, and who owns that place. Nothing is changed.

Git need not be named: then what stands is explained. So it is where Git asks for what is
not there yet, or cannot be.

Exit code 0: every link is good. 2: a link is broken or unknown. 1: no answer.`,
		Example: `  # Why does this pod get AccessDenied?
  lanyard explain demo/s3-reader --cluster irsa-lab

  # Of one pod, by its name.
  lanyard explain demo/s3-reader-6d4b75cb6d-a2kz0 --cluster irsa-lab

  # What does this error mean, and does it hold still?
  lanyard explain --error "InvalidIdentityToken: Incorrect token audience"
  kubectl -n demo logs deploy/s3-reader | lanyard explain demo/s3-reader --cluster irsa-lab --error -

  # From a snapshot, and held against Git.
  lanyard explain demo2/s3-reader --path fleet --live live.yaml`,
		Args: oneWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			var namespace, name string
			if len(args) == 1 { // before anything is read: a slip of the pen is told at once
				var err error
				if namespace, name, err = workload(args[0]); err != nil {
					return err
				}
			}
			message, err := understood(cmd, world, talk, said, len(args) > 0)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if message == nil {
					return errors.New("nothing to explain: name a ServiceAccount or a pod as namespace/name, or an error with --error")
				}
				return printMessage(world, *message, output)
			}
			s, err := gitOrNot(cmd.Context(), &w, world, talk)
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
	cmd.Flags().StringVar(&said, "error", "", "an error that a pod met, as its log has it; - reads it from standard input")
	format(cmd, &output, "text", "json")
	return cmd
}

// mostSaid bounds what is read of a log on standard input.
const mostSaid = 64 << 20

// understood says what the error of --error means; nil without one, and, where a
// ServiceAccount is named too, for one that is not known: its chain is told all the same.
func understood(cmd *cobra.Command, world World, talk *voice, said string, named bool) (*explain.Message, error) {
	if !cmd.Flags().Changed("error") {
		return nil, nil
	}
	if said == "-" {
		if isTerminal(world.Stdin) {
			talk.say("paste the error, then end it with Ctrl-D")
		}
		text, err := io.ReadAll(io.LimitReader(world.Stdin, mostSaid+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the error from standard input: %w", err)
		case len(text) > mostSaid:
			return nil, fmt.Errorf("standard input has over %d MiB: give the end of it, for example with kubectl logs --tail=1000", mostSaid>>20)
		}
		said = string(text)
	}
	why := "the error is not one that lanyard knows from the way to a role"
	if strings.TrimSpace(said) == "" {
		why = "--error has no text"
	} else if m, known := explain.Understand(said); known {
		return &m, nil
	}
	if !named {
		return nil, fmt.Errorf("%s: name the ServiceAccount or the pod too, as namespace/name, and its chain is walked", why)
	}
	talk.say("%s: the chain is walked without it", why)
	return nil, nil
}

func printMessage(world World, m explain.Message, output string) error {
	if output != "json" {
		_, err := io.WriteString(world.Stdout, m.Text())
		return err
	}
	b, err := m.JSON()
	if err != nil {
		return err
	}
	_, err = world.Stdout.Write(b)
	return err
}

// gitOrNot reads the live world, and Git where it is named.
func gitOrNot(ctx context.Context, w *where, world World, talk *voice) (s standing, err error) {
	o, err := w.options(world, talk)
	if err != nil {
		return s, err
	}
	if w.repo != "" || w.ref != "" || len(w.paths) > 0 || o.Config != nil && o.Config.Source.URL != "" {
		return stand(ctx, w, world, talk)
	}
	return facts(ctx, w, world, talk)
}

// oneWorkload refuses more than one argument.
func oneWorkload(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("one at a time, as namespace/name: see `%s --help`", cmd.CommandPath())
	}
	return nil
}

// workload splits a name as people write it on a command line.
func workload(arg string) (namespace, name string, err error) {
	namespace, name, is := strings.Cut(arg, "/")
	switch {
	case strings.ContainsAny(arg, " \t\n"):
		return "", "", fmt.Errorf("%.60q names no ServiceAccount: write namespace/name; an error goes behind --error of `lanyard explain`", arg)
	case !is || namespace == "" || name == "" || strings.Contains(name, "/"):
		return "", "", fmt.Errorf("%q names no ServiceAccount: write namespace/name", arg)
	}
	return namespace, name, nil
}
