package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
)

func newWhoami(world World) *cobra.Command {
	var output, to string
	patience := 10 * time.Second
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Ask AWS who this process is, and say how it came to that",
		Long: `Get AWS credentials as any program here would, by the default chain of the AWS SDK for
Go, and ask STS whose they are. Run in a pod it says which role the pod has and by which
mechanism: static-keys, web-identity (IRSA), profile, container (EKS Pod Identity), or
instance-metadata (the node's role). What else the environment has is named too, in the
order of the chain: the first that is complete wins, and a later one is not asked.

sts:GetCallerIdentity needs no permission. No key and no token is printed.

With --to the answer is also written to a file, as JSON on one line of at most 4096 bytes:
what Kubernetes keeps of a container's termination message. So a pod says who it is in its
own status, and nobody has to read its log.

Exit code 0: there is an identity. 1: there is none; the answer has what was found, the
error why, and the next move.`,
		Example: `  # Who is this?
  lanyard whoami

  # What does a workload get? A pod of lanyard's image under its ServiceAccount says it.
  kubectl -n demo run whoami --rm -i --restart=Never --image=IMAGE \
    --overrides='{"spec":{"serviceAccountName":"s3-reader"}}' -- whoami -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			me, err := who(cmd.Context(), patience)
			if to != "" {
				if written := leave(to, me, err); written != nil {
					return errors.Join(err, written)
				}
			}
			if err != nil {
				return err
			}
			if output == "json" {
				b, err := me.JSON()
				if err != nil {
					return err
				}
				if _, err := world.Stdout.Write(b); err != nil {
					return err
				}
			} else if err := printWhoami(world.Stdout, me); err != nil {
				return err
			}
			if p := me.Problem; p != nil {
				next := p.Next
				if p.See != "" {
					next += "; see " + p.See
				}
				return fmt.Errorf("no AWS identity: %s\n%s", p.Error, next)
			}
			return nil
		},
	}
	cmd.Flags().Var((*lasting)(&patience), "timeout", "how long to wait for an answer")
	cmd.Flags().StringVar(&to, "to", "", "write the answer, as JSON, to this file too, such as /dev/termination-log")
	format(cmd, &output, "text", "json")
	return cmd
}

// leave writes an answer, or why there is none, to a file. The file is written in place:
// that of a termination message is mounted into the container, and nothing else may take
// its name.
func leave(file string, me app.Whoami, none error) error {
	if none != nil {
		me.Found, me.Problem = []app.Found{}, &app.Problem{Error: none.Error(), Next: "give it longer with --timeout, or see whether DNS answers here"}
	}
	b, err := me.Message()
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the answer: %w: name a file that may be written with --to", err)
	}
	return nil
}

// who asks, and does not wait for what hears of no context, such as a slow DNS.
func who(ctx context.Context, patience time.Duration) (app.Whoami, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := make(chan app.Whoami, 1)
	err := within(ctx, grace, func(ctx context.Context) error {
		answer <- app.WhoAmI(ctx)
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return app.Whoami{}, fmt.Errorf("no AWS identity: no answer within %s: give it longer with --timeout, or see whether DNS answers here", (*lasting)(&patience))
	}
	if err != nil {
		return app.Whoami{}, err
	}
	return <-answer, nil
}

func printWhoami(out io.Writer, me app.Whoami) error {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, printable(value))
		}
	}
	row("account", me.Account)
	row("role", me.Role)
	row("session", me.Session)
	row("mechanism", mechanismOf(me))
	if me.Expires != nil {
		row("expires", me.Expires.Format(time.RFC3339))
	}
	row("region", me.Region)
	row("endpoint", me.Endpoint)
	for i, f := range me.Found {
		name := ""
		if i == 0 {
			name = "found"
		}
		row(name, f.Mechanism+": "+strings.Join(f.Variables, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func mechanismOf(me app.Whoami) string {
	switch me.Wiring {
	case identity.IRSA:
		return me.Mechanism + " (IRSA)"
	case identity.PodIdentity:
		return me.Mechanism + " (EKS Pod Identity)"
	}
	return me.Mechanism
}
