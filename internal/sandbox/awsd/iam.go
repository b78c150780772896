package awsd

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

func (s *Server) queryOperations() map[string]map[string]operation {
	return map[string]map[string]operation{
		"iam": {
			"GetRole":                        s.getRole,
			"ListRoles":                      s.listRoles,
			"GetAccountAuthorizationDetails": s.getAccountAuthorizationDetails,
			"UpdateAssumeRolePolicy":         s.updateAssumeRolePolicy,
			"GetAccountSummary":              s.getAccountSummary,
			"ListOpenIDConnectProviders":     s.listOpenIDConnectProviders,
			"GetOpenIDConnectProvider":       s.getOpenIDConnectProvider,
			"ListRolePolicies":               s.listRolePolicies,
			"GetRolePolicy":                  s.getRolePolicy,
			"ListAttachedRolePolicies":       s.listAttachedRolePolicies,
			"GetPolicy":                      s.getPolicy,
			"GetPolicyVersion":               s.getPolicyVersion,
			"ListRoleTags":                   s.listRoleTags,
			"SimulatePrincipalPolicy":        s.simulatePrincipalPolicy,
		},
		"sts": {
			"GetCallerIdentity":         s.getCallerIdentity,
			"AssumeRole":                s.assumeRole,
			"AssumeRoleWithWebIdentity": s.assumeRoleWithWebIdentity,
		},
	}
}

// namedRole returns the role that the request names, in the caller's account, as IAM's
// readers see it.
func (s *Server) namedRole(c *call) (Role, *apiError) {
	name, err := c.roleName()
	if err != nil {
		return Role{}, err
	}
	if v := s.accounts[c.Account].roles[name]; v != nil {
		if r, ok := c.roleView(s.consistency.RoleReads)(v); ok {
			return r, nil
		}
	}
	return Role{}, errNoSuchEntity("The role with name %s cannot be found.", name)
}

// roleName returns the request's RoleName after IAM's rules for names. An ARN is no name.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
func (c *call) roleName() (string, *apiError) {
	name := c.form.Get("RoleName")
	if name == "" || len(name) > 64 {
		return "", errValidation("1 validation error detected: Value at 'roleName' failed to satisfy constraint: Member must have length between 1 and 64")
	}
	if !iamName.MatchString(name) {
		return "", errValidation("The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
	}
	return name, nil
}

// visibleRoles returns the caller's roles as IAM's readers see them, sorted by name.
func (s *Server) visibleRoles(c *call) []Role {
	roles := s.accounts[c.Account].roles
	see := c.roleView(s.consistency.RoleReads)
	var out []Role
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if r, ok := see(roles[name]); ok {
			out = append(out, r)
		}
	}
	return out
}

func (s *Server) getRole(c *call) (any, *apiError) {
	r, err := s.namedRole(c)
	if err != nil {
		return nil, err
	}
	e := roleElem(r)
	if len(r.Tags) > 0 {
		e.kids = append(e.kids, tagMembers(r.Tags))
	}
	e.kids = append(e.kids, boundary(r)...)
	e.kids = append(e.kids, lastUsed(r))
	return []elem{e}, nil
}

// listRoles leaves out tags, the boundary and RoleLastUsed, as IAM does.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html
func (s *Server) listRoles(c *call) (any, *apiError) {
	prefix := cmp.Or(c.form.Get("PathPrefix"), "/")
	if !strings.HasPrefix(prefix, "/") {
		return nil, errValidation("The specified value for pathPrefix is invalid. It must begin with / and contain only alphanumeric characters and/or / characters.")
	}
	roles := slices.DeleteFunc(s.visibleRoles(c), func(r Role) bool {
		_, path, _, _ := roleName(r.ARN)
		return !strings.HasPrefix(path, prefix)
	})
	page, rest, err := iamPage(c, roles, nameOf, prefix)
	if err != nil {
		return nil, err
	}
	return append([]elem{members("Roles", page, roleElem)}, rest...), nil
}

func nameOf(r Role) string {
	_, _, name, _ := roleName(r.ARN)
	return name
}

// roleElem holds what GetRole and ListRoles have in common.
func roleElem(r Role) elem {
	_, path, name, _ := roleName(r.ARN)
	e := el("Role", text("Path", path), text("RoleName", name), text("RoleId", r.ID), text("Arn", r.ARN),
		stamp("CreateDate", r.Created), text("AssumeRolePolicyDocument", escape(r.Trust)))
	e.kids = append(e.kids, optional("Description", r.Description)...)
	e.kids = append(e.kids, number("MaxSessionDuration", int(r.MaxSessionDuration.Seconds())))
	if r.SourceRoleTemplate != "" {
		e.kids = append(e.kids, el("SourceRoleTemplate", text("TemplateArn", r.SourceRoleTemplate), text("TemplateMinorVersion", "1")))
	}
	return e
}

func boundary(r Role) []elem {
	if r.Boundary == "" {
		return nil
	}
	return []elem{el("PermissionsBoundary", text("PermissionsBoundaryType", "PermissionsBoundaryPolicy"), text("PermissionsBoundaryArn", r.Boundary))}
}

func lastUsed(r Role) elem {
	if r.LastUsed.IsZero() {
		return el("RoleLastUsed")
	}
	return el("RoleLastUsed", stamp("LastUsedDate", r.LastUsed), text("Region", r.LastUsedRegion))
}

// getAccountAuthorizationDetails answers for roles and customer-managed policies; users
// and groups are always empty, for this AWS has none.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
func (s *Server) getAccountAuthorizationDetails(c *call) (any, *apiError) {
	var filter []string
	for i := 1; c.form.Has(list("Filter", i)); i++ {
		f := c.form.Get(list("Filter", i))
		if !slices.Contains([]string{"User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"}, f) {
			return nil, errValidation("1 validation error detected: Value '%s' at 'filter' failed to satisfy constraint: Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]", f)
		}
		filter = append(filter, f)
	}
	wants := func(kind string) bool { return len(filter) == 0 || slices.Contains(filter, kind) }

	type detail struct {
		key    string
		role   *Role
		policy *Policy
	}
	var all []detail
	for _, arn := range slices.Sorted(maps.Keys(s.policies)) {
		p := s.policies[arn]
		a, _ := parseARN(arn)
		if a.account == c.Account && wants("LocalManagedPolicy") || a.account == "aws" && wants("AWSManagedPolicy") {
			all = append(all, detail{key: "policy " + arn, policy: &p})
		}
	}
	if wants("Role") {
		for _, r := range s.visibleRoles(c) {
			all = append(all, detail{key: "role " + nameOf(r), role: &r})
		}
	}
	page, rest, err := iamPage(c, all, func(d detail) string { return d.key }, strings.Join(filter, ","))
	if err != nil {
		return nil, err
	}
	roles, policies := el("RoleDetailList"), el("Policies")
	for _, d := range page {
		if d.role != nil {
			roles.kids = append(roles.kids, s.roleDetail(*d.role))
		} else {
			policies.kids = append(policies.kids, s.policyDetail(*d.policy))
		}
	}
	return append([]elem{el("UserDetailList"), el("GroupDetailList"), roles, policies}, rest...), nil
}

// roleDetail has no Description and no MaxSessionDuration, as in IAM.
func (s *Server) roleDetail(r Role) elem {
	_, path, name, _ := roleName(r.ARN)
	inline := members("RolePolicyList", slices.Sorted(maps.Keys(r.Inline)), func(n string) elem {
		return el("", text("PolicyName", n), text("PolicyDocument", escape(r.Inline[n])))
	})
	e := el("member", text("Path", path), text("RoleName", name), text("RoleId", r.ID), text("Arn", r.ARN),
		stamp("CreateDate", r.Created), text("AssumeRolePolicyDocument", escape(r.Trust)), el("InstanceProfileList"),
		inline, attachedElem("AttachedManagedPolicies", r.Attached))
	e.kids = append(e.kids, boundary(r)...)
	return el("member", append(e.kids, tagMembers(r.Tags), lastUsed(r))...)
}

func (s *Server) policyDetail(p Policy) elem {
	e := s.policyElem(p)
	e.name = "member"
	e.kids = append(e.kids, members("PolicyVersionList", []Policy{p}, versionElem))
	return e
}

func attachedElem(name string, arns []string) elem {
	return members(name, slices.Sorted(slices.Values(arns)), func(a string) elem {
		return el("", text("PolicyName", a[strings.LastIndexByte(a, '/')+1:]), text("PolicyArn", a))
	})
}

// updateAssumeRolePolicy replaces a role's trust policy. There is no version to compare
// with: the last writer wins.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAssumeRolePolicy.html
func (s *Server) updateAssumeRolePolicy(c *call) (any, *apiError) {
	name, err := c.roleName()
	if err != nil {
		return nil, err
	}
	doc := c.form.Get("PolicyDocument")
	if n := utf8.RuneCountInString(doc); n == 0 || n > 131072 {
		return nil, errValidation("1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must have length between 1 and 131072")
	}
	if !latin1(doc) {
		return nil, errValidation("The specified value for policyDocument is invalid. It must contain only printable ASCII characters.")
	}
	st := s.accounts[c.Account]
	v := st.roles[name]
	if v == nil {
		return nil, errNoSuchEntity("The role with name %s cannot be found.", name)
	}
	r, _ := v.latest()
	if _, path, _, _ := roleName(r.ARN); strings.HasPrefix(path, "/aws-service-role/") {
		return nil, fail(400, "UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", name)
	}
	if err := validateTrust(doc, s.roleMayExist); err != nil {
		return nil, fail(400, "MalformedPolicyDocument", "%s", err)
	}
	if utf8.RuneCountInString(doc) > st.AssumeRolePolicySizeQuota {
		return nil, fail(409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: %d", st.AssumeRolePolicySizeQuota)
	}
	r = r.clone()
	r.Trust = doc
	c.undo = append(c.undo, v.put(c.now, r))
	return nil, nil
}

// roleMayExist reports false for a role that is known not to exist.
func (s *Server) roleMayExist(roleARN string) bool {
	account, _, _, _ := roleName(roleARN)
	if s.accounts[account] == nil {
		return true
	}
	_, ok := s.role(roleARN, (*versioned[Role]).latest)
	return ok
}
