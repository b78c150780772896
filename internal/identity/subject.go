package identity

import (
	"cmp"
	"fmt"
	"strings"
)

// Subject is one Kubernetes ServiceAccount: the thing that gets a role.
type Subject struct {
	Namespace      string
	ServiceAccount string
}

// String returns "namespace/serviceaccount".
func (s Subject) String() string { return s.Namespace + "/" + s.ServiceAccount }

// OIDCSubject returns the `sub` claim of the ServiceAccount's tokens,
// "system:serviceaccount:<namespace>:<name>".
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
func (s Subject) OIDCSubject() string {
	return "system:serviceaccount:" + s.Namespace + ":" + s.ServiceAccount
}

// Compare orders subjects by namespace, then ServiceAccount.
func (s Subject) Compare(t Subject) int {
	return cmp.Or(strings.Compare(s.Namespace, t.Namespace), strings.Compare(s.ServiceAccount, t.ServiceAccount))
}

// IsZero reports whether s names nothing.
func (s Subject) IsZero() bool { return s == Subject{} }

// MarshalText writes "namespace/serviceaccount".
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "namespace/serviceaccount".
func (s *Subject) UnmarshalText(b []byte) error {
	ns, sa, ok := strings.Cut(string(b), "/")
	if !ok || ns == "" || sa == "" || strings.Contains(sa, "/") {
		return fmt.Errorf("subject %q is not namespace/serviceaccount", b)
	}
	*s = Subject{Namespace: ns, ServiceAccount: sa}
	return nil
}

// ParseOIDCSubject reads a `sub` claim back into a [Subject].
func ParseOIDCSubject(sub string) (Subject, bool) {
	rest, ok := strings.CutPrefix(sub, "system:serviceaccount:")
	if !ok {
		return Subject{}, false
	}
	ns, sa, ok := strings.Cut(rest, ":")
	if !ok || ns == "" || sa == "" || strings.Contains(sa, ":") {
		return Subject{}, false
	}
	return Subject{Namespace: ns, ServiceAccount: sa}, true
}
