package faults_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// fetches is how often Git was asked what its refs are.
func (r *rig) fetches() (n int) {
	for _, q := range r.git.Requests() {
		if strings.Contains(q.Query, "git-upload-pack") {
			n++
		}
	}
	return n
}

// still waits until the daemon sleeps: time stands still meanwhile.
func (r *rig) still(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if r.gate.asleep() {
			return
		}
	}
	t.Fatal("the daemon does not rest")
}

// more lets whole rounds be made.
func (r *rig) more(t *testing.T, rounds int) {
	t.Helper()
	n := r.rounds.tries()
	if !r.until(t.Context(), func() bool { return r.rounds.tries() >= n+rounds }) {
		t.Fatalf("no %d rounds: the log has %q", rounds, r.rounds.failed)
	}
}

// peak watches what this process holds until it is told to end, and returns the most.
func peak() (end func() use) {
	var most use
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			u := using()
			most.goroutines, most.files, most.heap = max(most.goroutines, u.goroutines), max(most.files, u.files), max(most.heap, u.heap)
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() use { close(done); <-over; return most }
}

// TestStorm: hooks, strangers that say nothing, watch events and errors come by the
// thousand. They cost a bounded number of rounds, connections, goroutines and bytes,
// and nothing of them is left.
func TestStorm(t *testing.T) { // alone: it measures the process
	before := using()
	r := rigOf(t, gone)
	d, err := r.start()
	if err != nil {
		t.Fatal(err)
	}
	c := &churner{rig: r}
	r.more(t, 10)
	c.forget()
	calm := using()
	for _, storm := range []struct {
		name string
		blow func(*testing.T)
		most use // more than in calm, at any moment
	}{
		{"hooks", func(t *testing.T) { c.hooks(t, d) }, use{heap: 32 << 20, goroutines: 400, files: 300}},
		{"forged hooks", func(t *testing.T) { c.forged(t, d) }, use{heap: 32 << 20, goroutines: 2*256 + 100, files: 2*256 + 100}},
		{"strangers", func(t *testing.T) { c.idlers(t, d) }, use{heap: 32 << 20, goroutines: 4*256 + 100, files: 1000 + 2*256 + 100}},
		{"events", c.events, use{heap: 64 << 20, goroutines: 200, files: 50}},
		{"errors", c.errors, use{heap: 32 << 20, goroutines: 200, files: 100}},
	} {
		t.Run(storm.name, func(t *testing.T) {
			settles(use{goroutines: calm.goroutines + 10, files: calm.files + 10}) // what the last one left in passing
			end, wall := peak(), time.Now()
			storm.blow(t)
			most := end()
			t.Logf("%s; at most %s, in calm %s", time.Since(wall).Round(time.Millisecond), most, calm)
			if most.heap > calm.heap+storm.most.heap || most.goroutines > calm.goroutines+storm.most.goroutines || most.files > calm.files+storm.most.files {
				t.Errorf("at most %s, more than %s above calm", most, storm.most)
			}
		})
	}
	r.more(t, 3)
	c.forget()
	if after := settles(use{goroutines: calm.goroutines + 4, files: calm.files + 4}); after.goroutines > calm.goroutines+4 || after.files > calm.files+4 || after.heap > calm.heap+4<<20 {
		t.Errorf("after the storms: %s; before: %s\n%s", after, calm, stacks())
	}
	if err := d.stop(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	for _, b := range r.judge.verdict() {
		t.Error(b)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if after := settles(before); after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("left after Close: %s; there were %s\n%s", after, before, stacks())
	}
}

// each calls do n times, 32 at a time.
func each(n int, do func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wait.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}

// hooks: two thousand pushes in no time are one round, and one look at Git.
func (c *churner) hooks(t *testing.T, d *running) {
	c.still(t)
	rounds, fetches := c.rounds.tries(), c.fetches()
	each(2000, func(i int) {
		if code, err := c.knock(t.Context(), d, i); err != nil || code != http.StatusAccepted && code != http.StatusTooManyRequests {
			t.Errorf("hook %d: %d, %v", i, code, err)
		}
	})
	for range 5 { // the least time between two rounds, and then some
		c.still(t)
		if err := c.Pass(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		c.gate.wake()
		time.Sleep(50 * time.Millisecond)
	}
	c.still(t)
	if n := c.rounds.tries() - rounds; n == 0 || n > 3 {
		t.Errorf("2,000 hooks made %d rounds; want one, and at most one that was due", n)
	}
	if n := c.fetches() - fetches; n == 0 || n > 3 {
		t.Errorf("2,000 hooks asked Git %d times", n)
	}
}

// forged: hooks that nobody signed, the largest that are read, wake nobody.
func (c *churner) forged(t *testing.T, d *running) {
	c.still(t)
	rounds, body := c.rounds.tries(), strings.Repeat("x", 1<<20)
	each(300, func(i int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.HookAddr().String()+"/hook/generic", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("X-Lanyard-Timestamp", fmt.Sprint(time.Now().Unix()))
		req.Header.Set("X-Lanyard-Signature-256", fmt.Sprintf("sha256=%064d", i))
		if code, err := ask(req); err == nil && code < 400 {
			t.Errorf("a forged hook is answered %d", code)
		}
	})
	if n := c.rounds.tries() - rounds; n > 0 {
		t.Errorf("forged hooks made %d rounds", n)
	}
}

// idlers: a thousand connections that say nothing keep no scrape out.
func (c *churner) idlers(t *testing.T, d *running) {
	var idle []net.Conn
	defer func() {
		for _, conn := range idle {
			_ = conn.Close()
		}
	}()
	for _, addr := range []net.Addr{d.Addr(), d.HookAddr()} {
		for range 500 {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, conn)
		}
	}
	if err := scrape(t.Context(), d); err != nil {
		t.Error(err)
	}
	c.more(t, 1)
}

// events: five thousand changes of ServiceAccounts make no round of their own for each.
func (c *churner) events(t *testing.T) {
	c.still(t)
	accounts := c.Client("kubectl").CoreV1().ServiceAccounts("default")
	_, cursor := c.AWS.Calls(0)
	for i := range 5000 {
		if _, err := accounts.Patch(t.Context(), "default", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"storm":"%d"}}}`, i), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	rounds := c.rounds.tries()
	c.more(t, 1)
	c.still(t)
	if n := c.rounds.tries() - rounds; n > 2 {
		t.Errorf("5,000 events made %d rounds; want one, and at most one that was due", n)
	}
	if calls, _ := c.AWS.Calls(cursor); len(calls) > 200 {
		t.Errorf("5,000 events made %d calls to AWS", len(calls))
	}
}

// errors: AWS refuses, throttles, fails and cuts every call for rounds on end.
func (c *churner) errors(t *testing.T) {
	for _, kind := range []awsd.Kind{awsd.Throttle, awsd.Fail, awsd.Cut, awsd.Refuse} {
		lift := c.AWS.AddFault(awsd.Fault{Kind: kind})
		c.more(t, 4)
		lift()
	}
}
