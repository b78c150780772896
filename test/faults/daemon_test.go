package faults_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
)

// ended reports whether the world is as at a clean run's end.
func (r *rig) ended(t *testing.T, base clean) bool {
	now, _ := r.judge.now(t.Context())
	return maps.Equal(now, base.judge.last)
}

// TestFaultDaemon: what only the daemon writes, its Lease and Events, goes wrong once and
// for a while, and so does AWS under it. The laws hold, and it comes to a clean run's end.
func TestFaultDaemon(t *testing.T) {
	t.Parallel()
	base := newClean(t)
	type wrong struct {
		name   string
		inject func(*rig) func()
	}
	var all []wrong
	kube := func(verb, resource string, stored bool, failure kubed.Failure, times int) {
		all = append(all, wrong{fmt.Sprintf("%s %s/%d/stored %t/%d times", verb, resource, failure, stored, times), func(r *rig) func() {
			return r.Kube.Inject(kubed.Fault{User: "lanyard", Verb: verb, Resource: resource, Failure: failure, Stored: stored, Times: times})
		}})
	}
	for _, failure := range []kubed.Failure{kubed.Forbidden, kubed.Throttled, kubed.TimedOut, kubed.Broken} {
		for _, times := range []int{1, 0} {
			for _, stored := range []bool{false, true} {
				if nightly || failure == kubed.Broken && !(stored && times == 0) || failure == kubed.TimedOut && stored {
					kube("update", "leases", stored, failure, times)
				}
				if nightly || failure == kubed.Forbidden && !stored {
					kube("create", "events", stored, failure, times)
				}
			}
			if nightly || failure == kubed.Broken && times == 0 {
				kube("get", "leases", false, failure, times)
				kube("create", "leases", false, failure, times)
			}
		}
	}
	all = append(all, wrong{"every call to AWS throttled", func(r *rig) func() { return r.AWS.AddFault(awsd.Fault{Kind: awsd.Throttle}) }},
		wrong{"every call to AWS cut", func(r *rig) func() { return r.AWS.AddFault(awsd.Fault{Kind: awsd.Cut}) }},
		wrong{"every write to AWS done but cut", func(r *rig) func() {
			return r.AWS.AddFault(awsd.Fault{Kind: awsd.DoneButCut, Match: func(c awsd.Call) bool { return c.Mutating }})
		}})
	slots := make(chan struct{}, 8)
	t.Run("all", func(t *testing.T) {
		for _, f := range all {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				underDaemon(t, base, f.inject)
			})
		}
	})
}

// underDaemon runs a daemon under a fault that is lifted, and another one after it.
func underDaemon(t *testing.T, base clean, inject func(*rig) func()) {
	t.Helper()
	r := rigOf(t, gone) // all that are due: hours of waiting are another test's
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	r.judge.follows(base.judge)
	d, err := r.start()
	if err != nil {
		t.Fatal(err)
	}
	lift := inject(r)
	for start, wall := r.Clock.Now(), time.Now(); r.Clock.Now().Sub(start) < patience && time.Since(wall) < 3*time.Second; {
		if !r.gate.asleep() {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		if err := r.Pass(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		r.gate.wake()
	}
	lift()
	began, seen := r.Clock.Now(), 0
	r.until(t.Context(), func() bool {
		n := r.rounds.count()
		news := n > seen // a look of the judge's costs more than a round
		seen = n
		return news && r.ended(t, base) || r.Clock.Now().Sub(began) > 4*time.Hour
	})
	if !r.ended(t, base) {
		t.Errorf("law 4: not at the clean run's end: %s; the log has %q", (&try{world: r.world, clean: base}).differs(), r.rounds.failed)
	}
	if err := d.stop(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	sent := len(r.judge.asked())
	if d, err = r.start(); err != nil { // another process, which knows what the Lease and the world show
		t.Fatal(err)
	}
	n := r.rounds.count()
	r.until(t.Context(), func() bool { return r.rounds.count() > n+2 })
	if more := r.judge.asked()[sent:]; len(more) > 0 {
		t.Errorf("law 4: the next process sent %v", more)
	}
	if err := d.stop(); err != nil {
		t.Errorf("the next daemon ended with %v", err)
	}
	for _, b := range r.judge.verdict() {
		t.Error(b)
	}
}

// TestFaultRestartKeepsTheBudget: a daemon that is killed after each write spends no more
// removals in an hour than the operator allows: the Lease remembers them (laws 5 and 9).
func TestFaultRestartKeepsTheBudget(t *testing.T) {
	t.Parallel()
	base := newClean(t)
	r := rigOf(t, budget)
	defer func() { _ = r.close() }()
	r.judge.follows(base.judge)
	for range 6 {
		d, err := r.start()
		if err != nil {
			t.Fatal(err)
		}
		n := r.rounds.count()
		if !r.until(t.Context(), func() bool { return r.rounds.count() > n+1 }) {
			t.Error("no round after a restart")
		}
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}
	for _, b := range r.judge.verdict() {
		t.Error(b)
	}
	if now, _ := r.judge.now(t.Context()); now["association gone/gone-00 role"] != "" && now["association gone/gone-01 role"] != "" {
		t.Error("nothing was removed, so the budget was not tried")
	}
}
