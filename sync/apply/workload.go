package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// The kinds of workloads whose rollouts lanyard moves.
const (
	deployment  = "Deployment"
	statefulSet = "StatefulSet"
	daemonSet   = "DaemonSet"
	rollout     = "Rollout" // Argo's
)

// rolloutResource is Argo's.
// Source: https://argo-rollouts.readthedocs.io/en/stable/features/specification/
var rolloutResource = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

// Workloads returns what [Options.Workloads] takes: of each namespace the Deployments,
// StatefulSets and DaemonSets and, with a client for kinds besides Kubernetes' own, Argo's
// Rollouts.
func Workloads(kube kubernetes.Interface, custom dynamic.Interface) func(kind, namespace string) WorkloadWriter {
	return func(kind, namespace string) WorkloadWriter {
		apps := kube.AppsV1()
		switch {
		case kind == deployment:
			c := apps.Deployments(namespace)
			return typed[*appsv1.Deployment]{c.Get, c.Patch}
		case kind == statefulSet:
			c := apps.StatefulSets(namespace)
			return typed[*appsv1.StatefulSet]{c.Get, c.Patch}
		case kind == daemonSet:
			c := apps.DaemonSets(namespace)
			return typed[*appsv1.DaemonSet]{c.Get, c.Patch}
		case kind == rollout && custom != nil:
			return untyped{custom.Resource(rolloutResource).Namespace(namespace)}
		}
		return nil
	}
}

// typed is a WorkloadWriter over a typed client.
type typed[T any] struct {
	get   func(context.Context, string, metav1.GetOptions) (T, error)
	patch func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error)
}

func (t typed[T]) Get(ctx context.Context, name string) (map[string]any, error) {
	o, err := t.get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(o)
}

func (t typed[T]) Patch(ctx context.Context, name string, patch []byte, o metav1.PatchOptions) error {
	_, err := t.patch(ctx, name, types.JSONPatchType, patch, o)
	return err
}

// untyped is a WorkloadWriter over a client that knows no types.
type untyped struct{ client dynamic.ResourceInterface }

func (u untyped) Get(ctx context.Context, name string) (map[string]any, error) {
	o, err := u.client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Object, nil
}

func (u untyped) Patch(ctx context.Context, name string, patch []byte, o metav1.PatchOptions) error {
	_, err := u.client.Patch(ctx, name, types.JSONPatchType, patch, o)
	return err
}

// object is a workload in hand: as the writer's own client reads it, right before a
// write and right after it.
type object struct {
	a      *Applier
	step   plan.Step
	ref    live.WorkloadRef
	uid    string
	writer WorkloadWriter
	fields map[string]any // as it is
}

// open takes the workload that the step was planned for.
func (o *object) open(ctx context.Context, fresh *live.Snapshot) error {
	if o.uid == "" {
		return remedy.Mark(remedy.Halt, fmt.Errorf("the step knows no uid of %s, and without one another of that name could be written to", o.ref))
	}
	if o.a.opts.Workloads == nil {
		return noHand("write to workloads")
	}
	if o.writer = o.a.opts.Workloads(o.ref.Kind, o.step.Subject.Namespace); o.writer == nil {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%s: lanyard restarts Deployments, StatefulSets, DaemonSets and Argo Rollouts; restart it by hand", o.ref))
	}
	workloads, presence := fresh.Workloads(o.step.Subject)
	if presence != live.Present {
		return unreadable("the workloads of %s", o.step.Subject)
	}
	at := slices.IndexFunc(workloads, func(w live.Workload) bool { return w.Ref() == o.ref })
	switch {
	case at < 0:
		return stale("%s is gone, or its template no longer names %s", o.ref, o.step.Subject)
	case workloads[at].UID != o.uid:
		return stale("%s was made again", o.ref)
	}
	return o.read(ctx)
}

// read reads the workload. One that was made again is an error: it is not the one that
// was, or is to be, written to.
func (o *object) read(ctx context.Context) error {
	fields, err := o.writer.Get(ctx, o.ref.Name)
	if err != nil {
		return remedy.Mark(classKube(err), fmt.Errorf("get %s: %w", o.ref, err))
	}
	if got, _ := valueAt(fields, "metadata", "uid").(string); got != o.uid {
		return stale("%s was made again", o.ref)
	}
	o.fields = fields
	return nil
}

// change sends the changes in one JSON patch, which tests first that it is still the
// workload, and that each field has the value, that was read.
func (o *object) change(ctx context.Context, changes ...operation) error {
	patch, err := json.Marshal(append([]operation{test([]string{"metadata", "uid"}, o.uid)}, changes...))
	if err != nil {
		return remedy.Mark(remedy.Halt, err)
	}
	if err := o.writer.Patch(ctx, o.ref.Name, patch, metav1.PatchOptions{FieldManager: diff.FieldManager}); err != nil {
		return remedy.Mark(classKube(err), fmt.Errorf("patch %s in %s: %w", o.ref, o.step.Subject.Namespace, err))
	}
	return nil
}

// operation is one of a JSON patch. A test of null holds where nothing stands.
// Source: https://datatracker.ietf.org/doc/html/rfc6902
type operation map[string]any

func test(path []string, value any) operation {
	return operation{"op": "test", "path": pointer(path), "value": value}
}

// pointer escapes ~ and / as RFC 6901 says.
func pointer(path []string) string {
	var b strings.Builder
	for _, part := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

// valueAt returns what stands at a path, or nil.
func valueAt(fields map[string]any, path ...string) any {
	var v any = fields
	for _, part := range path {
		m, _ := v.(map[string]any)
		v = m[part]
	}
	return v
}

// edit makes a value stand at a path, or nothing for nil, where now what was read
// stands. A JSON patch adds to what is there only, so parents that are missing come with it.
func edit(fields map[string]any, path []string, value any) []operation {
	for i := 1; i < len(path); i++ {
		if valueAt(fields, path[:i]...) != nil {
			continue
		}
		if value == nil {
			return nil
		}
		for j := len(path) - 1; j >= i; j-- {
			value = map[string]any{path[j]: value}
		}
		path = path[:i]
	}
	now := valueAt(fields, path...)
	ops := []operation{test(path, now)}
	switch {
	case value != nil:
		ops = append(ops, operation{"op": "add", "path": pointer(path), "value": value})
	case now != nil:
		ops = append(ops, operation{"op": "remove", "path": pointer(path)})
	}
	return ops
}

// workloadRestart has a workload's own controller replace its pods, by what makes its
// template another one: the annotation that kubectl rollout restart sets. An Argo Rollout
// has a field for it.
type workloadRestart struct {
	object
	action plan.RestartWorkload
	stamp  string
}

// restartedAt is where a kind says when it was restarted.
func restartedAt(kind string) []string {
	if kind == rollout {
		return []string{"spec", "restartAt"}
	}
	return []string{"spec", "template", "metadata", "annotations", live.RestartedAtAnnotation}
}

func (w *workloadRestart) value() string { return w.stamp }

func (w *workloadRestart) prepare(ctx context.Context, fresh *live.Snapshot) (string, bool, error) {
	if err := w.open(ctx, fresh); err != nil {
		return "", false, err
	}
	now, _ := valueAt(w.fields, restartedAt(w.ref.Kind)...).(string)
	switch now {
	case w.action.Old:
	case "": // put back, by a tool that has its template from elsewhere: another rollout
		return "", false, stale("%s was restarted at %q, and says so no longer", w.ref, w.action.Old)
	default:
		return now, true, nil // whoever did it: its pods are replaced
	}
	at := w.a.opts.Now().UTC().Truncate(time.Second)
	if old, err := time.Parse(time.RFC3339, w.action.Old); err == nil && !at.After(old) {
		at = old.UTC().Add(time.Second) // or the template would stay as it is
	}
	w.stamp = at.Format(time.RFC3339)
	return now, false, nil
}

func (w *workloadRestart) write(ctx context.Context) error {
	return w.change(ctx, edit(w.fields, restartedAt(w.ref.Kind), w.stamp)...)
}

func (w *workloadRestart) readBack(ctx context.Context) (string, bool, error) {
	if err := w.read(ctx); err != nil {
		return "", false, err
	}
	after, _ := valueAt(w.fields, restartedAt(w.ref.Kind)...).(string)
	return after, after == w.stamp, nil
}
