package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// scheme judges a provider's headers. The claim is to be settled with the body.
type scheme func(h http.Header, secrets [][]byte, now time.Time) (claim, Result)

// github is `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 of the body. The delivery's
// ID and the event are not signed. The old X-Hub-Signature, SHA-1, is not looked at.
// Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
// and https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers
func github(h http.Header, secrets [][]byte, _ time.Time) (claim, Result) {
	head, ok := one(h, "X-Hub-Signature-256", "X-Github-Delivery", "X-Github-Event")
	if !ok {
		return claim{}, Malformed
	}
	signature, signed := strings.CutPrefix(head[0], "sha256=")
	return plain(secrets, signature, signed, head[1], head[2] == "ping")
}

// gitea is `X-Gitea-Signature: <hex>`, HMAC-SHA256 of the body. Forgejo sends it too.
// Source: https://docs.gitea.com/usage/webhooks
func gitea(h http.Header, secrets [][]byte, _ time.Time) (claim, Result) {
	head, ok := one(h, "X-Gitea-Signature", "X-Gitea-Delivery", "X-Gitea-Event")
	if !ok {
		return claim{}, Malformed
	}
	return plain(secrets, head[0], true, head[1], head[2] == "ping")
}

// plain is an HMAC of the body alone.
func plain(secrets [][]byte, signature string, signed bool, id string, ping bool) (claim, Result) {
	sum, err := hex.DecodeString(signature)
	if err != nil || !signed || len(sum) != sha256.Size {
		return claim{}, Unsigned
	}
	return claim{macs: macs(secrets, ""), given: [][]byte{sum}, id: id, ping: ping}, Accepted
}

// generic is `X-Lanyard-Signature-256: sha256=<hex>`, HMAC-SHA256 of the timestamp as it
// stands in X-Lanyard-Timestamp (seconds since 1970), a full stop, and the body.
func generic(h http.Header, secrets [][]byte, now time.Time) (claim, Result) {
	head, ok := one(h, "X-Lanyard-Signature-256", "X-Lanyard-Timestamp")
	if !ok {
		return claim{}, Malformed
	}
	signature, signed := strings.CutPrefix(head[0], "sha256=")
	sum, err := hex.DecodeString(signature)
	if err != nil || !signed || len(sum) != sha256.Size || !moment(head[1]) {
		return claim{}, Unsigned
	}
	if !fresh(head[1], now) {
		return claim{}, Stale
	}
	return claim{macs: macs(secrets, head[1]+"."), given: [][]byte{sum}}, Accepted
}

// GitLab's signing tokens, and those of Standard Webhooks, begin so.
const signingToken = "whsec_"

// gitlab is either of GitLab's two. A secret that begins with whsec_ is a signing
// token: `webhook-signature: v1,<base64>`, HMAC-SHA256 of webhook-id, webhook-timestamp
// and body, with full stops between, under the token's base64 part. Any other secret is
// a secret token, sent as it is in X-Gitlab-Token. Where there are signing tokens, a
// wrong signature is not saved by a right token. The ID is the same for every retry.
// Source: https://docs.gitlab.com/user/project/integrations/webhooks/,
// https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944 and
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func gitlab(h http.Header, secrets [][]byte, now time.Time) (claim, Result) {
	head, ok := one(h, "Webhook-Signature", "Webhook-Id", "Webhook-Timestamp", "X-Gitlab-Token", "Idempotency-Key", "X-Gitlab-Event-Uuid")
	if !ok {
		return claim{}, Malformed
	}
	signature, id, at, token := head[0], head[1], head[2], head[3]
	keys, tokens := gitlabSecrets(secrets)
	switch {
	case signature != "" && len(keys) > 0:
		given := standardSignatures(signature)
		if len(given) == 0 || id == "" || !moment(at) {
			return claim{}, Unsigned
		}
		if !fresh(at, now) {
			return claim{}, Stale
		}
		return claim{macs: macs(keys, id+"."+at+"."), given: given, id: id}, Accepted
	case token == "" || len(tokens) == 0:
		return claim{}, Unsigned
	case !among(tokens, token):
		return claim{}, Refused
	}
	if id = head[4]; id == "" {
		id = head[5] // before GitLab 17.4
	}
	return claim{token: true, id: id}, Accepted
}

// gitlabSecrets tells signing tokens, as their keys, from secret tokens.
func gitlabSecrets(secrets [][]byte) (keys, tokens [][]byte) {
	for _, s := range secrets {
		text, signs := strings.CutPrefix(string(s), signingToken)
		if !signs {
			tokens = append(tokens, s)
			continue
		}
		if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) > 0 {
			keys = append(keys, key)
		}
	}
	return keys, tokens
}

// standardSignatures reads the signatures of version 1 from a list with spaces.
func standardSignatures(list string) [][]byte {
	var out [][]byte
	for _, word := range strings.Fields(list) {
		text, is := strings.CutPrefix(word, "v1,")
		sum, err := base64.StdEncoding.DecodeString(text)
		if is && err == nil && len(sum) == sha256.Size && len(out) < maxSecrets {
			out = append(out, sum)
		}
	}
	return out
}

// one returns headers that may stand once each; empty for one that is not there. One
// that stands twice is read as one thing by a proxy and as another here.
func one(h http.Header, names ...string) ([]string, bool) {
	out := make([]string, len(names))
	for i, name := range names {
		values := h.Values(name)
		if len(values) > 1 || len(values) == 1 && len(values[0]) > maxHeader {
			return nil, false
		}
		if len(values) == 1 {
			out[i] = values[0]
		}
	}
	return out, true
}

// moment reports whether a text is a number of seconds, written in one way only.
func moment(at string) bool {
	n, err := strconv.ParseInt(at, 10, 64)
	return err == nil && n >= 0 && strconv.FormatInt(n, 10) == at
}

// fresh reports whether a moment is near now, on either side. Seconds are compared as
// numbers: a time.Duration would overflow.
func fresh(at string, now time.Time) bool {
	n, err := strconv.ParseInt(at, 10, 64)
	return err == nil && n >= now.Unix()-int64(window/time.Second) && n <= now.Unix()+int64(window/time.Second)
}

// macs returns an HMAC for each secret, with the text that is signed before the body.
func macs(secrets [][]byte, before string) []hash.Hash {
	out := make([]hash.Hash, len(secrets))
	for i, s := range secrets {
		out[i] = hmac.New(sha256.New, s)
		out[i].Write([]byte(before))
	}
	return out
}

// among compares a token with every secret, by hashes: the time tells neither where
// they differ nor how long a secret is.
func among(secrets [][]byte, token string) bool {
	given := sha256.Sum256([]byte(token))
	found := 0
	for _, s := range secrets {
		sum := sha256.Sum256(s)
		found |= subtle.ConstantTimeCompare(sum[:], given[:])
	}
	return found == 1
}

// holds reports whether one of the signatures given is that of one of the secrets. It
// compares all of them in constant time.
func (c claim) holds() bool {
	found := 0
	for _, mac := range c.macs {
		sum := mac.Sum(nil)
		for _, given := range c.given {
			found |= subtle.ConstantTimeCompare(sum, given)
		}
	}
	return c.token || found == 1
}

// names are what the delivery is remembered by: its ID, and its signature, because
// where the ID is not signed, a replay could come with another one.
func (c claim) names() []string {
	var out []string
	if c.id != "" {
		out = append(out, "id "+c.id)
	}
	if !c.token {
		for _, mac := range c.macs {
			sum := mac.Sum(nil)
			for _, given := range c.given {
				if subtle.ConstantTimeCompare(sum, given) == 1 {
					out = append(out, "signature "+string(sum))
				}
			}
		}
	}
	return out
}
