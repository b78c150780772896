package status

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/sync/live"
)

// mostStandings bounds what is kept of workloads that cannot leave IRSA, and mostReasons
// what is shown of one.
const (
	mostStandings = 5000
	mostReasons   = 8
)

// Standing is a workload on IRSA that cannot leave it, and every reason why.
type Standing struct {
	Namespace, ServiceAccount string
	Verdict                   string // keep-irsa, blocked, unclear
	Wanted                    string // as Git has it; empty where Git does not name it
	Reasons                   []Reason
}

// Reason is one reason, and the way out.
type Reason struct{ Code, Message, Fix string }

// Standings shows which workloads cannot leave IRSA, and how many associations the
// cluster may have. The list must not be changed afterwards.
func (b *Board) Standings(list []Standing, associations int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.standings, b.room = list[:min(len(list), mostStandings)], associations
}

// quota is how much there is of something, and how much there may be.
type quota struct {
	What, Scope, Unit string
	Used, Limit       int
	Percent           int
	Level             string
	Note              string
}

// Quotas of IAM. How many OIDC providers an account may have can be raised to 700, and no
// API that lanyard asks says to what it was.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	providersByDefault = 100
	fullestRoles       = 5
)

// quotas are what may run out, as far as the last good round saw it.
func quotas(r record) []quota {
	var out []quota
	add := func(q quota) {
		if q.Limit <= 0 {
			return
		}
		q.Percent = min(100, q.Used*100/q.Limit)
		switch {
		case q.Percent >= 95:
			q.Level = "bad"
		case q.Percent >= 80:
			q.Level = "warn"
		default:
			q.Level = "good"
		}
		q.Scope = cell(q.Scope)
		out = append(out, q)
	}
	if r.snapshot == nil {
		return out
	}
	facts := r.snapshot.Facts()
	if r.snapshot.Whole(live.SourceListAssociations) {
		add(quota{What: "Pod Identity associations", Scope: "cluster " + r.snapshot.Cluster().Name, Used: len(facts.Associations), Limit: r.room})
	}
	for _, a := range facts.Accounts {
		q := quota{What: "OIDC providers", Scope: "account " + a.ID, Limit: providersByDefault, Note: "the quota by default, which may have been raised"}
		switch all, listed := r.snapshot.Providers(a.ID); {
		case listed == live.Present:
			q.Used = len(all)
			add(q)
		case r.snapshot.Whole(live.SourceAccountSummary):
			q.What, q.Used = "OIDC and SAML providers", a.IdentityProviders
			add(q)
		}
	}
	var roles []quota
	for _, role := range facts.Roles {
		limit, known := r.snapshot.TrustQuota(role.ARN.Account)
		if doc, presence, err := r.snapshot.Trust(role.ARN); known == live.Present && presence == live.Present && err == nil {
			roles = append(roles, quota{What: "trust policy", Scope: role.ARN.String(), Used: doc.Size(), Limit: limit, Unit: "characters"})
		}
	}
	slices.SortFunc(roles, func(a, b quota) int {
		return cmp.Or(cmp.Compare(b.Used*a.Limit, a.Used*b.Limit), cmp.Compare(a.Scope, b.Scope))
	})
	for i, q := range roles[:min(len(roles), fullestRoles)] {
		if i == 0 && len(roles) > fullestRoles {
			q.Note = fmt.Sprintf("the fullest of %d", len(roles))
		}
		add(q)
	}
	return out
}
