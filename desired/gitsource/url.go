package gitsource

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// hidden stands where a secret stood.
const hidden = "REDACTED"

// Secret is a string that prints as "REDACTED", whatever prints it.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Auth is how to authenticate to an https repository. The zero value does not.
type Auth struct {
	// Username goes with Token in HTTP basic authentication; if empty,
	// "x-access-token", which GitHub, GitLab, Gitea and Bitbucket accept.
	Username string
	Token    Secret
	// Bearer sends the token as a bearer token instead.
	Bearer bool
}

// place is where a repository is: a path on disk, or a URL without credentials.
type place struct {
	path string
	url  *url.URL
}

func (p place) String() string {
	if p.url != nil {
		return Redact(p.url.String())
	}
	return p.path
}

// parsePlace reads a URL or path. Credentials embedded in a URL become auth,
// unless there is one already.
func parsePlace(raw string, auth Auth) (place, Auth, error) {
	p, auth, why := split(raw, auth)
	if why != "" {
		return place{}, auth, remedy.Mark(remedy.Hold, fmt.Errorf("read URL %q: %w: %s", Redact(raw), ErrURL, why))
	}
	return p, auth, nil
}

// split is parsePlace with the reason alone. It must not quote an error of
// url.Parse, which quotes its input.
func split(raw string, auth Auth) (p place, _ Auth, why string) {
	switch {
	case raw == "":
		return p, auth, "it is empty: give https://host/path, or a directory"
	case strings.ContainsFunc(raw, unicode.IsControl):
		return p, auth, "it has control characters: remove them"
	}
	scheme, _, isURL := strings.Cut(raw, "://")
	if !isURL {
		if isSCP(raw) {
			return p, auth, "ssh is not supported: use https with a token"
		}
		path, err := filepath.Abs(raw)
		if err != nil {
			return p, auth, "it is relative and there is no working directory: give an absolute path"
		}
		return place{path: path}, auth, ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return p, auth, "it cannot be parsed: write https://host/path, and give the token apart from it"
	}
	switch u.Scheme {
	case "file":
		if (u.Host != "" && u.Host != "localhost") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
			return p, auth, "a file URL is file:///absolute/path and no more"
		}
		return place{path: filepath.Clean(filepath.FromSlash(u.Path))}, auth, ""
	case "http", "https":
		return splitHTTP(u, auth)
	case "ssh", "git", "git+ssh":
		return p, auth, u.Scheme + " is not supported: use https with a token"
	}
	return p, auth, fmt.Sprintf("scheme %.20q is not supported: use https, file, or a path", scheme)
}

func splitHTTP(u *url.URL, auth Auth) (p place, _ Auth, why string) {
	switch {
	case u.Hostname() == "":
		return p, auth, "it has no host: write https://host/path"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return p, auth, "a repository URL ends with its path: remove what follows ? or #"
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return p, auth, "http would show files and token to the network: use https"
	}
	if u.User != nil {
		if auth.Token != "" {
			return p, auth, "there are credentials in it and a token beside it: remove those in the URL"
		}
		auth = fromUserinfo(u.User)
	}
	clean := *u
	clean.User = nil
	return place{url: &clean}, auth, ""
}

// fromUserinfo reads user:token@ as that, and a lone token@ as a token.
func fromUserinfo(user *url.Userinfo) Auth {
	if token, ok := user.Password(); ok && token != "" {
		return Auth{Username: user.Username(), Token: Secret(token)}
	}
	return Auth{Token: Secret(user.Username())}
}

// isSCP reports whether raw is ssh's short form host:path, as Git reads it: a
// colon before any slash.
func isSCP(raw string) bool {
	colon := strings.IndexByte(raw, ':')
	slash := strings.IndexByte(raw, '/')
	return colon > 0 && (slash < 0 || colon < slash) && filepath.VolumeName(raw) == ""
}

// isLoopback reports whether a host is this machine by its name.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Redact returns a repository URL as it may be printed: without user name,
// password, query and fragment. It errs on the side of hiding: what cannot be
// parsed, or holds an @ in its path, loses everything up to the last @.
func Redact(raw string) string {
	raw = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, raw)
	scheme, rest, isURL := strings.Cut(raw, "://")
	if !isURL {
		if at := strings.LastIndexByte(raw, '@'); at > strings.IndexByte(raw, ':') && strings.IndexByte(raw, ':') >= 0 {
			return hidden + raw[at:]
		}
		return raw
	}
	if at := strings.LastIndexByte(raw, '@'); at >= len(scheme)+3 {
		rest = hidden + raw[at:]
	} else if at >= 0 {
		return hidden + raw[at:]
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end+1] + hidden
	}
	return scheme + "://" + rest
}
