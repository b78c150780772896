package trust

import (
	"strings"
	"testing"
	"time"
)

const sixTags = `["eks-cluster-arn","eks-cluster-name","kubernetes-namespace","kubernetes-service-account","kubernetes-pod-name","kubernetes-pod-uid"]`

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func TestSetOperators(t *testing.T) {
	t.Parallel()
	empty := irsa
	empty.Audience = ""
	run(t, []row{
		{"all, absent", web(`{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}`), irsa, Allow},
		{"any, absent", web(`{"ForAnyValue:StringEquals":{"aws:TagKeys":"x"}}`), irsa, Deny},
		{"all, negated, absent", web(`{"ForAllValues:StringNotEquals":{"aws:TagKeys":"x"}}`), irsa, Allow},
		{"any, negated, absent", web(`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"x"}}`), irsa, Deny},
		{"any, if it exists, absent", web(`{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"x"}}`), irsa, Allow},
		{"all in a deny, absent", webDeny(`{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}`), irsa, Deny},
		{"any in a deny, absent", webDeny(`{"ForAnyValue:StringEquals":{"aws:TagKeys":"x"}}`), irsa, Allow},
		{"all, empty", web(`{"ForAllValues:StringEquals":{"HOST:aud":"x"}}`), empty, Allow},
		{"any, empty", web(`{"ForAnyValue:StringEquals":{"HOST:aud":["x",""]}}`), empty, Deny},
		{"all, one value", web(`{"ForAllValues:StringEquals":{"HOST:aud":"x"}}`), irsa, Deny},
		{"any, one value", web(`{"ForAnyValue:StringEquals":{"HOST:aud":["x","sts.amazonaws.com"]}}`), irsa, Allow},

		{"all of six", pods(`{"ForAllValues:StringEquals":{"aws:TagKeys":` + sixTags + `}}`), podID, Allow},
		{"all of six by pattern", pods(`{"ForAllValues:StringLike":{"aws:TagKeys":["eks-*","kubernetes-*"]}}`), podID, Allow},
		{"not all of six", pods(`{"ForAllValues:StringLike":{"aws:TagKeys":"kubernetes-*"}}`), podID, Deny},
		{"any of six", pods(`{"ForAnyValue:StringLike":{"aws:TagKeys":["x","kubernetes-*"]}}`), podID, Allow},
		{"none of six", pods(`{"ForAnyValue:StringEquals":{"aws:TagKeys":"x"}}`), podID, Deny},
		{"all differ", pods(`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["x","y"]}}`), podID, Allow},
		{"not all differ", pods(`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["x","eks-cluster-arn"]}}`), podID, Deny},
		{"any differs", pods(`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["x","eks-cluster-arn"]}}`), podID, Allow},
		{"none differs", pods(`{"ForAnyValue:StringNotLike":{"aws:TagKeys":"*"}}`), podID, Deny},
		{"any in a deny", podsDeny(`{"ForAnyValue:StringEquals":{"aws:TagKeys":"eks-cluster-arn"}}`), podID, Deny},
		{"all in a deny", podsDeny(`{"ForAllValues:StringEquals":{"aws:TagKeys":"eks-cluster-arn"}}`), podID, Allow},
		{"all in a deny, tags off", podsDeny(`{"ForAllValues:StringEquals":{"aws:TagKeys":"eks-cluster-arn"}}`), untagged, Deny},
		{"several values need a set operator", pods(`{"StringEquals":{"aws:TagKeys":` + sixTags + `}}`), podID, Undecidable},
		{"several values exist", pods(`{"Null":{"aws:TagKeys":"false"}}`), podID, Allow},
		{"names ignore case", pods(`{"foranyvalue:stringlikeifexists":{"aws:tagkeys":"eks-*"}}`), podID, Allow},
	})
}

// A key that is not there: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func TestAbsentKeys(t *testing.T) {
	t.Parallel()
	values := map[string]string{"Numeric": "1", "Date": "2026-01-01T00:00:00Z", "String": "x", "Arn": "arn:aws:s3:::x", "Ip": "203.0.113.0/24", "NotIp": "203.0.113.0/24", "Bool": "true", "Binary": "eA=="}
	var rows []row
	for name, op := range operators {
		if op.family == familyNull {
			continue
		}
		value := ""
		for prefix, v := range values {
			if strings.HasPrefix(name, strings.ToLower(prefix)) {
				value = v
			}
		}
		want := Deny
		if op.negated {
			want = Allow
		}
		rows = append(rows,
			row{name, web(`{"` + name + `":{"x:none":"` + value + `"}}`), irsa, want},
			row{name + "IfExists", web(`{"` + name + `IfExists":{"x:none":"` + value + `"}}`), irsa, Allow},
			row{name + "IfExists in a deny", webDeny(`{"` + name + `IfExists":{"x:none":"` + value + `"}}`), irsa, Deny},
		)
	}
	rows = append(rows,
		row{"null", web(`{"Null":{"x:none":"true"}}`), irsa, Allow},
		row{"null in upper case", web(`{"Null":{"x:none":"TRUE"}}`), irsa, Allow},
		row{"null as boolean", web(`{"Null":{"x:none":true}}`), irsa, Allow},
		row{"not null", web(`{"Null":{"x:none":"false"}}`), irsa, Deny},
		row{"present is not null", web(`{"Null":{"HOST:sub":"false"}}`), irsa, Allow},
		row{"present is null", web(`{"Null":{"HOST:sub":"true"}}`), irsa, Deny},
		row{"null of either", web(`{"Null":{"HOST:sub":["true","false"]}}`), irsa, Allow},
		row{"null of neither", web(`{"Null":{"HOST:sub":"maybe"}}`), irsa, Undecidable},
		row{"null with a qualifier", web(`{"ForAllValues:Null":{"HOST:sub":"true"}}`), irsa, Deny},
	)
	run(t, rows)
}

// Values that are there, by every family of operators.
func TestOperators(t *testing.T) {
	t.Parallel()
	number := func(s string) Request {
		r := irsa
		r.Audience = s
		return r
	}
	now := irsa
	now.Now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	aud := func(op, value string) string { return web(`{"` + op + `":{"HOST:aud":` + value + `}}`) }
	at := func(op, value string) string { return web(`{"` + op + `":{"aws:CurrentTime":"` + value + `"}}`) }
	run(t, []row{
		{"numbers equal", aud("NumericEquals", `["1","10.50"]`), number("10.5"), Allow},
		{"numbers unquoted", aud("NumericEquals", `10.5`), number("10.5"), Allow},
		{"numbers differ", aud("NumericNotEquals", `"10.5"`), number("10.5"), Deny},
		{"numbers less", aud("NumericLessThan", `"9"`), number("10"), Deny},
		{"numbers less, not as text", aud("NumericLessThan", `"10"`), number("9"), Allow},
		{"numbers less or equal", aud("NumericLessThanEquals", `"10"`), number("10"), Allow},
		{"numbers greater", aud("NumericGreaterThan", `"-3"`), number("-2"), Allow},
		{"numbers greater or equal", aud("NumericGreaterThanEquals", `"3"`), number("2"), Deny},
		{"not a number in the request", aud("NumericEquals", `"1"`), irsa, Deny},
		{"not a number in the request, negated", aud("NumericNotEquals", `"1"`), irsa, Allow},
		{"not a number in the policy", aud("NumericEquals", `"one"`), number("1"), Undecidable},
		{"infinity is no number", aud("NumericLessThan", `"inf"`), number("1"), Undecidable},
		{"no variables in numbers", aud("NumericEquals", `"${HOST:aud}"`), number("1"), Undecidable},

		{"date less", at("DateLessThan", "2027-01-01T00:00:00Z"), now, Allow},
		{"date less with zone", at("DateLessThan", "2026-11-23T13:00:00+02:00"), now, Deny},
		{"date less or equal", at("DateLessThanEquals", "2026-11-23T12:00:00Z"), now, Allow},
		{"date greater", at("DateGreaterThan", "2026-11-23"), now, Allow},
		{"date greater or equal", at("DateGreaterThanEquals", "2027"), now, Deny},
		{"date equals", at("DateEquals", "2026-11-23T12:00Z"), now, Allow},
		{"date not equals", at("DateNotEquals", "2026-11-23T12:00:00.000Z"), now, Deny},
		{"date in seconds", at("DateLessThan", "1800000000"), now, Allow},
		{"date is no date", at("DateLessThan", "tomorrow"), now, Undecidable},
		{"epoch as number", web(`{"NumericLessThan":{"aws:EpochTime":"1800000000"}}`), now, Allow},
		{"epoch as date", web(`{"DateLessThan":{"aws:EpochTime":"2027-01-01T00:00:00Z"}}`), now, Allow},
		{"unknown clock", at("DateLessThan", "2027-01-01T00:00:00Z"), irsa, Undecidable},
		{"the clock is always there", web(`{"Null":{"aws:CurrentTime":"false"}}`), irsa, Allow},

		{"bool", aud("Bool", `"True"`), number("true"), Allow},
		{"bool false", aud("Bool", `false`), number("FALSE"), Allow},
		{"bool differs", aud("Bool", `"false"`), number("true"), Deny},
		{"bool of text", aud("Bool", `"false"`), irsa, Deny},
		{"no bool", aud("Bool", `"yes"`), number("true"), Undecidable},

		{"binary", aud("BinaryEquals", `"aGk="`), number("hi"), Allow},
		{"binary differs", aud("BinaryEquals", `"aGk="`), number("aGk="), Deny},
		{"no binary", aud("BinaryEquals", `"?"`), number("hi"), Undecidable},

		{"address in range", aud("IpAddress", `["198.51.100.7","203.0.113.0/24"]`), number("203.0.113.9"), Allow},
		{"address alone", aud("IpAddress", `"203.0.113.9"`), number("203.0.113.9"), Allow},
		{"address out of range", aud("IpAddress", `"203.0.113.0/24"`), number("203.0.114.9"), Deny},
		{"not the address", aud("NotIpAddress", `"203.0.113.0/24"`), number("203.0.113.9"), Deny},
		{"not that address", aud("NotIpAddress", `"203.0.113.0/24"`), number("198.51.100.7"), Allow},
		{"address of the sixth kind", aud("IpAddress", `"2001:DB8:1234:5678::/64"`), number("2001:db8:1234:5678::1"), Allow},
		{"kinds of address do not mix", aud("IpAddress", `"::/0"`), number("203.0.113.9"), Deny},
		{"no range", aud("IpAddress", `"203.0.113.*"`), number("203.0.113.9"), Undecidable},
		{"no address", aud("NotIpAddress", `"203.0.113.0/24"`), number("x"), Allow},
		{"source address", aud("IpAddress", `"x"`), irsa, Undecidable},
		{"source address unknown", web(`{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), irsa, Undecidable},
	})
}

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
func TestPolicyVariables(t *testing.T) {
	t.Parallel()
	star := irsa
	star.Audience = "a*b?c$d"
	old := func(doc string) string { return strings.Replace(doc, "2012-10-17", "2008-10-17", 1) }
	literal := irsa
	literal.Audience = "${HOST}"
	run(t, []row{
		{"fills in", pods(`{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"${aws:SourceArn}"}}`), podID, Allow},
		{"fills in within", pods(`{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:eu-central-1:${aws:SourceAccount}:cluster/${aws:RequestTag/eks-cluster-name}"}}`), podID, Allow},
		{"names ignore case", pods(`{"StringEquals":{"aws:SourceAccount":"${AWS:resourceaccount}"}}`), podID, Allow},
		{"in an ARN", pods(`{"ArnEquals":{"aws:SourceArn":"arn:aws:eks:*:${aws:SourceAccount}:cluster/*"}}`), podID, Allow},
		{"an ARN whole", pods(`{"ArnEquals":{"aws:SourceArn":"${aws:RequestTag/eks-cluster-arn}"}}`), podID, Allow},
		{"ARN of too few parts", pods(`{"ArnEquals":{"aws:SourceArn":"${aws:SourceAccount}"}}`), podID, Undecidable},
		{"in a pattern", pods(`{"StringLike":{"aws:SourceArn":"*/${aws:RequestTag/eks-cluster-name}"}}`), podID, Allow},
		{"ignoring case", pods(`{"StringEqualsIgnoreCase":{"aws:RequestTag/kubernetes-namespace":"D${x:y, 'EMO'}"}}`), podID, Allow},
		{"without a value", web(`{"StringEquals":{"HOST:aud":"${aws:username}"}}`), irsa, Deny},
		{"without a value, beside another", web(`{"StringEquals":{"HOST:aud":["${aws:username}","sts.amazonaws.com"]}}`), irsa, Allow},
		{"without a value, negated", web(`{"StringNotEquals":{"HOST:aud":"${aws:username}"}}`), irsa, Allow},
		{"without a value, negated like", web(`{"StringNotLike":{"HOST:aud":"*${aws:username}*"}}`), irsa, Allow},
		{"default", web(`{"StringEquals":{"HOST:aud":"${aws:username, 'sts.amazonaws.com'}"}}`), irsa, Allow},
		{"default is not needed", web(`{"StringEquals":{"HOST:aud":"${HOST:aud, 'x'}"}}`), irsa, Allow},
		{"default is literal", web(`{"StringLike":{"HOST:aud":"${aws:username, 'sts*'}"}}`), irsa, Deny},
		{"default with a brace", web(`{"StringNotEquals":{"HOST:aud":"${aws:username, '}'}"}}`), irsa, Allow},
		{"escapes", web(`{"StringEquals":{"HOST:aud":"a${*}b${?}c${$}d"}}`), star, Allow},
		{"escapes in a pattern", web(`{"StringLike":{"HOST:aud":"a${*}b${?}c*"}}`), star, Allow},
		{"escaped star is no wildcard", web(`{"StringLike":{"HOST:aud":"sts${*}"}}`), irsa, Deny},
		{"value's star is no wildcard", web(`{"StringLike":{"HOST:sub":"${HOST:aud}"}}`), star, Deny},
		{"own value", web(`{"StringEquals":{"HOST:aud":["${HOST:sub}","${HOST:aud}"]}}`), irsa, Allow},
		{"not in 2008", old(web(`{"StringEquals":{"HOST:aud":"${HOST:aud}"}}`)), irsa, Deny},
		{"literal in 2008", old(web(`{"StringLike":{"HOST:aud":"${*}"}}`)), literal, Allow},
		{"not without a version", strings.Replace(pods(`{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"${aws:SourceArn}"}}`), `"Version":"2012-10-17",`, "", 1), podID, Deny},
		{"unknown value", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"${aws:RequestTag/kubernetes-pod-name}"}}`), podID, Undecidable},
		{"unknown and without a value", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-pod-name":"${aws:username}"}}`), podID, Deny},
		{"several values", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"${aws:TagKeys}"}}`), podID, Undecidable},
		{"no closing brace", web(`{"StringEquals":{"HOST:aud":"${aws:username"}}`), irsa, Undecidable},
		{"empty variable", web(`{"StringEquals":{"HOST:aud":"${}"}}`), irsa, Undecidable},
		{"space in a variable", web(`{"StringEquals":{"HOST:aud":"${aws: username}"}}`), irsa, Undecidable},
		{"default without quotes", web(`{"StringEquals":{"HOST:aud":"${aws:username, x}"}}`), irsa, Undecidable},
		{"dollar alone", web(`{"StringNotEquals":{"HOST:aud":"$x"}}`), irsa, Allow},
	})
}

func TestLike(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"?", "", false}, {"?", "é", true},
		{"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "a", false}, {"a*a", "a", false},
		{"*b*", "abc", true}, {"*ab*ab*", "abab", true}, {"*ab*ab*", "aba", false}, {"a?c*", "abcd", true},
		{"*?é", "xéé", true}, {"??", "éé", true}, {"?", "éé", false}, {"**a**", "a", true}, {"a*b*c", "aXbXbXc", true},
		{"*abc?", "abcabcd", true}, {"*aab", "aaab", true},
	} {
		if got := like(compileGlob(tt.pattern), tt.s); got != tt.want {
			t.Errorf("like(%q, %q) = %v, want %v", tt.pattern, tt.s, got, tt.want)
		}
		if got := like([]byte(compileGlob(tt.pattern)), []byte(tt.s)); got != tt.want {
			t.Errorf("like(%q, %q) on bytes = %v, want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
	// What takes a backtracking matcher longer than anybody waits.
	if like(compileGlob(strings.Repeat("a*", 1000)+"b"), strings.Repeat("a", 20000)) {
		t.Error("a thousand stars matched what they do not")
	}
}
