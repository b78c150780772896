package awsd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// KeySource returns what an issuer publishes at its jwks_uri: a JSON Web Key Set.
type KeySource func(ctx context.Context) (jwks []byte, err error)

// PublishKeys makes the server verify the tokens of an issuer by the keys that source
// returns, asked anew for every token, so that a rotation shows at once. Tokens of an
// issuer that publishes none count as signed by it, for worlds without a signer; nil
// takes an issuer back to that.
func (s *Server) PublishKeys(issuer string, source KeySource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[issuer] = source
	if source == nil {
		delete(s.keys, issuer)
	}
}

// FetchKeys returns a source that reads the key set of a Kubernetes API server on
// loopback, such as "https://127.0.0.1:6443/openid/v1/jwks". The client has the CA and
// the credentials, if any are needed.
// Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
func FetchKeys(client *http.Client, address string) KeySource {
	return func(ctx context.Context) ([]byte, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("fetch keys: %w", err)
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("fetch keys of %s: not a loopback address: the sandbox leaves this machine to nobody", u.Host)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, fmt.Errorf("fetch keys: %w", err)
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("fetch keys: %w", err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("fetch keys of %s: %s", address, res.Status)
		}
		return io.ReadAll(io.LimitReader(res.Body, longestBody))
	}
}

// keyring is what is needed to verify the one token that a request carries.
type keyring struct {
	published bool // The issuer publishes keys; without them every signature is good.
	set       jose.JSONWebKeySet
	err       error // The keys could not be had.
}

// patience is how long AWS waits for an identity provider here; AWS documents no figure.
const patience = 5 * time.Second

// keysFor asks the issuer of a token for its keys. It is called without the server's
// lock: whoever is asked may in turn be waiting for this server.
func (s *Server) keysFor(ctx context.Context, token string) keyring {
	claims, err := decodeToken(token)
	if err != nil {
		return keyring{} // It will be refused as what it is.
	}
	s.mu.Lock()
	source := s.keys[claims.Issuer]
	s.mu.Unlock()
	if source == nil {
		return keyring{}
	}
	k := keyring{published: true}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	doc, err := source(ctx)
	if err == nil {
		err = json.Unmarshal(doc, &k.set)
	}
	k.err = err
	return k
}

// carriedToken returns the token in a request that hands one in, or nothing.
func carriedToken(path string, body []byte) string {
	if strings.HasSuffix(path, "/assume-role-for-pod-identity") {
		var in struct{ Token string }
		_ = json.Unmarshal(body, &in) // What is no JSON has no token.
		return in.Token
	}
	if !bytes.Contains(body, []byte("WebIdentityToken=")) {
		return ""
	}
	form, _ := url.ParseQuery(string(body)) // It returns what it could read.
	return form.Get("WebIdentityToken")
}

// algorithms are those that STS takes; "none" and those with a shared secret are not among
// them.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// The ways in which a signature is not one.
var (
	errNoSuchKey    = errors.New("the issuer publishes no key with the token's kid")
	errBadSignature = errors.New("the signature is not the issuer's")
	errUnsignable   = errors.New("it is not a JWT signed with RS256, RS384, RS512, ES256, ES384 or ES512")
)

// verify checks a token's signature. The key is chosen by kid and must fit the algorithm
// of the header, which go-jose holds it to.
func (k keyring) verify(token string) error {
	if !k.published {
		return nil
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return errUnsignable
	}
	kid := signed.Signatures[0].Header.KeyID
	keys := k.set.Key(kid)
	if kid == "" || len(keys) == 0 {
		return errNoSuchKey
	}
	for _, key := range keys {
		if _, err := signed.Verify(key); err == nil {
			return nil
		}
	}
	return errBadSignature
}
