//go:build linux

package e2e

import (
	"errors"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// end says what becomes of lanyard at one of its writes.
type end int

const (
	lives     end = iota
	dies          // before the write arrives
	diesAfter     // when it has taken effect, and before that is answered
)

// deaths are those of lanyard's process, by kill -9, at its own writes.
type deaths struct {
	mu    sync.Mutex
	due   map[string][]end // by write, for one time after the other
	child *replica
	died  []string
}

// at says what becomes of lanyard at a write. One that dies before it is killed now; who
// carries the write out kills one that dies after it.
func (d *deaths) at(write string) end {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.due[write]) == 0 {
		return lives
	}
	e := d.due[write][0]
	if d.due[write] = d.due[write][1:]; len(d.due[write]) == 0 {
		delete(d.due, write)
	}
	if e == lives {
		return lives
	}
	d.died = append(d.died, write)
	if e == dies {
		d.child.kill()
	}
	return e
}

func (d *deaths) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.child.kill()
}

func (d *deaths) left() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.due))
}

// written names what a request to the API server would change: "evict web" of the pods of
// Deployment web, "patch deployments web".
func written(r *http.Request) string {
	switch base := path.Base(r.URL.Path); {
	case r.Method == http.MethodPost && base == "eviction":
		app, _, _ := strings.Cut(path.Base(path.Dir(r.URL.Path)), "-")
		return "evict " + app
	case r.Method == http.MethodPatch:
		return "patch " + path.Base(path.Dir(r.URL.Path)) + " " + base
	}
	return ""
}

// deadly lets lanyard's processes from now on die at their writes.
func (m *moving) deadly() *deaths {
	d := &deaths{}
	m.gated().deaths = d
	m.aws.AddFault(awsd.Fault{Kind: awsd.DoneButHang, Match: func(c awsd.Call) bool {
		m.mu.Lock()
		name := m.owned[c.Resource]
		m.mu.Unlock()
		switch c.Operation {
		case "UpdateAssumeRolePolicy":
			name = c.Resource
		case "CreatePodIdentityAssociation":
			name = associated(c)
		case "DeletePodIdentityAssociation":
		default:
			return false
		}
		if d.at(c.Operation+" "+name) == lives {
			return false
		}
		d.kill() // the double goes on, and answers nobody
		return true
	}})
	return d
}

// lead lets the fleet be moved by a lanyard that is started again whenever it has died at a
// write, until it has died at each; the last one lives. They bear one name, so that none
// has to wait until the Lease of the one before has run out.
func (m *moving) lead(d *deaths, mechanism string, due map[string][]end) *replica {
	m.t.Helper()
	d.mu.Lock()
	d.due = due
	if d.child == nil {
		d.child = m.fork("one")
	}
	d.mu.Unlock()
	m.declare(mechanism, "web", "broken")
	for {
		select {
		case <-d.child.gone:
		case <-time.After(3 * patience):
			m.t.Fatalf("lanyard did not get to %q", d.left())
		}
		done := len(d.left()) == 0
		child := m.fork("one")
		d.mu.Lock()
		d.child = child
		d.mu.Unlock()
		if done {
			return child
		}
	}
}

// counted are lanyard's writes by what they were, pods by their workload.
func (m *moving) counted() map[string]int {
	out := map[string]int{}
	for _, c := range m.changes() {
		if pod, is := strings.CutPrefix(c, "evict "); is {
			app, _, _ := strings.Cut(pod, "-")
			c = "evict " + app
		}
		out[c]++
	}
	return out
}

// TestMigrateKilled: lanyard is killed at each of its writes, right after it took effect
// and before that was answered; and at the mark of a rollback before it arrives as well.
// Each time the next one carries on, and does nothing twice; no pod loses its access.
func TestMigrateKilled(t *testing.T) {
	m := newMoving(t)
	m.subject("web")
	m.subject("broken")
	m.deployment("web", "web", 3)
	m.deployment("broken", "broken", 2, fails)
	eventually(t, "the fleet", func() error { return m.runs(identity.IRSA, map[string]int{"web": 3, "broken": 2}) })
	m.probes()
	d := m.deadly()

	began := time.Now()
	last := m.lead(d, "pod-identity", map[string][]end{
		"UpdateAssumeRolePolicy web":          {diesAfter, diesAfter},
		"CreatePodIdentityAssociation web":    {diesAfter},
		"evict web":                           {diesAfter},
		"patch deployments web":               {diesAfter},
		"patch serviceaccounts web":           {diesAfter},
		"patch serviceaccounts broken":        {dies, diesAfter},
		"DeletePodIdentityAssociation broken": {diesAfter},
		"evict broken":                        {lives, diesAfter},
	})
	patiently(t, "web on Pod Identity, and broken back on IRSA", func() error {
		return errors.Join(m.runs(identity.PodIdentity, map[string]int{"web": 3}), m.wired("web", identity.PodIdentity, "pod-identity"),
			m.runs(identity.IRSA, map[string]int{"broken": 2}), m.wired("broken", identity.IRSA, "irsa", "pod-identity"), m.marked())
	})
	last.still(t, 3)
	there := map[string]int{
		"UpdateAssumeRolePolicy web": 2, "CreatePodIdentityAssociation web": 1, "evict web": 1, "patch deployments web": 1, "patch serviceaccounts web": 1,
		"UpdateAssumeRolePolicy broken": 1, "CreatePodIdentityAssociation broken": 1, "DeletePodIdentityAssociation broken": 1, "evict broken": 2, "patch serviceaccounts broken": 1,
	}
	if diff := gocmp.Diff(there, m.counted()); diff != "" {
		t.Errorf("writes there (-want +got)\n%s", diff)
	}
	t.Logf("there after %s, and deaths at %q", time.Since(began).Round(time.Second), d.died)

	began = time.Now()
	last = m.lead(d, "irsa", map[string][]end{
		"patch serviceaccounts web":        {diesAfter},
		"DeletePodIdentityAssociation web": {diesAfter},
		"patch deployments web":            {diesAfter},
	})
	patiently(t, "all back on IRSA", func() error {
		return errors.Join(m.runs(identity.IRSA, map[string]int{"web": 3, "broken": 2}), m.wired("web", identity.IRSA, "irsa"), m.wired("broken", identity.IRSA, "irsa"))
	})
	last.still(t, 3)
	back := maps.Clone(there)
	for what, n := range map[string]int{"UpdateAssumeRolePolicy web": 2, "patch serviceaccounts web": 1, "DeletePodIdentityAssociation web": 1, "patch deployments web": 1, "UpdateAssumeRolePolicy broken": 1} {
		back[what] += n
	}
	if diff := gocmp.Diff(back, m.counted()); diff != "" {
		t.Errorf("writes there and back (-want +got)\n%s", diff)
	}
	t.Logf("back after %s, and deaths at %q", time.Since(began).Round(time.Second), d.died)
	m.must(m.prober.Close())
	if report := m.judge(); report.Probes < 200 {
		t.Errorf("%d probes, which are too few to tell", report.Probes)
	}
}
