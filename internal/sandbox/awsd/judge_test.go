package awsd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	testProvider = "arn:aws:iam::123456789012:oidc-provider/oidc.example/id/A"
	testRole     = "arn:aws:iam::123456789012:role/app"
)

var (
	podCaller  = caller{service: "pods.eks.amazonaws.com"}
	webCaller  = caller{provider: testProvider}
	roleCaller = caller{account: "123456789012", arn: testRole, session: "arn:aws:sts::123456789012:assumed-role/app/s"}
)

func webContext(sub string, more ...string) map[string][]string {
	return contextFrom(append([]string{"oidc.example/id/a:sub", sub, "oidc.example/id/a:aud", "sts.amazonaws.com"}, more...)...)
}

func contextFrom(pairs ...string) map[string][]string {
	ctx := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		ctx[pairs[i]] = append(ctx[pairs[i]], pairs[i+1])
	}
	return ctx
}

// one returns a document of one Allow statement with these further elements.
func one(elements string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + elements + `}}`
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		pods   = `"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]`
		web    = `"Principal":{"Federated":"` + testProvider + `"},"Action":"sts:AssumeRoleWithWebIdentity"`
		assume = "sts:AssumeRole"
		asWeb  = "sts:AssumeRoleWithWebIdentity"
	)
	sub := func(op, value string) string {
		return one(web + fmt.Sprintf(`,"Condition":{%q:{"oidc.example/id/A:sub":%s}}`, op, value))
	}
	pod := func(condition string) string { return one(pods + `,"Condition":{` + condition + `}`) }
	x := webContext("system:serviceaccount:demo:x")
	tags := contextFrom("aws:requesttag/kubernetes-namespace", "demo", "aws:tagkeys", "kubernetes-namespace", "aws:tagkeys", "eks-cluster-name",
		"aws:sourceaccount", "123456789012", "aws:sourcearn", "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab", "aws:sourceorgid", "o-1", "aws:resourceorgid", "o-1",
		"aws:currenttime", "2026-11-23T09:00:00Z", "aws:epochtime", "1795424400", "aws:securetransport", "true", "aws:sourceip", "127.0.0.1")
	tests := []struct {
		name   string
		doc    string
		caller caller
		action string
		ctx    map[string][]string
		want   bool
	}{
		{"service", one(pods), podCaller, assume, nil, true},
		{"service, second action", one(pods), podCaller, "sts:TagSession", nil, true},
		{"service, other action", one(pods), podCaller, "sts:SetSourceIdentity", nil, false},
		{"another service", one(pods), caller{service: "ec2.amazonaws.com"}, assume, nil, false},
		{"web identity is no service", one(pods), webCaller, assume, nil, false},
		{"federated", one(web), webCaller, asWeb, x, true},
		{"another provider", one(web), caller{provider: testProvider + "B"}, asWeb, x, false},
		{"federated list", one(strings.Replace(web, `"`+testProvider+`"`, `["arn:aws:iam::123456789012:oidc-provider/b","`+testProvider+`"]`, 1)), webCaller, asWeb, x, true},
		{"role by ARN", one(`"Principal":{"AWS":"` + testRole + `"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, true},
		{"session by ARN", one(`"Principal":{"AWS":"arn:aws:sts::123456789012:assumed-role/app/s"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, true},
		{"another session", one(`"Principal":{"AWS":"arn:aws:sts::123456789012:assumed-role/app/t"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, false},
		{"account by root", one(`"Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, true},
		{"account by id", one(`"Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, true},
		{"another account", one(`"Principal":{"AWS":"210987654321"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, false},
		{"account is not the service", one(`"Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`), podCaller, assume, nil, false},
		{"deleted principal", one(`"Principal":{"AWS":"AROAEXAMPLEDELETEDROLE"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, false},
		{"everyone", one(`"Principal":"*","Action":"sts:AssumeRole"`), podCaller, assume, nil, true},
		{"every AWS principal", one(`"Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), roleCaller, assume, nil, true},
		{"NotPrincipal names the caller", one(`"NotPrincipal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"`), podCaller, assume, nil, false},
		{"NotPrincipal names another", one(`"NotPrincipal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"`), podCaller, assume, nil, true},
		{"action wildcard", one(`"Principal":"*","Action":"sts:*"`), podCaller, assume, nil, true},
		{"action prefix", one(`"Principal":"*","Action":"sts:AssumeRole*"`), webCaller, asWeb, x, true},
		{"action without regard to case", one(`"Principal":"*","Action":"STS:assumerole"`), podCaller, assume, nil, true},
		{"action question mark", one(`"Principal":"*","Action":"sts:AssumeRol?"`), podCaller, assume, nil, true},
		{"NotAction", one(`"Principal":"*","NotAction":"sts:TagSession"`), podCaller, assume, nil, true},
		{"NotAction names it", one(`"Principal":"*","NotAction":["sts:TagSession","sts:Assume*"]`), podCaller, assume, nil, false},

		{"StringEquals", sub("StringEquals", `"system:serviceaccount:demo:x"`), webCaller, asWeb, x, true},
		{"StringEquals is literal", sub("StringEquals", `"system:serviceaccount:demo:*"`), webCaller, asWeb, x, false},
		{"StringEquals minds case", sub("StringEquals", `"system:serviceaccount:Demo:x"`), webCaller, asWeb, x, false},
		{"StringEquals list", sub("StringEquals", `["system:serviceaccount:a:x","system:serviceaccount:demo:x"]`), webCaller, asWeb, x, true},
		{"StringEquals without the key", one(web + `,"Condition":{"StringEquals":{"other:sub":"x"}}`), webCaller, asWeb, x, false},
		{"key without regard to case", one(web + `,"Condition":{"StringEquals":{"OIDC.example/id/A:SUB":"system:serviceaccount:demo:x"}}`), webCaller, asWeb, x, true},
		{"StringNotEquals", sub("StringNotEquals", `"system:serviceaccount:demo:y"`), webCaller, asWeb, x, true},
		{"StringNotEquals needs all to differ", sub("StringNotEquals", `["y","system:serviceaccount:demo:x"]`), webCaller, asWeb, x, false},
		{"StringNotEquals without the key", one(web + `,"Condition":{"StringNotEquals":{"other:sub":"x"}}`), webCaller, asWeb, x, true},
		{"StringEqualsIgnoreCase", sub("StringEqualsIgnoreCase", `"SYSTEM:serviceaccount:demo:x"`), webCaller, asWeb, x, true},
		{"StringNotEqualsIgnoreCase", sub("StringNotEqualsIgnoreCase", `"SYSTEM:serviceaccount:demo:x"`), webCaller, asWeb, x, false},
		{"StringLike star", sub("StringLike", `"system:serviceaccount:demo:*"`), webCaller, asWeb, x, true},
		{"StringLike crosses colons", sub("StringLike", `"system:*x"`), webCaller, asWeb, x, true},
		{"StringLike question mark", sub("StringLike", `"system:serviceaccount:dem?:x"`), webCaller, asWeb, x, true},
		{"StringLike question mark is one", sub("StringLike", `"system:serviceaccount:demo:x?"`), webCaller, asWeb, x, false},
		{"StringNotLike", sub("StringNotLike", `"system:serviceaccount:kube-*"`), webCaller, asWeb, x, true},
		{"StringEqualsIfExists, absent", one(web + `,"Condition":{"StringEqualsIfExists":{"other":"x"}}`), webCaller, asWeb, x, true},
		{"StringEqualsIfExists, present", sub("StringEqualsIfExists", `"y"`), webCaller, asWeb, x, false},
		{"two operators are ANDed", one(web + `,"Condition":{"StringLike":{"oidc.example/id/A:sub":"*"},"StringEquals":{"oidc.example/id/A:aud":"other"}}`), webCaller, asWeb, x, false},
		{"two keys are ANDed", one(web + `,"Condition":{"StringEquals":{"oidc.example/id/A:sub":"system:serviceaccount:demo:x","oidc.example/id/A:aud":"other"}}`), webCaller, asWeb, x, false},

		{"ArnEquals", pod(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"}`), podCaller, assume, tags, true},
		{"ArnEquals knows wildcards", pod(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"}`), podCaller, assume, tags, true},
		{"ArnLike keeps to its part", pod(`"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:cluster/irsa-lab"}`), podCaller, assume, tags, false},
		{"ArnNotEquals", pod(`"ArnNotEquals":{"aws:SourceArn":"arn:aws:eks:eu-west-1:123456789012:cluster/other"}`), podCaller, assume, tags, true},
		{"ArnNotLike", pod(`"ArnNotLike":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/*"}`), podCaller, assume, tags, false},
		{"ArnLike on what is no ARN", pod(`"ArnLike":{"aws:SourceAccount":"*"}`), podCaller, assume, tags, false},
		{"Bool", pod(`"Bool":{"aws:SecureTransport":"TRUE"}`), podCaller, assume, tags, true},
		{"Bool as a JSON Boolean", pod(`"Bool":{"aws:SecureTransport":true}`), podCaller, assume, tags, true},
		{"Bool, absent", pod(`"Bool":{"aws:MultiFactorAuthPresent":"false"}`), podCaller, assume, tags, false},
		{"BoolIfExists, absent", pod(`"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}`), podCaller, assume, tags, true},
		{"Null true, absent", pod(`"Null":{"aws:PrincipalOrgID":"true"}`), podCaller, assume, tags, true},
		{"Null true, present", pod(`"Null":{"aws:SourceAccount":"true"}`), podCaller, assume, tags, false},
		{"Null false, present", pod(`"Null":{"aws:SourceAccount":false}`), podCaller, assume, tags, true},
		{"request tag", pod(`"StringEquals":{"aws:RequestTag/Kubernetes-Namespace":"demo"}`), podCaller, assume, tags, true},
		{"request tag, none sent", pod(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo"}`), podCaller, assume, nil, false},

		{"ForAllValues", pod(`"ForAllValues:StringLike":{"aws:TagKeys":["kubernetes-*","eks-*"]}`), podCaller, assume, tags, true},
		{"ForAllValues, one does not", pod(`"ForAllValues:StringLike":{"aws:TagKeys":"kubernetes-*"}`), podCaller, assume, tags, false},
		{"ForAllValues, absent", pod(`"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":"x"}`), podCaller, assume, tags, true},
		{"ForAllValues negated", pod(`"ForAllValues:StringNotLike":{"aws:TagKeys":"eks-*"}`), podCaller, assume, tags, false},
		{"ForAnyValue", pod(`"ForAnyValue:StringEquals":{"aws:TagKeys":"eks-cluster-name"}`), podCaller, assume, tags, true},
		{"ForAnyValue, none does", pod(`"ForAnyValue:StringEquals":{"aws:TagKeys":"x"}`), podCaller, assume, tags, false},
		{"ForAnyValue, absent", pod(`"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"x"}`), podCaller, assume, tags, false},
		{"ForAnyValue negated", pod(`"ForAnyValue:StringNotEquals":{"aws:TagKeys":"eks-cluster-name"}`), podCaller, assume, tags, true},
		{"ForAnyValue negated, absent", pod(`"ForAnyValue:StringNotEquals":{"sts:TransitiveTagKeys":"x"}`), podCaller, assume, tags, false},
		{"ForAnyValue IfExists, absent", pod(`"ForAnyValue:StringEqualsIfExists":{"sts:TransitiveTagKeys":"x"}`), podCaller, assume, tags, true},

		{"variable", pod(`"StringEquals":{"aws:SourceOrgId":"${aws:ResourceOrgId}"}`), podCaller, assume, tags, true},
		{"variable, unknown", pod(`"StringEquals":{"aws:SourceOrgId":"${aws:PrincipalOrgId}"}`), podCaller, assume, tags, false},
		{"variable, default", pod(`"StringEquals":{"aws:SourceOrgId":"${aws:PrincipalOrgId, 'o-1'}"}`), podCaller, assume, tags, true},
		{"variable of 2008 is text", strings.Replace(pod(`"StringEquals":{"aws:SourceOrgId":"${aws:ResourceOrgId}"}`), "2012", "2008", 1), podCaller, assume, tags, false},
		{"literal star", pod(`"StringLike":{"aws:RequestTag/kubernetes-namespace":"${*}"}`), podCaller, assume, tags, false},
		{"literal star matches a star", pod(`"StringLike":{"k":"a${*}${?}${$}b"}`), podCaller, assume, contextFrom("k", "a*?$b"), true},

		{"numeric", pod(`"NumericLessThanEquals":{"n":"10"}`), podCaller, assume, contextFrom("n", "9.5"), true},
		{"numeric, more", pod(`"NumericGreaterThan":{"n":10}`), podCaller, assume, contextFrom("n", "10"), false},
		{"numeric, not a number", pod(`"NumericEquals":{"n":"x"}`), podCaller, assume, contextFrom("n", "x"), false},
		{"NumericNotEquals", pod(`"NumericNotEquals":{"n":"1"}`), podCaller, assume, contextFrom("n", "2"), true},
		{"date", pod(`"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`), podCaller, assume, tags, true},
		{"date is over", pod(`"DateLessThan":{"aws:CurrentTime":"2026-01-01"}`), podCaller, assume, tags, false},
		{"epoch", pod(`"DateGreaterThanEquals":{"aws:EpochTime":"1795424400"}`), podCaller, assume, tags, true},
		{"IpAddress", pod(`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}`), podCaller, assume, tags, true},
		{"IpAddress, single", pod(`"IpAddress":{"aws:SourceIp":"127.0.0.2"}`), podCaller, assume, tags, false},
		{"NotIpAddress", pod(`"NotIpAddress":{"aws:SourceIp":"127.0.0.1/32"}`), podCaller, assume, tags, false},
		{"BinaryEquals", pod(`"BinaryEquals":{"b":"QQ=="}`), podCaller, assume, contextFrom("b", "QQ=="), true},

		{"Deny wins, wherever it stands", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"},{"Effect":"Allow",` + pods + `}]}`, podCaller, assume, nil, false},
		{"Deny of another action", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + pods + `},{"Effect":"Deny","Principal":"*","Action":"sts:TagSession"}]}`, podCaller, assume, nil, true},
		{"Deny with a condition that fails", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + pods + `},{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}}]}`, podCaller, assume, tags, true},
		{"Deny by a negated operator on an absent key", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + pods + `},{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}}]}`, podCaller, assume, nil, false},
		{"Deny all but the caller", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + pods + `},{"Effect":"Deny","NotPrincipal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:*"}]}`, podCaller, assume, nil, true},
		{"second statement allows", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + web + `},{"Effect":"Allow",` + pods + `}]}`, podCaller, assume, nil, true},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		if seen[tt.name] {
			t.Fatalf("two rows named %q", tt.name)
		}
		seen[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := parsePolicy(tt.doc)
			if err != nil {
				t.Fatalf("parse %s: %v", tt.doc, err)
			}
			d := p.decide(request{caller: tt.caller, action: tt.action, context: tt.ctx})
			if d.allowed != tt.want || d.allowed && d.denied || d.reason == "" {
				t.Errorf("%s by %s under\n%s\ngot %+v, want allowed %v", tt.action, tt.caller, tt.doc, d, tt.want)
			}
		})
	}
}

func TestJudgeResource(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		resource string
		want     bool
	}{
		{`"Resource":"*"`, true},
		{`"Resource":"` + testRole + `"`, true},
		{`"Resource":["arn:aws:iam::*:role/a*"]`, true},
		{`"Resource":"arn:aws:iam::*:role/b*"`, false},
		{`"NotResource":"arn:aws:iam::*:role/b*"`, true},
		{`"NotResource":"*"`, false},
		{`"Resource":"arn:aws:iam::123456789012:role/${aws:PrincipalTag/app}"`, true},
		{`"Resource":"arn:aws:iam::123456789012:role/${aws:PrincipalTag/none}"`, false},
	} {
		p, err := parsePolicy(one(`"Action":"sts:AssumeRole",` + tt.resource))
		if err != nil {
			t.Fatalf("parse %s: %v", tt.resource, err)
		}
		d := p.decide(request{caller: roleCaller, action: "sts:AssumeRole", resource: testRole, context: contextFrom("aws:principaltag/app", "app")})
		if d.allowed != tt.want {
			t.Errorf("%s: got %+v, want allowed %v", tt.resource, d, tt.want)
		}
	}
}

// How an Allow reached its caller decides whether the caller's own policies must agree.
func TestJudgeNamed(t *testing.T) {
	t.Parallel()
	for principal, want := range map[string]bool{
		`{"AWS":"123456789012"}`: false, `{"AWS":"arn:aws:iam::123456789012:root"}`: false, `{"AWS":"` + testRole + `"}`: true, `"*"`: true,
		`{"AWS":["123456789012","` + testRole + `"]}`: true,
	} {
		p, err := parsePolicy(one(`"Action":"sts:AssumeRole","Principal":` + principal))
		if err != nil {
			t.Fatal(err)
		}
		if d := p.decide(request{caller: roleCaller, action: "sts:AssumeRole"}); !d.allowed || d.named != want {
			t.Errorf("principal %s: got %+v, want allowed and named %v", principal, d, want)
		}
	}
}

func TestValidateTrust(t *testing.T) {
	t.Parallel()
	const good = `"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"`
	exists := func(arn string) bool { return arn == testRole }
	principal := func(v string) string { return one(`"Action":"sts:AssumeRole","Principal":` + v) }
	tests := []struct {
		name, doc, want string // want is part of the error; "" is none.
	}{
		{"good", one(good), ""},
		{"2008", strings.Replace(one(good), "2012", "2008", 1), ""},
		{"no version", strings.Replace(one(good), `"Version":"2012-10-17",`, "", 1), ""},
		{"Id", strings.Replace(one(good), `"Version"`, `"Id":"x","Version"`, 1), ""},
		{"empty condition", one(good + `,"Condition":{}`), ""},
		{"not JSON", `{"Version":`, "invalid Json"},
		{"trailing comma", one(good + ","), "invalid Json"},
		{"two documents", one(good) + one(good), "invalid Json"},
		{"an array", `[]`, "Syntax"},
		{"another version", strings.Replace(one(good), "2012", "2013", 1), "Syntax"},
		{"unknown element", strings.Replace(one(good), `"Version"`, `"Comment":"x","Version"`, 1), "Syntax"},
		{"unknown statement element", one(good + `,"Comment":"x"`), "Syntax"},
		{"element in another case", one(strings.Replace(good, "Action", "action", 1)), "Syntax"},
		{"no statement", `{"Version":"2012-10-17"}`, "Syntax"},
		{"no statements", `{"Version":"2012-10-17","Statement":[]}`, "Syntax"},
		{"statement is text", `{"Version":"2012-10-17","Statement":"x"}`, "Syntax"},
		{"no effect", `{"Version":"2012-10-17","Statement":{` + good + `}}`, "Syntax"},
		{"effect in lower case", strings.Replace(one(good), "Allow", "allow", 1), "Syntax"},
		{"duplicate key", one(good + `,"Action":"sts:*"`), "Syntax"},
		{"Action beside NotAction", one(good + `,"NotAction":"sts:*"`), "Syntax"},
		{"Principal beside NotPrincipal", one(good + `,"NotPrincipal":"*"`), "Syntax"},
		{"no action", one(`"Principal":"*"`), "must contain actions"},
		{"empty action list", one(`"Principal":"*","Action":[]`), "Syntax"},
		{"action is a number", one(`"Principal":"*","Action":1`), "Syntax"},
		{"action of another service", one(`"Principal":"*","Action":"s3:GetObject"`), "AssumeRole policy may only specify STS AssumeRole actions."},
		{"action star", one(`"Principal":"*","Action":"*"`), "AssumeRole policy may only specify STS AssumeRole actions."},
		{"resource", one(good + `,"Resource":"*"`), "Has prohibited field Resource"},
		{"no principal", one(`"Action":"sts:AssumeRole"`), "Missing required field Principal"},
		{"bad Sid", one(good + `,"Sid":"a b"`), "SID"},
		{"Sid twice", `{"Statement":[{"Sid":"a","Effect":"Allow",` + good + `},{"Sid":"a","Effect":"Allow",` + good + `}]}`, "must be unique"},
		{"no Sid twice", `{"Statement":[{"Effect":"Allow",` + good + `},{"Effect":"Allow",` + good + `}]}`, ""},
		{"unknown operator", one(good + `,"Condition":{"StringMatches":{"a":"b"}}`), "Invalid Condition type : StringMatches."},
		{"unknown set", one(good + `,"Condition":{"ForSomeValues:StringEquals":{"a":"b"}}`), "Invalid Condition type"},
		{"NullIfExists", one(good + `,"Condition":{"NullIfExists":{"a":"true"}}`), "Invalid Condition type"},
		{"condition is a list", one(good + `,"Condition":[]`), "Syntax"},
		{"operator without keys", one(good + `,"Condition":{"StringEquals":{}}`), "Syntax"},
		{"condition value is an object", one(good + `,"Condition":{"StringEquals":{"a":{}}}`), "Syntax"},
		{"condition value is null", one(good + `,"Condition":{"StringEquals":{"a":null}}`), "Syntax"},
		{"deep nesting", one(good + `,"Condition":{"a":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`), "Syntax"},

		{"everyone", principal(`"*"`), ""},
		{"text principal", principal(`"123456789012"`), "Syntax"},
		{"unknown principal kind", principal(`{"Pod":"x"}`), "Syntax"},
		{"empty principal", principal(`{}`), "Syntax"},
		{"canonical user", principal(`{"CanonicalUser":"x"}`), "Invalid principal"},
		{"account", principal(`{"AWS":"123456789012"}`), ""},
		{"root", principal(`{"AWS":"arn:aws:iam::123456789012:root"}`), ""},
		{"role", principal(`{"AWS":"` + testRole + `"}`), ""},
		{"user", principal(`{"AWS":"arn:aws:iam::123456789012:user/x"}`), ""},
		{"session", principal(`{"AWS":"arn:aws:sts::123456789012:assumed-role/app/s"}`), ""},
		{"federated user", principal(`{"AWS":"arn:aws:sts::123456789012:federated-user/x"}`), ""},
		{"role that is not there", principal(`{"AWS":"` + testRole + `2"}`), `Invalid principal in policy: "AWS":"` + testRole + `2"`},
		{"role wildcard", principal(`{"AWS":"arn:aws:iam::123456789012:role/*"}`), "Invalid principal"},
		{"deleted role", principal(`{"AWS":["` + testRole + `","AROAEXAMPLEDELETEDROLE"]}`), `Invalid principal in policy: "AWS":"AROAEXAMPLEDELETEDROLE"`},
		{"deleted user", principal(`{"AWS":"AIDAEXAMPLEDELETEDUSER"}`), "Invalid principal"},
		{"no ARN", principal(`{"AWS":"app"}`), "Invalid principal"},
		{"ARN of another service", principal(`{"AWS":"arn:aws:s3:::bucket"}`), "Invalid principal"},
		{"provider", principal(`{"Federated":"` + testProvider + `"}`), ""},
		{"SAML provider", principal(`{"Federated":"arn:aws:iam::123456789012:saml-provider/x"}`), ""},
		{"well-known provider", principal(`{"Federated":"cognito-identity.amazonaws.com"}`), ""},
		{"federated star", principal(`{"Federated":"*"}`), "Invalid principal"},
		{"federated URL", principal(`{"Federated":"https://oidc.example"}`), "Invalid principal"},
		{"service without a name", principal(`{"Service":"pods"}`), "Invalid principal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := validateTrust(tt.doc, exists)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("%s\ngot %q, want %q", tt.doc, got, tt.want)
			}
		})
	}
}

func TestVersionedIsBounded(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	v := always(-1)
	for i := range 1000 {
		v.put(start.Add(time.Duration(i)*time.Minute), i)
	}
	now := start.Add(999 * time.Minute)
	if n := len(v.vs); n > 63 {
		t.Errorf("versions kept of 1000, one a minute: got %d, want those of the last hour", n)
	}
	for _, late := range []time.Duration{0, time.Minute, 59 * time.Minute, time.Hour} {
		if got, want := must(v.asOf(now.Add(-late))), 999-int(late/time.Minute); got != want {
			t.Errorf("as of %s ago: got %d, want %d", late, got, want)
		}
	}
	if got := must(v.previous()); got != 998 {
		t.Errorf("previous: got %d, want 998", got)
	}
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("not there")
	}
	return v
}

func TestEscape(t *testing.T) {
	t.Parallel()
	if got, want := escape("a-._~ +/é{\"}\n"), "a-._~%20%2B%2F%C3%A9%7B%22%7D%0A"; got != want {
		t.Errorf("escape: got %s, want %s", got, want)
	}
}

// Whatever is in a document, parsing ends, and what the grammar accepts can be judged.
func FuzzPolicy(f *testing.F) {
	f.Add(one(`"Principal":"*","Action":"sts:*"`))
	f.Add(one(`"Principal":{"AWS":["1","*"]},"NotAction":"a","Condition":{"ForAnyValue:StringLikeIfExists":{"k":["${k}*","${x, 'd'}?"]}}`))
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := parsePolicy(doc)
		if err != nil {
			return
		}
		d := p.decide(request{caller: podCaller, action: "sts:AssumeRole", context: contextFrom("k", "v")})
		if d.allowed && d.denied || d.reason == "" {
			t.Errorf("%s: got %+v", doc, d)
		}
	})
}
