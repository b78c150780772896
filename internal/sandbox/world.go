package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/kubed"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Options are the settings of a [World].
type Options struct {
	// Start is what the clock shows once the world stands; the snapshot's time if zero.
	Start time.Time
	// Consistency is how late AWS shows writes.
	Consistency awsd.Consistency
	// WebhookDelay is how late the webhook sees writes.
	WebhookDelay time.Duration
	// Behave says how a pod behaves; nil is [actors.DefaultBehaviour].
	Behave func(*corev1.Pod) actors.Behaviour
}

// World is AWS, Kubernetes and time. Make one with [Load].
type World struct {
	Clock   *virtual.Clock
	AWS     *awsd.Server
	Kube    *kubed.Cluster
	Life    *actors.Life
	Webhook *actors.Webhook
	URL     string // where AWS listens
	ARN     string // the cluster's
	Name    string // the cluster's
	Region  string
	Account string // the cluster's
	Issuer  string
}

// history is how long before the snapshot its pods were made.
const history = 72 * time.Hour

// Load builds the world of a snapshot, given as JSON, and lets AWS listen on a free
// port of loopback. It must be closed.
func Load(data []byte, o Options) (*World, error) {
	s, err := decode(data)
	if err != nil {
		return nil, err
	}
	arn := strings.Split(s.Cluster.ARN, ":")
	if len(arn) != 6 {
		return nil, fmt.Errorf("build the sandbox's world: %q is not a cluster's ARN", s.Cluster.ARN)
	}
	start := o.Start
	if start.IsZero() {
		start = s.TakenAt
	}
	w := &World{Clock: virtual.NewClock(start.Add(-history)), ARN: s.Cluster.ARN, Name: s.Cluster.Name,
		Region: arn[3], Account: arn[4], Issuer: s.Cluster.Issuer}
	w.AWS = awsd.New(awsd.Options{Clock: w.Clock})
	w.Kube = kubed.New(kubed.Options{Clock: w.Clock, Issuer: w.Issuer})
	w.Webhook = actors.NewWebhook(actors.WebhookOptions{Clock: w.Clock, Region: w.Region, Associations: w})
	w.AWS.PublishKeys(w.Issuer, w.Kube.Keys)
	w.Kube.Observe(w.Webhook.Observe)
	w.Kube.SetAdmission(actors.Admissions{actors.FargateAdmission{Profiles: func() []actors.FargateProfile { return profiles(s) }}, w.Webhook})
	w.Life = actors.NewLife(actors.LifeOptions{Client: w.Client("kube-controller-manager"), Clock: w.Clock, Look: w.Webhook.Look, Behave: o.Behave, Region: w.Region})
	if err := w.play(s, start); err != nil {
		return nil, errors.Join(err, w.AWS.Close())
	}
	w.AWS.SetConsistency(o.Consistency)
	w.Webhook.SetDelay(o.WebhookDelay)
	if w.URL, err = w.AWS.Start("127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, w.AWS.Close())
	}
	return w, nil
}

// Close stops AWS.
func (w *World) Close() error { return w.AWS.Close() }

// Client returns a Kubernetes client that acts as a user.
func (w *World) Client(user string) kubernetes.Interface { return w.Kube.Client(user) }

// Association tells the webhook whether a pair has an association that it can see.
func (w *World) Association(namespace, serviceAccount string) bool {
	_, ok := w.AWS.AssociationVisible(w.ARN, namespace, serviceAccount)
	return ok
}

// Pass lets time pass, and the cluster do what is due in it.
func (w *World) Pass(ctx context.Context, d time.Duration) error {
	end := w.Clock.Now().Add(d)
	if err := w.Life.Settle(ctx, d); err != nil {
		return fmt.Errorf("let the cluster live: %w", err)
	}
	if rest := end.Sub(w.Clock.Now()); rest > 0 {
		w.Clock.Advance(rest)
	}
	return nil
}

// play lives through the snapshot's history: first what its pods remember, then what
// stands now.
func (w *World) play(s snapshot, start time.Time) error {
	if err := w.buildAWS(s); err != nil {
		return err
	}
	if err := w.buildCluster(s); err != nil {
		return err
	}
	if err := w.wire(s, remembered(s)); err != nil {
		return err
	}
	if err := w.workloads(s); err != nil {
		return err
	}
	if err := w.Pass(context.Background(), start.Add(-time.Hour).Sub(w.Clock.Now())); err != nil {
		return err
	}
	if err := w.wire(s, s); err != nil {
		return err
	}
	w.Clock.Advance(start.Sub(w.Clock.Now()))
	return nil
}

// remembered returns the wiring under which the snapshot's pods were made: for each
// ServiceAccount what its first pod was given.
func remembered(s snapshot) snapshot {
	past := snapshot{}
	given := map[string]pod{}
	for _, p := range s.Pods {
		if key := p.Namespace + "/" + p.ServiceAccount; len(given[key].Containers) == 0 {
			given[key] = p
		}
	}
	for _, a := range s.ServiceAccounts {
		p, has := given[a.Namespace+"/"+a.Name]
		if !has || len(p.Containers) == 0 {
			past.ServiceAccounts = append(past.ServiceAccounts, a)
			continue
		}
		b := a
		b.Annotations = map[string]string{}
		for key, value := range a.Annotations {
			if key != roleAnnotation {
				b.Annotations[key] = value
			}
		}
		if c := p.Containers[0]; c.Credential == "irsa" {
			b.Annotations[roleAnnotation] = c.Role
			if c.Audience != "" && c.Audience != "sts.amazonaws.com" {
				b.Annotations[audienceAnnotation] = c.Audience
			}
		}
		past.ServiceAccounts = append(past.ServiceAccounts, b)
	}
	for _, a := range s.Associations {
		p := given[a.Namespace+"/"+a.ServiceAccount]
		if len(p.Containers) > 0 && p.Containers[0].Credential == "pod-identity" {
			past.Associations = append(past.Associations, a)
		}
	}
	return past
}

const (
	roleAnnotation     = "eks.amazonaws.com/role-arn"
	audienceAnnotation = "eks.amazonaws.com/audience"
)

// wire makes ServiceAccounts and associations as they are in of.
func (w *World) wire(s, of snapshot) error {
	for _, a := range of.ServiceAccounts {
		manager := "kubectl"
		for _, m := range a.Managers {
			manager = m.Manager
		}
		labels := map[string]string{}
		if a.Tool == "Helm" {
			labels["app.kubernetes.io/managed-by"] = "Helm"
		}
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: a.Name, Annotations: a.Annotations, Labels: labels}}
		if err := w.Kube.SeedAs(manager, sa); err != nil {
			return err
		}
	}
	want := map[string]bool{}
	for _, a := range of.Associations {
		want[a.Namespace+"/"+a.ServiceAccount] = true
		modified := a.ModifiedAt
		if modified.After(w.Clock.Now()) {
			modified = w.Clock.Now()
		}
		if _, err := w.AWS.PutAssociation(awsd.Association{Cluster: w.ARN, ID: a.ID, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount,
			RoleARN: a.Role, TargetRoleARN: a.TargetRole, Policy: a.SessionPolicy, DisableSessionTags: a.SessionTagsOff,
			OwnerARN: a.OwnerARN, Tags: a.Tags, Created: a.CreatedAt, Modified: modified}); err != nil {
			return err
		}
	}
	for _, a := range s.Associations {
		if !want[a.Namespace+"/"+a.ServiceAccount] {
			w.AWS.DeleteAssociation(w.ARN, a.Namespace, a.ServiceAccount)
		}
	}
	return nil
}

// anything is the text of a permissions boundary of which a snapshot says nothing.
const anything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

func (w *World) buildAWS(s snapshot) error {
	var errs []error
	for _, a := range s.Accounts {
		errs = append(errs, w.AWS.PutAccount(awsd.Account{ID: a.ID, AssumeRolePolicySizeQuota: a.TrustSizeQuota}))
	}
	for _, r := range s.Roles {
		if r.Boundary != "" { // what is known of its text comes with the policies
			errs = append(errs, w.AWS.PutPolicy(awsd.Policy{ARN: r.Boundary, Document: anything}))
		}
	}
	for _, r := range s.Roles {
		if r.Presence == "present" {
			inline := map[string]string{}
			var attached []string
			for _, p := range r.Policies {
				text, err := p.document()
				errs = append(errs, err)
				if p.ARN == "" {
					inline[p.Name] = text
					continue
				}
				if !p.Bounds {
					attached = append(attached, p.ARN)
				}
				errs = append(errs, w.AWS.PutPolicy(awsd.Policy{ARN: p.ARN, Document: text}))
			}
			errs = append(errs, w.AWS.PutRole(awsd.Role{ARN: r.ARN, Trust: r.Trust, Tags: r.Tags, Inline: inline, Attached: attached, Boundary: r.Boundary,
				LastUsed: r.UsedAt, LastUsedRegion: r.UsedIn, MaxSessionDuration: time.Duration(r.MaxSession) * time.Second}))
		}
	}
	for _, p := range s.Providers {
		errs = append(errs, w.AWS.PutProvider(awsd.Provider{ARN: p.ARN, ClientIDs: p.ClientIDs}))
	}
	errs = append(errs, w.AWS.PutCluster(awsd.Cluster{ARN: w.ARN, Issuer: w.Issuer, Version: s.Cluster.Version, Status: s.Cluster.Status, AutoMode: s.Cluster.Auto}))
	for _, a := range s.Addons {
		errs = append(errs, w.AWS.PutAddon(awsd.Addon{Cluster: w.ARN, Name: a.Name, Version: a.Version, Status: a.Status,
			ServiceAccountRoleARN: a.Role, PodIdentityAssociations: a.Associations}))
	}
	for _, p := range s.FargateProfiles {
		f := awsd.FargateProfile{Cluster: w.ARN, Name: p.Name, Status: p.Status}
		for _, sel := range p.Selectors {
			f.Selectors = append(f.Selectors, awsd.FargateSelector{Namespace: sel.Namespace, Labels: sel.Labels})
		}
		errs = append(errs, w.AWS.PutFargateProfile(f))
	}
	return errors.Join(errs...)
}

func profiles(s snapshot) []actors.FargateProfile {
	var out []actors.FargateProfile
	for _, p := range s.FargateProfiles {
		f := actors.FargateProfile{Name: p.Name}
		for _, sel := range p.Selectors {
			f.Selectors = append(f.Selectors, actors.FargateSelector{Namespace: sel.Namespace, Labels: sel.Labels})
		}
		out = append(out, f)
	}
	return out
}

func (w *World) buildCluster(s snapshot) error {
	var objects []runtime.Object
	if s.Webhook.Present {
		objects = append(objects, actors.NewWebhookObject())
	}
	for _, n := range s.Nodes {
		switch {
		case n.OS == "windows":
			objects = append(objects, actors.NewNode(n.Name, actors.Windows))
		case n.ComputeType == "fargate": // Fargate makes a node for each pod
		case n.ComputeType == "auto":
			objects = append(objects, actors.NewNode(n.Name, actors.Auto))
		case n.ComputeType == "hybrid":
			objects = append(objects, actors.NewNode(n.Name, actors.Hybrid))
		default:
			objects = append(objects, actors.NewNode(n.Name, actors.EC2))
		}
	}
	return w.Kube.Seed(objects...)
}

// workloads makes what makes pods.
func (w *World) workloads(s snapshot) error {
	for _, one := range s.Workloads {
		meta := metav1.ObjectMeta{Namespace: one.Namespace, Name: one.Name}
		selector := &metav1.LabelSelector{MatchLabels: one.PodLabels}
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: one.PodLabels}, Spec: corev1.PodSpec{
			ServiceAccountName: one.ServiceAccount, NodeSelector: one.NodeSelector, Containers: []corev1.Container{{Name: one.Name, Image: "example.com/" + one.Name + ":1"}}}}
		if one.NodeSelector["kubernetes.io/os"] == "windows" { // such nodes are tainted
			template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}
		var object runtime.Object
		switch {
		case one.Kind == "DaemonSet" && one.Name == actors.AgentName:
			object = actors.NewAgent()
		case one.Kind == "DaemonSet":
			object = &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
		case one.Kind == "StatefulSet":
			object = &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &one.Replicas, Selector: selector, Template: template}}
		case one.Kind == "Job":
			template.Spec.RestartPolicy = corev1.RestartPolicyNever
			object = &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: template}}
		case one.Kind == "Deployment":
			object = &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &one.Replicas, Selector: selector, Template: template}}
		default:
			return fmt.Errorf("build the sandbox's world: %s %s/%s: the sandbox has no life for this kind", one.Kind, one.Namespace, one.Name)
		}
		if err := w.Kube.Seed(object); err != nil {
			return err
		}
	}
	return nil
}
