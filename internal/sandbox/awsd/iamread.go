package awsd

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// list names the nth member of a Query-protocol list.
func list(name string, n int) string { return name + ".member." + strconv.Itoa(n) }

// getAccountSummary answers the counts and quotas that this AWS has.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html
func (s *Server) getAccountSummary(c *call) (any, *apiError) {
	st := s.accounts[c.Account]
	summary := map[string]int{
		"AssumeRolePolicySizeQuota":         st.AssumeRolePolicySizeQuota,
		"Roles":                             len(s.visibleRoles(c)),
		"RolesQuota":                        5000,
		"Providers":                         len(st.providers),
		"RolePolicySizeQuota":               10240,
		"PolicySizeQuota":                   6144,
		"AttachedPoliciesPerRoleQuota":      20,
		"PolicyVersionsInUseQuota":          10000,
		"VersionsPerPolicyQuota":            5,
		"GlobalEndpointTokenVersion":        1,
		"AccountMFAEnabled":                 1,
		"AccountAccessKeysPresent":          0,
		"AccountSigningCertificatesPresent": 0,
	}
	m := el("SummaryMap")
	for _, k := range slices.Sorted(maps.Keys(summary)) {
		m.kids = append(m.kids, el("entry", text("key", k), number("value", summary[k])))
	}
	return []elem{m}, nil
}

// listOpenIDConnectProviders answers ARNs only, all at once.
func (s *Server) listOpenIDConnectProviders(c *call) (any, *apiError) {
	providers := s.accounts[c.Account].providers
	return []elem{members("OpenIDConnectProviderList", slices.Sorted(maps.Keys(providers)), func(url string) elem {
		return el("", text("Arn", providers[url].ARN))
	})}, nil
}

func (s *Server) getOpenIDConnectProvider(c *call) (any, *apiError) {
	providerARN := c.form.Get("OpenIDConnectProviderArn")
	a, ok := parseARN(providerARN)
	if !ok || !strings.HasPrefix(a.resource, "oidc-provider/") {
		return nil, fail(400, "InvalidInput", "Invalid ARN: %s", providerARN)
	}
	p, ok := s.provider(providerARN)
	if !ok || a.account != c.Account {
		return nil, errNoSuchEntity("OpenIDConnect Provider not found for arn %s", providerARN)
	}
	same := func(s string) elem { return text("", s) }
	return []elem{
		text("Url", p.URL()), members("ClientIDList", p.ClientIDs, same), members("ThumbprintList", p.Thumbprints, same),
		stamp("CreateDate", p.Created), tagMembers(p.Tags),
	}, nil
}

func (s *Server) listRolePolicies(c *call) (any, *apiError) {
	r, err := s.namedRole(c)
	if err != nil {
		return nil, err
	}
	page, rest, err := iamPage(c, slices.Sorted(maps.Keys(r.Inline)), self, r.ARN)
	if err != nil {
		return nil, err
	}
	return append([]elem{members("PolicyNames", page, func(n string) elem { return text("", n) })}, rest...), nil
}

func self(s string) string { return s }

func (s *Server) getRolePolicy(c *call) (any, *apiError) {
	r, err := s.namedRole(c)
	if err != nil {
		return nil, err
	}
	name := c.form.Get("PolicyName")
	doc, ok := r.Inline[name]
	if !ok {
		return nil, errNoSuchEntity("The role policy with name %s cannot be found.", name)
	}
	return []elem{text("RoleName", nameOf(r)), text("PolicyName", name), text("PolicyDocument", escape(doc))}, nil
}

func (s *Server) listAttachedRolePolicies(c *call) (any, *apiError) {
	r, err := s.namedRole(c)
	if err != nil {
		return nil, err
	}
	page, rest, err := iamPage(c, slices.Sorted(slices.Values(r.Attached)), self, r.ARN)
	if err != nil {
		return nil, err
	}
	return append([]elem{attachedElem("AttachedPolicies", page)}, rest...), nil
}

func (s *Server) listRoleTags(c *call) (any, *apiError) {
	r, err := s.namedRole(c)
	if err != nil {
		return nil, err
	}
	page, rest, err := iamPage(c, slices.Sorted(maps.Keys(r.Tags)), self, r.ARN)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, k := range page {
		tags[k] = r.Tags[k]
	}
	return append([]elem{tagMembers(tags)}, rest...), nil
}

// namedPolicy returns the managed policy that the request names: the account's own, or
// one of AWS.
func (s *Server) namedPolicy(c *call) (Policy, *apiError) {
	policyARN := c.form.Get("PolicyArn")
	a, ok := parseARN(policyARN)
	if !ok || a.service != "iam" || !strings.HasPrefix(a.resource, "policy/") {
		return Policy{}, fail(400, "InvalidInput", "ARN %s is not valid.", policyARN)
	}
	p, ok := s.policies[policyARN]
	if !ok || a.account != c.Account && a.account != "aws" {
		return Policy{}, errNoSuchEntity("Policy %s was not found.", policyARN)
	}
	return p, nil
}

func (s *Server) getPolicy(c *call) (any, *apiError) {
	p, err := s.namedPolicy(c)
	if err != nil {
		return nil, err
	}
	return []elem{s.policyElem(p)}, nil
}

func (s *Server) getPolicyVersion(c *call) (any, *apiError) {
	p, err := s.namedPolicy(c)
	if err != nil {
		return nil, err
	}
	if v := c.form.Get("VersionId"); v != p.Version {
		return nil, errNoSuchEntity("Policy %s version %s does not exist or is not attachable.", p.ARN, v)
	}
	e := versionElem(p)
	e.name = "PolicyVersion"
	return []elem{e}, nil
}

func (s *Server) policyElem(p Policy) elem {
	a, _ := parseARN(p.ARN)
	rest := strings.TrimPrefix(a.resource, "policy/")
	i := strings.LastIndexByte(rest, '/') + 1
	attached := 0
	for _, st := range s.accounts {
		for _, v := range st.roles {
			if r, ok := v.latest(); ok && slices.Contains(r.Attached, p.ARN) {
				attached++
			}
		}
	}
	return el("Policy", text("PolicyName", rest[i:]), text("PolicyId", "ANPA"+strings.ToUpper(made(p.ARN, 17))),
		text("Arn", p.ARN), text("Path", "/"+rest[:i]), text("DefaultVersionId", p.Version),
		number("AttachmentCount", attached), text("IsAttachable", "true"),
		stamp("CreateDate", p.Created), stamp("UpdateDate", p.Created))
}

func versionElem(p Policy) elem {
	return el("", text("Document", escape(p.Document)), text("VersionId", p.Version),
		text("IsDefaultVersion", "true"), stamp("CreateDate", p.Created))
}
