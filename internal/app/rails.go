package app

import (
	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// Rails returns what the operator's configuration lets a comparison and a plan do.
// Without a configuration nothing is forbidden, because nothing is written. Self is
// lanyard's own ServiceAccount ([Self]), which is never touched.
func Rails(c *desired.Configuration, self []identity.Subject) plan.Policy {
	p := plan.DefaultPolicy()
	p.Diff.Forbid = forbid(c, append([]identity.Subject{agent}, self...))
	if c == nil {
		return p
	}
	p.Prune = c.Prune
	p.RemovalsPerHour = c.Budgets.RemovalsPerHour
	p.ChangesPerRound = c.Budgets.ChangesPerRound
	p.Settle = c.Migration.Settle
	p.Accept = c.Source.Accept
	p.Diff.OrganizationID = c.OrganizationID
	return p
}

func forbid(c *desired.Configuration, self []identity.Subject) func(desired.Mapping) (string, bool) {
	return func(m desired.Mapping) (string, bool) {
		if c == nil || !c.Features.Self {
			for _, s := range self {
				if m.Subject == s {
					return "self: lanyard's own ServiceAccount and the Pod Identity agent's are never touched without features.self", true
				}
			}
		}
		if c == nil {
			return "", false
		}
		rule, at, ok := c.Permit(m)
		if ok {
			return "", false
		}
		return rule.Refusal(at, m), true
	}
}

// RailsOf returns the guard rails that were in force when a snapshot was taken, so
// that a report made from a file obeys the same ones.
func RailsOf(g live.GuardRails) plan.Policy {
	if g.Mode == "" {
		return Rails(nil, nil)
	}
	c := &desired.Configuration{Mode: desired.Mode(g.Mode), Prune: desired.Prune(g.Prune), OrganizationID: g.OrganizationID}
	defaults := plan.DefaultPolicy()
	c.Budgets = desired.Budgets{RemovalsPerHour: defaults.RemovalsPerHour, ChangesPerRound: defaults.ChangesPerRound}
	c.Migration.Settle = defaults.Settle
	c.At.File = "the snapshot's guard rails"
	c.AllowAt = c.At
	for _, a := range g.Allow {
		c.Allow = append(c.Allow, desired.Allow{Namespaces: a.Namespaces, Roles: a.Roles, At: c.At})
	}
	for _, n := range g.Protect {
		c.Protect = append(c.Protect, desired.Protect{Namespace: n, At: c.At})
	}
	return Rails(c, nil)
}

// railsFacts writes the configuration's guard rails into a snapshot.
func railsFacts(c *desired.Configuration) live.GuardRails {
	if c == nil {
		return live.GuardRails{}
	}
	g := live.GuardRails{Mode: string(c.Mode), Prune: string(c.Prune), OrganizationID: c.OrganizationID}
	for _, a := range c.Allow {
		g.Allow = append(g.Allow, live.AllowRule{Namespaces: a.Namespaces, Roles: a.Roles})
	}
	for _, p := range c.Protect {
		g.Protect = append(g.Protect, p.Namespace)
	}
	return g
}
