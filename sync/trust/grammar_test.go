package trust

import (
	"errors"
	"strings"
	"testing"
)

// What IAM's grammar refuses:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func TestValid(t *testing.T) {
	t.Parallel()
	stmt := func(s string) string { return expand(`{"Version":"2012-10-17","Statement":[` + s + `]}`) }
	cond := func(s string) string {
		return stmt(`{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole","Condition":` + s + `}`)
	}
	const good = `{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}`
	for _, tt := range []struct{ name, doc, want string }{
		{"good", stmt(good), ""},
		{"Id", expand(`{"Id":"x y","Statement":` + good + `}`), ""},
		{"2008", expand(`{"Version":"2008-10-17","Statement":` + good + `}`), ""},
		{"empty Sids may repeat", stmt(`{"Sid":"","Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"},{"Sid":"","Effect":"Deny","Principal":PODS,"Action":"sts:AssumeRole"}`), ""},
		{"canonical user", stmt(`{"Effect":"Allow","Principal":{"CanonicalUser":"x"},"Action":"sts:AssumeRole"}`), ""},
		{"numbers and booleans as values", cond(`{"StringEquals":{"a:b":[1,true,"x"]}}`), ""},

		{"no statement", `{"Version":"2012-10-17"}`, "there is no Statement"},
		{"empty statement list", stmt(""), "the list of statements is empty"},
		{"statement is text", `{"Statement":"x"}`, "Statement must be a statement or a list"},
		{"statement in list is text", stmt(`"x"`), "a statement is an object"},
		{"lower-case element", `{"statement":[]}`, `"statement" is no element`},
		{"unknown element", expand(`{"Statement":` + good + `,"X":1}`), `"X" is no element`},
		{"wrong version", expand(`{"Version":"2012-10-18","Statement":` + good + `}`), "Version must be"},
		{"version as number", expand(`{"Version":2012,"Statement":` + good + `}`), "Version must be"},
		{"Id as list", expand(`{"Id":[],"Statement":` + good + `}`), "Id must be a string"},
		{"unknown statement element", stmt(`{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole","Note":"x"}`), `"Note" is no element`},
		{"lower-case effect element", stmt(`{"effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}`), `"effect" is no element`},
		{"resource", stmt(`{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole","Resource":"*"}`), "cannot have Resource"},
		{"not resource", stmt(`{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole","NotResource":"*"}`), "cannot have NotResource"},
		{"no effect", stmt(`{"Principal":PODS,"Action":"sts:AssumeRole"}`), "no Effect"},
		{"no principal", stmt(`{"Effect":"Allow","Action":"sts:AssumeRole"}`), "no Principal"},
		{"no action", stmt(`{"Effect":"Allow","Principal":PODS}`), "no Action"},
		{"effect in lower case", stmt(`{"Effect":"allow","Principal":PODS,"Action":"sts:AssumeRole"}`), "Effect must be"},
		{"both principals", stmt(`{"Effect":"Deny","Principal":PODS,"NotPrincipal":PODS,"Action":"sts:AssumeRole"}`), "not both"},
		{"both actions", stmt(`{"Effect":"Deny","Principal":PODS,"Action":"sts:X","NotAction":"sts:Y"}`), "not both"},
		{"allow but", stmt(`{"Effect":"Allow","NotPrincipal":PODS,"Action":"sts:AssumeRole"}`), "works with Deny only"},
		{"bare principal", stmt(`{"Effect":"Allow","Principal":"pods.eks.amazonaws.com","Action":"sts:AssumeRole"}`), "Principal must be"},
		{"principal list", stmt(`{"Effect":"Allow","Principal":["*"],"Action":"sts:AssumeRole"}`), "Principal must be"},
		{"no principals", stmt(`{"Effect":"Allow","Principal":{},"Action":"sts:AssumeRole"}`), "Principal must be"},
		{"empty principals", stmt(`{"Effect":"Allow","Principal":{"Service":[]},"Action":"sts:AssumeRole"}`), "list of Service principals is empty"},
		{"empty principal", stmt(`{"Effect":"Allow","Principal":{"Service":""},"Action":"sts:AssumeRole"}`), "a principal is empty"},
		{"kind of principal", stmt(`{"Effect":"Allow","Principal":{"aws":"*"},"Action":"sts:AssumeRole"}`), "no kind of principal"},
		{"principal as number", stmt(`{"Effect":"Allow","Principal":{"AWS":123456789012},"Action":"sts:AssumeRole"}`), "must be a string or a list"},
		{"principal as number in list", stmt(`{"Effect":"Allow","Principal":{"AWS":[1]},"Action":"sts:AssumeRole"}`), "must be strings"},
		{"empty actions", stmt(`{"Effect":"Allow","Principal":PODS,"Action":[]}`), "list of actions is empty"},
		{"action without a service", stmt(`{"Effect":"Allow","Principal":PODS,"Action":"AssumeRole"}`), `action "AssumeRole" is not like`},
		{"repeated Sid", stmt(`{"Sid":"a","Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"},{"Sid":"a","Effect":"Deny","Principal":PODS,"Action":"sts:X"}`), "also that of statement 1"},
		{"Sid with a space", stmt(`{"Sid":"a b","Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}`), "letters and digits"},
		{"Sid as number", stmt(`{"Sid":1,"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}`), "Sid must be a string"},
		{"condition as list", cond(`[]`), "Condition must be an object"},
		{"unknown operator", cond(`{"StringMatches":{"a:b":"x"}}`), `"StringMatches" is no condition operator`},
		{"unknown set operator", cond(`{"ForSomeValues:StringEquals":{"a:b":"x"}}`), "no condition operator"},
		{"null if exists", cond(`{"NullIfExists":{"a:b":"true"}}`), "no condition operator"},
		{"operator as text", cond(`{"StringEquals":"x"}`), "must hold an object"},
		{"operator twice", cond(`{"StringEquals":{"a:b":"x"},"stringEquals":{"a:c":"x"}}`), "stands twice, in different case"},
		{"key twice", cond(`{"StringEquals":{"a:b":"x","A:b":"y"}}`), "stands twice, in different case"},
		{"empty key", cond(`{"StringEquals":{"":"x"}}`), "key is empty"},
		{"no values", cond(`{"StringEquals":{"a:b":[]}}`), "list of values for a:b is empty"},
		{"null as value", cond(`{"StringEquals":{"a:b":null}}`), "must be a string, a number or a boolean"},
		{"object as value", cond(`{"StringEquals":{"a:b":[{}]}}`), "must be a string, a number or a boolean"},
		{"beyond Latin-1", stmt(`{"Sid":"","Effect":"Allow","Principal":{"AWS":"ł"},"Action":"sts:AssumeRole"}`), "beyond Latin-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mustParse(t, tt.doc)
			err := d.Valid()
			if tt.want == "" {
				if err != nil {
					t.Errorf("Valid(%s) = %v, want nil", tt.doc, err)
				}
				return
			}
			var g *GrammarError
			if !errors.As(err, &g) || !strings.Contains(g.What, tt.want) {
				t.Errorf("Valid(%s) = %v, want a *GrammarError with %q", tt.doc, err, tt.want)
			}
			if v := d.Evaluate(podID); v.Decision != Undecidable || v.Cause != BadDocument {
				t.Errorf("Evaluate(%s) = %+v, want undecidable for bad-document", tt.doc, v)
			}
			if d.Digest() == "" || d.Digest() != mustParse(t, " "+tt.doc).Digest() {
				t.Errorf("Digest(%s) = %q, want one that white space does not change", tt.doc, d.Digest())
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"", "line 1, column 1: want a JSON value, found the end"},
		{"[]", "line 1, column 1: a trust policy is an object, this is a list"},
		{"{}x", `line 1, column 3: something follows the document: 'x'`},
		{"{\n \"a\":1,\n \"a\":2}", `line 3, column 2: "a" stands twice in one object`},
		{`{"a":1,"\u0061":2}`, `line 1, column 8: "a" stands twice in one object`},
		{`{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"9":1}`, `column 63: "9" stands twice in one object`},
		{`{"a":1,}`, `column 8: want a name in quotes, found '}'`},
		{`{"a" 1}`, `column 6: want ':', found '1'`},
		{`{"a":1 "b":2}`, `column 8: want ',' or '}', found '"'`},
		{`{"a":[1 2]}`, `column 9: want ',' or ']', found '2'`},
		{`{"a":[1,]}`, `column 9: want a JSON value, found ']'`},
		{`{"a":01}`, `column 6: not a JSON number`},
		{`{"a":1.}`, `column 6: not a JSON number`},
		{`{"a":1e}`, `column 6: not a JSON number`},
		{`{"a":-}`, `column 6: not a JSON number`},
		{`{"a":nul}`, `column 6: want a JSON value, found 'n'`},
		{`{"a":"x`, `column 6: the string has no closing quote`},
		{"{\"a\":\"\x01\"}", `column 7: a control character`},
		{`{"a":"\x"}`, `column 7: no such escape`},
		{`{"a":"\u12"}`, `column 7: \u needs four hexadecimal digits`},
		{`{"a":"\ud800"}`, `column 7: half of a surrogate pair`},
		{`{"a":"\udc00\ud800"}`, `column 7: half of a surrogate pair`},
		{"{\"a\":\"\xff\"}", `column 7: not UTF-8`},
		{"\ufeff{}", `column 1: want a JSON value`},
		{strings.Repeat("[", 100), "column 18: nested more than 16 deep"},
		{strings.Repeat(" ", maxBytes) + "{}", "longer than 65536 bytes"},
	} {
		d, err := Parse(tt.text)
		var p *ParseError
		if d != nil || !errors.As(err, &p) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%.60q) = %v, %v, want a *ParseError with %q", tt.text, d, err, tt.want)
		}
	}
	d := mustParse(t, `{"Id":"\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00","Statement":{"x":[-0,0.5,1e9,2E-3,true,false,null]}}`)
	if d.Valid() == nil || len(d.Statements()) != 1 {
		t.Errorf("%s: want one statement that the grammar refuses, got %d, %v", d.Text(), len(d.Statements()), d.Valid())
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	if got, err := Decode("%7B%22a%22%3A%20%22x+y%22%7D"); got != `{"a": "x+y"}` || err != nil {
		t.Errorf("Decode = %q, %v, want the plus sign kept", got, err)
	}
	if _, err := Decode("%7"); err == nil || !strings.HasPrefix(err.Error(), "decode trust policy: ") {
		t.Errorf("Decode of half an escape: %v, want an error that says what", err)
	}
}

// Meaning: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
func TestEqual(t *testing.T) {
	t.Parallel()
	const base = `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com","AWS":"123456789012"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:SourceAccount":["1","2"]},"ArnLike":{"aws:SourceArn":"x"}}},{"Effect":"Deny","NotPrincipal":{"AWS":"x"},"NotAction":"sts:*"}]}`
	for _, tt := range []struct {
		name, old, new string
		want           bool
	}{
		{"same", "", "", true},
		{"space", `,"Action"`, " ,\n\t\"Action\" ", true},
		{"Sid", `"Sid":"a",`, `"Sid":"b",`, true},
		{"Id", `"Version"`, `"Id":"x","Version"`, true},
		{"version without variables", "2012-10-17", "2008-10-17", true},
		{"order of values", `["1","2"]`, `["2","1"]`, true},
		{"repeated value", `["1","2"]`, `["2","1","2"]`, true},
		{"list of one", `"aws:SourceArn":"x"`, `"aws:SourceArn":["x"]`, true},
		{"case of keys", "aws:SourceAccount", "AWS:sourceAccount", true},
		{"case of operators", `"StringEquals"`, `"stringequals"`, true},
		{"operators that mean the same", "ArnLike", "ArnEquals", true},
		{"like without wildcards", "StringEquals", "StringLike", true},
		{"order of actions", `["sts:AssumeRole","sts:TagSession"]`, `["STS:tagsession","sts:AssumeRole"]`, true},
		{"account's ARN", `"123456789012"`, `"arn:aws:iam::123456789012:root"`, true},
		{"escapes", `"sts:*"`, `"\u0073ts:*"`, true},
		{"value", `["1","2"]`, `["1"]`, false},
		{"case of values", `"aws:SourceArn":"x"`, `"aws:SourceArn":"X"`, false},
		{"effect", `"Effect":"Allow"`, `"Effect":"Deny"`, false},
		{"principal", `"NotPrincipal":{"AWS":"x"}`, `"NotPrincipal":{"AWS":"y"}`, false},
		{"kind of principal", `"NotPrincipal":{"AWS":"x"}`, `"NotPrincipal":{"Service":"x"}`, false},
		{"principal but", `"NotPrincipal":`, `"Principal":`, false},
		{"action but", `"NotAction"`, `"Action"`, false},
		{"action", `"sts:*"`, `"sts:TagSession"`, false},
		{"if exists", `"StringEquals"`, `"StringEqualsIfExists"`, false},
		{"set operator", `"StringEquals"`, `"ForAnyValue:StringEquals"`, false},
		{"operator", `"StringEquals"`, `"StringNotEquals"`, false},
		{"key", "aws:SourceAccount", "aws:SourceOrgId", false},
	} {
		other := strings.Replace(base, tt.old, tt.new, 1)
		a, b := mustParse(t, base), mustParse(t, other)
		if a.Valid() != nil || b.Valid() != nil {
			t.Fatalf("%s: %v, %v", tt.name, a.Valid(), b.Valid())
		}
		if got := Equal(a, b); got != tt.want {
			t.Errorf("%s: Equal\n a    %s\n b    %s\n got  %v, want %v", tt.name, base, other, got, tt.want)
		}
	}
	swapped := mustParse(t, `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*"},{"Effect":"Allow","Principal":"*","Action":"*"}]}`)
	if !Equal(swapped, mustParse(t, `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*"},{"Effect":"Deny","Principal":"*","Action":"*"}]}`)) {
		t.Error("the order of statements changed the meaning")
	}
	variable := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"StringEquals":{"a:b":"${c:d}"}}}}`
	if Equal(mustParse(t, variable), mustParse(t, strings.Replace(variable, "2012", "2008", 1))) {
		t.Error("a variable means the same in both versions, want it literal in 2008")
	}
	if Equal(nil, nil) || Equal(nil, swapped) {
		t.Error("a document that could not be read equals something")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{"Id":"a b"}`:                    12,
		"{ \"Id\" :\n\t\"a b\" }\r\n":     12,
		`{"Id":"é"}`:                      10,
		`{"Id":"\u00e9"}`:                 15,
		`{"Id":"\" x"}`:                   13,
		`{"Id":"\\" , "Statement" : "x"}`: 27,
	} {
		if got := mustParse(t, text).Size(); got != want {
			t.Errorf("Size(%q) = %d, want %d", text, got, want)
		}
	}
}
