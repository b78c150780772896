package kubed

import (
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// patch answers all four kinds of patches.
func (c *Cluster) patch(req *request) (runtime.Object, error) {
	if err := checkPatchOptions(req); err != nil {
		return nil, err
	}
	if req.subresource != "" && req.subresource != "status" && req.subresource != "scale" {
		return nil, noSubresource(req)
	}
	old := c.store.get(req.key)
	if req.patchType == types.ApplyPatchType {
		return c.apply(req, old)
	}
	if old == nil {
		return nil, notFound(req.key)
	}
	if req.subresource == "scale" {
		return c.patchScale(req, old)
	}
	obj, err := patched(req, old)
	if err != nil {
		return nil, err
	}
	return c.replace(req, old, obj, false)
}

func checkPatchOptions(req *request) error {
	var errs field.ErrorList
	apply := req.patchType == types.ApplyPatchType
	if apply && req.manager == "" {
		errs = append(errs, field.Required(field.NewPath("fieldManager"), "is required for apply patch"))
	}
	if !apply && req.force != nil {
		errs = append(errs, field.Forbidden(field.NewPath("force"), "may not be specified for non-apply patch"))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "PatchOptions"}, "", errs)
}

// patched returns old with a JSON, merge or strategic patch done to it. A JSON patch
// whose test fails is answered with 422 and reason Invalid, without saying which test.
func patched(req *request, old runtime.Object) (runtime.Object, error) {
	gvk, _ := kindOf(req.key.gvr)
	was, err := jsonOf(old, gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var is []byte
	switch req.patchType {
	case types.JSONPatchType:
		p, err := jsonpatch.DecodePatch(req.patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if is, err = p.Apply(was); err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
	case types.MergePatchType:
		if is, err = jsonpatch.MergePatch(was, req.patch); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	case types.StrategicMergePatchType:
		if is, err = strategicpatch.StrategicMergePatch(was, req.patch, old); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	default:
		return nil, apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "", schema.GroupResource{}, "",
			fmt.Sprintf("the body of the request was in an unknown format: %s", req.patchType), 0, false)
	}
	obj, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := json.Unmarshal(is, obj); err != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), string(is), err.Error())})
	}
	return obj, nil
}

// apply is server-side apply. It creates what is absent, unless the patch carries a
// uid: then the object that was meant is gone.
//
// https://kubernetes.io/docs/reference/using-api/server-side-apply/
func (c *Cluster) apply(req *request, old runtime.Object) (runtime.Object, error) {
	if req.subresource == "scale" {
		return nil, noSubresource(req)
	}
	asked := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal(req.patch, &asked.Object); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	if asked.GetName() == "" {
		asked.SetName(req.key.name)
	}
	if asked.GetName() != req.key.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", asked.GetName(), req.key.name))
	}
	if asked.GetNamespace() == "" && req.key.namespace != "" {
		asked.SetNamespace(req.key.namespace)
	}
	merged, err := c.merge(req, old, asked)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return c.replace(req, old, merged, true)
	}
	m, err := meta.Accessor(merged)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if uid := m.GetUID(); uid != "" {
		return nil, apierrors.NewConflict(req.key.gvr.GroupResource(), req.key.name,
			fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	managed := m.GetManagedFields()
	if err := c.prepareCreate(req, merged); err != nil {
		return nil, err
	}
	m.SetManagedFields(managed)
	return c.finishCreate(req, merged)
}
