package observe

import (
	"context"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/sync/live"
)

// rolloutKind is Argo's, which stands above ReplicaSets as a Deployment does. What its
// pods are like the ReplicaSets say; how far a rollout has come, and who stopped it, the
// Rollout alone. So Rollouts are read where there are ReplicaSets of one, as plain JSON,
// and not asked for anywhere else.
const rolloutKind = "Rollout"

// rolloutSeen is what is read of a Rollout.
// Source: https://argo-rollouts.readthedocs.io/en/stable/features/specification/
type rolloutSeen struct {
	Metadata struct {
		Namespace, Name string
		Generation      int64
		Annotations     map[string]string
	}
	Spec struct {
		Replicas  *int32
		Paused    bool
		RestartAt string
	}
	Status struct {
		ObservedGeneration        string
		Replicas, UpdatedReplicas int32
		RestartedAt               string
		Abort                     bool
	}
}

// tell adds to a workload what its Rollout says. A restart is over when the controller
// has written down its time; it goes on while spec.paused stands. An aborted rollout is
// over: the pods that were there before stay.
// Sources: https://argo-rollouts.readthedocs.io/en/stable/features/restart/ and
// https://github.com/argoproj/argo-rollouts, rollout/sync.go (syncReplicasOnly).
func (r *rolloutSeen) tell(w *live.Workload, now time.Time) {
	w.RestartedAt, w.PausedBy, w.Suspended = r.Spec.RestartAt, r.Metadata.Annotations[live.RolloutPausedMark], r.Spec.Paused
	st := r.Status
	seen, err := strconv.ParseInt(st.ObservedGeneration, 10, 64) // releases before 1.0 wrote a hash
	behind := err == nil && seen < r.Metadata.Generation
	updating := !st.Abort && (behind || st.UpdatedReplicas < orOne(r.Spec.Replicas) || st.UpdatedReplicas < st.Replicas)
	due, err := time.Parse(time.RFC3339, r.Spec.RestartAt)
	restarting := err == nil && !due.After(now) && r.Spec.RestartAt != st.RestartedAt
	w.Rolling = updating || restarting || w.PausedBy != ""
}

// rollouts adds to the workloads of some namespaces, or of all for none, what their
// Rollouts say. One that cannot be read makes the workloads of its ServiceAccount unknown.
func (o *Observer) rollouts(ctx context.Context, list []live.Workload, namespaces []string, now time.Time, g *gaps) {
	client := o.opts.Kube.Discovery().RESTClient()
	wanted := func(w live.Workload) bool {
		return w.Kind == rolloutKind && (namespaces == nil || slices.Contains(namespaces, w.Namespace))
	}
	if client == nil || !slices.ContainsFunc(list, wanted) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.limits.Call)
	defer cancel()
	paths := map[string]string{"": "/apis/argoproj.io/v1alpha1/rollouts"} // by namespace
	if namespaces != nil {
		clear(paths)
	}
	for _, w := range list {
		if wanted(w) && namespaces != nil {
			paths[w.Namespace] = "/apis/argoproj.io/v1alpha1/namespaces/" + w.Namespace + "/rollouts"
		}
	}
	type key struct{ namespace, name string }
	found, failed := map[key]*rolloutSeen{}, map[string]error{}
	for namespace, path := range paths {
		all, err := readRollouts(ctx, client, path)
		if err != nil && !apierrors.IsNotFound(err) { // the kind is gone, and ReplicaSets are left of it
			failed[namespace] = err
		}
		for i := range all {
			found[key{all[i].Metadata.Namespace, all[i].Metadata.Name}] = &all[i]
		}
	}
	for i := range list {
		w := &list[i]
		if !wanted(*w) {
			continue
		}
		r, err := found[key{w.Namespace, w.Name}], failed[""]
		if namespaces != nil {
			err = failed[w.Namespace]
		}
		switch {
		case r != nil:
			r.tell(w, now)
		case err != nil:
			g.add(live.SourceWorkloads, w.Subject().String(), err)
		}
	}
}

// readRollouts lists Rollouts. What came before an error is returned too.
func readRollouts(ctx context.Context, client rest.Interface, path string) ([]rolloutSeen, error) {
	all, _, err := pages(func(token *string) ([]rolloutSeen, *string, error) {
		more := ""
		if token != nil {
			more = *token
		}
		var out []rolloutSeen
		next, err := eachObject(ctx, client, path, more, func(r rolloutSeen) { out = append(out, r) })
		return out, &next, err
	})
	return all, err
}

// keepRollouts takes what Rollouts said before for those of other namespaces than these.
func keepRollouts(list, before []live.Workload, namespaces []string) {
	for i := range list {
		w := &list[i]
		if w.Kind != rolloutKind || slices.Contains(namespaces, w.Namespace) {
			continue
		}
		at := slices.IndexFunc(before, func(b live.Workload) bool { return b.Namespace == w.Namespace && b.Ref() == w.Ref() })
		if at >= 0 {
			b := before[at]
			w.RestartedAt, w.PausedBy, w.Suspended, w.Rolling = b.RestartedAt, b.PausedBy, b.Suspended, b.Rolling
		}
	}
}
