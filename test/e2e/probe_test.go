//go:build linux

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/hookd"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// elsewhere is an address that no test's machine has: an EndpointSlice may not name
// loopback, where the API server is.
const elsewhere = "192.0.2.1"

// probing is lanyard's admission probe in a lab, as its own ServiceAccount with the probe's
// rights and no others besides what deploy/ grants.
type probing struct {
	*operator
	*probe.Prober
	address string // of the API server, in the EndpointSlice
	dialled []string
}

func newProbing(t *testing.T) *probing {
	t.Helper()
	a := &probing{operator: newOperator(t, nil)}
	a.grant(rights.Probe())
	server, err := url.Parse(admin(t).Host)
	a.must(err)
	a.address = a.publish(server)
	config, err := clientcmd.BuildConfigFromFlags("", a.kubeconfig)
	a.must(err)
	argo, err := dynamic.NewForConfig(config)
	a.must(err)
	a.Prober = probe.New(probe.Options{Kube: a.client(), Dynamic: argo, Judge: observe.Given, Dial: probe.Dialer(config, func(ctx context.Context, network, address string) (net.Conn, error) {
		a.dialled = append(a.dialled, address)
		return (&net.Dialer{}).DialContext(ctx, network, server.Host)
	})})
	eventually(t, "lanyard's rights, and the policy", func() error { return a.Guard(t.Context()) })
	return a
}

// publish writes an address of the API server into its EndpointSlice, as a real one does
// itself, and returns it.
func (l *lab) publish(server *url.URL) (address string) {
	l.t.Helper()
	port, err := strconv.Atoi(server.Port())
	l.must(err)
	slices := l.kube.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	_, err = slices.Create(l.t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{elsewhere}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(port)), Protocol: new(corev1.ProtocolTCP)}},
	}, metav1.CreateOptions{})
	l.must(err)
	l.t.Cleanup(func() { l.must(slices.Delete(context.Background(), "kubernetes", metav1.DeleteOptions{})) })
	return net.JoinHostPort(elsewhere, server.Port())
}

// grant gives lanyard rules more, until the test ends.
func (a *probing) grant(rules []rights.Rule) {
	a.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: a.ns + "-probe"}}
	for _, r := range rules {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: r.Resources, ResourceNames: r.Names, Verbs: r.Verbs})
	}
	api := a.kube.RbacV1()
	_, err := api.ClusterRoles().Create(a.t.Context(), role, metav1.CreateOptions{})
	a.must(err)
	_, err = api.ClusterRoleBindings().Create(a.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: role.ObjectMeta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: lanyardNamespace, Name: lanyardAccount}}}, metav1.CreateOptions{})
	a.must(err)
	a.t.Cleanup(func() {
		a.must(errors.Join(api.ClusterRoleBindings().Delete(context.Background(), role.Name, metav1.DeleteOptions{}),
			api.ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})))
	})
}

// one asks about a workload of ServiceAccount irsa, and returns the only answer.
func (a *probing) one(kind, name string) (migrate.Answer, error) {
	answers, err := a.Ask(a.t.Context(), identity.Subject{Namespace: a.ns, ServiceAccount: "irsa"}, live.WorkloadRef{Kind: kind, Name: name})
	if err != nil || len(answers) != 1 {
		return migrate.Answer{}, fmt.Errorf("%d answers: %w", len(answers), cmp.Or(err, errors.New("want one")))
	}
	return answers[0], nil
}

// answers waits for an answer about Deployment irsa with a result and words.
func (a *probing) answers(result migrate.Result, words string) {
	a.t.Helper()
	eventually(a.t, result.String()+": "+words, func() error {
		got, err := a.one("Deployment", "irsa")
		if err != nil || got.Result != result || !strings.Contains(got.Message, words) {
			return fmt.Errorf("%s: %q: %w", got.Result, got.Message, cmp.Or(err, errors.New("another answer")))
		}
		return nil
	})
}

// workloads makes one of each kind under ServiceAccount irsa, and returns them.
func (a *probing) workloads() []live.WorkloadRef {
	a.t.Helper()
	template := podOf(nil)
	template.Spec.ServiceAccountName = "irsa"
	claims := *template.DeepCopy()
	claims.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	once := *template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	selector, meta, ctx := &metav1.LabelSelector{MatchLabels: template.Labels}, metav1.ObjectMeta{Name: "test"}, a.t.Context()
	apps, batch := a.kube.AppsV1(), a.kube.BatchV1()
	_, err := apps.StatefulSets(a.ns).Create(ctx, &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
		Replicas: new(int32(0)), Selector: selector, Template: claims, VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}}}, metav1.CreateOptions{})
	a.must(err)
	nowhere := *template.DeepCopy()
	nowhere.Spec.NodeSelector = map[string]string{"no": "node"}
	_, err = apps.DaemonSets(a.ns).Create(ctx, &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: nowhere}}, metav1.CreateOptions{})
	a.must(err)
	_, err = apps.ReplicaSets(a.ns).Create(ctx, &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Selector: selector, Template: template}}, metav1.CreateOptions{})
	a.must(err)
	_, err = batch.Jobs(a.ns).Create(ctx, &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Suspend: new(true), Template: once}}, metav1.CreateOptions{})
	a.must(err)
	_, err = batch.CronJobs(a.ns).Create(ctx, &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "@yearly", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}}}, metav1.CreateOptions{})
	a.must(err)
	all := []live.WorkloadRef{{Kind: "Deployment", Name: "irsa"}}
	for _, kind := range []string{"StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"} {
		all = append(all, live.WorkloadRef{Kind: kind, Name: "test"})
	}
	return all
}

// TestAdmissionProbe: on a real API server, as lanyard's own ServiceAccount, the probe
// says of each kind of workload what the webhook gives a new pod, before an association
// and after it; it makes nothing, and may make nothing; and the rights it uses are those
// that lanyard policy has for it.
func TestAdmissionProbe(t *testing.T) {
	a := newProbing(t)
	workloads := a.workloads()
	for _, w := range workloads {
		got, err := a.one(w.Kind, w.Name)
		if err != nil || got.Result != migrate.AnswerGiven || got.Credential != live.CredentialIRSA || got.Role != irsaRole || got.Audience != "sts.amazonaws.com" || got.Address != a.address {
			t.Errorf("%s: %+v, %v; want IRSA with %s from %s", w.Kind, got, err, irsaRole, a.address)
		}
	}
	real := podOf(nil)
	if _, err := a.client().CoreV1().Pods(a.ns).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "real"}, Spec: real.Spec}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "dry run only") {
		t.Errorf("lanyard makes a pod: %v, want it forbidden by the policy", err)
	}
	if _, err := a.one("Rollout", "none"); err == nil || !strings.Contains(err.Error(), "could not find") && !strings.Contains(err.Error(), "not found") {
		t.Errorf("a Rollout that is not there: %v", err)
	}
	missing, extra := differences(append(a.granted(), a.probes()...), a.asked())
	for _, m := range missing {
		t.Errorf("asked, and no right of the probe's: %s", m)
	}
	for _, e := range extra {
		if slices.ContainsFunc(a.probes(), func(r right) bool { return r.String() == e }) {
			t.Errorf("a right of the probe's, and not asked: %s", e)
		}
	}

	// The association arms the switch: three good answers follow, 2 s apart.
	_, err := a.aws.PutAssociation(awsd.Association{Cluster: labCluster, Namespace: a.ns, ServiceAccount: "irsa", RoleARN: podRole})
	a.must(err)
	var record migrate.Answers
	shown := func(p migrate.Answer) bool { return p.Credential == live.CredentialPodIdentity }
	began := time.Now()
	eventually(t, "Pod Identity, surely", func() error {
		_, _, next := record.Shows(shown, time.Now())
		time.Sleep(time.Until(next))
		answers, err := a.Ask(t.Context(), identity.Subject{Namespace: a.ns, ServiceAccount: "irsa"}, live.WorkloadRef{Kind: "Deployment", Name: "irsa"})
		a.must(err)
		record = record.Add(answers)
		if ok, why, _ := record.Shows(shown, time.Now()); !ok {
			return errors.New(why)
		}
		return nil
	})
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("shown after %v, which is too soon for three answers 2 s apart", took)
	}
	for _, w := range workloads {
		if got, err := a.one(w.Kind, w.Name); err != nil || got.Result != migrate.AnswerGiven || got.Credential != live.CredentialPodIdentity {
			t.Errorf("%s: %+v, %v; want Pod Identity", w.Kind, got, err)
		}
	}
	list, err := a.kube.CoreV1().Pods(a.ns).List(t.Context(), metav1.ListOptions{})
	a.must(err)
	for _, p := range list.Items {
		if strings.HasPrefix(p.Name, "lanyard") || p.Name == "real" {
			t.Errorf("pod %s was stored", p.Name)
		}
	}
	if slices.ContainsFunc(a.dialled, func(address string) bool { return address != a.address }) || len(a.dialled) < 15 {
		t.Errorf("dialled %q, want %s each time", a.dialled, a.address)
	}
}

// granted are the rights of deploy/, which the probe uses one of: to list ReplicaSets.
func (a *probing) granted() []right { return grants(a.t, manifests(a.t, overlay)) }

// probes are the rights that lanyard policy has for the probe.
func (a *probing) probes() (all []right) {
	for _, r := range rights.Probe() {
		for _, verb := range r.Verbs {
			for _, resource := range r.Resources {
				names := r.Names
				if len(names) == 0 {
					names = []string{""}
				}
				for _, name := range names {
					all = append(all, right{verb: verb, group: r.Group, resource: resource, name: name})
				}
			}
		}
	}
	return all
}

// TestProbeRefused: what another plugin refuses is told from what nobody answers.
func TestProbeRefused(t *testing.T) {
	a := newProbing(t)
	core, ctx := a.kube.CoreV1(), t.Context()
	a.answers(migrate.AnswerGiven, "")

	_, err := core.ResourceQuotas(a.ns).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "full"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}}}, metav1.CreateOptions{})
	a.must(err)
	a.answers(migrate.AnswerRefused, "exceeded quota: full")
	a.must(core.ResourceQuotas(a.ns).Delete(ctx, "full", metav1.DeleteOptions{}))
	a.answers(migrate.AnswerGiven, "")

	limit := corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}
	_, err = core.LimitRanges(a.ns).Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{limit}}}, metav1.CreateOptions{})
	a.must(err)
	a.answers(migrate.AnswerRefused, "maximum cpu usage per Pod is 1")
	a.must(core.LimitRanges(a.ns).Delete(ctx, "small", metav1.DeleteOptions{}))
	a.answers(migrate.AnswerGiven, "")

	level := func(value string) {
		t.Helper()
		_, err := core.Namespaces().Patch(ctx, a.ns, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":%s}}}`, value), metav1.PatchOptions{})
		a.must(err)
	}
	level(`"restricted"`)
	a.answers(migrate.AnswerRefused, `violates PodSecurity "restricted:latest"`)
	level("null")
	a.answers(migrate.AnswerGiven, "")

	// A policy of somebody else's, in this namespace.
	own := metav1.ObjectMeta{Name: a.ns + "-no-tags"}
	policies, bindings := a.kube.AdmissionregistrationV1().ValidatingAdmissionPolicies(), a.kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	_, err = policies.Create(ctx, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: own, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}},
		Validations: []admissionv1.Validation{{Expression: "object.spec.containers.all(c, c.image.contains('@sha256:'))", Message: "name images by digest"}}}}, metav1.CreateOptions{})
	a.must(err)
	_, err = bindings.Create(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: own, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: own.Name,
		ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources:    &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: a.ns}}}}}, metav1.CreateOptions{})
	a.must(err)
	a.answers(migrate.AnswerRefused, "name images by digest")
	a.must(errors.Join(bindings.Delete(ctx, own.Name, metav1.DeleteOptions{}), policies.Delete(ctx, own.Name, metav1.DeleteOptions{})))
	a.answers(migrate.AnswerGiven, "")

	// A webhook that hangs lets pods through without it after 10 s: no answer, not a no.
	a.hook.SetMode(hookd.Hung)
	if got, err := a.one("Deployment", "irsa"); err != nil || got.Result != migrate.AnswerFailed || got.Message != "no answer in time" {
		t.Errorf("with the webhook hung: %+v, %v", got, err)
	}
	a.hook.SetMode(hookd.Down)
	if got, err := a.one("Deployment", "irsa"); err != nil || got.Result != migrate.AnswerGiven || got.Credential != live.CredentialNone {
		t.Errorf("with the webhook down: %+v, %v; want that it gives nothing", got, err)
	}
	a.hook.SetMode(hookd.Serving)
	a.answers(migrate.AnswerGiven, "")
}

// TestProbeUnguarded: whatever the API server lets be done to policy or binding is
// noticed, and nobody is asked until they stand again.
func TestProbeUnguarded(t *testing.T) {
	a := newProbing(t)
	policies, bindings := a.kube.AdmissionregistrationV1().ValidatingAdmissionPolicies(), a.kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	restore := func() {
		ctx := context.Background()
		for _, err := range []error{policies.Delete(ctx, rights.AdmissionPolicy, metav1.DeleteOptions{}), bindings.Delete(ctx, rights.AdmissionPolicy, metav1.DeleteOptions{})} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
		apply(t, admin(t), objectsOf(t, "../../deploy/kubernetes/base/admission.yaml"))
	}
	patch := func(kind, body string) func() error {
		return func() (err error) {
			if kind == "policy" {
				_, err = policies.Patch(t.Context(), rights.AdmissionPolicy, types.MergePatchType, []byte(body), metav1.PatchOptions{})
			} else {
				_, err = bindings.Patch(t.Context(), rights.AdmissionPolicy, types.MergePatchType, []byte(body), metav1.PatchOptions{})
			}
			return err
		}
	}
	for _, test := range []struct {
		name   string
		tamper func() error
		says   string
	}{
		{"failurePolicy", patch("policy", `{"spec":{"failurePolicy":"Ignore"}}`), `spec.failurePolicy is "Ignore" and must be "Fail"`},
		{"a condition", patch("policy", `{"spec":{"matchConditions":[{"name":"lanyard","expression":"false"}]}}`), "spec.matchConditions[0].expression"},
		{"a validation", patch("policy", `{"spec":{"validations":[{"expression":"true"}]}}`), "spec.validations[0].expression"},
		{"namespaces", patch("policy", `{"spec":{"matchConstraints":{"namespaceSelector":{"matchLabels":{"guard":"on"}}}}}`), "spec.matchConstraints.namespaceSelector"},
		{"actions", patch("binding", `{"spec":{"validationActions":["Audit"]}}`), "spec.validationActions[0]"},
		{"bound namespaces", patch("binding", `{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"guard":"on"}}}}}`), "spec.matchResources"},
		{"another policy", patch("binding", `{"spec":{"policyName":"other"}}`), "spec.policyName"},
		{"no policy", func() error { return policies.Delete(t.Context(), rights.AdmissionPolicy, metav1.DeleteOptions{}) }, "is not there"},
		{"no binding", func() error { return bindings.Delete(t.Context(), rights.AdmissionPolicy, metav1.DeleteOptions{}) }, "is not there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Cleanup(restore)
			if err := test.tamper(); err != nil {
				t.Fatal(err)
			}
			before := len(a.dialled)
			got, err := a.one("Deployment", "irsa")
			if err != nil || got.Result != migrate.AnswerUnguarded || !strings.Contains(got.Message, test.says) {
				t.Errorf("%+v, %v; want unguarded with %s", got, err, test.says)
			}
			if guard := a.Guard(t.Context()); !errors.Is(guard, probe.ErrUnguarded) || !strings.Contains(guard.Error(), "lanyard policy --namespace lanyard --service-account lanyard -o admission") {
				t.Errorf("guard says %v", guard)
			}
			if len(a.dialled) != before {
				t.Error("an API server was asked all the same")
			}
		})
	}
	a.must(a.Guard(t.Context()))
	a.answers(migrate.AnswerGiven, "")

	// An administrator's client is not the user that the policy names.
	other := probe.New(probe.Options{Kube: a.kube, Judge: observe.Given, Dial: func(string) (kubernetes.Interface, error) { return nil, errors.New("asked") }})
	if err := other.Guard(t.Context()); !errors.Is(err, probe.ErrUnguarded) || !strings.Contains(err.Error(), "is no ServiceAccount") {
		t.Errorf("of an administrator the guard says %v", err)
	}
}
