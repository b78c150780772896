package faults_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/report"
)

// call is a kind of call that lanyard makes.
type call struct {
	service, operation string // of AWS
	verb, resource     string // or of Kubernetes
	writes             bool
	first              bool // made at the start only, by an informer
}

func (c call) String() string {
	if c.service != "" {
		return c.service + ":" + c.operation
	}
	return c.verb + " " + c.resource
}

// timing says when a fault strikes.
type timing struct {
	name  string
	late  bool // from the first write on, and not from the start
	while bool // until it is lifted, and not once
}

var timings = []timing{{"once", false, false}, {"once after a write", true, false}, {"for a while", false, true}, {"for a while after a write", true, true}}

// fault is one way of going wrong.
type fault struct {
	call
	timing
	aws    awsd.Kind
	kube   kubed.Failure
	stored bool
	word   string
}

func (f fault) String() string { return f.call.String() + "/" + f.word + "/" + f.timing.name }

// kinds are the ways in which AWS's calls go wrong.
var (
	readKinds  = []awsd.Kind{awsd.Refuse, awsd.Throttle, awsd.Fail, awsd.Cut, awsd.Hang, awsd.Stale}
	writeKinds = []awsd.Kind{awsd.Refuse, awsd.Throttle, awsd.Fail, awsd.DoneButFailed, awsd.Cut, awsd.DoneButCut, awsd.Hang, awsd.DoneButHang, awsd.Lost}
	failures   = []struct {
		word    string
		failure kubed.Failure
	}{{"refuse", kubed.Forbidden}, {"throttle", kubed.Throttled}, {"time out", kubed.TimedOut}, {"fail", kubed.Broken}, {"stale", kubed.Stale}}
)

// faultsOf lists every fault of a call.
func faultsOf(c call) (out []fault) {
	for _, t := range timings {
		if t.late && c.first {
			continue
		}
		if c.service == "" {
			for _, f := range failures {
				if f.failure == kubed.Stale && (c.writes || c.verb == "watch") {
					continue
				}
				out = append(out, fault{call: c, timing: t, kube: f.failure, word: f.word})
				if c.writes {
					out = append(out, fault{call: c, timing: t, kube: f.failure, stored: true, word: "done but " + f.word})
				}
			}
			continue
		}
		kinds := readKinds
		if c.writes {
			kinds = writeKinds
		} else if strings.HasPrefix(c.operation, "List") || c.operation == "GetAccountAuthorizationDetails" {
			kinds = append(slices.Clone(kinds), awsd.TruncatedPage)
		}
		for _, k := range kinds {
			out = append(out, fault{call: c, timing: t, aws: k, word: string(k)})
		}
	}
	return out
}

// seenLate is how late a read may be for law 1 to hold: a third of settle.
const seenLate = 20 * time.Second

// inject puts the fault in force.
func (f fault) inject(w *world) (lift func()) {
	times := 1
	if f.while {
		times = 0
	}
	if f.service != "" {
		return w.AWS.AddFault(awsd.Fault{Service: f.service, Operation: f.operation, Kind: f.aws, Times: times})
	}
	if f.while && !f.late && (f.verb == "list" || f.verb == "watch") {
		times = 2 // an informer tries again by the wall clock, more slowly each time
	}
	return w.Kube.Inject(kubed.Fault{User: "lanyard", Verb: f.verb, Resource: f.resource, Failure: f.kube, Stored: f.stored, Lag: seenLate, Times: times})
}

// clean is a run without a fault, to which all others are held.
type clean struct {
	judge *judge
	calls []call
}

// rest lets lanyard work in a world without faults.
func newClean(t *testing.T) clean {
	t.Helper()
	w, err := newWorld("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.close() }()
	s, err := app.NewSyncer(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Rest(t.Context(), 24*time.Hour, w.judge.round)
	if err != nil || len(r.Gaps)+len(r.Plan.Steps) > 0 {
		t.Fatalf("without a fault: %v, gaps %v, steps %v", err, r.Gaps, r.Plan.Steps)
	}
	w.judge.look(t.Context())
	for _, b := range w.judge.verdict() {
		t.Errorf("without a fault: %s", b)
	}
	return clean{w.judge, callsOf(w)}
}

// callsOf enumerates the kinds of calls in a record.
func callsOf(w *world) []call {
	seen := map[call]int{}
	calls, _ := w.AWS.Calls(0)
	for _, c := range calls {
		seen[call{service: c.Service, operation: c.Operation, writes: c.Mutating}]++
	}
	for _, c := range w.Kube.Calls("lanyard") {
		seen[call{verb: c.Verb, resource: c.Resource, writes: c.Mutating}]++
	}
	for c, n := range maps.Clone(seen) {
		if n == 1 && (c.verb == "list" || c.verb == "watch") {
			delete(seen, c)
			c.first = true
			seen[c] = 1
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b call) int { return strings.Compare(a.String(), b.String()) })
}

// try is one fault in one world.
type try struct {
	*world
	fault  fault
	clean  clean
	lift   func()
	began  time.Time // when the fault came into force, in the world's time
	syncer *app.Syncer
	again  bool // a new process after each rest
	blind  []string
}

// patience is how long in the world's time a fault lasts that lasts a while.
const patience = 4 * time.Minute

// run makes rounds until lanyard rests, and returns the laws that were broken.
func (y *try) run(ctx context.Context) []string {
	y.judge.follows(y.clean.judge)
	start := y.Clock.Now()
	var once sync.Once
	put := func() { once.Do(func() { y.lift = y.fault.inject(y.world) }) }
	if y.fault.late {
		y.judge.first = put
	} else {
		put()
	}
	defer func() {
		if y.syncer != nil {
			_ = y.syncer.Close()
		}
	}()
	lifted, rested := false, false
	for deadline := time.Now().Add(4 * time.Minute); !rested && time.Now().Before(deadline) && ctx.Err() == nil; {
		limit := 24 * time.Hour
		if !lifted {
			limit = patience
		}
		r, err := y.rest(ctx, limit)
		if !lifted && (!y.fault.while || y.Clock.Now().Sub(start) >= patience || y.fault.late && y.lift == nil) {
			y.blindness()
			if y.lift != nil {
				y.lift()
			}
			lifted = true
		} else {
			rested = lifted && err == nil && len(r.Gaps)+len(r.Plan.Steps) == 0 && y.settled(ctx)
		}
		if !rested {
			if err := y.Pass(ctx, time.Minute); err != nil {
				return []string{err.Error()}
			}
			time.Sleep(20 * time.Millisecond) // informers go by the wall clock
		}
	}
	return y.verdict(ctx, rested)
}

// rest makes rounds for a while, with a process of its own if need be.
func (y *try) rest(ctx context.Context, limit time.Duration) (r report.Round, err error) {
	if y.again && y.syncer != nil {
		if err := y.syncer.Close(); err != nil {
			return r, err
		}
		y.syncer = nil
		y.judge.fresh()
	}
	if y.syncer == nil {
		if y.syncer, err = app.NewSyncer(ctx, y.opts); err != nil {
			return r, err
		}
	}
	r, err = y.syncer.Rest(ctx, limit, y.judge.round)
	return r, errors.Join(err, ctx.Err())
}

// settled reports whether the world is as after the clean run.
func (y *try) settled(ctx context.Context) bool {
	now, _ := y.judge.now(ctx)
	return maps.Equal(now, y.clean.judge.last)
}

// blindness judges law 2 for reads that never came: what needs them was not written.
func (y *try) blindness() {
	f := y.fault
	if !f.while || f.late || f.aws == awsd.Stale || f.aws == awsd.TruncatedPage || f.kube == kubed.Stale || f.service == "" && f.verb != "get" {
		return
	}
	for _, w := range y.judge.asked() {
		if slices.Contains(blinds[f.call.String()], w) {
			y.blind = append(y.blind, fmt.Sprintf("law 2: %s was sent while nothing came of %s", w, f.call))
		}
	}
}

var (
	trustWrites       = []string{"iam:UpdateAssumeRolePolicy", "eks:CreatePodIdentityAssociation", "eks:UpdatePodIdentityAssociation", "patch serviceaccounts"}
	associationWrites = []string{"eks:CreatePodIdentityAssociation", "eks:UpdatePodIdentityAssociation", "eks:DeletePodIdentityAssociation"}
)

// blinds are the writes that nothing but a read makes safe.
var blinds = map[string][]string{
	"iam:GetRole":                        trustWrites,
	"eks:ListPodIdentityAssociations":    slices.Concat(trustWrites, associationWrites),
	"eks:DescribePodIdentityAssociation": {"eks:UpdatePodIdentityAssociation", "eks:DeletePodIdentityAssociation"},
	"eks:DescribeCluster":                slices.Concat(trustWrites, associationWrites),
	"get serviceaccounts":                {"patch serviceaccounts"},
}

// verdict judges the end: the laws broken on the way, and law 4.
func (y *try) verdict(ctx context.Context, rested bool) []string {
	y.judge.look(ctx)
	out := append(y.judge.verdict(), y.blind...)
	if !rested {
		r, err := y.rest(ctx, time.Hour)
		return append(out, fmt.Sprintf("law 4: no rest in the clean run's end: %v, gaps %v, steps %v, and the world %s", err, r.Gaps, r.Plan.Steps, y.differs()))
	}
	sent := len(y.judge.asked())
	if _, err := y.rest(ctx, time.Hour); err != nil {
		out = append(out, fmt.Sprintf("law 4: a round at rest: %v", err))
	}
	if more := y.judge.asked()[sent:]; len(more) > 0 {
		out = append(out, fmt.Sprintf("law 4: sent %v at rest", more))
	}
	return append(out, y.judge.verdict()...)
}

// differs says in what the world differs from the clean run's end.
func (y *try) differs() string {
	var out []string
	for key, want := range y.clean.judge.last {
		if y.judge.last[key] != want {
			out = append(out, fmt.Sprintf("%s is %q, not %q", key, y.judge.last[key], want))
		}
	}
	for key, is := range y.judge.last {
		if _, had := y.clean.judge.last[key]; !had {
			out = append(out, fmt.Sprintf("%s is %q, not absent", key, is))
		}
	}
	return strings.Join(out, "; ")
}

// pool tries faults, several at a time: most of the time goes in rate limits.
func pool(t *testing.T, base clean, faults []fault) {
	t.Helper()
	const width = 24
	queue := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	struck := map[call]int{}
	for range width {
		workers.Go(func() {
			for i := range queue {
				start := time.Now()
				hit, laws := tryFault(t.Context(), base, faults[i], i%2 == 1)
				for _, broken := range laws {
					t.Errorf("%s: %s", faults[i], broken)
				}
				if took := time.Since(start); took > time.Minute {
					t.Logf("%s took %s", faults[i], took.Round(time.Second))
				}
				mu.Lock()
				if hit {
					struck[faults[i].call]++
				}
				mu.Unlock()
			}
		})
	}
	for i := range faults {
		queue <- i
	}
	close(queue)
	workers.Wait()
	n := 0
	for _, c := range base.calls {
		if n += struck[c]; struck[c] == 0 {
			t.Errorf("no fault of %s ever struck", c)
		}
	}
	t.Logf("of %d faults %d struck", len(faults), n)
}

func tryFault(ctx context.Context, base clean, f fault, again bool) (struck bool, laws []string) {
	hangs := ""
	if f.aws == awsd.Hang || f.aws == awsd.DoneButHang {
		hangs = f.operation
	}
	w, err := newWorld(hangs)
	if err != nil {
		return false, []string{err.Error()}
	}
	y := &try{world: w, fault: f, clean: base, again: again}
	out := y.run(ctx)
	struck = f.struck(w)
	if err := w.close(); err != nil {
		out = append(out, err.Error())
	}
	return struck, out
}

// struck reports whether a call went wrong. Of a stale answer of Kubernetes there is no
// record; what it was asked for is.
func (f fault) struck(w *world) bool {
	calls, _ := w.AWS.Calls(0)
	for _, c := range calls {
		if c.Fault != "" && c.Service == f.service && c.Operation == f.operation {
			return true
		}
	}
	for _, c := range w.Kube.Calls("lanyard") {
		if c.Verb == f.verb && c.Resource == f.resource && (c.Err != "" || f.kube == kubed.Stale) {
			return true
		}
	}
	return false
}

// sample takes every fault of a write that strikes once, and of each call one or two of
// the others, always the same.
func sample(k int, all []fault) (some []fault) {
	for i, f := range all {
		pick := i == 5*k%len(all) || len(all) > 16 && i == (5*k+11)%len(all)
		if f.writes && !f.while && !f.late || pick {
			some = append(some, f)
		}
	}
	return some
}

// TestFaultMatrix: every call of a repair goes wrong in every way, once and for a while.
// After every write laws 1, 3 and 5 are judged, after every round law 2, and more rounds
// come to the rest of a run without faults (law 4).
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	base := newClean(t)
	var all []fault
	n := 0
	for k, c := range base.calls {
		of := faultsOf(c)
		n += len(of)
		if !nightly {
			of = sample(k, of)
		}
		all = append(all, of...)
	}
	t.Logf("%d of the %d faults of %d kinds of calls", len(all), n, len(base.calls))
	pool(t, base, all)
}
