package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// podEvict has the API server evict one pod. What decides is whether disruption budgets
// allow it, and the uid forbids that a pod of the same name, made again, goes in its
// stead. A pod that is gone, or on its way out, is what was meant: whoever sent it.
//
// client-go sends an eviction again where the API server says when to (Retry-After); with
// the uid in it, the second changes nothing.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
type podEvict struct {
	a      *Applier
	step   plan.Step
	action plan.EvictPod
}

func (w *podEvict) value() string { return "" }

func (w *podEvict) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	switch {
	case w.action.UID == "":
		return "", false, remedy.Mark(remedy.Halt, fmt.Errorf("the step knows no uid of pod %s, and without one another of that name could go", w.action.Pod))
	case w.a.opts.Pods == nil:
		return "", false, noHand("evict pods")
	}
	before, going, err := w.stands(fresh)
	return before, going, err
}

func (w *podEvict) write(ctx context.Context) error {
	uid := metav1.NewUIDPreconditions(w.action.UID)
	err := w.a.opts.Pods(w.step.Subject.Namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: w.step.Subject.Namespace, Name: w.action.Pod},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: uid},
	})
	if err == nil {
		return nil
	}
	class := classKube(err)
	if why := budgetsWords(err); why != "" {
		err = fmt.Errorf("%s: %w", why, err)
	}
	if strings.Contains(err.Error(), "more than one PodDisruptionBudget") { // answered with 500, for ever
		class, err = remedy.Hold, fmt.Errorf("leave the pod one PodDisruptionBudget: %w", err)
	}
	return remedy.Mark(class, fmt.Errorf("evict pod %s/%s: %w", w.step.Subject.Namespace, w.action.Pod, err))
}

// budgetsWords is what a disruption budget that forbids an eviction says.
func budgetsWords(err error) string {
	var status apierrors.APIStatus
	if !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) || !errors.As(err, &status) {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == policyv1.DisruptionBudgetCause {
			return strings.TrimSuffix(cause.Message, ".")
		}
	}
	return ""
}

func (w *podEvict) readBack(ctx context.Context) (string, bool, error) {
	fresh, err := w.a.lookAt(ctx, w.step.Subject)
	if err != nil {
		return "", false, err
	}
	return w.stands(fresh)
}

// stands tells what is there of the pod, and whether it is gone or on its way out.
func (w *podEvict) stands(fresh *live.Snapshot) (text string, going bool, err error) {
	pods, presence := fresh.Pods(w.step.Subject)
	if presence != live.Present {
		return "", false, unreadable("the pods of %s", w.step.Subject)
	}
	at := slices.IndexFunc(pods, func(p live.Pod) bool { return p.Name == w.action.Pod && p.UID == w.action.UID })
	if at < 0 {
		return "", true, nil
	}
	p := pods[at]
	b, err := json.Marshal(struct {
		Pod         string `json:"pod"`
		UID         string `json:"uid"`
		Node        string `json:"node,omitempty"`
		Terminating bool   `json:"terminating,omitempty"`
	}{p.Name, p.UID, p.Node, p.Terminating})
	if err != nil {
		return "", false, remedy.Mark(remedy.Halt, err)
	}
	return string(b), p.Terminating, nil
}

// noHand refuses what this applier was built without the means for: whoever planned it
// took the mode for another.
func noHand(what string) error {
	return remedy.Mark(remedy.Halt, fmt.Errorf("lanyard was not built to %s: that is mode migrate's", what))
}
