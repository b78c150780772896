package gitsource

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
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

// place is where a repository is: a path on disk, or a URL without credentials; for
// ssh the path is as the server is asked for it.
type place struct {
	path string
	url  *url.URL // of http and https
	host string   // of ssh, with its port
	user string   // of ssh
}

// remote reports whether a server is asked, and not a disk.
func (p place) remote() bool { return p.url != nil || p.host != "" }

func (p place) String() string {
	if p.url != nil {
		return Redact(p.url.String())
	}
	if p.host != "" {
		return "ssh://" + strings.TrimSuffix(p.host, ":22") + "/" + strings.TrimPrefix(p.path, "/")
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
			return splitSCP(raw, auth)
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
	case "ssh", "git+ssh", "ssh+git":
		return splitSSH(u, auth)
	case "git":
		return p, auth, "git is not supported, since nothing protects it: use https or ssh"
	}
	return p, auth, fmt.Sprintf("scheme %.20q is not supported: use https, ssh, file, or a path", scheme)
}

func splitHTTP(u *url.URL, auth Auth) (p place, _ Auth, why string) {
	switch {
	case u.Hostname() == "":
		return p, auth, "it has no host: write https://host/path"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return p, auth, "a repository URL ends with its path: remove what follows ? or #"
	case u.Scheme == "http" && !auth.PlainHTTP && !isLoopback(u.Hostname()):
		return p, auth, "http would show files and token to the network: use https"
	case auth.SSHKeyFile != "" || auth.SSHPassphraseFile != "" || auth.KnownHostsFile != "":
		return p, auth, "there are an ssh key or known hosts beside it, which " + u.Scheme + " has no use for: write ssh://git@host/path, or remove them"
	case auth.TokenFile != "" && auth.PasswordFile != "", auth.Token != "" && (auth.TokenFile != "" || auth.PasswordFile != ""):
		return p, auth, "there are a token and a password beside it: remove one"
	case auth.PasswordFile != "" && auth.Username == "":
		return p, auth, "there is a password beside it and no user name: give the name"
	}
	if why := checkProxy(auth.Proxy); why != "" {
		return p, auth, why
	}
	if u.User != nil {
		if auth.Token != "" || auth.TokenFile != "" || auth.PasswordFile != "" {
			return p, auth, "there are credentials in it and a token beside it: remove those in the URL"
		}
		auth.Username, auth.Token = fromUserinfo(u.User)
	}
	clean := *u
	clean.User = nil
	return place{url: &clean}, auth, ""
}

// fromUserinfo reads user:token@ as that, and a lone token@ as a token.
func fromUserinfo(user *url.Userinfo) (string, Secret) {
	if token, ok := user.Password(); ok && token != "" {
		return user.Username(), Secret(token)
	}
	return "", Secret(user.Username())
}

func checkProxy(raw string) (why string) {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return "the proxy beside it is no http or https URL: write http://proxy.example.com:3128"
	}
	return ""
}

// splitSSH reads ssh://user@host:port/path. As with git, /~user is a home
// directory, and the user is git where none is named.
func splitSSH(u *url.URL, auth Auth) (p place, _ Auth, why string) {
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return p, auth, "a repository URL ends with its path: remove what follows ? or #"
	}
	if _, ok := u.User.Password(); ok {
		return p, auth, "ssh takes no password in it: name a key file"
	}
	path := u.Path
	if strings.HasPrefix(path, "/~") {
		path = path[1:]
	}
	return sshPlace(u.User.Username(), u.Hostname(), u.Port(), path, auth)
}

// splitSCP reads user@host:path, and user@[host]:path for an address with colons.
func splitSCP(raw string, auth Auth) (p place, _ Auth, why string) {
	user, rest, named := strings.Cut(raw, "@")
	if !named || strings.ContainsAny(user, ":/") {
		user, rest = "", raw
	}
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		host, path, closed := strings.Cut(inner, "]:")
		if !closed {
			return p, auth, "its [ is not closed: write git@[address]:path"
		}
		return sshPlace(user, host, "", path, auth)
	}
	host, path, _ := strings.Cut(rest, ":")
	return sshPlace(user, host, "", path, auth)
}

func sshPlace(user, host, port, path string, auth Auth) (p place, _ Auth, why string) {
	switch {
	case host == "":
		return p, auth, "it has no host: write ssh://git@host/path"
	case strings.ContainsAny(host, "@ \t"):
		return p, auth, "its host is not one: write ssh://git@host/path"
	case strings.Trim(path, "/") == "":
		return p, auth, "it has no path: write ssh://git@host/path"
	case strings.HasPrefix(path, "-"):
		return p, auth, "its path starts with a dash, which a server could take for an option: write ./ before it"
	case auth.Token != "" || auth.TokenFile != "" || auth.PasswordFile != "" || auth.Username != "":
		return p, auth, "there are a token, a password or a user name beside it, which ssh has no use for: use https, or remove them"
	case auth.CAFile != "" || auth.Proxy != "":
		return p, auth, "there are a certificate authority or a proxy beside it, which ssh has no use for: use https, or remove them"
	case auth.SSHKeyFile == "" || auth.KnownHostsFile == "":
		return p, auth, "ssh needs a key file and a known hosts file: name them in source.auth.sshKeyFile and source.auth.knownHostsFile, or use https"
	}
	return place{path: path, host: net.JoinHostPort(host, cmp.Or(port, "22")), user: cmp.Or(user, "git")}, auth, ""
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
