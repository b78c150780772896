package metrics

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/report"
)

// defaultLimit is how many series a metric with a series per mapping may have.
const defaultLimit = 2000

// Options are what metrics are made with.
type Options struct {
	// MappingLimit bounds the series of each metric that has one per mapping or
	// finding; 2000 if zero, none at all if negative.
	MappingLimit               int
	Version, Commit, GoVersion string
	Now                        func() time.Time // for what comes without a moment; time.Now if nil
}

// Metrics are lanyard's metrics. They are safe for use by several goroutines.
type Metrics struct {
	opts    Options
	is      *described
	counted *counted

	mu     sync.Mutex            // held by whoever makes the next state, and guards past
	past   past                  // of the rounds of this term
	judged string                // the head whose signature was counted last
	then   atomic.Pointer[state] // what a scrape sees; never changed once it stands here
}

// state is everything that is shown, at one moment. Maps in it are copied before they
// are changed.
type state struct {
	goodRound, failedRound, goodFetch time.Time
	good, partial, failed, revisions  uint64
	terms                             uint64
	revision                          string
	acceptedAt, heldSince             time.Time
	signed                            bool
	failures                          map[[2]string]uint64 // by stage and remedy
	steps                             map[[3]string]uint64 // by effect, action and result
	looks, verifications              map[string]uint64    // by result
	onsets                            map[string]uint64    // by plane
	budgets                           map[string]Budget    // by service
	duration                          distribution
	standing                          []prometheus.Metric // of the last good round
	mode, held                        string
	leader                            leading
	removalsLeft, removalsLimit       int
	reloaded                          bool
	reloadedAt                        time.Time
	migrations                        Migrations
	quotas                            []prometheus.Metric
	seen                              map[string]int // by kind of object
}

// leading says whether this replica leads. One that was never told makes rounds for
// itself, as without an election.
type leading uint8

const (
	alone leading = iota
	leads
	follows
)

// New makes the metrics and registers them. Like [prometheus.Registerer.MustRegister]
// it panics if they are registered already: that is a mistake in the program.
func New(reg prometheus.Registerer, opts Options) *Metrics {
	if opts.MappingLimit == 0 {
		opts.MappingLimit = defaultLimit
	}
	opts.MappingLimit = max(0, opts.MappingLimit)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	is := describe()
	m := &Metrics{opts: opts, is: is, counted: newCounted(reg, is)}
	first := &state{failures: map[[2]string]uint64{}, steps: map[[3]string]uint64{}, duration: newDistribution(),
		looks: zeros(looks), verifications: zeros(signatures), onsets: zeros(planeNames())}
	for _, stage := range stages {
		for _, r := range remedies {
			first.failures[[2]string{stage, r}] = 0
		}
	}
	for _, effect := range effects {
		for _, action := range actions() {
			for _, result := range results {
				first.steps[[3]string{effect.String(), action, string(result)}] = 0
			}
		}
	}
	first.standing, first.quotas = m.standing(report.Round{}), m.quotas(Quotas{})
	m.then.Store(first)
	reg.MustRegister(m)
	return m
}

func zeros(words []string) map[string]uint64 {
	out := make(map[string]uint64, len(words))
	for _, word := range words {
		out[word] = 0
	}
	return out
}

// more returns the counts with one more of a word.
func more(counts map[string]uint64, word string) map[string]uint64 {
	out := maps.Clone(counts)
	out[word]++
	return out
}

// change publishes the next state, all of it at once.
func (m *Metrics) change(f func(s *state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := *m.then.Load()
	f(&next)
	m.then.Store(&next)
}

// Round counts a good round: one that has a record, whatever it says. It replaces all
// that is shown of the round before it; what vanished from the record vanishes here.
func (m *Metrics) Round(r report.Round) {
	m.round(r, func(s *state) {
		s.good++
		s.goodRound = m.moment(r.Ended)
		s.duration = s.duration.observe(r.Ended.Sub(r.Started))
	})
}

// Again counts a round that looked at some subjects only, between two whole ones. It
// shows what that found, but it is no sign that lanyard looks: that would hide whole
// rounds that no longer come.
func (m *Metrics) Again(r report.Round) {
	m.round(r, func(s *state) { s.partial++ })
}

func (m *Metrics) round(r report.Round, count func(s *state)) {
	m.change(func(s *state) {
		count(s)
		s.mode = string(r.Mode)
		s.steps = maps.Clone(s.steps)
		for _, o := range r.Outcomes {
			s.steps[[3]string{o.Step.Effect.String(), action(o), string(known(results, o.Result))}]++
		}
		if s.leader == follows {
			return
		}
		s.onsets = maps.Clone(s.onsets)
		for plane, n := range m.past.saw(r, m.moment(r.Ended)) {
			s.onsets[plane] += n
		}
		s.standing = m.standing(r)
	})
}

func action(o report.Outcome) string {
	if o.Step.Action == nil {
		return Other
	}
	return o.Step.Action.Kind()
}

// RoundFailed counts a round of which there is nothing to report, by the stage that
// failed (cluster, git, observe, round) and by what its error asks for. What was found
// last stays shown.
func (m *Metrics) RoundFailed(stage string, class remedy.Class, at time.Time) {
	m.change(func(s *state) {
		s.failed++
		s.failedRound = m.moment(at)
		s.failures = maps.Clone(s.failures)
		s.failures[[2]string{known(stages, stage), class.String()}]++
	})
}

// Fetched notes that Git was read well, and at which revision.
func (m *Metrics) Fetched(at time.Time, revision string) {
	m.change(func(s *state) {
		s.goodFetch = m.moment(at)
		if revision != s.revision {
			s.revision, s.acceptedAt = revision, m.moment(at)
			s.revisions++
		}
	})
}

// Looked counts a look at the head of Git and what came of it: the empty text for one
// that is followed, else why it is held.
func (m *Metrics) Looked(reason string, took time.Duration) {
	word := "followed"
	if reason != "" {
		word = known(looks, reason)
	}
	m.counted.gitTook.WithLabelValues().Observe(max(0, took.Seconds()))
	m.change(func(s *state) { s.looks = more(s.looks, word) })
}

// SignaturesRequired notes whether a head must be signed to be followed.
func (m *Metrics) SignaturesRequired(are bool) {
	m.change(func(s *state) { s.signed = are })
}

// Verified counts what the signature of a head was: the empty text for one that counts,
// else its fault. The same head counts once, however often it is looked at.
func (m *Metrics) Verified(head, fault string) {
	word := "good"
	if fault != "" {
		word = known(signatures, fault)
	}
	m.change(func(s *state) {
		if head+" "+word == m.judged {
			return
		}
		m.judged, s.verifications = head+" "+word, more(s.verifications, word)
	})
}

// Held notes why the head of Git is held back (unreachable, invalid, unsigned,
// rewound, empty); the empty text when it is not.
func (m *Metrics) Held(reason string, at time.Time) {
	m.change(func(s *state) {
		if reason == "" {
			s.held, s.heldSince = "", time.Time{}
			return
		}
		if s.held == "" {
			s.heldSince = m.moment(at)
		}
		s.held = known(heads, reason)
	})
}

// Leader notes whether this replica leads. One that follows shows no findings: those
// it saw while it led are no longer looked after, and would stand beside the new
// leader's.
func (m *Metrics) Leader(is bool) {
	m.change(func(s *state) {
		if is {
			if s.leader != leads {
				s.terms++
			}
			s.leader = leads
			return
		}
		s.leader, m.past = follows, past{}
		s.standing, s.quotas, s.seen = m.standing(report.Round{}), m.quotas(Quotas{}), nil
		s.held, s.heldSince = "", time.Time{} // the new leader's to say
	})
}

// Mode notes how far lanyard may go, before the first round says so.
func (m *Metrics) Mode(mode string) { m.change(func(s *state) { s.mode = mode }) }

// Removals notes how many removals the budget of this hour leaves, of how many.
func (m *Metrics) Removals(left, limit int) {
	m.change(func(s *state) { s.removalsLeft, s.removalsLimit = max(0, left), limit })
}

// Migrations counts workloads by words of package migrate's closed lists. All words of a
// list are there, also with 0.
type Migrations struct{ Verdicts, Reasons, Phases map[string]int }

// Migrations notes who could move, and where those that Git names stand. It keeps the
// maps, which must not be changed.
func (m *Metrics) Migrations(v Migrations) { m.change(func(s *state) { s.migrations = v }) }

// Seen notes how many objects of each kind a round saw.
func (m *Metrics) Seen(kinds map[string]int) { m.change(func(s *state) { s.seen = kinds }) }

// Budget is how much of a rate limit of lanyard's own was left at the lowest moment, and
// how much it allows at once.
type Budget struct{ Left, Limit float64 }

// Budgets notes the rate limits by service, as the SDK or the endpoint names it.
func (m *Metrics) Budgets(by map[string]Budget) {
	out := map[string]Budget{}
	for service, b := range by {
		service = serviceLabel(service)
		if now, met := out[service]; !met || b.Left < now.Left {
			out[service] = Budget{math.Floor(max(0, b.Left)), b.Limit}
		}
	}
	m.change(func(s *state) { s.budgets = out })
}

// moment returns when something was; now, where nobody says.
func (m *Metrics) moment(at time.Time) time.Time {
	if at.IsZero() {
		return m.opts.Now()
	}
	return at
}

// Reloaded notes that the configuration was read, or refused.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	m.change(func(s *state) {
		if s.reloaded = ok; ok {
			s.reloadedAt = m.moment(at)
		}
	})
}
