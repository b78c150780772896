package kubed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const roleKey = "eks.amazonaws.com/role-arn"

func newCluster(t *testing.T, objs ...runtime.Object) (*Cluster, *virtual.Clock) {
	t.Helper()
	clock := virtual.NewClock(start)
	c := New(Options{Clock: clock, Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", Seed: 1})
	if err := c.Seed(objs...); err != nil {
		t.Fatal(err)
	}
	return c, clock
}

func account(ns, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
}

func pod(ns, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "app:1"}}},
	}
}

func getSA(t *testing.T, client kubernetes.Interface, ns, name string) *corev1.ServiceAccount {
	t.Helper()
	sa, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sa
}

func statusOf(t *testing.T, err error) metav1.Status {
	t.Helper()
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		t.Fatalf("got error %v, want one with a status", err)
	}
	return s.Status()
}

func TestCreateFillsServerFields(t *testing.T) {
	t.Parallel()
	c, clock := newCluster(t)
	clock.Advance(time.Minute)
	client := c.Client("me")
	p := pod("default", "")
	p.GenerateName = "web-"
	p.UID = "mine"
	p.Status.Phase = corev1.PodRunning
	got, err := client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Name, "web-") || len(got.Name) != len("web-")+5 {
		t.Errorf("name = %q, want web- and five characters", got.Name)
	}
	if got.UID == "" || got.UID == "mine" || got.ResourceVersion == "" || got.Generation != 1 {
		t.Errorf("uid %q, resourceVersion %q, generation %d, want the server's", got.UID, got.ResourceVersion, got.Generation)
	}
	if !got.CreationTimestamp.Time.Equal(start.Add(time.Minute)) {
		t.Errorf("creationTimestamp = %s, want the virtual clock's %s", got.CreationTimestamp, start.Add(time.Minute))
	}
	if got.Status.Phase != corev1.PodPending || got.Spec.ServiceAccountName != "default" {
		t.Errorf("phase %q, ServiceAccount %q, want Pending and default", got.Status.Phase, got.Spec.ServiceAccountName)
	}
}

func TestSameSeedSameNames(t *testing.T) {
	t.Parallel()
	var got [2]*corev1.Pod
	for i := range got {
		c, _ := newCluster(t)
		p := pod("default", "")
		p.GenerateName = "web-"
		var err error
		if got[i], err = c.Client("me").CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Errorf("two runs with one seed differ:\n%s", diff)
	}
}

func TestCreateIsRefused(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	client := c.Client("me")
	tests := []struct {
		name string
		call func() error
		want func(error) bool
		text string
	}{
		{"absent namespace", func() error {
			_, err := client.CoreV1().ServiceAccounts("nowhere").Create(t.Context(), account("nowhere", "a"), metav1.CreateOptions{})
			return err
		}, apierrors.IsNotFound, `namespaces "nowhere" not found`},
		{"exists", func() error {
			_, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account("default", "default"), metav1.CreateOptions{})
			return err
		}, apierrors.IsAlreadyExists, `serviceaccounts "default" already exists`},
		{"absent ServiceAccount", func() error {
			p := pod("default", "p")
			p.Spec.ServiceAccountName = "gone"
			_, err := client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
			return err
		}, apierrors.IsForbidden, `error looking up service account default/gone`},
		{"no name", func() error {
			_, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account("default", ""), metav1.CreateOptions{})
			return err
		}, apierrors.IsInvalid, `name or generateName is required`},
		{"terminating namespace", func() error {
			if err := client.CoreV1().Namespaces().Delete(t.Context(), "kube-public", metav1.DeleteOptions{}); err != nil {
				return err
			}
			_, err := client.CoreV1().ServiceAccounts("kube-public").Create(t.Context(), account("kube-public", "a"), metav1.CreateOptions{})
			return err
		}, apierrors.IsForbidden, `because it is being terminated`},
	}
	for _, test := range tests {
		if err := test.call(); !test.want(err) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.text)
		}
	}
}

func TestStaleUpdateConflicts(t *testing.T) {
	t.Parallel()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "lanyard"}}
	c, _ := newCluster(t, lease, account("demo", "s3-reader"))
	client := c.Client("me")

	leases := client.CoordinationV1().Leases("kube-system")
	l, err := leases.Get(t.Context(), "lanyard", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := l.DeepCopy(), l.DeepCopy()
	holder := "one"
	theirs.Spec.HolderIdentity = &holder
	stored, err := leases.Update(t.Context(), theirs, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if stored.ResourceVersion == l.ResourceVersion {
		t.Errorf("resourceVersion %s stayed after an update", l.ResourceVersion)
	}
	if _, err := leases.Update(t.Context(), mine, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("stale Lease update: got %v, want a conflict", err)
	}
	mine.ResourceVersion = ""
	if _, err := leases.Update(t.Context(), mine, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("Lease update without resourceVersion: got %v, want invalid", err)
	}

	sas := client.CoreV1().ServiceAccounts("demo")
	sa := getSA(t, client, "demo", "s3-reader")
	patched, err := sas.Patch(t.Context(), "s3-reader", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if patched.ResourceVersion == sa.ResourceVersion {
		t.Error("a patch kept the resourceVersion")
	}
	sa.Labels = map[string]string{"c": "d"}
	if _, err := sas.Update(t.Context(), sa, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("stale ServiceAccount update: got %v, want a conflict", err)
	}
	stale := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"labels":{"e":"f"}}}`, sa.ResourceVersion)
	if _, err := sas.Patch(t.Context(), "s3-reader", types.MergePatchType, stale, metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("patch with a stale resourceVersion: got %v, want a conflict", err)
	}
	same, err := sas.Patch(t.Context(), "s3-reader", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
	if err != nil || same.ResourceVersion != patched.ResourceVersion {
		t.Errorf("a patch that changes nothing: resourceVersion %s, error %v, want %s", same.ResourceVersion, err, patched.ResourceVersion)
	}
}

func TestUID(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t, account("demo", "s3-reader"))
	client := c.Client("me")
	sas := client.CoreV1().ServiceAccounts("demo")
	sa := getSA(t, client, "demo", "s3-reader")

	wrong := sa.DeepCopy()
	wrong.UID = "other"
	if _, err := sas.Update(t.Context(), wrong, metav1.UpdateOptions{}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "Precondition failed: UID in precondition: other") {
		t.Errorf("update: got %v, want a failed precondition", err)
	}
	for _, pt := range []types.PatchType{types.MergePatchType, types.StrategicMergePatchType, types.ApplyPatchType} {
		patch := `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"uid":"other","annotations":{"new":"b"}}}`
		_, err := sas.Patch(t.Context(), "s3-reader", pt, []byte(patch), metav1.PatchOptions{FieldManager: "lanyard"})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "metadata.uid") || !strings.Contains(err.Error(), "field is immutable") {
			t.Errorf("%s: got %v, want metadata.uid to be immutable", pt, err)
		}
		patch = fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"uid":%q,"annotations":{"a":%q}}}`, sa.UID, pt)
		force := pt == types.ApplyPatchType
		o := metav1.PatchOptions{FieldManager: "lanyard"}
		if force {
			o.Force = &force
		}
		if _, err := sas.Patch(t.Context(), "s3-reader", pt, []byte(patch), o); err != nil {
			t.Errorf("%s with the right uid: %v", pt, err)
		}
	}
	gone := `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"uid":"other","annotations":{"a":"b"}}}`
	_, err := sas.Patch(t.Context(), "gone", types.ApplyPatchType, []byte(gone), metav1.PatchOptions{FieldManager: "lanyard"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "uid mismatch") {
		t.Errorf("apply with a uid to what is gone: got %v, want a conflict", err)
	}
	uid := types.UID("other")
	if err := sas.Delete(t.Context(), "s3-reader", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); !apierrors.IsConflict(err) {
		t.Errorf("delete: got %v, want a conflict", err)
	}
}

func apply(t *testing.T, client kubernetes.Interface, manager, value string, force bool) (*corev1.ServiceAccount, error) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount",
		"metadata": map[string]any{"name": "s3-reader", "namespace": "demo", "annotations": map[string]string{roleKey: value}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client.CoreV1().ServiceAccounts("demo").Patch(t.Context(), "s3-reader", types.ApplyPatchType, patch,
		metav1.PatchOptions{FieldManager: manager, Force: &force})
}

func managersOf(sa *corev1.ServiceAccount) []string {
	var out []string
	for _, e := range sa.ManagedFields {
		if strings.Contains(e.FieldsV1.GetRawString(), `"f:`+roleKey+`"`) {
			out = append(out, e.Manager+" "+string(e.Operation)+" "+e.Time.UTC().Format(time.RFC3339))
		}
	}
	return out
}

func TestServerSideApply(t *testing.T) {
	t.Parallel()
	c, clock := newCluster(t, account("demo", "s3-reader"))
	client := c.Client("me")
	if _, err := apply(t, client, "", "one", false); !apierrors.IsInvalid(err) {
		t.Errorf("no field manager: got %v, want invalid", err)
	}
	if _, err := apply(t, client, "helm", "one", false); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	_, err := apply(t, client, "lanyard", "two", false)
	want := `Apply failed with 1 conflict: conflict with "helm": .metadata.annotations.eks.amazonaws.com/role-arn`
	if !apierrors.IsConflict(err) || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if s := statusOf(t, err); s.Code != http.StatusConflict || s.Details.Causes[0].Type != metav1.CauseTypeFieldManagerConflict {
		t.Errorf("status = %+v, want 409 with cause FieldManagerConflict", s)
	}
	sa, err := apply(t, client, "lanyard", "two", true)
	if err != nil {
		t.Fatal(err)
	}
	if sa.Annotations[roleKey] != "two" {
		t.Errorf("annotation = %q, want two", sa.Annotations[roleKey])
	}
	if diff := cmp.Diff([]string{"lanyard Apply 2026-11-23T10:00:00Z"}, managersOf(sa)); diff != "" {
		t.Errorf("managers of the annotation (-want +got):\n%s", diff)
	}
	clock.Advance(time.Hour)
	if sa, err = apply(t, client, "helm", "two", false); err != nil { // the same value is shared, not contested
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lanyard Apply 2026-11-23T10:00:00Z", "helm Apply 2026-11-23T11:00:00Z"}, managersOf(sa)); diff != "" {
		t.Errorf("managers of the annotation (-want +got):\n%s", diff)
	}
}

func TestUpdateManagerConflictsWithApply(t *testing.T) {
	t.Parallel()
	// With nothing but a name there is nothing to own, and later updates are not tracked
	// either: the apply would meet "before-first-apply", as on a real API server.
	seed := account("demo", "s3-reader")
	seed.Labels = map[string]string{"app": "x"}
	c, _ := newCluster(t, seed)
	client := c.Client("kubectl")
	sa := getSA(t, client, "demo", "s3-reader")
	sa.Annotations = map[string]string{roleKey: "one"}
	if _, err := client.CoreV1().ServiceAccounts("demo").Update(t.Context(), sa, metav1.UpdateOptions{FieldManager: "kubectl-annotate"}); err != nil {
		t.Fatal(err)
	}
	_, err := apply(t, client, "lanyard", "two", false)
	want := `Apply failed with 1 conflict: conflict with "kubectl-annotate" using v1: .metadata.annotations.eks.amazonaws.com/role-arn`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestJSONPatchTests(t *testing.T) {
	t.Parallel()
	const path = "/metadata/annotations/eks.amazonaws.com~1role-arn"
	seed := account("demo", "s3-reader")
	seed.Annotations = map[string]string{roleKey: "one", "other": "kept"}
	c, _ := newCluster(t, seed)
	client := c.Client("lanyard")
	uid := string(getSA(t, client, "demo", "s3-reader").UID)
	op := func(uid, value, remove string) []byte {
		return fmt.Appendf(nil, `[{"op":"test","path":"/metadata/uid","value":%q},{"op":"test","path":%q,"value":%q},{"op":"remove","path":%q}]`, uid, path, value, remove)
	}
	do := func(patch []byte) error {
		_, err := client.CoreV1().ServiceAccounts("demo").Patch(t.Context(), "s3-reader", types.JSONPatchType, patch, metav1.PatchOptions{})
		return err
	}
	for name, patch := range map[string][]byte{
		"wrong uid":      op("other", "one", path),
		"wrong value":    op(uid, "two", path),
		"nothing there":  op(uid, "one", "/metadata/annotations/absent"),
		"test of absent": []byte(`[{"op":"test","path":"/metadata/annotations/absent","value":"x"}]`),
	} {
		err := do(patch)
		if s := statusOf(t, err); s.Code != http.StatusUnprocessableEntity || s.Reason != metav1.StatusReasonInvalid ||
			s.Message != "the server rejected our request due to an error in our request" {
			t.Errorf("%s: got %d %s %q, want 422 Invalid in the API server's words", name, s.Code, s.Reason, s.Message)
		}
	}
	if got := getSA(t, client, "demo", "s3-reader").Annotations; len(got) != 2 {
		t.Errorf("annotations = %v after refused patches, want both", got)
	}
	if err := do([]byte(`not json`)); !apierrors.IsBadRequest(err) {
		t.Errorf("malformed patch: got %v, want a bad request", err)
	}
	if err := do(op(uid, "one", path)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"other": "kept"}, getSA(t, client, "demo", "s3-reader").Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestStrategicPatchMergesContainers(t *testing.T) {
	t.Parallel()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "a", Image: "a:1"}, {Name: "b", Image: "b:1"}}
	c, _ := newCluster(t, d)
	patch := `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}},"spec":{"containers":[{"name":"b","image":"b:2"}]}}}}`
	got, err := c.Client("me").AppsV1().Deployments("demo").Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	images := []string{}
	for _, ct := range got.Spec.Template.Spec.Containers {
		images = append(images, ct.Name+"="+ct.Image)
	}
	slices.Sort(images)
	if diff := cmp.Diff([]string{"a=a:1", "b=b:2"}, images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if got.Generation != 2 {
		t.Errorf("generation = %d after a change of the spec, want 2", got.Generation)
	}
}

func TestStatusAndSpecAreApart(t *testing.T) {
	t.Parallel()
	three := int32(3)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}}
	c, _ := newCluster(t, d)
	api := c.Client("me").AppsV1().Deployments("demo")
	got, err := api.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Spec.Replicas, got.Status.Replicas = &three, 7
	if got, err = api.Update(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got.Status.Replicas != 0 || *got.Spec.Replicas != 3 || got.Generation != 2 {
		t.Errorf("after update: status %d, spec %d, generation %d, want 0, 3, 2", got.Status.Replicas, *got.Spec.Replicas, got.Generation)
	}
	got.Spec.Replicas, got.Status.Replicas = nil, 5
	if got, err = api.UpdateStatus(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got.Status.Replicas != 5 || got.Spec.Replicas == nil || got.Generation != 2 {
		t.Errorf("after update of status: status %d, spec %v, generation %d, want 5, kept, 2", got.Status.Replicas, got.Spec.Replicas, got.Generation)
	}
	if _, err := api.GetScale(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("scale: got %v, want not found: it is not supported", err)
	}
	if _, err := api.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("update of scale: got %v, want not found", err)
	}
}
