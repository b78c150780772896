package probe

import (
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/sync/observe"
)

const (
	oldRole = "arn:aws:iam::123456789012:role/old"
	user    = "lanyard"
)

var (
	start   = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
)

// pairs are the associations.
type pairs struct {
	mu  sync.Mutex
	all map[string]bool
}

func (p *pairs) Association(namespace, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[namespace+"/"+name]
}

func (p *pairs) put(s identity.Subject) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[s.String()] = true
}

// world is a cluster with EKS's webhook, the policy of deploy/ and ServiceAccount
// demo/reader on IRSA.
type world struct {
	t     *testing.T
	kube  *kubed.Cluster
	clock *virtual.Clock
	pairs *pairs
	seen  []*corev1.Pod // as they came to admission
	next  kubed.PodAdmission
	mu    sync.Mutex
}

func newWorld(t *testing.T, objs ...runtime.Object) *world {
	t.Helper()
	w := &world{t: t, clock: virtual.NewClock(start), pairs: &pairs{all: map[string]bool{}}}
	w.kube = kubed.New(kubed.Options{Clock: w.clock})
	hook := actors.NewWebhook(actors.WebhookOptions{Clock: w.clock, Region: "eu-west-1", Associations: w.pairs})
	w.kube.Observe(hook.Observe)
	w.next = hook
	w.kube.SetAdmission(w)
	w.must(w.kube.Seed(actors.NewWebhookObject(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "reader", Annotations: map[string]string{actors.RoleARNAnnotation: oldRole}}}))
	w.must(w.kube.SeedManifests(rights.Place{}.Admission()))
	w.must(w.kube.Seed(objs...))
	return w
}

// AdmitPod notes a pod and hands it to the webhook.
func (w *world) AdmitPod(pod *corev1.Pod) *corev1.Pod {
	w.mu.Lock()
	w.seen = append(w.seen, pod.DeepCopy())
	w.mu.Unlock()
	return w.next.AdmitPod(pod)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// prober asks this world.
func (w *world) prober(change ...func(*Options)) *Prober {
	o := Options{Kube: w.kube.Client(user), Judge: observe.Given, Now: w.clock.Now}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

// dry holds that lanyard made nothing.
func (w *world) dry() {
	w.t.Helper()
	for _, c := range w.kube.Calls(user) {
		if c.Mutating && c.Resource != "selfsubjectreviews" {
			w.t.Errorf("lanyard changed the cluster: %s %s %s/%s", c.Verb, c.Resource, c.Namespace, c.Name)
		}
	}
	list, err := w.kube.Client("admin").CoreV1().Pods("").List(w.t.Context(), metav1.ListOptions{})
	w.must(err)
	for _, p := range list.Items {
		w.t.Errorf("pod %s/%s was stored", p.Namespace, p.Name)
	}
}

// asked is how many pods lanyard asked about.
func (w *world) asked() (n int) {
	for _, c := range w.kube.Calls(user) {
		if c.Resource == "pods" && c.Verb == "create" {
			n++
		}
	}
	return n
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "demo", Name: name, UID: types.UID("uid-of-" + name)}
}

// spec is a template that runs as ServiceAccount reader.
func spec() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "reader"}, Annotations: map[string]string{"note": "kept"}},
		Spec: corev1.PodSpec{ServiceAccountName: "reader", NodeName: "gone",
			InitContainers: []corev1.Container{{Name: "init", Image: "registry.example/init:1"}},
			Containers:     []corev1.Container{{Name: "main", Image: "registry.example/main:1"}}},
	}
}

func deployment(name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: meta(name), Spec: appsv1.DeploymentSpec{Template: spec()}}
}

// workloads are one of each kind, named after it.
func workloads() []runtime.Object {
	claimed := spec()
	claimed.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	claimed.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	job := spec()
	job.Spec.RestartPolicy = corev1.RestartPolicyNever
	return []runtime.Object{
		deployment("deployment"),
		&appsv1.StatefulSet{ObjectMeta: meta("statefulset"), Spec: appsv1.StatefulSetSpec{Template: claimed,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}}},
		&appsv1.DaemonSet{ObjectMeta: meta("daemonset"), Spec: appsv1.DaemonSetSpec{Template: spec()}},
		&appsv1.ReplicaSet{ObjectMeta: meta("replicaset"), Spec: appsv1.ReplicaSetSpec{Template: spec()}},
		&batchv1.Job{ObjectMeta: meta("job"), Spec: batchv1.JobSpec{Template: job}},
		&batchv1.CronJob{ObjectMeta: meta("cronjob"), Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: job}}}},
	}
}

// owned is a ReplicaSet of another owner, older or newer.
func owned(name, kind, owner, image string, at time.Time) *appsv1.ReplicaSet {
	controls := true
	r := &appsv1.ReplicaSet{ObjectMeta: meta(name), Spec: appsv1.ReplicaSetSpec{Template: spec()}}
	r.CreationTimestamp = metav1.NewTime(at)
	r.Spec.Template.Spec.Containers[0].Image = image
	r.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: kind, Name: owner, UID: "uid-of-owner", Controller: &controls, BlockOwnerDeletion: &controls}}
	return r
}

func volume(pod *corev1.Pod, name string) *corev1.Volume {
	if i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }); i >= 0 {
		return &pod.Spec.Volumes[i]
	}
	return nil
}
