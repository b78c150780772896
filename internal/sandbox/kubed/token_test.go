package kubed

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	p := pod("demo", "p")
	p.Spec.ServiceAccountName = "s3-reader"
	c, clock := newCluster(t, account("demo", "s3-reader"), account("demo", "other"), p)
	stored, err := c.Client("x").CoreV1().Pods("demo").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(sa string, spec authenticationv1.TokenRequestSpec) (*authenticationv1.TokenRequest, error) {
		return c.Client("kubelet").CoreV1().ServiceAccounts("demo").CreateToken(t.Context(), sa, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	}
	ref := func(name string, uid types.UID) *authenticationv1.BoundObjectReference {
		return &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: name, UID: uid}
	}
	got, err := ask("s3-reader", authenticationv1.TokenRequestSpec{
		Audiences: []string{"sts.amazonaws.com"}, ExpirationSeconds: new(int64(7200)), BoundObjectRef: ref("p", stored.UID),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := clock.Now().Add(2 * time.Hour); !got.Status.ExpirationTimestamp.Time.Equal(want) {
		t.Errorf("expiry: got %s, want %s", got.Status.ExpirationTimestamp, want)
	}
	doc, err := c.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(doc, &keys); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(got.Status.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	var private podClaims
	if err := token.Claims(keys.Key(token.Headers[0].KeyID)[0], &claims, &private); err != nil {
		t.Fatalf("the published key does not verify: %v", err)
	}
	want := jwt.Expected{Issuer: c.Issuer(), Subject: "system:serviceaccount:demo:s3-reader", AnyAudience: []string{"sts.amazonaws.com"}, Time: clock.Now()}
	if err := claims.ValidateWithLeeway(want, 0); err != nil {
		t.Errorf("claims %+v: %v", claims, err)
	}
	if k := private.Kubernetes; k.Pod == nil || k.Pod.Name != "p" || k.Pod.UID != string(stored.UID) || k.Namespace != "demo" || k.ServiceAccount.Name != "s3-reader" {
		t.Errorf("private claims = %+v, want pod and ServiceAccount", k)
	}
	if _, err := ask("s3-reader", authenticationv1.TokenRequestSpec{}); err != nil {
		t.Errorf("with defaults: %v", err)
	}
	for name, test := range map[string]struct {
		sa   string
		spec authenticationv1.TokenRequestSpec
		is   func(error) bool
	}{
		"no ServiceAccount":          {"none", authenticationv1.TokenRequestSpec{}, apierrors.IsNotFound},
		"too short":                  {"s3-reader", authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(599))}, apierrors.IsInvalid},
		"no pod":                     {"s3-reader", authenticationv1.TokenRequestSpec{BoundObjectRef: ref("none", "")}, apierrors.IsNotFound},
		"another pod of the name":    {"s3-reader", authenticationv1.TokenRequestSpec{BoundObjectRef: ref("p", "x")}, apierrors.IsConflict},
		"another ServiceAccount's":   {"other", authenticationv1.TokenRequestSpec{BoundObjectRef: ref("p", "")}, apierrors.IsBadRequest},
		"bound to what it knows not": {"s3-reader", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: "s"}}, apierrors.IsBadRequest},
	} {
		if _, err := ask(test.sa, test.spec); !test.is(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
