package actors

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// maxReview bounds an AdmissionReview, above the 3 MiB that an API server takes of an object.
const maxReview = 8 << 20

// Review returns the webhook as an API server calls it: AdmissionReviews in, JSON patches
// out. The rules are those of admit, such as [Webhook.Answer], so that a pod is the same
// whether it came over HTTP or by a call. A dry run is answered like any other create:
// the webhook has no side effects.
//
// EKS registers the review version v1beta1. Both versions have the same fields, and the
// answer is of the version that was asked in.
//
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
func Review(admit func(*corev1.Pod) *corev1.Pod) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, "post an AdmissionReview as application/json", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		answer, err := review(body, admit)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // An API server that has gone is not our concern.
	})
}

// review answers one AdmissionReview. What is not a pod being created passes as it is.
func review(body []byte, admit func(*corev1.Pod) *corev1.Pod) ([]byte, error) {
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("read AdmissionReview: %w", err)
	}
	version := in.APIVersion
	if in.Kind != "AdmissionReview" || version != "admission.k8s.io/v1" && version != "admission.k8s.io/v1beta1" {
		return nil, fmt.Errorf("read AdmissionReview: %s %s: send admission.k8s.io/v1 or v1beta1", version, in.Kind)
	}
	if in.Request == nil {
		return nil, fmt.Errorf("read AdmissionReview: it has no request")
	}
	out := admissionv1.AdmissionReview{TypeMeta: in.TypeMeta, Response: &admissionv1.AdmissionResponse{UID: in.Request.UID, Allowed: true}}
	if in.Request.Resource.Resource != "pods" || in.Request.SubResource != "" || in.Request.Operation != admissionv1.Create {
		return json.Marshal(out)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(in.Request.Object.Raw, &pod); err != nil {
		return nil, fmt.Errorf("read pod of AdmissionReview: %w", err)
	}
	pod.Namespace = cmp.Or(pod.Namespace, in.Request.Namespace) // Empty in a pod that names none.
	if changes := patch(&pod, admit(&pod)); len(changes) > 0 {
		doc, err := json.Marshal(changes)
		if err != nil {
			return nil, fmt.Errorf("write patch: %w", err)
		}
		kind := admissionv1.PatchTypeJSONPatch
		out.Response.Patch, out.Response.PatchType = doc, &kind
	}
	return json.Marshal(out)
}

// operation is one operation of a JSON patch. Adding to a member that exists replaces it.
//
// https://www.rfc-editor.org/rfc/rfc6902#section-4.1
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch returns what admission changed, in whole lists, as the webhook of EKS writes them:
// those are all that it ever changes.
func patch(before, after *corev1.Pod) []operation {
	var out []operation
	for _, part := range []struct {
		path     string
		old, new any
	}{
		{"/metadata/labels", before.Labels, after.Labels},
		{"/spec/volumes", before.Spec.Volumes, after.Spec.Volumes},
		{"/spec/initContainers", before.Spec.InitContainers, after.Spec.InitContainers},
		{"/spec/containers", before.Spec.Containers, after.Spec.Containers},
	} {
		if !equality.Semantic.DeepEqual(part.old, part.new) {
			out = append(out, operation{"add", part.path, part.new})
		}
	}
	return out
}
