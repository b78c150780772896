package awsd_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

func richRole() awsd.Role {
	return awsd.Role{
		ARN: "arn:aws:iam::123456789012:role/team/a/rich", Trust: `{"Version": "2012-10-17", "Statement": [{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"aws:PrincipalTag/x+y":"é %"}}}]}`,
		Description: "rich <&>", Tags: map[string]string{"team": "a", "env": "b"}, MaxSessionDuration: 2 * time.Hour,
		Inline:   map[string]string{"in": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`},
		Attached: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"},
		Boundary: "arn:aws:iam::123456789012:policy/edge", SourceRoleTemplate: "arn:aws:iam::aws:role-template/x",
		LastUsed: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), LastUsedRegion: region,
	}
}

func TestGetRoleShowsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	rich := richRole()
	w.must(w.PutRole(rich))
	out, err := w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("rich")})
	w.must(err)
	r := out.Role
	if strings.ContainsAny(*r.AssumeRolePolicyDocument, " +{\"") {
		t.Errorf("document is not RFC 3986 encoded: %s", *r.AssumeRolePolicyDocument)
	}
	doc, err := url.PathUnescape(*r.AssumeRolePolicyDocument)
	w.must(err)
	got := []any{*r.Arn, *r.Path, *r.RoleName, doc, *r.Description, *r.MaxSessionDuration, *r.PermissionsBoundary.PermissionsBoundaryArn,
		*r.SourceRoleTemplate.TemplateArn, len(r.Tags), *r.RoleLastUsed.LastUsedDate, *r.RoleLastUsed.Region, strings.HasPrefix(*r.RoleId, "AROA"), *r.CreateDate}
	want := []any{rich.ARN, "/team/a/", "rich", rich.Trust, rich.Description, int32(7200), rich.Boundary,
		rich.SourceRoleTemplate, 2, rich.LastUsed, region, true, w.clock.Now()}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("GetRole (-want +got):\n%s", d)
	}
}

// ListRoles leaves out what IAM leaves out: a reader that needs tags must ask elsewhere.
func TestListRolesOmits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutRole(richRole()))
	out, err := w.iam(acct).ListRoles(w.ctx(), &iam.ListRolesInput{PathPrefix: aws.String("/team/")})
	w.must(err)
	if len(out.Roles) != 1 {
		t.Fatalf("roles under /team/: got %d, want 1", len(out.Roles))
	}
	r := out.Roles[0]
	if r.Tags != nil || r.PermissionsBoundary != nil || r.RoleLastUsed != nil || r.AssumeRolePolicyDocument == nil || *r.MaxSessionDuration != 7200 {
		t.Errorf("ListRoles: got %+v, want no tags, boundary, RoleLastUsed; a document and MaxSessionDuration", r)
	}
	_, err = w.iam(acct).ListRoles(w.ctx(), &iam.ListRolesInput{PathPrefix: aws.String("team/")})
	wantError(t, err, "ValidationError", 400, "pathPrefix")
}

func TestAuthorizationDetails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	rich := richRole()
	w.must(w.PutRole(rich))
	w.must(w.PutPolicy(awsd.Policy{ARN: rich.Boundary, Document: "{}"}))
	out, err := w.iam(acct).GetAccountAuthorizationDetails(w.ctx(), &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}})
	w.must(err)
	if len(out.RoleDetailList) != 2 || len(out.Policies) != 0 {
		t.Fatalf("details: got %d roles and %d policies, want 2 and 0", len(out.RoleDetailList), len(out.Policies))
	}
	r := out.RoleDetailList[1]
	doc, _ := url.PathUnescape(*r.RolePolicyList[0].PolicyDocument)
	got := []any{*r.Arn, len(r.Tags), *r.AttachedManagedPolicies[0].PolicyName, *r.RolePolicyList[0].PolicyName, doc, *r.PermissionsBoundary.PermissionsBoundaryArn, *r.RoleLastUsed.Region}
	want := []any{rich.ARN, 2, "ReadOnlyAccess", "in", rich.Inline["in"], rich.Boundary, region}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("role detail (-want +got):\n%s", d)
	}
	all, err := w.iam(acct).GetAccountAuthorizationDetails(w.ctx(), &iam.GetAccountAuthorizationDetailsInput{})
	w.must(err)
	if len(all.RoleDetailList) != 2 || len(all.Policies) != 1 || *all.Policies[0].PolicyName != "edge" {
		t.Errorf("details without filter: got %d roles, %d policies; want 2 and the one named edge", len(all.RoleDetailList), len(all.Policies))
	}
	_, err = w.iam(acct).GetAccountAuthorizationDetails(w.ctx(), &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{"Pod"}})
	wantError(t, err, "ValidationError", 400, "Pod")
}

// A page that is not the last holds fewer than asked for, and only IsTruncated says so.
func TestIAMPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	want := []string{"eks-irsa-lab-demo-s3-reader-role"}
	for i := range 1100 {
		name := fmt.Sprintf("r-%04d", i)
		want = append(want, name)
		w.must(w.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/" + name, Trust: podTrust}))
	}
	c := w.iam(acct)
	tests := []struct {
		name  string
		max   *int32
		first int
	}{
		{"default is 100", nil, 99}, {"largest", aws.Int32(1000), 999}, {"small", aws.Int32(7), 6}, {"one", aws.Int32(1), 1},
	}
	for _, tt := range tests {
		out, err := c.ListRoles(w.ctx(), &iam.ListRolesInput{MaxItems: tt.max})
		w.must(err)
		if len(out.Roles) != tt.first || !out.IsTruncated || out.Marker == nil {
			t.Errorf("%s: got %d roles, truncated %v; want %d, true and a marker", tt.name, len(out.Roles), out.IsTruncated, tt.first)
		}
	}
	for _, size := range []int32{400, 1000} {
		var got []string
		for p := iam.NewListRolesPaginator(c, &iam.ListRolesInput{MaxItems: &size}); p.HasMorePages(); {
			out, err := p.NextPage(w.ctx())
			w.must(err)
			for _, r := range out.Roles {
				got = append(got, *r.RoleName)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %d roles, want %d in order", size, len(got), len(want))
		}
	}
	for _, max := range []int32{0, 1001} {
		_, err := c.ListRoles(w.ctx(), &iam.ListRolesInput{MaxItems: &max})
		wantError(t, err, "ValidationError", 400, "maxItems")
	}
	first, err := c.ListRoles(w.ctx(), &iam.ListRolesInput{MaxItems: aws.Int32(3)})
	w.must(err)
	for name, in := range map[string]*iam.ListRolesInput{
		"made up":         {Marker: aws.String("AAAA")},
		"altered":         {Marker: aws.String((*first.Marker)[1:])},
		"another listing": {Marker: first.Marker, PathPrefix: aws.String("/x/")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListRoles(w.ctx(), in)
			wantError(t, err, "ValidationError", 400, "Marker")
		})
	}
	_, err = w.iam(other).ListRoles(w.ctx(), &iam.ListRolesInput{Marker: first.Marker})
	wantError(t, err, "ValidationError", 400, "Marker")
	_, err = c.GetAccountAuthorizationDetails(w.ctx(), &iam.GetAccountAuthorizationDetailsInput{Marker: first.Marker})
	wantError(t, err, "ValidationError", 400, "Marker")
}

func TestRolePoliciesAndTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	rich := richRole()
	w.must(w.PutRole(rich))
	w.must(w.PutPolicy(awsd.Policy{ARN: rich.Attached[0], Document: `{"a": 1}`, Version: "v3"}))
	c, name := w.iam(acct), aws.String("rich")
	inline, err := c.ListRolePolicies(w.ctx(), &iam.ListRolePoliciesInput{RoleName: name})
	w.must(err)
	doc, err := c.GetRolePolicy(w.ctx(), &iam.GetRolePolicyInput{RoleName: name, PolicyName: &inline.PolicyNames[0]})
	w.must(err)
	attached, err := c.ListAttachedRolePolicies(w.ctx(), &iam.ListAttachedRolePoliciesInput{RoleName: name})
	w.must(err)
	policy, err := c.GetPolicy(w.ctx(), &iam.GetPolicyInput{PolicyArn: attached.AttachedPolicies[0].PolicyArn})
	w.must(err)
	version, err := c.GetPolicyVersion(w.ctx(), &iam.GetPolicyVersionInput{PolicyArn: policy.Policy.Arn, VersionId: policy.Policy.DefaultVersionId})
	w.must(err)
	tags, err := c.ListRoleTags(w.ctx(), &iam.ListRoleTagsInput{RoleName: name, MaxItems: aws.Int32(1)})
	w.must(err)
	got := []any{inline.PolicyNames, *doc.PolicyDocument, *attached.AttachedPolicies[0].PolicyName, *policy.Policy.DefaultVersionId, *policy.Policy.AttachmentCount,
		*version.PolicyVersion.Document, *tags.Tags[0].Key, tags.IsTruncated}
	want := []any{[]string{"in"}, strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", ":", "%3A", ",", "%2C", "[", "%5B", "]", "%5D", "*", "%2A").Replace(rich.Inline["in"]),
		"ReadOnlyAccess", "v3", int32(1), "%7B%22a%22%3A%201%7D", "env", true}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("policies and tags (-want +got):\n%s", d)
	}
	_, err = c.GetRolePolicy(w.ctx(), &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("none")})
	wantError(t, err, "NoSuchEntity", 404, "none")
	_, err = c.GetPolicyVersion(w.ctx(), &iam.GetPolicyVersionInput{PolicyArn: policy.Policy.Arn, VersionId: aws.String("v9")})
	wantError(t, err, "NoSuchEntity", 404, "v9")
	_, err = c.GetPolicy(w.ctx(), &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::123456789012:policy/none")})
	wantError(t, err, "NoSuchEntity", 404, "none")
	_, err = c.GetPolicy(w.ctx(), &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::123456789012:role/none")})
	wantError(t, err, "InvalidInput", 400, "not valid")
}

func TestProvidersAndSummary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutAccount(awsd.Account{ID: other, AssumeRolePolicySizeQuota: 4096}))
	list, err := w.iam(acct).ListOpenIDConnectProviders(w.ctx(), nil)
	w.must(err)
	p, err := w.iam(acct).GetOpenIDConnectProvider(w.ctx(), &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: list.OpenIDConnectProviderList[0].Arn})
	w.must(err)
	if "https://"+*p.Url != issuer || !slices.Equal(p.ClientIDList, []string{"sts.amazonaws.com"}) {
		t.Errorf("provider: got %s %v, want %s without scheme and sts.amazonaws.com", *p.Url, p.ClientIDList, issuer)
	}
	_, err = w.iam(acct).GetOpenIDConnectProvider(w.ctx(), &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String("arn:aws:iam::123456789012:oidc-provider/none.example")})
	wantError(t, err, "NoSuchEntity", 404, "none.example")
	_, err = w.iam(other).GetOpenIDConnectProvider(w.ctx(), &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String(provider)})
	wantError(t, err, "NoSuchEntity", 404, provider)
	_, err = w.iam(acct).GetOpenIDConnectProvider(w.ctx(), &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String("arn:aws:iam::123456789012:role/none")})
	wantError(t, err, "InvalidInput", 400, "Invalid ARN")
	for account, want := range map[string]int32{acct: 2048, other: 4096} {
		out, err := w.iam(account).GetAccountSummary(w.ctx(), nil)
		w.must(err)
		if got := out.SummaryMap["AssumeRolePolicySizeQuota"]; got != want {
			t.Errorf("AssumeRolePolicySizeQuota of %s: got %d, want %d", account, got, want)
		}
	}
}

// trustOfSize returns a valid document of exactly n characters.
func trustOfSize(n int) string {
	const frame = `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	return strings.Replace(frame, `"Sid":"`, `"Sid":"`+strings.Repeat("x", n-len(frame)), 1)
}

func TestUpdateAssumeRolePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS", Trust: podTrust}))
	doc := trustOfSize(2048)
	w.must(w.putTrust(doc))
	if r, _ := w.Role(reader); r.Trust != doc {
		t.Errorf("trust after a write of exactly the quota: got %s", r.Trust)
	}
	err := w.putTrust(trustOfSize(2049))
	wantError(t, err, "LimitExceeded", 409, "Cannot exceed quota for ACLSizePerRole: 2048")
	as[*types.LimitExceededException](t, err)
	w.must(w.PutAccount(awsd.Account{ID: acct, AssumeRolePolicySizeQuota: 4096}))
	w.must(w.putTrust(trustOfSize(4096)))

	err = w.putTrust(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"AROAEXAMPLEDELETEDROLE"},"Action":"sts:AssumeRole"}]}`)
	wantError(t, err, "MalformedPolicyDocument", 400, `Invalid principal in policy: "AWS":"AROAEXAMPLEDELETEDROLE"`)
	as[*types.MalformedPolicyDocumentException](t, err)
	wantError(t, w.putTrust(`{"a":"€"}`), "ValidationError", 400, "policyDocument")
	wantError(t, w.putTrust(""), "ValidationError", 400, "policyDocument")

	for _, tt := range []struct {
		role, code string
		status     int
	}{
		{"none", "NoSuchEntity", 404},
		{"AWSServiceRoleForAmazonEKS", "UnmodifiableEntity", 400},
		{strings.Repeat("x", 65), "ValidationError", 400},
		{reader, "ValidationError", 400},
	} {
		_, err := w.iam(acct).UpdateAssumeRolePolicy(w.ctx(), &iam.UpdateAssumeRolePolicyInput{RoleName: &tt.role, PolicyDocument: aws.String(podTrust)})
		wantError(t, err, tt.code, tt.status, "")
	}
	_, err = w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("none")})
	wantError(t, err, "NoSuchEntity", 404, "The role with name none cannot be found.")
	as[*types.NoSuchEntityException](t, err)
	_, err = w.iam(acct).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String(reader)})
	wantError(t, err, "ValidationError", 400, "roleName")
}

func TestSettersRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	for name, err := range map[string]error{
		"account":          w.PutAccount(awsd.Account{ID: "12"}),
		"role ARN":         w.PutRole(awsd.Role{ARN: "s3-reader"}),
		"role account":     awsd.New(awsd.Options{}).PutRole(awsd.Role{ARN: reader}),
		"role case":        w.PutRole(awsd.Role{ARN: strings.Replace(reader, "role/eks", "role/EKS", 1)}),
		"policy":           w.PutPolicy(awsd.Policy{ARN: reader}),
		"provider":         w.PutProvider(awsd.Provider{ARN: reader}),
		"provider clients": w.PutProvider(awsd.Provider{ARN: provider, ClientIDs: make([]string, 101)}),
		"thumbprints":      w.PutProvider(awsd.Provider{ARN: provider, Thumbprints: make([]string, 6)}),
		"cluster":          w.PutCluster(awsd.Cluster{ARN: reader}),
		"add-on":           w.PutAddon(awsd.Addon{Cluster: reader}),
		"profile":          w.PutFargateProfile(awsd.FargateProfile{Cluster: lab, Selectors: make([]awsd.FargateSelector, 6)}),
	} {
		if err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

// What setters put, getters return: the truth, as copies that are the caller's own.
func TestGetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	rich := richRole()
	w.must(w.PutRole(rich))
	roles := w.Roles(acct)
	if len(roles) != 2 || roles[1].ARN != rich.ARN || w.Roles("nobody") != nil {
		t.Fatalf("roles: got %+v, want two, and none of an unknown account", roles)
	}
	roles[1].Tags["team"] = "changed"
	if r, _ := w.Role(rich.ARN); r.Tags["team"] != "a" {
		t.Errorf("role after its copy was changed: got %v", r.Tags)
	}
	if _, ok := w.Role("arn:aws:iam::123456789012:role/rich"); ok {
		t.Error("role by an ARN without its path: got it")
	}
	if c, ok := w.Cluster(lab); !ok || c.Issuer != issuer {
		t.Errorf("cluster: got %+v, %v", c, ok)
	}
	if p, ok := w.Provider(provider); !ok || p.ClientIDs[0] != "sts.amazonaws.com" {
		t.Errorf("provider: got %+v, %v", p, ok)
	}
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + rich.ARN + `"},"Action":"sts:AssumeRole"}]}`
	w.must(w.putTrust(trust))
	if !w.DeleteRole(rich.ARN) || w.DeleteRole(rich.ARN) || !w.DeleteProvider(provider) || w.DeleteProvider(provider) {
		t.Error("deleting twice: want true, then false")
	}
	wantError(t, w.putTrust(trust), "MalformedPolicyDocument", 400, "Invalid principal")
	alone := &world{Server: awsd.New(awsd.Options{}), t: t}
	w.must(alone.PutAccount(awsd.Account{ID: acct}))
	w.must(alone.PutRole(awsd.Role{ARN: reader, Trust: podTrust}))
	alone.url = must(alone.Start("127.0.0.1:0"))
	defer alone.Close()
	w.must(alone.putTrust(strings.Replace(trust, acct, other, 1))) // An account that the server does not hold.
}
