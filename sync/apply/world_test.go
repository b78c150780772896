package apply_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

const (
	account = "123456789012"
	other   = "210987654321"
	oldRole = "arn:aws:iam::123456789012:role/apps/reader"
	newRole = "arn:aws:iam::123456789012:role/apps/reader-2"

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	// What people write: one statement that is no list, odd spacing, a Sid of their own.
	foreignTrust = "{ \"Version\":\"2012-10-17\",\n\t\"Statement\" : {\"Sid\":\"Human\",  \"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},\"Action\":\"sts:AssumeRole\" }\n}"
)

var (
	cluster = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws",
		Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"}
	subject = identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	marks   = map[string]string{diff.TagCluster: cluster.ARN(), diff.TagMapping: "demo/reader"}
)

func arn(s string) identity.RoleARN {
	r, err := identity.ParseRoleARN(s)
	if err != nil {
		panic(err)
	}
	return r
}

func irsaGrant(s identity.Subject) trust.Grant {
	return trust.Grant{Mechanism: identity.IRSA, Subject: s, Cluster: cluster,
		Provider: cluster.Issuer.ProviderARN("aws", account), Audiences: []string{diff.DefaultAudience}}
}

// world is an AWS, a Kubernetes and an Applier that writes to them.
type world struct {
	t       *testing.T
	clock   *virtual.Clock
	aws     *awsd.Server
	kube    *kubed.Cluster
	people  kubernetes.Interface
	options apply.Options
	wrote   atomic.Int32 // writes sent, as Options.Wrote tells
	onWrote func()
	onLook  func(n int) // after the nth look
	looks   int
	noRV    bool            // the look does not tell resourceVersions
	more    []live.Workload // of kinds that Kubernetes itself does not have
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := virtual.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	w := &world{t: t, clock: clock, aws: awsd.New(awsd.Options{Clock: clock}), kube: kubed.New(kubed.Options{Clock: clock, Issuer: string(cluster.Issuer)})}
	w.people = w.kube.Client("helm")
	for _, id := range []string{account, other} {
		w.must(w.aws.PutAccount(awsd.Account{ID: id}))
	}
	w.must(w.aws.PutCluster(awsd.Cluster{ARN: cluster.ARN(), Issuer: string(cluster.Issuer)}))
	w.must(w.aws.PutProvider(awsd.Provider{ARN: cluster.Issuer.ProviderARN("aws", account), ClientIDs: []string{diff.DefaultAudience}}))
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: podTrust}))
	w.must(w.aws.PutRole(awsd.Role{ARN: newRole, Trust: podTrust}))
	url, err := w.aws.Start("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { w.must(w.aws.Close()) })

	config := func(account string) aws.Config { // with the SDK's own retries
		id, secret := awsd.AccessKey(account)
		return aws.Config{Region: cluster.Region, BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}
	}
	hands := w.kube.Client("lanyard")
	w.options = apply.Options{
		Cluster: cluster, Look: w,
		IAM:             func(id string) (apply.TrustWriter, error) { return iam.NewFromConfig(config(id)), nil },
		EKS:             eks.NewFromConfig(config(account)),
		ServiceAccounts: func(ns string) apply.ServiceAccountWriter { return hands.CoreV1().ServiceAccounts(ns) },
		Pods:            func(ns string) apply.PodEvicter { return hands.CoreV1().Pods(ns) },
		Workloads:       apply.Workloads(hands, nil),
		Spacing:         func() time.Duration { return 0 },
		Now:             clock.Now,
		StepTimeout:     5 * time.Minute, // never the reason of a failure, however slow the machine
		Wrote: func(plan.Step) {
			w.wrote.Add(1)
			if w.onWrote != nil {
				w.onWrote()
			}
		},
		Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// account makes the ServiceAccount with annotations, as Helm would, and returns its uid.
func (w *world) account(annotations map[string]string) string {
	w.t.Helper()
	w.must(w.kube.SeedAs("helm", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: subject.Namespace, Name: subject.ServiceAccount, Annotations: annotations, Labels: map[string]string{"team": "demo"}},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}}, Secrets: []corev1.ObjectReference{{Name: "token"}}, AutomountServiceAccountToken: new(bool)}))
	return string(w.serviceAccount().UID)
}

func (w *world) serviceAccount() *corev1.ServiceAccount {
	w.t.Helper()
	sa, err := w.people.CoreV1().ServiceAccounts(subject.Namespace).Get(w.t.Context(), subject.ServiceAccount, metav1.GetOptions{})
	w.must(err)
	return sa
}

func (w *world) trust(role string) string {
	r, _ := w.aws.Role(role)
	return r.Trust
}

func (w *world) association() (awsd.Association, bool) {
	return w.aws.Association(cluster.ARN(), subject.Namespace, subject.ServiceAccount)
}

// mutations counts the writes that reached AWS and Kubernetes.
func (w *world) mutations() int {
	n := 0
	calls, _ := w.aws.Calls(0)
	for _, c := range calls {
		if c.Mutating {
			n++
		}
	}
	for _, c := range w.kube.Calls("lanyard") {
		if c.Mutating {
			n++
		}
	}
	return n
}

func planOf(steps ...plan.Step) plan.Plan { return plan.Plan{Cluster: cluster.Name, Steps: steps} }

// apply applies steps with a new Applier.
func (w *world) apply(steps ...plan.Step) []report.Outcome {
	w.t.Helper()
	return apply.New(w.options).Apply(w.t.Context(), planOf(steps...))
}

// Look reads one subject through the wire, and nothing from memory.
func (w *world) Look(ctx context.Context, s identity.Subject, roles ...identity.RoleARN) (*live.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := live.Facts{TakenAt: w.clock.Now(), Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN(), Issuer: cluster.Issuer}}
	w.lookServiceAccount(ctx, &f, s)
	w.lookPods(ctx, &f, s)
	w.lookWorkloads(ctx, &f, s)
	w.lookAssociation(ctx, &f, s)
	for _, role := range roles {
		w.lookRole(ctx, &f, role)
	}
	w.looks++
	if w.onLook != nil {
		w.onLook(w.looks)
	}
	return live.New(f)
}

func (w *world) lookServiceAccount(ctx context.Context, f *live.Facts, s identity.Subject) {
	sa, err := w.kube.Client("observer").CoreV1().ServiceAccounts(s.Namespace).Get(ctx, s.ServiceAccount, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		f.Gaps = append(f.Gaps, live.Gap{Source: live.SourceServiceAccounts, Reason: live.GapFailed, Message: err.Error()})
	default:
		a := live.ServiceAccount{Namespace: sa.Namespace, Name: sa.Name, UID: string(sa.UID), ResourceVersion: sa.ResourceVersion, Annotations: sa.Annotations}
		if w.noRV {
			a.ResourceVersion = ""
		}
		for _, m := range sa.ManagedFields {
			var fields struct {
				Metadata struct {
					Annotations map[string]any `json:"f:annotations"`
				} `json:"f:metadata"`
			}
			w.must(json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields))
			for _, key := range slices.Sorted(maps.Keys(fields.Metadata.Annotations)) {
				a.Managers = append(a.Managers, live.FieldManager{Annotation: strings.TrimPrefix(key, "f:"), Manager: m.Manager, Operation: string(m.Operation)})
			}
		}
		f.ServiceAccounts = append(f.ServiceAccounts, a)
	}
}

func (w *world) lookPods(ctx context.Context, f *live.Facts, s identity.Subject) {
	pods, err := w.kube.Client("observer").CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.Gaps = append(f.Gaps, live.Gap{Source: live.SourcePods, Reason: live.GapFailed, Message: err.Error()})
		return
	}
	for _, p := range pods.Items {
		f.Pods = append(f.Pods, live.Pod{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), ServiceAccount: p.Spec.ServiceAccountName, Phase: "Running",
			Node: p.Spec.NodeName, Terminating: p.DeletionTimestamp != nil,
			Containers: []live.Container{{Name: "app", Credential: live.CredentialIRSA, Role: oldRole}}})
	}
}

func (w *world) lookWorkloads(ctx context.Context, f *live.Facts, s identity.Subject) {
	apps := w.kube.Client("observer").AppsV1()
	add := func(kind string, m metav1.ObjectMeta, t corev1.PodTemplateSpec) {
		f.Workloads = append(f.Workloads, live.Workload{Namespace: m.Namespace, Kind: kind, Name: m.Name, UID: string(m.UID),
			ServiceAccount: t.Spec.ServiceAccountName, RestartedAt: t.Annotations[live.RestartedAtAnnotation]})
	}
	deployments, err := apps.Deployments(s.Namespace).List(ctx, metav1.ListOptions{})
	sets, err2 := apps.StatefulSets(s.Namespace).List(ctx, metav1.ListOptions{})
	daemons, err3 := apps.DaemonSets(s.Namespace).List(ctx, metav1.ListOptions{})
	if err := errors.Join(err, err2, err3); err != nil {
		f.Gaps = append(f.Gaps, live.Gap{Source: live.SourceWorkloads, Reason: live.GapFailed, Message: err.Error()})
		return
	}
	for _, d := range deployments.Items {
		add("Deployment", d.ObjectMeta, d.Spec.Template)
	}
	for _, d := range sets.Items {
		add("StatefulSet", d.ObjectMeta, d.Spec.Template)
	}
	for _, d := range daemons.Items {
		add("DaemonSet", d.ObjectMeta, d.Spec.Template)
	}
	f.Workloads = append(f.Workloads, w.more...)
}

func (w *world) lookAssociation(ctx context.Context, f *live.Facts, s identity.Subject) {
	client := w.options.EKS.(*eks.Client)
	gap := func(source live.Source, err error) {
		f.Gaps = append(f.Gaps, live.Gap{Source: source, Reason: live.GapFailed, Message: err.Error()})
	}
	list, err := client.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{
		ClusterName: aws.String(cluster.Name), Namespace: &s.Namespace, ServiceAccount: &s.ServiceAccount})
	if err != nil {
		gap(live.SourceListAssociations, err)
		return
	}
	for _, sum := range list.Associations {
		a := live.Association{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, ID: aws.ToString(sum.AssociationId), ARN: aws.ToString(sum.AssociationArn), OwnerARN: aws.ToString(sum.OwnerArn)}
		got, err := client.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: aws.String(cluster.Name), AssociationId: sum.AssociationId})
		if err != nil {
			gap(live.SourceDescribeAssociation, err)
		} else {
			d := got.Association
			a.Described, a.Role, a.SessionTagsOff, a.SessionPolicy, a.Tags = true, arn(*d.RoleArn), aws.ToBool(d.DisableSessionTags), aws.ToString(d.Policy), d.Tags
			if d.TargetRoleArn != nil {
				a.TargetRole = arn(*d.TargetRoleArn)
			}
		}
		f.Associations = append(f.Associations, a)
	}
}

func (w *world) lookRole(ctx context.Context, f *live.Facts, role identity.RoleARN) {
	r := live.Role{ARN: role}
	client, err := w.options.IAM(account)
	w.must(err)
	got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &role.Name}, func(o *iam.Options) { o.RetryMaxAttempts = 1 })
	if _, missing := errors.AsType[*iamtypes.NoSuchEntityException](err); missing {
		r.Presence = live.Absent
	} else if err == nil {
		r.Presence = live.Present
		r.TrustPolicy, err = trust.Decode(*got.Role.AssumeRolePolicyDocument)
		w.must(err)
	}
	f.Roles = append(f.Roles, r)
}
