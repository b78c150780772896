package kubed

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

var (
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	leases          = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	budgets         = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
)

// request is an action of the fake clientset, read once.
type request struct {
	user        string
	verb        string
	key         key
	subresource string
	manager     string
	dryRun      bool

	kind      schema.GroupVersionKind // of lists
	object    runtime.Object          // of create and update
	patchType types.PatchType
	patch     []byte
	force     *bool
	list      metav1.ListOptions
	delete    metav1.DeleteOptions
}

func newRequest(user string, action clienttesting.Action) request {
	r := request{
		user:        user,
		verb:        action.GetVerb(),
		key:         key{gvr: action.GetResource(), namespace: action.GetNamespace()},
		subresource: action.GetSubresource(),
		manager:     user,
	}
	var asked []string
	var manager string
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		r.key.name = a.Name
	case clienttesting.ListActionImpl:
		r.kind, r.list = a.Kind, a.ListOptions
	case clienttesting.WatchActionImpl:
		r.list = a.ListOptions
	case clienttesting.CreateActionImpl:
		r.object, r.key.name = a.Object, a.Name
		asked, manager = a.CreateOptions.DryRun, a.CreateOptions.FieldManager
	case clienttesting.UpdateActionImpl:
		r.object = a.Object
		asked, manager = a.UpdateOptions.DryRun, a.UpdateOptions.FieldManager
	case clienttesting.PatchActionImpl:
		r.key.name, r.patchType, r.patch, r.force = a.Name, a.PatchType, a.Patch, a.PatchOptions.Force
		asked, manager = a.PatchOptions.DryRun, a.PatchOptions.FieldManager
		if r.patchType == types.ApplyPatchType {
			r.manager = "" // server-side apply has no default manager
		}
	case clienttesting.DeleteActionImpl:
		r.key.name, r.delete, asked = a.Name, a.DeleteOptions, a.DeleteOptions.DryRun
	case clienttesting.DeleteCollectionActionImpl:
		r.verb = "deletecollection"
		r.list, r.delete, asked = a.ListOptions, a.DeleteOptions, a.DeleteOptions.DryRun
	}
	if manager != "" {
		r.manager = manager
	}
	r.dryRun = slices.Contains(asked, metav1.DryRunAll)
	if r.object != nil && r.key.name == "" {
		if m, err := meta.Accessor(r.object); err == nil {
			r.key.name = m.GetName()
		}
	}
	return r
}

// mutating reports whether the request would change what is stored.
func (r request) mutating() bool {
	switch r.verb {
	case "get", "list", "watch":
		return false
	}
	return !r.dryRun
}

// resource is the resource in the form of an RBAC rule, such as "pods/eviction".
func (r request) resource() string {
	if r.subresource == "" {
		return r.key.gvr.Resource
	}
	return r.key.gvr.Resource + "/" + r.subresource
}
