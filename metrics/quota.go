package metrics

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Quotas are what AWS bounds, and how much of it is used.
type Quotas struct {
	List []Quota
	// Trust are the trust policies of the mappings' roles.
	Trust []TrustPolicy
}

// Quota is one of associations, oidc-providers and trust-policy-characters.
type Quota struct {
	Name, Account string
	Used, Limit   int // no limit if zero: it is not known
}

// TrustPolicy is how long the trust policy of a mapping's role is.
type TrustPolicy struct {
	Subject           identity.Subject
	Characters, Limit int
}

// The bounds of what is shown of quotas.
const (
	mostAccounts = 50
	nearest      = 20 // trust policies
)

// Quotas notes how much of AWS's quotas is used, for the leader to show.
func (m *Metrics) Quotas(q Quotas) {
	m.change(func(s *state) {
		if s.leader != follows {
			s.quotas = m.quotas(q)
		}
	})
}

func (m *Metrics) quotas(q Quotas) []prometheus.Metric {
	s := &sheet{limit: m.opts.MappingLimit}
	var accounts []string
	for _, one := range q.List {
		accounts = append(accounts, one.Account)
	}
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	shown := accounts[:min(len(accounts), mostAccounts)]
	met := map[[2]string]bool{}
	for _, one := range q.List {
		name := known(quotas, one.Name)
		if key := [2]string{one.Account, name}; !slices.Contains(shown, one.Account) || met[key] {
			continue
		} else {
			met[key] = true
		}
		s.gauge(m.is.quotaUsed, float64(one.Used), one.Account, name)
		if one.Limit > 0 {
			s.gauge(m.is.quotaLimit, float64(one.Limit), one.Account, name)
		}
	}
	s.gauge(m.is.quotasCut, float64(len(accounts)-len(shown)))
	// The fullest first, by share of the limit; without floating point, so that equal
	// shares are equal.
	slices.SortFunc(q.Trust, func(a, b TrustPolicy) int {
		return cmp.Or(cmp.Compare(b.Characters*max(a.Limit, 1), a.Characters*max(b.Limit, 1)), a.Subject.Compare(b.Subject))
	})
	var rows []row
	for i, t := range q.Trust {
		rows = append(rows, named(t.Subject, i, float64(t.Characters)))
	}
	s.limit = min(s.limit, nearest)
	s.rows(m.is.trustSize, 2, rows)
	return s.metrics
}
