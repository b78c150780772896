package awsd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// PutAddon adds or replaces an add-on.
func (s *Server) PutAddon(a Addon) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(a.Cluster)
	if err != nil {
		return fmt.Errorf("put add-on %q: %w", a.Name, err)
	}
	a = a.clone()
	a.Status = cmp.Or(a.Status, "ACTIVE")
	if a.Created.IsZero() {
		a.Created = s.clock.Now()
	}
	if a.Modified.IsZero() {
		a.Modified = a.Created
	}
	st.addons[a.Name] = a
	return nil
}

// DeleteAddon removes an add-on, and reports whether it was there.
func (s *Server) DeleteAddon(clusterARN, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(clusterARN)
	if err != nil {
		return false
	}
	_, ok := st.addons[name]
	delete(st.addons, name)
	return ok
}

// PutAddonConfiguration adds or replaces what EKS knows about a version of an add-on.
func (s *Server) PutAddonConfiguration(c AddonConfiguration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ServiceAccounts = slices.Clone(c.ServiceAccounts)
	s.addonConfigurations[c.Name+"@"+c.Version] = c
}

// PutNodeGroup adds or replaces a managed node group.
func (s *Server) PutNodeGroup(g NodeGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(g.Cluster)
	if err != nil {
		return fmt.Errorf("put node group %q: %w", g.Name, err)
	}
	g.Status = cmp.Or(g.Status, "ACTIVE")
	if g.Created.IsZero() {
		g.Created = s.clock.Now()
	}
	st.groups[g.Name] = g
	return nil
}

// PutFargateProfile adds or replaces a Fargate profile.
func (s *Server) PutFargateProfile(f FargateProfile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(f.Cluster)
	if err != nil {
		return fmt.Errorf("put Fargate profile %q: %w", f.Name, err)
	}
	if len(f.Selectors) > 5 {
		return fmt.Errorf("put Fargate profile %q: at most 5 selectors", f.Name)
	}
	f = f.clone()
	f.Status = cmp.Or(f.Status, "ACTIVE")
	if f.Created.IsZero() {
		f.Created = s.clock.Now()
	}
	st.profiles[f.Name] = f
	return nil
}

// DeleteFargateProfile removes a Fargate profile, and reports whether it was there.
func (s *Server) DeleteFargateProfile(clusterARN, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(clusterARN)
	if err != nil {
		return false
	}
	_, ok := st.profiles[name]
	delete(st.profiles, name)
	return ok
}

// PutAssociation adds an association, or replaces the one of the same ServiceAccount,
// and returns it with what EKS fills in. Everyone sees it at once.
func (s *Server) PutAssociation(a Association) (Association, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(a.Cluster)
	if err != nil {
		return Association{}, fmt.Errorf("put association of %s/%s: %w", a.Namespace, a.ServiceAccount, err)
	}
	if a.ID != "" && !associationID.MatchString(a.ID) {
		return Association{}, fmt.Errorf("put association %q: an id is a- and 17 lower-case letters or digits", a.ID)
	}
	if id := st.bySubject[a.subject()]; id != nil {
		if old, ok := id.latest(); ok {
			a.ID = cmp.Or(a.ID, old)
			delete(st.associations, old)
		}
	}
	a = s.complete(a.clone())
	st.associations[a.ID] = always(a)
	st.bySubject[a.subject()] = always(a.ID)
	return a.clone(), nil
}

// complete fills in what EKS fills in.
func (s *Server) complete(a Association) Association {
	if a.ID == "" {
		s.made++
		a.ID = "a-" + made(fmt.Sprintf("%s %d", a.Cluster, s.made), 17)
	}
	if a.Created.IsZero() {
		a.Created = s.clock.Now()
	}
	if a.Modified.IsZero() {
		a.Modified = a.Created
	}
	if key, _ := parseClusterARN(a.Cluster); a.TargetRoleARN != "" && a.ExternalID == "" {
		a.ExternalID = strings.Join([]string{key.region, key.account, key.name, a.Namespace, a.ServiceAccount}, "/")
	}
	return a
}

// Association returns the association of a ServiceAccount as it truly is, whatever
// readers see of it yet.
func (s *Server) Association(clusterARN, namespace, serviceAccount string) (Association, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.associationAt(clusterARN, subject{namespace, serviceAccount}, 0)
}

// AssociationVisible returns the role of a ServiceAccount's association, if the
// cluster's webhook knows of it by now: what decides how a pod is admitted.
func (s *Server) AssociationVisible(clusterARN, namespace, serviceAccount string) (roleARN string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.associationAt(clusterARN, subject{namespace, serviceAccount}, s.consistency.AssociationAdmission)
	return a.RoleARN, ok
}

// AssociationVisibleBefore reports whether the cluster's webhook, being late by so much more,
// knows of a ServiceAccount's association by now. More than an hour is not remembered.
func (s *Server) AssociationVisibleBefore(clusterARN, namespace, serviceAccount string, late time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.associationAt(clusterARN, subject{namespace, serviceAccount}, s.consistency.AssociationAdmission+late)
	return ok
}

// associationAt returns the association as a reader sees it who is late by delay.
func (s *Server) associationAt(clusterARN string, of subject, delay time.Duration) (Association, bool) {
	st, err := s.mustCluster(clusterARN)
	if err != nil || st.bySubject[of] == nil {
		return Association{}, false
	}
	t := s.clock.Now().Add(-delay)
	id, ok := st.bySubject[of].asOf(t)
	if !ok || st.associations[id] == nil {
		return Association{}, false
	}
	a, ok := st.associations[id].asOf(t)
	return a.clone(), ok
}

// Associations returns a cluster's associations, sorted by namespace and ServiceAccount.
func (s *Server) Associations(clusterARN string) []Association {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(clusterARN)
	if err != nil {
		return nil
	}
	out := st.seen((*versioned[Association]).latest)
	slices.SortFunc(out, func(a, b Association) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ServiceAccount, b.ServiceAccount))
	})
	for i := range out {
		out[i] = out[i].clone()
	}
	return out
}

// DeleteAssociation removes a ServiceAccount's association at once, for everyone, and
// reports whether it was there.
func (s *Server) DeleteAssociation(clusterARN, namespace, serviceAccount string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.mustCluster(clusterARN)
	of := subject{namespace, serviceAccount}
	if err != nil || st.bySubject[of] == nil {
		return false
	}
	id, ok := st.bySubject[of].latest()
	if ok {
		delete(st.associations, id)
		delete(st.bySubject, of)
	}
	return ok
}

// seen returns the associations through the view given, sorted by ID.
func (st *clusterState) seen(view func(*versioned[Association]) (Association, bool)) []Association {
	out := make([]Association, 0, len(st.associations))
	for _, id := range slices.Sorted(maps.Keys(st.associations)) {
		if a, ok := view(st.associations[id]); ok {
			out = append(out, a)
		}
	}
	return out
}

// sweep forgets associations deleted so long ago that no view shows them.
func (st *clusterState) sweep(now time.Time) {
	for len(st.deleted) > 0 && st.deleted[0].at.Before(now.Add(-history)) {
		d := st.deleted[0]
		st.deleted = st.deleted[1:]
		if v := st.associations[d.id]; v != nil {
			if _, there := v.latest(); !there {
				delete(st.associations, d.id)
			}
		}
		if v := st.bySubject[d.of]; v != nil {
			if _, there := v.latest(); !there {
				delete(st.bySubject, d.of)
			}
		}
	}
}
