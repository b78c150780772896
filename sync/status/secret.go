package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
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
// of Git quote the URL that was asked for. It errs on the side of taking too much, and
// reads each byte a few times at most.
func scrub(data []byte) []byte {
	if !bytes.Contains(data, afterScheme) {
		return data
	}
	out := make([]byte, 0, len(data))
	from, end, last := 0, 0, 0 // of the word that a URL is in: its end, and after its last @
	for {
		i := bytes.Index(data[from:], afterScheme)
		if i < 0 {
			return append(out, data[from:]...)
		}
		begin := from + i + len(afterScheme)
		out = append(out, data[from:begin]...)
		if begin >= end {
			end, last = word(data, begin)
		}
		from = begin
		if begin < last {
			from += userinfo(data[begin:end], last-begin)
		}
	}
}

// scrubText is [scrub] for one text, as it would be in a JSON document: a password that
// has a quotation mark in it does not end there.
func scrubText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(scrub(data), &s)
	}
	if err != nil { // what was taken out began in the middle of an escape
		return string(scrub([]byte(s)))
	}
	return s
}

// word returns where the word that begins at a place ends, and where its last @ does.
func word(data []byte, begin int) (end, last int) {
	for end = begin; end < len(data); end++ {
		switch c := data[end]; {
		case c <= ' ', c == '"', c == '\\' && end+1 < len(data) && strings.IndexByte("ntr", data[end+1]) >= 0:
			return end, last
		case c == '\\':
			end++ // an escaped character is one of the word
		case c == '@':
			last = end + 1
		}
	}
	return len(data), last
}

// userinfo returns how long the user and password are with which a URL's rest begins,
// the @ included. The last @ of the word ends at the place given.
func userinfo(rest []byte, last int) int {
	at, colon := 0, -1
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\':
			i++
		case c == '@':
			at = i + 1
		case c == ':' && colon < 0:
			colon = i
		case c == '/' || c == '?' || c == '#':
			if at == 0 && colon >= 0 && !port(rest[colon+1:i]) {
				return last // what follows the colon is no port: a password with a slash in it
			}
			return at
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
