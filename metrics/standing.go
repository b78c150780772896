package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// standing is what a round found and left, as the metrics that a scrape gets until
// the next round. Making them here keeps a scrape cheap.
func (m *Metrics) standing(r report.Round) []prometheus.Metric {
	s := &sheet{limit: m.opts.MappingLimit}
	m.totals(s, r)
	m.subjects(s, r)
	m.drift(s, r)
	m.pods(s, r)
	m.moves(s, r)
	return s.metrics
}

// sheet gathers metrics.
type sheet struct {
	limit   int
	metrics []prometheus.Metric
}

func (s *sheet) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...))
}

// tally counts words of a closed list, in its order.
type tally[K comparable] struct {
	order []K
	count map[K]int
}

func (t *tally[K]) add(key K, n int) {
	if t.count == nil {
		t.count = map[K]int{}
	}
	if _, met := t.count[key]; !met {
		t.order = append(t.order, key)
	}
	t.count[key] += n
}

// totals are the metrics of which every label has a closed list. Each member of the
// list is there, also as 0, so that a rule never meets a missing series.
func (m *Metrics) totals(s *sheet, r report.Round) {
	var findings tally[[3]string]
	var mappings tally[[2]string]
	var holds, gaps, planned tally[string]
	for _, p := range planes {
		for _, kind := range p.kinds {
			for _, severity := range severities {
				findings.add([3]string{kind, p.plane, severity}, 0)
			}
		}
	}
	for _, f := range r.Result.Findings {
		plane, kind := planeOf(string(f.Kind))
		findings.add([3]string{kind, plane, known(severities, string(f.Severity))}, 1)
	}
	for _, mechanism := range mechanisms {
		for _, class := range classes {
			mappings.add([2]string{mechanism, class}, 0)
		}
	}
	for _, j := range r.Result.Judged {
		mappings.add([2]string{known(mechanisms, cmp.Or(j.Wanted.String(), "unresolved")), j.Class.String()}, 1)
	}
	for _, reason := range plan.Reasons() {
		holds.add(string(reason), 0)
	}
	for _, h := range r.Plan.Holds {
		holds.add(string(known(plan.Reasons(), h.Reason)), 1)
	}
	for _, source := range sources {
		gaps.add(string(source), 0)
	}
	for _, g := range r.Gaps {
		gaps.add(string(known(sources, g.Source)), 1)
	}
	for _, effect := range effects {
		planned.add(effect.String(), 0)
	}
	for _, step := range r.Plan.Steps {
		planned.add(step.Effect.String(), 1)
	}
	for _, key := range findings.order {
		s.gauge(m.is.findings, float64(findings.count[key]), key[:]...)
	}
	for _, key := range mappings.order {
		s.gauge(m.is.mappings, float64(mappings.count[key]), key[:]...)
	}
	for desc, t := range map[*prometheus.Desc]tally[string]{m.is.holds: holds, m.is.gaps: gaps, m.is.planned: planned} {
		for _, key := range t.order {
			s.gauge(desc, float64(t.count[key]), key)
		}
	}
	s.gauge(m.is.unmanaged, float64(len(r.Result.Unmanaged)))
	s.gauge(m.is.motion, float64(len(r.Moving)))
}

// row is one series of a metric with a series per mapping, and its place in the order
// in which they are kept: the worst first, then by name.
type row struct {
	rank   int
	labels [5]string // namespace, ServiceAccount, and those of the metric
	value  float64
}

// subjects are the metrics with a series per mapping, each cut at the limit. Which
// ones are kept follows from the record alone, so that a scrape of an unchanged world
// shows the same ones.
func (m *Metrics) subjects(s *sheet, r report.Round) {
	mappings := make([]row, 0, len(r.Result.Judged))
	findings := make([]row, 0, len(r.Result.Findings))
	worst := make(map[identity.Subject]int, len(r.Result.Findings))
	for _, f := range r.Result.Findings {
		severity := known(severities, string(f.Severity))
		rank := slices.Index(severities, severity)
		if now, met := worst[f.Subject]; !met || rank < now {
			worst[f.Subject] = rank
		}
		plane, kind := planeOf(string(f.Kind))
		findings = append(findings, named(f.Subject, rank, 1, kind, plane, severity))
	}
	for _, j := range r.Result.Judged {
		rank, found := worst[j.Mapping.Subject]
		value := 0.0
		if j.Class.String() == "rest" {
			value = 1
		}
		if !found {
			rank = len(severities) + int(value) // what is unknown before what is well
		}
		mappings = append(mappings, named(j.Mapping.Subject, rank, value))
	}
	var conflicts []row
	for _, h := range r.Plan.Holds {
		if h.Reason == plan.WriteConflict {
			conflicts = append(conflicts, named(h.Subject, 0, 1))
		}
	}
	s.gauge(m.is.mappingsCut, float64(s.rows(m.is.inSync, 2, mappings)))
	s.gauge(m.is.findingsCut, float64(s.rows(m.is.finding, 5, findings)))
	listed := len(s.metrics)
	cut := s.rows(m.is.conflict, 2, conflicts)
	s.gauge(m.is.conflicts, float64(len(s.metrics)-listed+cut))
	s.gauge(m.is.conflictsCut, float64(cut))
}

// moves are the metrics of what is on its way from one mechanism to the other.
func (m *Metrics) moves(s *sheet, r report.Round) {
	var phase, since []row
	oldest := map[string]time.Time{}
	for _, move := range r.Moves {
		word := known(phases, move.Phase)
		if first, met := oldest[word]; !met || move.Since.Before(first) {
			oldest[word] = move.Since
		}
		rank := slices.Index(phases, word)
		phase = append(phase, named(move.Subject, rank, 1, word))
		since = append(since, named(move.Subject, rank, seconds(move.Since)))
	}
	for _, word := range phases {
		s.gauge(m.is.oldest, seconds(oldest[word]), word)
	}
	s.gauge(m.is.movesCut, float64(s.rows(m.is.phase, 3, phase)))
	s.rows(m.is.phaseSince, 2, since)
}

// drift is since when there has been drift, and how often it began of late.
func (m *Metrics) drift(s *sheet, r report.Round) {
	first := map[[2]string]time.Time{} // by plane and severity
	var rows, flaps []row
	for _, f := range r.Result.Findings {
		plane, _ := planeOf(string(f.Kind))
		severity, since := known(severities, string(f.Severity)), f.FirstSeen
		if since.IsZero() {
			since = m.moment(r.Ended)
		}
		if at, met := first[[2]string{plane, severity}]; !met || since.Before(at) {
			first[[2]string{plane, severity}] = since
		}
		rows = append(rows, named(f.Subject, slices.Index(severities, severity), seconds(since), plane, severity))
	}
	for _, plane := range planeNames() {
		for _, severity := range severities {
			s.gauge(m.is.driftOldest, seconds(first[[2]string{plane, severity}]), plane, severity)
		}
	}
	// Of several findings of one spot the oldest is kept: rows come by value.
	s.gauge(m.is.driftCut, float64(s.rows(m.is.drift, 4, rows)))
	for spot, times := range m.past.began {
		if len(times) > 1 {
			flaps = append(flaps, named(spot.subject, -len(times), float64(len(times)), spot.plane))
		}
	}
	s.gauge(m.is.flapsCut, float64(s.rows(m.is.flaps, 3, flaps)))
}

// pods are those that have not what they should have, in all and by workload.
func (m *Metrics) pods(s *sheet, r report.Round) {
	exposed := map[identity.Subject][]string{}
	for _, e := range r.Exposed() {
		exposed[e.Subject] = e.Pods
	}
	var total tally[string]
	var workloads tally[[5]string]
	for i := range r.Result.Judged {
		j := &r.Result.Judged[i]
		for _, p := range j.Pods {
			if len(j.Unknown) > 0 {
				break
			}
			for trouble, is := range map[string]bool{
				"exposed": slices.Contains(exposed[j.Mapping.Subject], p.Name), "uninjected": j.Uninjected(p), "node-role": bare(p),
			} {
				if !is {
					continue
				}
				total.add(trouble, 1)
				subject, owner := named(j.Mapping.Subject, 0, 0), p.Owner
				if owner.Name == "" {
					owner.Kind = "Pod" // their names are many, and gone soon
				}
				workloads.add([5]string{subject.labels[0], subject.labels[1], strings.ToValidUTF8(owner.Kind, "?"), strings.ToValidUTF8(owner.Name, "?"), trouble}, 1)
			}
		}
	}
	var rows []row
	for _, key := range workloads.order {
		rows = append(rows, row{rank: slices.Index(troubles, key[4]), labels: key, value: float64(workloads.count[key])})
	}
	s.gauge(m.is.exposed, float64(total.count["exposed"]))
	s.gauge(m.is.uninjected, float64(total.count["uninjected"]))
	s.gauge(m.is.nodeRole, float64(total.count["node-role"]))
	s.gauge(m.is.troubledCut, float64(s.rows(m.is.troubled, 5, rows)))
}

// bare reports whether a container of the pod was given no credentials at all: its SDK
// goes on to the instance metadata service, and finds the node's role where that is in
// reach.
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func bare(p live.Pod) bool {
	return slices.ContainsFunc(p.Containers, func(c live.Container) bool { return !c.Skipped && c.Credential == live.CredentialNone })
}

// named returns a row. A name that is no text would make the whole scrape fail.
func named(subject identity.Subject, rank int, value float64, more ...string) row {
	r := row{rank: rank, value: value}
	r.labels[0], r.labels[1] = strings.ToValidUTF8(subject.Namespace, "?"), strings.ToValidUTF8(subject.ServiceAccount, "?")
	copy(r.labels[2:], more)
	return r
}

// rows shows rows up to the limit, and returns how many it left out. Two of the same
// labels are one: a series cannot stand twice in a scrape.
func (s *sheet) rows(desc *prometheus.Desc, labels int, rows []row) (cut int) {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), slices.Compare(a.labels[:], b.labels[:]), cmp.Compare(a.value, b.value))
	})
	met := make(map[[5]string]bool, len(rows))
	for _, r := range rows {
		switch {
		case met[r.labels]:
			continue
		case len(met) >= s.limit:
			cut++
		default:
			s.gauge(desc, r.value, r.labels[:labels]...)
		}
		met[r.labels] = true
	}
	return cut
}
