package app

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// knock is called for each hook. A Service gives it to any replica that is ready; one
// that stands by passes it on through the Lease. It does not block.
func (d *Daemon) knock() {
	d.mu.Lock()
	leads := d.leads
	d.mu.Unlock()
	if leads {
		d.wake()
		return
	}
	select {
	case d.knocks <- struct{}{}:
	default: // one is on its way
	}
}

// relay marks the Lease for each knock, at most once in a while: the leader's next
// renewal collides with that write, looks at the Lease for it, and so hears of it
// without a call of its own.
func (d *Daemon) relay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.knocks:
		}
		within, cancel := context.WithTimeout(ctx, d.opts.Lease.Renew)
		at := time.Now().UTC().Format(time.RFC3339Nano) + " " + d.opts.Lease.Identity
		err := updateAny(within, d.lease, d.opts.Lease, func(l *coordinationv1.Lease) error {
			mark(l, wokenMark, at)
			return nil
		})
		cancel()
		if err != nil && ctx.Err() == nil {
			d.opts.Log.Warn("a hook was not passed on to the leader, which will see the push at its next look", "err", err)
		}
		if sleep(ctx, d.opts.Lease.Retry) != nil {
			return
		}
	}
}

// heard is told of the Lease whenever the election reads it, and wakes the loop when
// another replica was woken since.
func (d *Daemon) heard(l *coordinationv1.Lease) {
	woken := l.Annotations[wokenMark]
	d.mu.Lock()
	news := woken != "" && woken != d.heardOf && d.leads
	d.heardOf = woken
	d.mu.Unlock()
	if news {
		d.wake()
	}
}

// listening is the Leases' client of an election, which tells of each Lease it reads.
type listening struct {
	coordination.LeasesGetter
	heard func(*coordinationv1.Lease)
}

// Leases returns a namespace's client.
func (c listening) Leases(namespace string) coordination.LeaseInterface {
	return listeningLeases{c.LeasesGetter.Leases(namespace), c.heard}
}

type listeningLeases struct {
	coordination.LeaseInterface
	heard func(*coordinationv1.Lease)
}

// Get reads a Lease and tells of it.
func (c listeningLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	l, err := c.LeaseInterface.Get(ctx, name, o)
	if err == nil {
		c.heard(l)
	}
	return l, err
}
