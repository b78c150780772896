//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/lanyard-io/lanyard/sync/live"
)

// custom is a kind of another project.
type custom struct{ group, version, plural, kind, scope string }

// others are those in whose objects lanyard looks for ServiceAccounts, in the versions
// that their projects serve.
var others = []custom{
	{"secrets-store.csi.x-k8s.io", "v1", "secretproviderclasses", "SecretProviderClass", "Namespaced"},
	{"external-secrets.io", "v1", "secretstores", "SecretStore", "Namespaced"},
	{"external-secrets.io", "v1", "clustersecretstores", "ClusterSecretStore", "Cluster"},
	{"keda.sh", "v1alpha1", "triggerauthentications", "TriggerAuthentication", "Namespaced"},
	{"keda.sh", "v1alpha1", "clustertriggerauthentications", "ClusterTriggerAuthentication", "Cluster"},
	{"keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", "Namespaced"},
	{"keda.sh", "v1alpha1", "scaledjobs", "ScaledJob", "Namespaced"},
	{"cert-manager.io", "v1", "issuers", "Issuer", "Namespaced"},
	{"cert-manager.io", "v1", "clusterissuers", "ClusterIssuer", "Cluster"},
	{"argoproj.io", "v1alpha1", "rollouts", "Rollout", "Namespaced"},
}

// extend gives the cluster these kinds, with any fields, and the driver of Mountpoint for
// S3; they stay.
func extend(t *testing.T) dynamic.Interface {
	t.Helper()
	client := serve(t, others)
	_, err := client.Resource(schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers"}).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": map[string]any{"name": "s3.csi.aws.com"}, "spec": map[string]any{}}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return client
}

// serve gives the cluster kinds, with any fields: the schemas that their projects publish
// are not asked.
func serve(t *testing.T, kinds []custom) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(admin(t))
	if err != nil {
		t.Fatal(err)
	}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, k := range kinds {
		_, err := definitions.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{
				"name": k.plural + "." + k.group, "annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, in a test"}},
			"spec": map[string]any{
				"group": k.group, "scope": k.scope, "names": map[string]any{"plural": k.plural, "singular": strings.ToLower(k.kind), "kind": k.kind, "listKind": k.kind + "List"},
				"versions": []any{map[string]any{"name": k.version, "served": true, "storage": true,
					"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
			},
		}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	for _, k := range kinds {
		eventually(t, k.plural, func() error {
			_, err := client.Resource(schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.plural}).List(t.Context(), metav1.ListOptions{})
			return err
		})
	}
	return client
}

// TestReaders: lanyard, as its own ServiceAccount, finds who besides EKS's webhook uses a
// ServiceAccount's IRSA, in objects of kinds that the cluster has been given.
func TestReaders(t *testing.T) {
	client := extend(t)
	o := newOperator(t, fleet())
	o.ready()
	put := func(kind string, spec map[string]any) {
		t.Helper()
		for _, k := range others {
			if k.kind != kind {
				continue
			}
			resource := client.Resource(schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.plural})
			object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": k.group + "/" + k.version, "kind": kind,
				"metadata": map[string]any{"name": o.ns}, "spec": spec}}
			var err error
			if k.scope == "Cluster" {
				_, err = resource.Create(t.Context(), object, metav1.CreateOptions{})
				t.Cleanup(func() { o.must(resource.Delete(context.Background(), o.ns, metav1.DeleteOptions{})) })
			} else {
				_, err = resource.Namespace(o.ns).Create(t.Context(), object, metav1.CreateOptions{})
			}
			o.must(err)
		}
	}
	ref := func(key string, more map[string]any) map[string]any {
		account := map[string]any{"name": "irsa"}
		for k, v := range more {
			account[k] = v
		}
		return map[string]any{key: account}
	}
	put("ClusterSecretStore", map[string]any{"provider": map[string]any{"aws": map[string]any{"auth": map[string]any{"jwt": ref("serviceAccountRef", map[string]any{"namespace": o.ns})}}}})
	put("SecretStore", map[string]any{"provider": map[string]any{"aws": map[string]any{"auth": map[string]any{"jwt": ref("serviceAccountRef", nil)}}}})
	put("Issuer", map[string]any{"acme": map[string]any{"solvers": []any{map[string]any{"dns01": map[string]any{"route53": map[string]any{"auth": map[string]any{"kubernetes": ref("serviceAccountRef", nil)}}}}}}})
	put("SecretProviderClass", map[string]any{"provider": "aws"})
	put("TriggerAuthentication", map[string]any{"podIdentity": map[string]any{"provider": "aws", "identityOwner": "workload"}})
	put("ScaledObject", map[string]any{"scaleTargetRef": map[string]any{"name": "irsa"}, "triggers": []any{map[string]any{"authenticationRef": map[string]any{"name": o.ns}}}})

	d := o.run("one")
	want := []live.Reader{
		{Kind: "ClusterSecretStore", Name: o.ns, Field: "spec.provider.aws.auth.jwt.serviceAccountRef", ServiceAccount: o.ns + "/irsa"},
		{Kind: "Issuer", Namespace: o.ns, Name: o.ns, Field: "spec.acme.solvers.dns01.route53.auth.kubernetes.serviceAccountRef", ServiceAccount: o.ns + "/irsa"},
		{Kind: "SecretProviderClass", Namespace: o.ns, Name: o.ns, Field: "spec.parameters.usePodIdentity is not true", Mounted: true},
		{Kind: "SecretStore", Namespace: o.ns, Name: o.ns, Field: "spec.provider.aws.auth.jwt.serviceAccountRef", ServiceAccount: o.ns + "/irsa"},
		{Kind: "TriggerAuthentication", Namespace: o.ns, Name: o.ns, Field: "spec.podIdentity.identityOwner: workload", Scaled: []live.WorkloadRef{{Kind: "Deployment", Name: o.ns + "/irsa"}}},
	}
	eventually(t, "the readers", func() error {
		var body struct {
			AnnotationReaders []live.Reader
			Gaps              []live.Gap
		}
		code, err := d.get("/api/v1/snapshot", apiToken, &body)
		if err != nil || code != http.StatusOK {
			return errors.Join(err, fmt.Errorf("status %d", code))
		}
		if diff := cmp.Diff(want, body.AnnotationReaders); diff != "" {
			return fmt.Errorf("readers (-want +got)\n%s\ngaps %v", diff, body.Gaps)
		}
		return nil
	})
}
