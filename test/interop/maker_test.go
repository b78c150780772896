//go:build nightly

package interop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

const (
	host     = "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
	stale    = "oidc.eks.eu-central-1.amazonaws.com/id/FEDCBA9876543210FEDCBA9876543210"
	provider = "arn:aws:iam::123456789012:oidc-provider/" + host
	cluster  = "arn:aws:eks:eu-central-1:123456789012:cluster/lab"
	orgID    = "o-a1b2c3d4e5"
)

var short = strings.NewReplacer(
	"HOST", host, "STALE", stale, "PROVIDER", provider, "CLUSTER", cluster, "ORG", orgID,
	"WEB", "sts:AssumeRoleWithWebIdentity", "PODS", "pods.eks.amazonaws.com",
	"SUB", "system:serviceaccount:demo:s3-reader",
)

// maker makes documents and requests near the edge: most parts speak of the request's
// own subject, so that no answer is rare.
type maker struct{ *rand.Rand }

func (m maker) one(from ...string) string { return short.Replace(from[m.IntN(len(from))]) }

// key is a condition key with values that tests of it may name.
type key struct {
	name   string
	family string // of operators that suit it
	values []string
}

// keys come several times where they matter more.
var keys = []key{
	{"HOST:sub", "string", subjects},
	{"HOST:sub", "string", subjects},
	{"HOST:aud", "string", []string{"sts.amazonaws.com", "sts.*", "STS.AMAZONAWS.COM", "other", "*"}},
	{"host:sub", "string", subjects}, // in lower case: see written
	{"STALE:sub", "string", subjects},
	{"https://HOST:sub", "string", subjects},
	{"aws:RequestTag/kubernetes-namespace", "string", names},
	{"aws:RequestTag/kubernetes-namespace", "string", names},
	{"aws:RequestTag/kubernetes-service-account", "string", names},
	{"aws:RequestTag/eks-cluster-name", "string", []string{"lab", "LAB", "l?b", "*", "other"}},
	{"aws:RequestTag/eks-cluster-arn", "arn", arns},
	{"aws:RequestTag/kubernetes-pod-name", "string", []string{"s3-reader-*", "*", "pod-1"}},
	{"aws:RequestTag/nobody-sends-this", "string", names},
	{"aws:SourceArn", "arn", arns},
	{"aws:SourceAccount", "string", []string{"123456789012", "210987654321", "1234*", "${aws:ResourceAccount}", "????????????"}},
	{"aws:SourceAccount", "number", []string{"123456789012", "123456789011", "123456789013", "123456789012.0"}},
	{"aws:SourceOrgID", "string", []string{"ORG", "o-zzzzzzzzzz", "o-*", "${aws:ResourceOrgID}"}},
	{"aws:TagKeys", "string", []string{"kubernetes-namespace", "kubernetes-*", "eks-*", "*", "no-such-tag", "KUBERNETES-NAMESPACE"}},
	{"aws:TagKeys", "string", []string{"kubernetes-namespace", "kubernetes-*", "eks-*", "*", "no-such-tag"}},
	{"sts:TransitiveTagKeys", "string", []string{"kubernetes-*", "*", "no-such-tag"}},
	{"aws:PrincipalServiceName", "string", []string{"PODS", "pods.*", "ec2.amazonaws.com"}},
	{"aws:PrincipalIsAWSService", "bool", booleans},
	{"aws:SecureTransport", "bool", booleans},
	{"aws:MultiFactorAuthPresent", "bool", booleans},
	{"aws:PrincipalTag/team", "string", names},
	{"aws:CurrentTime", "date", []string{"2026-11-23T09:00:00Z", "2026-11-23", "2026-11-23T08:59:59Z", "2026-11-23T10:00:00+01:00", "2030-01-01T00:00:00Z", "1795424400"}},
	{"aws:EpochTime", "number", []string{"1795424400", "1795424399", "1795424401", "0"}},
	{"aws:SourceIp", "ip", []string{"10.0.0.0/8", "203.0.113.7", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0"}},
	{"aws:RequestedRegion", "string", []string{"eu-central-1", "eu-*", "*", "us-east-1"}},
	{"aws:ResourceAccount", "string", []string{"123456789012", "210987654321", "${aws:SourceAccount}"}},
}

var (
	subjects = []string{
		"SUB", "SUB", "SUB", "system:serviceaccount:demo:*", "system:serviceaccount:*:s3-reader", "system:serviceaccount:demo:s3-writer",
		"system:serviceaccount:demo2:s3-reader", "SYSTEM:serviceaccount:demo:s3-reader", "system:serviceaccount:demo:s3?reader", "*", "s*:*:*r",
		"system:serviceaccount:demo:s3-reader ", "system:serviceaccount:${aws:RequestTag/kubernetes-namespace, 'demo'}:s3-reader", "${*}",
		"system:serviceaccount:demo:s3-reader${aws:SourceAccount}", "",
	}
	names = []string{
		"demo", "demo", "s3-reader", "s3-*", "d?mo", "DEMO", "*", "other", "${aws:RequestTag/kubernetes-namespace}",
		"${aws:RequestTag/kubernetes-service-account}", "${aws:PrincipalTag/team, 'demo'}", "${aws:PrincipalTag/team}", "d${*}", "${$}{x}", "de${aws:Nothing, 'm'}o",
	}
	arns = []string{
		"CLUSTER", "CLUSTER", "arn:aws:eks:*:123456789012:cluster/*", "arn:aws:eks:eu-central-1:123456789012:cluster/l?b", "arn:aws:eks:*:*:*", "arn:*:lab",
		"arn:aws:eks:us-east-1:123456789012:cluster/lab", "arn:aws:eks:*:${aws:SourceAccount}:cluster/lab", "arn:aws:*:cluster/lab", "*",
		"arn:aws:eks:eu-central-1:123456789012:podidentityassociation/lab/a-0123456789abcdefg", "arn:aws:eks:eu-central-1:123456789012:cluster*",
	}
	booleans = []string{"true", "false", "True", "FALSE"}
)

var operators = map[string][]string{
	"string": {"StringEquals", "StringEquals", "StringLike", "StringLike", "StringNotEquals", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"},
	"arn":    {"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike", "StringEquals", "StringNotLike"},
	"number": {"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"},
	"date":   {"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
	"bool":   {"Bool"},
	"ip":     {"IpAddress", "NotIpAddress"},
}

func (m maker) list(of func() string) string {
	if m.IntN(3) > 0 {
		return fmt.Sprintf("%q", of())
	}
	out := make([]string, 1+m.IntN(3))
	for i := range out {
		out[i] = fmt.Sprintf("%q", of())
	}
	return "[" + strings.Join(out, ",") + "]"
}

// condition returns one operator and one key with its values.
func (m maker) condition() (operator, key, values string) {
	k := keys[m.IntN(len(keys))]
	operator = operators[k.family][m.IntN(len(operators[k.family]))]
	switch m.IntN(7) {
	case 0:
		operator = "ForAllValues:" + operator
	case 1:
		operator = "ForAnyValue:" + operator
	}
	if strings.HasSuffix(strings.ToLower(k.name), "keys") && m.IntN(8) > 0 && !strings.Contains(operator, ":") {
		operator = m.one("ForAllValues:", "ForAnyValue:") + operator
	}
	if m.IntN(6) == 0 {
		operator += "IfExists"
	}
	if m.IntN(12) == 0 {
		return "Null", m.written(k.name), m.list(func() string { return m.one(booleans...) })
	}
	return m.cased(operator), m.written(k.name), m.list(func() string { return m.one(k.values...) })
}

// written is a key's name, now and then in another case, which must not matter.
func (m maker) written(name string) string {
	lower := strings.HasPrefix(name, "host:")
	name = short.Replace(strings.Replace(name, "host:", "HOST:", 1))
	switch {
	case lower || m.IntN(12) == 0:
		return strings.ToLower(name)
	case m.IntN(12) == 0:
		return strings.ToUpper(name)
	}
	return name
}

func (m maker) cased(s string) string {
	if m.IntN(25) == 0 {
		return strings.ToLower(s)
	}
	return s
}

func (m maker) conditions() string {
	blocks := map[string][]string{} // by operator, which may stand once
	for range m.IntN(3) {
		op, key, values := m.condition()
		folded := func(s string) bool { return strings.EqualFold(s, op) && s != op }
		if slices.ContainsFunc(slices.Collect(mapKeys(blocks)), folded) {
			continue
		}
		entry := fmt.Sprintf("%q:%s", key, values)
		same := func(s string) bool {
			return strings.HasPrefix(strings.ToLower(s), strings.ToLower(fmt.Sprintf("%q:", key)))
		}
		if !slices.ContainsFunc(blocks[op], same) {
			blocks[op] = append(blocks[op], entry)
		}
	}
	var out []string
	for _, op := range slices.Sorted(mapKeys(blocks)) {
		out = append(out, fmt.Sprintf("%q:{%s}", op, strings.Join(blocks[op], ",")))
	}
	return "{" + strings.Join(out, ",") + "}"
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// statement speaks of the document's mechanism, mostly.
func (m maker) statement(pods bool) string {
	who, what := `{"Federated":"PROVIDER"}`, `"Action":"WEB"`
	if pods {
		who, what = `{"Service":"PODS"}`, `"Action":["sts:AssumeRole","sts:TagSession"]`
	}
	who, what = m.one(who), m.one(what)
	if m.IntN(3) == 0 {
		who = m.one(
			`"*"`, `{"AWS":"*"}`, `{"AWS":["*"]}`, `{"Federated":["arn:aws:iam::123456789012:oidc-provider/STALE","PROVIDER"]}`, `{"Federated":"PROVIDER"}`,
			`{"Service":["ec2.amazonaws.com","PODS"],"AWS":"arn:aws:iam::210987654321:root"}`, `{"AWS":"210987654321"}`, `{"AWS":"123456789012"}`, `{"Service":"PODS"}`,
			`{"AWS":"arn:aws:iam::123456789012:root"}`, `{"Service":"eks.amazonaws.com"}`, `{"Federated":"arn:aws:iam::210987654321:oidc-provider/HOST"}`,
			`{"Federated":"arn:aws-cn:iam::123456789012:oidc-provider/HOST"}`, `{"Federated":"cognito-identity.amazonaws.com"}`, `{"Service":"PODS","Federated":"PROVIDER"}`,
			`{"Federated":"*"}`, `{"Service":"*"}`, `{"AWS":"arn:aws:iam::123456789012:role/reader"}`,
		)
	}
	if m.IntN(3) == 0 {
		what = m.one(
			`"Action":"WEB"`, `"Action":["sts:AssumeRole","sts:TagSession"]`, `"Action":"sts:*"`, `"Action":"*"`, `"Action":"sts:AssumeRole*"`,
			`"Action":"sts:assumerole"`, `"Action":"STS:TAGSESSION"`, `"Action":["sts:Assume????","sts:Tag*"]`, `"NotAction":"sts:TagSession"`,
			`"NotAction":["sts:AssumeRole","sts:SetSourceIdentity"]`, `"Action":"iam:*"`, `"Action":"sts:assumeRoleWITHwebidentity"`,
		)
	}
	effect, element := m.one("Allow", "Allow", "Allow", "Allow", "Deny"), "Principal"
	if effect == "Deny" && m.IntN(4) == 0 {
		element = "NotPrincipal"
	}
	return fmt.Sprintf(`{"Effect":%q,%q:%s,%s,"Condition":%s}`, effect, element, who, what, m.conditions())
}

func (m maker) document(pods bool) string {
	out := make([]string, 1+m.IntN(4))
	for i := range out {
		out[i] = m.statement(pods)
	}
	version := m.one(`"Version":"2012-10-17",`, `"Version":"2012-10-17",`, `"Version":"2012-10-17",`, `"Version":"2008-10-17",`, ``)
	return fmt.Sprintf(`{%s"Statement":[%s]}`, version, strings.Join(out, ","))
}

func (m maker) request() trust.Request {
	home, err := identity.ParseClusterARN(cluster)
	if err != nil {
		panic(err)
	}
	home.Issuer = "https://" + host
	r := trust.Request{
		Mechanism: identity.IRSA, Cluster: home, Provider: provider, Audience: m.one("sts.amazonaws.com", "sts.amazonaws.com", "other"),
		Subject: identity.Subject{Namespace: m.one("demo", "demo", "demo", "other"), ServiceAccount: m.one("s3-reader", "s3-reader", "s3-reader", "demo")},
	}
	if m.IntN(2) == 0 {
		r.Mechanism = identity.PodIdentity
	}
	r.SessionTags = m.IntN(5) > 0
	r.SourceARN = m.one(cluster, cluster, "")
	r.OrgID = m.one(orgID, "")
	if m.IntN(3) > 0 {
		r.Now = time.Unix(1795424400, 0) // 2026-11-23T09:00:00Z
	}
	return r
}
