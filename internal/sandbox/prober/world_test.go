package prober_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/agentd"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
)

const (
	issuer   = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	irsaRole = "arn:aws:iam::123456789012:role/team/irsa-role"
	podRole  = "arn:aws:iam::123456789012:role/pod-role"
	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"pod","aws:RequestTag/eks-cluster-name":"irsa-lab"},"StringLike":{"aws:RequestTag/kubernetes-pod-uid":"?*","aws:RequestTag/kubernetes-pod-name":"pod-*","aws:RequestTag/eks-cluster-arn":"arn:*"}}}]}`
	noTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

func irsaTrust() string {
	host := strings.TrimPrefix(issuer, "https://")
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":"sts.amazonaws.com","%s:sub":"system:serviceaccount:demo:irsa"}}}]}`, provider, host, host)
}

// world has two Deployments of one pod each, demo/irsa and demo/pod, on two nodes with
// agents, and a prober that found all well.
type world struct {
	*sandbox.World
	t      *testing.T
	kube   kubernetes.Interface
	fleet  *agentd.Fleet
	prober *prober.Prober
}

func newWorld(t *testing.T, change func(*prober.Options)) *world {
	t.Helper()
	w := load(t, snapshot(), change)
	if broken := w.probe(); broken != "" {
		t.Fatalf("before anything is broken: %s", broken)
	}
	if n := len(w.prober.Last()); n != 4 {
		t.Fatalf("%d probes, want one of each Deployment and agent", n)
	}
	return w
}

func load(t *testing.T, data []byte, change func(*prober.Options)) *world {
	t.Helper()
	s, err := sandbox.Load(data, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{World: s, t: t, kube: s.Client("prober")}
	id, secret := awsd.AccessKey(w.Account)
	w.fleet = agentd.New(agentd.Options{Clock: w.Clock, Cluster: w.Name, Region: w.Region, Endpoint: w.URL,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	o := prober.Options{Client: w.kube, Clock: w.Clock, Region: w.Region, Endpoint: w.URL, Agents: w.fleet}
	if change != nil {
		change(&o)
	}
	w.prober = prober.New(o)
	w.must(w.fleet.Follow(t.Context(), w.kube))
	t.Cleanup(func() { w.must(w.prober.Close()); w.must(w.fleet.Close()); w.must(w.Close()) })
	return w
}

func snapshot() []byte {
	type m map[string]any
	type l []any
	workload := func(name string) m {
		return m{"namespace": "demo", "kind": "Deployment", "name": name, "serviceAccount": name, "replicas": 1, "podLabels": m{"app": name}}
	}
	data, _ := json.Marshal(m{ // Plain maps and lists: it does not fail.
		"takenAt":  "2026-11-23T09:00:00Z",
		"cluster":  m{"name": "irsa-lab", "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", "issuer": issuer},
		"accounts": l{m{"id": "123456789012"}},
		"serviceAccounts": l{
			m{"namespace": "demo", "name": "irsa", "annotations": m{"eks.amazonaws.com/role-arn": irsaRole}},
			m{"namespace": "demo", "name": "pod"},
		},
		"associations": l{m{"namespace": "demo", "serviceAccount": "pod", "role": podRole}},
		"workloads": l{workload("irsa"), workload("pod"),
			m{"namespace": "kube-system", "kind": "DaemonSet", "name": "eks-pod-identity-agent"}},
		"pods":          l{m{"namespace": "demo", "serviceAccount": "pod", "containers": l{m{"credential": "pod-identity", "role": podRole}}}},
		"nodes":         l{m{"name": "node-1"}, m{"name": "node-2"}},
		"webhook":       m{"present": true},
		"roles":         l{m{"arn": irsaRole, "presence": "present", "trustPolicy": irsaTrust()}, m{"arn": podRole, "presence": "present", "trustPolicy": podTrust}},
		"oidcProviders": l{m{"arn": provider, "clientIDs": l{"sts.amazonaws.com"}}},
	})
	return data
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// probe makes a round, and returns the failures that are new in the books as
// "book:subject:mechanism:plane:code", joined.
func (w *world) probe() string {
	w.t.Helper()
	before := w.prober.Report()
	_, err := w.prober.Round(w.t.Context())
	w.must(err)
	after := w.prober.Report()
	var out []string
	for _, b := range []struct {
		name     string
		old, all []prober.Probe
	}{
		{"broken", before.Broken, after.Broken}, {"exposed", before.Exposed, after.Exposed},
		{"young", before.Young, after.Young}, {"unproven", before.Unproven, after.Unproven},
	} {
		for _, p := range b.all[len(b.old):] {
			out = append(out, fmt.Sprintf("%s:%s:%s:%s:%s", b.name, p.ServiceAccount, p.Mechanism, p.Plane, p.Code))
			if !p.Started.Equal(w.Clock.Now()) || p.Error == "" || p.Pod == "" {
				w.t.Errorf("entry %s, want the time, the pod and the error", p)
			}
		}
	}
	return strings.Join(out, " ")
}

func (w *world) want(want string) {
	w.t.Helper()
	if got := w.probe(); got != want {
		for _, p := range w.prober.Last() {
			w.t.Log(p)
		}
		w.t.Errorf("books: got %q, want %q", got, want)
	}
}

// restart replaces the pods of a Deployment.
func (w *world) restart(name string) {
	w.t.Helper()
	w.must(w.Life.Restart(w.t.Context(), "Deployment", "demo", name))
	w.must(w.Pass(w.t.Context(), 10*time.Second))
}

func (w *world) annotate(sa, annotations string) {
	w.t.Helper()
	_, err := w.kube.CoreV1().ServiceAccounts("demo").Patch(w.t.Context(), sa, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{`+annotations+`}}}`), metav1.PatchOptions{})
	w.must(err)
}

func (w *world) trust(role, doc string) {
	w.t.Helper()
	w.must(w.AWS.PutRole(awsd.Role{ARN: role, Trust: doc}))
}

// bare makes a pod that nothing owns, and lets it start.
func (w *world) bare(name, serviceAccount, node string) {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Spec: corev1.PodSpec{
		ServiceAccountName: serviceAccount, NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "example.com/x:1"}}}}
	_, err := w.kube.CoreV1().Pods("demo").Create(w.t.Context(), pod, metav1.CreateOptions{})
	w.must(err)
	w.must(w.Pass(w.t.Context(), 5*time.Second))
}
