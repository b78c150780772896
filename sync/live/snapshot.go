package live

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Snapshot is [Facts], indexed and read-only. It is safe for use by several
// goroutines.
type Snapshot struct {
	facts   Facts
	cluster identity.Cluster

	namespaces   map[string]Namespace
	accounts     map[identity.Subject]ServiceAccount
	associations map[identity.Subject]Association
	pods         map[identity.Subject][]Pod // live ones
	workloads    map[identity.Subject][]Workload
	nodes        map[string]Node
	groups       map[string]NodeGroup
	roles        map[identity.RoleARN]Role
	providers    map[string]OIDCProvider
	quotas       map[string]int
	gaps         map[Source][]Gap
	documents    *Documents
}

// Documents keeps parsed trust policies by their text, so that each content is parsed
// once, however many snapshots hold it. The zero value is ready; it is safe for use
// by several goroutines. It forgets what the last two snapshots did not ask for.
type Documents struct {
	mu       sync.Mutex
	now, old map[string]parsed
}

type parsed struct {
	doc *trust.Document
	err error
}

// parse returns the parsed form of a text.
func (d *Documents) parse(text string) (*trust.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.now[text]
	if !ok {
		if p, ok = d.old[text]; !ok {
			p.doc, p.err = trust.Parse(text)
		}
		if d.now == nil {
			d.now = map[string]parsed{}
		}
		d.now[text] = p
	}
	return p.doc, p.err
}

// turn begins a new snapshot: what the one before the last used is forgotten.
func (d *Documents) turn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.old = make(map[string]parsed, len(d.now)), d.now
}

// New indexes facts. It refuses facts that contradict themselves: a cluster without
// an ARN, or two objects of one key.
func New(f Facts) (*Snapshot, error) { return NewWith(f, &Documents{}) }

// NewWith is [New] with parsed documents that outlive the snapshot.
func NewWith(f Facts, documents *Documents) (*Snapshot, error) {
	documents.turn()
	cluster, err := identity.ParseClusterARN(f.Cluster.ARN)
	if err != nil {
		return nil, fmt.Errorf("snapshot: cluster: %w", err)
	}
	if f.Cluster.Name != cluster.Name {
		return nil, fmt.Errorf("snapshot: cluster is named %q, but its ARN says %q", f.Cluster.Name, cluster.Name)
	}
	cluster.Issuer = f.Cluster.Issuer
	s := &Snapshot{
		facts: f, cluster: cluster, documents: documents,
		namespaces:   make(map[string]Namespace, len(f.Namespaces)),
		accounts:     make(map[identity.Subject]ServiceAccount, len(f.ServiceAccounts)),
		associations: make(map[identity.Subject]Association, len(f.Associations)),
		pods:         make(map[identity.Subject][]Pod),
		workloads:    make(map[identity.Subject][]Workload),
		nodes:        make(map[string]Node, len(f.Nodes)),
		groups:       make(map[string]NodeGroup, len(f.NodeGroups)),
		roles:        make(map[identity.RoleARN]Role, len(f.Roles)),
		providers:    make(map[string]OIDCProvider, len(f.Providers)),
		quotas:       make(map[string]int, len(f.Accounts)),
		gaps:         make(map[Source][]Gap),
	}
	if err := s.index(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) index() error {
	var errs []error
	for _, n := range s.facts.Namespaces {
		errs = append(errs, put(s.namespaces, n.Name, n, "namespace"))
	}
	for _, a := range s.facts.ServiceAccounts {
		errs = append(errs, put(s.accounts, a.Subject(), a, "ServiceAccount"))
	}
	for _, a := range s.facts.Associations {
		errs = append(errs, put(s.associations, a.Subject(), a, "association of"))
	}
	for _, n := range s.facts.Nodes {
		errs = append(errs, put(s.nodes, n.Name, n, "node"))
	}
	for _, g := range s.facts.NodeGroups {
		errs = append(errs, put(s.groups, g.Name, g, "node group"))
	}
	for _, r := range s.facts.Roles {
		errs = append(errs, put(s.roles, r.ARN, r, "role"))
	}
	for _, p := range s.facts.Providers {
		errs = append(errs, put(s.providers, p.ARN, p, "OIDC provider"))
	}
	for _, a := range s.facts.Accounts {
		errs = append(errs, put(s.quotas, a.ID, a.TrustSizeQuota, "account"))
	}
	for _, p := range s.facts.Pods {
		if p.Live() {
			s.pods[p.Subject()] = append(s.pods[p.Subject()], p)
		}
	}
	for _, w := range s.facts.Workloads {
		s.workloads[w.Subject()] = append(s.workloads[w.Subject()], w)
	}
	for _, g := range s.facts.Gaps {
		s.gaps[g.Source] = append(s.gaps[g.Source], g)
	}
	return errors.Join(errs...)
}

func put[K comparable, V any](m map[K]V, key K, value V, what string) error {
	if _, dup := m[key]; dup {
		return fmt.Errorf("snapshot: two entries for %s %v", what, key)
	}
	m[key] = value
	return nil
}

// Subject returns the ServiceAccount's key.
func (a ServiceAccount) Subject() identity.Subject {
	return identity.Subject{Namespace: a.Namespace, ServiceAccount: a.Name}
}

// Subject returns the association's key.
func (a Association) Subject() identity.Subject {
	return identity.Subject{Namespace: a.Namespace, ServiceAccount: a.ServiceAccount}
}

// Subject returns the ServiceAccount that the pod runs as.
func (p Pod) Subject() identity.Subject {
	return identity.Subject{Namespace: p.Namespace, ServiceAccount: p.ServiceAccount}
}

// Subject returns the ServiceAccount that the workload's pods run as.
func (w Workload) Subject() identity.Subject {
	return identity.Subject{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount}
}

// Ref names the workload in its namespace.
func (w Workload) Ref() WorkloadRef { return WorkloadRef{w.Kind, w.Name} }

// Facts returns the facts behind the snapshot. They must not be changed.
func (s *Snapshot) Facts() *Facts { return &s.facts }

// Cluster returns the cluster, its issuer included.
func (s *Snapshot) Cluster() identity.Cluster { return s.cluster }

// Gaps returns every read that has no answer.
func (s *Snapshot) Gaps() []Gap { return s.facts.Gaps }

// unread reports whether a gap of one of the sources covers the scope: a gap without
// a scope covers all.
func (s *Snapshot) unread(scope string, sources ...Source) bool {
	for _, source := range sources {
		for _, g := range s.gaps[source] {
			if g.Scope == "" || g.Scope == scope {
				return true
			}
		}
	}
	return false
}

// dead reports whether nothing of the sources could be read: what was seen of them
// before, if anything, is not what is there now. Pages of a list that was cut short
// are current.
func (s *Snapshot) dead(sources ...Source) bool {
	for _, source := range sources {
		for _, g := range s.gaps[source] {
			if g.Scope == "" && g.Reason != GapTruncated {
				return true
			}
		}
	}
	return false
}

// Unread reports whether something of a source could not be read.
func (s *Snapshot) Unread(source Source) bool { return len(s.gaps[source]) > 0 }

// found says what a lookup means: what is in the facts is present, unless its source
// is dead; what is not is absent, unless a gap covers it.
func (s *Snapshot) found(ok bool, scope string, sources ...Source) Presence {
	switch {
	case s.dead(sources...):
		return Unknown
	case ok:
		return Present
	case s.unread(scope, sources...):
		return Unknown
	}
	return Absent
}

// Namespace looks a namespace up.
func (s *Snapshot) Namespace(name string) (Namespace, Presence) {
	n, ok := s.namespaces[name]
	return n, s.found(ok, name, SourceNamespaces)
}

// ServiceAccount looks a ServiceAccount up.
func (s *Snapshot) ServiceAccount(subject identity.Subject) (ServiceAccount, Presence) {
	a, ok := s.accounts[subject]
	return a, s.found(ok, subject.String(), SourceServiceAccounts)
}

// Association looks a Pod Identity association up. One that was listed, but could
// not be described, is Unknown: its role is not known; the listed part is returned.
func (s *Snapshot) Association(subject identity.Subject) (Association, Presence) {
	a, ok := s.associations[subject]
	if ok && !a.Described {
		return a, Unknown
	}
	return a, s.found(ok, subject.String(), SourceListAssociations)
}

// Pods returns a ServiceAccount's live pods: those that run or may yet run. Present
// means that the list is whole, even when it is empty; Unknown that it may not be. The
// list must not be changed.
func (s *Snapshot) Pods(subject identity.Subject) ([]Pod, Presence) {
	pods := slices.Clip(s.pods[subject])
	if s.unread(subject.String(), SourcePods) {
		return pods, Unknown
	}
	return pods, Present
}

// Workloads returns the workloads whose template names the ServiceAccount, with the
// same meaning of presence as [Snapshot.Pods].
func (s *Snapshot) Workloads(subject identity.Subject) ([]Workload, Presence) {
	workloads := slices.Clip(s.workloads[subject])
	if s.unread(subject.String(), SourceWorkloads) {
		return workloads, Unknown
	}
	return workloads, Present
}

// Node looks a node up.
func (s *Snapshot) Node(name string) (Node, Presence) {
	n, ok := s.nodes[name]
	return n, s.found(ok, name, SourceNodes)
}

// Role looks a role up. A role that nobody asked for is Unknown.
func (s *Snapshot) Role(arn identity.RoleARN) (Role, Presence) {
	r, ok := s.roles[arn]
	if !ok {
		return Role{ARN: arn}, Unknown
	}
	return r, r.Presence
}

// Trust returns a role's parsed trust policy. The error is that of a document which
// does not parse; it is only set where the role is Present. Each content is parsed once.
func (s *Snapshot) Trust(arn identity.RoleARN) (*trust.Document, Presence, error) {
	r, presence := s.Role(arn)
	if presence != Present {
		return nil, presence, nil
	}
	doc, err := s.documents.parse(r.TrustPolicy)
	return doc, Present, err
}

// Policies returns what a role's permission policies say that matters to a migration:
// Present where all of them were read, even if there is nothing.
func (s *Snapshot) Policies(arn identity.RoleARN) ([]Policy, Presence) {
	r, presence := s.Role(arn)
	if presence == Present && !r.PoliciesRead {
		return nil, Unknown
	}
	return r.Policies, presence
}

// NodeGroup looks a managed node group up. One that was listed, but not described, is
// Unknown.
func (s *Snapshot) NodeGroup(name string) (NodeGroup, Presence) {
	g, ok := s.groups[name]
	if ok && !g.Described {
		return g, Unknown
	}
	return g, s.found(ok, name, SourceDescribeNodeGroup)
}

// Whole reports whether nothing of the sources went unread.
func (s *Snapshot) Whole(sources ...Source) bool { return !slices.ContainsFunc(sources, s.Unread) }

// Provider looks up the IAM OIDC provider by ARN, in an account that was read.
func (s *Snapshot) Provider(arn string) (OIDCProvider, Presence) {
	p, ok := s.providers[arn]
	if ok && !p.Described {
		return p, Unknown
	}
	account := accountOf(arn)
	_, asked := s.quotas[account]
	switch {
	case ok:
		return p, Present
	case !asked, s.unread(account, SourceListProviders, SourceAssumeRole), s.unread(arn, SourceProvider):
		return p, Unknown
	}
	return p, Absent
}

func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// Providers returns the ARNs of all OIDC providers of an account: Present where it was
// asked for all of them. The list is never nil then.
func (s *Snapshot) Providers(account string) ([]string, Presence) {
	for _, a := range s.facts.Accounts {
		if a.ID == account && a.ProvidersListed {
			out := []string{}
			for _, p := range s.facts.Providers {
				if p.Account == account {
					out = append(out, p.ARN)
				}
			}
			return out, Present
		}
	}
	return nil, Unknown
}

// TrustQuota returns how many characters a trust policy may have in an account.
func (s *Snapshot) TrustQuota(account string) (int, Presence) {
	if q := s.quotas[account]; q > 0 {
		return q, Present
	}
	return 0, Unknown
}

// Subjects returns every ServiceAccount that the snapshot knows, or knows an
// association of, sorted.
func (s *Snapshot) Subjects() []identity.Subject {
	all := make(map[identity.Subject]bool, len(s.accounts))
	for subject := range s.accounts {
		all[subject] = true
	}
	for subject := range s.associations {
		all[subject] = true
	}
	return slices.SortedFunc(maps.Keys(all), identity.Subject.Compare)
}

// Addon returns the add-on that owns a Pod Identity association.
func (s *Snapshot) Addon(association Association) (Addon, bool) {
	for _, a := range s.facts.Addons {
		if association.ARN != "" && slices.Contains(a.Associations, association.ARN) {
			return a, true
		}
	}
	return Addon{}, false
}

// podIdentityAudience is that of the token which the Pod Identity agent takes.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
const podIdentityAudience = "pods.eks.amazonaws.com"

// Live reports whether the pod runs, or may yet run.
func (p Pod) Live() bool { return p.Phase != "Succeeded" && p.Phase != "Failed" }

// Uses reports whether one of the pod's containers was given the mechanism.
func (p Pod) Uses(m identity.Mechanism) bool {
	want := CredentialIRSA
	if m == identity.PodIdentity {
		want = CredentialPodIdentity
	}
	for _, c := range p.Containers {
		switch c.Credential {
		case want, CredentialBoth:
			return true
		case CredentialStatic, CredentialProfile: // injected as well, and a profile may point there
			if m == identity.IRSA && c.Role != "" || m == identity.PodIdentity && c.Audience == podIdentityAudience {
				return true
			}
		}
	}
	return false
}
