//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// Where deploy/kubernetes puts lanyard.
const (
	lanyardNamespace = "lanyard"
	lanyardAccount   = "lanyard"
	lanyardUser      = "system:serviceaccount:" + lanyardNamespace + ":" + lanyardAccount
	overlays         = "../../deploy/kubernetes/overlays/"
	overlay          = overlays + "repair"
)

// manifests are the objects of an overlay, as kubectl kustomize makes them.
func manifests(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	text, err := plane.Need(t).Kustomize(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// decode reads YAML documents.
func decode(t *testing.T, text []byte) (all []*unstructured.Unstructured) {
	t.Helper()
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := d.Decode(o); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

// apply is kubectl apply --server-side as the administrator.
func apply(t *testing.T, config *rest.Config, objects []*unstructured.Unstructured) {
	t.Helper()
	groups, err := restmapper.GetAPIGroupResources(adminClient(t).Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		gvk := o.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Fatal(err)
		}
		// A cluster-wide object has no namespace, and so needs none here.
		_, err = client.Resource(m.Resource).Namespace(o.GetNamespace()).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "operator", Force: true})
		if err != nil {
			t.Fatalf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

var installed sync.Mutex

// install applies deploy/kubernetes for a mode, and returns a kubeconfig with a token of
// lanyard's ServiceAccount. The Deployment's pods are kwok's and do nothing: there is
// no image, and lanyard runs in the tests. One test at a time has the installation.
func install(t *testing.T, mode string) (kubeconfig string) {
	t.Helper()
	installed.Lock()
	t.Cleanup(installed.Unlock)
	apply(t, admin(t), manifests(t, overlays+mode))
	authorized(t, mode)
	// The agents that serve credentials run in the tests; lanyard looks for their pods.
	_, err := adminClient(t).AppsV1().DaemonSets(metav1.NamespaceSystem).Create(t.Context(), actors.NewAgent(), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	// What another test's lanyard remembers is not this one's.
	err = adminClient(t).CoordinationV1().Leases(lanyardNamespace).Delete(t.Context(), "lanyard", metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return asLanyard(t, nil)
}

// authorized waits until the API server, which learns of rights by a watch, lets lanyard do
// what mode has, and no more.
func authorized(t *testing.T, mode string) {
	t.Helper()
	eventually(t, "the rights of mode "+mode, func() (err error) {
		for _, r := range []struct {
			verb, group, resource string
			want                  bool
		}{
			{"list", "", "serviceaccounts", true},
			{"patch", "", "serviceaccounts", mode != "observe"},
			{"patch", "argoproj.io", "rollouts", mode == "migrate"},
		} {
			answer, e := adminClient(t).AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: lanyardUser, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: r.resource}}}, metav1.CreateOptions{})
			if e != nil {
				return e
			}
			err = errors.Join(err, want("may "+r.verb+" "+r.resource, answer.Status.Allowed, r.want))
		}
		return err
	})
}

// asLanyard returns a kubeconfig with a token of lanyard's ServiceAccount, of a pod if
// one is given.
func asLanyard(t *testing.T, pod *corev1.Pod) (kubeconfig string) {
	t.Helper()
	config := admin(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := writeKubeconfig(t.Context(), adminClient(t), config.Host, authority(t, config), pod, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeKubeconfig writes one with a token of lanyard's ServiceAccount.
func writeKubeconfig(ctx context.Context, kube kubernetes.Interface, server string, ca []byte, pod *corev1.Pod, file string) error {
	ask := &authenticationv1.TokenRequest{}
	if pod != nil {
		ask.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	token, err := kube.CoreV1().ServiceAccounts(lanyardNamespace).CreateToken(ctx, lanyardAccount, ask, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: lanyard, user: {token: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: lanyard}}]
current-context: e2e
`, server, base64.StdEncoding.EncodeToString(ca), token.Status.Token), 0o600)
}

// authority is the certificate that the API server's is signed by.
func authority(t *testing.T, config *rest.Config) []byte {
	t.Helper()
	own := rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(own); err != nil {
		t.Fatal(err)
	}
	return own.CAData
}
