package app

import (
	"maps"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/metrics"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/status"
)

// Outline returns what a report of migrations depends on besides Git and the live world:
// what the operator lets be done. Without a configuration that is nothing in particular.
func Outline(c *desired.Configuration, p plan.Policy) outline.Options {
	o := outline.Options{Diff: p.Diff, Migrate: migrate.Options{OrganizationID: p.Diff.OrganizationID, Self: Self()}}
	if c != nil {
		o.Pace, o.Migrate.StartupTaint, o.Migrate.AllowSelf = c.Migration, c.Migration.StartupTaint, c.Features.Self
	}
	return o
}

// outlined tells how migrations stand after a whole round: counts now, the whole of it to
// those who ask.
func (d *Daemon) outlined(state desired.State, snapshot *live.Snapshot, c *desired.Configuration, s *Syncer, probes *checks) {
	o := Outline(c, s.loop.Policy())
	if probes != nil {
		o.IdentityProbe = probes.of
	}
	if s.planner != nil {
		o.Evidence = s.planner.Evidence()
	}
	d.board.Outline(func() ([]byte, error) { return outline.New(state, snapshot, o).JSON() })
	brief := o // the other is asked for later, by another goroutine
	brief.Brief = true
	out := outline.New(state, snapshot, brief)
	d.metrics.Migrations(migrations(out.Summary))
	d.board.Standings(standings(out), out.Summary.Associations.Limit)
}

// standings are the workloads on IRSA that cannot leave it.
func standings(out outline.Outline) []status.Standing {
	var list []status.Standing
	for _, w := range out.Workloads {
		if w.Mechanism != identity.IRSA || w.Verdict == migrate.Eligible {
			continue
		}
		s := status.Standing{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Verdict: w.Verdict.String(), Wanted: w.Declared}
		for _, r := range w.Reasons {
			s.Reasons = append(s.Reasons, status.Reason{Code: string(r.Code), Message: r.Message, Fix: r.Fix})
		}
		for _, g := range w.Gaps {
			s.Reasons = append(s.Reasons, status.Reason{Code: string(g.Reason), Message: "not read: " + g.String()})
		}
		list = append(list, s)
	}
	return list
}

// migrations are the counts by all words of the closed lists.
func migrations(s outline.Summary) metrics.Migrations {
	v := metrics.Migrations{Verdicts: map[string]int{}, Reasons: map[string]int{}, Phases: map[string]int{}}
	for _, verdict := range []migrate.Verdict{migrate.Eligible, migrate.KeepIRSA, migrate.Blocked, migrate.Unclear} {
		v.Verdicts[verdict.String()] = 0
	}
	for _, code := range append(migrate.Keeps(), migrate.Blocks()...) {
		v.Reasons[string(code)] = 0
	}
	v.Reasons[string(migrate.SharedRole)] = 0
	for _, phase := range migrate.Phases() {
		v.Phases[phase.String()] = 0
	}
	maps.Copy(v.Verdicts, s.Verdicts)
	maps.Copy(v.Reasons, s.Reasons)
	maps.Copy(v.Phases, s.Phases)
	return v
}
