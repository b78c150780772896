package observe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestLookIsFresh: what changed a moment ago shows, though no informer saw it.
func TestLookIsFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet()...)
	arn := w.putRole(readerRole)
	second := w.putRole("arn:aws:iam::123456789012:role/second")
	a := w.associate("demo", "s3-reader", readerRole)
	w.associate("demo", "other", readerRole)
	o := w.observer()
	w.observe(o, arn)
	o.Close() // the informers stand still from here on
	w.must(w.kube.CoreV1().Pods("demo").Delete(t.Context(), "bare", metav1.DeleteOptions{}))
	account, err := w.kube.CoreV1().ServiceAccounts("demo").Get(t.Context(), "s3-reader", metav1.GetOptions{})
	w.must(err)
	account.Annotations["eks.amazonaws.com/role-arn"] = second.String()
	_, err = w.kube.CoreV1().ServiceAccounts("demo").Update(t.Context(), account, metav1.UpdateOptions{})
	w.must(err)
	a.RoleARN = second.String()
	_, err = w.PutAssociation(a)
	w.must(err)
	w.must(w.PutRole(awsd.Role{ARN: readerRole, Trust: `{"Version":"2012-10-17","Statement":[]}`}))
	w.calls()

	s, err := o.Look(t.Context(), reader, arn, second)
	w.must(err)
	wantNoGaps(t, s)
	sa, _ := s.ServiceAccount(reader)
	association, p := s.Association(reader)
	role, _ := s.Role(arn)
	pods, podsP := s.Pods(reader)
	made, _ := s.Workloads(reader)
	if sa.Annotations["eks.amazonaws.com/role-arn"] != second.String() || p != live.Present || association.Role != second || role.TrustPolicy == podTrust || presenceOf(s, second) != "present" {
		t.Errorf("Look: got annotation %v, association %s %s, trust %s: want what was just written", sa.Annotations, p, association.Role, role.TrustPolicy)
	}
	if podsP != live.Present || len(pods) != 3 || pods[2].Owner.Kind != "Deployment" {
		t.Errorf("pods: got %s %+v, want job-1, lone, and web-1 of a Deployment", podsP, pods)
	}
	if len(made) != 4 || len(s.Facts().Workloads) != 4 || len(s.Facts().Associations) != 1 {
		t.Errorf("workloads and associations: got %+v, %+v, want the subject's four and one", s.Facts().Workloads, s.Facts().Associations)
	}
	if n, p := s.Node("ip-1"); p != live.Present || !n.AgentReady || len(s.Facts().Nodes) != 2 {
		t.Errorf("node: got %s %+v, want the nodes of the subject's pods with their agents", p, n)
	}
	if quota, _ := s.TrustQuota(acct); quota != 2048 {
		t.Errorf("quota: got %d, want 2048", quota)
	}
	if _, p := s.Provider(provider); p != live.Present {
		t.Errorf("provider: got %s, want present", p)
	}
	if ns, p := s.Namespace("demo"); p != live.Present || ns.Pause != "release" {
		t.Errorf("namespace: got %s %+v", p, ns)
	}
	got := w.calls()
	if got["ListPodIdentityAssociations"] != 1 || got["DescribePodIdentityAssociation"] != 1 || got["GetRole"] != 2 || got["GetOpenIDConnectProvider"] != 1 || len(got) != 4 {
		t.Errorf("calls: got %v", got)
	}
}

// TestLookOfNothing: absent is absent.
func TestLookOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := w.observer().Look(t.Context(), reader, w.role(readerRole))
	w.must(err)
	wantNoGaps(t, s)
	_, a := s.ServiceAccount(reader)
	_, b := s.Association(reader)
	_, c := s.Namespace("demo")
	if got := presenceOf(s, w.role(readerRole)); a != live.Absent || b != live.Absent || c != live.Absent || got != "absent" {
		t.Errorf("ServiceAccount, association, namespace, role: got %s, %s, %s, %s, want absent", a, b, c, got)
	}
}

// TestLookGaps: each read that fails leaves its answer unknown.
func TestLookGaps(t *testing.T) {
	t.Parallel()
	refuse := func(verb, resource string) func(*world) {
		return func(w *world) {
			w.kube.PrependReactor(verb, resource, func(clienttesting.Action) (bool, kruntime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
			})
		}
	}
	fault := func(operation string) func(*world) {
		return func(w *world) { w.AddFault(awsd.Fault{Operation: operation, Kind: awsd.Refuse}) }
	}
	subject := func(of func(*live.Snapshot, identity.Subject) live.Presence) func(*world, *live.Snapshot) live.Presence {
		return func(_ *world, s *live.Snapshot) live.Presence { return of(s, reader) }
	}
	association := subject(func(s *live.Snapshot, r identity.Subject) live.Presence { _, p := s.Association(r); return p })
	made := subject(func(s *live.Snapshot, r identity.Subject) live.Presence { _, p := s.Workloads(r); return p })
	tests := []struct {
		name   string
		spoil  func(*world)
		source live.Source
		scope  string
		answer func(*world, *live.Snapshot) live.Presence
	}{
		{"ServiceAccount", refuse("get", "serviceaccounts"), live.SourceServiceAccounts, "demo/s3-reader",
			subject(func(s *live.Snapshot, r identity.Subject) live.Presence { _, p := s.ServiceAccount(r); return p })},
		{"namespace", refuse("get", "namespaces"), live.SourceNamespaces, "demo",
			func(_ *world, s *live.Snapshot) live.Presence { _, p := s.Namespace("demo"); return p }},
		{"pods", refuse("list", "pods"), live.SourcePods, "demo/s3-reader",
			subject(func(s *live.Snapshot, r identity.Subject) live.Presence { _, p := s.Pods(r); return p })},
		{"deployments", refuse("list", "deployments"), live.SourceWorkloads, "demo/s3-reader", made},
		{"replicasets", refuse("list", "replicasets"), live.SourceWorkloads, "demo/s3-reader", made},
		{"list", fault("ListPodIdentityAssociations"), live.SourceListAssociations, "demo/s3-reader", association},
		{"describe", fault("DescribePodIdentityAssociation"), live.SourceDescribeAssociation, "", association},
		{"role", fault("GetRole"), live.SourceRole, readerRole,
			func(w *world, s *live.Snapshot) live.Presence { _, p := s.Role(w.role(readerRole)); return p }},
		{"provider", fault("GetOpenIDConnectProvider"), live.SourceProvider, provider,
			func(_ *world, s *live.Snapshot) live.Presence { _, p := s.Provider(provider); return p }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fleet()...)
			arn := w.putRole(readerRole)
			a := w.associate("demo", "s3-reader", readerRole)
			o := w.observer()
			w.observe(o, arn)
			tt.spoil(w)
			s, err := o.Look(t.Context(), reader, arn)
			w.must(err)
			scope := tt.scope
			if tt.source == live.SourceDescribeAssociation {
				scope = a.ID
			}
			wantGap(t, s, tt.source, scope, live.GapRefused, "")
			if got := tt.answer(w, s); got != live.Unknown {
				t.Errorf("presence: got %s, want unknown", got)
			}
		})
	}
	t.Run("not started", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, err := New(w.options()).Look(t.Context(), reader)
		w.must(err)
		if _, p := s.Node("ip-1"); p != live.Unknown {
			t.Errorf("node: got %s, want unknown", p)
		}
	})
}

// TestClusterIssuer asks a real HTTP server with a real client.
func TestClusterIssuer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, want string
		status           int
	}{
		{"an issuer", `{"issuer":"` + issuer + `","jwks_uri":"x"}`, issuer, 200},
		{"none", `{}`, "", 200},
		{"not JSON", `<html>`, "", 200},
		{"refused", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, "", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/.well-known/openid-configuration" || r.Method != http.MethodGet {
					t.Errorf("request: got %s %s", r.Method, r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))
			defer server.Close()
			kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := ClusterIssuer(kube)(t.Context())
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("issuer: got %q, %v, want %q", got, err, tt.want)
			}
			if tt.status == 403 && !refused(err) {
				t.Errorf("error: got %v, want one that reads as refused", err)
			}
		})
	}
	w := newWorld(t)
	s := w.observe(w.observer(func(o *Options) { o.Issuer = nil })) // the fake clientset has no way to ask
	wantGap(t, s, live.SourceIssuer, "", live.GapFailed, "no way to ask")
	if s.Facts().Cluster.APIServerIssuer != "" {
		t.Errorf("issuer: got %q, want none", s.Facts().Cluster.APIServerIssuer)
	}
	opts := w.options()
	opts.Limits.Call = 50 * time.Millisecond // for this question only: a busy machine may need longer for others
	opts.Issuer = func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	g := &gaps{}
	want := []live.Gap{{Source: live.SourceIssuer, Reason: live.GapFailed, Message: "no answer in time"}}
	if got := New(opts).issuer(t.Context(), g); got != "" || !slices.Equal(g.sorted(), want) {
		t.Errorf("an API server that hangs: got %q, gaps %v, want %v", got, g.sorted(), want)
	}
}

// TestFieldSelectors runs on the sandbox's Kubernetes, which unlike client-go's fake
// obeys field selectors and refuses those that the API server does not know.
func TestFieldSelectors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cluster := kubed.New(kubed.Options{Clock: w.clock})
	w.must(cluster.Seed(fleet()...))
	o := w.observer(func(o *Options) { o.Kube = cluster.Client("lanyard") })
	s := w.observe(o)
	wantNoGaps(t, s)
	if pods, p := s.Pods(reader); p != live.Present || len(pods) != 4 || !s.Facts().Webhook.Present {
		t.Errorf("Observe: got %s %d pods, webhook %+v, want 4 and the webhook", p, len(pods), s.Facts().Webhook)
	}
	looked, err := o.Look(t.Context(), reader)
	w.must(err)
	wantNoGaps(t, looked)
	if d := gocmp.Diff(podsOf(s), podsOf(looked)); d != "" {
		t.Errorf("pods, Observe against Look (-observe +look):\n%s", d)
	}
	a, _ := looked.ServiceAccount(reader)
	if len(a.Managers) != 1 || a.Managers[0].Annotation != "eks.amazonaws.com/role-arn" {
		t.Errorf("managers of the annotation: got %+v, want one", a.Managers)
	}
	for _, c := range cluster.Calls("lanyard") {
		if c.Mutating {
			t.Errorf("call: got %s %s, want reads only", c.Verb, c.Resource)
		}
	}
}

func podsOf(s *live.Snapshot) []live.Pod {
	pods, _ := s.Pods(reader)
	return pods
}

// TestStartAndClose: twice is an error, and nothing is left running.
func TestStartAndClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}, &appsv1.Deployment{ObjectMeta: objectMeta("web")})
	var said []string
	opts := w.options()
	opts.Progress = func(s string) { said = append(said, s) }
	o := New(opts)
	o.Close() // before a start it does nothing
	w.must(o.Start(t.Context()))
	if err := o.Start(t.Context()); err == nil {
		t.Error("second Start: got no error")
	}
	w.observe(o)
	o.Close()
	o.Close()
	if len(said) < 4 || said[0] != "watching Kubernetes" || !slices.Contains(said, "asking EKS about cluster irsa-lab") || !slices.Contains(said, "reading 0 roles of account "+acct) {
		t.Errorf("progress: got %q", said)
	}
}
