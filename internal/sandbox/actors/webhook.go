package actors

import (
	"maps"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// WebhookObject is the name of the webhook's object on an EKS cluster.
const WebhookObject = "pod-identity-webhook"

// WebhookOptions are the settings of a [Webhook].
type WebhookOptions struct {
	// Clock is required.
	Clock *virtual.Clock
	// Region is what containers get that name none.
	Region string
	// Seed varies the jitter of token lifetimes.
	Seed uint64
	// Delay is how long after a write the webhook sees it.
	Delay time.Duration
	// Associations is asked at every look, or, if they are [LateAssociations], at every
	// admission; nil means there are none.
	Associations Associations
}

// Webhook is EKS's pod identity webhook as a process with a late view of the world. Put
// it before a cluster's pods with Observe and AdmitPod.
//
// It serves only while its MutatingWebhookConfiguration exists, as on a real cluster,
// and skips pods by that object's objectSelector. It is safe for use by several
// goroutines.
type Webhook struct {
	o WebhookOptions

	mu       sync.Mutex
	down     bool
	object   *admissionv1.MutatingWebhookConfiguration
	accounts map[types.NamespacedName]history[*corev1.ServiceAccount]
	pairs    map[types.NamespacedName]history[bool]
}

// history is what was true of something, and since when. Only what the delay may still
// need is kept.
type history[T comparable] []version[T]

type version[T comparable] struct {
	since time.Time
	value T
}

// goneSince reports whether there was something once, and nothing after that moment.
func (h history[T]) goneSince(at time.Time) bool {
	if len(h) == 0 {
		return false
	}
	last, none := h[len(h)-1], *new(T)
	return last.value == none && last.since.Before(at)
}

// NewWebhook returns a webhook that knows nothing yet.
func NewWebhook(o WebhookOptions) *Webhook {
	return &Webhook{
		o:        o,
		accounts: map[types.NamespacedName]history[*corev1.ServiceAccount]{},
		pairs:    map[types.NamespacedName]history[bool]{},
	}
}

// SetDown takes the webhook away or brings it back. While it is down pods are admitted
// unchanged, without an event: its failurePolicy is Ignore.
func (w *Webhook) SetDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// SetDelay changes how late the webhook sees writes.
func (w *Webhook) SetDelay(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.o.Delay = d
}

// Observe tells the webhook of an object that was written or deleted just now. The first
// sight of a ServiceAccount counts from its creationTimestamp, so that what a world
// starts with is known from the start.
func (w *Webhook) Observe(obj runtime.Object, deleted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o := obj.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		if o.Name != WebhookObject {
			return
		}
		w.object = o
		if deleted {
			w.object = nil
		}
	case *corev1.ServiceAccount:
		k := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		since := w.o.Clock.Now()
		if len(w.accounts[k]) == 0 && o.CreationTimestamp.Time.Before(since) {
			since = o.CreationTimestamp.Time
		}
		if deleted {
			o = nil
		}
		w.accounts[k] = w.accounts[k].add(since, o)
		w.look(k)
	}
}

// Look asks for the association of every pair the webhook knows. A change counts from
// the look that first shows it, so call Look after each write to EKS (a [Life] can, at
// every step) for the delay to be exact. What is gone for longer than any delay is
// forgotten.
func (w *Webhook) Look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.o.Clock.Now().Add(-max(w.o.Delay, time.Hour))
	for _, k := range slices.Collect(maps.Keys(w.pairs)) {
		w.look(k)
		if w.accounts[k].goneSince(old) && w.pairs[k].goneSince(old) {
			delete(w.accounts, k)
			delete(w.pairs, k)
		}
	}
}

func (w *Webhook) look(k types.NamespacedName) {
	now := w.o.Associations != nil && w.o.Associations.Association(k.Namespace, k.Name)
	h := w.pairs[k]
	switch {
	case len(h) == 0:
		w.pairs[k] = history[bool]{{value: now}} // since ever
	case h[len(h)-1].value != now:
		w.pairs[k] = h.add(w.o.Clock.Now(), now)
	}
}

// AdmitPod answers one pod create, dry runs too.
func (w *Webhook) AdmitPod(pod *corev1.Pod) *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.selects(pod) {
		return pod
	}
	return w.answer(pod)
}

// Answer is AdmitPod for a caller that has done the API server's part: it has found the
// webhook's object and matched the selector.
func (w *Webhook) Answer(pod *corev1.Pod) *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer(pod)
}

func (w *Webhook) answer(pod *corev1.Pod) *corev1.Pod {
	w.look(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName})
	late := view{w, w.o.Clock.Now().Add(-w.o.Delay)}
	return Mutate(pod, Config{
		Region: w.o.Region, RegionalSTS: true, Seed: w.o.Seed, Down: w.down,
		Associations: late, ServiceAccounts: late,
	})
}

// selects does what the API server does with the webhook object.
func (w *Webhook) selects(pod *corev1.Pod) bool {
	if w.object == nil || len(w.object.Webhooks) == 0 {
		return false
	}
	sel := w.object.Webhooks[0].ObjectSelector
	if sel == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(sel)
	return err == nil && s.Matches(labels.Set(pod.Labels))
}

// view is the webhook's knowledge as of a moment.
type view struct {
	w  *Webhook
	at time.Time
}

func (v view) Association(namespace, name string) bool {
	if a, ok := v.w.o.Associations.(LateAssociations); ok {
		return a.AssociationBefore(namespace, name, v.w.o.Delay)
	}
	ok, _ := v.w.pairs[types.NamespacedName{Namespace: namespace, Name: name}].at(v.at)
	return ok
}

func (v view) ServiceAccount(namespace, name string) (*corev1.ServiceAccount, bool) {
	sa, ok := v.w.accounts[types.NamespacedName{Namespace: namespace, Name: name}].at(v.at)
	return sa, ok && sa != nil
}

// maxHistory bounds what is remembered of one object.
const maxHistory = 64

func (h history[T]) add(at time.Time, value T) history[T] {
	if len(h) >= maxHistory {
		h = slices.Clone(h[len(h)-maxHistory/2:])
	}
	return append(h, version[T]{at, value})
}

// at returns what was true at a moment.
func (h history[T]) at(t time.Time) (value T, ok bool) {
	for _, v := range slices.Backward(h) {
		if !v.since.After(t) {
			return v.value, true
		}
	}
	return value, false
}

// NewWebhookObject returns the webhook's object as EKS installs it.
func NewWebhookObject() *admissionv1.MutatingWebhookConfiguration {
	ignore, none, again := admissionv1.Ignore, admissionv1.SideEffectClassNone, admissionv1.IfNeededReinvocationPolicy
	url, timeout := "https://127.0.0.1:23443/mutate", int32(10)
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: WebhookObject},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name:                    "iam-for-pods.amazonaws.com",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &url},
			FailurePolicy:           &ignore,
			SideEffects:             &none,
			ReinvocationPolicy:      &again,
			TimeoutSeconds:          &timeout,
			AdmissionReviewVersions: []string{"v1beta1"},
			ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: SkipWebhookLabel, Operator: metav1.LabelSelectorOpDoesNotExist},
			}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
}
