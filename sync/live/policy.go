package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Policy is a permission policy of a role. Of its statements only those are kept that
// may read differently once sessions come from EKS Pod Identity: see [ParsePolicy]. Of
// the others only the actions that they allow on every resource are.
// Those of a policy that AWS manages are not read: AWS publishes them, and they name no
// role, issuer or session of anybody's.
type Policy struct {
	Name       string            `json:"name"`
	ARN        string            `json:"arn,omitempty"`    // of a managed policy; empty for an inline one
	Bounds     bool              `json:"bounds,omitempty"` // it is the role's permissions boundary, and grants nothing
	Statements []PolicyStatement `json:"statements,omitempty"`
	Everywhere []string          `json:"everywhere,omitempty"` // actions that it allows on every resource without a condition, as written, sorted; those that allow all but some begin with !
}

// ByAWS reports whether AWS manages the policy. Who makes one of their own chooses its
// name and path, which may hold ":iam::aws:policy/"; the account before them they do not.
func (p Policy) ByAWS() bool {
	parts := strings.SplitN(p.ARN, ":", 6)
	return len(parts) == 6 && parts[2] == "iam" && parts[4] == "aws"
}

// PolicyStatement is one statement of a permission policy.
type PolicyStatement struct {
	Sid        string            `json:"sid,omitempty"`
	Deny       bool              `json:"deny,omitempty"`
	Actions    []string          `json:"actions"`             // those of NotAction begin with !
	Resources  []string          `json:"resources,omitempty"` // those of NotResource begin with !
	Conditions []PolicyCondition `json:"conditions,omitempty"`
}

// PolicyCondition is one condition of a statement.
type PolicyCondition struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Values   []string `json:"values"`
}

// The calls that permission policies are read for: a role that assumes others, with
// session tags or without, and a node's that lets the Pod Identity agent serve.
const (
	ActionAssumeRole = "sts:AssumeRole"
	ActionTagSession = "sts:TagSession"
	ActionAgent      = "eks-auth:AssumeRoleForPodIdentity"
)

// ParsePolicy reads a permission policy's text and returns, without a name, the
// statements that matter to a migration: those that allow sts:AssumeRole, sts:TagSession
// or eks-auth:AssumeRoleForPodIdentity, or deny them without a condition; and those that
// speak of the web identity, of the user ID or of the session's name, in a condition or
// as a variable. What others allow on every resource is told by their actions alone.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func ParsePolicy(text string) (Policy, error) {
	var document struct {
		Statement oneOrMore[struct {
			Sid, Effect                              string
			Action, NotAction, Resource, NotResource oneOrMore[string]
			Condition                                map[string]map[string]oneOrMore[scalar]
		}]
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	var out Policy
	for _, s := range document.Statement {
		p := PolicyStatement{Sid: s.Sid, Deny: s.Effect == "Deny",
			Actions: append(slices.Clone(s.Action), not(s.NotAction)...), Resources: append(slices.Clone(s.Resource), not(s.NotResource)...)}
		for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
			for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
				c := PolicyCondition{Operator: operator, Key: key}
				for _, value := range s.Condition[operator][key] {
					c.Values = append(c.Values, string(value))
				}
				p.Conditions = append(p.Conditions, c)
			}
		}
		if p.matters() {
			out.Statements = append(out.Statements, p)
		}
		out.Everywhere = append(out.Everywhere, p.everywhere()...)
	}
	slices.Sort(out.Everywhere)
	out.Everywhere = slices.Compact(out.Everywhere)
	return out, nil
}

// everywhere returns the actions that the statement allows on every resource, and that
// could be allowed on some.
func (p PolicyStatement) everywhere() []string {
	if p.Deny || len(p.Conditions) > 0 || !slices.ContainsFunc(p.Resources, everything) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Actions), unbound)
}

// everything reports whether a resource is every resource, or every one of a service:
// "*", "arn:aws:s3:::*". What NotResource leaves is everything but a few.
func everything(resource string) bool {
	if strings.HasPrefix(resource, "!") {
		return true
	}
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 {
		resource = parts[5]
	}
	return resource != "" && strings.Trim(resource, "*/") == "" && strings.Contains(resource, "*")
}

// unbound reports whether an action knows no resource but "*": those that describe and
// list as a rule do not, and these. For others the reference must be asked.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
func unbound(action string) bool {
	service, name, _ := strings.Cut(strings.ToLower(action), ":")
	if strings.HasPrefix(name, "describe") || strings.HasPrefix(name, "list") {
		return true
	}
	return slices.Contains([]string{
		"sts:getcalleridentity", "sts:getsessiontoken", "ecr:getauthorizationtoken", "ecr-public:getauthorizationtoken",
		"cloudwatch:putmetricdata", "cloudwatch:getmetricdata", "cloudwatch:getmetricstatistics",
		"xray:puttracesegments", "xray:puttelemetryrecords", "xray:getsamplingrules", "xray:getsamplingtargets", "xray:getsamplingstatisticsummaries",
		"secretsmanager:getrandompassword", "pricing:getproducts", "route53:gethostedzonecount",
	}, service+":"+name)
}

func not(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = "!" + s
	}
	return out
}

// matters reports whether the statement is one to keep.
func (p PolicyStatement) matters() bool {
	return (!p.Deny || len(p.Conditions) == 0) && (p.Takes(ActionAssumeRole) || p.Takes(ActionTagSession) || p.Takes(ActionAgent)) || len(p.Session()) > 0
}

// Names reports whether an action of the statement is this one, by name or wildcard.
// NotAction names nothing.
func (p PolicyStatement) Names(action string) bool {
	return slices.ContainsFunc(p.Actions, func(pattern string) bool { return Like(strings.ToLower(pattern), strings.ToLower(action)) })
}

// Takes reports whether the statement is about an action: it names it, or its NotAction
// leaves it in.
func (p PolicyStatement) Takes(action string) bool {
	return p.Names(action) || leaves(p.Actions, func(pattern string) bool { return Like(strings.ToLower(pattern), strings.ToLower(action)) })
}

// Covers reports whether the statement is about a resource, by name, wildcard or
// NotResource. One that is named with a policy variable is not covered.
func (p PolicyStatement) Covers(resource string) bool {
	return slices.ContainsFunc(p.Resources, func(pattern string) bool { return Like(pattern, resource) }) ||
		leaves(p.Resources, func(pattern string) bool { return Like(pattern, resource) })
}

// leaves reports whether a list excepts some things, and not this one.
func leaves(list []string, matches func(pattern string) bool) bool {
	excepts := false
	for _, text := range list {
		pattern, is := strings.CutPrefix(text, "!")
		if excepts = excepts || is; is && matches(pattern) {
			return false
		}
	}
	return excepts
}

// Grants reports whether policies allow an action on a resource: a statement does, or one
// of these policies of AWS, and no statement denies it without a condition. Conditions of
// what allows are taken to hold.
func Grants(policies []Policy, action, resource string, byAWS ...string) bool {
	granted := false
	for _, p := range policies {
		granted = granted || p.ByAWS() && slices.Contains(byAWS, p.Name)
		for _, s := range p.Statements {
			switch {
			case !s.Takes(action) || !s.Covers(resource) || s.Deny && len(s.Conditions) > 0:
			case s.Deny:
				return false
			default:
				granted = true
			}
		}
	}
	return granted
}

// Session returns what the statement says of the session's own name or identity, as
// "operator key value" or as the resource with the variable, in the order of the policy.
func (p PolicyStatement) Session() []string {
	var out []string
	for _, c := range p.Conditions {
		if OfSession(c.Key) || slices.ContainsFunc(c.Values, namesSession) {
			out = append(out, c.Operator+" "+c.Key+" "+strings.Join(c.Values, " or "))
		}
	}
	for _, r := range p.Resources {
		if namesSession(r) {
			out = append(out, r)
		}
	}
	return out
}

// namesSession reports whether a text has a policy variable of the session.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func namesSession(text string) bool {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "${")
		if !found {
			return false
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed {
			return false
		}
		if key, _, _ := strings.Cut(name, ","); OfSession(strings.TrimSpace(key)) {
			return true
		}
		rest = more
	}
}

// OfSession reports whether a condition key's value differs between a session of IRSA
// and one of Pod Identity for the same pod. Keys are case-insensitive.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// and https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
func OfSession(key string) bool {
	switch key := strings.ToLower(key); key {
	case "aws:userid", "aws:federatedprovider", "sts:rolesessionname":
		return true
	default:
		return OfWebIdentity(key)
	}
}

// OfWebIdentity reports whether a condition key is one that only a web identity's
// session has: an issuer's host and path, then :sub, :aud or :amr.
func OfWebIdentity(key string) bool {
	at := strings.LastIndexByte(key, ':')
	if at < 0 || !strings.Contains(key[:at], ".") {
		return false
	}
	switch strings.ToLower(key[at+1:]) {
	case "sub", "aud", "amr", "oaud", "azp":
		return true
	}
	return false
}

// Like matches a text against a pattern in which * is any run of characters and ? any
// one, in any position and with no other wildcards: those of IAM's policies and of
// Fargate profiles. It takes time proportional to the product of the lengths at most.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
// and https://docs.aws.amazon.com/eks/latest/userguide/fargate-profile.html
func Like(pattern, text string) bool {
	if utf8.RuneCountInString(pattern)-strings.Count(pattern, "*") > utf8.RuneCountInString(text) {
		return false // whoever wrote the pattern may have written a megabyte
	}
	p, t := []rune(pattern), []rune(text)
	star, back := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0: // let the last star take one more
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// oneOrMore reads what JSON may write as one value or as a list.
type oneOrMore[T any] []T

// UnmarshalJSON reads either form.
func (o *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(o))
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*o = []T{one}
	return nil
}

// scalar is a condition's value: a text, a number or a Boolean, kept as its text.
type scalar string

// UnmarshalJSON reads any of them.
func (s *scalar) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	*s = scalar(b)
	return nil
}
