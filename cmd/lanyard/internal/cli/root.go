package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lanyard-io/lanyard/internal/app"
)

// Exit codes (design.md section 8).
const (
	exitOK      = 0
	exitFailed  = 1 // could not answer
	exitDiffers = 2 // differences, work or gaps left at the end
)

// World is what a command sees of the process it runs in.
type World struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// System is the real process. What client-go logs of watches that end is told as gaps;
// on standard error, where it goes unless it is stopped, it would stand among the talk.
func System() World {
	app.BridgeKlog(slog.New(slog.DiscardHandler))
	return World{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// exit is an error that carries an exit code. With a nil cause nothing is printed:
// the answer has been given already.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

// differs ends a command with exit code 2 if is holds.
func differs(is bool) error {
	if is {
		return &exit{code: exitDiffers}
	}
	return nil
}

// Main runs the command line and returns the process's exit code.
func Main(ctx context.Context, args []string, world World) int {
	talk := newVoice(world)
	world.Stdout, world.Stderr = talk.after(world.Stdout), talk.after(world.Stderr)
	root := newRoot(world, talk)
	root.SetArgs(args)
	root.SetOut(world.Stdout)
	root.SetErr(world.Stderr)
	var err error
	if orderly(root, args) {
		err = root.ExecuteContext(ctx)
	} else {
		err = within(ctx, grace, root.ExecuteContext)
	}
	talk.close()
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exit](err); ok && e.cause == nil {
		return e.code
	}
	if ctx.Err() != nil {
		talk.say("interrupted")
		return exitFailed
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			talk.say("%s", line)
		}
	}
	if e, ok := errors.AsType[*exit](err); ok {
		return e.code
	}
	return exitFailed
}

// grace is how long an interrupted command may take to end.
const grace = 800 * time.Millisecond

// orderly reports whether a command ends itself, however long it takes: the daemon
// finishes a step and gives its Lease back, the sandbox removes its files.
func orderly(root *cobra.Command, args []string) bool {
	cmd, _, err := root.Find(args)
	return err == nil && (cmd.Name() == "run" || cmd.Name() == "sandbox")
}

// within runs a command that does not outlive its context for long: a credential
// plugin that kubectl's configuration names, say, hears of no context.
func within(ctx context.Context, grace time.Duration, command func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- command(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return ctx.Err()
	}
}

func newRoot(world World, talk *voice) *cobra.Command {
	root := &cobra.Command{
		Use:   "lanyard",
		Short: "Keep AWS EKS workload identities as Git declares them",
		Long: `lanyard keeps AWS EKS workload identities as a Git repository declares them.

It compares what Git wants with four live planes: ServiceAccount annotations, IAM trust
policies, EKS Pod Identity associations, and what running pods were really given. It
says what differs, and repairs what is its to repair.

Every flag has an environment twin: --cluster is LANYARD_CLUSTER (one value of a
repeatable flag). AWS credentials and the kubeconfig are found as the AWS CLI and
kubectl find them.`,
		Example: `  # The main job on this machine, without an account or a cluster.
  lanyard sandbox --scenario demo

  # What differs between a working tree and the cluster?
  lanyard diff --path fleet --cluster irsa-lab

  # Who can move to EKS Pod Identity, and who must stay on IRSA?
  lanyard plan --path fleet --cluster irsa-lab

  # Write the next wave of moves into Git, as a patch.
  lanyard propose --path fleet --cluster irsa-lab

  # Who can assume what, and what of it is not as it should be?
  lanyard audit --cluster irsa-lab

  # Why does a pod get no credentials, or the wrong ones?
  lanyard explain demo/s3-reader --cluster irsa-lab

  # Write a cluster that nobody declared down as desired files.
  lanyard import --cluster irsa-lab --out fleet

  # Are these files well formed?
  lanyard validate --path fleet`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return fromEnvironment(cmd.Flags(), world.Getenv)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	addBare()
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsages | bare"))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(
		newDiff(world, talk),
		newPlan(world, talk),
		newPropose(world, talk),
		newAudit(world, talk),
		newImport(world, talk),
		newExplain(world, talk),
		newDoctor(world, talk),
		newSync(world, talk),
		newRetry(world, talk),
		newWhoami(world),
		newRun(world, talk),
		newStatus(world, talk),
		newSnapshot(world, talk),
		newValidate(world, talk),
		newSchema(world),
		newTrust(world, talk),
		newPolicy(world),
		newSandbox(world, talk),
		newVersion(world),
	)
	return root
}

// bare leaves out of help what pflag says of every switch, [=true|false], and keeps the
// columns.
func bare(usages string) string {
	const said = "[=true|false]"
	return strings.ReplaceAll(usages, said, strings.Repeat(" ", len(said)))
}

// addBare lets templates use bare. They are the process's.
var addBare = sync.OnceFunc(func() { cobra.AddTemplateFunc("bare", bare) })

// fromEnvironment gives each flag that was not set the value of its environment
// twin: --api-token-file is LANYARD_API_TOKEN_FILE. The flags that print and end have
// none; LANYARD_VERSION is what scripts call the version to install.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "LANYARD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if f.Changed || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		err := flags.Set(f.Name, value)
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			err = bad.Unwrap() // the flag was not written, the variable was
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the environment has %s=%.60q: %w: %s, or unset it", name, value, err, instead(f.Value.Type())))
		}
	})
	return errors.Join(errs...)
}

// instead says what to write into a variable, by the type of its flag.
func instead(kind string) string {
	switch kind {
	case "bool":
		return "write true or false"
	case "duration":
		return "write a duration, such as 90s or 2h"
	case "format":
		return "write one of these"
	case "int":
		return "write a number"
	}
	return "write what --help says of the flag"
}
