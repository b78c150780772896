package identity

import "fmt"

// Mechanism is a way in which EKS gives a pod a role.
type Mechanism uint8

// The mechanisms. [Auto] is only ever declared; it is resolved to one of the
// other two before anything is compared.
const (
	None        Mechanism = iota
	IRSA                  // a projected OIDC token, exchanged at STS by the SDK
	PodIdentity           // an EKS Pod Identity association, served by the node agent
	Auto                  // Pod Identity once eligible, then for good
)

var mechanisms = [...]string{None: "", IRSA: "irsa", PodIdentity: "pod-identity", Auto: "auto"}

// String returns the word used in Git: irsa, pod-identity or auto.
func (m Mechanism) String() string {
	if int(m) < len(mechanisms) {
		return mechanisms[m]
	}
	return fmt.Sprintf("mechanism(%d)", uint8(m))
}

// MarshalText writes the word used in Git.
func (m Mechanism) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the word used in Git; empty text is [None].
func (m *Mechanism) UnmarshalText(b []byte) error {
	for i, word := range mechanisms {
		if word == string(b) {
			*m = Mechanism(i)
			return nil
		}
	}
	return fmt.Errorf("mechanism %q is none of irsa, pod-identity, auto", b)
}

// Width says how narrowly a Pod Identity trust statement pins who may use the
// role. The minimal statement of AWS's documentation is [WidthBare]: any
// ServiceAccount of any cluster in the account whose administrator may pass the
// role. Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
type Width uint8

// The widths, narrowest first.
const (
	WidthPinned  Width = iota // source account, cluster, namespace and ServiceAccount, by request tags
	WidthCluster              // source account and cluster tag
	WidthAccount              // source account
	WidthBare                 // no condition
)

var widths = [...]string{WidthPinned: "pinned", WidthCluster: "cluster", WidthAccount: "account", WidthBare: "bare"}

// String returns the word used in Git.
func (w Width) String() string {
	if int(w) < len(widths) {
		return widths[w]
	}
	return fmt.Sprintf("width(%d)", uint8(w))
}

// NeedsSessionTags reports whether the statement tests request tags, which EKS
// sends only with session tags on.
func (w Width) NeedsSessionTags() bool { return w == WidthPinned || w == WidthCluster }

// MarshalText writes the word used in Git.
func (w Width) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads the word used in Git.
func (w *Width) UnmarshalText(b []byte) error {
	for i, word := range widths {
		if word == string(b) {
			*w = Width(i)
			return nil
		}
	}
	return fmt.Errorf("trust %q is none of pinned, cluster, account, bare", b)
}
