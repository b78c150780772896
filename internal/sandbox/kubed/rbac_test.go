package kubed

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const roles = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [list, watch]}
  - {apiGroups: [""], resources: ["*/eviction"], verbs: [create]}
  - {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: [patch]}
  - {nonResourceURLs: [/version, "/apis/*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: all}
subjects: [{kind: ServiceAccount, name: lanyard, namespace: lanyard}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: own, namespace: lanyard}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: own, namespace: lanyard}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: own}
subjects: [{kind: Group, name: "system:serviceaccounts:lanyard"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: admin}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: User, name: alice}]
`

// TestAccessReview: what somebody may do is what the bindings grant.
func TestAccessReview(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t)
	if err := c.SeedManifests(roles); err != nil {
		t.Fatal(err)
	}
	type attributes = authorizationv1.ResourceAttributes
	const sa = "system:serviceaccount:lanyard:lanyard"
	for _, test := range []struct {
		name string
		user string
		r    attributes
		want bool
	}{
		{"granted everywhere", sa, attributes{Verb: "list", Resource: "pods"}, true},
		{"and so in one namespace", sa, attributes{Verb: "list", Resource: "pods", Namespace: "demo"}, true},
		{"another verb", sa, attributes{Verb: "get", Resource: "pods"}, false},
		{"another group", sa, attributes{Verb: "list", Resource: "pods", Group: "metrics.k8s.io"}, false},
		{"a subresource of any", sa, attributes{Verb: "create", Resource: "pods", Subresource: "eviction"}, true},
		{"not the resource itself", sa, attributes{Verb: "create", Resource: "pods"}, false},
		{"by name", sa, attributes{Verb: "patch", Group: "apps", Resource: "deployments", Name: "web"}, true},
		{"another name", sa, attributes{Verb: "patch", Group: "apps", Resource: "deployments", Name: "db"}, false},
		{"any name", sa, attributes{Verb: "patch", Group: "apps", Resource: "deployments"}, false},
		{"in the binding's namespace", sa, attributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "lanyard"}, true},
		{"in another", sa, attributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "demo"}, false},
		{"another user", "system:serviceaccount:demo:lanyard", attributes{Verb: "list", Resource: "pods"}, false},
		{"whoever may do everything", "alice", attributes{Verb: "delete", Resource: "nodes"}, true},
	} {
		self, err := c.Client(test.user).AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &test.r}}, metav1.CreateOptions{})
		if err != nil || self.Status.Allowed != test.want {
			if test.user != "alice" { // a client's user without a colon is a ServiceAccount
				t.Errorf("%s: %v, %v, want %v", test.name, self.Status, err, test.want)
			}
		}
		other, err := c.Client("asks").AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: test.user, Groups: known(test.user).groups, ResourceAttributes: &test.r}}, metav1.CreateOptions{})
		if err != nil || other.Status.Allowed != test.want {
			t.Errorf("%s, about another: %v, %v, want %v", test.name, other.Status, err, test.want)
		}
	}
	for path, want := range map[string]bool{"/version": true, "/apis/apps": true, "/metrics": false} {
		got, err := c.Client(sa).AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"}}}, metav1.CreateOptions{})
		if err != nil || got.Status.Allowed != want {
			t.Errorf("get %s: %v, %v, want %v", path, got.Status, err, want)
		}
	}
	remove := c.Inject(Fault{Resource: "selfsubjectaccessreviews"})
	defer remove()
	if _, err := c.Client(sa).AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{}, metav1.CreateOptions{}); err == nil {
		t.Error("a fault did not stop the question")
	}
}
