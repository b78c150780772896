package gitsource_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

var overSSH = gitsource.Auth{SSHKeyFile: "k", KnownHostsFile: "h"}

func TestOpenJudgesURLs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url  string
		auth gitsource.Auth
		want string // of String, or in the error
		ok   bool
	}{
		{"https://git.example.com/fleet.git", gitsource.Auth{}, "https://git.example.com/fleet.git", true},
		{"https://git.example.com:8443/a/b", gitsource.Auth{}, "https://git.example.com:8443/a/b", true},
		{"https://u:pw@git.example.com/fleet", gitsource.Auth{}, "https://git.example.com/fleet", true},
		{"http://127.0.0.1:80/fleet", gitsource.Auth{}, "http://127.0.0.1:80/fleet", true},
		{"http://[::1]/fleet", gitsource.Auth{}, "http://[::1]/fleet", true},
		{"http://localhost/fleet", gitsource.Auth{}, "http://localhost/fleet", true},
		{"file:///srv/fleet.git", gitsource.Auth{}, "/srv/fleet.git", true},
		{"/srv/fleet@2.git", gitsource.Auth{}, "/srv/fleet@2.git", true},

		{"", gitsource.Auth{}, "it is empty", false},
		{"http://git.example.com/fleet", gitsource.Auth{}, "use https", false},
		{"http://127.0.0.1.example.com/fleet", gitsource.Auth{}, "use https", false},
		{"https:///fleet", gitsource.Auth{}, "no host", false},
		{"https://git.example.com/fleet?private_token=pw", gitsource.Auth{}, "remove what follows", false},
		{"https://git.example.com/fleet#pw", gitsource.Auth{}, "remove what follows", false},
		{"https://u:pw@git.example.com/fleet", gitsource.Auth{Token: "other"}, "remove those in the URL", false},
		{"https://u:pw@git.example.com:port/fleet", gitsource.Auth{}, "cannot be parsed", false},
		{"https://u:p/pw@git.example.com/fleet", gitsource.Auth{}, "cannot be parsed", false},
		{"ssh://git@git.example.com/fleet", gitsource.Auth{}, "ssh needs a key file", false},
		{"git@git.example.com:fleet.git", gitsource.Auth{SSHKeyFile: "k"}, "ssh needs a key file and a known hosts", false},
		{"ssh://git@git.example.com/fleet", overSSH, "ssh://git.example.com/fleet", true},
		{"ssh://git.example.com:2222/fleet", overSSH, "ssh://git.example.com:2222/fleet", true},
		{"ssh://git@git.example.com/~me/fleet", overSSH, "ssh://git.example.com/~me/fleet", true},
		{"git@git.example.com:acme/fleet.git", overSSH, "ssh://git.example.com/acme/fleet.git", true},
		{"git.example.com:acme/fleet.git", overSSH, "ssh://git.example.com/acme/fleet.git", true},
		{"git@[2001:db8::1]:fleet.git", overSSH, "ssh://[2001:db8::1]/fleet.git", true},
		{"git@[2001:db8::1:fleet.git", overSSH, "not closed", false},
		{"ssh://git:pw@git.example.com/fleet", overSSH, "no password", false},
		{"ssh://git.example.com", overSSH, "no path", false},
		{"ssh:///fleet", overSSH, "no host", false},
		{"git@git.example.com:-x", overSSH, "dash", false},
		{"git@git.example.com:fleet", gitsource.Auth{Token: "pw", SSHKeyFile: "k", KnownHostsFile: "h"}, "token", false},
		{"git@git.example.com:fleet", gitsource.Auth{CAFile: "ca", SSHKeyFile: "k", KnownHostsFile: "h"}, "authority", false},
		{"git@git.example.com:fleet", gitsource.Auth{Proxy: "http://p", SSHKeyFile: "k", KnownHostsFile: "h"}, "proxy", false},
		{"https://git.example.com/fleet", overSSH, "ssh://git@host/path", false},
		{"https://git.example.com/fleet", gitsource.Auth{TokenFile: "t", PasswordFile: "p", Username: "u"}, "remove one", false},
		{"https://git.example.com/fleet", gitsource.Auth{PasswordFile: "p"}, "no user name", false},
		{"https://git.example.com/fleet", gitsource.Auth{Proxy: "socks5://u:pw@p"}, "no http or https URL", false},
		{"http://git.example.com/fleet", gitsource.Auth{PlainHTTP: true}, "http://git.example.com/fleet", true},
		{"git://git.example.com/fleet", gitsource.Auth{}, "use https", false},
		{"ftp://u:pw@git.example.com/fleet", gitsource.Auth{}, "not supported", false},
		{"file://server/fleet", gitsource.Auth{}, "file:///absolute/path", false},
		{"file://u:pw@localhost/fleet", gitsource.Auth{}, "file:///absolute/path", false},
		{"https://git.example.com/\x1b[31m", gitsource.Auth{}, "control characters", false},
	} {
		src, err := gitsource.Open(gitsource.Options{URL: tt.url, Auth: tt.auth})
		got := errorText(err)
		if err == nil {
			got = src.String()
		}
		if (err == nil) != tt.ok || !strings.Contains(got, tt.want) {
			t.Errorf("Open(%q) = %q, want ok %v and %q", tt.url, got, tt.ok, tt.want)
		}
		if !tt.ok && (!errors.Is(err, gitsource.ErrURL) || remedy.Of(err) != remedy.Hold) {
			t.Errorf("Open(%q) = %v (remedy %v), want %v (remedy hold)", tt.url, err, remedy.Of(err), gitsource.ErrURL)
		}
		if strings.Contains(got, "pw") {
			t.Errorf("Open(%q) shows the password: %q", tt.url, got)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"https://git.example.com/fleet", "https://git.example.com/fleet"},
		{"https://u:pw@git.example.com/fleet", "https://REDACTED@git.example.com/fleet"},
		{"https://pw@git.example.com/fleet", "https://REDACTED@git.example.com/fleet"},
		{"https://u:p@w/p@git.example.com/fleet", "https://REDACTED@git.example.com/fleet"},
		{"https://u:pw@git.example.com:port/%zz", "https://REDACTED@git.example.com:port/%zz"},
		{"https://git.example.com/fleet?token=pw", "https://git.example.com/fleet?REDACTED"},
		{"https://git.example.com/fleet#pw", "https://git.example.com/fleet#REDACTED"},
		{"https://git.example.com/fleet?t=p@w", "https://REDACTED@w"},
		{"u:pw@https://git.example.com", "REDACTED@https://git.example.com"},
		{"https:/u:pw@git.example.com", "REDACTED@git.example.com"},
		{"u:pw@git.example.com:fleet", "REDACTED@git.example.com:fleet"},
		{"git@git.example.com:fleet", "git@git.example.com:fleet"},
		{"/srv/fleet@2.git", "/srv/fleet@2.git"},
		{"https://git.example.com/\x1b[31m", "https://git.example.com/[31m"},
		{"", ""},
	} {
		if got := gitsource.Redact(tt.url); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.url, got, tt.want)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	o := gitsource.Options{Auth: gitsource.Auth{Token: token}}
	asJSON, err := json.Marshal(o.Auth)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(o), fmt.Sprintf("%v %+v %#v %s %q", o, o, o, o.Auth.Token, o.Auth.Token), string(asJSON), o.Auth.Token.LogValue().String(),
	} {
		if strings.Contains(got, token) {
			t.Errorf("%q shows the token", got)
		}
	}
}

// FuzzURL puts a secret where credentials go, in a URL of arbitrary parts, and
// wants it nowhere in what is printed.
func FuzzURL(f *testing.F) {
	f.Add("https", "u", "git.example.com/fleet", "")
	f.Add("https", "", "git.example.com:x/%zz", "?t=1")
	f.Add("http", "a/b", "127.0.0.1", "#x")
	f.Add("", "u", "host:path", "")
	f.Add("ssh", "git", "[::1", "")
	f.Add("file", "?", "localhost/x", "")
	const secret = "hunter2-hunter2"
	f.Fuzz(func(t *testing.T, scheme, user, rest, tail string) {
		if strings.Contains(scheme+user+rest+tail, "hunter2") {
			t.Skip("the secret elsewhere")
		}
		for _, raw := range []string{
			scheme + "://" + user + ":" + secret + "@" + rest + tail,
			scheme + "://" + secret + "@" + rest + tail,
			scheme + "://" + url.UserPassword(user, secret).String() + "@" + rest + tail,
			user + ":" + secret + "@" + rest + tail,
			"https://host/" + url.PathEscape(rest) + "?token=" + secret,
		} {
			if got := gitsource.Redact(raw); strings.Contains(got, "hunter2") {
				t.Errorf("Redact(%q) = %q", raw, got)
			}
			src, err := gitsource.Open(gitsource.Options{URL: raw})
			said := errorText(err)
			if err == nil {
				said = src.String()
				_ = src.Close()
			}
			// A path on disk is no URL and is printed as it is.
			if strings.Contains(said, "hunter2") && (err != nil || strings.HasPrefix(raw, "https")) {
				t.Errorf("Open(%q) says %q", raw, said)
			}
		}
	})
}
