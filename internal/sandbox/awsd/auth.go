package awsd

import (
	"net/http"
	"strings"
	"time"
)

// AccessKey returns the access key that acts as the administrator of an account, the user
// named "sandbox". Secrets are dummies: signatures are not checked.
func AccessKey(account string) (id, secret string) {
	return keyPrefix + account, "sandbox-secret-key-that-protects-nothing"
}

const keyPrefix = "AKIASANDBOX"

// session is a role session: temporary credentials.
type session struct {
	keyID, secret, token string
	role                 Role
	arn                  string
	name                 string
	expires              time.Time
	tags                 map[string]string
	transitive           map[string]bool
}

// principal is who signed a request.
type principal struct {
	account string
	arn     string
	userID  string
	session *session // Nil for a user.
}

// scope is what a SigV4 Authorization header says.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type scope struct{ keyID, region, service string }

func parseAuthorization(r *http.Request) (scope, bool) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return scope{}, false
	}
	for part := range strings.SplitSeq(rest, ",") {
		cred, ok := strings.CutPrefix(strings.TrimSpace(part), "Credential=")
		if !ok {
			continue
		}
		if f := strings.Split(cred, "/"); len(f) == 5 && f[4] == "aws4_request" {
			return scope{f[0], f[2], f[3]}, true
		}
	}
	return scope{}, false
}

// authenticate finds out who signed a request.
func (s *Server) authenticate(sc scope, token string, now time.Time) (principal, *apiError) {
	if account, ok := strings.CutPrefix(sc.keyID, keyPrefix); ok && token == "" {
		if st := s.accounts[account]; st != nil {
			return principal{
				account: account,
				arn:     arn{st.Partition, "iam", "", account, "user/sandbox"}.String(),
				userID:  "AIDASANDBOX" + account,
			}, nil
		}
	}
	ses, ok := s.sessions[sc.keyID]
	if !ok || ses.token != token {
		return principal{}, errInvalidToken(sc.service)
	}
	if !now.Before(ses.expires) {
		return principal{}, errExpired(sc.service)
	}
	account, _, _, _ := roleName(ses.role.ARN)
	return principal{account: account, arn: ses.arn, userID: ses.role.ID + ":" + ses.name, session: &ses}, nil
}

// forgetSessions drops sessions that ended long ago, so that a long run stays small: at
// most once a minute, since those that are many may all be young.
func (s *Server) forgetSessions(now time.Time) {
	if len(s.sessions) < 10_000 || now.Sub(s.forgot) < time.Minute {
		return
	}
	s.forgot = now
	for id, ses := range s.sessions {
		if ses.expires.Before(now.Add(-history)) {
			delete(s.sessions, id)
		}
	}
}
