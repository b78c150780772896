package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	testIssuer   = "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
	testProvider = "arn:aws:iam::123456789012:oidc-provider/" + testIssuer
	testRequest  = `{"op":"add","mechanism":"irsa","issuer":"https://` + testIssuer + `","providerARN":"` + testProvider + `","namespace":"demo","serviceAccount":"s3-reader","audience":"sts.amazonaws.com"}`
)

// webPolicy lets the provider's tokens in, under a condition.
func webPolicy(condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"` + testProvider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":` + condition + `}}`
}

// answers runs a batch, the answer of which must be JSON whatever came.
func answers(t testing.TB, verb, requests string) []map[string]any {
	t.Helper()
	var stdout, stderr bytes.Buffer
	world := World{Stdin: strings.NewReader(requests), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}
	if code := Main(t.Context(), []string{"trust", verb, "--batch", "-"}, world); code != exitOK {
		t.Fatalf("trust %s ends with %d: %s", verb, code, stderr.String())
	}
	var out []map[string]any
	d := json.NewDecoder(bytes.NewReader(stdout.Bytes()))
	d.UseNumber() // 1e999 is JSON
	if err := d.Decode(&out); err != nil || !utf8.Valid(stdout.Bytes()) {
		t.Fatalf("trust %s answers %v, what is not JSON in UTF-8: %.300q", verb, err, stdout.Bytes())
	}
	return out
}

// A bad element has its answer in its place, and its neighbours have theirs.
func TestBatchSurvivesAnyElement(t *testing.T) {
	t.Parallel()
	good := `{"id":"good","trustPolicy":` + webPolicy(`{}`) + `,"request":` + testRequest + `,"edit":` + testRequest + `}`
	for _, bad := range []string{
		`null`, `7`, `"x"`, `[]`, `{}`, `{"id":1,}`, `{"id":bad}`, `{"id":"\ud800"}`, "{\"id\":\"\xff\"}",
		`{"trustPolicy":null}`, `{"trustPolicy":1e999}`, `{"trustPolicy":[]}`, `{"trustPolicy":""}`, `{"trustPolicy":"\""}`,
		"{\"trustPolicy\":\"\xff\"}", `{"trustPolicy":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
		`{"trustPolicy":"` + strings.Repeat("x", 100000) + `"}`,
		`{"trustPolicy":` + webPolicy(`{}`) + `}`,
		`{"trustPolicy":` + webPolicy(`{}`) + `,"request":null,"edit":7}`,
		`{"trustPolicy":` + webPolicy(`{}`) + `,"request":{"mechanism":7},"edit":{"mechanism":null}}`,
		`{"trustPolicy":` + webPolicy(`{}`) + `,"request":` + strings.Replace(testRequest, `"demo"`, `[]`, 1) + `,"edit":` + strings.Replace(testRequest, `"add"`, `"drop"`, 1) + `}`,
	} {
		batch := "[" + good + "," + bad + ",\n" + good + "]"
		out := answers(t, "eval", batch)
		if len(out) != 3 || out[0]["decision"] != "allow" || out[2]["decision"] != "allow" || out[1]["decision"] == "allow" || len(out[1]) != 3 {
			t.Errorf("eval beside %.100q: %v", bad, out)
		}
		out = answers(t, "edit", batch)
		if len(out) != 3 || out[0]["error"] != nil || out[2]["error"] != nil || out[1]["error"] == nil || out[1]["changed"] != false {
			t.Errorf("edit beside %.100q: %v", bad, out)
		}
	}
}

// It is now: a grant that has run out is none. An edit does not build on the time.
func TestBatchKnowsTheTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ condition, want string }{
		{`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, "allow"},
		{`{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, "deny"},
		{`{"NumericGreaterThan":{"aws:EpochTime":"1577836800"}}`, "allow"},
	} {
		element := `[{"id":1,"trustPolicy":` + webPolicy(tt.condition) + `,"request":` + testRequest + `,"edit":` + testRequest + `}]`
		if out := answers(t, "eval", element); out[0]["decision"] != tt.want {
			t.Errorf("%s: %v, want %s", tt.condition, out[0], tt.want)
		}
		if out := answers(t, "edit", element); out[0]["changed"] != true {
			t.Errorf("%s: a grant for a time is taken for a grant: %v", tt.condition, out[0])
		}
	}
}

// BenchmarkTrustBatch answers a thousand elements with a document each.
func BenchmarkTrustBatch(b *testing.B) {
	var elements []string
	for i := range 1000 {
		condition := fmt.Sprintf(`{"StringEquals":{"%s:aud":"sts.amazonaws.com"},"StringLike":{"%s:sub":["system:serviceaccount:demo:%d","system:serviceaccount:demo:s3-%c*"]}}`, testIssuer, testIssuer, i, 'r'+rune(i%2))
		elements = append(elements, fmt.Sprintf(`{"id":%d,"trustPolicy":%s,"request":%s,"edit":%s}`, i, webPolicy(condition), testRequest, testRequest))
	}
	batch := "[" + strings.Join(elements, ",\n") + "]"
	for _, verb := range []string{"eval", "edit"} {
		b.Run(verb, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				answers(b, verb, batch)
			}
		})
	}
}
