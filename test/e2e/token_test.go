//go:build linux

package e2e

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// TestToken holds what STS and the Pod Identity agent rely on: a token that was asked
// for a pod and an audience says so, bears the issuer, and is signed by a key that the
// issuer shows to anybody.
func TestToken(t *testing.T) {
	t.Parallel()
	client := adminClient(t)
	ns := namespace(t, client)
	deploy(t, client, ns, 1, podOf(nil))
	available(t, client, ns, 1)
	pod, err := onlyPod(t, client, ns)
	if err != nil {
		t.Fatal(err)
	}
	const audience = "pods.eks.amazonaws.com"
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:      []string{audience},
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	answer, err := client.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys := servedKeys(t)
	claims, err := verify(answer.Status.Token, keys)
	if err != nil {
		t.Fatal(err)
	}
	if want := "system:serviceaccount:" + ns + ":default"; claims.Issuer != plane.Issuer || claims.Subject != want ||
		!slices.Equal(claims.Audience, []string{audience}) || claims.Kubernetes.Pod.Name != pod.Name {
		t.Errorf("claims %+v, want issuer %s, subject %s, audience %s, pod %s", claims, plane.Issuer, want, audience, pod.Name)
	}
	// A verifier that cannot say no proves nothing.
	head, rest, _ := strings.Cut(answer.Status.Token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for _, test := range []struct{ name, token string }{
		{"another payload", head + "." + encoded(strings.Replace(string(decoded(t, payload)), ns, "kube-system", 1)) + "." + signature},
		{"no signature", head + "." + payload + "."},
	} {
		if _, err := verify(test.token, keys); err == nil {
			t.Errorf("a token with %s was accepted", test.name)
		}
	}
}

// TestTokensAreLogins holds that a token for the API server is one, with the rights of
// its ServiceAccount, and that one for another audience is none.
func TestTokensAreLogins(t *testing.T) {
	t.Parallel()
	client := adminClient(t)
	ns := namespace(t, client)
	for _, test := range []struct {
		name      string
		audiences []string
		code      int
	}{
		{"the API server's", nil, http.StatusForbidden},
		{"another's", []string{"sts.amazonaws.com"}, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: test.audiences}}
			answer, err := client.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if code, body := get(t, "/api/v1/namespaces/"+ns+"/"+string(corev1.ResourcePods), answer.Status.Token); code != test.code {
				t.Errorf("list pods with a token for audience %q: %d, want %d: %s", test.audiences, code, test.code, body)
			}
		})
	}
}

// TestDiscovery holds that the issuer's documents answer without a login, and nothing
// else does.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	code, body := get(t, "/.well-known/openid-configuration", "")
	var document struct {
		Issuer     string   `json:"issuer"`
		KeysURI    string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := json.Unmarshal(body, &document); code != http.StatusOK || err != nil {
		t.Fatalf("discovery without a login: %d, %v: %s", code, err, body)
	}
	if document.Issuer != plane.Issuer || document.KeysURI != plane.Issuer+"/keys" || !slices.Equal(document.Algorithms, []string{"RS256"}) {
		t.Errorf("discovery %+v, want issuer %s, keys below it, RS256", document, plane.Issuer)
	}
	if code, body := get(t, "/api/v1/namespaces", ""); code != http.StatusForbidden {
		t.Errorf("list namespaces without a login: %d, want 403: %s", code, body)
	}
}

// get asks the API server with a token, or without a login.
func get(t *testing.T, path, token string) (int, []byte) {
	t.Helper()
	config := rest.AnonymousClientConfig(admin(t))
	config.BearerToken = token
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// servedKeys are the public keys that the issuer shows, by their ID.
func servedKeys(t *testing.T) map[string]*rsa.PublicKey {
	t.Helper()
	code, body := get(t, "/openid/v1/jwks", "")
	var set struct {
		Keys []struct{ KID, KTY, N, E string }
	}
	if err := json.Unmarshal(body, &set); code != http.StatusOK || err != nil || len(set.Keys) == 0 {
		t.Fatalf("keys without a login: %d, %v: %s", code, err, body)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		if k.KTY != "RSA" {
			t.Fatalf("key %s is of type %s, want RSA", k.KID, k.KTY)
		}
		keys[k.KID] = &rsa.PublicKey{N: new(big.Int).SetBytes(decoded(t, k.N)), E: int(new(big.Int).SetBytes(decoded(t, k.E)).Int64())}
	}
	return keys
}

type tokenClaims struct {
	Issuer     string                              `json:"iss"`
	Subject    string                              `json:"sub"`
	Audience   []string                            `json:"aud"`
	Kubernetes struct{ Pod struct{ Name string } } `json:"kubernetes.io"`
}

// verify checks a token's signature as any consumer would. Times are left out: the
// token is a second old.
func verify(token string, keys map[string]*rsa.PublicKey) (tokenClaims, error) {
	var claims tokenClaims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims, fmt.Errorf("a token of %d parts, want 3", len(parts))
	}
	var raw [3][]byte
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return claims, err
		}
		raw[i] = data
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(raw[0], &header); err != nil {
		return claims, err
	}
	key := keys[header.Kid]
	if header.Alg != "RS256" || key == nil {
		return claims, fmt.Errorf("signed with %s by key %q, want RS256 by one of the served keys", header.Alg, header.Kid)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], raw[2]); err != nil {
		return claims, err
	}
	return claims, json.Unmarshal(raw[1], &claims)
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
