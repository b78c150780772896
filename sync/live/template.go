package live

import (
	"slices"
	"strings"
)

// Template is one container of a workload's pod template, as it is before admission.
// Of the environment only names are kept, and only those that say where an SDK takes
// its credentials from.
type Template struct {
	Name      string   `json:"name"`
	Init      bool     `json:"init,omitempty"`
	Image     string   `json:"image,omitempty"`
	Variables []string `json:"variables,omitempty"` // AWS_*, set by hand; sorted
	Profile   bool     `json:"profile,omitempty"`   // a volume is mounted over ~/.aws
	Proxy     Proxy    `json:"proxy,omitempty"`
}

// Proxy says whether calls to the Pod Identity agent would go to a proxy. The
// variables' values are not kept: a proxy's address may hold a password.
type Proxy string

// The answers. A container without HTTP_PROXY has none.
const (
	ProxyNone       Proxy = ""
	ProxyExempt     Proxy = "exempt"     // NO_PROXY names both addresses of the agent
	ProxyUnexempted Proxy = "unexempted" // it does not
	ProxyUnseen     Proxy = "unseen"     // it comes from a reference that is not read
)

var proxies = []Proxy{ProxyNone, ProxyExempt, ProxyUnexempted, ProxyUnseen}

// UnmarshalText reads the word, which must be one of the list.
func (p *Proxy) UnmarshalText(b []byte) error { return word(p, b, "proxy", proxies) }

// Strategy is how a workload's own controller replaces its pods.
// Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy
type Strategy struct {
	Type           string `json:"type,omitempty"`           // RollingUpdate, Recreate, OnDelete; empty is the kind's default
	MaxUnavailable string `json:"maxUnavailable,omitempty"` // "1" or "25%"; empty is the kind's default
	MaxSurge       string `json:"maxSurge,omitempty"`       // as MaxUnavailable
}

// Requirement is one expression of a label selector or of a node affinity.
// Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#set-based-requirement
type Requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"` // In, NotIn, Exists, DoesNotExist; for nodes Gt and Lt too
	Values   []string `json:"values,omitempty"`
}

// NodeTerm is one term of a required node affinity. All of its requirements must hold.
type NodeTerm struct {
	Labels []Requirement `json:"matchExpressions,omitempty"`
	Fields []Requirement `json:"matchFields,omitempty"` // metadata.name only
}

// Toleration is a pod's toleration of taints.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
type Toleration struct {
	Key      string `json:"key,omitempty"`      // empty with Exists: every taint
	Operator string `json:"operator,omitempty"` // Exists or Equal, which is the default
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"` // empty: every effect
}

// Taint is a node's taint.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"` // NoSchedule, PreferNoSchedule, NoExecute
}

// Selector is a label selector. An empty one matches everything.
type Selector struct {
	Labels       map[string]string `json:"matchLabels,omitempty"`
	Requirements []Requirement     `json:"matchExpressions,omitempty"`
}

// Matches reports whether labels satisfy the selector. An operator that Kubernetes
// does not know matches nothing.
func (s Selector) Matches(labels map[string]string) bool {
	for key, value := range s.Labels {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return !slices.ContainsFunc(s.Requirements, func(r Requirement) bool { return !r.Matches(labels) })
}

// Matches reports whether labels satisfy a requirement of a label selector. NotIn and
// DoesNotExist hold where the label is missing.
func (r Requirement) Matches(labels map[string]string) bool {
	value, there := labels[r.Key]
	switch r.Operator {
	case "In":
		return there && slices.Contains(r.Values, value)
	case "NotIn":
		return !there || !slices.Contains(r.Values, value)
	case "Exists":
		return there
	case "DoesNotExist":
		return !there
	}
	return false
}

// Budget is a PodDisruptionBudget. Without a selector of its own it matches nothing.
// Source: https://kubernetes.io/docs/tasks/run-application/configure-pdb/
type Budget struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Selector  Selector `json:"selector"`
	Allowed   int      `json:"disruptionsAllowed"`
	Expected  int      `json:"expectedPods"`
}

// NetworkPolicy is a NetworkPolicy that bounds what its pods may reach. A pod that
// several select may reach what any of them allows.
// Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
type NetworkPolicy struct {
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`
	Selector    Selector `json:"podSelector"`
	AdmitsAgent bool     `json:"admitsAgent,omitempty"` // port 80 of one of the Pod Identity agent's addresses
}

// Reader is an object by which somebody besides EKS's webhook uses a ServiceAccount's
// IRSA: it reads the role annotation, or assumes the role with a token of its own.
// Whose ServiceAccount it is, the object itself says, or who uses the object: exactly
// one of ServiceAccount, Mounted and Scaled is set; none where nobody uses it.
type Reader struct {
	Kind           string        `json:"kind"`
	Namespace      string        `json:"namespace,omitempty"` // empty for objects of the cluster
	Name           string        `json:"name"`
	Field          string        `json:"field"`                    // the path that says so, with its value
	ServiceAccount string        `json:"serviceAccount,omitempty"` // namespace/name; the namespace is * where whoever uses the object says it
	Mounted        bool          `json:"mounted,omitempty"`        // that of the pods which mount it
	Claim          string        `json:"claim,omitempty"`          // and this is the claim, namespace/name
	Scaled         []WorkloadRef `json:"scaled,omitempty"`         // those of the workloads that are scaled by it; names are namespace/name
}

// String returns "Kind namespace/name", or "Kind name".
func (r Reader) String() string {
	return r.Kind + " " + strings.TrimPrefix(r.Namespace+"/"+r.Name, "/")
}
