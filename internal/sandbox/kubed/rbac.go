package kubed

import (
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// The cluster enforces no RBAC: [Fault] refuses calls. But who asks what somebody may do
// is answered by the Roles, ClusterRoles and bindings that it holds, and by nothing else.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/

// who is a user with the groups that every authenticated one is in.
type who struct {
	user   string
	groups []string
}

// known gives a user the groups that the API server gives it.
// Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
func known(user string) who {
	w := who{user, []string{"system:authenticated"}}
	if rest, is := strings.CutPrefix(user, "system:serviceaccount:"); is {
		namespace, _, _ := strings.Cut(rest, ":")
		w.groups = append(w.groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	return w
}

// access answers a SelfSubjectAccessReview, which anybody may ask, and a
// SubjectAccessReview.
func (c *Cluster) access(user string, a clienttesting.Action) (runtime.Object, bool, error) {
	create, ok := a.(clienttesting.CreateActionImpl)
	if !ok {
		return nil, false, nil
	}
	switch asked := create.Object.(type) {
	case *authorizationv1.SelfSubjectAccessReview:
		answer := asked.DeepCopy()
		allowed, err := c.may(known(username(user)), asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes)
		answer.Status.Allowed = allowed
		return answer, true, err
	case *authorizationv1.SubjectAccessReview:
		answer := asked.DeepCopy()
		allowed, err := c.may(who{asked.Spec.User, asked.Spec.Groups}, asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes)
		answer.Status.Allowed = allowed
		return answer, true, err
	}
	return nil, false, nil
}

// may judges a request by the bindings. A RoleBinding counts in its own namespace, and a
// request for all namespaces is in none.
func (c *Cluster) may(w who, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) (bool, error) {
	all, err := held[*rbacv1.ClusterRoleBinding](c, "ClusterRoleBinding", "clusterrolebindings")
	if err != nil {
		return false, err
	}
	for _, b := range all {
		rules, err := c.rulesOf(b.RoleRef, "")
		if err != nil {
			return false, err
		}
		if w.isOneOf(b.Subjects, "") && anyAllows(rules, r, n) {
			return true, nil
		}
	}
	if r == nil || r.Namespace == "" {
		return false, nil
	}
	some, err := held[*rbacv1.RoleBinding](c, "RoleBinding", "rolebindings")
	if err != nil {
		return false, err
	}
	for _, b := range some {
		rules, err := c.rulesOf(b.RoleRef, b.Namespace)
		if err != nil {
			return false, err
		}
		if b.Namespace == r.Namespace && w.isOneOf(b.Subjects, b.Namespace) && anyAllows(rules, r, nil) {
			return true, nil
		}
	}
	return false, nil
}

func (w who) isOneOf(subjects []rbacv1.Subject, namespace string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			at := s.Namespace
			if at == "" {
				at = namespace
			}
			return w.user == "system:serviceaccount:"+at+":"+s.Name
		case rbacv1.UserKind:
			return s.Name == w.user
		case rbacv1.GroupKind:
			return slices.Contains(w.groups, s.Name)
		}
		return false
	})
}

// rulesOf returns the rules that a binding refers to; none where there is no such role.
func (c *Cluster) rulesOf(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	if ref.Kind == "ClusterRole" {
		all, err := held[*rbacv1.ClusterRole](c, "ClusterRole", "clusterroles")
		for _, role := range all {
			if role.Name == ref.Name {
				return role.Rules, err
			}
		}
		return nil, err
	}
	all, err := held[*rbacv1.Role](c, "Role", "roles")
	for _, role := range all {
		if role.Name == ref.Name && role.Namespace == namespace {
			return role.Rules, err
		}
	}
	return nil, err
}

func anyAllows(rules []rbacv1.PolicyRule, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, "*") || slices.Contains(list, want)
	}
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		if n != nil {
			return has(rule.Verbs, n.Verb) && slices.ContainsFunc(rule.NonResourceURLs, func(path string) bool {
				prefix, many := strings.CutSuffix(path, "*")
				return path == n.Path || many && strings.HasPrefix(n.Path, prefix)
			})
		}
		resource := r.Resource
		if r.Subresource != "" {
			resource += "/" + r.Subresource
		}
		return has(rule.Verbs, r.Verb) && has(rule.APIGroups, r.Group) &&
			(has(rule.Resources, resource) || r.Subresource != "" && slices.Contains(rule.Resources, "*/"+r.Subresource)) &&
			(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, r.Name))
	})
}

// held returns the cluster's objects of a kind of rbac.authorization.k8s.io.
func held[T runtime.Object](c *Cluster, kind, resource string) ([]T, error) {
	v := rbacv1.SchemeGroupVersion
	list, err := c.tracker.List(v.WithResource(resource), schema.GroupVersionKind{Group: v.Group, Version: v.Version, Kind: kind}, "")
	if err != nil {
		return nil, fmt.Errorf("read what the cluster holds of %s: %w", kind, err)
	}
	var out []T
	err = meta.EachListItem(list, func(o runtime.Object) error {
		if one, is := o.(T); is {
			out = append(out, one)
		}
		return nil
	})
	return out, err
}
