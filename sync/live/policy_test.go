package live_test

import (
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/sync/live"
)

// TestParsePolicy: of a permission policy what may read differently by Pod Identity is
// kept, whole and in the policy's order, and nothing else.
func TestParsePolicy(t *testing.T) {
	t.Parallel()
	const issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
	for _, tt := range []struct {
		name, in string
		want     []live.PolicyStatement
	}{
		{"nothing of interest", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a"}}}]}`, nil},
		{"a chain", `{"Statement":{"Sid":"Chain","Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::210987654321:role/b"}}`,
			[]live.PolicyStatement{{Sid: "Chain", Actions: []string{"sts:AssumeRole"}, Resources: []string{"arn:aws:iam::210987654321:role/b"}}}},
		{"by wildcard, in any case", `{"Statement":[{"Effect":"Allow","Action":["S3:*","STS:assume*"],"Resource":["*"]}]}`,
			[]live.PolicyStatement{{Actions: []string{"S3:*", "STS:assume*"}, Resources: []string{"*"}}}},
		{"a deny of it", `{"Statement":[{"Effect":"Deny","Action":"sts:TagSession","Resource":"*"}]}`, []live.PolicyStatement{{Deny: true, Actions: []string{"sts:TagSession"}, Resources: []string{"*"}}}},
		{"a deny that may not hold", `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}]}`, nil},
		{"all but others", `{"Statement":[{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}]}`, []live.PolicyStatement{{Actions: []string{"!iam:*"}, Resources: []string{"*"}}}},
		{"all but it", `{"Statement":[{"Effect":"Allow","NotAction":["STS:*","eks-auth:*"],"Resource":"*"}]}`, nil},
		{"the agent's", `{"Statement":[{"Effect":"Allow","Action":"eks-auth:AssumeRoleForPodIdentity","NotResource":"x"}]}`,
			[]live.PolicyStatement{{Actions: []string{"eks-auth:AssumeRoleForPodIdentity"}, Resources: []string{"!x"}}}},
		{"the issuer's key", `{"Statement":[{"Effect":"Deny","NotAction":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"` + issuer + `:SUB":["a","b"]},"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"s3:max-keys":10}}}]}`,
			[]live.PolicyStatement{{Deny: true, Actions: []string{"!s3:*"}, Resources: []string{"*"}, Conditions: []live.PolicyCondition{
				{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"true"}},
				{Operator: "NumericLessThan", Key: "s3:max-keys", Values: []string{"10"}},
				{Operator: "StringNotEquals", Key: issuer + ":SUB", Values: []string{"a", "b"}}}}}},
		{"the user ID", `{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:UserId":"AROAEXAMPLE:reader"}}}]}`,
			[]live.PolicyStatement{{Actions: []string{"s3:*"}, Resources: []string{"*"}, Conditions: []live.PolicyCondition{{Operator: "StringLike", Key: "aws:UserId", Values: []string{"AROAEXAMPLE:reader"}}}}}},
		{"as a variable", `{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/x}/${ aws:userid, 'none'}/*"}]}`,
			[]live.PolicyStatement{{Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::b/${aws:PrincipalTag/x}/${ aws:userid, 'none'}/*"}}}},
		{"an open variable", `{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:userid"}]}`, nil},
	} {
		got, err := live.ParsePolicy(tt.in)
		if diff := cmp.Diff(tt.want, got.Statements); err != nil || diff != "" {
			t.Errorf("%s: ParsePolicy(%s): %v (-want +got)\n%s", tt.name, tt.in, err, diff)
		}
	}
	for _, in := range []string{"", "{", "[]", `{"Statement":"x"}`, `{"Statement":[{"Action":7}]}`} {
		if got, err := live.ParsePolicy(in); err == nil {
			t.Errorf("ParsePolicy(%q) = %v; want an error", in, got)
		}
	}
}

// TestGrants: what allows, by name, wildcard and exception; and what denies.
func TestGrants(t *testing.T) {
	t.Parallel()
	const target = "arn:aws:iam::210987654321:role/next"
	allow := func(actions []string, resources ...string) live.PolicyStatement {
		return live.PolicyStatement{Actions: actions, Resources: resources}
	}
	deny := func(c ...live.PolicyCondition) live.PolicyStatement {
		return live.PolicyStatement{Deny: true, Actions: []string{"sts:tag*"}, Resources: []string{"*"}, Conditions: c}
	}
	all := allow([]string{"*"}, "*")
	for name, tt := range map[string]struct {
		policy live.Policy
		want   bool
	}{
		"nothing":                    {live.Policy{}, false},
		"by name":                    {live.Policy{Statements: []live.PolicyStatement{allow([]string{"sts:TagSession"}, target)}}, true},
		"in another case":            {live.Policy{Statements: []live.PolicyStatement{allow([]string{"STS:tagsession"}, target)}}, true},
		"by wildcard":                {live.Policy{Statements: []live.PolicyStatement{allow([]string{"sts:T*"}, "arn:aws:iam::*:role/n?xt")}}, true},
		"of another":                 {live.Policy{Statements: []live.PolicyStatement{allow([]string{"sts:TagSession"}, target+"2")}}, false},
		"another action":             {live.Policy{Statements: []live.PolicyStatement{allow([]string{"sts:AssumeRole"}, target)}}, false},
		"all but others":             {live.Policy{Statements: []live.PolicyStatement{allow([]string{"!iam:*", "!sts:AssumeRole"}, "!arn:aws:s3:::*")}}, true},
		"all but it":                 {live.Policy{Statements: []live.PolicyStatement{allow([]string{"!sts:*"}, "*")}}, false},
		"all resources but it":       {live.Policy{Statements: []live.PolicyStatement{allow([]string{"sts:*"}, "!"+target)}}, false},
		"denied":                     {live.Policy{Statements: []live.PolicyStatement{all, deny()}}, false},
		"denied before":              {live.Policy{Statements: []live.PolicyStatement{deny(), all}}, false},
		"denied at times":            {live.Policy{Statements: []live.PolicyStatement{all, deny(live.PolicyCondition{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}})}}, true},
		"by AWS":                     {live.Policy{Name: "Admin", ARN: "arn:aws-cn:iam::aws:policy/job/Admin"}, true},
		"by AWS, another":            {live.Policy{Name: "ReadOnly", ARN: "arn:aws:iam::aws:policy/ReadOnly"}, false},
		"by somebody in AWS's dress": {live.Policy{Name: "Admin", ARN: "arn:aws:iam::123456789012:policy/:iam::aws:policy/Admin"}, false},
		"inline in AWS's dress":      {live.Policy{Name: "Admin"}, false},
	} {
		if got := live.Grants([]live.Policy{tt.policy}, live.ActionTagSession, target, "Admin"); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

// TestEverywhere: what a policy allows on every resource without a condition is told by
// its actions, and what knows no other resource is not.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"all", `{"Effect":"Allow","Action":"*","Resource":"*"}`, "*"},
		{"a service, twice", `{"Effect":"Allow","Action":["s3:*","secretsmanager:GetSecretValue","s3:*"],"Resource":["arn:aws:s3:::x","*"]}`, "s3:* secretsmanager:GetSecretValue"},
		{"all of a service", `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*/*"}`, "s3:GetObject"},
		{"all but a bucket", `{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::x"}`, "s3:GetObject"},
		{"all but an action", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "!iam:*"},
		{"one bucket", `{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::x","arn:aws:s3:::x/*"]}`, ""},
		{"a kind of one account", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:sqs:eu-west-1:123456789012:a*"}`, ""},
		{"under a condition", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}}`, ""},
		{"a Deny", `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`, ""},
		{"no narrower resource", `{"Effect":"Allow","Action":["ec2:DescribeInstances","s3:ListAllMyBuckets","STS:GetCallerIdentity","ecr:GetAuthorizationToken"],"Resource":"*"}`, ""},
		{"a bare slash", `{"Effect":"Allow","Action":"s3:*","Resource":["/","",":"]}`, ""},
	} {
		got, err := live.ParsePolicy(`{"Statement":[` + tt.in + `]}`)
		if have := strings.Join(got.Everywhere, " "); err != nil || have != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, have, err, tt.want)
		}
	}
}

// TestLike: * and ? anywhere, over slashes too, and no other wildcard.
func TestLike(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "a/b", true}, {"a", "a", true}, {"a", "A", false},
		{"?", "", false}, {"?", "ü", true}, {"a*c", "a/b/c", true}, {"a*c", "a/b/d", false}, {"*b*", "abc", true}, {"*b*", "acd", false},
		{"prod-?", "prod-1", true}, {"prod-?", "prod-10", false}, {"*ab", "aab", true}, {"a*b*c", "abbc", true}, {"[a]", "a", false}, {"[a]", "[a]", true}, {`\*`, "*", false},
	} {
		if got := live.Like(tt.pattern, tt.text); got != tt.want {
			t.Errorf("Like(%q, %q) = %t, want %t", tt.pattern, tt.text, got, tt.want)
		}
	}
	if live.Like(strings.Repeat("*a", 2000)+"b", strings.Repeat("a", 4000)) {
		t.Error("a pattern that ends in b matches a text without one")
	}
	if err := quick.Check(func(a, b string) bool {
		a, b = strings.ToValidUTF8(a, ""), strings.ToValidUTF8(b, "")
		return live.Like("*"+strings.ReplaceAll(strings.ReplaceAll(a, "*", ""), "?", "")+"*", b+strings.ReplaceAll(strings.ReplaceAll(a, "*", ""), "?", "")+b)
	}, nil); err != nil {
		t.Error(err)
	}
}

// TestSelector: label selectors as Kubernetes has them.
func TestSelector(t *testing.T) {
	t.Parallel()
	one := func(operator string, values ...string) live.Selector {
		return live.Selector{Requirements: []live.Requirement{{Key: "app", Operator: operator, Values: values}}}
	}
	for _, tt := range []struct {
		s    live.Selector
		with string // the labels that match it of: none, app=a, app=b
	}{
		{live.Selector{}, "- a b"},
		{live.Selector{Labels: map[string]string{"app": "a"}}, "a"},
		{live.Selector{Labels: map[string]string{"app": ""}}, ""},
		{one("In", "a", "c"), "a"}, {one("NotIn", "a"), "- b"}, {one("Exists"), "a b"}, {one("DoesNotExist"), "-"}, {one("Near", "a"), ""},
		{live.Selector{Labels: map[string]string{"app": "a"}, Requirements: one("NotIn", "a").Requirements}, ""},
	} {
		var got []string
		for _, label := range []string{"-", "a", "b"} {
			labels := map[string]string{"app": label}
			if label == "-" {
				labels = map[string]string{"other": "a"}
			}
			if tt.s.Matches(labels) {
				got = append(got, label)
			}
		}
		if strings.Join(got, " ") != tt.with {
			t.Errorf("%+v matches %v, want %q", tt.s, got, tt.with)
		}
	}
}
