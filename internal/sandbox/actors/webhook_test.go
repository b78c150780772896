package actors_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const role = "arn:aws:iam::123456789012:role/eks-irsa-lab-demo-s3-reader-role"

// eks is a set of associations that tests change.
type eks map[string]bool

func (e eks) Association(ns, sa string) bool { return e[ns+"/"+sa] }

// lab is a cluster with a webhook and one ServiceAccount, demo/s3-reader.
type lab struct {
	clock   *virtual.Clock
	cluster *kubed.Cluster
	hook    *actors.Webhook
	eks     eks
}

func newLab(t *testing.T, delay time.Duration, annotations map[string]string) *lab {
	t.Helper()
	l := &lab{clock: virtual.NewClock(start), eks: eks{}}
	l.cluster = kubed.New(kubed.Options{Clock: l.clock})
	l.hook = actors.NewWebhook(actors.WebhookOptions{Clock: l.clock, Region: "eu-west-1", Delay: delay, Associations: l.eks})
	l.cluster.Observe(l.hook.Observe)
	l.cluster.SetAdmission(l.hook)
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "s3-reader", Annotations: annotations}}
	sa.CreationTimestamp = metav1.NewTime(start.Add(-time.Hour))
	if err := l.cluster.Seed(sa, actors.NewWebhookObject()); err != nil {
		t.Fatal(err)
	}
	return l
}

// probe returns what a pod admitted now gets: "irsa", "pod-identity" or "none".
func (l *lab) probe(t *testing.T, labels map[string]string) string {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: labels}}
	p.Spec = corev1.PodSpec{ServiceAccountName: "s3-reader", Containers: []corev1.Container{{Name: "main"}}}
	got, err := l.cluster.Client("probe").CoreV1().Pods("demo").Create(t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	return given(got)
}

func given(p *corev1.Pod) string {
	for _, e := range p.Spec.Containers[0].Env {
		switch {
		case strings.HasPrefix(e.Name, "AWS_CONTAINER_"):
			return "pod-identity"
		case e.Name == "AWS_ROLE_ARN":
			return "irsa"
		}
	}
	return "none"
}

func (l *lab) annotate(t *testing.T, patch string) {
	t.Helper()
	_, err := l.cluster.Client("kubectl").CoreV1().ServiceAccounts("demo").Patch(t.Context(), "s3-reader", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"eks.amazonaws.com/role-arn":`+patch+`}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWebhookSeesWritesLate(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second, nil)
	step := func(d time.Duration, want string) {
		t.Helper()
		l.clock.Advance(d)
		if got := l.probe(t, nil); got != want {
			t.Errorf("at %s: got %s, want %s", l.clock.Now().Sub(start), got, want)
		}
	}
	step(0, "none")
	l.annotate(t, `"`+role+`"`)
	step(9*time.Second, "none")
	step(time.Second, "irsa")

	l.eks["demo/s3-reader"] = true
	l.hook.Look()
	step(9*time.Second, "irsa")
	step(time.Second, "pod-identity")

	delete(l.eks, "demo/s3-reader")
	l.annotate(t, `null`)
	l.hook.Look()
	step(9*time.Second, "pod-identity")
	step(time.Second, "none")
}

func TestWebhookKnowsTheWorldItStartsIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, time.Minute, map[string]string{actors.RoleARNAnnotation: role})
	if got := l.probe(t, nil); got != "irsa" {
		t.Errorf("got %s, want irsa", got)
	}
}

func TestWebhookDown(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0, map[string]string{actors.RoleARNAnnotation: role})
	l.hook.SetDown(true)
	if got := l.probe(t, nil); got != "none" {
		t.Errorf("down: got %s, want none", got)
	}
	l.hook.SetDown(false)
	if got := l.probe(t, nil); got != "irsa" {
		t.Errorf("up again: got %s, want irsa", got)
	}
}

func TestWebhookObject(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0, map[string]string{actors.RoleARNAnnotation: role})
	skip := map[string]string{actors.SkipWebhookLabel: "true"}
	if got := l.probe(t, skip); got != "none" {
		t.Errorf("skipped by label: got %s, want none", got)
	}
	open := actors.NewWebhookObject()
	open.Webhooks[0].ObjectSelector = nil
	if err := l.cluster.Seed(open); err != nil {
		t.Fatal(err)
	}
	if got := l.probe(t, skip); got != "irsa" {
		t.Errorf("object without a selector: got %s, want irsa", got)
	}
	err := l.cluster.Client("me").AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), actors.WebhookObject, metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.probe(t, nil); got != "none" {
		t.Errorf("without the object: got %s, want none", got)
	}
}
