package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

type scenario struct {
	about string
	open  func(context.Context, World, *voice) (*stage, error)
	play  func(context.Context, *stage) error
	json  bool // it can answer in JSON
}

// scenarios are what the sandbox can play, by name.
func scenarios() map[string]scenario {
	return map[string]scenario{
		"demo":      {"drift on all four planes is found and repaired; then nothing more is written", openStage, demo, false},
		"fleet":     {"the example fleet as it is: what differs, and nothing is changed", openStage, showFleet, false},
		"migration": {"a mixed fleet moves from IRSA to Pod Identity and back while every pod is probed", openMigration, playMigration, true},
	}
}

func newSandbox(world World, talk *voice) *cobra.Command {
	var (
		name, output string
		keep         bool
	)
	names := slices.Sorted(maps.Keys(scenarios()))
	var about strings.Builder
	for _, n := range names {
		fmt.Fprintf(&about, "\n  %-9s  %s", n, scenarios()[n].about)
	}
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run lanyard in a world of its own: no account, no cluster",
		Long: `Run lanyard in a world of its own on this machine: an AWS that speaks the real wire
protocols on loopback, a Kubernetes with EKS's webhook and pod life, a Git repository, and
a clock that jumps over every wait. Nothing outside is read or changed.

Scenarios:` + about.String() + `

Exit code 0: the scenario came out as it must. 1: it did not.`,
		Example: `  lanyard sandbox --scenario demo

  # The same, and its page and metrics stay until Ctrl-C.
  lanyard sandbox --scenario demo --keep

  # Move some fifty workloads to Pod Identity and back, and watch it on the page.
  lanyard sandbox --scenario migration

  # The same in numbers, for a program, and without the page.
  lanyard sandbox --scenario migration -o json

  # Leave AWS running, and look at it with the AWS CLI.
  lanyard sandbox --scenario fleet --keep`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			one, known := scenarios()[name]
			if !known {
				return fmt.Errorf("no scenario %q: there are %s", name, strings.Join(names, ", "))
			}
			if output != "table" && (output != "json" || !one.json) {
				return fmt.Errorf("no output %q of scenario %s: write -o table, or -o json with --scenario migration", output, name)
			}
			s, err := one.open(cmd.Context(), world, talk)
			if err != nil {
				return err
			}
			s.output = output
			defer s.close()
			if err := one.play(cmd.Context(), s); err != nil {
				return err
			}
			if !keep {
				s.linger(cmd.Context(), world.Stdin)
				return nil
			}
			id, secret := awsd.AccessKey(s.world.Account)
			fmt.Fprintf(world.Stdout, "\nAWS goes on until you press Ctrl-C. In another terminal:\n\n  export AWS_ENDPOINT_URL=%[1]s AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s AWS_ACCESS_KEY_ID=%[3]s AWS_SECRET_ACCESS_KEY=%[4]s\n  aws eks list-pod-identity-associations --cluster-name %[5]s\n",
				s.world.URL, s.world.Region, id, secret, s.world.Name)
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "scenario", "demo", "what to play: "+strings.Join(names, ", "))
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json of scenario migration")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave AWS running afterwards, and the page of scenarios demo and migration, until interrupted")
	_ = cmd.RegisterFlagCompletionFunc("scenario", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// stage is a sandbox world with the example fleet in a repository beside it.
type stage struct {
	out    World
	talk   *voice
	world  *sandbox.World
	config *desired.Configuration
	repo   *gitd.Repo
	commit string
	dir    string
	output string
	fleet  *fleet.Fleet // of scenario migration: its world is the stage's
	show   *app.Show    // the page and the metrics; nil where they are not served
}

func openStage(_ context.Context, out World, talk *voice) (*stage, error) {
	facts, err := live.DecodeFacts(examples.Live)
	if err != nil {
		return nil, err
	}
	data, err := facts.EncodeJSON()
	if err != nil {
		return nil, err
	}
	config, err := desired.ParseConfiguration("examples/lanyard.yaml", examples.Configuration)
	if err != nil {
		return nil, err
	}
	talk.progress("making a world")
	s := &stage{out: out, talk: talk, config: config}
	if s.world, err = sandbox.Load(data, sandbox.Options{Start: time.Now()}); err != nil {
		return nil, err
	}
	if err := s.furnish(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// furnish puts the repository on disk, and the role by which lanyard reads the other
// account.
func (s *stage) furnish() error {
	for _, a := range s.config.Accounts {
		if err := s.world.AWS.PutRole(awsd.Role{ARN: a.Role.String(), Trust: fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}]}`,
			s.world.Account, a.ExternalID)}); err != nil {
			return err
		}
	}
	if err := s.repository(); err != nil {
		return err
	}
	var err error
	by := gitd.By(s.world.Clock.Now())
	by.Message = "Declare the fleet."
	s.commit, err = s.repo.Import("main", examples.Fleet(), by)
	return err
}

// repository makes an empty one on disk.
func (s *stage) repository() (err error) {
	if s.dir, err = os.MkdirTemp("", "lanyard-sandbox-"); err != nil {
		return err
	}
	s.repo, err = gitd.Init(filepath.Join(s.dir, "fleet.git"))
	return err
}

func (s *stage) close() {
	world := s.world.Close
	if s.fleet != nil {
		world = s.fleet.Close
	}
	err := errors.Join(world(), os.RemoveAll(s.dir))
	if s.show != nil {
		err = errors.Join(s.show.Close(), err)
	}
	if err != nil {
		s.talk.say("clean up: %v", err)
	}
}

// serve serves the page and the metrics of the rounds to come, and says where. Whoever
// is to read the page needs a token, here too.
func (s *stage) serve(ctx context.Context) error {
	token, file := rand.Text(), filepath.Join(s.dir, "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	o := app.ShowOptions{Options: s.options(), Listen: "127.0.0.1:0", APITokenFile: file, Version: version(), Commit: revision()}
	var err error
	if s.show, err = app.NewShow(ctx, o); err != nil {
		return err
	}
	s.line("   page        http://sandbox:%s@%s/ (while this runs)", token, s.show.Addr())
	s.line("   metrics     http://%s/metrics", s.show.Addr())
	return nil
}

// linger gives a person at a terminal time to look at the page. A script has none there,
// and goes on at once.
func (s *stage) linger(ctx context.Context, in io.Reader) {
	if s.show == nil || s.talk.screen == nil || !isTerminal(in) {
		return
	}
	fmt.Fprint(s.out.Stdout, "\nThe page and the metrics above are served until you press Enter.\n")
	pressed := make(chan struct{})
	go func() {
		defer close(pressed)
		_, _ = bufio.NewReader(in).ReadString('\n') // an end of the input, too
	}()
	select {
	case <-ctx.Done():
	case <-pressed:
	}
}

// options are lanyard's, with the sandbox in place of the world outside.
func (s *stage) options() app.Options {
	id, secret := awsd.AccessKey(s.world.Account)
	return app.Options{
		Config:   s.config,
		Desired:  app.Desired{URL: s.repo.Dir, Ref: "main"},
		Kube:     s.world.Client("lanyard"),
		Issuer:   func(context.Context) (string, error) { return s.world.Kube.Issuer(), nil },
		AWS:      app.StaticAWS(s.world.Region, s.world.URL, id, secret),
		Now:      s.world.Clock.Now,
		Sleep:    s.world.Pass,
		Spacing:  func() time.Duration { return 0 },
		Progress: s.talk.progress,
	}
}

func (s *stage) title(format string, args ...any) {
	p := s.talk.paint()
	text := fmt.Sprintf(format, args...)
	if p != nil {
		text = p(report.StyleStrong, text)
	}
	fmt.Fprintf(s.out.Stdout, "\n%s\n", text)
}

func (s *stage) line(format string, args ...any) { fmt.Fprintf(s.out.Stdout, format+"\n", args...) }

// mutations counts the AWS calls since a point in the record that may have changed
// something, and the Kubernetes calls of lanyard's that did.
func (s *stage) mutations(since int) (n, next int) {
	calls, next := s.world.AWS.Calls(since)
	for _, c := range calls {
		if c.Mutating {
			n++
		}
	}
	return n, next
}

// kubeWrites counts lanyard's Kubernetes calls that were not reads.
func (s *stage) kubeWrites() int {
	n := 0
	for _, c := range s.world.Kube.Calls("lanyard") {
		if c.Mutating {
			n++
		}
	}
	return n
}
