package kubed

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

type labeller struct{ calls atomic.Int32 }

func (l *labeller) AdmitPod(p *corev1.Pod) *corev1.Pod {
	l.calls.Add(1)
	metav1.SetMetaDataLabel(&p.ObjectMeta, "admitted", "yes")
	return p
}

func TestDryRunStoresNothing(t *testing.T) {
	t.Parallel()
	sa := account("demo", "s3-reader")
	running := pod("demo", "running")
	running.Spec.NodeName, running.Status.Phase = "n1", corev1.PodRunning
	c, _ := newCluster(t, sa, running)
	hook := &labeller{}
	c.SetAdmission(hook)
	client := c.Client("lanyard")
	all := []string{metav1.DryRunAll}
	c.mu.Lock()
	before := len(c.past)
	c.mu.Unlock()

	got, err := client.CoreV1().Pods("demo").Create(t.Context(), pod("demo", "probe"), metav1.CreateOptions{DryRun: all})
	if err != nil {
		t.Fatal(err)
	}
	if got.Labels["admitted"] != "yes" || hook.calls.Load() != 1 || got.UID == "" || got.ResourceVersion != "" {
		t.Errorf("dry run answered %+v, want the admitted pod with a uid and no resourceVersion", got.ObjectMeta)
	}
	patched, err := client.CoreV1().ServiceAccounts("demo").Patch(t.Context(), "s3-reader", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{DryRun: all})
	if err != nil || patched.Annotations["a"] != "b" {
		t.Errorf("dry-run patch answered %v, %v, want the annotation", patched.Annotations, err)
	}
	if _, err := client.CoreV1().ServiceAccounts("demo").Update(t.Context(), patched, metav1.UpdateOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if err := client.CoreV1().Pods("demo").Delete(t.Context(), "running", metav1.DeleteOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if err := client.CoreV1().Pods("demo").EvictV1(t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: "running"}, DeleteOptions: &metav1.DeleteOptions{DryRun: all},
	}); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	after := len(c.past)
	c.mu.Unlock()
	if before != after {
		t.Errorf("%d writes before the dry runs, %d after", before, after)
	}
	for _, call := range c.Calls("lanyard") {
		if call.Resource != "pods/eviction" && (call.Mutating || !call.DryRun) {
			t.Errorf("recorded as a write: %+v", call)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t, account("demo", "s3-reader"))
	lanyard, other := c.Client("lanyard"), c.Client("other")
	_, _ = other.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	_, _ = lanyard.CoreV1().ServiceAccounts("demo").Get(t.Context(), "gone", metav1.GetOptions{})
	_, _ = lanyard.CoreV1().Pods("demo").Create(t.Context(), pod("demo", "probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	_ = lanyard.CoreV1().Pods("demo").EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p"}})
	_, _ = apply(t, lanyard, "lanyard", "one", false)
	_ = lanyard.CoordinationV1().Leases("demo").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}) // the fake has none
	want := []Call{
		{At: start, User: "lanyard", Verb: "get", Resource: "serviceaccounts", Namespace: "demo", Name: "gone", Err: "NotFound"},
		{At: start, User: "lanyard", Verb: "create", Resource: "pods", Namespace: "demo", Name: "probe", FieldManager: "lanyard", DryRun: true},
		{At: start, User: "lanyard", Verb: "create", Resource: "pods/eviction", Namespace: "demo", Name: "p", FieldManager: "lanyard", Mutating: true, Err: "NotFound"},
		{At: start, User: "lanyard", Verb: "patch", Resource: "serviceaccounts", Namespace: "demo", Name: "s3-reader", FieldManager: "lanyard", Mutating: true},
		{At: start, User: "lanyard", Verb: "deletecollection", Group: "coordination.k8s.io", Resource: "leases", Namespace: "demo", Mutating: true, Err: "MethodNotAllowed"},
	}
	if diff := cmp.Diff(want, c.Calls("lanyard")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if got := len(c.Calls()); got != len(want)+1 {
		t.Errorf("%d calls in all, want %d", got, len(want)+1)
	}
	c.ForgetCalls()
	if got := c.Calls(); len(got) != 0 {
		t.Errorf("after ForgetCalls: %v", got)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		failure Failure
		is      func(error) bool
	}{
		{Forbidden, apierrors.IsForbidden},
		{Throttled, apierrors.IsTooManyRequests},
		{TimedOut, apierrors.IsTimeout},
		{Broken, apierrors.IsInternalError},
	}
	for _, test := range tests {
		for _, stored := range []bool{false, true} {
			c, _ := newCluster(t, account("demo", "s3-reader"), account("demo", "other"))
			client := c.Client("lanyard")
			remove := c.Inject(Fault{User: "lanyard", Verb: "patch", Resource: "serviceaccounts", Name: "s3-reader", Failure: test.failure, Stored: stored})
			if _, err := apply(t, client, "lanyard", "one", false); !test.is(err) {
				t.Errorf("failure %d, stored %t: got %v", test.failure, stored, err)
			}
			_, ok := getSA(t, client, "demo", "s3-reader").Annotations[roleKey]
			if ok != stored {
				t.Errorf("failure %d: annotation stored %t, want %t", test.failure, ok, stored)
			}
			if _, err := apply(t, c.Client("someone"), "someone", "one", true); err != nil {
				t.Errorf("another user: %v", err)
			}
			remove()
			if _, err := apply(t, client, "lanyard", "one", true); err != nil {
				t.Errorf("after removal: %v", err)
			}
		}
	}
}

func TestFaultIsSpent(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	c.Inject(Fault{Verb: "list", Resource: "pods", Failure: Throttled, Times: 2})
	client := c.Client("lanyard")
	for i := range 3 {
		_, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if got, want := err != nil, i < 2; got != want {
			t.Errorf("call %d: got %v, want an error: %t", i, err, want)
		}
	}
	c.Inject(Fault{Verb: "watch", Resource: "pods", Failure: Forbidden})
	if _, err := client.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("watch: got %v, want forbidden", err)
	}
}

func TestStaleList(t *testing.T) {
	t.Parallel()
	c, clock := newCluster(t, account("demo", "old"), account("demo", "deleted"))
	client := c.Client("lanyard")
	clock.Advance(time.Minute)
	sas := client.CoreV1().ServiceAccounts("demo")
	if _, err := sas.Create(t.Context(), account("demo", "new"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := sas.Delete(t.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := sas.Patch(t.Context(), "old", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	names := func() string {
		list, err := sas.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, sa := range list.Items {
			out = append(out, fmt.Sprint(sa.Name, len(sa.Labels)))
		}
		return strings.Join(out, " ")
	}
	if got, want := names(), "default0 new0 old1"; got != want {
		t.Errorf("fresh list = %q, want %q", got, want)
	}
	c.Inject(Fault{Resource: "serviceaccounts", Failure: Stale, Lag: 30 * time.Second, Times: 2})
	if got, want := names(), "default0 deleted0 old0"; got != want {
		t.Errorf("stale list = %q, want %q", got, want)
	}
	if _, err := sas.Get(t.Context(), "new", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("stale get of what is new: got %v, want not found", err)
	}
}

func TestListSelects(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	for i := range 7 {
		p := pod("demo", fmt.Sprint("p", i))
		p.Spec.NodeName = fmt.Sprint("n", i%2)
		if err := c.Seed(p); err != nil {
			t.Fatal(err)
		}
	}
	api := c.Client("lanyard").CoreV1().Pods("demo")
	list, err := api.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=n0"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range list.Items {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"p0", "p2", "p4", "p6"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if _, err := api.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.hostname=x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("unknown field: got %v, want a bad request", err)
	}
	if list, err := api.List(t.Context(), metav1.ListOptions{LabelSelector: "app=y"}); err != nil || len(list.Items) != 0 {
		t.Errorf("label selector: got %d pods, %v, want none", len(list.Items), err)
	}
}

func TestSharedInformer(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	const n = 500 // the fake's own watch panics beyond a hundred unread events
	for i := range n {
		if err := c.Seed(pod("demo", fmt.Sprint("before-", i))); err != nil {
			t.Fatal(err)
		}
	}
	factory := informers.NewSharedInformerFactory(c.Client("lanyard"), 0)
	informer := factory.Core().V1().Pods()
	events := make(chan string, 4*n)
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { events <- "add" },
		UpdateFunc: func(any, any) { events <- "update" },
		DeleteFunc: func(any) { events <- "delete" },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	// It is synchronized once it has listed. A watch that is opened later shows what an
	// object has become by then, and not each change of it.
	for opened := false; !opened; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		opened = len(c.watchers) > 0
		c.mu.Unlock()
	}
	for i := range n {
		if err := c.Seed(pod("demo", fmt.Sprint("after-", i))); err != nil {
			t.Fatal(err)
		}
	}
	api := c.Client("someone").CoreV1().Pods("demo")
	if _, err := api.Patch(t.Context(), "after-0", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), "after-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 2*n + 2 {
		select {
		case e := <-events:
			got[e]++
		case <-ctx.Done():
			t.Fatal(got)
		}
	}
	if diff := cmp.Diff(map[string]int{"add": 2 * n, "update": 1, "delete": 1}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	cached, err := informer.Lister().Pods("demo").List(labels.Everything())
	if err != nil || len(cached) != 2*n-1 {
		t.Errorf("%d pods in the informer, error %v, want %d", len(cached), err, 2*n-1)
	}
	cancel()
	factory.Shutdown()
}

// TestWatchAfterList: between a list and its watch nothing is lost, not even what was
// deleted, and a watch shows only what its selector asks for.
func TestWatchAfterList(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	api := c.Client("lanyard").CoreV1().Pods("demo")
	if err := c.Seed(pod("demo", "a"), pod("demo", "b"), pod("demo", "c")); err != nil {
		t.Fatal(err)
	}
	list, err := api.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	label := func(name string) {
		n++
		if _, err := api.Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"n":"%d"}}}`, n), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		if err := api.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	label("a")
	remove("b")
	w, err := api.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	one, err := api.Watch(t.Context(), metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "c").String()})
	if err != nil {
		t.Fatal(err)
	}
	label("c")
	label("a")
	remove("c")
	next := func(w watch.Interface) string {
		ev := <-w.ResultChan()
		return string(ev.Type) + " " + ev.Object.(*corev1.Pod).Name
	}
	for _, want := range []string{"ADDED a", "DELETED b", "MODIFIED c", "MODIFIED a", "DELETED c"} {
		if got := next(w); got != want {
			t.Errorf("watch from %s: got %q, want %q", list.ResourceVersion, got, want)
		}
	}
	for _, want := range []string{"ADDED c", "MODIFIED c", "DELETED c"} {
		if got := next(one); got != want {
			t.Errorf("watch of c: got %q, want %q", got, want)
		}
	}
	one.Stop()
	if _, open := <-one.ResultChan(); open {
		t.Error("a stopped watch stayed open")
	}
	label("a")
	if got, want := next(w), "MODIFIED a"; got != want {
		t.Errorf("after another watch was stopped: got %q, want %q", got, want)
	}
}

func TestDeletePod(t *testing.T) {
	t.Parallel()
	scheduled := pod("demo", "scheduled")
	scheduled.Spec.NodeName = "n1"
	c, _ := newCluster(t, scheduled, pod("demo", "waiting"))
	api := c.Client("me").CoreV1().Pods("demo")
	for _, name := range []string{"scheduled", "waiting"} {
		if err := api.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.Get(t.Context(), "waiting", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("pod without a node: got %v, want it gone", err)
	}
	got, err := api.Get(t.Context(), "scheduled", metav1.GetOptions{})
	if err != nil || got.DeletionTimestamp == nil || !got.DeletionTimestamp.Time.Equal(start.Add(30*time.Second)) {
		t.Fatalf("pod on a node: %v, deletionTimestamp %v, want it terminating in 30 s", err, got.DeletionTimestamp)
	}
	if err := api.Delete(t.Context(), "scheduled", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Get(t.Context(), "scheduled", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deleted without grace: got %v, want it gone", err)
	}
}

func TestEvictionHonoursBudget(t *testing.T) {
	t.Parallel()
	runs := func(name string) *corev1.Pod {
		p := pod("demo", name)
		p.Spec.NodeName, p.Status.Phase = "n1", corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return p
	}
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1, DesiredHealthy: 1, CurrentHealthy: 2},
	}
	c, _ := newCluster(t, runs("a"), runs("b"), pod("demo", "pending"), budget)
	api := c.Client("lanyard").CoreV1().Pods("demo")
	evict := func(name string) error {
		return api.EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	if err := evict("a"); err != nil {
		t.Fatal(err)
	}
	err := evict("b")
	if !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "Cannot evict pod as it would violate the pod's disruption budget.") {
		t.Fatalf("second eviction: got %v, want 429", err)
	}
	if s := statusOf(t, err); s.Details.Causes[0].Type != policyv1.DisruptionBudgetCause {
		t.Errorf("causes = %+v, want DisruptionBudget", s.Details.Causes)
	}
	if err := evict("pending"); err != nil {
		t.Errorf("eviction of a pending pod costs nothing: %v", err)
	}
	got, err := api.Get(t.Context(), "b", metav1.GetOptions{})
	if err != nil || got.DeletionTimestamp != nil {
		t.Errorf("the refused pod: %v, deletionTimestamp %v, want it untouched", err, got.DeletionTimestamp)
	}
}

func TestIssuerAndVersion(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	if got, want := c.Issuer(), "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"; got != want {
		t.Errorf("issuer = %q, want %q", got, want)
	}
	c.SetIssuer("other")
	if got := c.Issuer(); got != "other" {
		t.Errorf("issuer = %q, want other", got)
	}
	v, err := c.Client("me").Discovery().ServerVersion()
	if err != nil || !strings.Contains(v.GitVersion, "-eks-") {
		t.Errorf("version = %v, %v, want one of EKS", v, err)
	}
}
