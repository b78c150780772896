package awsd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// podCredentials asks as the Pod Identity agent does, by a signed plain request.
func (w *world) podCredentials(account, cluster, token string) (status int, code string, body map[string]any) {
	w.t.Helper()
	payload, _ := json.Marshal(map[string]string{"token": token})
	req, err := http.NewRequestWithContext(w.ctx(), http.MethodPost, w.url+"/clusters/"+cluster+"/assume-role-for-pod-identity", bytes.NewReader(payload))
	w.must(err)
	cfg := w.config(account)
	creds, err := cfg.Credentials.Retrieve(w.ctx())
	w.must(err)
	sum := sha256.Sum256(payload)
	w.must(v4.NewSigner().SignHTTP(w.ctx(), creds, req, hex.EncodeToString(sum[:]), "eks-auth", region, time.Now()))
	res, err := http.DefaultClient.Do(req)
	w.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	w.must(err)
	w.must(json.Unmarshal(b, &body))
	return res.StatusCode, res.Header.Get("X-Amzn-Errortype"), body
}

func podClaims(w *world, sa string) awsd.Claims {
	c := claims(w, sa)
	c.Audience = []string{"pods.eks.amazonaws.com"}
	return c
}

func TestAssumeRoleForPodIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	pinned := strings.Replace(podTrust, `"Action"`, `"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012","aws:SourceOrgId":"${aws:ResourceOrgId}","aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/eks-cluster-name":"irsa-lab"},"ArnEquals":{"aws:SourceArn":"`+lab+`"},"ForAllValues:StringLike":{"aws:TagKeys":["eks-*","kubernetes-*"]}},"Action"`, 1)
	w.must(w.PutRole(awsd.Role{ARN: reader, Trust: pinned}))
	put := func(sa, role string, more ...func(*awsd.Association)) awsd.Association {
		a := awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: sa, RoleARN: role}
		for _, m := range more {
			m(&a)
		}
		a, err := w.PutAssociation(a)
		w.must(err)
		return a
	}
	a := put("s3-reader", reader)
	put("untagged", reader, func(a *awsd.Association) { a.DisableSessionTags = true })
	put("gone", "arn:aws:iam::123456789012:role/gone")
	status, code, body := w.podCredentials(acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, "s3-reader")))
	if status != 200 {
		t.Fatalf("credentials: got %d %s %v", status, code, body)
	}
	if got := body["podIdentityAssociation"].(map[string]any)["associationId"]; got != a.ID {
		t.Errorf("associationId: got %v, want %s", got, a.ID)
	}
	got := body["credentials"].(map[string]any)
	if want := float64(w.clock.Now().Add(6 * time.Hour).Unix()); got["expiration"] != want {
		t.Errorf("expiration: got %v, want %v", got["expiration"], want)
	}
	me, err := sts.NewFromConfig(w.session(&types.Credentials{
		AccessKeyId: aws.String(got["accessKeyId"].(string)), SecretAccessKey: aws.String(got["secretAccessKey"].(string)), SessionToken: aws.String(got["sessionToken"].(string)),
	})).GetCallerIdentity(w.ctx(), nil)
	w.must(err)
	if want := "arn:aws:sts::123456789012:assumed-role/eks-irsa-lab-demo-s3-reader-role/eks-irsa-lab-p-"; !strings.HasPrefix(*me.Arn, want) {
		t.Errorf("caller: got %s, want %s...", *me.Arn, want)
	}
	with := func(f func(*awsd.Claims)) string {
		c := podClaims(w, "s3-reader")
		f(&c)
		return awsd.UnsignedToken(c)
	}
	tests := []struct {
		name, account, cluster, token string
		status                        int
		code                          string
	}{
		{"no association", acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, "none")), 404, "ResourceNotFoundException"},
		{"no cluster", acct, "none", awsd.UnsignedToken(podClaims(w, "s3-reader")), 404, "ResourceNotFoundException"},
		{"node of another account", other, "irsa-lab", awsd.UnsignedToken(podClaims(w, "s3-reader")), 404, "ResourceNotFoundException"},
		{"trust wants tags, tags are off", acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, "untagged")), 400, "AccessDeniedException"},
		{"role gone", acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, "gone")), 400, "AccessDeniedException"},
		{"audience of IRSA", acct, "irsa-lab", awsd.UnsignedToken(claims(w, "s3-reader")), 400, "InvalidTokenException"},
		{"another cluster's token", acct, "irsa-lab", with(func(c *awsd.Claims) { c.Issuer += "X" }), 400, "InvalidTokenException"},
		{"expired", acct, "irsa-lab", with(func(c *awsd.Claims) { c.Expires = w.clock.Now() }), 400, "ExpiredTokenException"},
		{"not a service account", acct, "irsa-lab", with(func(c *awsd.Claims) { c.Subject = "system:node:x" }), 400, "InvalidTokenException"},
		{"not a token", acct, "irsa-lab", "x", 400, "InvalidTokenException"},
		{"no token", acct, "irsa-lab", "", 400, "InvalidParameterException"},
		{"unknown caller", "nobody", "irsa-lab", "x", 403, "UnrecognizedClientException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, code, body := w.podCredentials(tt.account, tt.cluster, tt.token)
			if status != tt.status || code != tt.code {
				t.Errorf("got %d %s %v, want %d %s", status, code, body, tt.status, tt.code)
			}
		})
	}
	for kind, want := range map[awsd.Kind]string{awsd.Throttle: "ThrottlingException", awsd.Refuse: "AccessDeniedException", awsd.Fail: "InternalServerException"} {
		lift := w.AddFault(awsd.Fault{Service: "eks-auth", Kind: kind})
		if _, code, _ := w.podCredentials(acct, "irsa-lab", awsd.UnsignedToken(podClaims(w, "s3-reader"))); code != want {
			t.Errorf("%s: got %s, want %s", kind, code, want)
		}
		lift()
	}
	for _, c := range must(w.Calls(0)) {
		if c.Service == "eks-auth" && strings.Contains(c.Params, "token") {
			t.Errorf("record shows a token: %s", c.Params)
		}
	}
}

// A target role is assumed second: by the first role, with its tags, and with the external
// ID if tags are off.
func TestPodIdentityTargetRole(t *testing.T) {
	t.Parallel()
	permit := map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"` + far + `"}]}`}
	external := `"StringEquals":{"sts:ExternalId":"eu-west-1/123456789012/irsa-lab/demo/x"}`
	tagged := `"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo"},"ArnEquals":{"aws:PrincipalArn":"` + reader + `"}`
	tests := []struct {
		name   string
		inline map[string]string
		trust  string
		noTags bool
		want   bool
	}{
		{"tags pass on", permit, accountTrust(reader, tagged), false, true},
		{"tags are off", permit, accountTrust(reader, tagged), true, false},
		{"external ID without tags", permit, accountTrust(reader, external), true, true},
		{"external ID with tags", permit, accountTrust(reader, external), false, false},
		{"first role may not", nil, accountTrust(reader, ""), false, false},
		{"target trusts another role", permit, accountTrust(reader+"x", ""), false, false},
		{"target lacks TagSession", permit, strings.Replace(accountTrust(reader, ""), `,"sts:TagSession"`, "", 1), false, false},
		{"TagSession is not needed without tags", permit, strings.Replace(accountTrust(reader, ""), `,"sts:TagSession"`, "", 1), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, awsd.Options{})
			w.must(w.PutRole(awsd.Role{ARN: reader, Trust: podTrust, Inline: tt.inline}))
			w.must(w.PutRole(awsd.Role{ARN: far, Trust: tt.trust}))
			_, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "x", RoleARN: reader, TargetRoleARN: far, DisableSessionTags: tt.noTags})
			w.must(err)
			v := w.MayAssumePodIdentity(lab, "demo", "x", "pod")
			if v.Allowed != tt.want || v.Allowed && v.RoleARN != far || v.Reason == "" {
				t.Errorf("got %+v, want allowed %v for %s", v, tt.want, far)
			}
		})
	}
}

func TestOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	role := "arn:aws:iam::123456789012:role/irsa"
	w.must(w.PutRole(awsd.Role{ARN: role, Trust: irsaTrust("system:serviceaccount:demo:s3-reader")}))
	c := awsd.Claims{Issuer: issuer, Namespace: "demo", ServiceAccount: "s3-reader", Audience: []string{"sts.amazonaws.com"}}
	if v := w.MayAssumeWebIdentity(role, c); !v.Allowed || v.RoleARN != role {
		t.Errorf("web identity: got %+v, want allowed", v)
	}
	c.ServiceAccount = "x"
	if v := w.MayAssumeWebIdentity(role, c); v.Allowed || v.Code != "AccessDenied" || !strings.Contains(v.Reason, "StringEquals") {
		t.Errorf("another ServiceAccount: got %+v, want AccessDenied and the condition", v)
	}
	c.Expires = w.clock.Now()
	if v := w.MayAssumeWebIdentity(role, c); v.Code != "ExpiredTokenException" {
		t.Errorf("expired: got %+v, want ExpiredTokenException", v)
	}
	if v := w.MayAssumePodIdentity(lab, "demo", "x", "p"); v.Allowed || v.Code != "ResourceNotFoundException" {
		t.Errorf("no association: got %+v", v)
	}
	if v := w.MayAssumePodIdentity(lab+"x", "demo", "x", "p"); v.Allowed || v.Code != "ResourceNotFoundException" {
		t.Errorf("no cluster: got %+v", v)
	}
	if calls, _ := w.Calls(0); len(calls) != 0 {
		t.Errorf("record after asking the oracle: got %d calls, want none", len(calls))
	}
}
