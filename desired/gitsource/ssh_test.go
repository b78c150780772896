package gitsource_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// newKey makes a key pair, and its file, encrypted if there is a passphrase.
func newKey(t *testing.T, passphrase string) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, writeFile(t, "key", string(pem.EncodeToMemory(block)))
}

// writeFile writes a file of its own.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serveSSH serves the fleet over ssh, and says how it is read.
func (f *fleet) serveSSH(t *testing.T, o gitd.SSHOptions) (*gitd.SSHServer, gitsource.Options) {
	t.Helper()
	user, keyFile := newKey(t, "")
	o.Git = gitBinary(t)
	o.Users = append(o.Users, user.PublicKey())
	s, err := gitd.ServeSSH(context.WithoutCancel(t.Context()), f.Repo, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	known := writeFile(t, "known_hosts", knownhosts.Line([]string{s.Addr}, s.HostKey)+"\n")
	return s, gitsource.Options{URL: s.URL, Auth: gitsource.Auth{SSHKeyFile: keyFile, KnownHostsFile: known}}
}

func TestSSHUnmovedRefCostsOneListing(t *testing.T) {
	t.Parallel()
	server, options := newFleet(t).serveSSH(t, gitd.SSHOptions{})
	src := open(t, options)
	first, _ := latest(t, src)
	again, changed := latest(t, src)
	if changed || again != first {
		t.Errorf("Latest of an unmoved ref = %v, changed %v, want the same snapshot", again.Revision, changed)
	}
	// The command is run once for each look; a fetch goes on where the listing ended.
	if got := server.Commands(); len(got) != 2 || got[0] != "git-upload-pack '/fleet.git'" {
		t.Errorf("commands = %q, want git-upload-pack twice", got)
	}
}

func TestSSHAsksForThePathAsWritten(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server, options := f.serveSSH(t, gitd.SSHOptions{})
	for _, tt := range []struct{ url, want string }{
		{server.URL, "git-upload-pack '/fleet.git'"},
		{"ssh://git@" + server.Addr + "/~me/fleet.git", "git-upload-pack '~me/fleet.git'"},
		{"ssh://" + server.Addr + "/it's/fleet.git", `git-upload-pack '/it'\''s/fleet.git'`},
	} {
		server.Forget()
		options.URL = tt.url
		latest(t, open(t, options))
		if got := server.Commands(); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: commands = %q, want %q", tt.url, got, tt.want)
		}
	}
	options.URL = "ssh://" + server.Addr + "/other"
	_, _, err := open(t, options).Latest(t.Context())
	if !errors.Is(err, gitsource.ErrNoRepository) || remedy.Of(err) != remedy.Hold {
		t.Errorf("Latest of another path = %v (remedy %v), want %v", err, remedy.Of(err), gitsource.ErrNoRepository)
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.do(t, err)
	second, err := ssh.NewSignerFromKey(ecdsaKey)
	f.do(t, err)
	first, _ := newKey(t, "")
	other, _ := newKey(t, "")
	server, options := f.serveSSH(t, gitd.SSHOptions{HostKeys: []ssh.Signer{first, second}})
	line := func(key ssh.Signer) string { return knownhosts.Line([]string{server.Addr}, key.PublicKey()) }
	hashed := knownhosts.HashHostname(knownhosts.Normalize(server.Addr)) + " " + string(ssh.MarshalAuthorizedKey(first.PublicKey()))
	for _, tt := range []struct {
		name, file string
		is         error
		say        []string // in the error; none: accepted
	}{
		{"known", line(first), nil, nil},
		{"known by its second key only", line(second), nil, nil},
		{"hashed", hashed, nil, nil},
		{"among others", "# comment\nother.example.com " + string(ssh.MarshalAuthorizedKey(other.PublicKey())) + line(first), nil, nil},
		{"changed", "# comment\n" + line(other), gitsource.ErrHostKey, []string{"which is not the key of line 2", "known_hosts", line(first), "in between"}},
		{"unknown", knownhosts.Line([]string{"other.example.com"}, first.PublicKey()), gitsource.ErrHostKey,
			[]string{"is not in", "known_hosts", ssh.FingerprintSHA256(second.PublicKey()), "add the line", line(second)}},
		{"empty", "", gitsource.ErrHostKey, []string{"is not in", "add the line"}},
		{"revoked", line(first) + "\n@revoked * " + string(ssh.MarshalAuthorizedKey(first.PublicKey())), gitsource.ErrHostKey, []string{"line 2", "revokes"}},
		{"not one", "this is no known hosts file", gitsource.ErrSecret, []string{"ssh-keyscan"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			options := options
			options.Auth.KnownHostsFile = writeFile(t, "known_hosts", tt.file+"\n")
			_, _, err := open(t, options).Latest(t.Context())
			if tt.is == nil {
				if err != nil {
					t.Errorf("Latest = %v", err)
				}
				return
			}
			if !errors.Is(err, tt.is) || remedy.Of(err) != remedy.Hold {
				t.Fatalf("Latest = %v (remedy %v), want %v (remedy hold)", err, remedy.Of(err), tt.is)
			}
			for _, say := range tt.say {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("error %q does not say %q", err, say)
				}
			}
		})
	}
	if after, err := os.ReadFile(options.Auth.KnownHostsFile); err != nil || string(after) != line(first)+"\n" {
		t.Errorf("known hosts afterwards = %q, %v: something was learned", after, err)
	}
}

// A server that has no key of a kind that is known is refused, and said so.
func TestHostKeyOfAnotherKind(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.do(t, err)
	other, err := ssh.NewSignerFromKey(ecdsaKey)
	f.do(t, err)
	server, options := f.serveSSH(t, gitd.SSHOptions{})
	options.Auth.KnownHostsFile = writeFile(t, "known_hosts", knownhosts.Line([]string{server.Addr}, other.PublicKey())+"\n")
	_, _, err = open(t, options).Latest(t.Context())
	if !errors.Is(err, gitsource.ErrHostKey) || !strings.Contains(errorText(err), "ssh-ed25519") || !strings.Contains(errorText(err), "ecdsa-sha2-nistp256") {
		t.Errorf("Latest = %v, want %v naming both kinds", err, gitsource.ErrHostKey)
	}
}

func TestSSHKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	locked, lockedFile := newKey(t, "p4ssphrase")
	_, stranger := newKey(t, "")
	_, options := f.serveSSH(t, gitd.SSHOptions{Users: []ssh.PublicKey{locked.PublicKey()}})
	for _, tt := range []struct {
		name, key, passphrase string
		is                    error
		say                   string
	}{
		{"encrypted", lockedFile, writeFile(t, "passphrase", "p4ssphrase\n"), nil, ""},
		{"without its passphrase", lockedFile, "", gitsource.ErrSecret, "source.auth.sshPassphraseFile"},
		{"wrong passphrase", lockedFile, writeFile(t, "passphrase", "wr0ng"), gitsource.ErrSecret, "encrypted with the passphrase"},
		{"empty passphrase", lockedFile, writeFile(t, "passphrase", ""), gitsource.ErrSecret, "it is empty"},
		{"not let in", stranger, "", gitsource.ErrAuth, "does not let user git in"},
		{"no key", writeFile(t, "key", "p4ssphrase"), "", gitsource.ErrSecret, "key"},
		{"no file", filepath.Join(t.TempDir(), "gone"), "", gitsource.ErrSecret, "gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			options := options
			options.Auth.SSHKeyFile, options.Auth.SSHPassphraseFile = tt.key, tt.passphrase
			_, _, err := open(t, options).Latest(t.Context())
			if tt.is == nil && err != nil || tt.is != nil && (!errors.Is(err, tt.is) || remedy.Of(err) != remedy.Hold || !strings.Contains(err.Error(), tt.say)) {
				t.Errorf("Latest = %v (remedy %v), want %v saying %q", err, remedy.Of(err), tt.is, tt.say)
			}
			if said := errorText(err); strings.Contains(said, "p4ssphrase") || strings.Contains(said, "wr0ng") {
				t.Errorf("error %q shows a passphrase", said)
			}
		})
	}
}

// TestHostileSSHServers meets servers that speak ssh well and Git not at all.
func TestHostileSSHServers(t *testing.T) {
	t.Parallel()
	limits := gitsource.Limits{ListingBytes: 1 << 16, PackBytes: 1 << 16, Silence: time.Second, Time: 2 * time.Second}
	flood := func(w io.Writer) {
		chunk := []byte(fmt.Sprintf("0044%s refs/heads/a-fine-name\n", strings.Repeat("1", 40)))
		chunk = bytes.Repeat(chunk, 1000)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	drip := func(w io.Writer) {
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // a slow server is what is tested
		}
	}
	f := newFleet(t)
	listing := fmt.Sprintf("%s refs/heads/main\x00shallow\n", f.third)
	listing = fmt.Sprintf("%04x%s0000", len(listing)+4, listing)
	for _, tt := range []struct {
		name   string
		answer func(channel io.ReadWriter, stderr io.Writer)
		is     error
		remedy remedy.Class
		say    string
	}{
		{"endless listing", func(c io.ReadWriter, _ io.Writer) {
			_, _ = io.WriteString(c, strings.TrimSuffix(listing, "0000"))
			flood(c)
		}, gitsource.ErrLimit, remedy.Hold, "ListingBytes"},
		{"garbage for a listing", func(c io.ReadWriter, _ io.Writer) { _, _ = c.Write([]byte("HTTP/1.1 200 OK, and then some")); drip(c) }, gitsource.ErrUnreachable, remedy.Retry, "check that it serves Git"},
		{"endless talk", func(_ io.ReadWriter, e io.Writer) { flood(e) }, gitsource.ErrLimit, remedy.Hold, "PackBytes"},
		{"silence", func(c io.ReadWriter, _ io.Writer) { _, _ = io.Copy(io.Discard, c) }, gitsource.ErrTimeout, remedy.Retry, "raise Silence"},
		{"drip", func(c io.ReadWriter, _ io.Writer) { _, _ = c.Write([]byte("fff0")); drip(c) }, gitsource.ErrTimeout, remedy.Retry, "raise Time"},
		{"endless pack", func(c io.ReadWriter, _ io.Writer) { _, _ = c.Write([]byte(listing + "00000008NAK\n")); flood(c) }, gitsource.ErrLimit, remedy.Hold, "PackBytes"},
		{"silence after the listing", nil, gitsource.ErrTimeout, remedy.Retry, "raise Silence"},
		{"a pack that breaks off", func(c io.ReadWriter, _ io.Writer) {
			_, _ = c.Write([]byte(listing))
			_, _ = c.Read(make([]byte, 1000))
			_, _ = c.Write([]byte("00000008NAK\nPACK\x00\x00\x00\x02\x00\x00"))
		}, gitsource.ErrUnreachable, remedy.Retry, "broke off"},
		{"no Git", func(c io.ReadWriter, e io.Writer) {
			_, _ = io.WriteString(e, "Interactive shell is \x1b[31mdisabled\n")
		}, gitsource.ErrUnreachable, remedy.Retry, "Interactive shell is [31mdisabled"},
		{"no repository", func(c io.ReadWriter, e io.Writer) { _, _ = io.WriteString(e, "ERROR: Repository not found.\n") }, gitsource.ErrNoRepository, remedy.Hold, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, options := f.serveSSH(t, gitd.SSHOptions{Answer: func(_ string, c io.ReadWriter, e io.Writer) uint32 {
				if tt.answer == nil {
					_, _ = c.Write([]byte(listing))
					_, _ = io.Copy(io.Discard, c)
					<-t.Context().Done()
					return 1
				}
				tt.answer(c, e)
				return 128
			}})
			options.Limits, options.Ref = limits, "main"
			_, _, err := open(t, options).Latest(t.Context())
			if !errors.Is(err, tt.is) || remedy.Of(err) != tt.remedy || !strings.Contains(errorText(err), tt.say) {
				t.Errorf("Latest = %v (remedy %v), want %v saying %q (remedy %v)", err, remedy.Of(err), tt.is, tt.say, tt.remedy)
			}
		})
	}
}

// TestServersThatDoNotSpeakSSH covers what comes before the keys.
func TestServersThatDoNotSpeakSSH(t *testing.T) {
	t.Parallel()
	_, options := newFleet(t).serveSSH(t, gitd.SSHOptions{})
	options.Limits = gitsource.Limits{Silence: 200 * time.Millisecond, Time: 5 * time.Second}
	for name, tt := range map[string]struct {
		serve func(net.Conn)
		is    error
	}{
		"silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, gitsource.ErrTimeout},
		"http":   {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _ = c.Close() }, gitsource.ErrUnreachable},
		"gone":   {func(c net.Conn) { _ = c.Close() }, gitsource.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go tt.serve(c)
				}
			}()
			options := options
			options.URL = "ssh://git@" + l.Addr().String() + "/fleet.git"
			if _, _, err := open(t, options).Latest(t.Context()); !errors.Is(err, tt.is) || remedy.Of(err) != remedy.Retry {
				t.Errorf("Latest = %v (remedy %v), want %v (remedy retry)", err, remedy.Of(err), tt.is)
			}
		})
	}
}
