package gitsource

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Auth is how to authenticate to a remote repository. The zero value does not.
// Files are read anew for every look, so that what they hold can be rotated.
type Auth struct {
	// Username goes with Token in HTTP basic authentication; if empty,
	// "x-access-token", which GitHub, GitLab, Gitea and Bitbucket accept.
	Username string
	Token    Secret
	// TokenFile holds the token in place of Token, PasswordFile the password of
	// Username.
	TokenFile, PasswordFile string
	// Bearer sends the token as a bearer token instead.
	Bearer bool

	// SSHKeyFile holds a private key, SSHPassphraseFile what it is encrypted with,
	// if it is, and KnownHostsFile the host keys that are trusted: no other is, and
	// none is learned.
	SSHKeyFile, SSHPassphraseFile, KnownHostsFile string

	// CAFile holds certificates of authorities, PEM, which take the place of the
	// system's.
	CAFile string
	// Proxy is the URL of a proxy for https; if empty, that of HTTPS_PROXY and
	// NO_PROXY in the environment.
	Proxy string
	// PlainHTTP admits http to other machines than this one, where anyone on the
	// way reads the token and may write the revision.
	PlainHTTP bool
}

// login is what the files of an Auth held at one look.
type login struct {
	user     string
	password Secret // a token, for https
	bearer   bool
	key      ssh.Signer // for ssh
}

// apply adds what the server asks for to a request.
func (l login) apply(r *http.Request) {
	switch {
	case l.password == "":
	case l.bearer:
		r.Header.Set("Authorization", "Bearer "+string(l.password))
	default:
		r.SetBasicAuth(cmp.Or(l.user, "x-access-token"), string(l.password))
	}
}

// read reads the files. What is secret in them is told to hide before anything can
// go wrong with it.
func (a Auth) read(overSSH bool, hide func(Secret)) (login, error) {
	l := login{user: a.Username, password: a.Token, bearer: a.Bearer}
	hide(a.Token)
	if overSSH {
		key, err := a.readKey(hide)
		l.key = key
		return l, err
	}
	if file := cmp.Or(a.TokenFile, a.PasswordFile); file != "" {
		secret, err := readSecret(file, hide)
		if err != nil {
			return login{}, err
		}
		l.password = secret
	}
	return l, nil
}

// readSecret reads a file of one line.
func readSecret(name string, hide func(Secret)) (Secret, error) {
	data, err := readOperators(name)
	if err != nil {
		return "", unusable(name, err)
	}
	secret := Secret(strings.TrimSpace(string(data)))
	hide(secret)
	switch {
	case secret == "":
		return "", unusable(name, errors.New("it is empty: write the secret into it"))
	case strings.ContainsAny(string(secret), "\x00\r\n"):
		return "", unusable(name, errors.New("it has several lines: write the secret, and nothing else, into it"))
	}
	return secret, nil
}

func unusable(name string, err error) error {
	return remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s: %w", ErrSecret, name, err))
}

// readKey reads the private key. An error of the ssh package quotes no part of it.
func (a Auth) readKey(hide func(Secret)) (ssh.Signer, error) {
	data, err := readOperators(a.SSHKeyFile)
	if err != nil {
		return nil, unusable(a.SSHKeyFile, err)
	}
	var key ssh.Signer
	if a.SSHPassphraseFile == "" {
		key, err = ssh.ParsePrivateKey(data)
		if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
			err = errors.New("it is encrypted: name the file of its passphrase in source.auth.sshPassphraseFile")
		}
	} else {
		var passphrase Secret
		if passphrase, err = readSecret(a.SSHPassphraseFile, hide); err != nil {
			return nil, err
		}
		key, err = ssh.ParsePrivateKeyWithPassphrase(data, []byte(passphrase))
		if err != nil {
			err = fmt.Errorf("%w: check that it is encrypted with the passphrase of %s", err, a.SSHPassphraseFile)
		}
	}
	if err != nil {
		return nil, unusable(a.SSHKeyFile, err)
	}
	return key, nil
}

// ofProxies are the passwords that proxies of the environment have in their URLs:
// net/http quotes a URL that it cannot use.
func ofProxies() []Secret {
	var found []Secret
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		value := os.Getenv(name)
		at := strings.LastIndexByte(value, '@')
		if at < 0 {
			continue
		}
		user := value[:at]
		if i := strings.Index(user, "://"); i >= 0 {
			user = user[i+3:]
		}
		_, password, _ := strings.Cut(user, ":")
		found = append(found, Secret(password))
		if plain, err := url.PathUnescape(password); err == nil {
			found = append(found, Secret(plain))
		}
	}
	return found
}
