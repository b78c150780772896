package trust

import (
	"strings"
	"testing"
)

// Case is folded for A to Z alone: U+212A (KELVIN SIGN), U+017F (LONG S) and U+0130
// (I WITH DOT) are letters that Unicode folds into k, s and i, and no key of a request
// is spelled with them.
func TestCaseIsFoldedInASCIIOnly(t *testing.T) {
	t.Parallel()
	longHost := strings.Replace(testHost, "eks", `ek\u017f`, 1)
	run(t, []row{
		{"a tag's key", pods(`{"StringEquals":{"aws:RequestTag/\u212aubernetes-namespace":"demo"}}`), podID, Deny},
		{"a tag's key, negated", pods(`{"StringNotEquals":{"aws:RequestTag/\u212aubernetes-namespace":"demo"}}`), podID, Allow},
		{"a key", pods(`{"StringEquals":{"aws:\u017fourceAccount":"123456789012"}}`), podID, Deny},
		{"a key with a dotted I", pods(`{"Bool":{"aws:Princ\u0130palIsAWSService":"true"}}`), podID, Deny},
		{"an issuer", web(`{"StringEquals":{"` + longHost + `:sub":"SUB"}}`), irsa, Deny},
		{"an issuer in capitals", web(`{"StringEquals":{"` + strings.ToUpper(testHost) + `:sUb":"SUB"}}`), irsa, Allow},
		{"the claim", web(`{"StringEquals":{"HOST:\u017fub":"SUB"}}`), irsa, Deny},
		{"an action", strings.Replace(web(`{}`), "RoleWith", `RoleW\u0130th`, 1), irsa, Deny},
		{"an action in capitals", strings.Replace(web(`{}`), "sts:AssumeRoleWithWebIdentity", "STS:ASSUMEROLEWITHwEBIDENTITY", 1), irsa, Allow},
		{"a boolean", pods(`{"Bool":{"aws:ViaAWSService":["fal\u017fe"],"aws:SecureTransport":"TRUE"}}`), podID, Undecidable},
		{"a presence", pods(`{"Null":{"aws:SourceAccount":"fal\u017fe"}}`), podID, Undecidable},
		{"a variable", pods(`{"StringEquals":{"aws:SourceAccount":"${aws:\u017fourceAccount}"}}`), podID, Deny},

		// Whether StringEqualsIgnoreCase folds as Unicode does is written nowhere.
		{"a value, ignoring case", pods(`{"StringEqualsIgnoreCase":{"aws:RequestTag/kubernetes-service-account":"S3-READER"}}`), podID, Allow},
		{"a value that Unicode alone folds", pods(`{"StringEqualsIgnoreCase":{"aws:RequestTag/kubernetes-service-account":"\u017f3-reader"}}`), podID, Undecidable},
		{"a value that nothing folds", pods(`{"StringEqualsIgnoreCase":{"aws:RequestTag/kubernetes-service-account":"\u017f3-writer"}}`), podID, Deny},
		{"a value that Unicode alone folds, in a deny", podsDeny(`{"StringEqualsIgnoreCase":{"aws:RequestTag/kubernetes-service-account":"\u017f3-reader"}}`), podID, Undecidable},
	})
	for _, operator := range []string{`StringLi\u212ae`, `Str\u0130ngEquals`, `ForAllValue\u017f:StringEquals`, `StringEqualsIfEx\u0130sts`} {
		if d := mustParse(t, pods(`{"`+operator+`":{"aws:SourceAccount":"x"}}`)); d.Valid() == nil {
			t.Errorf("%s is taken for an operator", operator)
		}
	}
	for _, pair := range [][2]string{
		{`{"StringEquals":{"aws:TagKey\u017f":"x"}}`, `{"StringEquals":{"aws:TagKeys":"x"}}`},
		{`{"StringEquals":{"aws:To\u212aen":"x"}}`, `{"StringEquals":{"aws:Token":"x"}}`},
	} {
		if Equal(mustParse(t, pods(pair[0])), mustParse(t, pods(pair[1]))) {
			t.Errorf("%s equals %s", pair[0], pair[1])
		}
	}
	if a, b := strings.Replace(web(`{}`), "RoleWith", `RoleW\u0130th`, 1), web(`{}`); Equal(mustParse(t, a), mustParse(t, b)) {
		t.Errorf("%s equals %s", a, b)
	}
}

// A policy variable is one however its dollar sign is spelled: the version matters.
func TestEqualSeesVariablesBehindEscapes(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`${aws:SourceAccount}`, `\u0024{aws:SourceAccount}`, `$\u007baws:SourceAccount}`, `\u0024\u007Baws:SourceAccount\u007d`} {
		a := pods(`{"StringEquals":{"aws:SourceAccount":"` + value + `"}}`)
		b := strings.Replace(a, "2012-10-17", "2008-10-17", 1)
		run(t, []row{{value + " of 2012", a, podID, Allow}, {value + " of 2008", b, podID, Deny}})
		if Equal(mustParse(t, a), mustParse(t, b)) {
			t.Errorf("%s means the same in both versions", value)
		}
	}
	// Where variables have no meaning, neither has the version.
	for _, condition := range []string{`{"StringEquals":{"aws:SourceAccount":"$1"}}`, `{"NumericEquals":{"aws:SourceAccount":"${x}"}}`, `{}`} {
		a := pods(condition)
		if b := strings.Replace(a, "2012-10-17", "2008-10-17", 1); !Equal(mustParse(t, a), mustParse(t, b)) {
			t.Errorf("%s differs by version", condition)
		}
	}
}
