package app_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
)

// TestLeaderPassesOn: of two daemons one leads; it is told to end in the middle of a
// round, finishes the step in hand and nothing else, and the other does the rest.
// Nothing is written twice.
func TestLeaderPassesOn(t *testing.T) {
	t.Parallel()
	alone := newRig(t)
	alone.settled(t, alone.start(t))
	want := sorted(alone.identityWrites())

	r := newRig(t)
	first := make(chan struct{})
	d := r.start(t, func(o *app.DaemonOptions) {
		once := sync.OnceFunc(func() { close(first) })
		o.Progress = func(what string) {
			if strings.HasPrefix(what, "widen ") || strings.HasPrefix(what, "cross ") {
				once()
			}
		}
	})
	waitFor(t, "the first leads", func() bool { return d.metric(t, "lanyard_leader") == "lanyard_leader 1" })
	other := newGate(r.stage)
	e := r.start(t, func(o *app.DaemonOptions) { o.Lease.Identity, o.Sleep = "two", other.Sleep })
	waitFor(t, "the other stands by", func() bool {
		code, body := e.get(t, "/readyz", "")
		return code == http.StatusOK && strings.Contains(string(body), "standing by, one leads")
	})
	if line := e.metric(t, "lanyard_leader"); line != "lanyard_leader 0" {
		t.Errorf("the one that stands by has %q", line)
	}
	ended := make(chan error, 1)
	go func() {
		<-first
		ended <- d.stop()
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	after := len(r.identityWrites())
	if after == 0 || after >= len(want) {
		t.Errorf("the first wrote %d of %d before it ended; want the step in hand", after, len(want))
	}
	r.gate = other
	waitFor(t, "the other leads", func() bool { return e.metric(t, "lanyard_leader") == "lanyard_leader 1" })
	r.settled(t, e)
	if got := sorted(r.identityWrites()); !slices.Equal(got, want) {
		t.Errorf("together they wrote\n%v\nwant\n%v", got, want)
	}
	if holder := r.lease(t).Spec.HolderIdentity; holder == nil || *holder != "two" {
		t.Errorf("the Lease is held by %v; want two", holder)
	}
}

// TestLeaderLosesTheLease: a replica that cannot renew writes nothing from the moment on
// at which the Lease could have passed on, and goes on once it leads again.
func TestLeaderLosesTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.options.Lease.Duration, r.options.Lease.Renew = 1500*time.Millisecond, time.Second
	d := r.start(t)
	r.settled(t, d)
	mend := r.Kube.Inject(kubed.Fault{User: "lanyard", Verb: "update", Resource: "leases", Failure: kubed.Broken})
	waitFor(t, "the Lease is lost", func() bool { return d.metric(t, "lanyard_leader") == "lanyard_leader 0" })
	r.drift(t)
	wrote := len(r.identityWrites())
	time.Sleep(500 * time.Millisecond) // nothing would be seen to happen in no time
	if more := r.identityWrites()[wrote:]; len(more) > 0 {
		t.Errorf("wrote %v without the Lease", more)
	}
	mend()
	waitFor(t, "it leads again", func() bool { return d.metric(t, "lanyard_leader") == "lanyard_leader 1" })
	r.settled(t, d)
	if more := r.identityWrites()[wrote:]; len(more) == 0 {
		t.Error("the drift was not repaired after the Lease was won again")
	}
}

// TestWriteConflict: another writer takes back what lanyard writes. An annotation is
// left to it after two times; a trust statement that live pods depend on is restored
// again and again, more slowly. Metric and finding tell.
func TestWriteConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.start(t)
	r.settled(t, d)

	wrote := len(r.identityWrites())
	for range 40 { // every half minute for twenty minutes
		accounts := r.Client("helm").CoreV1().ServiceAccounts("kube-system")
		patch := []byte(`{"metadata":{"annotations":{"eks.amazonaws.com/role-arn":"arn:aws:iam::123456789012:role/theirs"}}}`)
		if _, err := accounts.Patch(t.Context(), "aws-load-balancer-controller", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "helm"}); err != nil {
			t.Fatal(err)
		}
		r.pass(t, 30*time.Second)
	}
	if n := len(r.identityWrites()) - wrote; n < 1 || n > 3 {
		t.Errorf("the annotation was written %d times against another writer; want 2 or 3", n)
	}
	if line := d.metric(t, `lanyard_write_conflict{namespace="kube-system",service_account="aws-load-balancer-controller"}`); !strings.HasSuffix(line, " 1") {
		t.Errorf("metric %q; want the conflict", line)
	}

	role := "eks-irsa-lab-payments-api-role"
	before := len(r.trustWrites(role))
	theirs := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	arn := "arn:aws:iam::123456789012:role/" + role
	for range 60 { // for half an hour
		if err := r.AWS.PutRole(awsd.Role{ARN: arn, Trust: theirs}); err != nil {
			t.Fatal(err)
		}
		r.pass(t, 30*time.Second)
	}
	n := len(r.trustWrites(role)) - before
	if n < 5 || n > 12 {
		t.Errorf("the trust of a role in use was restored %d times in half an hour; want about one each five minutes", n)
	}
}

// trustWrites lists the trust policies that lanyard wrote to a role.
func (r *rig) trustWrites(role string) []string {
	var out []string
	calls, _ := r.AWS.Calls(0)
	for _, c := range calls {
		if c.Operation == "UpdateAssumeRolePolicy" && c.Resource == role && c.ErrorCode == "" {
			out = append(out, c.Params)
		}
	}
	return out
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// waitFor waits in real time, as the Lease lasts in it.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}
