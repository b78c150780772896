//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	hand "github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// mover is what mode migrate works with, on the real control plane and with the rights of
// that mode and no other.
type mover struct {
	*lab
	admin   dynamic.Interface
	look    *observe.Observer
	hands   *hand.Applier
	subject identity.Subject
}

var rollouts = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

func newMover(t *testing.T) *mover {
	t.Helper()
	m := &mover{admin: extend(t), lab: newLab(t)}
	m.subject = identity.Subject{Namespace: m.ns, ServiceAccount: "irsa"}
	kube, custom := m.granted()
	id, secret := awsd.AccessKey(labAccount)
	cfg := *app.StaticAWS("eu-west-1", m.url, id, secret)
	m.look = observe.New(observe.Options{Cluster: "irsa-lab", Kube: kube, EKS: eks.NewFromConfig(cfg), STS: sts.NewFromConfig(cfg),
		IAM: func(string) (observe.IAMReader, error) { return iam.NewFromConfig(cfg), nil }})
	m.must(m.look.Start(t.Context()))
	t.Cleanup(m.look.Close)
	cluster, err := m.look.Cluster(t.Context())
	m.must(err)
	m.hands = hand.New(hand.Options{Cluster: cluster, Look: m.look, EKS: eks.NewFromConfig(cfg), StepTimeout: patience,
		Pods: func(ns string) hand.PodEvicter { return kube.CoreV1().Pods(ns) }, Workloads: hand.Workloads(kube, custom)})
	return m
}

// granted are clients of a ServiceAccount to whom mode migrate is granted.
func (m *mover) granted() (kubernetes.Interface, dynamic.Interface) {
	m.t.Helper()
	w, err := rights.For("migrate", nil, rights.Place{})
	m.must(err)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: m.ns + "-mover"}}
	for _, r := range w.Rules {
		rule := rbacv1.PolicyRule{Verbs: r.Verbs, NonResourceURLs: r.Paths, ResourceNames: r.Names, Resources: r.Resources}
		if r.Paths == nil {
			rule.APIGroups = []string{r.Group}
		}
		role.Rules = append(role.Rules, rule)
	}
	_, err = m.kube.RbacV1().ClusterRoles().Create(m.t.Context(), role, metav1.CreateOptions{})
	m.must(err)
	_, err = m.kube.RbacV1().ClusterRoleBindings().Create(m.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: m.ns, Name: "mover"}}}, metav1.CreateOptions{})
	m.must(err)
	m.t.Cleanup(func() {
		m.must(errors.Join(m.kube.RbacV1().ClusterRoleBindings().Delete(context.Background(), role.Name, metav1.DeleteOptions{}),
			m.kube.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})))
	})
	config := rest.CopyConfig(admin(m.t))
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + m.ns + ":mover",
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	kube, err := kubernetes.NewForConfig(config)
	m.must(err)
	custom, err := dynamic.NewForConfig(config)
	m.must(err)
	eventually(m.t, "the rights, which the API server learns of by a watch", func() error {
		_, err := kube.CoreV1().ServiceAccounts(m.ns).Get(m.t.Context(), "irsa", metav1.GetOptions{})
		return err
	})
	return kube, custom
}

// do takes one step, and says how it went.
func (m *mover) do(a plan.Action, guards ...plan.Guard) report.Outcome {
	m.t.Helper()
	return m.hands.Apply(m.t.Context(), plan.Plan{Cluster: "irsa-lab", Steps: []plan.Step{{Subject: m.subject, Effect: plan.Cross, Action: a, Guards: guards}}})[0]
}

// done takes one step that is to be done.
func (m *mover) done(a plan.Action, guards ...plan.Guard) report.Outcome {
	m.t.Helper()
	o := m.do(a, guards...)
	if o.Result != report.Done {
		m.t.Fatalf("%s: %s, %v", a, o.Result, o.Err)
	}
	return o
}

// workload is what lanyard's own look shows of one.
func (m *mover) workload(ref live.WorkloadRef) live.Workload {
	m.t.Helper()
	s, err := m.look.Look(m.t.Context(), m.subject)
	m.must(err)
	list, presence := s.Workloads(m.subject)
	at := slices.IndexFunc(list, func(w live.Workload) bool { return w.Ref() == ref })
	if presence != live.Present || at < 0 {
		m.t.Fatalf("%s is not among %v (%s)", ref, list, presence)
	}
	return list[at]
}

func (m *mover) pods(ref live.WorkloadRef) (out []live.Pod) {
	m.t.Helper()
	s, err := m.look.Look(m.t.Context(), m.subject)
	m.must(err)
	all, _ := s.Pods(m.subject)
	for _, p := range all {
		if p.Owner == ref && !p.Terminating {
			out = append(out, p)
		}
	}
	return out
}

// atRest waits until a workload has so many Ready pods and is in no rollout.
func (m *mover) atRest(ref live.WorkloadRef, n int) live.Workload {
	m.t.Helper()
	var w live.Workload
	eventually(m.t, ref.String()+" at rest", func() error {
		w = m.workload(ref)
		pods := m.pods(ref)
		ready := slices.DeleteFunc(pods, func(p live.Pod) bool { return !p.Ready || p.ReadyAt.IsZero() })
		if w.Rolling || len(ready) != n {
			return fmt.Errorf("rolling %t, %d pods of %d Ready", w.Rolling, len(ready), n)
		}
		return nil
	})
	return w
}

func (m *mover) template(app string) corev1.PodTemplateSpec {
	t := podOf(nil)
	t.Labels = map[string]string{"app": app}
	t.Spec.ServiceAccountName = m.subject.ServiceAccount
	t.Spec.TerminationGracePeriodSeconds = new(int64(0))
	return t
}

// stuck makes new pods of a workload never come up: no node has so much room.
func stuck(t *corev1.PodTemplateSpec) {
	t.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000000")}
}

// TestHands: what mode migrate does to pods and workloads, as the API server and the
// controllers take it: evictions, restarts, and rollouts that are stopped where they are
// and go on.
func TestHands(t *testing.T) {
	m := newMover(t)
	selector := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	apps := m.kube.AppsV1()
	web, db, logs := live.WorkloadRef{Kind: "Deployment", Name: "web"}, live.WorkloadRef{Kind: "StatefulSet", Name: "db"}, live.WorkloadRef{Kind: "DaemonSet", Name: "logs"}
	_, err := apps.Deployments(m.ns).Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: selector("web"), Template: m.template("web")}}, metav1.CreateOptions{})
	m.must(err)
	_, err = apps.StatefulSets(m.ns).Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{Replicas: new(int32(2)), Selector: selector("db"), Template: m.template("db")}}, metav1.CreateOptions{})
	m.must(err)
	_, err = apps.DaemonSets(m.ns).Create(t.Context(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "logs"},
		Spec: appsv1.DaemonSetSpec{Selector: selector("logs"), Template: m.template("logs"),
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.FromInt32(2))}}}}, metav1.CreateOptions{})
	m.must(err)
	eventually(t, "pods of logs", func() error {
		if w := m.workload(logs); w.Replicas == 0 {
			return errors.New("none wanted yet")
		}
		return nil
	})
	m.atRest(web, 2)
	m.atRest(db, 2)
	m.atRest(logs, m.workload(logs).Replicas)

	m.evicts(web)
	for _, ref := range []live.WorkloadRef{web, db, logs} {
		m.restarts(ref)
		m.pauses(ref)
	}
	m.rollout()
}

// evicts: a uid that is another pod's goes nowhere; a budget says no, and what it says is
// handed on; the pod is gone at last.
func (m *mover) evicts(ref live.WorkloadRef) {
	m.t.Helper()
	pod := m.pods(ref)[0]
	err := m.kube.PolicyV1().Evictions(m.ns).Evict(m.t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: m.ns, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("00000000-0000-4000-8000-000000000000")}})
	if got, want := answered(err), "409 Conflict"; got != want {
		m.t.Errorf("evict with another uid: %s, want %s", got, want)
	}
	budgets := m.kube.PolicyV1().PodDisruptionBudgets(m.ns)
	_, err = budgets.Create(m.t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}, metav1.CreateOptions{})
	m.must(err)
	eventually(m.t, "the budget is looked at", func() error {
		b, err := budgets.Get(m.t.Context(), "web", metav1.GetOptions{})
		if err == nil && (b.Status.ObservedGeneration != b.Generation || b.Status.CurrentHealthy != 2) {
			err = fmt.Errorf("%d healthy", b.Status.CurrentHealthy)
		}
		return err
	})
	evict, is := plan.EvictPod{Pod: pod.Name, UID: pod.UID}, plan.PodIs{Subject: m.subject, Pod: pod.Name, UID: pod.UID}
	if o := m.do(evict, is); o.Result != report.Failed || o.Err == nil || !strings.Contains(o.Err.Error(), "The disruption budget web needs 2 healthy pods and has 2 currently") {
		m.t.Errorf("evict against a budget: %s, %v", o.Result, o.Err)
	}
	m.must(budgets.Delete(m.t.Context(), "web", metav1.DeleteOptions{}))
	m.done(evict, is)
	m.done(evict) // gone: nothing to do
	m.atRest(ref, 2)
	if slices.ContainsFunc(m.pods(ref), func(p live.Pod) bool { return p.UID == pod.UID }) {
		m.t.Error("the pod that was evicted is there")
	}
}

// restarts: all pods are others afterwards.
func (m *mover) restarts(ref live.WorkloadRef) {
	m.t.Helper()
	w := m.workload(ref)
	before := map[string]bool{}
	for _, p := range m.pods(ref) {
		before[p.UID] = true
	}
	restart := plan.RestartWorkload{Workload: ref, UID: w.UID, Old: w.RestartedAt}
	o := m.done(restart, plan.WorkloadIs{Subject: m.subject, Workload: ref, UID: w.UID, RestartedAt: w.RestartedAt, Idle: true})
	if again := m.done(restart); again.Before != o.After || again.After != o.After {
		m.t.Errorf("restart %s once more: before %q, after %q, want %q", ref, again.Before, again.After, o.After)
	}
	w = m.atRest(ref, len(before))
	if w.RestartedAt != o.After {
		m.t.Errorf("%s was restarted at %q, want %q", ref, w.RestartedAt, o.After)
	}
	for _, p := range m.pods(ref) {
		if before[p.UID] {
			m.t.Errorf("pod %s of %s is one of before", p.Name, ref)
		}
	}
}

// pauses: a rollout that is under way stops where it is, and goes on to its end.
func (m *mover) pauses(ref live.WorkloadRef) {
	m.t.Helper()
	w := m.workload(ref)
	healthy := len(m.pods(ref))
	m.change(ref, stuck)
	eventually(m.t, ref.String()+" in a rollout", func() error {
		if w := m.workload(ref); !w.Rolling {
			return fmt.Errorf("it is not: %+v", w)
		}
		if !slices.ContainsFunc(m.pods(ref), func(p live.Pod) bool {
			return p.Trouble == live.TroubleUnschedulable || p.Trouble == live.TroubleNone && !p.Ready
		}) {
			return errors.New("no new pod yet")
		}
		return nil
	})
	is := plan.WorkloadIs{Subject: m.subject, Workload: ref, UID: w.UID, RestartedAt: w.RestartedAt}
	o := m.done(plan.PauseRollout{Workload: ref, UID: w.UID, Why: "a test"}, is)
	if again := m.done(plan.PauseRollout{Workload: ref, UID: w.UID, Why: "another"}, is); again.Before != o.After {
		m.t.Errorf("pause %s once more: before %q, want %q", ref, again.Before, o.After)
	}
	if got := m.workload(ref); !got.Suspended || !got.Rolling || !strings.Contains(got.PausedBy, `"why":"a test"`) {
		m.t.Errorf("paused: %s is suspended %t, rolling %t, marked %q", ref, got.Suspended, got.Rolling, got.PausedBy)
	}
	m.change(ref, func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Resources.Requests = nil }) // a pause holds that too
	time.Sleep(2 * time.Second)
	if got := m.workload(ref); !got.Suspended {
		m.t.Errorf("%s goes on by itself: %+v", ref, got)
	}
	m.done(plan.ResumeRollout{Workload: ref, UID: w.UID}, is)
	if got := m.done(plan.ResumeRollout{Workload: ref, UID: w.UID}); got.Before != got.After {
		m.t.Errorf("resume %s once more: before %q, after %q", ref, got.Before, got.After)
	}
	m.unstuck(ref)
	if w = m.atRest(ref, healthy); w.Suspended || w.PausedBy != "" {
		m.t.Errorf("resumed: %s is suspended %t, marked %q", ref, w.Suspended, w.PausedBy)
	}
	if ref.Kind == "DaemonSet" {
		d, err := m.kube.AppsV1().DaemonSets(m.ns).Get(m.t.Context(), ref.Name, metav1.GetOptions{})
		m.must(err)
		if s := d.Spec.UpdateStrategy; s.Type != appsv1.RollingUpdateDaemonSetStrategyType || s.RollingUpdate.MaxUnavailable.IntValue() != 2 {
			m.t.Errorf("the strategy is %+v, want it as it was", s)
		}
	}
}

// unstuck deletes a StatefulSet's pod that waits for a node that there is not: its
// controller waits for it before it goes on.
// Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
func (m *mover) unstuck(ref live.WorkloadRef) {
	m.t.Helper()
	for _, p := range m.pods(ref) {
		if ref.Kind == "StatefulSet" && p.Trouble == live.TroubleUnschedulable {
			m.must(m.kube.CoreV1().Pods(m.ns).Delete(m.t.Context(), p.Name, metav1.DeleteOptions{}))
		}
	}
}

// change edits a workload's template, as its owner would.
func (m *mover) change(ref live.WorkloadRef, f func(*corev1.PodTemplateSpec)) {
	m.t.Helper()
	eventually(m.t, "an edit of "+ref.String(), func() error {
		apps := m.kube.AppsV1()
		switch ref.Kind {
		case "StatefulSet":
			s, err := apps.StatefulSets(m.ns).Get(m.t.Context(), ref.Name, metav1.GetOptions{})
			m.must(err)
			f(&s.Spec.Template)
			_, err = apps.StatefulSets(m.ns).Update(m.t.Context(), s, metav1.UpdateOptions{})
			return err
		case "DaemonSet":
			s, err := apps.DaemonSets(m.ns).Get(m.t.Context(), ref.Name, metav1.GetOptions{})
			m.must(err)
			f(&s.Spec.Template)
			_, err = apps.DaemonSets(m.ns).Update(m.t.Context(), s, metav1.UpdateOptions{})
			return err
		}
		d, err := apps.Deployments(m.ns).Get(m.t.Context(), ref.Name, metav1.GetOptions{})
		m.must(err)
		f(&d.Spec.Template)
		_, err = apps.Deployments(m.ns).Update(m.t.Context(), d, metav1.UpdateOptions{})
		return err
	})
}

// rollout: of a kind besides Kubernetes' own, the same patches do the same, and the look
// reads what they wrote.
func (m *mover) rollout() {
	m.t.Helper()
	ref := live.WorkloadRef{Kind: "Rollout", Name: "canary"}
	template := m.template(ref.Name)
	uid := m.argo(m.admin, ref.Name, template, 1)
	w := m.workload(ref)
	if w.UID != uid || w.RestartedAt != "" {
		m.t.Errorf("the Rollout is %+v", w)
	}
	o := m.done(plan.RestartWorkload{Workload: ref, UID: w.UID})
	m.done(plan.PauseRollout{Workload: ref, UID: w.UID, Why: "a test"})
	if w = m.workload(ref); !w.Suspended || !w.Rolling || w.RestartedAt != "" || !strings.Contains(w.PausedBy, o.After) {
		m.t.Errorf("paused, the Rollout is %+v, want its restart taken back and remembered", w)
	}
	m.done(plan.ResumeRollout{Workload: ref, UID: w.UID})
	if w = m.workload(ref); w.Suspended || w.RestartedAt != o.After || w.PausedBy != "" {
		m.t.Errorf("resumed, the Rollout is %+v, want it restarted at %s", w, o.After)
	}
}

// argo makes a Rollout and, as its controller would, a ReplicaSet of it, and returns the
// Rollout's uid.
func (l *lab) argo(client dynamic.Interface, name string, template corev1.PodTemplateSpec, replicas int32) string {
	l.t.Helper()
	made, err := client.Resource(rollouts).Namespace(l.ns).Create(l.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": map[string]any{"name": name}, "spec": map[string]any{"replicas": int64(replicas)}}}, metav1.CreateOptions{})
	l.must(err)
	template.Labels = map[string]string{"app": name}
	_, err = l.kube.AppsV1().ReplicaSets(l.ns).Create(l.t.Context(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name + "-1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: name, UID: made.GetUID(), Controller: new(true)}}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template}}, metav1.CreateOptions{})
	l.must(err)
	return string(made.GetUID())
}
