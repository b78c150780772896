package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// annotationSet sets one annotation by server-side apply, as field manager lanyard.
//
// An apply is the whole of what its manager wants: a field that the manager owned and
// that is missing from it is removed. So all annotations that lanyard applied before
// ride along, with the values that they have.
//
// An apply to an object that does not exist creates it, and lanyard never creates a
// ServiceAccount. metadata.uid in the patch forbids it: the API server answers 409,
// "uid mismatch: the provided object specified uid ..., and no existing object was
// found" (apiserver, pkg/endpoints/handlers/patch.go, applyPatch), and refuses to
// change the uid of one that was made again. metadata.resourceVersion makes it a
// compare-and-swap, so that not even a forced apply can overwrite what changed since
// the look.
// Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
type annotationSet struct {
	a      *Applier
	step   plan.Step
	action plan.SetAnnotation
	patch  []byte
}

// applied is the body of the apply.
type applied struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
}

type metadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	UID             string            `json:"uid"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations"`
}

func (w *annotationSet) value() string { return w.action.Value }

func (w *annotationSet) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	sa, err := present(fresh, w.step, w.action.UID)
	if err != nil {
		return "", false, err
	}
	before, is := sa.Annotations[w.action.Key]
	annotations := map[string]string{w.action.Key: w.action.Value}
	for _, m := range sa.Managers {
		if value, there := sa.Annotations[m.Annotation]; there && m.Annotation != w.action.Key &&
			m.Manager == diff.FieldManager && m.Operation == string(metav1.ManagedFieldsOperationApply) {
			annotations[m.Annotation] = value
		}
	}
	w.patch, err = json.Marshal(applied{APIVersion: "v1", Kind: "ServiceAccount", Metadata: metadata{
		Name: sa.Name, Namespace: sa.Namespace, UID: sa.UID, ResourceVersion: sa.ResourceVersion, Annotations: annotations,
	}})
	return before, is && before == w.action.Value, remedy.Mark(remedy.Halt, err)
}

func (w *annotationSet) write(ctx context.Context) error {
	return w.a.patch(ctx, w.step, types.ApplyPatchType, w.patch, w.action.Key,
		metav1.PatchOptions{FieldManager: diff.FieldManager, Force: &w.action.Force})
}

func (w *annotationSet) readBack(ctx context.Context) (string, bool, error) {
	after, is, err := w.a.annotation(ctx, w.step, w.action.UID, w.action.Key)
	return after, is && after == w.action.Value, err
}

// annotationDrop removes one annotation by JSON patch, which tests first that it is
// still the ServiceAccount and the value that were planned for.
type annotationDrop struct {
	a      *Applier
	step   plan.Step
	action plan.DropAnnotation
}

func (w *annotationDrop) value() string { return "" }

func (w *annotationDrop) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	sa, err := present(fresh, w.step, w.action.UID)
	if err != nil {
		return "", false, err
	}
	before, is := sa.Annotations[w.action.Key]
	return before, !is, nil
}

func (w *annotationDrop) write(ctx context.Context) error {
	patch, err := dropPatch(w.action.UID, w.action.Key, w.action.Old)
	if err != nil {
		return remedy.Mark(remedy.Halt, err)
	}
	return w.a.patch(ctx, w.step, types.JSONPatchType, patch, w.action.Key, metav1.PatchOptions{FieldManager: diff.FieldManager})
}

func (w *annotationDrop) readBack(ctx context.Context) (string, bool, error) {
	after, is, err := w.a.annotation(ctx, w.step, w.action.UID, w.action.Key)
	return after, !is, err
}

// patch sends a patch of the step's ServiceAccount.
func (a *Applier) patch(ctx context.Context, s plan.Step, pt types.PatchType, data []byte, key string, opts metav1.PatchOptions) error {
	_, err := a.opts.ServiceAccounts(s.Subject.Namespace).Patch(ctx, s.Subject.ServiceAccount, pt, data, opts)
	if err == nil {
		return nil
	}
	class := classKube(err)
	if owner := conflictsWith(err, key); owner != "" {
		err = fmt.Errorf("annotation %s belongs to field manager %s: change it there, or let the mapping adopt: [annotation]: %w", key, owner, err)
	}
	return remedy.Mark(class, fmt.Errorf("patch ServiceAccount %s: %w", s.Subject, err))
}

// conflictsWith names the field manager that owns the annotation, in the API server's
// words, after a conflict of a server-side apply.
func conflictsWith(err error, key string) (owner string) {
	var status apierrors.APIStatus
	if !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) || !errors.As(err, &status) {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if name := strings.TrimPrefix(cause.Message, "conflict with "); owner == "" || strings.HasSuffix(cause.Field, key) {
			owner = name
		}
	}
	return owner
}

// annotation reads an annotation back. A ServiceAccount that is gone or was made again
// is an error: it is not the one that was written to.
func (a *Applier) annotation(ctx context.Context, s plan.Step, uid, key string) (value string, is bool, err error) {
	fresh, err := a.lookAt(ctx, s.Subject)
	if err != nil {
		return "", false, err
	}
	sa, err := present(fresh, s, uid)
	value, is = sa.Annotations[key]
	return value, is, err
}

// present returns the ServiceAccount that the step was planned for.
func present(fresh *live.Snapshot, s plan.Step, uid string) (live.ServiceAccount, error) {
	if uid == "" {
		return live.ServiceAccount{}, remedy.Mark(remedy.Halt, fmt.Errorf("the step knows no uid of ServiceAccount %s, and without one a patch could create it", s.Subject))
	}
	sa, presence := fresh.ServiceAccount(s.Subject)
	switch {
	case presence == live.Unknown:
		return live.ServiceAccount{}, unreadable("ServiceAccount %s", s.Subject)
	case presence == live.Absent:
		return live.ServiceAccount{}, stale("ServiceAccount %s is %s", s.Subject, presence)
	case sa.UID != uid:
		return live.ServiceAccount{}, stale("ServiceAccount %s was made again", s.Subject)
	}
	return sa, nil
}
