package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// TestTenureEndsBeforeTheLease: the context of leading ends with the time that is left
// of the Lease, each renewal moves that, and none brings an ended tenure back. A time
// limit under it counts, however often the Lease is renewed.
func TestTenureEndsBeforeTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ten := newTenure(t.Context(), start.Add(10*time.Second))
		defer ten.close()
		call, cancel := context.WithTimeout(ten, 12*time.Second)
		defer cancel()
		until := leaseUntil(call)
		if !until().Equal(start.Add(10 * time.Second)) {
			t.Errorf("the Lease lasts until %v; want 10 s", until().Sub(start))
		}
		time.Sleep(9 * time.Second)
		ten.extend(start.Add(20 * time.Second))
		ten.extend(start.Add(15 * time.Second)) // an answer that came late
		if !until().Equal(start.Add(20 * time.Second)) {
			t.Errorf("after the renewal the end is %v; want 20 s", until().Sub(start))
		}
		time.Sleep(5 * time.Second)
		if ten.Err() != nil {
			t.Fatal("ended though it was extended")
		}
		if !errors.Is(call.Err(), context.DeadlineExceeded) {
			t.Error("a call of 12 s is still alive after 14 s of a renewed tenure")
		}
		time.Sleep(6*time.Second + time.Millisecond)
		if !errors.Is(context.Cause(ten), ErrLeaseLost) {
			t.Errorf("the cause after 20 s is %v; want the lost Lease", context.Cause(ten))
		}
		ten.extend(start.Add(time.Hour))
		if ten.Err() == nil {
			t.Error("an ended tenure was brought back")
		}
	})
}

// slowLock answers a while after the API server has done it.
type slowLock struct{ resourcelock.Interface }

func (l slowLock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	time.Sleep(3 * time.Second)
	return nil
}
func (l slowLock) Identity() string { return "one" }

// TestTenureCountsFromWhenTheRenewalWasSent: others count from the write, which may lie
// before the answer by as long as the answer takes. Giving the Lease back is no renewal.
func TestTenureCountsFromWhenTheRenewalWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		lock := &sentLock{Interface: slowLock{}}
		if err := lock.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "one"}); err != nil {
			t.Fatal(err)
		}
		if !lock.sent().Equal(start) {
			t.Errorf("counts from %v after the start; want from when it was sent", lock.sent().Sub(start))
		}
		if err := lock.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: ""}); err != nil {
			t.Fatal(err)
		}
		if !lock.sent().Equal(start) {
			t.Error("giving the Lease back counts as a renewal")
		}
	})
}

// TestBookIsTheHolders: only the replica that holds the Lease writes what it remembers;
// what others wrote on it stays.
func TestBookIsTheHolders(t *testing.T) {
	t.Parallel()
	holder := "one"
	kube := fake.NewClientset(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "lanyard", Annotations: map[string]string{"theirs": "x"}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}})
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	open := func(identity string) *book {
		b, err := openBook(t.Context(), kube, Lease{Namespace: "ns", Name: "lanyard", Identity: identity}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	mine, other := open("one"), open("two")
	if err := mine.Accept(t.Context(), "c0ffee", true); err != nil {
		t.Fatal(err)
	}
	if err := mine.Removing(t.Context(), []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Minute), now}); err != nil {
		t.Fatal(err)
	}
	if err := other.Accept(t.Context(), "bad", false); !errors.Is(err, errNotHeld) {
		t.Errorf("another replica's write: %v; want that it does not hold the Lease", err)
	}
	again := open("one")
	if again.Spent() != "c0ffee" {
		t.Errorf("source.accept that has let its commit in is remembered as %q", again.Spent())
	}
	if err := again.Unspend(t.Context()); err != nil || open("one").Spent() != "" {
		t.Errorf("another source.accept: %v, and %q is still remembered", err, open("one").Spent())
	}
	if again.Accepted() != "c0ffee" || len(again.Removals()) != 2 || !again.Removals()[1].Equal(now) {
		t.Errorf("remembered %q and %v; want c0ffee and the two removals of the last hour", again.Accepted(), again.Removals())
	}
	l, err := kube.CoordinationV1().Leases("ns").Get(t.Context(), "lanyard", metav1.GetOptions{})
	if err != nil || l.Annotations["theirs"] != "x" {
		t.Errorf("annotations %v, %v; want what others wrote kept", l.Annotations, err)
	}
	l.Annotations[removalsMark] = "yesterday"
	if _, err := kube.CoordinationV1().Leases("ns").Update(t.Context(), l, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := openBook(t.Context(), kube, mine.lease, mine.now); err == nil {
		t.Error("removals that cannot be read count as none")
	}
}
