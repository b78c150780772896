package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"strings"
)

// bareURL returns a URL without what may be secret in it: user and password, query and
// fragment. The user goes too: at some hosts it is the token.
func bareURL(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
		return u.String()
	}
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	return string(scrub([]byte(raw)))
}

var afterScheme = []byte("://")

// scrub takes user and password out of every URL in a JSON document or a text: errors
// of Git quote the URL that was asked for. It errs on the side of taking too much.
func scrub(data []byte) []byte {
	if !bytes.Contains(data, afterScheme) {
		return data
	}
	out := make([]byte, 0, len(data))
	for {
		i := bytes.Index(data, afterScheme)
		if i < 0 {
			return append(out, data...)
		}
		out = append(out, data[:i+len(afterScheme)]...)
		data = data[i+len(afterScheme):]
		data = data[userinfo(data):]
	}
}

// userinfo returns how long the user and password are with which a URL's rest begins,
// the @ included.
func userinfo(rest []byte) int {
	at, slash, colon := 0, -1, -1
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && strings.IndexByte("ntr", rest[i+1]) >= 0, c <= ' ', c == '"':
			return at // the URL is over
		case c == '\\':
			i++ // an escaped character is one of the URL
		case c == '@':
			at = i + 1
		case c == ':' && slash < 0 && colon < 0:
			colon = i
		case (c == '/' || c == '?' || c == '#') && slash < 0:
			slash = i
			if at > 0 || colon < 0 || port(rest[colon+1:slash]) {
				return at
			} // else what follows the colon is no port: a password with a slash in it
		}
	}
	return at
}

func port(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Tokens is an [Options.Authorize] for tokens that are known beforehand: whoever has
// one may read everything. They are asked for each time, so that they can be rotated;
// an empty one is nobody's. The comparison takes the same time wherever they differ.
func Tokens(read func() ([]string, error)) func(ctx context.Context, bearer, path string) (bool, error) {
	return func(_ context.Context, bearer, _ string) (bool, error) {
		tokens, err := read()
		if err != nil {
			return false, err
		}
		given, found := sha256.Sum256([]byte(bearer)), 0
		for _, token := range tokens {
			if token = strings.TrimSpace(token); token != "" {
				sum := sha256.Sum256([]byte(token))
				found |= subtle.ConstantTimeCompare(sum[:], given[:])
			}
		}
		if found == 0 {
			return false, ErrUnauthenticated
		}
		return true, nil
	}
}
