package awsd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// accountState is an account and what IAM holds for it.
type accountState struct {
	Account
	roles     map[string]*versioned[Role] // By name.
	providers map[string]Provider         // By URL.
}

// clusterState is a cluster and what EKS holds for it.
type clusterState struct {
	Cluster
	addons       map[string]Addon
	profiles     map[string]FargateProfile
	groups       map[string]NodeGroup
	associations map[string]*versioned[Association] // By ID.
	bySubject    map[subject]*versioned[string]     // The association's ID.
	deleted      []deletion                         // Oldest first.
	tokens       map[string]usedToken               // By ClientRequestToken.
}

type deletion struct {
	at time.Time
	id string
	of subject
}

// usedToken remembers a ClientRequestToken: what was asked with it and which association
// it concerned.
type usedToken struct{ request, id string }

// PutAccount adds an account, or changes the quotas and organization of one that is there.
func (s *Server) PutAccount(a Account) error {
	if !isAccount(a.ID) {
		return fmt.Errorf("put account %q: an account id has twelve digits", a.ID)
	}
	a.Partition = cmp.Or(a.Partition, "aws")
	a.AssumeRolePolicySizeQuota = cmp.Or(a.AssumeRolePolicySizeQuota, 2048)
	a.AssociationsPerCluster = cmp.Or(a.AssociationsPerCluster, 5000)
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.accounts[a.ID]; st != nil {
		st.Account = a
		return nil
	}
	s.accounts[a.ID] = &accountState{Account: a, roles: map[string]*versioned[Role]{}, providers: map[string]Provider{}}
	return nil
}

// Account returns an account by its id.
func (s *Server) Account(id string) (Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.accounts[id]; st != nil {
		return st.Account, true
	}
	return Account{}, false
}

// PutRole adds or replaces a role. The trust document is taken as it is, so that worlds
// may hold what IAM would not accept today, such as deleted principals.
func (s *Server) PutRole(r Role) error {
	account, _, name, ok := roleName(r.ARN)
	if !ok {
		return fmt.Errorf("put role %q: not the ARN of an IAM role", r.ARN)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustAccount(account)
	if err != nil {
		return fmt.Errorf("put role %q: %w", r.ARN, err)
	}
	for other := range st.roles {
		if other != name && strings.EqualFold(other, name) {
			return fmt.Errorf("put role %q: the account has role %q, and names are unique without regard to case", r.ARN, other)
		}
	}
	r = r.clone()
	r.ID = cmp.Or(r.ID, "AROA"+strings.ToUpper(made(r.ARN, 17)))
	r.MaxSessionDuration = cmp.Or(r.MaxSessionDuration, time.Hour)
	if r.Created.IsZero() {
		r.Created = s.clock.Now()
	}
	st.roles[name] = always(r)
	return nil
}

// Role returns a role by its ARN, path and account included, as it truly is, whatever
// readers see of it yet.
func (s *Server) Role(roleARN string) (Role, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.role(roleARN, (*versioned[Role]).latest)
	return r.clone(), ok
}

// Roles returns the roles of an account, sorted by name.
func (s *Server) Roles(account string) []Role {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.accounts[account]
	if st == nil {
		return nil
	}
	var out []Role
	for _, name := range slices.Sorted(maps.Keys(st.roles)) {
		if r, ok := st.roles[name].latest(); ok {
			out = append(out, r.clone())
		}
	}
	return out
}

// DeleteRole removes a role at once, and reports whether it was there.
func (s *Server) DeleteRole(roleARN string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.role(roleARN, (*versioned[Role]).latest)
	if ok {
		account, _, name, _ := roleName(roleARN)
		delete(s.accounts[account].roles, name)
	}
	return ok
}

// role finds a role by its whole ARN, through the view given.
func (s *Server) role(roleARN string, view func(*versioned[Role]) (Role, bool)) (Role, bool) {
	account, _, name, ok := roleName(roleARN)
	st := s.accounts[account]
	if !ok || st == nil || st.roles[name] == nil {
		return Role{}, false
	}
	r, ok := view(st.roles[name])
	return r, ok && r.ARN == roleARN
}

// PutPolicy adds or replaces a managed policy.
func (s *Server) PutPolicy(p Policy) error {
	a, ok := parseARN(p.ARN)
	if !ok || a.service != "iam" || !strings.HasPrefix(a.resource, "policy/") {
		return fmt.Errorf("put policy %q: not the ARN of an IAM policy", p.ARN)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Version = cmp.Or(p.Version, "v1")
	if p.Created.IsZero() {
		p.Created = s.clock.Now()
	}
	s.policies[p.ARN] = p
	return nil
}

// PutProvider adds or replaces an OIDC provider.
func (s *Server) PutProvider(p Provider) error {
	a, ok := parseARN(p.ARN)
	if !ok || a.service != "iam" || p.URL() == "" {
		return fmt.Errorf("put OIDC provider %q: not the ARN of an OIDC provider", p.ARN)
	}
	if len(p.ClientIDs) > 100 || len(p.Thumbprints) > 5 {
		return fmt.Errorf("put OIDC provider %q: at most 100 client ids and 5 thumbprints", p.ARN)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustAccount(a.account)
	if err != nil {
		return fmt.Errorf("put OIDC provider %q: %w", p.ARN, err)
	}
	p = p.clone()
	if p.Created.IsZero() {
		p.Created = s.clock.Now()
	}
	st.providers[p.URL()] = p
	return nil
}

// Provider returns an OIDC provider by its ARN.
func (s *Server) Provider(providerARN string) (Provider, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.provider(providerARN)
	return p.clone(), ok
}

// DeleteProvider removes an OIDC provider, and reports whether it was there.
func (s *Server) DeleteProvider(providerARN string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.provider(providerARN)
	if ok {
		a, _ := parseARN(providerARN)
		delete(s.accounts[a.account].providers, p.URL())
	}
	return ok
}

func (s *Server) provider(providerARN string) (Provider, bool) {
	a, _ := parseARN(providerARN)
	st := s.accounts[a.account]
	if st == nil {
		return Provider{}, false
	}
	p, ok := st.providers[Provider{ARN: providerARN}.URL()]
	return p, ok && p.ARN == providerARN
}

// PutCluster adds a cluster or changes one, keeping its add-ons, profiles and
// associations.
func (s *Server) PutCluster(c Cluster) error {
	key, ok := parseClusterARN(c.ARN)
	if !ok {
		return fmt.Errorf("put cluster %q: not the ARN of an EKS cluster", c.ARN)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.mustAccount(key.account); err != nil {
		return fmt.Errorf("put cluster %q: %w", c.ARN, err)
	}
	c = c.clone()
	c.Status = cmp.Or(c.Status, "ACTIVE")
	if c.Created.IsZero() {
		c.Created = s.clock.Now()
	}
	if st := s.clusters[key]; st != nil {
		st.Cluster = c
		return nil
	}
	s.clusters[key] = &clusterState{
		Cluster: c, addons: map[string]Addon{}, profiles: map[string]FargateProfile{}, groups: map[string]NodeGroup{},
		associations: map[string]*versioned[Association]{}, bySubject: map[subject]*versioned[string]{},
		tokens: map[string]usedToken{},
	}
	return nil
}

// Cluster returns a cluster by its ARN.
func (s *Server) Cluster(clusterARN string) (Cluster, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, err := s.mustCluster(clusterARN); err == nil {
		return st.Cluster.clone(), true
	}
	return Cluster{}, false
}

func (s *Server) mustAccount(id string) (*accountState, error) {
	if st := s.accounts[id]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("no account %s: put it first", id)
}

func (s *Server) mustCluster(clusterARN string) (*clusterState, error) {
	key, _ := parseClusterARN(clusterARN)
	if st := s.clusters[key]; st != nil && st.ARN == clusterARN {
		return st, nil
	}
	return nil, fmt.Errorf("no cluster %q: put it first", clusterARN)
}
