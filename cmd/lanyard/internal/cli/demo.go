package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// showFleet shows what differs, and that looking changed nothing.
func showFleet(ctx context.Context, s *stage) error {
	reader, err := app.NewReader(ctx, s.options())
	if err != nil {
		return err
	}
	defer reader.Close()
	git, err := app.OpenGit(s.options().Desired)
	if err != nil {
		return err
	}
	defer git.Close()
	cluster, err := reader.Cluster(ctx)
	if err != nil {
		return err
	}
	state, err := git.Latest(ctx, cluster)
	if err != nil {
		return err
	}
	snapshot, err := reader.Observe(ctx, state)
	if err != nil {
		return err
	}
	policy := app.Rails(s.config, nil)
	result := diff.Compare(state, snapshot, policy.Diff)
	p, _ := plan.Repair(plan.Input{Revision: state.Revision, Result: result, Snapshot: snapshot, Policy: policy})
	if err := report.NewDiff(s.config.Mode, state.Revision, result, p, snapshot.Gaps()).Text(s.out.Stdout, s.talk.paint()); err != nil {
		return err
	}
	if n, _ := s.mutations(0); n+s.kubeWrites() > 0 {
		return fmt.Errorf("looking changed something: %d AWS and %d Kubernetes writes", n, s.kubeWrites())
	}
	return nil
}

// demo is the main job: a commit is read, drift is found on four planes and repaired,
// and the next pass finds nothing to write.
func demo(ctx context.Context, s *stage) error {
	s.title("1  A fleet repository, and a cluster that has drifted from it")
	s.line("   repository  %s, branch main, commit %s", s.repo.Dir, s.commit[:12])
	s.line("   cluster     %s in %s, account %s", s.world.Name, s.world.Region, s.world.Account)
	s.line("   AWS         %s (IAM, STS and EKS over their real wire protocols)", s.world.URL)
	if err := s.serve(ctx); err != nil {
		return err
	}
	before, err := s.world.Credentials(ctx)
	if err != nil {
		return err
	}
	syncer, err := app.NewSyncer(ctx, s.options())
	if err != nil {
		return err
	}
	defer syncer.Close()

	s.title("2  The first pass: lanyard looks, names what differs, and repairs what is its to repair")
	first, err := s.pass(ctx, syncer)
	if err != nil {
		return err
	}
	s.title("3  The owners do what lanyard handed to them: it never restarts anything itself")
	if err := s.restart(ctx, first.last); err != nil {
		return err
	}
	s.title("4  The second pass")
	_, aws := s.mutations(0)
	kube := s.kubeWrites()
	second, err := s.pass(ctx, syncer)
	if err != nil {
		return err
	}
	wroteAWS, _ := s.mutations(aws)
	s.line("   wrote nothing: %d mutating AWS calls, %d Kubernetes writes", wroteAWS, s.kubeWrites()-kube)

	s.title("5  What lanyard left to others, and why")
	s.left(second.last)
	s.title("6  What the pods would get, before and after, asked of the sandbox's AWS")
	after, err := s.world.Credentials(ctx)
	if err != nil {
		return err
	}
	s.compare(before, after)
	if err := s.judge(first, second, wroteAWS+s.kubeWrites()-kube, after); err != nil {
		return fmt.Errorf("the demo did not come out as it must:\n%w", err)
	}
	s.title("Done: found on four planes, repaired, and at rest.")
	return nil
}

// passed is what a pass of rounds came to.
type passed struct {
	found  []diff.Finding // of the first round
	writes int
	last   report.Round
}

// pass makes rounds until lanyard is at rest, and prints each that did something.
func (s *stage) pass(ctx context.Context, syncer *app.Syncer) (passed, error) {
	var p passed
	last, err := syncer.Rest(ctx, time.Hour, func(r report.Round) {
		if p.found == nil {
			p.found = r.Result.Findings
			s.findings(r.Result.Findings)
		}
		p.writes += r.Writes()
		s.show.Saw(syncer, r)
		for _, o := range r.Outcomes {
			s.line("   round %d  %-10s %-6s  %-40s %s", r.Number, o.Result, o.Step.Effect, o.Step.Subject, o.Step.Action)
			if o.Err != nil {
				s.line("            %v", o.Err)
			}
		}
		if len(r.Outcomes) == 0 {
			if at, waits := r.NotBefore(); waits {
				s.line("   round %d  nothing yet: what pods are to rely on must first have been seen to work for %s (the clock jumps)", r.Number, at.Sub(r.Started).Round(time.Second))
			} else {
				s.line("   round %d  nothing to write: at rest", r.Number)
			}
		}
	})
	p.last = last
	return p, err
}

// findings prints one line for each difference.
func (s *stage) findings(all []diff.Finding) {
	tw := tabwriter.NewWriter(s.out.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range all {
		fmt.Fprintf(tw, "   %s\t%s\t%s\t%s\n", f.Severity, f.Plane, f.Subject, f.Kind)
	}
	tw.Flush()
	s.line("")
}

// restart does what the handoffs of a round say about pods.
func (s *stage) restart(ctx context.Context, r report.Round) error {
	for _, h := range r.Plan.Holds {
		if h.Reason != plan.RestartNeeded || h.Handoff == nil || h.Handoff.Command == "" {
			continue
		}
		s.line("   $ %s", h.Handoff.Command)
		kind, name, _ := strings.Cut(h.Handoff.Owner, " ")
		if err := s.world.Life.Restart(ctx, kind, h.Subject.Namespace, name); err != nil {
			return err
		}
	}
	return s.world.Pass(ctx, time.Minute)
}

// left prints the holds of a round.
func (s *stage) left(r report.Round) {
	for _, h := range r.Plan.Holds {
		s.line("   %s  %s", h.Subject, h.Reason)
		for _, line := range report.Wrap(report.Printable(h.Message), 92) {
			s.line("      %s", line)
		}
		if h.Handoff != nil && h.Handoff.JSON != "" {
			s.line("      %s", report.Printable(h.Handoff.JSON))
		}
		if h.Handoff != nil && h.Handoff.Command != "" {
			s.line("      $ %s", report.Printable(h.Handoff.Command))
		}
	}
}

// compare prints what each workload's first container would get.
func (s *stage) compare(before, after []sandbox.Grant) {
	was := map[identity.Subject]sandbox.Grant{}
	for _, g := range before {
		was[subjectOf(g)] = g
	}
	shown := map[identity.Subject]bool{}
	tw := tabwriter.NewWriter(s.out.Stdout, 0, 0, 2, ' ', 0)
	for _, g := range after {
		subject := subjectOf(g)
		if old := was[subject]; !shown[subject] && old.Role != g.Role {
			fmt.Fprintf(tw, "   %s\t%s\t->\t%s\n", subject, cmp.Or(shortRole(old.Role), "nothing"), cmp.Or(shortRole(g.Role), "nothing"))
		}
		shown[subject] = true
	}
	tw.Flush()
}

func subjectOf(g sandbox.Grant) identity.Subject {
	return identity.Subject{Namespace: g.Namespace, ServiceAccount: g.ServiceAccount}
}

func shortRole(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// judge checks that the demo showed what it says it shows.
func (s *stage) judge(first, second passed, wrote int, after []sandbox.Grant) error {
	var errs []error
	for _, plane := range []diff.Plane{diff.PlaneServiceAccount, diff.PlaneTrust, diff.PlaneAssociation, diff.PlanePods} {
		found := false
		for _, f := range first.found {
			found = found || f.Plane == plane
		}
		if !found {
			errs = append(errs, fmt.Errorf("no finding on plane %s", plane))
		}
	}
	if first.writes == 0 {
		errs = append(errs, errors.New("the first pass repaired nothing"))
	}
	if second.writes+wrote > 0 {
		errs = append(errs, fmt.Errorf("the second pass wrote: %d steps, %d calls", second.writes, wrote))
	}
	if len(second.last.Plan.Holds) == 0 {
		errs = append(errs, errors.New("nothing was left to others, but the fleet has what is others'"))
	}
	for _, subject := range []identity.Subject{{Namespace: "demo2", ServiceAccount: "s3-reader"}, {Namespace: "payments", ServiceAccount: "api"},
		{Namespace: "kube-system", ServiceAccount: "aws-load-balancer-controller"}, {Namespace: "late", ServiceAccount: "late-bird"}} {
		for _, f := range second.last.Result.Findings {
			if f.Subject == subject {
				errs = append(errs, fmt.Errorf("still found: %s", f))
			}
		}
	}
	for _, j := range second.last.Result.Judged {
		for _, g := range after {
			if j.Class == diff.Rest && subjectOf(g) == j.Mapping.Subject && g.Role != j.Mapping.Role.String() {
				errs = append(errs, fmt.Errorf("%s is said to be in sync, but pod %s would get %q: %s", j.Mapping.Subject, g.Pod, g.Role, g.Reason))
			}
		}
	}
	return errors.Join(errs...)
}
