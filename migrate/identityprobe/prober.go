package identityprobe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/migrate"
)

// Options are the settings of a [Prober]. All are required.
type Options struct {
	Kube kubernetes.Interface
	// Guard returns the ServiceAccount that the API server takes Kube for, once it has read
	// back what holds that to these Jobs.
	Guard func(context.Context) (identity.Subject, error)
	Now   func() time.Time
}

// Prober runs `lanyard whoami` under ServiceAccounts.
type Prober struct{ o Options }

// New returns a prober.
func New(o Options) *Prober { return &Prober{o} }

// Answer is how the probe that was asked for stands, and what is left of others.
type Answer struct {
	Done bool
	Said migrate.IdentitySaid // before it is done, what its pod waits for
	Left int                  // Jobs of lanyard's that were there when the round began, or were made
}

// Round makes the Job that is asked for, or reads it and, if its pod has spoken or never
// will, deletes it. Every other Job of lanyard's is deleted; with nil all of them.
func (p *Prober) Round(ctx context.Context, ask *migrate.IdentityAsk) (Answer, error) {
	list, err := p.o.Kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: identity.ProbeLabel + "=" + identity.ProbeLabelValue})
	if err != nil {
		return Answer{}, fmt.Errorf("list the Jobs of identity probes: %w", err)
	}
	var asked *batchv1.Job
	var errs []error
	a := Answer{}
	for i := range list.Items {
		j := &list.Items[i]
		if !identity.IsProbe(j.Name, j.Labels) {
			continue // somebody else's
		}
		a.Left++
		if ask != nil && j.Namespace == ask.Subject.Namespace && j.Name == ask.Job() {
			asked = j
		} else {
			errs = append(errs, p.remove(ctx, j))
		}
	}
	switch {
	case ask == nil:
	case asked == nil:
		a.Said, a.Done, err = p.make(ctx, *ask)
		a.Left++
		errs = append(errs, err)
	default:
		if asked.DeletionTimestamp == nil { // else it is of a process before this one: another is made when it is gone
			a.Said, a.Done, err = p.read(ctx, asked)
		}
		if !a.Done && p.o.Now().Sub(asked.CreationTimestamp.Time) > patience {
			// Its own deadline has long passed, if it has one: somebody else made it, suspended it
			// or keeps it from going. Others are asked meanwhile.
			a.Said.Ended, a.Done = fmt.Sprintf("Job %s/%s has neither answered nor gone for %s: look who holds it", asked.Namespace, asked.Name, patience), true
		}
		if a.Done {
			err = errors.Join(err, p.remove(ctx, asked))
		}
		errs = append(errs, err)
	}
	return a, errors.Join(errs...)
}

// make creates a Job. It is done where none may be.
func (p *Prober) make(ctx context.Context, ask migrate.IdentityAsk) (said migrate.IdentitySaid, done bool, err error) {
	self, err := p.o.Guard(ctx)
	if err != nil {
		if ctx.Err() != nil || passing(err) {
			return said, false, err
		}
		return migrate.IdentitySaid{Unguarded: err.Error()}, true, nil
	}
	image, err := p.image(ctx, self.Namespace)
	if err == nil {
		_, err = p.o.Kube.BatchV1().Jobs(ask.Subject.Namespace).Create(ctx, Job(ask, image), metav1.CreateOptions{})
	}
	switch {
	case err == nil, apierrors.IsAlreadyExists(err): // made a moment ago: the next round sees it
		return said, false, nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err), errors.Is(err, errNoImage):
		return migrate.IdentitySaid{Refused: err.Error()}, true, nil
	}
	return said, false, fmt.Errorf("create the identity probe of %s: %w", ask.Subject, err)
}

// patience is how long a Job may stand without an answer.
const patience = 2 * deadline * time.Second

// passing reports whether an error says nothing of what stands there: the next round asks
// again.
func passing(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

var errNoImage = errors.New("lanyard does not find its own image")

// image returns lanyard's own image, where the policy takes it from too: as its Deployment
// has it, so that one that is pinned by digest there is pinned here.
func (p *Prober) image(ctx context.Context, namespace string) (string, error) {
	d, err := p.o.Kube.AppsV1().Deployments(namespace).Get(ctx, rights.Deployment, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("%w: there is no Deployment %s/%s", errNoImage, namespace, rights.Deployment)
	}
	if err != nil {
		return "", err
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == rights.Deployment && c.Image != "" {
			return c.Image, nil
		}
	}
	return "", fmt.Errorf("%w: Deployment %s/%s has no container %s", errNoImage, namespace, rights.Deployment, rights.Deployment)
}

// remove deletes a Job as it was seen, and its pods with it.
// Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/#background-deletion
func (p *Prober) remove(ctx context.Context, j *batchv1.Job) error {
	if j.DeletionTimestamp != nil {
		return nil
	}
	err := p.o.Kube.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: &j.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Job %s/%s: %w", j.Namespace, j.Name, err)
	}
	return nil
}

// read takes what a Job's pod said, from its termination message: as soon as its container
// has ended, since one that others inject may run on. A pod that the Job does not own is
// not listened to.
func (p *Prober) read(ctx context.Context, j *batchv1.Job) (said migrate.IdentitySaid, done bool, err error) {
	pods, err := p.o.Kube.CoreV1().Pods(j.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + j.Name})
	if err != nil {
		return said, false, fmt.Errorf("list the pods of Job %s/%s: %w", j.Namespace, j.Name, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !metav1.IsControlledBy(pod, j) {
			continue
		}
		said.Waits = cmp.Or(said.Waits, waiting(pod))
		for _, c := range pod.Status.ContainerStatuses {
			if c.Name != container || c.State.Terminated == nil {
				continue
			}
			if c.State.Terminated.Message != "" {
				return parse(c.State.Terminated.Message), true, nil
			}
			said.Waits = fmt.Sprintf("its container ended with code %d (%s) and left no answer", c.State.Terminated.ExitCode, c.State.Terminated.Reason)
		}
	}
	said.Ended = condition(j)
	return said, said.Ended != "", nil
}

// condition says how a Job has ended; nothing of one that runs.
func condition(j *batchv1.Job) string {
	i := slices.IndexFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
	if i < 0 {
		return ""
	}
	c := j.Status.Conditions[i]
	return cmp.Or(c.Message, c.Reason, string(c.Type))
}

// waiting says what a pod waits for that has not run.
func waiting(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return fmt.Sprintf("its container waits: %s %s", w.Reason, w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "its pod is not scheduled: " + c.Message
		}
	}
	return ""
}

// parse reads what whoami wrote. A workload's namespace is not lanyard's: whoever may
// write pods' status there may write this.
func parse(message string) migrate.IdentitySaid {
	var said struct {
		Account, Role, Session, Mechanism, Wiring string
		Problem                                   *struct{ Error, Next string }
	}
	if err := json.Unmarshal([]byte(message), &said); err != nil {
		return migrate.IdentitySaid{Waits: "what its pod left is no answer of lanyard whoami"}
	}
	out := migrate.IdentitySaid{Account: said.Account, Role: said.Role, Session: said.Session, Mechanism: said.Mechanism, Wiring: said.Wiring}
	if p := said.Problem; p != nil {
		out.Problem = cmp.Or(p.Error, "no reason was told") + ": " + p.Next
	}
	return out
}
