//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// events are lanyard's on a ServiceAccount.
func (o *operator) events(name string) (all []eventsv1.Event, err error) {
	list, err := o.kube.EventsV1().Events(o.ns).List(o.t.Context(), metav1.ListOptions{FieldSelector: "reportingController=lanyard.io/lanyard"})
	if err != nil {
		return nil, err
	}
	for _, e := range list.Items {
		if e.Regarding.Kind == "ServiceAccount" && e.Regarding.Name == name {
			all = append(all, e)
		}
	}
	return all, nil
}

// told waits until there is an Event on a ServiceAccount with that reason and action,
// about the ServiceAccount that is there now.
func (o *operator) told(name, reason, action string) (event eventsv1.Event) {
	o.t.Helper()
	eventually(o.t, reason+" "+action+" on "+name, func() error {
		a, err := o.kube.CoreV1().ServiceAccounts(o.ns).Get(o.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		all, err := o.events(name)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Reason == reason && e.Action == action && e.Regarding.UID == a.UID {
				event = e
				return nil
			}
		}
		return fmt.Errorf("not in %v", all)
	})
	return event
}

// TestClusterMismatch: where the EKS cluster of the configuration is not that of the API
// server, nothing is written; a corrected configuration is taken up without a restart.
func TestClusterMismatch(t *testing.T) {
	o := newOperator(t, fleet())
	o.ready()
	const another = "another"
	o.must(o.aws.PutCluster(awsd.Cluster{ARN: "arn:aws:eks:eu-west-1:" + labAccount + ":cluster/" + another, Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000000"}))
	o.cluster = another
	o.configure("")
	d := o.run("one")
	eventually(t, "cluster-mismatch", func() error {
		all, err := d.findings()
		for _, f := range all {
			if f.Kind == diff.ClusterMismatch && f.Severity == diff.Critical {
				return err
			}
		}
		return errors.Join(err, fmt.Errorf("not in %+v", all))
	})
	d.rounds(2)
	if n := o.writes(); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	o.cluster = ""
	o.configure("")
	o.repaired()
	d.clear()
}

// TestManyAccounts: a cluster with 5,000 ServiceAccounts beside the fleet's. They are
// listed once, and not again in later rounds: what a round asks does not grow with them.
func TestManyAccounts(t *testing.T) {
	const many = 5000
	o := newOperator(t, fleet())
	o.ready()
	start := time.Now()
	var making sync.WaitGroup
	errs := make(chan error, 8)
	for worker := range cap(errs) {
		making.Go(func() {
			var err error
			for n := worker; n < many && err == nil; n += cap(errs) {
				account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("many-%d", n),
					Annotations: map[string]string{actors.RoleARNAnnotation: fmt.Sprintf("arn:aws:iam::%s:role/many-%d", labAccount, n)}}}
				_, err = o.kube.CoreV1().ServiceAccounts(o.ns).Create(t.Context(), account, metav1.CreateOptions{})
			}
			errs <- err
		})
	}
	making.Wait()
	for range cap(errs) {
		o.must(<-errs)
	}
	made := time.Since(start)
	before, start := heap(), time.Now()
	d := o.run("one")
	d.rounds(1)
	first := time.Since(start)
	o.repaired()
	d.clear()
	var state struct{ Summary struct{ Unmanaged int } }
	code, err := d.get("/api/v1/findings", apiToken, &state)
	if err := errors.Join(err, want("status", code, http.StatusOK)); err != nil || state.Summary.Unmanaged < many {
		t.Errorf("%d unmanaged (%v), want %d or more", state.Summary.Unmanaged, err, many)
	}
	asked, calls := len(o.asked()), o.awsCalls()
	d.rounds(5)
	lists := 0
	for _, r := range o.asked()[asked:] {
		if (r.Verb == "list" || r.Verb == "watch") && r.ObjectRef.Resource == "serviceaccounts" && r.ObjectRef.Name == "" {
			lists++
		}
	}
	t.Logf("%d ServiceAccounts made in %s; first round after %s; %d requests and %d calls to AWS until at rest, %d and %d in 5 rounds more; heap %+.1f MiB",
		many, made.Round(time.Millisecond), first.Round(time.Millisecond), asked, calls, len(o.asked())-asked, o.awsCalls()-calls, float64(heap()-before)/(1<<20))
	if lists > 0 {
		t.Errorf("ServiceAccounts were listed %d times more in 5 rounds, want none", lists)
	}
}

func (o *operator) awsCalls() int {
	calls, _ := o.aws.Calls(0)
	return len(calls)
}

// heap is what is alive in this process, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
