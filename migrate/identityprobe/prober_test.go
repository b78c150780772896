package identityprobe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clientbatch "k8s.io/client-go/kubernetes/typed/batch/v1"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/migrate"
)

var reader = migrate.IdentityAsk{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "reader"}, Wanted: identity.PodIdentity}

const image = "registry.example/lanyard@sha256:0123"

type world struct {
	t       *testing.T
	cluster *kubed.Cluster
	kube    kubernetes.Interface
	guarded error // what the guard says
	passed  time.Duration
	prober  *Prober
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := virtual.NewClock(time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC))
	cluster := kubed.New(kubed.Options{Clock: clock})
	if err := cluster.Seed(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lanyard"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "reader"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "default"}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "lanyard", Name: "lanyard"}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "sidecar", Image: "x"}, {Name: "lanyard", Image: image}}}}}}); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, cluster: cluster, kube: cluster.Client("lanyard")}
	w.prober = New(Options{Kube: w.kube, Guard: func(context.Context) (identity.Subject, error) {
		return identity.Subject{Namespace: "lanyard", ServiceAccount: "lanyard"}, w.guarded
	}, Now: func() time.Time { return clock.Now().Add(w.passed) }})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) round(ask *migrate.IdentityAsk) Answer {
	w.t.Helper()
	got, err := w.prober.Round(w.t.Context(), ask)
	w.must(err)
	return got
}

func (w *world) jobs() []batchv1.Job {
	w.t.Helper()
	list, err := w.kube.BatchV1().Jobs("").List(w.t.Context(), metav1.ListOptions{})
	w.must(err)
	return list.Items
}

func (w *world) job() *batchv1.Job {
	w.t.Helper()
	j, err := w.kube.BatchV1().Jobs("demo").Get(w.t.Context(), reader.Job(), metav1.GetOptions{})
	w.must(err)
	return j
}

// pod makes a pod of the Job with a state of its container.
func (w *world) pod(name string, owned bool, state corev1.ContainerState, conditions ...corev1.PodCondition) {
	w.t.Helper()
	j := w.job()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: map[string]string{batchv1.JobNameLabel: j.Name}}, Spec: j.Spec.Template.Spec}
	if owned {
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(j, batchv1.SchemeGroupVersion.WithKind("Job"))}
	}
	pod, err := w.kube.CoreV1().Pods("demo").Create(w.t.Context(), pod, metav1.CreateOptions{})
	w.must(err)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "istio-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, {Name: container, State: state}}
	pod.Status.Conditions = conditions
	_, err = w.kube.CoreV1().Pods("demo").UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{})
	w.must(err)
}

// fail ends the Job as its controller does.
func (w *world) fail() {
	w.t.Helper()
	j := w.job()
	j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue}, {Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Message: "Job was active longer than specified deadline"}}
	_, err := w.kube.BatchV1().Jobs("demo").UpdateStatus(w.t.Context(), j, metav1.UpdateOptions{})
	w.must(err)
}

func ended(message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: message}}
}

// refuse lets the API server refuse to create Jobs.
func (w *world) refuse(err error) { w.prober.o.Kube = refusing{w.kube, err} }

type refusing struct {
	kubernetes.Interface
	err error
}

func (r refusing) BatchV1() clientbatch.BatchV1Interface {
	return refusingBatch{r.Interface.BatchV1(), r.err}
}

type refusingBatch struct {
	clientbatch.BatchV1Interface
	err error
}

func (r refusingBatch) Jobs(namespace string) clientbatch.JobInterface {
	return refusingJobs{r.BatchV1Interface.Jobs(namespace), r.err}
}

type refusingJobs struct {
	clientbatch.JobInterface
	err error
}

func (r refusingJobs) Create(context.Context, *batchv1.Job, metav1.CreateOptions) (*batchv1.Job, error) {
	return nil, r.err
}

// TestRound: a Job is made once, waited for, read when its container has ended or it has,
// and gone then, whatever came of it.
func TestRound(t *testing.T) {
	t.Parallel()
	waits := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no such image"}}
	}
	for _, tt := range []struct {
		name string
		do   func(*world)
		done bool
		want migrate.IdentitySaid
	}{
		{"nothing yet", func(*world) {}, false, migrate.IdentitySaid{}},
		{"an image that cannot be had", func(w *world) { w.pod("p", true, waits("ErrImagePull")) }, false, migrate.IdentitySaid{Waits: "its container waits: ErrImagePull no such image"}},
		{"no node", func(w *world) {
			w.pod("p", true, corev1.ContainerState{}, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"})
		}, false, migrate.IdentitySaid{Waits: "its pod is not scheduled: 0/3 nodes are available"}},
		{"an identity, while another container runs on", func(w *world) {
			w.pod("p", true, ended(`{"account":"123456789012","role":"reader","session":"arn:aws:sts::123456789012:assumed-role/reader/x","mechanism":"container","wiring":"pod-identity","found":[]}`))
		}, true, migrate.IdentitySaid{Account: "123456789012", Role: "reader", Session: "arn:aws:sts::123456789012:assumed-role/reader/x", Mechanism: "container", Wiring: "pod-identity"}},
		{"none", func(w *world) {
			w.pod("p", true, ended(`{"mechanism":"web-identity","wiring":"irsa","problem":{"error":"AccessDenied","next":"mend the trust policy"}}`))
		}, true, migrate.IdentitySaid{Mechanism: "web-identity", Wiring: "irsa", Problem: "AccessDenied: mend the trust policy"}},
		{"no answer of whoami", func(w *world) { w.pod("p", true, ended("exec format error")) }, true, migrate.IdentitySaid{Waits: "what its pod left is no answer of lanyard whoami"}},
		{"an end without an answer", func(w *world) { w.pod("p", true, ended("")) }, false, migrate.IdentitySaid{Waits: "its container ended with code 1 (Error) and left no answer"}},
		{"a deadline", func(w *world) { w.fail() }, true, migrate.IdentitySaid{Ended: "Job was active longer than specified deadline"}},
		{"a deadline, and its pod stands", func(w *world) { w.pod("p", true, waits("ErrImagePull")); w.fail() }, true,
			migrate.IdentitySaid{Waits: "its container waits: ErrImagePull no such image", Ended: "Job was active longer than specified deadline"}},
		{"ten minutes, and no end", func(w *world) { w.passed = 11 * time.Minute }, true,
			migrate.IdentitySaid{Ended: "Job demo/" + reader.Job() + " has neither answered nor gone for 10m0s: look who holds it"}},
		{"ten minutes, and an answer", func(w *world) {
			w.passed = 11 * time.Minute
			w.pod("p", true, ended(`{"role":"reader","session":"x","mechanism":"container","wiring":"pod-identity","found":[]}`))
		}, true, migrate.IdentitySaid{Role: "reader", Session: "x", Mechanism: "container", Wiring: "pod-identity"}},
		{"somebody else's pod", func(w *world) { w.pod("forged", false, ended(`{"role":"forged","session":"x"}`)) }, false, migrate.IdentitySaid{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for range 2 {
				if got := w.round(&reader); got != (Answer{Left: 1}) || len(w.jobs()) != 1 {
					t.Fatalf("got %+v and %d Jobs, want one that has not ended", got, len(w.jobs()))
				}
			}
			if j := w.job(); j.Spec.Template.Spec.Containers[0].Image != image || j.Spec.Template.Spec.ServiceAccountName != "reader" {
				t.Errorf("image %s under %s, want that of lanyard's Deployment under reader", j.Spec.Template.Spec.Containers[0].Image, j.Spec.Template.Spec.ServiceAccountName)
			}
			tt.do(w)
			if got := w.round(&reader); got.Done != tt.done || got.Said != tt.want {
				t.Errorf("got %+v, want %t %+v", got, tt.done, tt.want)
			}
			if left := len(w.jobs()); left == 0 != tt.done {
				t.Errorf("%d Jobs are left", left)
			}
		})
	}
}

// TestBusyAPIServer: an API server that has no answer says nothing of the policy.
func TestBusyAPIServer(t *testing.T) {
	t.Parallel()
	for _, busy := range []error{context.DeadlineExceeded, apierrors.NewTooManyRequests("later", 1), apierrors.NewInternalError(errors.New("etcd"))} {
		w := newWorld(t)
		w.guarded = fmt.Errorf("unguarded: %w", busy)
		if a, err := w.prober.Round(t.Context(), &reader); a.Done || !errors.Is(err, w.guarded) {
			t.Errorf("%v: got %+v, %v; want another round", busy, a, err)
		}
	}
}

// TestLeftovers: a Job that nobody asks about goes, another question's too, and those of
// somebody else stay, though they bear the label or the name.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.round(&reader)
	for _, change := range []func(*batchv1.Job){func(j *batchv1.Job) { j.Name = "theirs" }, func(j *batchv1.Job) { j.Name, j.Labels = "lanyard-whoami-0123456789abcdef", nil }} {
		j := Job(reader, "registry.example/theirs")
		change(j)
		_, err := w.kube.BatchV1().Jobs("demo").Create(t.Context(), j, metav1.CreateOptions{})
		w.must(err)
	}
	back := reader
	back.Wanted = identity.IRSA
	if got := w.round(&back); got.Done || got.Left != 2 {
		t.Errorf("got %+v, want the leftover counted and another made", got)
	}
	if n := len(w.jobs()); n != 3 {
		t.Errorf("%d Jobs, want theirs and the one that is asked for", n)
	}
	if got := w.round(nil); got.Done || got.Left != 1 {
		t.Errorf("got %+v of nobody", got)
	}
	if left := w.jobs(); len(left) != 2 {
		t.Errorf("left: %d Jobs, want theirs alone", len(left))
	}
	if got := w.round(nil); got != (Answer{}) {
		t.Errorf("got %+v, want nothing left", got)
	}
}

// TestNoJob: none is made without the policy, without an image, or where the API server
// refuses it; what fails for a moment is an error, and is tried again.
func TestNoJob(t *testing.T) {
	t.Parallel()
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	for _, tt := range []struct {
		name string
		do   func(*world)
		want string // of the answer
		err  string
	}{
		{"unguarded", func(w *world) { w.guarded = errors.New("the policy is not there") }, "unguarded: the policy is not there", ""},
		{"no Deployment", func(w *world) {
			w.must(w.kube.AppsV1().Deployments("lanyard").Delete(t.Context(), "lanyard", metav1.DeleteOptions{}))
		}, "refused: lanyard does not find its own image: there is no Deployment lanyard/lanyard", ""},
		{"no container", func(w *world) {
			d, err := w.kube.AppsV1().Deployments("lanyard").Get(t.Context(), "lanyard", metav1.GetOptions{})
			w.must(err)
			d.Spec.Template.Spec.Containers[1].Name = "other"
			_, err = w.kube.AppsV1().Deployments("lanyard").Update(t.Context(), d, metav1.UpdateOptions{})
			w.must(err)
		}, "refused: lanyard does not find its own image: Deployment lanyard/lanyard has no container lanyard", ""},
		{"refused", func(w *world) {
			w.refuse(apierrors.NewForbidden(jobs, "x", errors.New("exceeded quota")))
		}, `refused: jobs.batch "x" is forbidden: exceeded quota`, ""},
		{"no answer", func(w *world) { w.refuse(apierrors.NewInternalError(errors.New("etcd"))) }, "", "create the identity probe of demo/reader: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.do(w)
			got, err := w.prober.Round(t.Context(), &reader)
			said := ""
			switch {
			case got.Said.Unguarded != "":
				said = "unguarded: " + got.Said.Unguarded
			case got.Said.Refused != "":
				said = "refused: " + got.Said.Refused
			}
			if said != tt.want || got.Done != (tt.want != "") || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %+v, %v; want %q, %q", got, err, tt.want, tt.err)
			}
			if n := len(w.jobs()); n != 0 {
				t.Errorf("%d Jobs were made", n)
			}
		})
	}
}
