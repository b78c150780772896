package identity_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func TestParseRoleARN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want identity.RoleARN
	}{
		{"arn:aws:iam::123456789012:role/s3-reader", identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "s3-reader"}},
		{"arn:aws:iam::123456789012:role/team/a/s3-reader", identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/team/a/", Name: "s3-reader"}},
		{"arn:aws-cn:iam::123456789012:role/x+=,.@_-y", identity.RoleARN{Partition: "aws-cn", Account: "123456789012", Path: "/", Name: "x+=,.@_-y"}},
		{"arn:aws-us-gov:iam::123456789012:role/r", identity.RoleARN{Partition: "aws-us-gov", Account: "123456789012", Path: "/", Name: "r"}},
	} {
		got, err := identity.ParseRoleARN(tt.in)
		if err != nil || got != tt.want || got.String() != tt.in {
			t.Errorf("ParseRoleARN(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
	for name, in := range map[string]string{
		"empty":                "",
		"a name":               "s3-reader",
		"another service":      "arn:aws:s3:::bucket",
		"a user":               "arn:aws:iam::123456789012:user/u",
		"a Region":             "arn:aws:iam:eu-west-1:123456789012:role/r",
		"a short account":      "arn:aws:iam::1234:role/r",
		"an account of words":  "arn:aws:iam::12345678901x:role/r",
		"no name":              "arn:aws:iam::123456789012:role/",
		"a slash at the end":   "arn:aws:iam::123456789012:role/team/",
		"a name with a space":  "arn:aws:iam::123456789012:role/a b",
		"a wildcard":           "arn:aws:iam::123456789012:role/*",
		"a name too long":      "arn:aws:iam::123456789012:role/" + strings.Repeat("a", 65),
		"a path too long":      "arn:aws:iam::123456789012:role/" + strings.Repeat("a", 520) + "/r",
		"another partition":    "arn:gcp:iam::123456789012:role/r",
		"a session":            "arn:aws:sts::123456789012:assumed-role/r/s",
		"a line break":         "arn:aws:iam::123456789012:role/r\n",
		"something before it":  " arn:aws:iam::123456789012:role/r",
		"capitals in the head": "ARN:aws:iam::123456789012:role/r",
	} {
		if got, err := identity.ParseRoleARN(in); err == nil {
			t.Errorf("%s: ParseRoleARN(%q) = %+v; want an error", name, in, got)
		}
	}
}

// TestTextForms: what is written is read back as it was.
func TestTextForms(t *testing.T) {
	t.Parallel()
	type all struct {
		Subject   identity.Subject
		Role      identity.RoleARN
		Mechanism identity.Mechanism
		Width     identity.Width
	}
	for _, in := range []all{
		{identity.Subject{Namespace: "demo", ServiceAccount: "reader"}, identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "r"}, identity.IRSA, identity.WidthPinned},
		{identity.Subject{Namespace: "a", ServiceAccount: "b.c"}, identity.RoleARN{}, identity.PodIdentity, identity.WidthBare},
		{identity.Subject{Namespace: "a", ServiceAccount: "b"}, identity.RoleARN{}, identity.Auto, identity.WidthAccount},
		{identity.Subject{Namespace: "a", ServiceAccount: "b"}, identity.RoleARN{}, identity.None, identity.WidthCluster},
	} {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out all
		if err := json.Unmarshal(b, &out); err != nil || out != in {
			t.Errorf("%s reads back as %+v, %v; want %+v", b, out, err, in)
		}
	}
	for _, bad := range []string{`{"Subject":"demo"}`, `{"Subject":"a/b/c"}`, `{"Subject":"/b"}`, `{"Role":"x"}`, `{"Mechanism":"IRSA"}`, `{"Width":"wide"}`} {
		var out all
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s is read as %+v; want an error", bad, out)
		}
	}
}

func TestOIDCSubject(t *testing.T) {
	t.Parallel()
	s := identity.Subject{Namespace: "demo", ServiceAccount: "reader"}
	if got := s.OIDCSubject(); got != "system:serviceaccount:demo:reader" {
		t.Errorf("OIDCSubject() = %q", got)
	}
	if got, ok := identity.ParseOIDCSubject(s.OIDCSubject()); !ok || got != s {
		t.Errorf("ParseOIDCSubject = %v, %t; want %v", got, ok, s)
	}
	for _, bad := range []string{"", "system:serviceaccount:demo", "system:serviceaccount::x", "system:serviceaccount:a:b:c", "user:demo:reader"} {
		if got, ok := identity.ParseOIDCSubject(bad); ok {
			t.Errorf("ParseOIDCSubject(%q) = %v; want none", bad, got)
		}
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:eks:eu-west-1:123456789012:cluster/irsa-lab"
	c, err := identity.ParseClusterARN(arn)
	if err != nil || c.ARN() != arn || c.Name != "irsa-lab" || c.Region != "eu-west-1" {
		t.Errorf("ParseClusterARN(%q) = %+v, %v", arn, c, err)
	}
	for _, bad := range []string{"", "arn:aws:eks:eu-west-1:123456789012:cluster/", "arn:aws:eks::123456789012:cluster/x", "arn:aws:iam::123456789012:role/x", "arn:aws:eks:eu-west-1:12:cluster/x",
		"arn:aws:eks:eu-west-1:123456789012:cluster/x\n---\nkind: IdentityMapping", "arn:aws:eks:eu-west-1\n:123456789012:cluster/x", "arn:aws:eks:eu-west-1:123456789012:cluster/" + strings.Repeat("x", 101)} {
		if got, err := identity.ParseClusterARN(bad); err == nil {
			t.Errorf("ParseClusterARN(%q) = %+v; want an error", bad, got)
		}
	}
	i := identity.Issuer("https://oidc.eks.eu-west-1.amazonaws.com/id/ABC")
	if i.HostPath() != "oidc.eks.eu-west-1.amazonaws.com/id/ABC" || i.ID() != "ABC" ||
		i.ProviderARN("aws", "123456789012") != "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC" {
		t.Errorf("issuer %q: %q, %q, %q", i, i.HostPath(), i.ID(), i.ProviderARN("aws", "123456789012"))
	}
	if (identity.Cluster{}).ARN() != "" {
		t.Errorf("the zero cluster has ARN %q", identity.Cluster{}.ARN())
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	got := []identity.Subject{{Namespace: "b", ServiceAccount: "a"}, {Namespace: "a", ServiceAccount: "z"}, {Namespace: "a", ServiceAccount: "b"}}
	slices.SortFunc(got, identity.Subject.Compare)
	want := []identity.Subject{{Namespace: "a", ServiceAccount: "b"}, {Namespace: "a", ServiceAccount: "z"}, {Namespace: "b", ServiceAccount: "a"}}
	if !slices.Equal(got, want) {
		t.Errorf("sorted %v, want %v", got, want)
	}
}

func FuzzParseRoleARN(f *testing.F) {
	f.Add("arn:aws:iam::123456789012:role/team/s3-reader")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := identity.ParseRoleARN(s)
		if err == nil && r.String() != s {
			t.Errorf("ParseRoleARN(%q).String() = %q", s, r)
		}
	})
}

// TestIsProbe: name and label must agree, and a name that is only alike is nobody's probe.
func TestIsProbe(t *testing.T) {
	t.Parallel()
	label := map[string]string{identity.ProbeLabel: identity.ProbeLabelValue, "job-name": "x"}
	for _, tt := range []struct {
		name   string
		labels map[string]string
		want   bool
	}{
		{"lanyard-whoami-0123456789abcdef", label, true},
		{"lanyard-whoami-0123456789abcdef", nil, false},
		{"lanyard-whoami-0123456789abcdef", map[string]string{identity.ProbeLabel: "x"}, false},
		{"lanyard-whoami-0123456789abcde", label, false},
		{"lanyard-whoami-0123456789abcdeff", label, false},
		{"lanyard-whoami-0123456789abcdeg", label, false},
		{"whoami-0123456789abcdef", label, false},
		{"", label, false},
	} {
		if got := identity.IsProbe(tt.name, tt.labels); got != tt.want {
			t.Errorf("IsProbe(%q, %v): got %t, want %t", tt.name, tt.labels, got, tt.want)
		}
	}
}
