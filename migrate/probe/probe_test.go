package probe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// rollout is an Argo Rollout with a template of its own, or a Deployment's.
func rollout(name, deployment string) *unstructured.Unstructured {
	body := map[string]any{}
	if deployment != "" {
		body["workloadRef"] = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
	} else {
		s := spec()
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s)
		if err != nil {
			panic(err)
		}
		body["template"] = raw
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"namespace": "demo", "name": name, "uid": "uid-of-" + name}, "spec": body}}
}

// TestAsk: for each kind of workload the answer is what its own template would be given,
// before the association and after it, and nothing is made.
func TestAsk(t *testing.T) {
	t.Parallel()
	argo := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{rollouts: "RolloutList"},
		rollout("rollout", ""), rollout("referring", "deployment"))
	for _, test := range []struct {
		name    string
		ref     live.WorkloadRef
		owner   string // of the pod: kind and name
		dynamic bool
	}{
		{"Deployment", live.WorkloadRef{Kind: "Deployment", Name: "deployment"}, "apps/v1 Deployment deployment", false},
		{"StatefulSet", live.WorkloadRef{Kind: "StatefulSet", Name: "statefulset"}, "apps/v1 StatefulSet statefulset", false},
		{"DaemonSet", live.WorkloadRef{Kind: "DaemonSet", Name: "daemonset"}, "apps/v1 DaemonSet daemonset", false},
		{"ReplicaSet", live.WorkloadRef{Kind: "ReplicaSet", Name: "replicaset"}, "apps/v1 ReplicaSet replicaset", false},
		{"Job", live.WorkloadRef{Kind: "Job", Name: "job"}, "batch/v1 Job job", false},
		{"CronJob", live.WorkloadRef{Kind: "CronJob", Name: "cronjob"}, "batch/v1 CronJob cronjob", false},
		{"Rollout", live.WorkloadRef{Kind: "Rollout", Name: "rollout"}, "argoproj.io/v1alpha1 Rollout rollout", true},
		{"Rollout that refers", live.WorkloadRef{Kind: "Rollout", Name: "referring"}, "argoproj.io/v1alpha1 Rollout referring", true},
		{"Rollout by its ReplicaSets", live.WorkloadRef{Kind: "Rollout", Name: "unread"}, "example.com/v1 Rollout unread", false},
		{"a kind that nobody knows", live.WorkloadRef{Kind: "Fleet", Name: "ships"}, "example.com/v1 Fleet ships", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(workloads(),
				owned("unread-1", "Rollout", "unread", "registry.example/main:old", start.Add(-time.Hour)),
				owned("unread-2", "Rollout", "unread", "registry.example/main:1", start.Add(-time.Minute)),
				owned("unread-0", "Rollout", "unread", "registry.example/main:older", start.Add(-2*time.Hour)),
				owned("unread-3", "Fleet", "unread", "registry.example/main:other", start),
				owned("ships-1", "Fleet", "ships", "registry.example/main:1", start))...)
			p := w.prober(func(o *Options) {
				if test.dynamic {
					o.Dynamic = argo
				}
			})
			ask := func(want migrate.Answer) {
				t.Helper()
				got, err := p.Ask(t.Context(), subject, test.ref)
				if diff := cmp.Diff([]migrate.Answer{want}, got); err != nil || diff != "" {
					t.Errorf("answers (-want +got), error %v\n%s", err, diff)
				}
			}
			ask(migrate.Answer{At: start, Result: migrate.AnswerGiven, Credential: live.CredentialIRSA, Role: oldRole, Audience: "sts.amazonaws.com"})
			w.pairs.put(subject)
			w.clock.Advance(time.Second)
			ask(migrate.Answer{At: start.Add(time.Second), Result: migrate.AnswerGiven, Credential: live.CredentialPodIdentity, Audience: "pods.eks.amazonaws.com"})
			w.dry()
			pod := w.seen[0]
			if pod.Name != podName || pod.GenerateName != "" || pod.Spec.NodeName != "" || pod.Labels["app"] != "reader" || pod.Annotations["note"] != "kept" ||
				len(pod.Spec.InitContainers) != 1 || pod.Spec.Containers[0].Image != "registry.example/main:1" {
				t.Errorf("asked about %+v", pod)
			}
			o := pod.OwnerReferences[0]
			if got := o.APIVersion + " " + o.Kind + " " + o.Name; got != test.owner || o.UID == "" || o.Controller == nil || !*o.Controller || o.BlockOwnerDeletion != nil {
				t.Errorf("its owner is %+v, want %s, which controls it and is not blocked", o, test.owner)
			}
			if v := volume(pod, "data"); test.ref.Kind == "StatefulSet" && (v == nil || v.PersistentVolumeClaim == nil || v.PersistentVolumeClaim.ClaimName != "data-statefulset-0") {
				t.Errorf("its claim is volume %+v", v)
			}
		})
	}
}

// TestAskErrors: what cannot be asked is an error, and nobody is asked.
func TestAskErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		subject identity.Subject
		ref     live.WorkloadRef
		fault   kubed.Fault
		want    string
	}{
		{"gone", subject, live.WorkloadRef{Kind: "Deployment", Name: "none"}, kubed.Fault{}, `read Deployment none: deployments.apps "none" not found`},
		{"of nobody's", subject, live.WorkloadRef{}, kubed.Fault{}, "never made again"},
		{"another ServiceAccount by now", identity.Subject{Namespace: "demo", ServiceAccount: "default"}, live.WorkloadRef{Kind: "Deployment", Name: "deployment"}, kubed.Fault{}, "Deployment deployment uses ServiceAccount reader now"},
		{"no ReplicaSet", subject, live.WorkloadRef{Kind: "Fleet", Name: "none"}, kubed.Fault{}, "not found"},
		{"unreadable", subject, live.WorkloadRef{Kind: "CronJob", Name: "cronjob"}, kubed.Fault{Verb: "get", Resource: "cronjobs"}, "cannot get resource"},
		{"unreadable addresses", subject, live.WorkloadRef{Kind: "Job", Name: "job"}, kubed.Fault{Verb: "get", Resource: "endpointslices"}, "read the API servers' addresses"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, workloads()...)
			if test.fault.Verb != "" {
				w.kube.Inject(test.fault)
			}
			got, err := w.prober().Ask(t.Context(), test.subject, test.ref)
			if err == nil || !strings.Contains(err.Error(), test.want) || got != nil {
				t.Errorf("answers %v, error %v; want %s", got, err, test.want)
			}
			if n := w.asked(); n != 0 {
				t.Errorf("%d pods were asked about", n)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld(t, workloads()...)
	w.kube.Inject(kubed.Fault{Resource: "selfsubjectreviews"})
	if got, err := w.prober().Ask(ctx, subject, live.WorkloadRef{Kind: "Job", Name: "job"}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v, %v", got, err)
	}
}

// slice is EndpointSlice default/kubernetes.
func slice(change ...func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(6443)), Protocol: new(corev1.ProtocolTCP)}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"192.0.2.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}},
			{Addresses: []string{"192.0.2.1"}},
			{Addresses: []string{"192.0.2.3"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}},
		},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// TestAskEveryAddress: each API server answers for itself, and one that cannot be reached
// is no no.
func TestAskEveryAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(workloads(), slice())...)
	behind := newWorld(t) // another control-plane instance, which knows more
	behind.pairs.put(subject)
	var dialled []string
	p := w.prober(func(o *Options) {
		o.Dial = func(address string) (kubernetes.Interface, error) {
			dialled = append(dialled, address)
			switch address {
			case "192.0.2.1:6443":
				return w.kube.Client(user), nil
			case "192.0.2.2:6443":
				return behind.kube.Client(user), nil
			}
			return nil, fmt.Errorf("connect to %s: refused", address)
		}
	})
	ask := func(want ...string) {
		t.Helper()
		answers, err := p.Ask(t.Context(), subject, live.WorkloadRef{Kind: "CronJob", Name: "cronjob"})
		var got []string
		for _, a := range answers {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", a.Address, a.Result, a.Credential, a.Message)))
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("answers (-want +got), error %v\n%s", err, diff)
		}
	}
	ask("192.0.2.1:6443 given irsa", "192.0.2.2:6443 given pod-identity")
	if want := []string{"192.0.2.1:6443", "192.0.2.2:6443"}; !slices.Equal(dialled, want) {
		t.Errorf("dialled %q, want %q", dialled, want)
	}
	w.must(w.kube.Seed(slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints[2].Conditions.Ready = nil })))
	ask("192.0.2.1:6443 given irsa", "192.0.2.2:6443 given pod-identity", "192.0.2.3:6443 failed connect to 192.0.2.3:6443: refused")

	// Without a way to dial, the one client is asked for each.
	p = w.prober()
	ask("192.0.2.1:6443 given irsa", "192.0.2.2:6443 given irsa", "192.0.2.3:6443 given irsa")
	w.dry()
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	many := func(n int) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) {
			s.Endpoints = nil
			for i := range n {
				s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("192.0.2.%d", i+1)}})
			}
		}
	}
	one := func(address string) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) {
			s.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{address, address}}}
		}
	}
	port := func(ports ...discoveryv1.EndpointPort) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) { s.Ports = ports }
	}
	for _, test := range []struct {
		name   string
		change []func(*discoveryv1.EndpointSlice)
		want   int
		first  string
		err    string
	}{
		{"two", nil, 2, "192.0.2.1:6443", ""},
		{"sixteen", []func(*discoveryv1.EndpointSlice){many(16)}, 16, "192.0.2.10:6443", ""},
		{"seventeen", []func(*discoveryv1.EndpointSlice){many(17)}, 0, "", "has 17 addresses, and at most 16 are asked"},
		{"none", []func(*discoveryv1.EndpointSlice){many(0)}, 0, "", "names none"},
		{"IPv6, twice", []func(*discoveryv1.EndpointSlice){one("2001:db8::1")}, 1, "[2001:db8::1]:6443", ""},
		{"a name", []func(*discoveryv1.EndpointSlice){one("api.example.com")}, 0, "", `address "api.example.com"`},
		{"one port without a name", []func(*discoveryv1.EndpointSlice){one("192.0.2.9"), port(discoveryv1.EndpointPort{Port: new(int32(443))})}, 1, "192.0.2.9:443", ""},
		{"of two ports https", []func(*discoveryv1.EndpointSlice){one("192.0.2.9"), port(
			discoveryv1.EndpointPort{Name: new("https"), Port: new(int32(443))}, discoveryv1.EndpointPort{Name: new("konnectivity"), Port: new(int32(8132))})}, 1, "192.0.2.9:443", ""},
		{"no port", []func(*discoveryv1.EndpointSlice){one("192.0.2.9"), port()}, 0, "", `with port ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slice(test.change...))
			p := w.prober(func(o *Options) {
				o.Dial = func(string) (kubernetes.Interface, error) { return nil, errors.New("not here") }
			})
			got, err := p.addresses(t.Context())
			if len(got) != test.want || test.want > 0 && got[0] != test.first || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("addresses %q, %v; want %d, the first %s, error %q", got, err, test.want, test.first, test.err)
			}
		})
	}
}

// TestRefusals: other plugins' refusals are told from answers that nobody gave.
func TestRefusals(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	denied := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: "Whatever", Message: message}}
	}
	for _, test := range []struct {
		name string
		err  error
		want migrate.Result
		says string
	}{
		{"quota", apierrors.NewForbidden(pods, podName, errors.New("exceeded quota: compute, requested: pods=1, used: pods=3, limited: pods=3")), migrate.AnswerRefused, "exceeded quota: compute"},
		{"LimitRanger", apierrors.NewForbidden(pods, podName, errors.New("maximum memory usage per Container is 1Gi")), migrate.AnswerRefused, "maximum memory"},
		{"PodSecurity", apierrors.NewForbidden(pods, podName, errors.New(`violates PodSecurity "restricted:latest"`)), migrate.AnswerRefused, "violates PodSecurity"},
		{"no ServiceAccount", apierrors.NewForbidden(pods, podName, errors.New(`error looking up service account demo/reader: serviceaccount "reader" not found`)), migrate.AnswerRefused, "service account"},
		{"a webhook", denied(403, `admission webhook "validate.kyverno.svc" denied the request: no latest tag`), migrate.AnswerRefused, "no latest tag"},
		{"a webhook, with a code of its own", denied(500, `Internal error occurred: admission webhook "x.example.com" denied the request: no`), migrate.AnswerRefused, "denied the request"},
		{"a policy", denied(422, `pods "lanyard-probe" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no`), migrate.AnswerRefused, "'x'"},
		{"a webhook with side effects", apierrors.NewBadRequest(`admission webhook "x.example.com" does not support dry run`), migrate.AnswerRefused, "does not support dry run"},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, podName, nil), migrate.AnswerRefused, "invalid"},
		{"no right", apierrors.NewForbidden(pods, "", errors.New(`User "system:serviceaccount:lanyard:lanyard" cannot create resource "pods" in API group "" in the namespace "demo"`)), migrate.AnswerFailed, "cannot create"},
		{"a token that is over", apierrors.NewUnauthorized("Unauthorized"), migrate.AnswerFailed, "Unauthorized"},
		{"a webhook that does not answer", apierrors.NewInternalError(errors.New(`failed calling webhook "x.example.com": failed to call webhook: Post "https://x.x.svc:443/?timeout=10s": context deadline exceeded`)), migrate.AnswerFailed, "failed calling webhook"},
		{"another pod of that name", apierrors.NewAlreadyExists(pods, podName), migrate.AnswerFailed, "already exists"},
		{"a quota that changes", apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, "compute", errors.New("modified")), migrate.AnswerFailed, "modified"},
		{"throttled", apierrors.NewTooManyRequests("too many", 1), migrate.AnswerFailed, "too many"},
		{"timed out", apierrors.NewTimeoutError("request did not complete", 0), migrate.AnswerFailed, "did not complete"},
		{"no connection", &url.Error{Op: "Post", URL: "https://10.0.0.1/api?token=s", Err: errors.New("connect: connection refused")}, migrate.AnswerFailed, "connect: connection refused"},
		{"no answer", &url.Error{Op: "Post", URL: "https://10.0.0.1/", Err: context.DeadlineExceeded}, migrate.AnswerFailed, "no answer in time"},
		{"many words", denied(403, "admission webhook \"x\" denied the request:\x1b[31m Bearer abcdefghijkl "+strings.Repeat("very long ", 200)), migrate.AnswerRefused, "denied the request: [31m (a token) very long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(workloads(), slice())...)
			client := fake.NewClientset()
			client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, test.err })
			p := w.prober(func(o *Options) { o.Dial = func(string) (kubernetes.Interface, error) { return client, nil } })
			got, err := p.Ask(t.Context(), subject, live.WorkloadRef{Kind: "Deployment", Name: "deployment"})
			if err != nil || len(got) != 2 {
				t.Fatalf("answers %v, %v; want two", got, err)
			}
			a := got[0]
			if a.Result != test.want || !strings.Contains(a.Message, test.says) || len([]rune(a.Message)) > maxText+1 || a.Credential != "" || strings.Contains(a.Message, "https://10.0.0.1") {
				t.Errorf("%v is %s with %q, want %s with %q", test.err, a.Result, a.Message, test.want, test.says)
			}
		})
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	c := func(name string, credential live.Credential, more ...string) live.Container {
		more = append(more, "", "", "")
		return live.Container{Name: name, Credential: credential, Role: more[0], Audience: more[1], Why: more[2], Skipped: strings.HasPrefix(name, "skip")}
	}
	for _, test := range []struct {
		name string
		all  []live.Container
		want string // credential|role|audience|why
	}{
		{"one", []live.Container{c("a", "irsa", "r", "sts.amazonaws.com")}, "irsa|r|sts.amazonaws.com|"},
		{"two alike", []live.Container{c("a", "pod-identity", "", "p"), c("b", "pod-identity", "", "p")}, "pod-identity||p|"},
		{"a skipped one", []live.Container{c("skip", "none"), c("b", "pod-identity", "", "p")}, "pod-identity||p|"},
		{"all skipped", []live.Container{c("skip", "none")}, "none|||all of its containers are skipped"},
		{"none at all", nil, "none|||all of its containers are skipped"},
		{"one without", []live.Container{c("a", "pod-identity", "", "p"), c("b", "none")}, "none|||container b"},
		{"one broken", []live.Container{c("a", "none"), c("b", "broken", "r", "x", "no mount")}, "broken|r|x|container b: no mount"},
		{"one with both", []live.Container{c("a", "pod-identity"), c("b", "both", "r", "s", "beside")}, "both|r|s|container b: beside"},
		{"one with keys", []live.Container{c("a", "pod-identity"), c("b", "static")}, "static|||container b"},
		{"one with a profile", []live.Container{c("a", "irsa"), c("b", "profile")}, "profile|||container b"},
		{"one of each", []live.Container{c("a", "irsa", "r", "s"), c("b", "pod-identity", "", "p")}, "both|||container a has irsa, and container b pod-identity"},
		{"two roles", []live.Container{c("a", "irsa", "r", "s"), c("b", "irsa", "q", "s")}, "irsa||s|containers a and b have different roles"},
		{"two audiences", []live.Container{c("a", "irsa", "r", "s"), c("b", "irsa", "r", "t")}, "irsa|r||"},
	} {
		credential, role, audience, why := sum(test.all)
		if got := strings.Join([]string{string(credential), role, audience, why}, "|"); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
