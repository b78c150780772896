package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/rights"
	"github.com/lanyard-io/lanyard/migrate/probe"
	"github.com/lanyard-io/lanyard/sync/doctor"
	"github.com/lanyard-io/lanyard/sync/observe"
)

// transport notes the Date of each answer of an API server.
func (d *dates) transport(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err == nil {
			d.note(answer.Header.Get("Date"))
		}
		return answer, err
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type serverFacts struct {
	version string
	minor   int
}

func (x *examination) serverOnce(ctx context.Context) (serverFacts, error) {
	return x.server.of(ctx, x.o.Timeout, func(ctx context.Context) (serverFacts, error) {
		if x.kube == nil {
			return serverFacts{}, &plainError{x.kubeErr}
		}
		v, err := x.kube.Discovery().ServerVersionWithContext(ctx)
		if err != nil {
			return serverFacts{}, err
		}
		f := serverFacts{version: v.GitVersion}
		if m := minorRE.FindStringSubmatch(v.GitVersion); m != nil {
			f.minor, _ = strconv.Atoi(m[1])
		}
		return f, nil
	})
}

var minorRE = regexp.MustCompile(`^v1\.(\d+)\.`)

func (x *examination) apiServer(ctx context.Context) doctor.Check {
	f, err := x.serverOnce(ctx)
	return doctor.APIServer{Trouble: troubleOf(err), Version: f.version, Minor: f.minor, Mode: x.o.Mode}.Judge()
}

func (x *examination) kubernetesClock(ctx context.Context) doctor.Check {
	_, err := x.serverOnce(ctx)
	ahead, told := x.kubeDates.told()
	if err == nil && !told {
		return doctor.Skip(doctor.IDKubernetesClock, "the API server says no time")
	}
	if told {
		err = nil
	}
	return doctor.Clock{Trouble: troubleOf(err), ID: doctor.IDKubernetesClock, Whose: "the API server", Ahead: ahead}.Judge()
}

// userFacts is about whom the API server is asked.
type userFacts struct {
	name   string
	groups []string
	self   identity.Subject // zero: it is no ServiceAccount
}

func (x *examination) userOnce(ctx context.Context) (userFacts, error) {
	return x.user.of(ctx, x.o.Timeout, func(ctx context.Context) (userFacts, error) {
		u := userFacts{name: x.o.As}
		if u.name == "" {
			if x.kube == nil {
				return u, &plainError{x.kubeErr}
			}
			r, err := x.kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				return u, fmt.Errorf("ask the API server who this is: %w", err)
			}
			u.name, u.groups = r.Status.UserInfo.Username, r.Status.UserInfo.Groups
		}
		if self, is := identity.ParseOIDCSubject(u.name); is {
			u.self = self
			// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
			u.groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + self.Namespace, "system:authenticated"}
		} else if len(u.groups) == 0 {
			u.groups = []string{"system:authenticated"}
		}
		return u, nil
	})
}

// may asks whether the user may do something.
//
// Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
func (x *examination) may(ctx context.Context, u userFacts, a rights.Asked) (bool, error) {
	var resource *authorizationv1.ResourceAttributes
	var path *authorizationv1.NonResourceAttributes
	if a.Path != "" {
		path = &authorizationv1.NonResourceAttributes{Path: a.Path, Verb: a.Verb}
	} else {
		resource = &authorizationv1.ResourceAttributes{Namespace: a.Namespace, Verb: a.Verb, Group: a.Group, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name}
	}
	api := x.kube.AuthorizationV1()
	if x.o.As == "" {
		r, err := api.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: resource, NonResourceAttributes: path}}, metav1.CreateOptions{})
		return err == nil && r.Status.Allowed && !r.Status.Denied, err
	}
	r, err := api.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: u.name, Groups: u.groups, ResourceAttributes: resource, NonResourceAttributes: path}}, metav1.CreateOptions{})
	return err == nil && r.Status.Allowed && !r.Status.Denied, err
}

// atOnce is how many questions are put to the API server at a time.
const atOnce = 8

// each puts questions, some at a time, and returns the answers in order.
func (x *examination) each(ctx context.Context, u userFacts, questions []rights.Asked) ([]bool, error) {
	answers, errs := make([]bool, len(questions)), make([]error, len(questions))
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i, q := range questions {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			answers[i], errs[i] = x.may(ctx, u, q)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (x *examination) kubernetesPermissions(ctx context.Context) doctor.Check {
	f := doctor.KubernetesPermissions{}
	u, err := x.userOnce(ctx)
	if err == nil {
		f, err = x.rules(ctx, u)
	}
	f.Trouble = troubleOf(err)
	return f.Judge()
}

// rules asks for every rule that `lanyard policy` prints.
func (x *examination) rules(ctx context.Context, u userFacts) (doctor.KubernetesPermissions, error) {
	w, err := x.wants(ctx)
	if err != nil {
		return doctor.KubernetesPermissions{}, err
	}
	f := doctor.KubernetesPermissions{User: u.name, Person: u.self == (identity.Subject{}), Command: w.Command("rbac")}
	var questions []rights.Asked
	for i, r := range slices.Concat(w.Rules, w.Own) {
		namespace := ""
		if i >= len(w.Rules) {
			namespace = w.Place.Namespace
		}
		asks := r.Asks(namespace)
		questions = append(questions, asks...)
		f.Rules = append(f.Rules, doctor.Rule{Text: r.Line(), Absent: r.Foreign()})
	}
	answers, err := x.each(ctx, u, questions)
	if err != nil {
		return f, err
	}
	f.Asked = len(answers)
	served := x.groups(ctx)
	for i, r := range slices.Concat(w.Rules, w.Own) {
		f.Rules[i].Absent = r.Foreign() && served != nil && !served[r.Group]
		for _, q := range r.Asks("") {
			if !answers[0] {
				f.Rules[i].Missing = append(f.Rules[i].Missing, q.String())
			}
			answers = answers[1:]
		}
	}
	return f, nil
}

// groups are the API groups that the cluster has; nil where it does not say.
func (x *examination) groups(ctx context.Context) map[string]bool {
	list, err := x.kube.Discovery().ServerGroupsWithContext(ctx)
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for _, g := range list.Groups {
		out[g.Name] = true
	}
	return out
}

// beyond are what no mode of lanyard does, and the grants that give everything away.
var beyond = []struct {
	ask  rights.Asked
	what string
}{
	{rights.Asked{Verb: "*", Group: "*", Resource: "*"}, "everything, on everything: it is a cluster administrator"},
	{rights.Asked{Verb: "get", Resource: "secrets"}, "read every Secret"},
	{rights.Asked{Verb: "list", Resource: "secrets"}, "list every Secret"},
	{rights.Asked{Verb: "delete", Resource: "pods"}, "delete pods"},
	{rights.Asked{Verb: "create", Resource: "pods", Subresource: "exec"}, "run commands in pods"},
	{rights.Asked{Verb: "create", Resource: "serviceaccounts"}, "create ServiceAccounts"},
	{rights.Asked{Verb: "delete", Resource: "serviceaccounts"}, "delete ServiceAccounts"},
	{rights.Asked{Verb: "create", Resource: "serviceaccounts", Subresource: "token"}, "make tokens of any ServiceAccount"},
	{rights.Asked{Verb: "impersonate", Resource: "users"}, "act as anybody"},
	{rights.Asked{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, "give itself more rights"},
	{rights.Asked{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}, "bind ClusterRoles"},
}

func (x *examination) kubernetesExcess(ctx context.Context) doctor.Check {
	f := doctor.KubernetesExcess{}
	u, err := x.userOnce(ctx)
	f.User, f.Person = u.name, u.self == (identity.Subject{})
	if err == nil && !f.Person {
		f.Has, err = x.excess(ctx, u)
	}
	f.Trouble = troubleOf(err)
	return f.Judge()
}

func (x *examination) excess(ctx context.Context, u userFacts) ([]string, error) {
	var questions []rights.Asked
	for _, b := range beyond {
		questions = append(questions, b.ask)
	}
	if x.o.Mode != string(desired.ModeMigrate) {
		questions = append(questions, rights.Asked{Verb: "create", Resource: "pods"})
	}
	answers, err := x.each(ctx, u, questions)
	if err != nil {
		return nil, err
	}
	var has []string
	for i, yes := range answers {
		switch {
		case yes && i < len(beyond):
			has = append(has, beyond[i].what)
		case yes:
			has = append(has, "create pods, which only mode migrate does, as dry runs")
		}
	}
	return has, nil
}

// named lists one object by its name, which is what lanyard may do.
func named(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: "metadata.name=" + name}
}

func (x *examination) namespace(ctx context.Context) doctor.Check {
	f := doctor.Namespace{Name: x.place(ctx).Namespace}
	list, err := x.kube.CoreV1().Namespaces().List(ctx, named(f.Name))
	f.Trouble = troubleOf(err)
	if err == nil {
		for _, n := range list.Items {
			f.Present = f.Present || n.Name == f.Name
			f.Terminating = f.Terminating || n.Name == f.Name && n.DeletionTimestamp != nil
		}
	}
	return f.Judge()
}

func (x *examination) webhook(ctx context.Context) doctor.Check {
	const name = "pod-identity-webhook"
	f := doctor.Webhook{Cluster: x.o.Cluster}
	list, err := x.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, named(name))
	f.Trouble = troubleOf(err)
	if err == nil {
		for _, w := range list.Items {
			if w.Name == name {
				f.Present, f.Hooks = true, len(w.Webhooks)
			}
		}
	}
	return f.Judge()
}

// youngNode is how long a node is given until its agent is ready.
const youngNode = 2 * time.Minute

func (x *examination) agent(ctx context.Context) doctor.Check {
	f := doctor.Agent{Cluster: x.o.Cluster, Young: map[string]bool{}}
	nodes, errNodes := paged(func(o metav1.ListOptions) ([]corev1.Node, string, error) {
		list, err := x.kube.CoreV1().Nodes().List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.Continue, nil
	})
	pods, errPods := paged(func(o metav1.ListOptions) ([]corev1.Pod, string, error) {
		list, err := x.kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.Continue, nil
	})
	sets, errSets := paged(func(o metav1.ListOptions) ([]appsv1.DaemonSet, string, error) {
		list, err := x.kube.AppsV1().DaemonSets(metav1.NamespaceSystem).List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.Continue, nil
	})
	if err := errors.Join(errNodes, errPods, errSets); err != nil {
		f.Trouble = troubleOf(err)
		return f.Judge()
	}
	for _, n := range nodes {
		f.Young[n.Name] = x.o.Now().Sub(n.CreationTimestamp.Time) < youngNode
	}
	f.Nodes, f.Sets = observe.Nodes(nodes, pods), agentSets(sets)
	if c, err := x.clusterOnce(ctx); err == nil {
		f.Auto = c.auto
	}
	return f.Judge()
}

// agentSets tells of the agent's DaemonSets: the add-on's, one of Helm's, and those for
// hybrid nodes beside them.
// Source: https://github.com/aws/eks-pod-identity-agent, charts/eks-pod-identity-agent.
func agentSets(sets []appsv1.DaemonSet) []string {
	var out []string
	for _, d := range sets {
		name := agent.ServiceAccount
		if d.Name != name && !strings.HasPrefix(d.Name, name+"-") && d.Labels["app.kubernetes.io/name"] != name {
			continue
		}
		image := "no image"
		if list := d.Spec.Template.Spec.Containers; len(list) > 0 {
			image = list[0].Image
		}
		out = append(out, fmt.Sprintf("DaemonSet %s of %s: %d of %d ready", d.Name, image, d.Status.NumberReady, d.Status.DesiredNumberScheduled))
	}
	slices.Sort(out)
	return out
}

// perPage bounds what one list takes in memory.
const perPage = 500

// paged reads all pages of a list.
func paged[T any](page func(metav1.ListOptions) ([]T, string, error)) ([]T, error) {
	var all []T
	for o := (metav1.ListOptions{Limit: perPage}); ; {
		items, more, err := page(o)
		if err != nil {
			return nil, err
		}
		if all = append(all, items...); more == "" {
			return all, nil
		}
		o.Continue = more
	}
}

func (x *examination) issuer(ctx context.Context) doctor.Check {
	f := doctor.Issuer{Cluster: x.o.Cluster}
	c, err := x.clusterOnce(ctx)
	if err != nil {
		return doctor.Blocked(doctor.IDIssuer, doctor.IDCluster)
	}
	f.EKS = c.issuer
	ask := x.o.Issuer
	if ask == nil {
		ask = observe.ClusterIssuer(x.kube)
	}
	f.API, err = ask(ctx)
	f.Trouble = troubleOf(err)
	return f.Judge()
}

func (x *examination) admissionPolicy(ctx context.Context) doctor.Check {
	id := doctor.IDAdmissionPolicy
	if x.o.Mode != string(desired.ModeMigrate) {
		return doctor.Skip(id, "only mode migrate asks with dry runs")
	}
	return x.onServer(id, func(ctx context.Context) doctor.Check {
		f := doctor.AdmissionPolicy{User: identity.Subject{Namespace: x.o.Lease.Namespace, ServiceAccount: x.o.ServiceAccount}, Assumed: true}
		if u, err := x.userOnce(ctx); err == nil && u.self != (identity.Subject{}) {
			f.User, f.Assumed = u.self, false
		}
		if w, err := x.wants(ctx); err == nil {
			f.Command = w.Command("admission")
		}
		guards := []func(context.Context, kubernetes.Interface, identity.Subject) error{probe.Guarded}
		if slices.Contains(featuresOf(x.o.Config, x.o.Mode), rights.IdentityProbe) {
			guards = append(guards, probe.JobsGuarded)
		}
		for _, stands := range guards {
			err := stands(ctx, x.kube, f.User)
			if errors.Is(err, probe.ErrUnread) {
				f.Trouble = troubleOf(err)
			} else if err != nil {
				wrong := strings.TrimPrefix(err.Error(), probe.ErrUnguarded.Error()+": ")
				wrong, _, _ = strings.Cut(wrong, ": apply what")
				f.Wrong = append(f.Wrong, wrong)
			}
		}
		return f.Judge()
	})(ctx)
}
