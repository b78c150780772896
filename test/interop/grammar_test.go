//go:build nightly

package interop

import (
	"testing"

	"github.com/lanyard-io/lanyard/sync/trust"
)

// grammars are documents at the border of IAM's grammar. why is empty where both sides
// agree on whether IAM would take the document, and else says which of them is right.
var grammars = []struct{ name, text, why string }{
	{"whole", good(`"Sid":"A1",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"one statement, no list", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}}`, ""},
	{"no version", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"another version", `{"Version":"2012-10-18","Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"version as a number", `{"Version":2012,"Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"Id", `{"Id":"x","Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"element of no policy", `{"Comment":"x","Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"statement in lower case", `{"Version":"2012-10-17","statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"no statement", `{"Version":"2012-10-17"}`, ""},
	{"empty statements", `{"Version":"2012-10-17","Statement":[]}`, "lanyard: the grammar has <statement_list> begin with a statement"},
	{"statement is a string", `{"Version":"2012-10-17","Statement":"x"}`, ""},
	{"a list", `[]`, ""},
	{"a string", `"x"`, ""},
	{"null", `null`, ""},
	{"not JSON", `{"Version":`, ""},
	{"trailing comma", `{"Version":"2012-10-17",}`, ""},
	{"effect in lower case", `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"no effect", `{"Version":"2012-10-17","Statement":[{"Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"no principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`, ""},
	{"no action", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"}}]}`, ""},
	{"resource", good(`"Resource":"*",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"not resource", good(`"NotResource":"*",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"element of no statement", good(`"Note":"x",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"sid with a hyphen", good(`"Sid":"a-b",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), "lanyard: IAM takes A-Z, a-z and 0-9 in a Sid, other services more; the other side validates for all"},
	{"empty sid", good(`"Sid":"",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"sid as a number", good(`"Sid":1,`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"repeated sid", `{"Version":"2012-10-17","Statement":[` + one(`"Sid":"A",`) + `,` + one(`"Sid":"A",`) + `]}`, "lanyard: a Sid must be unique within a policy; the other side leaves it to its linter"},
	{"two sids", `{"Version":"2012-10-17","Statement":[` + one(`"Sid":"A",`) + `,` + one(`"Sid":"a",`) + `]}`, ""},
	{"principal and not principal", good(`"NotPrincipal":{"Service":"PODS"},`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"action and not action", good(`"NotAction":"sts:TagSession",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"everyone", good(``, `"*"`, `"sts:AssumeRole"`), ""},
	{"bare principal", good(``, `"arn:aws:iam::123456789012:root"`, `"sts:AssumeRole"`), "lanyard: the grammar knows no bare string but the star"},
	{"list of principals", good(``, `["*"]`, `"sts:AssumeRole"`), ""},
	{"empty principal", good(``, `{}`, `"sts:AssumeRole"`), "lanyard: the grammar asks for one entry at least"},
	{"empty list of services", good(``, `{"Service":[]}`, `"sts:AssumeRole"`), "lanyard: the grammar asks for one principal at least"},
	{"principal of no kind", good(``, `{"User":"x"}`, `"sts:AssumeRole"`), ""},
	{"principal in lower case", good(``, `{"service":"PODS"}`, `"sts:AssumeRole"`), ""},
	{"account number", good(``, `{"AWS":"123456789012"}`, `"sts:AssumeRole"`), ""},
	{"principal as a number", good(``, `{"AWS":123456789012}`, `"sts:AssumeRole"`), ""},
	{"canonical user", good(``, `{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`, `"sts:AssumeRole"`), ""},
	{"action without a vendor", good(``, `{"Service":"PODS"}`, `"AssumeRole"`), ""},
	{"star", good(``, `{"Service":"PODS"}`, `"*"`), ""},
	{"star colon star", good(``, `{"Service":"PODS"}`, `"*:*"`), "undecided: the grammar says <vendor>:<action>, policies that hold *:* are found in the wild"},
	{"empty list of actions", good(``, `{"Service":"PODS"}`, `[]`), "lanyard: the grammar asks for one action at least"},
	{"action as a number", good(``, `{"Service":"PODS"}`, `1`), ""},
	{"not principal with allow", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotPrincipal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, "lanyard: NotPrincipal with Allow is not supported, says the page on NotPrincipal"},
	{"not principal with deny", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotPrincipal":{"Service":"PODS"},"Action":"sts:AssumeRole"}]}`, ""},
	{"empty condition", on(`{}`), ""},
	{"empty operator", on(`{"StringEquals":{}}`), ""},
	{"condition as a list", on(`[]`), ""},
	{"unknown operator", on(`{"StringIs":{"a:b":"c"}}`), "lanyard: MalformedPolicyDocument, says IAM; the other side only finds that nothing matches"},
	{"operator in lower case", on(`{"stringequals":{"aws:SourceAccount":"c"}}`), ""},
	{"operator twice in different case", on(`{"StringEquals":{"aws:SourceAccount":"c"},"stringequals":{"aws:SourceArn":"c"}}`), "lanyard is strict: Access Analyzer calls it an error, the grammar is silent"},
	{"key twice in different case", on(`{"StringEquals":{"aws:SourceAccount":"c","aws:sourceaccount":"d"}}`), "lanyard is strict: Access Analyzer calls it an error, the grammar is silent"},
	{"empty list of values", on(`{"StringEquals":{"aws:SourceAccount":[]}}`), "lanyard: the grammar asks for one value at least"},
	{"null value", on(`{"StringEquals":{"aws:SourceAccount":null}}`), ""},
	{"object value", on(`{"StringEquals":{"aws:SourceAccount":{}}}`), ""},
	{"number value", on(`{"NumericEquals":{"aws:EpochTime":1}}`), ""},
	{"boolean value", on(`{"Bool":{"aws:SecureTransport":true}}`), ""},
	{"empty key", on(`{"StringEquals":{"":"c"}}`), "lanyard is strict: no condition key is empty, the grammar is silent"},
	{"set operator on Null", on(`{"ForAnyValue:Null":{"aws:TagKeys":"true"}}`), ""},
	{"NullIfExists", on(`{"NullIfExists":{"aws:TagKeys":"true"}}`), "lanyard: IfExists goes with any operator except Null, says the page on operators"},
	{"unknown set operator", on(`{"ForSomeValues:StringEquals":{"aws:TagKeys":"c"}}`), ""},
	{"element twice", good(`"Effect":"Deny",`, `{"Service":"PODS"}`, `"sts:AssumeRole"`), "lanyard: elements must not contain the same key twice; JSON.parse keeps the last and tells nobody"},
}

func one(head string) string {
	return `{` + head + `"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole"}`
}

func good(head, principal, action string) string {
	return `{"Version":"2012-10-17","Statement":[{` + head + `"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `}]}`
}

func on(condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"PODS"},"Action":"sts:AssumeRole","Condition":` + condition + `}]}`
}

// TestTrustGrammar asks both sides which documents IAM would refuse.
func TestTrustGrammar(t *testing.T) {
	t.Parallel()
	var questions []question
	for _, g := range grammars {
		questions = append(questions, question{Policy: short.Replace(g.text), Calls: []call{}})
	}
	for i, a := range ask(t, questions) {
		g := grammars[i]
		doc, err := trust.Parse(questions[i].Policy)
		if err == nil {
			err = doc.Valid()
		}
		refuses := len(a.Invalid) > 0 || a.Thrown != ""
		if differ := refuses != (err != nil); differ != (g.why != "") {
			t.Errorf("%s: %s\n lanyard %v\n other   %v %s\n explained by %q", g.name, questions[i].Policy, err, a.Invalid, a.Thrown, g.why)
		}
	}
}
