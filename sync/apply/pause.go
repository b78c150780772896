package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// How a rollout is stopped, by kind, so that no pod is replaced from then on and none
// that was replaced goes back:
//
//	Deployment   spec.paused
//	StatefulSet  a partition above all of its pods
//	DaemonSet    the strategy OnDelete
//	Rollout      spec.paused, and no restartAt of a restart that is not over: it goes on under a pause
//
// Sources: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pausing-and-resuming-a-deployment,
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions,
// https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/#daemonset-update-strategy,
// https://argo-rollouts.readthedocs.io/en/stable/features/specification/ and, of a restart
// under a pause, https://github.com/argoproj/argo-rollouts, rollout/sync.go (syncReplicasOnly).

var (
	pausedField    = []string{"spec", "paused"}
	restartField   = []string{"spec", "restartAt"}
	partitionField = []string{"spec", "updateStrategy", "rollingUpdate", "partition"}
	strategyField  = []string{"spec", "updateStrategy", "type"}
	markField      = []string{"metadata", "annotations", live.RolloutPausedMark}
)

// brakes are the fields by which a kind's rollout is stopped.
func brakes(kind string) [][]string {
	switch kind {
	case statefulSet:
		return [][]string{partitionField}
	case daemonSet:
		return [][]string{strategyField}
	case rollout:
		return [][]string{pausedField, restartField}
	}
	return [][]string{pausedField}
}

// mark is the value of [live.RolloutPausedMark]: why lanyard stopped a rollout, since
// when, and what stood before.
type mark struct {
	Why    string  `json:"why"`
	At     string  `json:"at"` // RFC 3339
	Fields []field `json:"fields"`
}

// field is one that lanyard changed. Nothing is null.
type field struct {
	Path string `json:"path"` // with dots
	Was  any    `json:"was"`
	Set  any    `json:"set"`
}

func (f field) path() []string { return strings.Split(f.Path, ".") }

// stopped returns the fields that must change for a rollout to stop.
func stopped(kind string, o map[string]any) (out []field) {
	want := func(path []string, set any) {
		if was := valueAt(o, path...); !same(was, set) {
			out = append(out, field{strings.Join(path, "."), was, set})
		}
	}
	switch kind {
	case statefulSet:
		replicas, is := valueAt(o, "spec", "replicas").(int64)
		if !is {
			replicas = 1
		}
		partition, _ := valueAt(o, partitionField...).(int64)
		onDelete := valueAt(o, strategyField...) == string(appsv1.OnDeleteStatefulSetStrategyType)
		if !onDelete && partition < replicas {
			want(partitionField, replicas)
		}
	case daemonSet:
		want(strategyField, string(appsv1.OnDeleteDaemonSetStrategyType))
	case rollout:
		want(pausedField, true)
		if restart := valueAt(o, restartField...); restart != nil && !same(restart, valueAt(o, "status", "restartedAt")) {
			want(restartField, nil)
		}
	default:
		want(pausedField, true)
	}
	return out
}

// same compares two values of JSON.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// state is the text for the record: the fields by which a rollout of the kind is
// stopped, and the mark.
func (o *object) state(fields map[string]any) string {
	out := map[string]any{}
	for _, path := range append(brakes(o.ref.Kind), markField) {
		if v := valueAt(fields, path...); v != nil {
			out[path[len(path)-1]] = v
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return fmt.Sprint(out) // texts, numbers and truths: it does not fail
	}
	return string(b)
}

// marked reads lanyard's mark. One that lanyard did not write is for a person to judge.
func (o *object) marked() (m mark, text string, err error) {
	text, _ = valueAt(o.fields, markField...).(string)
	if text == "" {
		return m, "", nil
	}
	if err = json.Unmarshal([]byte(text), &m); err == nil {
		for _, f := range m.Fields {
			if !slices.ContainsFunc(brakes(o.ref.Kind), func(path []string) bool { return strings.Join(path, ".") == f.Path }) {
				err = fmt.Errorf("field %q", f.Path)
			}
		}
	}
	if err != nil {
		return m, text, remedy.Mark(remedy.Hold, fmt.Errorf("annotation %s of %s is not as lanyard writes it (%w): take it off, and let the rollout go on by hand", live.RolloutPausedMark, o.ref, err))
	}
	return m, text, nil
}

// draft is a workload in hand with the changes that are to be made to it.
type draft struct {
	object
	changes []operation
	want    map[string]any // the workload after them
}

// set adds a change: a value at a path, or nothing there for nil.
func (d *draft) set(path []string, value any) {
	if d.want == nil {
		d.want = runtime.DeepCopyJSON(d.fields)
	}
	d.changes = append(d.changes, edit(d.fields, path, value)...)
	m := d.want
	for _, part := range path[:len(path)-1] {
		next, is := m[part].(map[string]any)
		if !is {
			next = map[string]any{}
			m[part] = next
		}
		m = next
	}
	if m[path[len(path)-1]] = value; value == nil {
		delete(m, path[len(path)-1])
	}
}

func (d *draft) value() string { return d.state(d.want) }

func (d *draft) write(ctx context.Context) error { return d.change(ctx, d.changes...) }

func (d *draft) readBack(ctx context.Context) (string, bool, error) {
	if err := d.read(ctx); err != nil {
		return "", false, err
	}
	after := d.state(d.fields)
	return after, after == d.value(), nil
}

// rolloutPause stops a rollout and marks that lanyard did. One that stands still already,
// whoever stopped it, is what was meant, and is not marked.
type rolloutPause struct {
	draft
	action plan.PauseRollout
}

func (w *rolloutPause) prepare(ctx context.Context, fresh *live.Snapshot) (string, bool, error) {
	if err := w.open(ctx, fresh); err != nil {
		return "", false, err
	}
	before := w.state(w.fields)
	earlier, _, err := w.marked()
	if err != nil {
		return "", false, err
	}
	todo := stopped(w.ref.Kind, w.fields)
	if len(todo) == 0 {
		return before, true, nil
	}
	m := mark{Why: w.action.Why, At: w.a.opts.Now().UTC().Format(time.RFC3339)}
	for _, f := range earlier.Fields { // what is left of a pause of lanyard's own
		if same(valueAt(w.fields, f.path()...), f.Set) {
			m.Fields = append(m.Fields, f)
		}
	}
	m.Fields = append(m.Fields, todo...)
	text, err := json.Marshal(m)
	if err != nil {
		return "", false, remedy.Mark(remedy.Halt, err)
	}
	for _, f := range todo {
		w.set(f.path(), f.Set)
	}
	w.set(markField, string(text))
	return before, false, nil
}

// rolloutResume puts back what stood before lanyard's pause, and takes its mark away.
// What is not as lanyard set it is somebody else's by now, and stays; so does a pause
// without lanyard's mark.
type rolloutResume struct{ draft }

func (w *rolloutResume) prepare(ctx context.Context, fresh *live.Snapshot) (string, bool, error) {
	if err := w.open(ctx, fresh); err != nil {
		return "", false, err
	}
	before := w.state(w.fields)
	m, text, err := w.marked()
	if err != nil || text == "" {
		return before, err == nil, err
	}
	for _, f := range m.Fields {
		if same(valueAt(w.fields, f.path()...), f.Set) {
			w.set(f.path(), f.Was)
		}
	}
	w.set(markField, nil)
	return before, false, nil
}
