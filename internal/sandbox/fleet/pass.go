package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
)

// Lanyard is the user that lanyard writes to Kubernetes as.
const Lanyard = "lanyard"

// RolledBackMark is the annotation of a ServiceAccount whose move was taken back.
const RolledBackMark = "lanyard.io/rolled-back"

// How the fleet is watched: in strides of a few seconds while anything is on its way, and
// of a minute and a half while nothing is. What was written is on its way until everybody has seen
// it, and some seconds more. Of those of whom nothing is new, one in turns is probed.
const (
	short  = 5 * time.Second
	long   = 90 * time.Second
	margin = 10 * time.Second
	turns  = 8
)

// watch is what is known of what has happened.
type watch struct {
	wants    Side
	seen     int                       // of the calls to AWS
	pairs    map[string]Subject        // by an association's ID
	windows  map[Subject]time.Time     // until when something is on its way
	exposed  map[Subject]time.Time     // since when; by the delete of an association
	pods     map[Subject][]*corev1.Pod // that run or are about to
	was      map[Subject]string        // which pods ran at the last probe
	stands   map[stand]time.Time       // since when lanyard has let a side be used
	visits   []visit                   // that are to come
	visited  int
	turn     int
	probing  map[Subject]bool // in this round; nil: all
	crashing bool             // a pod crash-loops: its kubelet tells nobody when it tries again
	restarts map[string]string
	tally    Tally
}

// stand is one thing that a ServiceAccount's side needs: trust for it, or the annotation.
type stand struct {
	Subject
	what string
}

// visit lets a pod be admitted, or scales back.
type visit struct {
	at      time.Time
	subject Subject
	back    *Workload // to its own number of replicas; nil: one more pod is admitted
}

// Tally counts what lanyard did, by the records of the doubles.
type Tally struct {
	Created, Deleted map[Subject]int // associations
	Trust            map[string]int  // writes of a role's trust policy, by ARN
	Annotated        map[Subject]int // writes of a ServiceAccount
	Evictions        int
	Rollouts         map[string]int // restarts, by workload
	Admitted         int            // pods that others let be admitted while something was on its way
	Longest          time.Duration  // of the exposures
	Wrong            []string       // what lanyard must not have done
}

// Restarts counts evictions and restarts together.
func (t Tally) Restarts() int {
	n := t.Evictions
	for _, r := range t.Rollouts {
		n += r
	}
	return n
}

func (t Tally) clone() Tally {
	t.Created, t.Deleted, t.Annotated = maps.Clone(t.Created), maps.Clone(t.Deleted), maps.Clone(t.Annotated)
	t.Trust, t.Rollouts, t.Wrong = maps.Clone(t.Trust), maps.Clone(t.Rollouts), slices.Clone(t.Wrong)
	return t
}

// begin lets the workloads come up, and sees that all of them have credentials.
func (f *Fleet) begin(ctx context.Context) error {
	f.watch = watch{wants: IRSA, pairs: map[string]Subject{}, windows: map[Subject]time.Time{}, exposed: map[Subject]time.Time{}, was: map[Subject]string{}, stands: map[stand]time.Time{}, restarts: map[string]string{},
		tally: Tally{Created: map[Subject]int{}, Deleted: map[Subject]int{}, Trust: map[string]int{}, Annotated: map[Subject]int{}, Rollouts: map[string]int{}}}
	if err := f.World.Pass(ctx, 2*time.Minute); err != nil {
		return err
	}
	for _, w := range f.Workloads {
		if w.Paused {
			if _, err := f.kube.AppsV1().Deployments(w.Namespace).Patch(ctx, w.Name, types.StrategicMergePatchType, []byte(`{"spec":{"paused":true}}`), metav1.PatchOptions{}); err != nil {
				return err
			}
		}
	}
	if err := f.World.Pass(ctx, time.Second); err != nil {
		return err
	}
	_, f.seen = f.AWS.Calls(0)
	f.Kube.ForgetCalls()
	if err := f.ProbeAll(ctx); err != nil {
		return err
	}
	if j := f.Judge(); j.Failed > 0 {
		return fmt.Errorf("the fleet does not work from the start: %s", j.Broken[0])
	}
	return nil
}

// Wants tells that Git now wants everything that can be on a side. Towards IRSA the Job
// is started once more: it is to be met on the other side.
func (f *Fleet) Wants(ctx context.Context, to Side) error {
	f.wants = to
	if to == PodIdentity {
		return nil
	}
	for _, w := range f.Workloads {
		if w.Kind != "Job" {
			continue
		}
		if _, err := f.kube.BatchV1().Jobs(w.Namespace).Create(ctx, w.job(w.Name+"-again"), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return f.Pass(ctx, 10*time.Second)
}

// Pass lets time pass, as the loop's sleep.
func (f *Fleet) Pass(ctx context.Context, d time.Duration) error {
	end := f.Clock.Now().Add(d)
	if err := f.look(ctx); err != nil {
		return err
	}
	for {
		left := end.Sub(f.Clock.Now())
		if left <= 0 {
			return nil
		}
		if err := f.live(ctx, min(f.stride(), left)); err != nil {
			return err
		}
		if err := f.visit(ctx); err != nil {
			return err
		}
		if err := f.look(ctx); err != nil {
			return err
		}
	}
}

// live lets the cluster live, unless there is nothing that it could do: nobody has written
// anything since it last came to rest, and nothing is due.
func (f *Fleet) live(ctx context.Context, d time.Duration) error {
	now := f.Clock.Now()
	due, any := f.Life.Due()
	if !f.changed.Load() && !f.crashing && now.Truncate(time.Minute).Equal(now.Add(d).Truncate(time.Minute)) && !(any && !due.After(now.Add(d))) {
		f.Webhook.Look()
		f.Clock.Advance(d)
		return nil
	}
	if err := f.World.Pass(ctx, d); err != nil {
		return err
	}
	f.changed.Store(false)
	return nil
}

// stride is how far time may go before the next look.
func (f *Fleet) stride() time.Duration {
	if len(f.exposed) > 0 || len(f.windows) > 0 {
		return short
	}
	d := long
	for _, v := range f.visits {
		d = min(d, max(v.at.Sub(f.Clock.Now()), time.Second))
	}
	for _, pods := range f.pods {
		if slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !actors.Ready(p) && p.Labels["app"] != "" }) {
			return min(d, short)
		}
	}
	return d
}

// look notes what was written, and probes whom it concerns.
func (f *Fleet) look(ctx context.Context) error {
	if err := f.list(ctx); err != nil {
		return err
	}
	if err := f.note(ctx); err != nil {
		return err
	}
	now := f.Clock.Now()
	maps.DeleteFunc(f.windows, func(_ Subject, until time.Time) bool { return until.Before(now) })
	f.turn++
	f.probing = map[Subject]bool{}
	for i, s := range subjects(f.Workloads) {
		_, open := f.windows[s]
		_, exposed := f.exposed[s]
		runs := running(f.pods[s])
		if open || exposed || runs != f.was[s] || (i+f.turn)%turns == 0 {
			f.probing[s] = true
		}
		f.was[s] = runs
	}
	if _, err := f.prober.Round(ctx); err != nil {
		return err
	}
	return f.covered()
}

// ProbeAll probes every container.
func (f *Fleet) ProbeAll(ctx context.Context) error {
	f.probing = nil
	_, err := f.prober.Round(ctx)
	return err
}

// due tells the judge whom to probe now: those whom Git names.
func (f *Fleet) due(namespace, serviceAccount string) bool {
	s := Subject{namespace, serviceAccount}
	if f.probing != nil {
		return f.probing[s]
	}
	return len(f.of(s)) > 0
}

func (f *Fleet) roles(pod *corev1.Pod) []string {
	for _, w := range f.of(Subject{pod.Namespace, pod.Spec.ServiceAccountName}) {
		return []string{w.Role}
	}
	return nil
}

// list finds the pods that are there, by ServiceAccount.
func (f *Fleet) list(ctx context.Context) error {
	all, err := f.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	f.pods, f.crashing = map[Subject][]*corev1.Pod{}, false
	for i := range all.Items {
		p := &all.Items[i]
		f.crashing = f.crashing || p.Status.Phase == corev1.PodRunning && !actors.Ready(p)
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			s := Subject{p.Namespace, p.Spec.ServiceAccountName}
			f.pods[s] = append(f.pods[s], p)
		}
	}
	return nil
}

// running names the pods that run.
func running(pods []*corev1.Pod) string {
	var out []string
	for _, p := range pods {
		if p.Status.Phase == corev1.PodRunning {
			out = append(out, string(p.UID))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// note reads the records of what lanyard has written since the last look.
func (f *Fleet) note(ctx context.Context) error {
	calls, next := f.AWS.Calls(f.seen)
	f.seen = next
	for _, a := range f.AWS.Associations(f.ARN) {
		f.pairs[a.ID] = Subject{a.Namespace, a.ServiceAccount}
	}
	for _, c := range calls {
		if !c.Mutating || c.ErrorCode != "" {
			continue
		}
		switch c.Operation {
		case "UpdateAssumeRolePolicy":
			f.trusted(c.Account, c.Resource, c.Time)
		case "CreatePodIdentityAssociation":
			s := Subject{parameter(c.Params, "namespace"), parameter(c.Params, "serviceAccount")}
			f.settled(s, c.Time, "its association was made", trustFor(PodIdentity))
			f.tally.Created[s]++
			f.open(s)
		case "DeletePodIdentityAssociation":
			if err := f.deleted(ctx, f.pairs[c.Resource], c.Time); err != nil {
				return err
			}
		}
	}
	for _, c := range f.Kube.Calls(Lanyard) {
		if !c.Mutating || c.Err != "" {
			continue
		}
		switch {
		case c.Resource == "serviceaccounts":
			s := Subject{c.Namespace, c.Name}
			if err := f.annotated(ctx, s, c.At); err != nil {
				return err
			}
			f.tally.Annotated[s]++
			f.open(s)
		case c.Resource == "pods/eviction":
			f.tally.Evictions++
		case c.Group == "apps":
			if err := f.rolled(ctx, c.Resource, c.Namespace, c.Name); err != nil {
				return err
			}
		}
	}
	f.Kube.ForgetCalls()
	return nil
}

// parameter finds one of a call's parameters in their record.
func parameter(all, name string) string {
	for _, one := range strings.Fields(all) {
		if value, is := strings.CutPrefix(one, name+"="); is {
			return value
		}
	}
	return ""
}

// open notes that something about a ServiceAccount is on its way, and lets pods be
// admitted meanwhile: at once, and when half of those who will see it have.
func (f *Fleet) open(s Subject) {
	now := f.Clock.Now()
	f.windows[s] = now.Add(f.o.Late + margin)
	if f.o.Still || slices.ContainsFunc(f.visits, func(v visit) bool { return v.subject == s && v.back == nil }) {
		return
	}
	f.visits = append(f.visits, visit{at: now, subject: s}, visit{at: now.Add(f.o.Late / 2), subject: s})
}

func (f *Fleet) trusted(account, role string, at time.Time) {
	for _, s := range subjects(f.Workloads) {
		arn := f.of(s)[0].Role
		if arn != roleARN(account, role) {
			continue
		}
		f.tally.Trust[arn]++
		f.open(s)
		now, _ := f.AWS.Role(arn)
		for _, side := range []Side{IRSA, PodIdentity} {
			f.since(stand{s, trustFor(side)}, trusts(now.Trust, side, s), at)
		}
	}
}

func (f *Fleet) annotated(ctx context.Context, s Subject, at time.Time) error {
	account, err := f.kube.CoreV1().ServiceAccounts(s.Namespace).Get(ctx, s.ServiceAccount, metav1.GetOptions{})
	if err == nil {
		f.since(stand{s, annotation}, account.Annotations[actors.RoleARNAnnotation] != "", at)
	}
	return err
}

const annotation = "the annotation"

func trustFor(s Side) string { return "the trust for " + string(s) }

// since notes from when on something stands. What has stood from the start has no time.
func (f *Fleet) since(what stand, stands bool, at time.Time) {
	before, known := f.stands[what]
	switch {
	case !stands:
		f.stands[what] = gone
	case known && before.Equal(gone):
		f.stands[what] = at
	case !known && what.what == trustFor(PodIdentity): // nobody had it at the start
		f.stands[what] = at
	}
}

// gone is the time of what does not stand.
var gone = time.Unix(0, 0)

// settle is how long a side must have stood before a pod may depend on it (law 6).
const settle = time.Minute

// settled sees that what a crossing rests on has stood long enough.
func (f *Fleet) settled(s Subject, at time.Time, what string, on ...string) {
	for _, one := range on {
		if since, known := f.stands[stand{s, one}]; known && (since.Equal(gone) || at.Sub(since) < settle) {
			f.wrong("%s of %s, and %s had not stood for %s", what, s, one, settle)
		}
	}
}

// deleted notes that an association was deleted, and tells the judge if that is excused:
// by a move back, or by a move that was taken back.
func (f *Fleet) deleted(ctx context.Context, s Subject, at time.Time) error {
	account, err := f.kube.CoreV1().ServiceAccounts(s.Namespace).Get(ctx, s.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return err
	}
	f.tally.Deleted[s]++
	f.open(s)
	_, rollback := account.Annotations[RolledBackMark]
	if f.wants == PodIdentity && !rollback {
		f.wrong("the association of %s was deleted, though it works and Git wants it", s)
		return nil
	}
	f.settled(s, at, "the association went", trustFor(IRSA), annotation)
	if !rollback && slices.ContainsFunc(f.pods[s], func(p *corev1.Pod) bool {
		return onItsOwn(p) && side(p) == PodIdentity && p.CreationTimestamp.Time.Before(at)
	}) {
		f.wrong("the association of %s was deleted under a pod that nobody makes again", s)
	}
	f.exposed[s] = at
	f.prober.Deleted(s.Namespace, s.ServiceAccount, at, rollback && f.wants == PodIdentity)
	return nil
}

// covered tells the judge which exposures are over: the association is there again, or
// everybody has heard that it is gone and no pod is left that was admitted with it.
func (f *Fleet) covered() error {
	now := f.Clock.Now()
	for s, since := range maps.Clone(f.exposed) {
		again, there := f.AWS.Association(f.ARN, s.Namespace, s.ServiceAccount)
		left := slices.ContainsFunc(f.pods[s], func(p *corev1.Pod) bool {
			return side(p) == PodIdentity && (f.wants == IRSA || !onItsOwn(p)) // nobody makes a Job's pod again in a rollback
		})
		if there && now.Sub(again.Created) >= f.o.Late || !there && !left && now.Sub(since) > f.o.Late+short {
			f.prober.Restarted(s.Namespace, s.ServiceAccount, now.Add(time.Nanosecond)) // what was probed at this moment was probed before
			f.tally.Longest = max(f.tally.Longest, now.Sub(since))
			delete(f.exposed, s)
		}
	}
	return nil
}

func onItsOwn(p *corev1.Pod) bool {
	owner := metav1.GetControllerOf(p)
	return owner == nil || owner.Kind == "Job"
}

func (f *Fleet) wrong(format string, args ...any) {
	f.tally.Wrong = append(f.tally.Wrong, f.Clock.Now().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// rolled counts a restart, where that is what lanyard wrote to a workload.
func (f *Fleet) rolled(ctx context.Context, resource, namespace, name string) error {
	var template corev1.PodTemplateSpec
	apps, o := f.kube.AppsV1(), metav1.GetOptions{}
	switch resource {
	case "deployments":
		d, err := apps.Deployments(namespace).Get(ctx, name, o)
		if err != nil {
			return err
		}
		template = d.Spec.Template
	case "statefulsets":
		s, err := apps.StatefulSets(namespace).Get(ctx, name, o)
		if err != nil {
			return err
		}
		template = s.Spec.Template
	case "daemonsets":
		d, err := apps.DaemonSets(namespace).Get(ctx, name, o)
		if err != nil {
			return err
		}
		template = d.Spec.Template
	default:
		return nil
	}
	key := resource + " " + namespace + "/" + name
	if at := template.Annotations[actors.RestartedAtAnnotation]; at != f.restarts[key] {
		f.restarts[key] = at
		f.tally.Rollouts[key]++
	}
	return nil
}

// visit makes the visits that are due.
func (f *Fleet) visit(ctx context.Context) error {
	now := f.Clock.Now()
	var due []visit
	f.visits = slices.DeleteFunc(f.visits, func(v visit) bool {
		if v.at.After(now) {
			return false
		}
		due = append(due, v)
		return true
	})
	for _, v := range due {
		if v.back != nil {
			if err := f.Life.Scale(ctx, v.back.Kind, v.back.Namespace, v.back.Name, v.back.Replicas); err != nil {
				return err
			}
			continue
		}
		if err := f.admit(ctx, v.subject); err != nil {
			return err
		}
	}
	return nil
}

// admit lets a pod of a ServiceAccount be admitted: one is deleted and made again, or one
// more is asked for, of each workload in turn. A Job's is not started twice, and what has
// no replicas has none.
func (f *Fleet) admit(ctx context.Context, s Subject) error {
	f.visited++
	all := f.of(s)
	w := all[f.visited%len(all)]
	if w.Replicas == 0 || w.Kind == "Job" {
		return nil
	}
	f.tally.Admitted++
	switch {
	case w.Kind == "CronJob":
		cron, err := f.kube.BatchV1().CronJobs(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		job := w.job(fmt.Sprintf("%s-by-hand-%d", w.Name, f.visited))
		job.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(cron, cronJobKind)}
		_, err = f.kube.BatchV1().Jobs(w.Namespace).Create(ctx, job, metav1.CreateOptions{})
		return err
	case w.Kind == "Deployment" && (w.Replicas == 1 || w.Broken || f.visited%2 == 0):
		f.visits = append(f.visits, visit{at: f.Clock.Now().Add(2 * f.o.Late), subject: s, back: &w})
		return f.Life.Scale(ctx, w.Kind, w.Namespace, w.Name, w.Replicas+1)
	}
	pods := slices.DeleteFunc(slices.Clone(f.pods[s]), func(p *corev1.Pod) bool { return p.Labels["app"] != w.Name || !actors.Ready(p) })
	if len(pods) == 0 {
		return nil
	}
	victim := slices.MaxFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	err := f.kube.CoreV1().Pods(victim.Namespace).Delete(ctx, victim.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(victim.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it went by itself
	}
	return err
}

var cronJobKind = batchv1.SchemeGroupVersion.WithKind("CronJob")
