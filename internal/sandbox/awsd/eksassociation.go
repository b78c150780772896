package awsd

import (
	"cmp"
	"encoding/json"
	"maps"
)

// associationInput is the body of Create and Update. A nil field was not given.
type associationInput struct {
	Namespace          *string
	ServiceAccount     *string
	RoleArn            *string
	TargetRoleArn      *string
	Policy             *string
	DisableSessionTags *bool
	ClientRequestToken *string
	Tags               map[string]string
}

func (c *call) association() (in associationInput, key string, err *apiError) {
	if json.Unmarshal(c.body, &in) != nil {
		return in, "", fail(400, "InvalidRequestException", "The request body is not valid JSON.")
	}
	same := in
	same.ClientRequestToken = nil
	b, _ := json.Marshal(same) // Strings and Booleans: it does not fail.
	return in, c.Operation + " " + c.path["associationId"] + " " + string(b), nil
}

// replayed answers a ClientRequestToken that was used before: the same request gets the
// same association, another request is refused.
func (st *clusterState) replayed(in associationInput, key string) (Association, bool, *apiError) {
	if in.ClientRequestToken == nil {
		return Association{}, false, nil
	}
	used, ok := st.tokens[*in.ClientRequestToken]
	if !ok {
		return Association{}, false, nil
	}
	if used.request != key {
		return Association{}, false, fail(400, "InvalidRequestException", "The clientRequestToken was used before with other parameters.")
	}
	if v := st.associations[used.id]; v != nil {
		if a, ok := v.latest(); ok {
			return a, true, nil
		}
	}
	return Association{}, false, nil
}

func (st *clusterState) remember(c *call, in associationInput, key, id string) {
	if in.ClientRequestToken == nil {
		return
	}
	token := *in.ClientRequestToken
	st.tokens[token] = usedToken{key, id}
	c.undo = append(c.undo, func() { delete(st.tokens, token) })
}

// createPodIdentityAssociation checks, in this order: the parameters, the cluster, the
// client token, the role, the ServiceAccount's other association, the quota.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html
func (s *Server) createPodIdentityAssociation(c *call) (any, *apiError) {
	in, key, err := c.association()
	if err != nil {
		return nil, err
	}
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	a := Association{Cluster: st.ARN, Namespace: value(in.Namespace), ServiceAccount: value(in.ServiceAccount), Tags: maps.Clone(in.Tags)}
	if !dnsLabel.MatchString(a.Namespace) {
		return nil, errParameter("namespace must be a valid Kubernetes namespace name.")
	}
	if !dnsSubdomain.MatchString(a.ServiceAccount) || len(a.ServiceAccount) > 253 {
		return nil, errParameter("serviceAccount must be a valid Kubernetes service account name.")
	}
	if in.RoleArn == nil {
		return nil, errParameter("roleArn must not be empty.")
	}
	if problem := tagProblem(in.Tags); problem != "" {
		return nil, errParameter("%s", problem)
	}
	if old, done, err := st.replayed(in, key); done || err != nil {
		return doc{"association": associationDoc(old)}, err
	}
	if err := s.fill(c, st, &a, in); err != nil {
		return nil, err
	}
	if id := st.bySubject[a.subject()]; id != nil {
		if other, ok := id.latest(); ok {
			return nil, &apiError{status: 409, code: "ResourceInUseException", cluster: c.path["clusterName"],
				message: "Association already exists: " + other}
		}
	}
	if limit := s.accounts[c.Account].AssociationsPerCluster; st.count() >= limit {
		return nil, &apiError{status: 400, code: "ResourceLimitExceededException", cluster: c.path["clusterName"],
			message: "You have reached the limit on the number of Pod Identity associations for this cluster."}
	}
	a = s.complete(a)
	st.insert(c, a)
	st.remember(c, in, key, a.ID)
	return doc{"association": associationDoc(a)}, nil
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// count returns how many associations there are.
func (st *clusterState) count() int {
	n := 0
	for _, id := range st.bySubject {
		if _, ok := id.latest(); ok {
			n++
		}
	}
	return n
}

// insert stores a new association.
func (st *clusterState) insert(c *call, a Association) {
	st.sweep(c.now)
	v := &versioned[Association]{}
	v.put(c.now, a)
	st.associations[a.ID] = v
	id := st.bySubject[a.subject()]
	if id == nil {
		id = &versioned[string]{}
		st.bySubject[a.subject()] = id
	}
	undo := id.put(c.now, a.ID)
	c.undo = append(c.undo, func() {
		delete(st.associations, a.ID)
		undo()
		if len(id.vs) == 0 {
			delete(st.bySubject, a.subject())
		}
	})
}

// fill puts what Create and Update have in common into a, and checks it.
func (s *Server) fill(c *call, st *clusterState, a *Association, in associationInput) *apiError {
	if st.Status != "ACTIVE" {
		return &apiError{status: 400, code: "InvalidRequestException", cluster: c.path["clusterName"],
			message: "Cluster status is not ACTIVE: " + st.Status}
	}
	if in.DisableSessionTags != nil {
		a.DisableSessionTags = *in.DisableSessionTags
	}
	if in.Policy != nil {
		a.Policy = *in.Policy
		if _, err := parsePolicy(a.Policy); err != nil {
			return errParameter("The policy is invalid: %s", err)
		}
	}
	if a.Policy != "" && !a.DisableSessionTags {
		return errParameter("disableSessionTags must be true when a policy is specified.")
	}
	if in.TargetRoleArn != nil {
		if _, _, _, ok := roleName(*in.TargetRoleArn); !ok {
			return errParameter("The target role ARN is invalid: %s", *in.TargetRoleArn)
		}
		a.TargetRoleARN = *in.TargetRoleArn
	}
	if in.RoleArn != nil {
		a.RoleARN = *in.RoleArn
	}
	return s.checkPodRole(c, *a)
}

// checkPodRole refuses a role that EKS could not pass to Pod Identity. The role is judged as
// EKS sees it by now, so a fresh role or trust policy may be refused for a while; conditions
// are not judged, only the principal and the actions.
func (s *Server) checkPodRole(c *call, a Association) *apiError {
	account, _, _, ok := roleName(a.RoleARN)
	if !ok {
		return errParameter("The role ARN is invalid: %s", a.RoleARN)
	}
	if account != c.Account {
		return fail(403, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	role, ok := s.role(a.RoleARN, view[Role](c, s.consistency.Trust))
	if !ok {
		return errParameter("Role provided in the request does not exist")
	}
	invalid := errParameter("Trust policy of the role provided is invalid")
	p, err := s.parse(role.Trust)
	if err != nil {
		return invalid
	}
	needed := []string{"sts:AssumeRole"}
	if !a.DisableSessionTags {
		needed = append(needed, "sts:TagSession")
	}
	for _, action := range needed {
		if !p.trustsService(podIdentityService, action) {
			return invalid
		}
	}
	return nil
}

// trustsService reports whether some Allow statement speaks of the service and the action,
// whatever its conditions.
func (p *policy) trustsService(service, action string) bool {
	for _, st := range p.statements {
		if !st.deny && st.coversAction(action) && st.reaches(caller{service: service}) != reachNone {
			return true
		}
	}
	return false
}

func (s *Server) describePodIdentityAssociation(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	if v := st.associations[c.path["associationId"]]; v != nil {
		if a, ok := view[Association](c, s.consistency.AssociationReads)(v); ok {
			return doc{"association": associationDoc(a)}, nil
		}
	}
	return nil, errNoAssociation(c)
}

func errNoAssociation(c *call) *apiError {
	return &apiError{status: 404, code: "ResourceNotFoundException", cluster: c.path["clusterName"],
		message: "No association found for ID: " + c.path["associationId"] + " in cluster: " + c.path["clusterName"]}
}

func (s *Server) listPodIdentityAssociations(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	namespace, account := c.form.Get("namespace"), c.form.Get("serviceAccount")
	var found []Association
	for _, a := range st.seen(view[Association](c, s.consistency.AssociationReads)) {
		if (namespace == "" || namespace == a.Namespace) && (account == "" || account == a.ServiceAccount) {
			found = append(found, a)
		}
	}
	page, next, err := eksPage(c, found, func(a Association) string { return a.ID }, st.ARN+" "+namespace+" "+account)
	summaries := []doc{}
	for _, a := range page {
		summaries = append(summaries, summaryDoc(a))
	}
	return doc{"associations": summaries, "nextToken": next}, err
}

// updatePodIdentityAssociation changes an association in place. Something must change; the
// cluster, namespace, ServiceAccount and tags cannot, and nothing can be cleared.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdatePodIdentityAssociation.html
func (s *Server) updatePodIdentityAssociation(c *call) (any, *apiError) {
	in, key, err := c.association()
	if err != nil {
		return nil, err
	}
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	if old, done, err := st.replayed(in, key); done || err != nil {
		return doc{"association": associationDoc(old)}, err
	}
	v := st.associations[c.path["associationId"]]
	if v == nil {
		return nil, errNoAssociation(c)
	}
	old, ok := v.latest()
	if !ok {
		return nil, errNoAssociation(c)
	}
	a := old.clone()
	if err := s.fill(c, st, &a, in); err != nil {
		return nil, err
	}
	if a.RoleARN == old.RoleARN && a.TargetRoleARN == old.TargetRoleARN && a.Policy == old.Policy && a.DisableSessionTags == old.DisableSessionTags {
		return nil, fail(400, "InvalidRequestException", "At least one field of the association must change.")
	}
	a.Modified = c.now
	a = s.complete(a)
	c.undo = append(c.undo, v.put(c.now, a))
	st.remember(c, in, key, a.ID)
	return doc{"association": associationDoc(a)}, nil
}

func (s *Server) deletePodIdentityAssociation(c *call) (any, *apiError) {
	st, err := s.namedCluster(c)
	if err != nil {
		return nil, err
	}
	v := st.associations[c.path["associationId"]]
	if v == nil {
		return nil, errNoAssociation(c)
	}
	a, ok := v.latest()
	if !ok {
		return nil, errNoAssociation(c)
	}
	st.sweep(c.now)
	undoEntry, undoSubject := v.remove(c.now), st.bySubject[a.subject()].remove(c.now)
	st.deleted = append(st.deleted, deletion{c.now, a.ID, a.subject()})
	c.undo = append(c.undo, undoEntry, undoSubject, func() { st.deleted = st.deleted[:len(st.deleted)-1] })
	return doc{"association": associationDoc(a)}, nil
}

// summaryDoc has neither role nor tags nor times, as in EKS.
func summaryDoc(a Association) doc {
	key, _ := parseClusterARN(a.Cluster)
	return doc{
		"clusterName": key.name, "namespace": a.Namespace, "serviceAccount": a.ServiceAccount,
		"associationArn": a.ARN(), "associationId": a.ID,
	}.some("ownerArn", a.OwnerARN)
}

func associationDoc(a Association) doc {
	d := summaryDoc(a)
	d["roleArn"], d["disableSessionTags"], d["tags"] = a.RoleARN, a.DisableSessionTags, tagsOf(a.Tags)
	d["createdAt"], d["modifiedAt"] = epoch(a.Created), epoch(cmp.Or(a.Modified, a.Created))
	if a.TargetRoleARN != "" {
		d["targetRoleArn"], d["externalId"] = a.TargetRoleARN, a.ExternalID
	}
	return d.some("policy", a.Policy)
}
