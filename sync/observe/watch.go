package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/lanyard-io/lanyard/sync/live"
)

// webhookName is the webhook object that EKS manages.
const webhookName = "pod-identity-webhook"

// resource is one kind of Kubernetes object and how to read it.
type resource struct {
	name    string
	source  live.Source
	example runtime.Object
	list    func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch   func(context.Context, metav1.ListOptions) (watch.Interface, error)
	trim    cache.TransformFunc
}

// reduced is an object as it is cached: its key, and the facts made of it.
type reduced[T any] struct {
	metav1.ObjectMeta
	facts T
}

// reading ties a typed client to what is kept of its objects. An object that was
// reduced before passes unchanged.
func reading[K metav1.Object, L runtime.Object, T any](name string, source live.Source, example runtime.Object,
	list func(context.Context, metav1.ListOptions) (L, error),
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error), facts func(K) T,
) resource {
	return resource{
		name: name, source: source, example: example, watch: watch,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) },
		trim: func(obj any) (any, error) {
			k, ok := obj.(K)
			if _, done := obj.(*reduced[T]); !ok || done {
				return obj, nil
			}
			return &reduced[T]{
				ObjectMeta: metav1.ObjectMeta{Namespace: k.GetNamespace(), Name: k.GetName(), ResourceVersion: k.GetResourceVersion()},
				facts:      facts(k),
			}, nil
		},
	}
}

// resources are what is read of Kubernetes, in one namespace or in all.
func resources(kube kubernetes.Interface, namespace string) map[string]resource {
	core, apps, batch := kube.CoreV1(), kube.AppsV1(), kube.BatchV1()
	hooks := kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	named := fields.OneTermEqualSelector(metav1.ObjectNameField, webhookName).String()
	all := []resource{
		reading("serviceaccounts", live.SourceServiceAccounts, &corev1.ServiceAccount{},
			core.ServiceAccounts(namespace).List, core.ServiceAccounts(namespace).Watch, serviceAccountFacts),
		reading("namespaces", live.SourceNamespaces, &corev1.Namespace{}, core.Namespaces().List, core.Namespaces().Watch, namespaceFacts),
		reading("pods", live.SourcePods, &corev1.Pod{}, core.Pods(namespace).List, core.Pods(namespace).Watch, podFacts),
		reading("nodes", live.SourceNodes, &corev1.Node{}, core.Nodes().List, core.Nodes().Watch, nodeFacts),
		reading("deployments", live.SourceWorkloads, &appsv1.Deployment{},
			apps.Deployments(namespace).List, apps.Deployments(namespace).Watch, deploymentFacts),
		reading("statefulsets", live.SourceWorkloads, &appsv1.StatefulSet{},
			apps.StatefulSets(namespace).List, apps.StatefulSets(namespace).Watch, statefulSetFacts),
		reading("daemonsets", live.SourceWorkloads, &appsv1.DaemonSet{},
			apps.DaemonSets(namespace).List, apps.DaemonSets(namespace).Watch, daemonSetFacts),
		reading("replicasets", live.SourceWorkloads, &appsv1.ReplicaSet{},
			apps.ReplicaSets(namespace).List, apps.ReplicaSets(namespace).Watch, replicaSetFacts),
		reading("jobs", live.SourceWorkloads, &batchv1.Job{}, batch.Jobs(namespace).List, batch.Jobs(namespace).Watch, jobFacts),
		reading("cronjobs", live.SourceWorkloads, &batchv1.CronJob{}, batch.CronJobs(namespace).List, batch.CronJobs(namespace).Watch, cronJobFacts),
		reading("poddisruptionbudgets", live.SourceBudgets, &policyv1.PodDisruptionBudget{},
			kube.PolicyV1().PodDisruptionBudgets(namespace).List, kube.PolicyV1().PodDisruptionBudgets(namespace).Watch, budgetFacts),
		reading("networkpolicies", live.SourceNetworkPolicies, &networkingv1.NetworkPolicy{},
			kube.NetworkingV1().NetworkPolicies(namespace).List, kube.NetworkingV1().NetworkPolicies(namespace).Watch, policyFacts),
		reading("mutatingwebhookconfigurations", live.SourceWebhook, &admissionv1.MutatingWebhookConfiguration{},
			func(ctx context.Context, o metav1.ListOptions) (*admissionv1.MutatingWebhookConfigurationList, error) {
				o.FieldSelector = named
				return hooks.List(ctx, o)
			},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.FieldSelector = named
				return hooks.Watch(ctx, o)
			}, webhookFacts),
	}
	out := make(map[string]resource, len(all))
	for _, r := range all {
		out[r.name] = r
	}
	return out
}

// workloads are the resources behind [live.Workload].
var workloads = []string{"deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"}

// fresh lists a resource now, without a cache, and returns the facts.
func fresh[T any](ctx context.Context, r resource, o metav1.ListOptions) ([]T, error) {
	list, err := r.list(ctx, o)
	if err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(items))
	for _, item := range items {
		obj, err := r.trim(item)
		if err != nil {
			return nil, err
		}
		if o, ok := obj.(*reduced[T]); ok {
			out = append(out, o.facts)
		}
	}
	return out, nil
}

// watcher follows one resource with an informer.
//
// An informer tries again for ever and never tells how it fares. So the outcome of
// every list and watch is noted here on its way through, and what a broken watch
// showed last stops counting after a while; so does what stands while a list or a watch
// is asked for that nobody answers.
type watcher struct {
	resource
	informer cache.SharedIndexInformer

	mu    sync.Mutex
	err   error // of the latest list or watch, nil if it went well
	since time.Time
	asked time.Time // since when an answer is waited for; zero where none is
}

func newWatcher(kube kubernetes.Interface, r resource) (*watcher, error) {
	w := &watcher{resource: r}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			w.ask()
			list, err := r.list(ctx, o)
			w.note(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w.ask()
			events, err := r.watch(ctx, o)
			w.note(err)
			return events, err
		},
	}
	w.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, kube), r.example, 0, nil)
	if err := w.informer.SetTransform(r.trim); err != nil {
		return nil, fmt.Errorf("watch %s: %w", r.name, err)
	}
	// The handler takes the place of client-go's, which prints.
	if err := w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.note(err) }); err != nil {
		return nil, fmt.Errorf("watch %s: %w", r.name, err)
	}
	return w, nil
}

// ask records that a list or a watch was asked for. An informer asks for one at a time.
func (w *watcher) ask() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = time.Now()
}

// note records the outcome of a list or watch. Health is about this process's
// connection, so it goes by the wall clock, not by the round's.
func (w *watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = time.Time{}
	if err != nil && w.err == nil {
		w.since = time.Now()
	}
	w.err = err
}

// wait returns when the first list is in, when it was refused, or when the context
// ends: an informer that may not list would be waited for in vain.
func (w *watcher) wait(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !w.informer.HasSynced() && !refused(w.failure()) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *watcher) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// unread says why what the informer holds does not count, or nil.
func (w *watcher) unread(stale time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch synced := w.informer.HasSynced(); {
	case w.err != nil && (!synced || refused(w.err) || time.Since(w.since) > stale):
		return fmt.Errorf("%s: %w", w.name, w.err)
	case !synced:
		return fmt.Errorf("%s: the first list has not come yet", w.name)
	case !w.asked.IsZero() && time.Since(w.asked) > stale:
		return fmt.Errorf("%s: the API server does not answer, and what it showed last is old", w.name)
	}
	return nil
}

func refused(err error) bool {
	if err == nil {
		return false
	}
	reason, _ := classify(err)
	return reason == live.GapRefused
}

// cached returns the facts that an informer holds.
func cached[T any](w *watcher) []T {
	items := w.informer.GetStore().List()
	out := make([]T, 0, len(items))
	for _, item := range items {
		if o, ok := item.(*reduced[T]); ok {
			out = append(out, o.facts)
		}
	}
	return out
}
