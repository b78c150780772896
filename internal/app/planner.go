package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/migrate/proof"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// prober asks the API servers what a new pod of a workload would be given.
type prober interface {
	Ask(ctx context.Context, s identity.Subject, w live.WorkloadRef) ([]migrate.Answer, error)
}

// prover finds out whether the wanted mechanism is used.
type prover interface {
	Look(ctx context.Context, asks []proof.Ask) map[identity.Subject]migrate.Use
}

// asking is how long all questions of one round may take together.
const asking = 8 * time.Second

// planner plans moves in mode migrate: package migrate decides, on what the prober and
// the prover found out. What they found lives as long as the process (design.md, law 9).
type planner struct {
	config func() *desired.Configuration // in force
	prober prober
	prover prover
	now    func() time.Time
	life   time.Duration // of Pod Identity's credentials; migrate's default if zero

	mu      sync.Mutex // guards what follows against who reads the outline
	answers map[question]migrate.Answers
	use     map[identity.Subject]migrate.Use
	next    map[identity.Subject]migrate.Next

	snapshot *live.Snapshot // of this round, with its assessor
	assessor *migrate.Assessor
}

// question names whose pods were asked about.
type question struct {
	subject  identity.Subject
	workload live.WorkloadRef
}

// newPlanner builds the planner with what it asks.
func newPlanner(ctx context.Context, r *Reader, o Options) (*planner, error) {
	prove, err := r.Prover(ctx, proof.Limits{})
	if err != nil {
		return nil, err
	}
	c := r.clients
	return &planner{
		config:  func() *desired.Configuration { return r.opts.Config },
		now:     o.Now,
		life:    o.SessionLife,
		answers: map[question]migrate.Answers{},
		use:     map[identity.Subject]migrate.Use{},
		prover:  prove,
		prober:  probe.New(probe.Options{Kube: c.kube, Dynamic: c.custom, Dial: c.dial, Judge: observe.Given, Now: o.Now}),
	}, nil
}

// Resolve turns auto into what it means now.
func (p *planner) Resolve(state desired.State, s *live.Snapshot) desired.State {
	o := Outline(p.config(), Rails(p.config(), Self())).Migrate
	o.Mappings, o.Brief = state.Mappings, true
	p.snapshot, p.assessor = s, migrate.NewAssessor(s, o)
	out := state
	out.Mappings = make([]desired.Mapping, len(state.Mappings))
	for i, m := range state.Mappings {
		out.Mappings[i] = p.assessor.Resolve(m)
	}
	return out
}

// Moves plans what is next for each mapping that is on its way, asks what that depends
// on, and plans again with the answers.
func (p *planner) Moves(ctx context.Context, state desired.State, in plan.Input) map[identity.Subject]plan.Move {
	course := migrate.Course{Diff: in.Policy.Diff, Settle: in.Policy.Settle, SessionLife: p.life,
		Seen:    func(condition string) (time.Time, bool) { at, known := in.Memory.Seen[condition]; return at, known },
		Answers: func(s identity.Subject, w live.WorkloadRef) migrate.Answers { return p.answers[question{s, w}] },
		Use:     func(s identity.Subject) migrate.Use { return p.use[s] },
	}
	if c := p.config(); c != nil {
		course.Pace = c.Migration
	}
	next := p.assessor.Next(in.Result.Judged, state.Mappings, course)
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if asked, proved := p.ask(ctx, next), p.prove(ctx, in, next); asked || proved {
		next = p.assessor.Next(in.Result.Judged, state.Mappings, course)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
	moves := make(map[identity.Subject]plan.Move, len(next))
	for s, n := range next {
		moves[s] = dated(n, s, in)
	}
	return moves
}

// dated tells a move's phase, and since when it has been seen in it.
func dated(n migrate.Next, s identity.Subject, in plan.Input) plan.Move {
	condition := fmt.Sprintf("in phase: %s %s %s", s, n.Standing.Wanted, n.Phase)
	since, known := in.Memory.Seen[condition]
	if !known {
		since = in.Snapshot.Facts().TakenAt
	}
	m := n.Move
	m.Seen = append(slices.Clone(m.Seen), condition)
	m.Phase, m.Since = n.Phase.String(), since
	return m
}

// askers is how many workloads are asked about at a time.
const askers = 8

// ask asks the API servers about the workloads that the next steps depend on. Answers
// about others are forgotten.
func (p *planner) ask(ctx context.Context, next map[identity.Subject]migrate.Next) (asked bool) {
	var open []question
	for s, n := range next {
		for _, w := range n.Asks {
			open = append(open, question{s, w})
		}
	}
	maps.DeleteFunc(p.answers, func(q question, _ migrate.Answers) bool { return !slices.Contains(open, q) })
	if len(open) == 0 {
		return false
	}
	passes := make([][]migrate.Answer, len(open))
	places := make(chan struct{}, askers)
	var all sync.WaitGroup
	for i, q := range open {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			pass, err := p.prober.Ask(ctx, q.subject, q.workload)
			if err != nil {
				pass = append(pass, migrate.Answer{At: p.now(), Result: migrate.AnswerFailed, Message: err.Error()})
			}
			passes[i] = pass
		})
	}
	all.Wait()
	for i, q := range open {
		p.answers[q] = p.answers[q].Add(passes[i])
	}
	return true
}

// prove looks for proof that the wanted side is used, for those that wait for it.
func (p *planner) prove(ctx context.Context, in plan.Input, next map[identity.Subject]migrate.Next) (proved bool) {
	maps.DeleteFunc(p.use, func(s identity.Subject, _ migrate.Use) bool { return !next[s].Proof })
	var asks []proof.Ask
	for i := range in.Result.Judged {
		j := &in.Result.Judged[i]
		n := next[j.Mapping.Subject]
		if !n.Proof {
			continue
		}
		m := j.Mapping
		asks = append(asks, proof.Ask{Subject: m.Subject, Role: m.Role, Wanted: j.Wanted, Since: n.Crossed, Proof: m.Migration.Proof, Query: m.Migration.Query,
			SessionTags: m.PodIdentity.SessionTags, Global: m.IRSA.STSRegionalEndpoints != nil && !*m.IRSA.STSRegionalEndpoints})
	}
	if len(asks) == 0 {
		return false
	}
	maps.Copy(p.use, p.prover.Look(ctx, asks))
	return true
}

// upcoming is what the last round found to lie before each mapping that moves.
func (p *planner) upcoming() map[identity.Subject]migrate.Next {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// Evidence is what the outline of migrations may rest on: where the last round saw each
// workload stand.
func (p *planner) Evidence() migrate.Evidence {
	next := p.upcoming()
	return migrate.Evidence{
		Settled: func(s identity.Subject) bool { n, moves := next[s]; return !moves || n.Standing.Ready },
		Soaking: func(s identity.Subject) time.Time { return next[s].Soaking },
		Proven:  func(s identity.Subject) bool { return next[s].Used },
		Serving: func(s identity.Subject) time.Time { return next[s].Serving },
	}
}
