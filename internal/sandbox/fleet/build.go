package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/agentd"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/prober"
)

// Options are the settings of a [Fleet].
type Options struct {
	Start time.Time // what the clock shows at first
	Small bool      // a dozen workloads in place of some fifty, for tests
	Still bool      // nobody else lets pods be admitted: what happens is lanyard's doing
	// Late is how late writes are seen, by whoever is the last; at most 20 s, a third of
	// the time that lanyard lets them settle, and that if zero.
	Late time.Duration
	Soak time.Duration // that Git asks for; 10 minutes if zero
}

// Fleet is a world with its workloads, its agents and its judge. Make one with [New].
type Fleet struct {
	*sandbox.World
	Workloads []Workload

	o      Options
	kube   kubernetes.Interface // of the people who work with the cluster
	agents *agentd.Fleet
	prober *prober.Prober

	changed atomic.Bool // something was written since the cluster last lived
	watch
}

const (
	computeNodes     = 4
	fargateNamespace = "serverless"
	latest           = 20 * time.Second
	brokenImage      = "registry.example.com/old-sdk:1"
)

// New makes a fleet on IRSA, in which everything works. It must be closed.
func New(ctx context.Context, o Options) (*Fleet, error) {
	o.Late, o.Soak = cmp.Or(o.Late, latest), cmp.Or(o.Soak, 10*time.Minute)
	f := &Fleet{o: o, Workloads: catalogue(o.Small)}
	data, err := f.snapshot()
	if err != nil {
		return nil, err
	}
	if f.World, err = sandbox.Load(data, sandbox.Options{Start: o.Start, Behave: behave, WebhookDelay: o.Late / 2, Consistency: awsd.Consistency{
		RoleReads: o.Late * 3 / 4, Trust: o.Late, AssociationReads: o.Late / 2, AssociationAdmission: o.Late / 4, AssociationCredentials: o.Late / 4,
	}}); err != nil {
		return nil, err
	}
	f.Kube.Observe(func(runtime.Object, bool) { f.changed.Store(true) })
	f.kube = f.Client("team")
	id, secret := awsd.AccessKey(account)
	f.agents = agentd.New(agentd.Options{Clock: f.Clock, Cluster: f.Name, Region: f.Region, Endpoint: f.URL,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	judge := f.Client("judge")
	f.prober = prober.New(prober.Options{Client: judge, Clock: f.Clock, Region: f.Region, Endpoint: f.URL, Agents: f.agents, Cold: true,
		Named: f.due, Roles: f.roles, Before: func(ctx context.Context) error { return f.agents.Follow(ctx, judge) }})
	if err := errors.Join(f.furnish(), f.begin(ctx)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close ends the judge, the agents and the world.
func (f *Fleet) Close() error {
	return errors.Join(f.prober.Close(), f.agents.Close(), f.World.Close())
}

// snapshot is the world without its workloads, as a file of kind Snapshot.
func (f *Fleet) snapshot() ([]byte, error) {
	type m = map[string]any
	var accounts, nodes []m
	for _, s := range subjects(f.Workloads) {
		accounts = append(accounts, m{"namespace": s.Namespace, "name": s.ServiceAccount, "annotations": m{actors.RoleARNAnnotation: f.of(s)[0].Role},
			"managers": []m{{"annotation": actors.RoleARNAnnotation, "manager": "kubectl"}}})
	}
	for i := range computeNodes {
		nodes = append(nodes, m{"name": fmt.Sprintf("node-%d", i+1)})
	}
	return json.Marshal(m{
		"takenAt":         f.o.Start,
		"cluster":         m{"name": clusterName, "arn": clusterARN, "issuer": issuer, "version": "1.35", "status": "ACTIVE"},
		"accounts":        []m{{"id": account, "trustSizeQuota": 4096}, {"id": otherAccount}},
		"serviceAccounts": accounts,
		"workloads":       []m{{"namespace": "kube-system", "kind": "DaemonSet", "name": actors.AgentName}},
		"nodes":           append(nodes, m{"name": "windows-1", "os": "windows"}),
		"webhook":         m{"present": true},
		"fargateProfiles": []m{{"name": fargateNamespace, "status": "ACTIVE", "selectors": []m{{"namespace": fargateNamespace}}}},
		"oidcProviders":   []m{{"arn": providerARN(account), "clientIDs": []string{audience}}, {"arn": providerARN(otherAccount), "clientIDs": []string{audience}}},
		"roles":           f.roleDocuments(),
	})
}

func host() string { return strings.TrimPrefix(issuer, "https://") }

func providerARN(account string) string {
	return "arn:aws:iam::" + account + ":oidc-provider/" + host()
}

// roleDocuments are the roles, each with the statement that lets its ServiceAccounts in.
func (f *Fleet) roleDocuments() []map[string]any {
	type m = map[string]any
	target := roleARN(account, "eks-"+clusterName+"-target")
	out := []m{{"arn": target, "presence": "present", "trustPolicy": fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}]}`, account)}}
	done := map[string]bool{}
	for _, w := range f.Workloads {
		if done[w.Role] {
			continue
		}
		done[w.Role] = true
		var subs []string
		for _, s := range subjects(slices.DeleteFunc(slices.Clone(f.Workloads), func(o Workload) bool { return o.Role != w.Role })) {
			subs = append(subs, "system:serviceaccount:"+s.Namespace+":"+s.ServiceAccount)
		}
		role := m{"arn": w.Role, "presence": "present", "trustPolicy": webIdentityTrust(strings.Split(w.Role, ":")[4], subs)}
		if w.Why == "chained-role" {
			role["policies"] = []m{{"name": "chain", "statements": []m{{"actions": []string{"sts:AssumeRole"}, "resources": []string{target}}}}}
		}
		out = append(out, role)
	}
	return out
}

// webIdentityTrust is a trust policy for IRSA as people write it.
func webIdentityTrust(account string, subs []string) string {
	var sub any = subs
	if len(subs) == 1 {
		sub = subs[0]
	}
	text, _ := json.Marshal(sub) // strings: it does not fail
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:aud":%q,"%s:sub":%s}}}]}`,
		providerARN(account), host(), audience, host(), text)
}

// furnish makes what a snapshot has no words for: the workloads in all their shapes, and
// the role by which the other account's roles are read.
func (f *Fleet) furnish() error {
	errs := []error{f.AWS.PutRole(awsd.Role{ARN: ReaderRole, Trust: fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}]}`, account, ExternalID)})}
	nodeRole := roleARN(account, "eks-"+clusterName+"-node")
	errs = append(errs, f.AWS.PutRole(awsd.Role{ARN: nodeRole, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		Attached: []string{"arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}}),
		f.AWS.PutNodeGroup(awsd.NodeGroup{Cluster: clusterARN, Name: "default", RoleARN: nodeRole}))
	for _, w := range f.Workloads {
		errs = append(errs, f.Kube.Seed(w.objects()...))
	}
	return errors.Join(errs...)
}

// How the fleet is read in the other account.
const (
	OtherAccount = otherAccount
	ReaderRole   = "arn:aws:iam::" + otherAccount + ":role/lanyard-reader"
	ExternalID   = "irsa-lab-lanyard"
)

// template is the pod that the workload makes.
func (w Workload) template() corev1.PodTemplateSpec {
	image := "registry.example.com/" + w.Name + ":1"
	if w.Broken {
		image = brokenImage
	}
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": w.Name}},
		Spec: corev1.PodSpec{ServiceAccountName: w.ServiceAccount, Containers: []corev1.Container{{Name: "main", Image: image}}}}
	switch {
	case w.Why == "windows": // such nodes are tainted
		t.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"}
		t.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	case w.Kind == "Job" || w.Kind == "CronJob":
		t.Spec.RestartPolicy = corev1.RestartPolicyNever
	}
	return t
}

// objects are the workload and what belongs to it.
func (w Workload) objects() []runtime.Object {
	meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": w.Name}}
	replicas, template := int32(w.Replicas), w.template()
	var out []runtime.Object
	switch w.Kind {
	case "Deployment":
		out = append(out, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template}})
	case "StatefulSet":
		out = append(out, &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selector, Template: template}})
	case "DaemonSet":
		d := &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
		if w.OnDelete {
			d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
		}
		out = append(out, d)
	case "CronJob":
		out = append(out, &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "*/10 * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}})
	case "Job":
		out = append(out, w.job(w.Name))
	}
	if w.Budget {
		one := intstr.FromInt32(1)
		out = append(out, &policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector, MaxUnavailable: &one}})
	}
	return out
}

func (w Workload) job(name string) *batchv1.Job {
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}, Spec: batchv1.JobSpec{Template: w.template()}}
}

// How long pods run that are to end.
const (
	jobRuns  = 40 * time.Minute
	cronRuns = 90 * time.Second
)

// behave is how the fleet's pods live. An image that is too old for Pod Identity finds no
// credentials there, says so and exits.
func behave(pod *corev1.Pod) actors.Behaviour {
	b := actors.DefaultBehaviour(pod)
	b.RunFor = cronRuns
	if strings.HasPrefix(pod.Labels["app"], "import") {
		b.RunFor = jobRuns
	}
	for _, c := range pod.Spec.Containers {
		b.CrashLoops = b.CrashLoops || c.Image == brokenImage && side(pod) == PodIdentity
	}
	return b
}

// side is what a pod was given at admission; empty for nothing.
func side(pod *corev1.Pod) Side {
	var out Side
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			switch e.Name {
			case "AWS_WEB_IDENTITY_TOKEN_FILE":
				return IRSA // which an SDK takes first
			case "AWS_CONTAINER_CREDENTIALS_FULL_URI":
				out = PodIdentity
			}
		}
	}
	return out
}
