package actors

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func podReview(t *testing.T, version string, pod *corev1.Pod) admissionv1.AdmissionReview {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/" + version, Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "9f6b", Operation: admissionv1.Create, Namespace: "demo", Object: runtime.RawExtension{Raw: raw},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		},
	}
}

func post(t *testing.T, h http.Handler, in admissionv1.AdmissionReview) *httptest.ResponseRecorder {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate", strings.NewReader(string(body)))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// overHTTP admits a pod as an API server does: it sends the review and applies the patch.
func overHTTP(t *testing.T, version string, pod *corev1.Pod, cfg Config) *corev1.Pod {
	t.Helper()
	in := podReview(t, version, pod)
	w := post(t, Review(func(p *corev1.Pod) *corev1.Pod { return Mutate(p, cfg) }), in)
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); w.Code != http.StatusOK || err != nil {
		t.Fatalf("answer: %d %s", w.Code, w.Body)
	}
	if out.TypeMeta != in.TypeMeta || out.Response == nil || out.Response.UID != in.Request.UID || !out.Response.Allowed {
		t.Fatalf("answer: %s, want the version, kind and uid that were asked, and allowed", w.Body)
	}
	raw := in.Request.Object.Raw
	if len(out.Response.Patch) > 0 {
		if out.Response.PatchType == nil || *out.Response.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Fatalf("answer: a patch without its type: %s", w.Body)
		}
		p, err := jsonpatch.DecodePatch(out.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = p.Apply(raw); err != nil {
			t.Fatal(err)
		}
	}
	got := &corev1.Pod{}
	if err := json.Unmarshal(raw, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// The pod of a review may have neither a namespace nor a name of its own.
func TestReviewOfGeneratedName(t *testing.T) {
	t.Parallel()
	pod := onePod()
	pod.Namespace, pod.Name, pod.GenerateName = "", "", "web-"
	got := overHTTP(t, "v1", pod, Config{Associations: associated{"demo/s3-reader"}})
	if got.Labels[PodIdentityLabel] != "enabled" || got.Namespace != "" || got.Name != "" {
		t.Errorf("got %+v, want the label and nothing else new", got.ObjectMeta)
	}
}

// A dry run is answered like any other create.
func TestReviewOfDryRun(t *testing.T) {
	t.Parallel()
	h := Review(func(p *corev1.Pod) *corev1.Pod {
		return Mutate(p, Config{Associations: associated{"demo/s3-reader"}})
	})
	real := podReview(t, "v1", onePod())
	dry := podReview(t, "v1", onePod())
	dry.Request.DryRun = new(true)
	if diff := cmp.Diff(post(t, h, real).Body.String(), post(t, h, dry).Body.String()); diff != "" {
		t.Errorf("(-real +dry run):\n%s", diff)
	}
}

func TestReviewOfOtherThings(t *testing.T) {
	t.Parallel()
	h := Review(func(*corev1.Pod) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}}
	})
	for name, change := range map[string]func(*admissionv1.AdmissionRequest){
		"another resource": func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "configmaps" },
		"a subresource":    func(r *admissionv1.AdmissionRequest) { r.SubResource = "eviction" },
		"an update":        func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update },
	} {
		in := podReview(t, "v1", onePod())
		change(in.Request)
		if w := post(t, h, in); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "patch") || !strings.Contains(w.Body.String(), `"allowed":true`) {
			t.Errorf("%s: got %d %s, want allowed without a patch", name, w.Code, w.Body)
		}
	}
	for name, change := range map[string]func(*admissionv1.AdmissionReview){
		"another version": func(r *admissionv1.AdmissionReview) { r.APIVersion = "admission.k8s.io/v2" },
		"another kind":    func(r *admissionv1.AdmissionReview) { r.Kind = "Pod" },
		"no request":      func(r *admissionv1.AdmissionReview) { r.Request = nil },
		"no pod":          func(r *admissionv1.AdmissionReview) { r.Request.Object.Raw = []byte(`"x"`) },
	} {
		in := podReview(t, "v1", onePod())
		change(&in)
		if w := post(t, h, in); w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", name, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/mutate", nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("GET: got %d, want 400", w.Code)
	}
}
