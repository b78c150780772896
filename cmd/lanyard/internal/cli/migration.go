package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/fleet"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/sync/report"
)

// operator is what the operator of the scenario's cluster lets be done: more at a time
// than by default, or the scenario would take weeks of its own time.
const operator = `apiVersion: lanyard.io/v1alpha1
kind: Configuration
cluster: irsa-lab
mode: migrate
allow:
  - namespaces: ["*"]
    roles: ["arn:aws:iam::123456789012:role/*", "arn:aws:iam::` + fleet.OtherAccount + `:role/*"]
accounts:
  - {id: "` + fleet.OtherAccount + `", roleARN: ` + fleet.ReaderRole + `, externalID: ` + fleet.ExternalID + `}
budgets: {removalsPerHour: 60, changesPerRound: 20}
migration: {maxConcurrent: 24, perNamespace: 12}
`

// interval lies between two whole rounds, and patience is how long a way may take, in the
// world's time.
const (
	interval = 5 * time.Minute
	patience = 4 * 24 * time.Hour
)

func openMigration(ctx context.Context, out World, talk *voice) (*stage, error) {
	talk.progress("making a world")
	return stageOf(ctx, out, talk, fleet.Options{Start: time.Now()})
}

// stageOf is a stage with a fleet on it, and an empty repository.
func stageOf(ctx context.Context, out World, talk *voice, o fleet.Options) (*stage, error) {
	config, err := desired.ParseConfiguration("lanyard.yaml", []byte(operator))
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &stage{out: out, talk: talk, config: config, world: f.World, fleet: f}
	if err := errors.Join(s.repository(), f.Kube.SeedManifests(rights.Place{Namespace: fleet.Lanyard, ServiceAccount: fleet.Lanyard}.Admission())); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// migration is the scenario under way.
type migration struct {
	*stage
	calls atomic.Int64 // to AWS, by lanyard
	again int          // steps that failed, and were taken again
	ways  []way
	began time.Time // of the wall clock

	// killed is for tests: it reports whether the process ends after a round, and another
	// begins. Nil: never.
	killed func(*migration, report.Round) bool
}

// way is one of the two ways that the fleet goes, and where it came to rest.
type way struct {
	to     fleet.Side
	took   time.Duration // of the world's time
	rests  map[fleet.Rest]int
	judged fleet.Judgement // up to its end
	calls  int64           // up to its end
	again  int             // up to its end
}

// playMigration moves the fleet to Pod Identity and back.
func playMigration(ctx context.Context, s *stage) error {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a world in memory makes much that is soon forgotten
	m := &migration{stage: s, began: time.Now()}
	if s.output != "json" {
		s.title("A fleet of %d workloads on IRSA, and the page of a lanyard that moves it", len(s.fleet.Workloads))
		if err := s.serve(ctx); err != nil {
			return err
		}
	}
	return errors.Join(m.play(ctx), m.show())
}

func (m *migration) play(ctx context.Context) error {
	if err := m.declare(ctx, fleet.PodIdentity); err != nil {
		return err
	}
	if err := m.move(ctx, fleet.PodIdentity); err != nil {
		return err
	}
	if err := m.declare(ctx, fleet.IRSA); err != nil {
		return err
	}
	return m.move(ctx, fleet.IRSA)
}

// lanyard's options: while it sleeps, the fleet lives and is probed.
func (m *migration) lanyard() app.Options {
	o := m.options()
	o.Sleep, o.Progress = m.fleet.Pass, nil
	o.Called = func(string, string, string, time.Duration) { m.calls.Add(1) }
	o.Limits = app.Unlimited() // the world's time is not theirs
	return o
}

// declare commits what Git wants from now on.
func (m *migration) declare(ctx context.Context, to fleet.Side) (err error) {
	by := gitd.By(m.world.Clock.Now())
	by.Message = "Move everything to " + string(to) + " that can be."
	if m.commit, err = m.repo.Commit(gitd.Change{Branch: "main", Write: m.fleet.Files(to), By: by}); err != nil {
		return err
	}
	return m.fleet.Wants(ctx, to)
}

// move runs lanyard until the fleet rests where Git wants it.
func (m *migration) move(ctx context.Context, to fleet.Side) error {
	w := way{to: to, rests: map[fleet.Rest]int{}}
	start := m.world.Clock.Now()
	err := errKilled
	for errors.Is(err, errKilled) {
		err = m.process(ctx, &w, start)
	}
	if errors.Is(err, errRest) {
		err = m.fleet.ProbeAll(ctx)
	}
	w.took, w.judged, w.calls, w.again = m.world.Clock.Now().Sub(start), m.fleet.Judge(), m.calls.Load(), m.again
	m.ways = append(m.ways, w)
	return err
}

// Why a process ends.
var (
	errRest   = errors.New("at rest")
	errBroken = errors.New("something broke")
	errKilled = errors.New("killed")
)

// process is one process of lanyard's. It ends once everything was seen twice in a row to
// rest.
func (m *migration) process(ctx context.Context, w *way, start time.Time) error {
	syncer, err := app.NewSyncer(ctx, m.lanyard())
	if err != nil {
		return err
	}
	defer syncer.Close()
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	var strays []string
	rested := 0
	seen := func(r report.Round) {
		if m.stage.show != nil {
			m.stage.show.Saw(syncer, r)
		}
		if err := m.halted(r); err != nil || len(m.fleet.Judge().Broken) > 0 {
			end(errors.Join(errBroken, err))
			return
		}
		passed := m.world.Clock.Now().Sub(start)
		if !r.Partial {
			var err error
			if strays, w.rests, err = m.fleet.Strays(ctx); err != nil {
				end(err)
			}
			if rested++; len(strays) > 0 || !r.AtRest() {
				rested = 0
			}
		}
		m.progress(w, passed)
		switch {
		case rested == 2:
			end(errRest)
		case passed > patience:
			end(fmt.Errorf("not at rest after %s:\n%s\n%s", patience, strings.Join(strays, "\n"), holds(r)))
		case m.killed != nil && m.killed(m, r):
			end(errKilled)
		}
	}
	return syncer.Run(running, interval, seen, func(err error) { end(errors.Join(errBroken, err)) })
}

// progress says how far the fleet is on a way.
func (m *migration) progress(w *way, passed time.Duration) {
	n := 0
	for _, k := range w.rests {
		n += k
	}
	j := m.fleet.Judge()
	m.talk.progress(fmt.Sprintf("to %s: %d of %d workloads at rest after %s of the world's time, %d requests for credentials, %d restarts",
		w.to, n, len(m.fleet.Workloads), passed.Round(time.Second), j.Requests, j.Restarts()))
}

// halted returns what no round of the scenario may show. That a step fails and is taken
// again is no harm: AWS shows late what was written.
func (m *migration) halted(r report.Round) error {
	for _, o := range r.Outcomes {
		switch {
		case o.Remedy == remedy.Halt:
			return fmt.Errorf("%s: %s: %w", o.Step.Subject, o.Step.Action, o.Err)
		case o.Result == report.Failed:
			m.again++
		}
	}
	return nil
}

// holds lists what a round waits for.
func holds(r report.Round) string {
	var b strings.Builder
	for _, h := range r.Plan.Holds {
		fmt.Fprintf(&b, "%s %s: %s\n", h.Subject, h.Reason, report.Printable(h.Message))
	}
	return b.String()
}

// answer is what the scenario came to, both ways added up. A workload counts once in
// each way: as settled, kept on IRSA, rolled back or held.
type answer struct {
	Workloads   int   `json:"workloads"`
	Settled     int   `json:"settled"`
	KeptOnIRSA  int   `json:"keptOnIRSA"`
	RolledBack  int   `json:"rolledBack"`
	Holds       int   `json:"holds"`
	Requests    int   `json:"credentialRequests"`
	Failed      int   `json:"failedCredentialRequests"`
	Exposed     int   `json:"exposedCredentialRequests"`
	Restarts    int   `json:"restarts"`
	AWSCalls    int64 `json:"awsCalls"`
	atRest      bool
	wantsBroken int
}

func (m *migration) answer() answer {
	a := answer{Workloads: len(m.fleet.Workloads), AWSCalls: m.calls.Load()}
	for _, w := range m.ways {
		a.Settled += w.rests[fleet.Settled]
		a.KeptOnIRSA += w.rests[fleet.Kept]
		a.RolledBack += w.rests[fleet.RolledBack]
		a.Holds += w.rests[fleet.Held]
	}
	for _, w := range m.fleet.Workloads {
		if w.Broken {
			a.wantsBroken++
		}
	}
	j := m.fleet.Judge()
	a.Requests, a.Failed, a.Exposed, a.Restarts = j.Requests, j.Failed, j.Exposed, j.Restarts()
	a.atRest = a.Settled+a.KeptOnIRSA+a.RolledBack+a.Holds == 2*a.Workloads
	return a
}

// show answers, and returns what is wrong with the answer.
func (m *migration) show() error {
	m.talk.close()
	a := m.answer()
	var errs []error
	if broken := m.fleet.Judge().Broken; a.Failed > 0 || len(broken) > 0 {
		errs = append(errs, fmt.Errorf("%d requests for credentials failed that must not have; what went wrong follows", a.Failed))
		for _, one := range broken[:min(len(broken), 20)] {
			errs = append(errs, errors.New(one))
		}
	}
	if a.RolledBack != a.wantsBroken {
		errs = append(errs, fmt.Errorf("%d workloads were rolled back, and %d cannot use Pod Identity", a.RolledBack, a.wantsBroken))
	}
	if !a.atRest {
		errs = append(errs, errors.New("not every workload came to rest where Git wants it"))
	}
	if m.output == "json" {
		text, err := json.Marshal(a)
		fmt.Fprintf(m.out.Stdout, "%s\n", text)
		return errors.Join(append(errs, err)...)
	}
	m.table(a)
	return errors.Join(errs...)
}

// table shows both ways side by side.
func (m *migration) table(a answer) {
	m.title("%d workloads, from IRSA to Pod Identity and back", a.Workloads)
	tw := tabwriter.NewWriter(m.out.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(what string, of func(w, before way) any, all any) {
		fmt.Fprintf(tw, "%-32s\t", what)
		before := way{}
		for _, w := range m.ways {
			fmt.Fprintf(tw, "%v\t", of(w, before))
			before = w
		}
		fmt.Fprintf(tw, "%v\t\n", all)
	}
	row("", func(w, _ way) any { return "to " + string(w.to) }, "both")
	rest := func(r fleet.Rest) func(w, _ way) any { return func(w, _ way) any { return w.rests[r] } }
	row("settled", rest(fleet.Settled), a.Settled)
	row("kept on IRSA", rest(fleet.Kept), a.KeptOnIRSA)
	row("rolled back", rest(fleet.RolledBack), a.RolledBack)
	row("held, with both sides wired", rest(fleet.Held), a.Holds)
	since := func(of func(fleet.Judgement) int) func(w, before way) any {
		return func(w, before way) any { return of(w.judged) - of(before.judged) }
	}
	row("requests for credentials", since(func(j fleet.Judgement) int { return j.Requests }), a.Requests)
	row("  that failed", since(func(j fleet.Judgement) int { return j.Failed }), a.Failed)
	row("  that failed, exposed", since(func(j fleet.Judgement) int { return j.Exposed }), a.Exposed)
	row("pods admitted by others", since(func(j fleet.Judgement) int { return j.Admitted }), m.fleet.Judge().Admitted)
	row("restarts", since(fleet.Judgement.Restarts), a.Restarts)
	row("calls to AWS", func(w, before way) any { return w.calls - before.calls }, a.AWSCalls)
	row("steps taken again", func(w, before way) any { return w.again - before.again }, m.again)
	var took time.Duration
	for _, w := range m.ways {
		took += w.took
	}
	row("time of the world", func(w, _ way) any { return w.took.Round(time.Minute) }, took.Round(time.Minute))
	tw.Flush()
	m.line("\nLongest exposure by the delete of an association: %s. On this machine it took %s.", m.fleet.Judge().Longest.Round(time.Second), time.Since(m.began).Round(time.Second))
}
