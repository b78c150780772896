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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/agentd"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/hookd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

const (
	labAccount  = "123456789012"
	labCluster  = "arn:aws:eks:eu-west-1:" + labAccount + ":cluster/irsa-lab"
	labProvider = "arn:aws:iam::" + labAccount + ":oidc-provider/"
	irsaRole    = "arn:aws:iam::" + labAccount + ":role/irsa"
	podRole     = "arn:aws:iam::" + labAccount + ":role/pod"
	distrust    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// lab is an EKS cluster: the real control plane, the AWS double, which verifies the tokens
// that the API server signs, the webhook, which the API server calls, and an agent to
// each node. ServiceAccount irsa has an annotation, pod an association; each has a
// Deployment of its name.
type lab struct {
	t      *testing.T
	kube   kubernetes.Interface
	ns     string
	aws    *awsd.Server
	url    string // of AWS
	hook   *hookd.Server
	fleet  *agentd.Fleet
	nodes  []string
	prober *prober.Prober
	seen   int // of what is broken
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, kube: adminClient(t)}
	l.ns = namespace(t, l.kube)
	clock := virtual.NewWallClock() // The API server knows no other.
	l.aws = awsd.New(awsd.Options{Clock: clock})
	l.must(l.aws.PutAccount(awsd.Account{ID: labAccount}))
	l.must(l.aws.PutCluster(awsd.Cluster{ARN: labCluster, Issuer: plane.Issuer}))
	l.provide("sts.amazonaws.com")
	l.trust(irsaRole, l.irsaTrust())
	l.trust(podRole, l.podTrust())
	l.aws.PublishKeys(plane.Issuer, func(ctx context.Context) ([]byte, error) {
		return l.kube.CoreV1().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	})
	var err error
	l.url, err = l.aws.Start("127.0.0.1:0")
	l.must(err)
	l.associate()
	l.hook, err = hookd.New(hookd.Options{Clock: clock, Region: "eu-west-1", AWS: l.aws, Cluster: labCluster})
	l.must(err)
	l.must(l.hook.Start("127.0.0.1:0"))
	l.must(l.hook.Follow(t.Context(), l.kube))
	objects := l.kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err = objects.Create(t.Context(), l.hook.Object(), metav1.CreateOptions{})
	l.must(err)
	id, secret := awsd.AccessKey(labAccount)
	l.fleet = agentd.New(agentd.Options{Clock: clock, Cluster: "irsa-lab", Region: "eu-west-1", Endpoint: l.url,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	nodes, err := l.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	l.must(err)
	for _, n := range nodes.Items {
		l.nodes = append(l.nodes, n.Name)
	}
	l.agents(true)
	l.prober = prober.New(prober.Options{Client: l.kube, Clock: clock, Region: "eu-west-1", Endpoint: l.url, Agents: l.fleet,
		Named: func(namespace, _ string) bool { return namespace == l.ns }})
	t.Cleanup(func() {
		deleted := objects.Delete(context.Background(), actors.WebhookObject, metav1.DeleteOptions{})
		l.must(errors.Join(l.prober.Close(), l.fleet.Close(), deleted, l.hook.Close(), l.aws.Close()))
	})
	l.account("irsa", map[string]string{actors.RoleARNAnnotation: irsaRole})
	l.account("pod", nil)
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) irsaTrust() string {
	host := strings.TrimPrefix(plane.Issuer, "https://")
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":"sts.amazonaws.com","%s:sub":"system:serviceaccount:%s:irsa"}}}]}`,
		labProvider+host, host, host, l.ns)
}

func (l *lab) podTrust() string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":%q,"aws:RequestTag/kubernetes-service-account":"pod","aws:RequestTag/eks-cluster-arn":%q},"StringLike":{"aws:RequestTag/kubernetes-pod-name":"pod-*"}}}]}`,
		l.ns, labCluster)
}

func (l *lab) trust(role, doc string) {
	l.t.Helper()
	l.must(l.aws.PutRole(awsd.Role{ARN: role, Trust: doc}))
}

func (l *lab) provide(audience string) {
	l.t.Helper()
	l.must(l.aws.PutProvider(awsd.Provider{ARN: labProvider + strings.TrimPrefix(plane.Issuer, "https://"), ClientIDs: []string{audience}}))
}

func (l *lab) associate() {
	l.t.Helper()
	_, err := l.aws.PutAssociation(awsd.Association{Cluster: labCluster, Namespace: l.ns, ServiceAccount: "pod", RoleARN: podRole})
	l.must(err)
}

// dissociate deletes the association by the API: what is deleted there, the webhook may
// still show for a while.
func (l *lab) dissociate() {
	l.t.Helper()
	id, secret := awsd.AccessKey(labAccount)
	client := eks.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &l.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	a, ok := l.aws.Association(labCluster, l.ns, "pod")
	if !ok {
		l.t.Fatal("no association to delete")
	}
	_, err := client.DeletePodIdentityAssociation(l.t.Context(), &eks.DeletePodIdentityAssociationInput{ClusterName: aws.String("irsa-lab"), AssociationId: &a.ID})
	l.must(err)
}

func (l *lab) agents(there bool) {
	l.t.Helper()
	for _, n := range l.nodes {
		if there {
			l.must(l.fleet.Start(n))
		} else {
			l.fleet.Stop(n)
		}
	}
}

// account makes a ServiceAccount, waits until the webhook knows it, and gives it a
// Deployment.
func (l *lab) account(name string, annotations map[string]string) {
	l.t.Helper()
	_, err := l.kube.CoreV1().ServiceAccounts(l.ns).Create(l.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}, metav1.CreateOptions{})
	l.must(err)
	l.admits(name, map[bool]string{true: "sts.amazonaws.com", false: "pods.eks.amazonaws.com"}[annotations != nil])
	template := podOf(nil)
	template.Labels = map[string]string{"app": name}
	template.Spec.ServiceAccountName, template.Spec.TerminationGracePeriodSeconds = name, new(int64(0))
	_, err = l.kube.AppsV1().Deployments(l.ns).Create(l.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}, metav1.CreateOptions{})
	l.must(err)
	l.rolled(name)
}

// probe returns a pod as the API server would store it.
func (l *lab) probe(serviceAccount string, labels map[string]string) (*corev1.Pod, error) {
	template := podOf(nil)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: labels}, Spec: template.Spec}
	pod.Spec.ServiceAccountName = serviceAccount
	return l.kube.CoreV1().Pods(l.ns).Create(l.t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// admits waits until new pods of a ServiceAccount get a token of that audience, "" for none.
func (l *lab) admits(serviceAccount, audience string) {
	l.t.Helper()
	eventually(l.t, "pods of "+serviceAccount+" with "+audience, func() error {
		pod, err := l.probe(serviceAccount, nil)
		if err != nil {
			return err
		}
		return want("audience", given(pod), audience)
	})
}

// given returns the audience of the token that the webhook projected.
func given(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Volumes {
		if v.Projected != nil && (v.Name == "aws-iam-token" || v.Name == "eks-pod-identity-token") {
			return v.Projected.Sources[0].ServiceAccountToken.Audience
		}
	}
	return ""
}

func (l *lab) rolled(name string) {
	l.t.Helper()
	eventually(l.t, "Deployment "+name, func() error {
		d, err := l.kube.AppsV1().Deployments(l.ns).Get(l.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := d.Status
		return errors.Join(want("observedGeneration", s.ObservedGeneration, d.Generation),
			want("availableReplicas", s.AvailableReplicas, 2), want("updatedReplicas", s.UpdatedReplicas, 2), want("replicas", s.Replicas, 2))
	})
}

func (l *lab) restart(name string) {
	l.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`, actors.RestartedAtAnnotation, time.Now().Format(time.RFC3339Nano))
	_, err := l.kube.AppsV1().Deployments(l.ns).Patch(l.t.Context(), name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	l.must(err)
	l.rolled(name)
}

func (l *lab) audience(value string) {
	l.t.Helper()
	_, err := l.kube.CoreV1().ServiceAccounts(l.ns).Patch(l.t.Context(), "irsa", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"eks.amazonaws.com/audience":`+value+`}}}`), metav1.PatchOptions{})
	l.must(err)
}

// broken probes once, and compares what new breaches of law 1 there are, as
// "ServiceAccount:mechanism:plane:code", one of each kind.
func (l *lab) broken(want string) {
	l.t.Helper()
	_, err := l.prober.Round(l.t.Context())
	l.must(err)
	all := l.prober.Report().Broken
	var got []string
	for _, p := range all[l.seen:] {
		got = append(got, fmt.Sprintf("%s:%s:%s:%s", p.ServiceAccount, p.Mechanism, p.Plane, p.Code))
	}
	slices.Sort(got)
	if got := strings.Join(slices.Compact(got), " "); got != want {
		l.t.Errorf("broken: got %q, want %q", got, want)
		for _, p := range l.prober.Last() {
			l.t.Log(p)
		}
	}
	l.seen = len(all)
}

// TestCredentials holds that pods of a real cluster get credentials by both mechanisms,
// that nobody loses them by restarts, and that the judge of law 1 sees each way to lose
// them.
func TestCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.webhook()
	l.broken("")
	l.undisturbed()

	l.trust(irsaRole, distrust)
	l.broken("irsa:irsa:trust:AccessDenied")
	l.trust(irsaRole, l.irsaTrust())

	l.aws.DeleteProvider(labProvider + strings.TrimPrefix(plane.Issuer, "https://"))
	l.broken("irsa:irsa:trust:InvalidIdentityToken")
	l.provide("sts.amazonaws.com")
	l.broken("")

	l.audience(`"vault"`)
	l.admits("irsa", "vault")
	l.broken("") // The pods that run have their tokens.
	l.restart("irsa")
	l.broken("irsa:irsa:service-account:InvalidIdentityToken")
	l.audience("null")
	l.admits("irsa", "sts.amazonaws.com")
	l.restart("irsa")
	l.broken("")

	l.agents(false)
	l.broken("pod:pod-identity:agent:")
	l.agents(true)
	l.broken("")

	l.hook.SetDelay(time.Minute) // It still shows what is deleted.
	deleted := time.Now()
	l.dissociate()
	l.broken("") // The agents have credentials for the pods that run.
	l.restart("pod")
	l.broken("pod:pod-identity:association:ResourceNotFoundException")
	l.prober.Deleted(l.ns, "pod", deleted, false)
	if r := l.prober.Report(); len(r.Exposed) != 2 {
		t.Errorf("once told of the delete: %d exposed, want the two pods", len(r.Exposed))
	}
	l.seen = len(l.prober.Report().Broken)
	l.broken("")
	l.hook.SetDelay(0)
	l.admits("pod", "")
	l.restart("pod")
	l.prober.Restarted(l.ns, "pod", time.Now())
	l.broken("pod:none:pods:") // They have no annotation to fall back on.
	l.associate()
	l.admits("pod", "pods.eks.amazonaws.com")
	l.restart("pod")
	l.broken("")

	l.aws.DeleteRole(irsaRole)
	l.aws.DeleteRole(podRole)
	l.broken("irsa:irsa:trust:AccessDenied")
	l.restart("pod")
	l.broken("irsa:irsa:trust:AccessDenied pod:pod-identity:trust:AccessDeniedException")
}

// webhook holds what the API server makes of the webhook's object.
func (l *lab) webhook() {
	l.t.Helper()
	skipped, err := l.probe("pod", map[string]string{actors.SkipWebhookLabel: "true"})
	l.must(err)
	if a := given(skipped); a != "" {
		l.t.Errorf("a pod that the selector skips got a token for %s", a)
	}
	injected, err := l.probe("pod", nil)
	l.must(err)
	if injected.Labels[actors.PodIdentityLabel] != "enabled" {
		l.t.Errorf("labels = %v, want %s", injected.Labels, actors.PodIdentityLabel)
	}
	l.hook.SetMode(hookd.Down)
	bare, err := l.probe("pod", nil)
	l.must(err)
	if a := given(bare); a != "" {
		l.t.Errorf("with the webhook down a pod got a token for %s", a)
	}
	l.hook.SetMode(hookd.Serving)
	stored, err := l.kube.CoreV1().Pods(l.ns).List(l.t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=probe"})
	l.must(err)
	if len(stored.Items) != 0 {
		l.t.Error("a dry run was stored")
	}
}

// undisturbed restarts everything while the judge looks on.
func (l *lab) undisturbed() {
	l.t.Helper()
	l.must(l.prober.Start(10*time.Millisecond, func(err error) { l.t.Error(err) }))
	before := l.prober.Report()
	for n := 0; n < 3 || l.prober.Report().Probes-before.Probes < 50; n++ { // a slow machine restarts more often
		l.restart("irsa")
		l.restart("pod")
	}
	l.must(l.prober.Close())
	after := l.prober.Report()
	for _, p := range slices.Concat(after.Broken, after.Unproven, after.Young, after.Exposed) {
		l.t.Errorf("while everything was restarted: %s", p)
	}
}
