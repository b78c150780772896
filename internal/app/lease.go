package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Lease names lanyard's own Lease, and how long it lasts. Zero durations mean the
// defaults; seconds in tests.
type Lease struct {
	Namespace, Name string
	Identity        string        // this replica's, in the Lease
	Duration        time.Duration // for which nobody else may take it; 30 s
	Renew           time.Duration // within which a renewal must succeed; 20 s
	Retry           time.Duration // between two tries; 4 s
}

func (l Lease) withDefaults() Lease {
	l.Name = cmp.Or(l.Name, "lanyard")
	l.Duration = cmp.Or(l.Duration, 30*time.Second)
	l.Renew = cmp.Or(l.Renew, 20*time.Second)
	l.Retry = cmp.Or(l.Retry, 4*time.Second)
	return l
}

// margin is how much earlier than the Lease a tenure ends: clocks of two machines run
// at slightly different speeds.
func (l Lease) margin() time.Duration { return l.Duration / 10 }

// election makes one of several replicas the leader, by client-go's election over a
// Lease. What it adds: a tenure counts from when a renewal was sent, not from when it
// was answered, and the Lease is given back only when the work under it has ended.
//
// Source: https://kubernetes.io/docs/concepts/architecture/leases/; client-go's package
// leaderelection says itself that it does not fence.
type election struct {
	lease   Lease
	kube    kubernetes.Interface
	log     *slog.Logger
	changed func(leader string) // told of each new leader
	heard   func(*coordinationv1.Lease)
}

// lead waits until this replica leads, and calls work with a context that ends before
// the Lease can have passed on. It returns when work has, with work's error; or with
// the cause of ctx's end. When work ends because ctx did, the Lease is given back.
func (e *election) lead(ctx context.Context, work func(context.Context) error) error {
	lock := &sentLock{Interface: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.lease.Namespace, Name: e.lease.Name},
		Client:     listening{e.kube.CoordinationV1(), e.heard},
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.lease.Identity},
	}}
	elected := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: e.lease.Duration, RenewDeadline: e.lease.Renew, RetryPeriod: e.lease.Retry, Name: e.lease.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(elected) },
			OnStoppedLeading: func() {},
			OnNewLeader:      e.changed,
		},
	})
	if err != nil {
		return fmt.Errorf("set up the election: %w", err)
	}
	// The election goes on while the last step is finished after ctx has ended.
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	lost := make(chan struct{})
	running.Go(func() { defer close(lost); elector.Run(electing) })
	defer running.Wait()
	defer stop()

	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-elected:
	}
	t := newTenure(ctx, lock.sent().Add(e.lease.Duration-e.lease.margin()))
	defer t.close()
	lock.onSent(func(at time.Time) { t.extend(at.Add(e.lease.Duration - e.lease.margin())) })
	lock.onForeign(func() { t.end(ErrLeaseLost) })
	running.Go(func() { // a renewal that failed for too long: the deadline stands, but nothing new is to begin
		select {
		case <-lost:
			t.end(ErrLeaseLost)
		case <-t.Done():
		}
	})
	err = work(t)
	if ctx.Err() == nil {
		return err
	}
	stop()
	<-lost
	e.release(context.WithoutCancel(ctx))
	return err
}

// release gives the Lease back, so that another replica need not wait it out.
func (e *election) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := update(ctx, e.kube, e.lease, func(l *coordinationv1.Lease) error {
		nobody, soon := "", int32(1)
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = &nobody, &soon
		return nil
	})
	if err != nil && !errors.Is(err, errNotHeld) {
		e.log.Warn("the Lease was not given back, so another replica waits until it runs out", "err", err)
	}
}

// sentLock notes when each write that succeeded was sent: from then on, at the
// earliest, others count the Lease's duration.
type sentLock struct {
	resourcelock.Interface
	mu   sync.Mutex
	last time.Time
	tell func(time.Time)
	lost func()
}

// Get ends the tenure at once when it shows that somebody else holds the Lease:
// client-go goes on trying until its deadline.
func (s *sentLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	r, raw, err := s.Interface.Get(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && r.HolderIdentity != s.Identity() && s.lost != nil {
		s.lost()
	}
	return r, raw, err
}

func (s *sentLock) onForeign(lost func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = lost
}

func (s *sentLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return s.note(r, func() error { return s.Interface.Create(ctx, r) })
}

func (s *sentLock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return s.note(r, func() error { return s.Interface.Update(ctx, r) })
}

func (s *sentLock) note(r resourcelock.LeaderElectionRecord, write func() error) error {
	at := time.Now()
	if err := write(); err != nil || r.HolderIdentity != s.Identity() {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = at
	if s.tell != nil {
		s.tell(at)
	}
	return nil
}

func (s *sentLock) sent() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *sentLock) onSent(tell func(time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell = tell
	tell(s.last)
}

// The annotations in which the Lease keeps what must outlive the process (design.md,
// law 9).
const (
	acceptedMark = "lanyard.io/accepted-revision" // the last accepted commit
	removalsMark = "lanyard.io/removals"          // when the last hour's removals were made, RFC 3339, separated by commas
	spentMark    = "lanyard.io/accept-spent"      // the source.accept that has let its commit in
	wokenMark    = "lanyard.io/woken"             // when a replica that stands by got a hook, and which
)

// maxMarks bounds what is read back from the removals' annotation. The greatest budget
// there is fits.
const maxMarks = 10_000

// book is what the Lease remembers. Only the replica that holds the Lease writes it.
type book struct {
	kube  kubernetes.Interface
	lease Lease
	now   func() time.Time

	mu       sync.Mutex
	accepted string
	spent    string
	removals []time.Time
}

// openBook reads what the Lease remembers.
func openBook(ctx context.Context, kube kubernetes.Interface, lease Lease, now func() time.Time) (*book, error) {
	b := &book{kube: kube, lease: lease, now: now}
	l, err := kube.CoordinationV1().Leases(lease.Namespace).Get(ctx, lease.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	b.accepted, b.spent = l.Annotations[acceptedMark], l.Annotations[spentMark]
	if b.removals, err = parseRemovals(l.Annotations[removalsMark]); err != nil {
		return nil, fmt.Errorf("read Lease %s/%s: annotation %s: %w: delete the annotation if nobody knows how it came to be: the hour's removals then count from zero",
			lease.Namespace, lease.Name, removalsMark, err)
	}
	return b, nil
}

func parseRemovals(text string) ([]time.Time, error) {
	var out []time.Time
	for field := range strings.SplitSeq(text, ",") {
		if field == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, field)
		if err != nil {
			return nil, err
		}
		if out = append(out, at); len(out) > maxMarks {
			return nil, fmt.Errorf("more than %d removals", maxMarks)
		}
	}
	return out, nil
}

// Accepted returns the last accepted commit; empty before the first.
func (b *book) Accepted() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted
}

// Removals returns when the removals of the last hour were made.
func (b *book) Removals() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.removals)
}

// Spent returns the source.accept that has let its commit in; empty if none has.
func (b *book) Spent() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}

// Accept writes the last accepted commit, and that source.accept, which named it, is
// spent.
func (b *book) Accept(ctx context.Context, commit string, named bool) error {
	marks := map[string]string{acceptedMark: commit}
	if named {
		marks[spentMark] = commit
	}
	if err := b.write(ctx, marks); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.accepted = commit; named {
		b.spent = commit
	}
	return nil
}

// Unspend forgets what source.accept was: the operator has set another one, or none.
func (b *book) Unspend(ctx context.Context) error {
	if err := b.write(ctx, map[string]string{spentMark: ""}); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = ""
	return nil
}

// Removing notes removals before they are made (sync.Ledger).
func (b *book) Removing(ctx context.Context, at []time.Time) error {
	var recent []string
	for _, t := range at {
		if b.now().Sub(t) < time.Hour {
			recent = append(recent, t.UTC().Format(time.RFC3339))
		}
	}
	if err := b.write(ctx, map[string]string{removalsMark: strings.Join(recent, ",")}); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removals = slices.Clone(at)
	return nil
}

// write sets annotations; an empty one goes.
func (b *book) write(ctx context.Context, marks map[string]string) error {
	return remedy.Mark(remedy.Retry, update(ctx, b.kube, b.lease, func(l *coordinationv1.Lease) error {
		for key, value := range marks {
			mark(l, key, value)
		}
		return nil
	}))
}

func mark(l *coordinationv1.Lease, key, value string) {
	switch {
	case value == "":
		delete(l.Annotations, key)
	case l.Annotations == nil:
		l.Annotations = map[string]string{key: value}
	default:
		l.Annotations[key] = value
	}
}

// errNotHeld says that another replica holds the Lease.
var errNotHeld = errors.New("the Lease is another replica's")

// update changes the Lease while this replica holds it. The write carries the
// resourceVersion that was read with the holder, so a Lease that passed on in between
// is not touched.
func update(ctx context.Context, kube kubernetes.Interface, lease Lease, change func(*coordinationv1.Lease) error) error {
	return updateAny(ctx, kube, lease, func(l *coordinationv1.Lease) error {
		if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != lease.Identity {
			return errNotHeld
		}
		return change(l)
	})
}

// updateAny changes the Lease, whoever holds it.
func updateAny(ctx context.Context, kube kubernetes.Interface, lease Lease, change func(*coordinationv1.Lease) error) error {
	leases := kube.CoordinationV1().Leases(lease.Namespace)
	err := retry.OnError(retry.DefaultBackoff, apierrors.IsConflict, func() error {
		l, err := leases.Get(ctx, lease.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := change(l); err != nil {
			return err
		}
		_, err = leases.Update(ctx, l, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("write Lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return nil
}
