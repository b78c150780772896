package awsd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
)

// signer is an issuer with one key of each kind that STS takes.
type signer struct {
	t    *testing.T
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	down bool
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t: t, rsa: r, ec: e}
}

func (s *signer) keys(context.Context) ([]byte, error) {
	if s.down {
		return nil, errors.New("connection refused")
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: s.rsa.Public(), KeyID: "r", Algorithm: "RS256", Use: "sig"},
		{Key: s.ec.Public(), KeyID: "e", Algorithm: "ES256", Use: "sig"},
	}})
}

// sign returns the claims as a token, signed by the key and announced with the kid.
func (s *signer) sign(alg jose.SignatureAlgorithm, key any, kid string, c awsd.Claims) string {
	s.t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(awsd.UnsignedToken(c), ".")[1])
	if err != nil {
		s.t.Fatal(err)
	}
	o := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := by.Sign(payload)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// tokenCases are tokens and what STS and EKS Auth say to them. The claims are good unless
// the case says otherwise.
func (s *signer) tokenCases(now time.Time) []tokenCase {
	rs := func(c awsd.Claims) string { return s.sign(jose.RS256, s.rsa, "r", c) }
	with := func(f func(*awsd.Claims)) func(awsd.Claims) string {
		return func(c awsd.Claims) string { f(&c); return rs(c) }
	}
	raw := func(header string, mac bool) func(awsd.Claims) string {
		return func(c awsd.Claims) string {
			p := strings.Split(awsd.UnsignedToken(c), ".")
			p[0], p[2] = base64.RawURLEncoding.EncodeToString([]byte(header)), ""
			if mac {
				p[2] = base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef"))
			}
			return strings.Join(p, ".")
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	return []tokenCase{
		{"RS256", rs, "", ""},
		{"ES256", func(c awsd.Claims) string { return s.sign(jose.ES256, s.ec, "e", c) }, "", ""},
		{"RS512 by the same key", func(c awsd.Claims) string { return s.sign(jose.RS512, s.rsa, "r", c) }, "", ""},
		{"wrong key", func(c awsd.Claims) string { return s.sign(jose.RS256, other, "r", c) }, "InvalidIdentityToken", "signature"},
		{"another kind of key under the kid", func(c awsd.Claims) string { return s.sign(jose.ES256, s.ec, "r", c) }, "InvalidIdentityToken", "signature"},
		{"claims changed after signing", func(c awsd.Claims) string {
			good := strings.Split(rs(c), ".")
			c.PodName = "another"
			good[1] = strings.Split(awsd.UnsignedToken(c), ".")[1]
			return strings.Join(good, ".")
		}, "InvalidIdentityToken", "signature"},
		{"kid unknown", func(c awsd.Claims) string { return s.sign(jose.RS256, s.rsa, "x", c) }, "InvalidIdentityToken", "verification key"},
		{"no kid", func(c awsd.Claims) string { return s.sign(jose.RS256, s.rsa, "", c) }, "InvalidIdentityToken", "verification key"},
		{"alg none", raw(`{"alg":"none","kid":"r"}`, false), "InvalidIdentityToken", "not valid"},
		{"alg HS256 with a public key for a secret", raw(`{"alg":"HS256","kid":"r"}`, true), "InvalidIdentityToken", "not valid"},
		{"PS256 is not taken", func(c awsd.Claims) string { return s.sign(jose.PS256, s.rsa, "r", c) }, "InvalidIdentityToken", "not valid"},
		{"the double's own claims", awsd.UnsignedToken, "InvalidIdentityToken", "verification key"},
		{"wrong issuer", with(func(c *awsd.Claims) { c.Issuer += "X" }), "InvalidIdentityToken", "No OpenIDConnect provider"},
		{"wrong audience", with(func(c *awsd.Claims) { c.Audience = []string{"vault"} }), "InvalidIdentityToken", "Incorrect token audience"},
		{"expired", with(func(c *awsd.Claims) { c.Expires = now }), "ExpiredTokenException", "expired"},
		{"not yet valid", with(func(c *awsd.Claims) { c.NotBefore = now.Add(time.Second) }), "InvalidIdentityToken", "not valid"},
		{"garbage", func(awsd.Claims) string { return "garbage" }, "InvalidIdentityToken", "not valid"},
		{"garbage in three parts", func(awsd.Claims) string { return "a.b.c" }, "InvalidIdentityToken", "not valid"},
	}
}

type tokenCase struct {
	name       string
	token      func(awsd.Claims) string
	code, text string // STS's
}

func TestWebIdentityTokensAreVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	s := newSigner(t)
	w.PublishKeys(issuer, s.keys)
	role := "arn:aws:iam::123456789012:role/irsa"
	w.must(w.PutRole(awsd.Role{ARN: role, Trust: irsaTrust("system:serviceaccount:demo:s3-reader")}))
	ask := func(token string) error {
		cfg := w.config(acct)
		cfg.Credentials = aws.AnonymousCredentials{}
		_, err := sts.NewFromConfig(cfg).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: &role, RoleSessionName: aws.String("pod"), WebIdentityToken: &token,
		})
		return err
	}
	for _, tt := range s.tokenCases(w.clock.Now()) {
		t.Run(tt.name, func(t *testing.T) {
			err := ask(tt.token(claims(w, "s3-reader")))
			if tt.code == "" {
				w.must(err)
				return
			}
			wantError(t, err, tt.code, 400, tt.text)
		})
	}
	s.down = true
	wantError(t, ask(s.sign(jose.RS256, s.rsa, "r", claims(w, "s3-reader"))), "IDPCommunicationError", 400, "could not be reached")
	w.DeleteProvider(provider)
	wantError(t, ask(s.sign(jose.RS256, s.rsa, "r", claims(w, "s3-reader"))), "InvalidIdentityToken", 400, "No OpenIDConnect provider found in your account for "+issuer)
	w.PublishKeys(issuer, nil)
	w.must(w.PutProvider(awsd.Provider{ARN: provider, ClientIDs: []string{"sts.amazonaws.com"}}))
	w.must(ask(awsd.UnsignedToken(claims(w, "s3-reader"))))
}

func TestPodIdentityTokensAreVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	s := newSigner(t)
	w.PublishKeys(issuer, s.keys)
	_, err := w.PutAssociation(awsd.Association{Cluster: lab, Namespace: "demo", ServiceAccount: "s3-reader", RoleARN: reader})
	w.must(err)
	for _, tt := range s.tokenCases(w.clock.Now()) {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]string{"": "", "InvalidIdentityToken": "InvalidTokenException", "ExpiredTokenException": "ExpiredTokenException"}[tt.code]
			if _, code, body := w.podCredentials(acct, "irsa-lab", tt.token(podClaims(w, "s3-reader"))); code != want {
				t.Errorf("got %q %v, want %q", code, body, want)
			}
		})
	}
	s.down = true
	if status, code, _ := w.podCredentials(acct, "irsa-lab", s.sign(jose.ES256, s.ec, "e", podClaims(w, "s3-reader"))); code != "ServiceUnavailableException" || status != 503 {
		t.Errorf("without keys: got %d %s, want 503 ServiceUnavailableException", status, code)
	}
}

// The key set may be asked of somebody who waits for this server.
func TestKeysAreAskedWithoutTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, awsd.Options{})
	s := newSigner(t)
	w.PublishKeys(issuer, func(ctx context.Context) ([]byte, error) {
		w.AssociationVisible(lab, "demo", "s3-reader")
		return s.keys(ctx)
	})
	if _, code, _ := w.podCredentials(acct, "irsa-lab", s.sign(jose.ES256, s.ec, "e", podClaims(w, "none"))); code != "ResourceNotFoundException" {
		t.Errorf("got %q, want ResourceNotFoundException", code)
	}
}

func TestFetchKeys(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openid/v1/jwks" {
			http.NotFound(w, r)
			return
		}
		doc, _ := s.keys(r.Context())
		_, _ = w.Write(doc)
	}))
	defer server.Close()
	got, err := awsd.FetchKeys(server.Client(), server.URL+"/openid/v1/jwks")(t.Context())
	if err != nil || !json.Valid(got) {
		t.Errorf("fetch: got %q, %v", got, err)
	}
	for _, url := range []string{server.URL + "/elsewhere", "http://192.0.2.1/openid/v1/jwks", "http://example.com/openid/v1/jwks", "://"} {
		if got, err := awsd.FetchKeys(server.Client(), url)(t.Context()); err == nil {
			t.Errorf("fetch %s: got %q, want an error", url, got)
		}
	}
}
