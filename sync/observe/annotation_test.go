package observe

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/sync/live"
)

// served is an API server that answers paths with JSON, counts, and knows nothing else.
type served struct {
	kubernetes.Interface // the fake's, for everything typed
	server               kubernetes.Interface
	mu                   sync.Mutex
	asked                []string
	limits               map[string]string // of the pages asked for, by path
	answers              map[string]string // by path, or by path and page token
}

func (s *served) Discovery() discovery.DiscoveryInterfaces { return s.server.Discovery() }

// IsWatchListSemanticsUnSupported: as the fake.
func (s *served) IsWatchListSemanticsUnSupported() bool { return true }

const apiGroups = `{"kind":"APIGroupList","groups":[
 {"name":"storage.k8s.io","preferredVersion":{"version":"v1"}},
 {"name":"external-secrets.io","preferredVersion":{"version":"v1beta1"}},
 {"name":"secrets-store.csi.x-k8s.io","preferredVersion":{"version":"v1"}},
 {"name":"keda.sh","preferredVersion":{"version":"v1alpha1"}},
 {"name":"cert-manager.io","preferredVersion":{"version":"v1"}}]}`

func newServed(t *testing.T, w *world, answers map[string]string) *served {
	t.Helper()
	s := &served{Interface: w.kube, answers: answers, limits: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if token := r.URL.Query().Get("continue"); token != "" {
			path += "?" + token
		}
		s.mu.Lock()
		s.asked = append(s.asked, path)
		s.limits[path] = r.URL.Query().Get("limit")
		answer, ok := s.answers[path]
		s.mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		if !ok || answer == "forbidden" {
			status := metav1.Status{Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound, Message: "not found"}
			if ok {
				status.Reason, status.Code, status.Message = metav1.StatusReasonForbidden, http.StatusForbidden, "lanyard may not"
			}
			status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			rw.WriteHeader(int(status.Code))
			_ = json.NewEncoder(rw).Encode(status)
			return
		}
		_, _ = rw.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	var err error
	s.server, err = kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	w.must(err)
	return s
}

func items(list ...string) string { return `{"metadata":{},"items":[` + strings.Join(list, ",") + `]}` }

func one(namespace, name, spec string) string {
	return `{"metadata":{"namespace":"` + namespace + `","name":"` + name + `"},"spec":` + spec + `}`
}

// everyKind is a cluster with a reader of each kind, and one that is none beside it.
func everyKind() map[string]string {
	return map[string]string{
		"/apis": apiGroups,
		"/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses": items(
			one("demo", "db", `{"provider":"aws","parameters":{"objects":"x"}}`), one("demo", "moved", `{"provider":"aws","parameters":{"usePodIdentity":"true"}}`),
			one("demo", "vault", `{"provider":"vault"}`)),
		"/apis/external-secrets.io/v1beta1/secretstores": `{"metadata":{"continue":"next"},"items":[` +
			one("demo", "aws", `{"provider":{"aws":{"auth":{"jwt":{"serviceAccountRef":{"name":"api","namespace":"ignored"}}}}}}`) + `]}`,
		"/apis/external-secrets.io/v1beta1/secretstores?next": items(one("demo", "own", `{"provider":{"aws":{"service":"SecretsManager"}}}`),
			one("web", "aws", `{"provider":{"aws":{"auth":{"jwt":{"serviceAccountRef":{"name":"web"}}}}}}`)),
		"/apis/external-secrets.io/v1beta1/clustersecretstores": items(
			one("", "all", `{"provider":{"aws":{"auth":{"jwt":{"serviceAccountRef":{"name":"api","namespace":"demo"}}}}}}`),
			one("", "any", `{"provider":{"aws":{"auth":{"jwt":{"serviceAccountRef":{"name":"api"}}}}}}`)),
		"/apis/keda.sh/v1alpha1/triggerauthentications": items(one("demo", "aws", `{"podIdentity":{"provider":"aws","identityOwner":"workload"}}`),
			one("demo", "keda", `{"podIdentity":{"provider":"aws"}}`), one("demo", "idle", `{"podIdentity":{"provider":"aws-eks"}}`)),
		"/apis/keda.sh/v1alpha1/clustertriggerauthentications": items(one("", "aws", `{"podIdentity":{"provider":"aws-eks"}}`)),
		"/apis/keda.sh/v1alpha1/scaledobjects": items(
			one("demo", "s", `{"scaleTargetRef":{"name":"api"},"triggers":[{"authenticationRef":{"name":"aws"}},{"type":"cron"},{"authenticationRef":{"name":"aws","kind":"ClusterTriggerAuthentication"}}]}`),
			one("web", "s", `{"scaleTargetRef":{"name":"web","kind":"StatefulSet"},"triggers":[{"authenticationRef":{"name":"aws"}}]}`)),
		"/apis/keda.sh/v1alpha1/scaledjobs": items(one("demo", "j", `{"jobTargetRef":{"template":{"spec":{"serviceAccountName":"batch"}}},"triggers":[{"authenticationRef":{"name":"aws"}},{"authenticationRef":{"name":"aws"}}]}`),
			one("old", "j", `{"jobTargetRef":{"template":{"spec":{"serviceAccount":"batch"}}},"triggers":[{"authenticationRef":{"name":"aws","kind":"ClusterTriggerAuthentication"}}]}`)),
		"/apis/cert-manager.io/v1/issuers": items(one("demo", "acme", `{"acme":{"solvers":[{"http01":{}},{"dns01":{"route53":{"auth":{"kubernetes":{"serviceAccountRef":{"name":"dns"}}}}}}]}}`),
			one("demo", "own", `{"acme":{"solvers":[{"dns01":{"route53":{"region":"eu-west-1"}}}]}}`)),
		"/apis/cert-manager.io/v1/clusterissuers":           items(one("", "acme", `{"acme":{"solvers":[{"dns01":{"route53":{"auth":{"kubernetes":{"serviceAccountRef":{"name":"dns"}}}}}}]}}`)),
		"/apis/storage.k8s.io/v1/csidrivers/s3.csi.aws.com": `{}`,
		"/api/v1/persistentvolumes": items(
			one("", "pod", `{"csi":{"driver":"s3.csi.aws.com","volumeAttributes":{"authenticationSource":"pod"}},"claimRef":{"namespace":"demo","name":"data-web-0"}}`),
			one("", "driver", `{"csi":{"driver":"s3.csi.aws.com","volumeAttributes":{}}}`), one("", "ebs", `{"csi":{"driver":"ebs.csi.aws.com"}}`)),
	}
}

const (
	jwtField = "spec.provider.aws.auth.jwt.serviceAccountRef"
	dnsField = "spec.acme.solvers.dns01.route53.auth.kubernetes.serviceAccountRef"
)

// TestAnnotationReaders reads a cluster that has every kind.
func TestAnnotationReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := newServed(t, w, everyKind())
	o := w.observer(func(o *Options) { o.Kube = api })
	s := w.observe(o)
	wantNoGaps(t, s)
	want := []live.Reader{
		{Kind: "ClusterIssuer", Name: "acme", Field: dnsField, ServiceAccount: "*/dns"},
		{Kind: "ClusterSecretStore", Name: "all", Field: jwtField, ServiceAccount: "demo/api"},
		{Kind: "ClusterSecretStore", Name: "any", Field: jwtField, ServiceAccount: "*/api"},
		{Kind: "ClusterTriggerAuthentication", Name: "aws", Field: "spec.podIdentity.provider: aws-eks", Scaled: []live.WorkloadRef{{Kind: "Deployment", Name: "demo/api"}}},
		{Kind: "ClusterTriggerAuthentication", Name: "aws", Field: "spec.podIdentity.provider: aws-eks", ServiceAccount: "old/batch"},
		{Kind: "Issuer", Namespace: "demo", Name: "acme", Field: dnsField, ServiceAccount: "demo/dns"},
		{Kind: "PersistentVolume", Name: "pod", Field: "spec.csi.volumeAttributes.authenticationSource: pod", Mounted: true, Claim: "demo/data-web-0"},
		{Kind: "SecretProviderClass", Namespace: "demo", Name: "db", Field: "spec.parameters.usePodIdentity is not true", Mounted: true},
		{Kind: "SecretStore", Namespace: "demo", Name: "aws", Field: jwtField, ServiceAccount: "demo/api"},
		{Kind: "SecretStore", Namespace: "web", Name: "aws", Field: jwtField, ServiceAccount: "web/web"},
		{Kind: "TriggerAuthentication", Namespace: "demo", Name: "aws", Field: "spec.podIdentity.identityOwner: workload", Scaled: []live.WorkloadRef{{Kind: "Deployment", Name: "demo/api"}}},
		{Kind: "TriggerAuthentication", Namespace: "demo", Name: "aws", Field: "spec.podIdentity.identityOwner: workload", ServiceAccount: "demo/batch"},
	}
	slices.SortFunc(want, func(a, b live.Reader) int {
		return strings.Compare(a.Kind+a.Namespace+a.Name+a.ServiceAccount, b.Kind+b.Namespace+b.Name+b.ServiceAccount)
	})
	if diff := cmp.Diff(want, s.Facts().Readers); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for path, limit := range api.limits { // lists come in pages; nothing else has any
		if list := path != "/apis" && !strings.Contains(path, "/csidrivers/"); list != (limit == strconv.Itoa(readersPage)) || !list && limit != "" {
			t.Errorf("%s was asked for with limit %q", path, limit)
		}
	}
	api.asked = nil
	w.observe(o)
	if len(api.asked) > 0 {
		t.Errorf("right after: asked for %v, want nothing", api.asked)
	}
	w.clock.Advance(readersInterval)
	w.observe(o)
	if len(api.asked) != len(everyKind()) {
		t.Errorf("later: asked for %d paths, want all %d", len(api.asked), len(everyKind()))
	}
}

// TestAnnotationReadersAbsent: a kind whose CRD is not there is no gap, and costs nothing.
func TestAnnotationReadersAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	api := newServed(t, w, map[string]string{"/apis": `{"groups":[{"name":"storage.k8s.io","preferredVersion":{"version":"v1"}},{"name":"keda.sh","preferredVersion":{"version":"v1alpha1"}}]}`})
	s := w.observe(w.observer(func(o *Options) { o.Kube = api }))
	wantNoGaps(t, s)
	if len(s.Facts().Readers) > 0 || slices.Contains(api.asked, "/api/v1/persistentvolumes") || len(api.asked) != 6 {
		t.Errorf("readers %v; asked for %v", s.Facts().Readers, api.asked)
	}
}

// TestAnnotationReadersUnread: what is refused is a gap of its own kind, the rest is
// read, and the next look asks again.
func TestAnnotationReadersUnread(t *testing.T) {
	t.Parallel()
	for path, scope := range map[string]string{
		"/apis": "", "/apis/external-secrets.io/v1beta1/secretstores": "secretstores.external-secrets.io",
		"/apis/external-secrets.io/v1beta1/secretstores?next": "secretstores.external-secrets.io",
		"/api/v1/persistentvolumes":                           "persistentvolumes",
		"/apis/storage.k8s.io/v1/csidrivers/s3.csi.aws.com":   "persistentvolumes",
	} {
		w := newWorld(t)
		answers := everyKind()
		answers[path] = "forbidden"
		api := newServed(t, w, answers)
		o := w.observer(func(o *Options) { o.Kube = api })
		s := w.observe(o)
		wantGap(t, s, live.SourceReaders, scope, live.GapRefused, "")
		if n := len(s.Facts().Readers); scope != "" && (n < 10 || n > 11) {
			t.Errorf("%s refused: %d readers, want all the others", path, n)
		}
		again, err := o.Again(t.Context(), Ask{})
		w.must(err)
		wantGap(t, again, live.SourceReaders, scope, live.GapRefused, "")
		api.mu.Lock()
		maps.Copy(api.answers, everyKind())
		api.mu.Unlock()
		if s = w.observe(o); len(s.Gaps()) > 0 || len(s.Facts().Readers) != 12 {
			t.Errorf("%s granted again: gaps %v, %d readers", path, s.Gaps(), len(s.Facts().Readers))
		}
	}
}
