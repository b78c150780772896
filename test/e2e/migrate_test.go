//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/migrate"
)

// late is how long what has been written is seen late: by no more than a third of settle
// (design.md, law 1).
const late = settle / 3

// byCredentials is a fate that kwok does not know: the world's own loop says how such a pod
// fares, once it shows what the pod was given.
const byCredentials = "by-credentials"

// moving is a fleet of one ServiceAccount to each role, with lanyard in mode migrate.
type moving struct {
	*operator
	custom dynamic.Interface

	mu    sync.Mutex
	owned map[string]string    // ServiceAccounts, by the ID of their association
	moved map[string]time.Time // when a ServiceAccount's association was deleted
	last  map[string]time.Time // when a pod of it was seen on Pod Identity for the last time
}

// newMoving makes the fleet's world. Its life goes on until the test ends.
func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{custom: extend(t), operator: newOperatorIn(t, "migrate", map[string]string{"none.yaml": "# nobody yet\n"}),
		owned: map[string]string{}, moved: map[string]time.Time{}, last: map[string]time.Time{}}
	server, err := url.Parse(admin(t).Host)
	m.must(err)
	m.publish(server)
	m.configure("budgets: {removalsPerHour: 1000, changesPerRound: 100}\nmigration: {maxConcurrent: 50, perNamespace: 50}\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			if err := m.live(ctx); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				t.Errorf("the world's life: %v", err)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return m
}

// side is what the webhook gave a pod.
func side(p *corev1.Pod) identity.Mechanism {
	return map[string]identity.Mechanism{"pods.eks.amazonaws.com": identity.PodIdentity, "sts.amazonaws.com": identity.IRSA}[given(p)]
}

// live plays what the control plane does not: images that cannot use Pod Identity, and
// Argo's controller; and keeps the books that the judge is told from.
func (m *moving) live(ctx context.Context) error {
	associations := m.aws.Associations(labCluster)
	calls, _ := m.aws.Calls(0)
	pods, err := m.kube.CoreV1().Pods(m.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	m.mu.Lock()
	for _, a := range associations {
		m.owned[a.ID] = a.ServiceAccount
	}
	for _, c := range calls {
		if name := m.owned[c.Resource]; c.Operation == "DeletePodIdentityAssociation" && (c.Status == 200 || c.Status == 0) && m.moved[name].IsZero() {
			m.moved[name] = c.Time
		}
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; side(p) == identity.PodIdentity {
			m.last[p.Spec.ServiceAccountName] = time.Now()
		}
	}
	m.mu.Unlock()
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Annotations[fate] != byCredentials {
			continue
		}
		becomes := `null`
		if side(p) == identity.PodIdentity {
			becomes = `"crash-loop"`
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s,%q:"300ms"}}}`, fate, becomes, delay)
		if _, err := m.kube.CoreV1().Pods(m.ns).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return m.argoRestarts(ctx, pods.Items)
}

// argoRestarts does what Argo's controller would do of a restart that is asked for.
func (m *moving) argoRestarts(ctx context.Context, pods []corev1.Pod) error {
	list, err := m.custom.Resource(rollouts).Namespace(m.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, r := range list.Items {
		spec, _ := r.Object["spec"].(map[string]any)
		status, _ := r.Object["status"].(map[string]any)
		at, _ := spec["restartAt"].(string)
		if done, _ := status["restartedAt"].(string); at == done {
			continue
		}
		for _, p := range pods {
			if p.Labels["app"] == r.GetName() {
				if err := m.kube.CoreV1().Pods(m.ns).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
					return err
				}
			}
		}
		if _, err := m.custom.Resource(rollouts).Namespace(m.ns).Patch(ctx, r.GetName(), types.MergePatchType, fmt.Appendf(nil, `{"status":{"restartedAt":%q}}`, at), metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func roleNamed(name string) string { return "arn:aws:iam::" + labAccount + ":role/" + name }

// subject makes a ServiceAccount on IRSA, with a role of its own.
func (m *moving) subject(name string) {
	m.t.Helper()
	m.trust(roleNamed(name), strings.Replace(m.irsaTrust(), ":irsa\"", ":"+name+"\"", 1))
	_, err := m.kube.CoreV1().ServiceAccounts(m.ns).Create(m.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Name: name, Annotations: map[string]string{actors.RoleARNAnnotation: roleNamed(name)}}}, metav1.CreateOptions{FieldManager: "helm"})
	m.must(err)
	m.admits(name, "sts.amazonaws.com")
}

// template is that of a workload of a ServiceAccount.
func (m *moving) template(account, app string) corev1.PodTemplateSpec {
	t := podOf(nil)
	t.Labels = map[string]string{"app": app}
	t.Spec.ServiceAccountName, t.Spec.TerminationGracePeriodSeconds = account, new(int64(0))
	return t
}

// declared is the mapping of a ServiceAccount of the fleet. What bare's pods are made by
// lanyard does not restart.
func declared(name, mechanism string) string {
	restart := map[bool]string{true: "natural", false: "rolling"}[name == "bare"]
	return identityFile(name, roleNamed(name), "  mechanism: "+mechanism+"\n  adopt: [annotation, trust, association]\n"+
		"  migration: {proof: declared, soak: 1s, sdk: aws-sdk-go-v2/1.40.0, allowDisruption: true, restart: "+restart+"}\n")
}

// declare pushes the mappings of ServiceAccounts.
func (m *moving) declare(mechanism string, names ...string) {
	m.t.Helper()
	files := map[string]string{}
	for _, name := range names {
		files[name+".yaml"] = declared(name, mechanism)
	}
	m.push(files)
}

func (m *moving) deployment(account, name string, replicas int32, change ...func(*corev1.PodTemplateSpec)) {
	m.t.Helper()
	t := m.template(account, name)
	for _, c := range change {
		c(&t)
	}
	_, err := m.kube.AppsV1().Deployments(m.ns).Create(m.t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: t.Labels}, Template: t}}, metav1.CreateOptions{})
	m.must(err)
}

// fails makes a workload's image one that cannot use Pod Identity.
func fails(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{fate: byCredentials} }

// movers are the ServiceAccounts that move.
var movers = []string{"web", "single", "db", "logs", "pair", "bare", "canary", "nightly"}

// populate makes the whole fleet, and waits until it runs.
func (m *moving) populate() {
	m.t.Helper()
	for _, name := range append([]string{"kept", "broken"}, movers...) {
		m.subject(name)
	}
	ctx, apps := m.t.Context(), m.kube.AppsV1()
	m.deployment("web", "web", 3)
	m.deployment("single", "single", 1)
	m.deployment("pair", "pair-a", 2)
	m.deployment("pair", "pair-b", 1)
	m.deployment("kept", "kept", 2)
	m.deployment("broken", "broken", 2, fails)
	m.must(m.aws.PutFargateProfile(awsd.FargateProfile{Cluster: labCluster, Name: "kept", PodExecutionRoleARN: roleNamed("kept"),
		Selectors: []awsd.FargateSelector{{Namespace: m.ns, Labels: map[string]string{"app": "kept"}}}}))
	selector := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	_, err := apps.StatefulSets(m.ns).Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), Selector: selector("db"), Template: m.template("db", "db")}}, metav1.CreateOptions{})
	m.must(err)
	_, err = apps.DaemonSets(m.ns).Create(ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "logs"},
		Spec: appsv1.DaemonSetSpec{Selector: selector("logs"), Template: m.template("logs", "logs")}}, metav1.CreateOptions{})
	m.must(err)
	_, err = apps.ReplicaSets(m.ns).Create(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "bare"},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(2)), Selector: selector("bare"), Template: m.template("bare", "bare")}}, metav1.CreateOptions{})
	m.must(err)
	m.argo(m.custom, "canary", m.template("canary", "canary"), 3)
	argo, err := json.Marshal(map[string]any{"spec": map[string]any{"template": m.template("canary", "canary")}, "status": map[string]any{"replicas": 3, "updatedReplicas": 3}})
	m.must(err)
	_, err = m.custom.Resource(rollouts).Namespace(m.ns).Patch(ctx, "canary", types.MergePatchType, argo, metav1.PatchOptions{})
	m.must(err)
	job := batchv1.JobSpec{Template: m.template("nightly", "nightly")}
	job.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err = m.kube.BatchV1().CronJobs(m.ns).Create(ctx, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec: batchv1.CronJobSpec{Schedule: "@yearly", JobTemplate: batchv1.JobTemplateSpec{Spec: job}}}, metav1.CreateOptions{})
	m.must(err)
	once := *job.DeepCopy()
	once.Template.Annotations = map[string]string{fate: "runs-on"}
	_, err = m.kube.BatchV1().Jobs(m.ns).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: once}, metav1.CreateOptions{})
	m.must(err)
	eventually(m.t, "the fleet", func() error {
		return m.runs(identity.IRSA, map[string]int{"web": 3, "single": 1, "db": 3, "logs": 3, "pair": 3, "bare": 2, "canary": 3, "nightly": 1, "kept": 2, "broken": 2})
	})
}

// pods are the living ones of the fleet, by ServiceAccount.
func (m *moving) pods() (map[string][]*corev1.Pod, error) {
	list, err := m.kube.CoreV1().Pods(m.ns).List(m.t.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string][]*corev1.Pod{}
	for i := range list.Items {
		if p := &list.Items[i]; p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded {
			out[p.Spec.ServiceAccountName] = append(out[p.Spec.ServiceAccountName], p)
		}
	}
	return out, nil
}

// runs is an error unless so many pods of each ServiceAccount are ready on a side.
func (m *moving) runs(on identity.Mechanism, want map[string]int) error {
	all, err := m.pods()
	for name, n := range want {
		ready := 0
		for _, p := range all[name] {
			if side(p) != on || condition(*p, corev1.PodReady).Status != corev1.ConditionTrue {
				err = errors.Join(err, fmt.Errorf("pod %s of %s is on %s, %s, ready: %s", p.Name, name, side(p), p.Status.Phase, condition(*p, corev1.PodReady).Status))
				continue
			}
			ready++
		}
		if ready != n {
			err = errors.Join(err, fmt.Errorf("%d pods of %s are ready on %s, want %d", ready, name, on, n))
		}
	}
	return err
}

// night starts the CronJob by hand, as kubectl create job --from does.
func (m *moving) night(name string) {
	m.t.Helper()
	c, err := m.kube.BatchV1().CronJobs(m.ns).Get(m.t.Context(), "nightly", metav1.GetOptions{})
	m.must(err)
	_, err = m.kube.BatchV1().Jobs(m.ns).Create(m.t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: c.Name, UID: c.UID, Controller: new(true)}}},
		Spec: *c.Spec.JobTemplate.Spec.DeepCopy()}, metav1.CreateOptions{})
	m.must(err)
}

// statements are those of a role's trust policy, in one word each.
func (m *moving) statements(name string) (out []string) {
	m.t.Helper()
	role, _ := m.aws.Role(roleNamed(name))
	var doc struct {
		Statement []struct{ Principal map[string]any }
	}
	m.must(json.Unmarshal([]byte(role.Trust), &doc))
	for _, s := range doc.Statement {
		word := "?"
		switch {
		case s.Principal["Federated"] != nil:
			word = "irsa"
		case s.Principal["Service"] == "pods.eks.amazonaws.com":
			word = "pod-identity"
		}
		out = append(out, word)
	}
	slices.Sort(out)
	return out
}

// wired is an error unless a ServiceAccount is wired for a side and for no other; trusts
// are the statements in its role.
func (m *moving) wired(name string, on identity.Mechanism, trusts ...string) error {
	a, err := m.kube.CoreV1().ServiceAccounts(m.ns).Get(m.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	_, associated := m.aws.Association(labCluster, m.ns, name)
	return errors.Join(
		want("association of "+name, associated, on == identity.PodIdentity),
		want("annotation of "+name, a.Annotations[actors.RoleARNAnnotation] != "", on == identity.IRSA),
		want("trusts of "+name, strings.Join(m.statements(name), " "), strings.Join(trusts, " ")),
	)
}

// patiently is eventually for what takes half a minute on an idle machine.
func patiently(t *testing.T, what string, ask func() error) {
	t.Helper()
	err := error(nil)
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not after %v: %v", what, 4*patience, err)
}

// changes are lanyard's writes that were answered well: one word for each.
func (m *moving) changes() (out []string) {
	for _, r := range m.asked() {
		o := r.ObjectRef
		if r.ResponseStatus.Code >= 300 || o.Namespace != m.ns || strings.Contains(r.RequestURI, "dryRun=") {
			continue
		}
		switch {
		case o.Resource == "pods" && o.Subresource == "eviction":
			out = append(out, "evict "+o.Name)
		case r.Verb == "patch":
			out = append(out, "patch "+o.Resource+" "+o.Name)
		}
	}
	calls, _ := m.aws.Calls(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range calls {
		if c.ErrorCode != "" || !c.Mutating || c.Service != "iam" && c.Service != "eks" {
			continue
		}
		what := c.Resource
		if name := m.owned[what]; name != "" {
			what = name
		}
		if c.Operation == "CreatePodIdentityAssociation" {
			what = associated(c)
		}
		out = append(out, c.Operation+" "+what)
	}
	return out
}

// associated is the ServiceAccount that a call makes an association for.
func associated(c awsd.Call) string {
	_, after, _ := strings.Cut(c.Params, "serviceAccount=")
	name, _, _ := strings.Cut(after, " ")
	return name
}

// judge tells the prober of the deletes, and returns its books, in which nothing is broken.
func (m *moving) judge() prober.Report {
	m.t.Helper()
	m.mu.Lock()
	for name, at := range m.moved {
		m.prober.Deleted(m.ns, name, at, name == "broken")
		m.prober.Restarted(m.ns, name, slices.MaxFunc([]time.Time{at, m.last[name].Add(time.Second)}, time.Time.Compare))
	}
	m.mu.Unlock()
	r := m.prober.Report()
	for _, p := range slices.Concat(r.Broken, r.Young) {
		m.t.Errorf("broken: %s", p)
	}
	exposed := map[string]int{}
	for _, p := range r.Exposed {
		exposed[p.ServiceAccount]++
	}
	m.t.Logf("%d probes, %d unproven; exposed by ServiceAccount: %v", r.Probes, len(r.Unproven), exposed)
	return r
}

// restless lets a pod of the Deployment web be made again whenever a side is armed: it is
// admitted while that is not seen everywhere.
func (m *moving) restless() {
	events := make(chan struct{}, 100)
	m.aws.AddFault(awsd.Fault{Service: "eks", Match: func(c awsd.Call) bool {
		if c.Operation == "CreatePodIdentityAssociation" || c.Operation == "DeletePodIdentityAssociation" {
			select {
			case events <- struct{}{}:
			default:
			}
		}
		return false
	}})
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			}
			list, err := m.kube.CoreV1().Pods(m.ns).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
			if err == nil && len(list.Items) > 0 {
				err = m.kube.CoreV1().Pods(m.ns).Delete(ctx, list.Items[0].Name, metav1.DeleteOptions{})
			}
			if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
				m.t.Errorf("a pod of web: %v", err)
			}
		}
	}()
	m.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// still waits for whole rounds of a lanyard that write nothing.
func (r *replica) still(t *testing.T, rounds int) {
	t.Helper()
	goal := r.log.count(`"msg":"round"`, `"partial":false`, `"writes":0`) + rounds
	eventually(t, "rounds of "+r.name+" without writes", func() error {
		if n := r.log.count(`"msg":"round"`, `"partial":false`, `"writes":0`); n < goal {
			return fmt.Errorf("%d of %d", n, goal)
		}
		return nil
	})
}

// TestMigrate: a mixed fleet moves to Pod Identity and back, with lanyard as a process
// with the rights of mode migrate, while everything is seen late, pods come and go, and
// each pod asks for credentials all the time. One whose image cannot use Pod Identity is
// taken back, and not tried again by the next process; one on Fargate is not touched.
func TestMigrate(t *testing.T) {
	m := newMoving(t)
	m.populate()
	m.hook.SetDelay(late)
	m.aws.SetConsistency(awsd.Consistency{RoleReads: late, Trust: late, AssociationReads: late, AssociationAdmission: late, AssociationCredentials: late})
	m.probes()
	kept, err := m.kube.CoreV1().ServiceAccounts(m.ns).Get(t.Context(), "kept", metav1.GetOptions{})
	m.must(err)
	before, err := m.pods()
	m.must(err)
	m.restless()

	began := time.Now()
	everybody := append([]string{"kept", "broken"}, movers...)
	m.declare("pod-identity", everybody...)
	one := m.fork("one")
	m.armed("bare", true)
	m.must(m.kube.CoreV1().Pods(m.ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=bare"}))
	m.armed("nightly", true)
	m.finish("once")
	m.night("first")
	there := map[string]int{"web": 3, "single": 1, "db": 3, "logs": 3, "pair": 3, "bare": 2, "canary": 3}
	patiently(t, "the fleet on Pod Identity", func() error {
		err := m.runs(identity.PodIdentity, there)
		for _, name := range movers {
			err = errors.Join(err, m.wired(name, identity.PodIdentity, "pod-identity"))
		}
		return errors.Join(err, m.runs(identity.IRSA, map[string]int{"kept": 2, "broken": 2}), m.wired("broken", identity.IRSA, "irsa", "pod-identity"), m.marked())
	})
	t.Logf("there after %s", time.Since(began).Round(time.Second))
	one.still(t, 2)
	wrote := m.changes()
	one.kill()
	<-one.gone
	two := m.fork("two")
	two.says(t, "leading")
	two.still(t, 5)
	if more := m.changes()[len(wrote):]; len(more) > 0 {
		t.Errorf("at rest, a new process writes %q", more)
	}

	began = time.Now()
	m.declare("irsa", everybody...)
	m.armed("nightly", false)
	m.night("second")
	patiently(t, "the fleet back on IRSA", func() error {
		err := m.runs(identity.IRSA, there)
		for _, name := range append([]string{"broken"}, movers...) {
			err = errors.Join(err, m.wired(name, identity.IRSA, "irsa"))
		}
		return err
	})
	t.Logf("back after %s", time.Since(began).Round(time.Second))
	two.still(t, 2)
	wrote = m.changes()
	two.still(t, 3)
	if more := m.changes()[len(wrote):]; len(more) > 0 {
		t.Errorf("at rest, it writes %q", more)
	}

	m.must(m.prober.Close())
	if report := m.judge(); report.Probes < 200 || len(report.Exposed) == 0 {
		t.Errorf("%d probes, %d of them of exposed pods: too few to tell", report.Probes, len(report.Exposed))
	}
	counts := map[string]int{}
	for _, c := range wrote {
		counts[c]++
	}
	for _, name := range append([]string{"broken"}, movers...) {
		if c, d := counts["CreatePodIdentityAssociation "+name], counts["DeletePodIdentityAssociation "+name]; c != 1 || d != 1 {
			t.Errorf("%d associations of %s were created and %d deleted, want one", c, name, d)
		}
	}
	m.untouched(kept, before["kept"], counts)
	m.rights()
}

// probes starts the judge. No agent's cache helps a pod: the judge is stricter than life.
func (m *moving) probes() {
	m.t.Helper()
	m.prober = prober.New(prober.Options{Client: m.kube, Clock: virtual.NewWallClock(), Region: "eu-west-1", Endpoint: m.url, Agents: m.fleet, Cold: true,
		Named: func(namespace, _ string) bool { return namespace == m.ns }})
	m.must(m.prober.Start(100*time.Millisecond, func(err error) { m.t.Error(err) }))
}

// marked is an error unless the ServiceAccount broken bears the mark of a rollback.
func (m *moving) marked() error {
	a, err := m.kube.CoreV1().ServiceAccounts(m.ns).Get(m.t.Context(), "broken", metav1.GetOptions{})
	if err != nil {
		return err
	}
	mark, err := migrate.ParseMark(a.Annotations[migrate.RolledBackMark])
	if err != nil {
		return err
	}
	return errors.Join(want("times in the mark", len(mark.At), 1), want("crash-loops in "+mark.Reason, strings.Contains(mark.Reason, "crash-loops"), true))
}

// untouched: who cannot move was not written about, and has its pods still.
func (m *moving) untouched(kept *corev1.ServiceAccount, before []*corev1.Pod, counts map[string]int) {
	m.t.Helper()
	after, err := m.kube.CoreV1().ServiceAccounts(m.ns).Get(m.t.Context(), "kept", metav1.GetOptions{})
	m.must(err)
	all, err := m.pods()
	m.must(err)
	uids := func(pods []*corev1.Pod) string {
		var out []string
		for _, p := range pods {
			out = append(out, string(p.UID))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	m.must(errors.Join(want("version of ServiceAccount kept", after.ResourceVersion, kept.ResourceVersion), want("pods of kept", uids(all["kept"]), uids(before)),
		m.wired("kept", identity.IRSA, "irsa")))
	for what, n := range counts {
		if strings.HasSuffix(what, " kept") {
			m.t.Errorf("%s, %d times; want that it is left alone", what, n)
		}
	}
}

// armed waits until new pods of a ServiceAccount get Pod Identity, or no longer do.
func (m *moving) armed(name string, is bool) {
	m.t.Helper()
	patiently(m.t, "the association of "+name, func() error {
		_, there := m.aws.Association(labCluster, m.ns, name)
		return want("there", there, is)
	})
	m.admits(name, map[bool]string{true: "pods.eks.amazonaws.com", false: "sts.amazonaws.com"}[is])
}

// finish ends a Job's pod that runs on.
func (m *moving) finish(job string) {
	m.t.Helper()
	list, err := m.kube.CoreV1().Pods(m.ns).List(m.t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + job})
	m.must(err)
	for _, p := range list.Items {
		_, err := m.kube.CoreV1().Pods(m.ns).Patch(m.t.Context(), p.Name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"100ms"}}}`, delay), metav1.PatchOptions{})
		m.must(err)
	}
}
