package awsd

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// simulatePrincipalPolicy says what the policies of a user or role of the caller's account
// would answer, and does nothing. Of users there is only the account's administrator, whom
// nothing is denied; there are no groups and no service control policies. Policies that
// come with the request are not taken.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (s *Server) simulatePrincipalPolicy(c *call) (any, *apiError) {
	actions := c.members("ActionNames")
	resources := c.members("ResourceArns")
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	if len(actions) == 0 {
		return nil, errValidation("1 validation error detected: Value at 'actionNames' failed to satisfy constraint: Member must not be null")
	}
	for _, a := range actions {
		if service, name, ok := strings.Cut(a, ":"); !ok || service == "" || name == "" {
			return nil, fail(400, "InvalidInput", "Invalid Action Name: %s", a)
		}
	}
	for _, r := range resources {
		if _, ok := parseARN(r); !ok && r != "*" {
			return nil, fail(400, "InvalidInput", "Invalid Resource: %s", r)
		}
	}
	for _, not := range []string{"PolicyInputList", "PermissionsBoundaryPolicyInputList", "PolicyExclusionList"} {
		if len(c.members(not)) > 0 {
			return nil, fail(400, "InvalidInput", "this double takes no %s", not)
		}
	}
	p, err := s.simulated(c)
	if err != nil {
		return nil, err
	}
	p.context = c.contextEntries()
	page, rest, err := iamPage(c, slices.Sorted(slices.Values(actions)), self, p.arn)
	if err != nil {
		return nil, err
	}
	return append([]elem{members("EvaluationResults", page, func(action string) elem { return p.evaluate(action, resources) })}, rest...), nil
}

// members returns a list of the form, in order.
func (c *call) members(name string) []string {
	var out []string
	for n := 1; c.form.Has(list(name, n)); n++ {
		out = append(out, c.form.Get(list(name, n)))
	}
	return out
}

// contextEntries are the condition keys that the request has, in lower case.
func (c *call) contextEntries() map[string][]string {
	out := map[string][]string{}
	for n := 1; c.form.Has(list("ContextEntries", n) + ".ContextKeyName"); n++ {
		at := list("ContextEntries", n)
		out[strings.ToLower(c.form.Get(at+".ContextKeyName"))] = c.members(at + ".ContextKeyValues")
	}
	return out
}

// source is whose policies are simulated.
type source struct {
	arn      string
	admin    bool
	policies []*policy
	boundary *policy // nil: none
	context  map[string][]string
}

func (s *Server) simulated(c *call) (source, *apiError) {
	sourceARN := c.form.Get("PolicySourceArn")
	a, ok := parseARN(sourceARN)
	kind, _, _ := strings.Cut(a.resource, "/")
	if !ok || a.service != "iam" || !slices.Contains([]string{"user", "group", "role"}, kind) {
		return source{}, fail(400, "InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", sourceARN)
	}
	p := source{arn: sourceARN}
	if a.account == c.Account && a.resource == "user/sandbox" {
		p.admin = true
		return p, nil
	}
	role, found := s.role(sourceARN, (*versioned[Role]).latest)
	if !found || a.account != c.Account {
		return source{}, errNoSuchEntity("The entity with arn %s cannot be found.", sourceARN)
	}
	docs := slices.Collect(maps.Values(role.Inline))
	for _, attached := range role.Attached {
		docs = append(docs, s.policies[attached].Document)
	}
	for _, doc := range docs {
		if parsed, err := s.parse(doc); err == nil { // IAM would not hold any other; it grants nothing
			p.policies = append(p.policies, parsed)
		}
	}
	if role.Boundary != "" {
		p.boundary = &policy{} // one that is gone allows nothing
		if parsed, err := s.parse(s.policies[role.Boundary].Document); err == nil {
			p.boundary = parsed
		}
	}
	return p, nil
}

// decides returns the decision on one resource: "allowed", "explicitDeny" or
// "implicitDeny".
func (p source) decides(action, resource string) (decided string, within bool) {
	if p.admin {
		return "allowed", true
	}
	r := request{action: action, resource: resource, context: p.context}
	allowed, denied, within := false, false, true
	if p.boundary != nil {
		d := p.boundary.decide(r)
		denied, within = d.denied, d.allowed
	}
	for _, doc := range p.policies {
		d := doc.decide(r)
		denied, allowed = denied || d.denied, allowed || d.allowed
	}
	switch {
	case denied:
		return "explicitDeny", within
	case allowed && within:
		return "allowed", within
	}
	return "implicitDeny", within
}

// evaluate is the result for one action: the most restrictive decision of all resources,
// and that of each.
func (p source) evaluate(action string, resources []string) elem {
	worst := "allowed"
	each := members("ResourceSpecificResults", resources, func(resource string) elem {
		decided, within := p.decides(action, resource)
		if worst == "allowed" || decided == "explicitDeny" {
			worst = decided
		}
		e := el("", text("EvalResourceName", resource), text("EvalResourceDecision", decided), el("MatchedStatements"), el("MissingContextValues"))
		if p.boundary != nil {
			e.kids = append(e.kids, el("PermissionsBoundaryDecisionDetail", text("AllowedByPermissionsBoundary", strconv.FormatBool(within))))
		}
		return e
	})
	return el("", text("EvalActionName", action), text("EvalResourceName", "*"), text("EvalDecision", worst),
		el("MatchedStatements"), el("MissingContextValues"), each)
}
