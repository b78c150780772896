package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"one", []string{"one"}},
		{"one two three", []string{"one two", "three"}},
		{"exactly 10", []string{"exactly 10"}},
		{"arn:aws:iam::123456789012:role/x is whole", []string{"arn:aws:iam::123456789012:role/x", "is whole"}},
		{"  spaces   go ", []string{"spaces go"}},
		{"äöü äöüß x", []string{"äöü äöüß x"}},
	} {
		if diff := cmp.Diff(tt.want, wrap(tt.in, 10)); diff != "" {
			t.Errorf("wrap(%q, 10) (-want +got)\n%s", tt.in, diff)
		}
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"short", `{"Effect":"Allow"}`, `{"Effect": "Allow"}`},
		{"a list that fits", `{"Action":["sts:AssumeRole","sts:TagSession"],"Effect":"Allow"}`,
			"{\n  \"Action\": [\"sts:AssumeRole\", \"sts:TagSession\"],\n  \"Effect\": \"Allow\"\n}"},
		{"one long member stays on one line", `{"a":{"b":"` + strings.Repeat("x", 80) + `"},"c":1}`,
			"{\n  \"a\": {\"b\": \"" + strings.Repeat("x", 80) + "\"},\n  \"c\": 1\n}"},
		{"braces in strings", `{"a":"{","b":"},","c":"["}`, `{"a": "{", "b": "},", "c": "["}`},
		{"empty", `{"a":{},"b":[]}`, `{"a": {}, "b": []}`},
		{"not JSON", "statement {", "statement {"},
	} {
		if got := strings.Join(statement(tt.in, 60), "\n"); got != tt.want {
			t.Errorf("%s: statement(%s)\ngot\n%s\nwant\n%s", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestShortNames(t *testing.T) {
	t.Parallel()
	const (
		reader  = "arn:aws:iam::123456789012:role/reader"
		other   = "arn:aws:iam::210987654321:role/reader"
		writer  = "arn:aws:iam::123456789012:role/team/writer"
		now     = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/NEW"
		before  = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"
		foreign = "arn:aws:iam::210987654321:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/OLD"
	)
	for _, tt := range []struct {
		name string
		d    Diff
		in   string
		want string
	}{
		{"a role", Diff{Mappings: []Mapping{{Role: writer}}}, "role " + writer + ", and more", "role writer, and more"},
		{"at the end of a sentence", Diff{Mappings: []Mapping{{Role: writer}}}, "it is " + writer + ".", "it is writer."},
		{"two roles of one name", Diff{Mappings: []Mapping{{Role: reader}}, Findings: []Finding{{Actual: other}}}, "was given " + other, "was given " + other},
		{"an OIDC provider", Diff{Findings: []Finding{{Message: now + " and " + before}}}, "through " + before, "through .../OLD"},
		{"one issuer in two accounts", Diff{Findings: []Finding{{Message: before + " and " + foreign}}}, "through " + before, "through " + before},
		{"an ARN that the report does not know", Diff{}, "was given " + other, "was given " + other},
	} {
		if got := tt.d.shortNames()(tt.in); got != tt.want {
			t.Errorf("%s: %q becomes %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestSummaryLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   Summary
		want string
	}{
		{Summary{}, "0 mappings, 0 in sync; 0 findings (0 critical, 0 warning, 0 info); 0 to write, 0 left; 0 gaps"},
		{Summary{Mappings: 1, InSync: 1, Findings: 1, Info: 1, Gaps: 1}, "1 mapping, 1 in sync; 1 finding (0 critical, 0 warning, 1 info); 0 to write, 0 left; 1 gap"},
	} {
		if got := tt.in.line(); got != tt.want {
			t.Errorf("%+v\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}
