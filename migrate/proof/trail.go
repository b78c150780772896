package proof

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

const (
	// late is how late CloudTrail shows an event as a rule, and overlap what is read
	// again each time, since events come late and out of order.
	// Source: https://aws.amazon.com/cloudtrail/faqs/ and
	// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
	// (about 5 minutes on average, 15 as a rule, neither guaranteed).
	late    = 15 * time.Minute
	overlap = 30 * time.Minute

	// glance is how far back a question without a crossing goes: an SDK renews what it
	// has of IRSA every hour.
	glance = 6 * time.Hour

	// keptDays is how long the event history goes back.
	keptDays = 90

	// pace is the share of the quota that reading again may use: a lane waits so long for
	// each page that its last turn took.
	pace = 5 * time.Second

	// mostSights bounds what is remembered, far above 5,000 mappings on two sides.
	mostSights = 50_000

	// globalRegion has the events of the global endpoint of STS, wherever it was asked
	// from. Only partition aws has one.
	// Source: https://aws.amazon.com/blogs/security/announcing-upcoming-changes-to-the-aws-security-token-service-global-endpoint/
	globalRegion    = "us-east-1"
	globalPartition = "aws"
)

// trail is what was read of CloudTrail so far, for all subjects of the cluster.
type trail struct {
	o       Options
	buckets map[string]*rate.Limiter // by Region
	lanes   map[laneKey]*lane

	mu    sync.Mutex // guards what follows: Regions are read side by side
	seen  map[identity.Subject]map[sightKey]last
	count int
	full  bool
}

// laneKey names one kind of event in one Region: LookupEvents takes one attribute.
type laneKey struct{ region, event string }

// sightKey tells uses of one subject apart.
type sightKey struct {
	mechanism identity.Mechanism
	role      identity.RoleARN
	provider  string
}

// last is the newest of a kind.
type last struct {
	used, tried time.Time // tried counts refused attempts too
	agent       string
	spoke       time.Time // when that agent did
}

func newTrail(o Options) *trail {
	return &trail{o: o, buckets: map[string]*rate.Limiter{}, lanes: map[laneKey]*lane{}, seen: map[identity.Subject]map[sightKey]last{}}
}

// needed returns the lanes that a question is answered from. Without session tags no
// event of Pod Identity names the subject; the global endpoint is for those who are told
// to use it.
func (t *trail) needed(a Ask) []laneKey {
	home := t.o.Cluster.Region
	keys := []laneKey{{home, byIRSA}}
	if a.SessionTags {
		keys = append(keys, laneKey{home, byPodIdentity})
	}
	if a.Global && t.o.Cluster.Partition == globalPartition && home != globalRegion {
		keys = append(keys, laneKey{globalRegion, byIRSA})
	}
	return keys
}

// since is where an answer begins: never before what CloudTrail or the limits keep.
func (t *trail) since(a Ask, now time.Time) time.Time {
	from := a.Since
	if from.IsZero() {
		from = now.Add(-glance)
	}
	for _, bound := range []time.Time{now.Add(-t.o.Limits.Back), now.AddDate(0, 0, -keptDays)} {
		if from.Before(bound) {
			from = bound
		}
	}
	return from
}

// sweep reads on in all lanes that are asked for, Regions side by side.
func (t *trail) sweep(ctx context.Context, now time.Time, asks []Ask) {
	starts := map[laneKey]time.Time{}
	for _, a := range asks {
		for _, key := range t.needed(a) {
			if from := t.since(a, now); starts[key].IsZero() || from.Before(starts[key]) {
				starts[key] = from
			}
		}
	}
	regions := map[string][]*lane{}
	for _, key := range slices.SortedFunc(maps.Keys(starts), func(a, b laneKey) int {
		return cmp.Or(cmp.Compare(a.region, b.region), cmp.Compare(a.event, b.event))
	}) {
		l := t.lanes[key]
		if l == nil {
			l = &lane{laneKey: key, ids: map[string]time.Time{}}
			t.lanes[key] = l
		}
		if t.buckets[key.region] == nil {
			t.buckets[key.region] = rate.NewLimiter(t.o.Limits.Rate, 2)
		}
		l.plan(now, starts[key])
		regions[key.region] = append(regions[key.region], l)
	}
	var group sync.WaitGroup
	for region, lanes := range regions {
		r := reader{api: t.o.CloudTrail(region), bucket: t.buckets[region], cluster: t.o.Cluster, found: t.found}
		group.Go(func() {
			for _, l := range lanes {
				l.read(ctx, r, now, t.o.Limits)
			}
		})
	}
	group.Wait()
	t.forget(now.Add(-t.o.Limits.Back))
}

// found remembers the newest sight of each kind. What lanyard whoami asks for under a
// workload's ServiceAccount shows nothing of the workload: neither that it uses what it was
// given nor what it is built with. It may still hold, as whatever is tried does.
func (t *trail) found(s sight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := sightKey{s.mechanism, s.role, s.provider}
	before, known := t.seen[s.subject][key]
	if !known {
		if t.count >= mostSights {
			t.full = true
			return
		}
		if t.count++; t.seen[s.subject] == nil {
			t.seen[s.subject] = map[sightKey]last{}
		}
	}
	if !s.refused && !s.probe && s.at.After(before.used) {
		before.used = s.at
	}
	if s.at.After(before.tried) {
		before.tried = s.at
	}
	if !s.probe && s.at.After(before.spoke) {
		before.agent, before.spoke = s.agent, s.at
	}
	t.seen[s.subject][key] = before
}

// forget drops what is older than any question goes back.
func (t *trail) forget(before time.Time) {
	for subject, kinds := range t.seen {
		for key, l := range kinds {
			if l.tried.Before(before) {
				delete(kinds, key)
				t.count--
			}
		}
		if len(kinds) == 0 {
			delete(t.seen, subject)
		}
	}
	t.full = t.full && t.count >= mostSights
}

// use tells what was seen of a subject, and how far the looking went. Of the wanted
// mechanism only a use of the mapping's role counts that was granted after the crossing;
// of the other one every attempt, whatever the role: it holds.
func (t *trail) use(a Ask, now time.Time) migrate.Use {
	var u migrate.Use
	from := t.since(a, now)
	provider := cmp.Or(a.Provider, t.o.Cluster.Issuer.ProviderARN(t.o.Cluster.Partition, a.Role.Account))
	var agentAt time.Time
	for key, l := range t.seen[a.Subject] {
		switch {
		case key.mechanism != a.Wanted:
			// Events have whole seconds: one in the second of the crossing may be after it.
			if !l.tried.Before(a.Since.Truncate(time.Second)) && l.tried.After(u.Old) {
				u.Old = l.tried
			}
		case key.role == a.Role && (key.mechanism == identity.PodIdentity || key.provider == provider):
			if !l.used.Before(a.Since) && l.used.After(u.New) {
				u.New = l.used
			}
		}
		if l.agent != "" && (l.spoke.After(agentAt) || l.spoke.Equal(agentAt) && l.agent < u.Agent) {
			u.Agent, agentAt = l.agent, l.spoke
		}
	}
	var remarks []string
	u.Looked, remarks = t.looked(a, from)
	if !a.SessionTags {
		remarks = append(remarks, "session tags are off (podIdentity.sessionTags: false), so the events of Pod Identity do not name the ServiceAccount")
	}
	if t.full {
		remarks = append(remarks, fmt.Sprintf("CloudTrail shows more than %d ServiceAccounts and roles of this cluster, and only those are remembered", mostSights))
	}
	if u.New.IsZero() {
		remarks = append([]string{t.silence(a, from)}, remarks...)
	}
	u.Why = both(remarks...)
	return u
}

// silence says that nothing was shown, and whether it could have been.
func (t *trail) silence(a Ask, from time.Time) string {
	switch {
	case a.Wanted == identity.PodIdentity && !a.SessionTags:
		return "CloudTrail cannot show a use: " + instead
	case a.Role.Account != t.o.Cluster.Account:
		return fmt.Sprintf("the role is in account %s, whose CloudTrail is not read: %s", a.Role.Account, instead)
	}
	event := map[identity.Mechanism]string{identity.PodIdentity: byPodIdentity + " by " + podIdentityService, identity.IRSA: byIRSA}[a.Wanted]
	return fmt.Sprintf("CloudTrail has shown no %s for this ServiceAccount and %s since %s; it shows events about %d minutes late",
		event, a.Role, from.UTC().Format(time.RFC3339), late/time.Minute)
}

// looked says until when all lanes of a question were read to their ends, and what is
// amiss with them. What CloudTrail is still to show does not count as looked at.
func (t *trail) looked(a Ask, from time.Time) (until time.Time, remarks []string) {
	whole := true
	for i, key := range t.needed(a) {
		l := t.lanes[key]
		if l == nil {
			return time.Time{}, nil
		}
		at := l.covered(from)
		if whole = whole && !at.IsZero(); i == 0 || at.Before(until) {
			until = at
		}
		switch {
		case l.err != "":
			remarks = append(remarks, l.err)
		case at.IsZero():
			remarks = append(remarks, fmt.Sprintf("the events %s of %s are still being read, %d calls so far", l.event, l.region, l.calls))
		}
		if l.unreadable > 0 {
			remarks = append(remarks, fmt.Sprintf("%d events %s of %s could not be read", l.unreadable, l.event, l.region))
		}
	}
	if !whole {
		return time.Time{}, remarks
	}
	return until.Add(-late), remarks
}
