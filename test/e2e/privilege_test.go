//go:build linux

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/rights"
)

// right is one verb on one kind of object, in one place.
type right struct {
	verb, group, resource string
	name                  string // of the only object, "" for all
	namespace             string // "" is the whole cluster
	path                  string // of the API server, in place of an object
}

func (r right) String() string {
	if r.path != "" {
		return r.verb + " " + r.path
	}
	out := r.verb + " " + strings.Trim(r.resource+"."+r.group, ".")
	if r.name != "" {
		out += " " + r.name
	}
	if r.namespace != "" {
		out += " in " + r.namespace
	}
	return out
}

// covers reports whether the right allows what was asked.
func (r right) covers(q request) bool {
	if r.path != "" {
		return q.ObjectRef.Resource == "" && q.Verb == r.verb && strings.Split(q.RequestURI, "?")[0] == r.path
	}
	o := q.ObjectRef
	resource := strings.Trim(o.Resource+"/"+o.Subresource, "/")
	return q.Verb == r.verb && o.APIGroup == r.group && resource == r.resource &&
		(r.name == "" || r.name == o.Name) && (r.namespace == "" || r.namespace == o.Namespace)
}

// grants are the rights that roles give, which all must be bound to lanyard.
func grants(t *testing.T, objects []*unstructured.Unstructured) (all []right) {
	t.Helper()
	for _, o := range objects {
		if kind := o.GetKind(); kind != "ClusterRole" && kind != "Role" {
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same fields, but for aggregation
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				for _, path := range rule.NonResourceURLs {
					all = append(all, right{verb: verb, path: path})
				}
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						names := rule.ResourceNames
						if len(names) == 0 {
							names = []string{""}
						}
						for _, name := range names {
							all = append(all, right{verb: verb, group: group, resource: resource, name: name, namespace: o.GetNamespace()})
						}
					}
				}
			}
		}
	}
	return all
}

// anybodys are the paths that every ServiceAccount may get: of discovery.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
func anybodys(q request) bool {
	return q.ObjectRef.Resource == "" && q.Verb == "get" && (q.RequestURI == "/version" || q.RequestURI == "/api")
}

// streamed is what client-go reads its first list of by a watch where the server can do
// that, and by a list where it cannot or will not just then: it needs both verbs.
// Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
func streamed(r right, used map[right]bool) bool {
	r.verb = map[string]string{"list": "watch"}[r.verb]
	return used[r]
}

// differences are what was asked and is not granted, and what is granted and was not asked.
func differences(granted []right, asked []request) (missing, extra []string) {
	used, lacks := map[right]bool{}, map[string]bool{}
	for _, q := range asked {
		covered := anybodys(q)
		for _, r := range granted {
			if r.covers(q) {
				used[r], covered = true, true
			}
		}
		if covered {
			continue
		}
		lack := q.Verb + " " + strings.Split(q.RequestURI, "?")[0]
		if o := q.ObjectRef; o.Resource != "" {
			lack = right{verb: q.Verb, group: o.APIGroup, resource: strings.Trim(o.Resource+"/"+o.Subresource, "/")}.String()
		}
		lacks[lack] = true
	}
	for _, r := range granted {
		if !used[r] && !streamed(r, used) {
			extra = append(extra, r.String())
		}
	}
	return slices.Sorted(maps.Keys(lacks)), extra
}

// TestLeastPrivilege: over a repair with everything in it, what lanyard asks the API
// server is what deploy/ grants: no request is refused, and no right is left unused
// (law 8). The comparison names each verb that is taken away, and each that is added.
func TestLeastPrivilege(t *testing.T) {
	const component = "../../deploy/kubernetes/components/api-access/rbac.yaml"
	client := extend(t)
	o := newOperator(t, fleet())
	o.argo(client, "canary", podOf(nil), 0)
	objects := append(manifests(t, overlay), objectsOf(t, component)...)
	apply(t, admin(t), objects[len(objects)-2:])
	o.ready()
	d := o.run("one")
	o.repaired()
	d.clear()
	o.readers(d)

	granted, asked := grants(t, objects), o.asked()
	missing, extra := differences(granted, asked)
	for _, m := range missing {
		t.Errorf("asked, and not granted by deploy/: %s", m)
	}
	for _, e := range extra {
		t.Errorf("granted by deploy/, and not asked: %s", e)
	}
	for _, q := range asked {
		if q.Annotations["authorization.k8s.io/decision"] != "allow" {
			t.Errorf("refused: %s %s", q.Verb, q.RequestURI)
		}
	}
	watched := map[right]bool{}
	for _, r := range granted {
		watched[r] = r.verb == "watch"
	}
	for i, r := range granted {
		without := slices.Delete(slices.Clone(granted), i, i+1)
		// A list that was streamed every time is the watch's: nothing was asked by that verb.
		if missing, _ := differences(without, asked); !streamed(r, watched) && (len(missing) != 1 || !strings.HasPrefix(r.String(), missing[0])) {
			t.Errorf("without %q the comparison finds missing %q", r, missing)
		}
		more := r
		more.verb = "deletecollection"
		if _, extra := differences(append(slices.Clone(granted), more), asked); len(extra) != 1 || extra[0] != more.String() {
			t.Errorf("with %q more the comparison finds extra %q", more, extra)
		}
	}
	if len(granted) < 20 || len(asked) < 50 {
		t.Errorf("%d rights and %d requests were compared: too few to be all", len(granted), len(asked))
	}
	o.authorizer(granted)
}

// rights holds that over a migration, there and back, what lanyard asked the API server is
// what deploy/ grants in mode migrate; and that it asked AWS nothing that lanyard policy
// does not grant, and all but a little of what it does.
func (m *moving) rights() {
	m.t.Helper()
	asked := m.asked()
	missing, extra := differences(grants(m.t, manifests(m.t, overlays+m.mode)), asked)
	for _, q := range missing {
		m.t.Errorf("asked, and not granted by deploy/: %s", q)
	}
	for _, e := range extra {
		m.t.Errorf("granted by deploy/, and not asked: %s", e)
	}
	for _, q := range asked {
		if q.Annotations["authorization.k8s.io/decision"] != "allow" {
			m.t.Errorf("refused: %s %s", q.Verb, q.RequestURI)
		}
	}
	w, err := rights.For(m.mode, nil, rights.Place{})
	m.must(err)
	unused := map[string]bool{}
	for _, action := range rights.Actions(w.Statements) {
		unused[action] = true
	}
	calls, _ := m.aws.Calls(0)
	for _, c := range calls {
		action := c.Service + ":" + c.Operation
		_, granted := unused[action]
		if c.Service == "eks-auth" || c.Service == "sts" { // the agents' and the pods'; and GetCallerIdentity, which needs no right
			continue
		}
		if !granted {
			m.t.Errorf("asked of AWS, and not granted by lanyard policy: %s", action)
		}
		unused[action] = false
	}
	maps.DeleteFunc(unused, func(_ string, is bool) bool { return !is })
	if got := strings.Join(slices.Sorted(maps.Keys(unused)), " "); got != elsewhereAsked {
		m.t.Errorf("granted by lanyard policy, and not asked of AWS: %s, want %s", got, elsewhereAsked)
	}
}

// elsewhereAsked are the actions that this world does not need, and others do: one with
// add-ons, a role that changes, a provider that is not there, an account in which bulk
// details are refused (TestLeastPrivilege of package test). Nobody calls iam:PassRole, and
// eks:TagResource for what is created: EKS asks for the rights.
const elsewhereAsked = "eks:DescribeAddon eks:TagResource eks:UpdatePodIdentityAssociation iam:ListOpenIDConnectProviders iam:ListRoles iam:PassRole"

// authorizer asks the real one: lanyard may what is granted, and not what is nearest to it.
func (o *operator) authorizer(granted []right) {
	o.t.Helper()
	mine := o.client()
	may := func(r right) bool {
		namespace := r.namespace
		if namespace == "" && r.path == "" {
			namespace = o.ns
		}
		answer, err := mine.AuthorizationV1().SelfSubjectAccessReviews().Create(o.t.Context(), review(r, namespace), metav1.CreateOptions{})
		o.must(err)
		return answer.Status.Allowed
	}
	for _, r := range granted {
		if !may(r) {
			o.t.Errorf("the API server does not let lanyard %s", r)
		}
	}
	for _, r := range []right{
		{verb: "create", resource: "serviceaccounts"}, {verb: "delete", resource: "serviceaccounts"}, {verb: "update", resource: "serviceaccounts"},
		{verb: "create", resource: "serviceaccounts/token"}, {verb: "create", resource: "pods"}, {verb: "delete", resource: "pods"}, {verb: "list", resource: "secrets"}, {verb: "get", resource: "secrets"},
		{verb: "patch", resource: "deployments", group: "apps"}, {verb: "update", resource: "leases", group: "coordination.k8s.io", name: "another", namespace: lanyardNamespace},
		{verb: "impersonate", resource: "users"}, {verb: "get", resource: "mutatingwebhookconfigurations", group: "admissionregistration.k8s.io", name: "another"},
	} {
		if may(r) {
			o.t.Errorf("the API server lets lanyard %s", r)
		}
	}
}

// review asks whether one may.
func review(r right, namespace string) *authorizationv1.SelfSubjectAccessReview {
	spec := authorizationv1.SelfSubjectAccessReviewSpec{}
	if r.path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: r.path, Verb: r.verb}
	} else {
		resource, sub, _ := strings.Cut(r.resource, "/")
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: r.verb, Group: r.group, Resource: resource, Subresource: sub, Name: r.name}
	}
	return &authorizationv1.SelfSubjectAccessReview{Spec: spec}
}

// client is lanyard's own.
func (o *operator) client() kubernetes.Interface {
	o.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	o.must(err)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	o.must(err)
	return client
}

// objectsOf are a file's.
func objectsOf(t *testing.T, file string) (all []*unstructured.Unstructured) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Split(string(data), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// readers holds that the API is read by whom the API server lets get the path, and by
// nobody else.
func (o *operator) readers(d *daemon) {
	o.t.Helper()
	const path = "/api/v1/status"
	_, err := o.kube.RbacV1().ClusterRoles().Create(o.t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: o.ns + "-reader"},
		Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/lanyard" + path}, Verbs: []string{"get"}}}}, metav1.CreateOptions{})
	o.must(err)
	_, err = o.kube.RbacV1().ClusterRoleBindings().Create(o.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: o.ns + "-reader"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: o.ns + "-reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: o.ns, Name: "fresh"}}}, metav1.CreateOptions{})
	o.must(err)
	for _, who := range []struct {
		bearer, path string
		code         int
	}{
		{o.tokenOf("fresh"), path, http.StatusOK},
		{o.tokenOf("fresh"), "/api/v1/snapshot", http.StatusForbidden},
		{o.tokenOf("pod"), path, http.StatusForbidden},
		{"nonsense", path, http.StatusUnauthorized},
	} {
		eventually(o.t, "a reader's answer", func() error { // the authorizer learns of a binding by a watch
			code, err := d.get(who.path, who.bearer, nil)
			if err != nil {
				return err
			}
			return want("status of "+who.path, code, who.code)
		})
	}
}

func (o *operator) tokenOf(serviceAccount string) string {
	o.t.Helper()
	token, err := o.kube.CoreV1().ServiceAccounts(o.ns).CreateToken(o.t.Context(), serviceAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	o.must(err)
	return token.Status.Token
}

// TestAdmissionPolicy: the policy of deploy/ lets lanyard's user create a pod as a dry run
// only, though RBAC lets it, and does not concern anybody else.
func TestAdmissionPolicy(t *testing.T) {
	o := newOperator(t, nil)
	_, err := o.kube.RbacV1().RoleBindings(o.ns).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "pods"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: lanyardNamespace, Name: lanyardAccount}}}, metav1.CreateOptions{})
	o.must(err)
	create := func(client kubernetes.Interface, dry ...string) error {
		template := podOf(nil)
		_, err := client.CoreV1().Pods(o.ns).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}, Spec: template.Spec}, metav1.CreateOptions{DryRun: dry})
		return err
	}
	mine := o.client()
	eventually(t, "a dry run", func() error { return create(mine, metav1.DryRunAll) })
	eventually(t, "a refusal by the policy, which the API server learns of by a watch", func() error {
		err := create(mine)
		if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "lanyard may create pods as a dry run only") {
			return fmt.Errorf("lanyard creates a pod: %w", cmp.Or(err, errors.New("it may")))
		}
		return nil
	})
	o.must(create(mine, metav1.DryRunAll))
	o.must(create(o.kube))
}
