package agentd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// The figures of the real agent. The first two are flags' defaults of its server command.
const (
	renewAfter = 3 * time.Hour
	mostTokens = 2000
	shortest   = 15 * time.Second // Credentials that live no longer are as good as none.
	tryAgain   = time.Minute      // After a failure that may pass; the real agent adds jitter.
)

// hosts are the addresses that pods may have called. An agent that was reached by another
// name refuses, so that no web page can talk a browser into asking.
var hosts = []string{"169.254.170.23", "fd00:ec2::23"}

// Agent is one node's agent: a handler and its cache.
type Agent struct {
	clock   *virtual.Clock
	cluster string
	auth    eksAuth
	ready   time.Time // Before it nobody is at home.

	mu    sync.Mutex
	cache map[string]*entry // By token.
}

// entry is what the agent keeps for one token.
type entry struct {
	answer  answer
	renewAt time.Time
	used    time.Time
}

// ServeHTTP answers as the real agent does. Any method will do.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.clock.Now().Before(a.ready) {
		panic(http.ErrAbortHandler) // Nothing listens yet: the connection breaks.
	}
	if r.URL.Path != "/v1/credentials" {
		http.NotFound(w, r)
		return
	}
	token := r.Header.Get("Authorization")
	if status, text := a.refuses(r.Host, token); status != 0 {
		http.Error(w, text, status)
		return
	}
	got, err := a.credentials(r.Context(), token)
	if err != nil {
		text, status := describe(err)
		http.Error(w, text, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(got) // A pod that has gone is not our concern.
}

// refuses checks a request before EKS Auth is asked: the address, and that the token can
// be read and is not plainly out of date. Whether it is good is for EKS Auth to say.
func (a *Agent) refuses(host, token string) (status int, text string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if !slices.Contains(hosts, host) {
		return http.StatusForbidden, fmt.Sprintf("Access Denied. Called agent through invalid address, please use either %s address not %s", hosts, host)
	}
	if token == "" {
		return http.StatusBadRequest, "Service account token cannot be empty"
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512})
	var claims jwt.Claims
	if err == nil {
		err = parsed.UnsafeClaimsWithoutVerification(&claims)
	}
	if err != nil {
		return http.StatusBadRequest, "Service account token cannot be parsed: " + err.Error()
	}
	if err := claims.ValidateWithLeeway(jwt.Expected{Time: a.clock.Now()}, 0); err != nil {
		return http.StatusBadRequest, "Service account token failed basic claim validations: " + err.Error()
	}
	return 0, ""
}

// credentials returns what the cache has for a token, or what EKS Auth says. One call at a
// time: the real agent lets requests with the same token wait for each other.
//
// The real agent renews in the background; here the first request after renewAt does,
// which a pod cannot tell apart.
func (a *Agent) credentials(ctx context.Context, token string) (answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	kept := a.cache[token]
	if kept != nil && kept.answer.Expiration.Sub(now) <= shortest {
		delete(a.cache, token)
		kept = nil
	}
	if kept != nil && now.Before(kept.renewAt) {
		kept.used = now
		return kept.answer, nil
	}
	fresh, err := a.auth.assumeRole(ctx, a.cluster, token)
	switch {
	case err == nil && fresh.Expiration.Sub(now) <= shortest:
		return answer{}, fmt.Errorf("fetched credentials are expired or will expire within the next %0.2f seconds", fresh.Expiration.Sub(now).Seconds())
	case err == nil:
		a.keep(token, fresh, now)
		return fresh, nil
	case kept == nil || final(err):
		delete(a.cache, token)
		return answer{}, fmt.Errorf("error getting credentials to cache: unable to fetch credentials from EKS Auth: %w", err)
	}
	kept.used, kept.renewAt = now, now.Add(tryAgain)
	return kept.answer, nil
}

// keep stores credentials, in the place of those that were used least lately if there is
// no other.
func (a *Agent) keep(token string, fresh answer, now time.Time) {
	if _, known := a.cache[token]; !known && len(a.cache) >= mostTokens {
		oldest := ""
		for t, e := range a.cache {
			if oldest == "" || e.used.Before(a.cache[oldest].used) {
				oldest = t
			}
		}
		delete(a.cache, oldest)
	}
	a.cache[token] = &entry{answer: fresh, renewAt: now.Add(min(renewAfter, fresh.Expiration.Sub(now))), used: now}
}

// final reports whether an error says that there is nothing to renew: the agent then
// forgets the token. Other errors may pass.
func final(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains([]string{
		"ResourceNotFoundException", "ExpiredTokenException", "InvalidTokenException", "AccessDeniedException",
	}, api.ErrorCode())
}

// describe writes an error as the agent passes it on to the pod: in plain text, with the
// status that EKS Auth gave.
func describe(err error) (text string, status int) {
	status = http.StatusInternalServerError
	var parts []string
	var res *awshttp.ResponseError
	if errors.As(err, &res) {
		if code := res.HTTPStatusCode(); code != 0 {
			status = code
		}
		parts = append(parts, "["+res.RequestID+"]")
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		parts = append(parts, fmt.Sprintf("(%s): %s, fault: %s", api.ErrorCode(), api.ErrorMessage(), api.ErrorFault()))
	}
	if len(parts) == 0 {
		return err.Error(), status
	}
	return strings.Join(parts, ": "), status
}
