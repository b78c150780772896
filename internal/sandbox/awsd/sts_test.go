package awsd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

const far = "arn:aws:iam::210987654321:role/lanyard-reader"

func accountTrust(principal, conditions string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{%s}}]}`, principal, conditions)
}

func assume(role string, more ...func(*sts.AssumeRoleInput)) *sts.AssumeRoleInput {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("lanyard")}
	for _, m := range more {
		m(in)
	}
	return in
}

// session returns an SDK configuration with temporary credentials.
func (w *world) session(c *types.Credentials) aws.Config {
	cfg := w.config(acct)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return cfg
}

// A session acts in its role's account, and no longer than it lives.
func TestSessionActsInTheRolesAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutRole(awsd.Role{ARN: far, Trust: accountTrust(acct, "")}))
	out, err := w.sts(acct).AssumeRole(w.ctx(), assume(far))
	w.must(err)
	cfg := w.session(out.Credentials)
	me, err := sts.NewFromConfig(cfg).GetCallerIdentity(w.ctx(), nil)
	w.must(err)
	if want := "arn:aws:sts::210987654321:assumed-role/lanyard-reader/lanyard"; *me.Arn != want || *me.Account != other {
		t.Errorf("caller: got %s in %s, want %s in %s", *me.Arn, *me.Account, want, other)
	}
	roles, err := iam.NewFromConfig(cfg).ListRoles(w.ctx(), nil)
	w.must(err)
	if len(roles.Roles) != 1 || *roles.Roles[0].Arn != far {
		t.Errorf("roles seen by the session: got %d, want its own account's one", len(roles.Roles))
	}
	if got := w.last(); got.Account != other || got.Principal != *me.Arn {
		t.Errorf("record: got %s %s, want %s %s", got.Account, got.Principal, other, *me.Arn)
	}
	w.clock.Advance(time.Hour)
	_, err = iam.NewFromConfig(cfg).ListRoles(w.ctx(), nil)
	wantError(t, err, "ExpiredToken", 403, "expired")
	_, err = eks.NewFromConfig(cfg).DescribeCluster(w.ctx(), &eks.DescribeClusterInput{Name: cluster})
	wantError(t, err, "ExpiredTokenException", 403, "expired")
}

func TestBadCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	w.must(w.PutRole(awsd.Role{ARN: far, Trust: accountTrust(acct, "")}))
	out, err := w.sts(acct).AssumeRole(w.ctx(), assume(far))
	w.must(err)
	wrong := *out.Credentials
	wrong.SessionToken = aws.String("wrong")
	stranger := w.config("nobody")
	for name, cfg := range map[string]aws.Config{"unknown account": stranger, "wrong session token": w.session(&wrong)} {
		t.Run(name, func(t *testing.T) {
			_, err := iam.NewFromConfig(cfg).ListRoles(t.Context(), nil)
			wantError(t, err, "InvalidClientTokenId", 403, "invalid")
			_, err = eks.NewFromConfig(cfg).DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: cluster})
			wantError(t, err, "UnrecognizedClientException", 403, "invalid")
		})
	}
	anonymous := w.config(acct)
	anonymous.Credentials = aws.AnonymousCredentials{}
	_, err = sts.NewFromConfig(anonymous).GetCallerIdentity(w.ctx(), nil)
	wantError(t, err, "MissingAuthenticationToken", 403, "Missing Authentication Token")
	anonymous.Credentials = w.config(acct).Credentials
	_, err = iam.NewFromConfig(anonymous).ListUsers(w.ctx(), nil)
	wantError(t, err, "InvalidAction", 400, "ListUsers")
	_, err = eks.NewFromConfig(anonymous).ListClusters(w.ctx(), nil)
	wantError(t, err, "UnknownOperationException", 404, "/clusters")
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	external := `"StringEquals":{"sts:ExternalId":"irsa-lab-accountb-shared-id"}`
	w.must(w.PutRole(awsd.Role{ARN: far, Trust: accountTrust("arn:aws:iam::123456789012:root", external)}))
	withID := func(id string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) { in.ExternalId = &id }
	}
	tests := []struct {
		name   string
		in     *sts.AssumeRoleInput
		code   string
		status int
		text   string
	}{
		{"external ID", assume(far, withID("irsa-lab-accountb-shared-id")), "", 0, ""},
		{"no external ID", assume(far), "AccessDenied", 403, "is not authorized to perform: sts:AssumeRole on resource: " + far},
		{"another external ID", assume(far, withID("irsa")), "AccessDenied", 403, "sts:AssumeRole"},
		{"short external ID", assume(far, withID("x")), "ValidationError", 400, "externalId"},
		{"no such role", assume(far + "x"), "AccessDenied", 403, "sts:AssumeRole"},
		{"no ARN", assume("lanyard-reader-not-an-arn"), "ValidationError", 400, "is invalid"},
		{"session name", assume(far, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }), "ValidationError", 400, "roleSessionName"},
		{"too short", assume(far, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }), "ValidationError", 400, "durationSeconds"},
		{"longer than the role allows", assume(far, withID("irsa-lab-accountb-shared-id"), func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }), "ValidationError", 400, "MaxSessionDuration"},
		{"policy", assume(far, func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{}") }), "MalformedPolicyDocument", 400, ""},
		{"long policy", assume(far, func(in *sts.AssumeRoleInput) { in.Policy = aws.String(strings.Repeat(" ", 2049)) }), "ValidationError", 400, "policy"},
		{"transitive key without tag", assume(far, func(in *sts.AssumeRoleInput) { in.TransitiveTagKeys = []string{"k"} }), "InvalidParameterValue", 400, "transitive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := w.sts(acct).AssumeRole(t.Context(), tt.in)
			if tt.code != "" {
				wantError(t, err, tt.code, tt.status, tt.text)
				return
			}
			w.must(err)
			if got, want := *out.Credentials.Expiration, w.clock.Now().Add(time.Hour); !got.Equal(want) {
				t.Errorf("expiry: got %s, want %s", got, want)
			}
		})
	}
}

// Chaining: the role's own policies must agree, transitive tags go along and need
// sts:TagSession, and the session lasts an hour at most.
func TestRoleChaining(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	local := "arn:aws:iam::123456789012:role/local"
	permit := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"arn:aws:iam::210987654321:role/*"}]}`
	put := func(inline map[string]string, farTrust string) *sts.Client {
		w.must(w.PutRole(awsd.Role{ARN: local, Trust: accountTrust(acct, ""), Inline: inline}))
		w.must(w.PutRole(awsd.Role{ARN: far, Trust: farTrust}))
		out, err := w.sts(acct).AssumeRole(w.ctx(), assume(local, func(in *sts.AssumeRoleInput) {
			in.Tags, in.TransitiveTagKeys = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}, []string{"team"}
		}))
		w.must(err)
		return sts.NewFromConfig(w.session(out.Credentials))
	}
	open := accountTrust(local, `"StringEquals":{"aws:RequestTag/team":"a","aws:PrincipalTag/team":"a"}`)
	c := put(map[string]string{"p": permit}, open)
	_, err := c.AssumeRole(w.ctx(), assume(far))
	w.must(err)
	_, err = c.AssumeRole(w.ctx(), assume(far, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }))
	wantError(t, err, "ValidationError", 400, "chaining")
	_, err = put(nil, open).AssumeRole(w.ctx(), assume(far))
	wantError(t, err, "AccessDenied", 403, "sts:AssumeRole")
	_, err = put(map[string]string{"p": permit}, strings.Replace(open, `,"sts:TagSession"`, "", 1)).AssumeRole(w.ctx(), assume(far))
	wantError(t, err, "AccessDenied", 403, "sts:TagSession")
	deny := strings.Replace(permit, "Allow", "Deny", 1)
	_, err = put(map[string]string{"p": permit, "d": deny}, open).AssumeRole(w.ctx(), assume(far))
	wantError(t, err, "AccessDenied", 403, "sts:AssumeRole")
}

func claims(w *world, sa string) awsd.Claims {
	return awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: sa, Audience: []string{"sts.amazonaws.com"}, Expires: w.clock.Now().Add(time.Hour), PodName: "p", PodUID: "u"}
}

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	role := "arn:aws:iam::123456789012:role/irsa"
	w.must(w.PutRole(awsd.Role{ARN: role, Trust: irsaTrust("system:serviceaccount:demo:s3-reader")}))
	good := claims(w, "s3-reader")
	with := func(f func(*awsd.Claims)) string {
		c := good
		f(&c)
		return awsd.UnsignedToken(c)
	}
	tests := []struct {
		name, role, token, code string
		status                  int
		text                    string
	}{
		{"good", role, awsd.UnsignedToken(good), "", 0, ""},
		{"another ServiceAccount", role, with(func(c *awsd.Claims) { c.ServiceAccount = "x" }), "AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		{"no such role", role + "x", awsd.UnsignedToken(good), "AccessDenied", 403, "Not authorized"},
		{"expired", role, with(func(c *awsd.Claims) { c.Expires = w.clock.Now() }), "ExpiredTokenException", 400, "Token expired"},
		{"audience", role, with(func(c *awsd.Claims) { c.Audience = []string{"pods.eks.amazonaws.com"} }), "InvalidIdentityToken", 400, "Incorrect token audience"},
		{"issuer", role, with(func(c *awsd.Claims) { c.Issuer = "https://example.org" }), "InvalidIdentityToken", 400, "No OpenIDConnect provider found"},
		{"provider is in another account", "arn:aws:iam::210987654321:role/irsa", awsd.UnsignedToken(good), "InvalidIdentityToken", 400, "No OpenIDConnect provider found"},
		{"not yet good", role, with(func(c *awsd.Claims) { c.NotBefore = w.clock.Now().Add(time.Second) }), "InvalidIdentityToken", 400, "good from"},
		{"no token", role, "abcd", "InvalidIdentityToken", 400, "not valid"},
		{"not base64", role, "a.*.c", "InvalidIdentityToken", 400, "base64"},
		{"not JSON", role, "a.YQ.c", "InvalidIdentityToken", 400, "JSON"},
		{"claims missing", role, "a.e30.c", "InvalidIdentityToken", 400, "missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := w.config(acct)
			cfg.Credentials = aws.AnonymousCredentials{}
			out, err := sts.NewFromConfig(cfg).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: &tt.role, RoleSessionName: aws.String("pod"), WebIdentityToken: &tt.token,
			})
			if tt.code != "" {
				wantError(t, err, tt.code, tt.status, tt.text)
				return
			}
			w.must(err)
			me, err := sts.NewFromConfig(w.session(out.Credentials)).GetCallerIdentity(t.Context(), nil)
			w.must(err)
			if want := "arn:aws:sts::123456789012:assumed-role/irsa/pod"; *me.Arn != want {
				t.Errorf("caller: got %s, want %s", *me.Arn, want)
			}
		})
	}
	for _, c := range must(w.Calls(0)) {
		if strings.Contains(c.Params, "ey") && strings.Contains(c.Params, "WebIdentityToken") {
			t.Errorf("record shows a token: %s", c.Params)
		}
	}
}

func must[T, U any](v T, _ U) T { return v }
