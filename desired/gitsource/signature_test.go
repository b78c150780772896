package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

var made = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// unsigned is a commit as Git stores it.
const unsigned = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.com> 1772452800 +0000\n" +
	"committer A <a@example.com> 1772452800 +0000\n\nChange the fleet.\n"

// withSignature puts a signature where Git does.
func withSignature(commit, signature string) []byte {
	head, message, _ := strings.Cut(commit, "\n\n")
	return []byte(head + "\ngpgsig " + strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ") + "\n\n" + message)
}

func commitOf(raw []byte) signedCommit {
	return signedCommit{hash: strings.Repeat("1", 40), raw: raw, made: made}
}

func keep(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func wantFault(t *testing.T, name string, err error, want Fault) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v, want it to count", name, err)
		}
		return
	}
	bad, ok := errors.AsType[*SignatureError](err)
	if !ok || bad.Fault != want || !errors.Is(err, ErrUnverified) || remedy.Of(err) != remedy.Hold || bad.Next == "" {
		t.Errorf("%s: %v (remedy %v), want fault %s (remedy hold)", name, err, remedy.Of(err), want)
	}
}

// TestSSHSignatures judges commits that git commit -S and ssh-keygen made and signed,
// see testdata/signed/make.sh.
func TestSSHSignatures(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/signed/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	key := func(name string) string { return strings.TrimSpace(string(read(name + ".pub"))) }
	now := made.Add(time.Hour)
	good := read("ed25519.commit")
	for _, tt := range []struct {
		name, signers string
		commit        []byte
		want          Fault
	}{
		{"ed25519", "a@example.com " + key("ed25519"), good, ""},
		{"rsa", "a@example.com " + key("rsa"), read("rsa.commit"), ""},
		{"ecdsa", "a@example.com " + key("ecdsa"), read("ecdsa.commit"), ""},
		{"certificate", "a@example.com cert-authority " + key("ca"), read("cert.commit"), ""},
		{"certificate of another's principal", "b@example.com cert-authority " + key("ca"), read("cert.commit"), FaultExpired},
		{"authority without saying so", "a@example.com " + key("ca"), read("cert.commit"), FaultUnknownKey},
		{"authority signs itself", "a@example.com cert-authority " + key("ed25519"), good, FaultUnknownKey},
		{"one of several lines", "a@example.com " + key("rsa") + "\nb " + key("ed25519"), good, ""},
		{"unknown key", "a@example.com " + key("rsa"), good, FaultUnknownKey},
		{"in its namespaces", `a@example.com namespaces="file,g*" ` + key("ed25519"), good, ""},
		{"not in its namespaces", `a@example.com namespaces="file" ` + key("ed25519"), good, FaultNamespace},
		{"git forbidden", `a@example.com namespaces="*,!git" ` + key("ed25519"), good, FaultNamespace},
		{"valid", `a@example.com valid-after="20260301Z",valid-before="20260303Z" ` + key("ed25519"), good, ""},
		{"expired before", `a@example.com valid-before="20260302Z" ` + key("ed25519"), good, FaultExpired},
		{"expired since", `a@example.com valid-before="202603021230Z" ` + key("ed25519"), good, FaultExpired},
		{"not yet", `a@example.com valid-after="202603021230Z" ` + key("ed25519"), good, FaultNotYet},
		{"a better line after a worse", `a@example.com valid-before="20260302Z" ` + key("ed25519") + "\na@example.com " + key("ed25519"), good, ""},
		{"another namespace", "a@example.com " + key("ed25519"), read("file.commit"), FaultNamespace},
		{"another message", "a@example.com " + key("ed25519"), bytes.Replace(good, []byte("Change"), []byte("Ruin"), 1), FaultWrong},
		{"another tree", "a@example.com " + key("ed25519"), bytes.Replace(good, []byte("tree 4"), []byte("tree 5"), 1), FaultWrong},
		{"a header more", "a@example.com " + key("ed25519"), bytes.Replace(good, []byte("\nauthor"), []byte("\nparent 1111111111111111111111111111111111111111\nauthor"), 1), FaultWrong},
		{"unsigned", "a@example.com " + key("ed25519"), []byte(unsigned), FaultUnsigned},
		{"broken", "a@example.com " + key("ed25519"), withSignature(unsigned, "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"), FaultMalformed},
		{"of no kind", "a@example.com " + key("ed25519"), withSignature(unsigned, "-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n"), FaultMalformed},
		{"twice", "a@example.com " + key("ed25519"), bytes.Replace(good, []byte("\n\nChange"), []byte("\ngpgsig x\n\nChange"), 1), FaultMalformed},
	} {
		v := Verify{AllowedSignersFile: keep(t, []byte(tt.signers+"\n"))}
		wantFault(t, tt.name, v.check(commitOf(tt.commit), now), tt.want)
	}
	wantFault(t, "without SSH keys", Verify{GPGKeysFile: keep(t, publicKey(t, newEntity(t, made, 0)))}.check(commitOf(good), now), FaultUnknownKey)
	for _, v := range []Verify{{AllowedSignersFile: "/nowhere"}, {GPGKeysFile: "/nowhere"}, {AllowedSignersFile: keep(t, nil)}, {GPGKeysFile: keep(t, nil)}} {
		if err := v.check(commitOf(good), now); !errors.Is(err, ErrKeySet) || remedy.Of(err) != remedy.Hold {
			t.Errorf("%+v: %v, want %v (remedy hold)", v, err, ErrKeySet)
		}
	}
}

func newEntity(t *testing.T, at time.Time, lifetime uint32) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("A", "", "a@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: lifetime, Time: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func publicKey(t *testing.T, entities ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, e := range entities {
		w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Serialize(w), w.Close()); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func pgpSigned(t *testing.T, e *openpgp.Entity, at time.Time, lifetime uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	config := &packet.Config{Time: func() time.Time { return at }, SigLifetimeSecs: lifetime}
	if err := openpgp.ArmoredDetachSign(&b, e, strings.NewReader(unsigned), config); err != nil {
		t.Fatal(err)
	}
	return withSignature(unsigned, b.String())
}

func TestOpenPGPSignatures(t *testing.T) {
	t.Parallel()
	now, day := made.Add(time.Hour), 24*time.Hour
	key, other := newEntity(t, made.Add(-day), 0), newEntity(t, made.Add(-day), 0)
	soon := newEntity(t, made.Add(-day), uint32((day + 30*time.Minute).Seconds()))
	revoked := newEntity(t, made.Add(-day), 0)
	good, byRevoked := pgpSigned(t, key, made.Add(time.Second), 0), pgpSigned(t, revoked, made, 0)
	if err := revoked.RevokeKey(packet.KeyCompromised, "lost", &packet.Config{Time: func() time.Time { return made.Add(time.Minute) }}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		keys   []byte
		commit []byte
		want   Fault
	}{
		{"good", publicKey(t, key), good, ""},
		{"one of several blocks", publicKey(t, other, key), good, ""},
		{"unknown key", publicKey(t, other), good, FaultUnknownKey},
		{"expired key", publicKey(t, soon), pgpSigned(t, soon, made, 0), FaultExpired},
		{"expired signature", publicKey(t, key), pgpSigned(t, key, made, 60), FaultExpired},
		{"from the future", publicKey(t, key), pgpSigned(t, key, now.Add(time.Hour), 0), FaultNotYet},
		{"revoked", publicKey(t, revoked), byRevoked, FaultRevoked},
		{"another message", publicKey(t, key), bytes.Replace(good, []byte("Change"), []byte("Ruin"), 1), FaultWrong},
		{"broken", publicKey(t, key), withSignature(unsigned, "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"), FaultMalformed},
		{"unsigned", publicKey(t, key), []byte(unsigned), FaultUnsigned},
	} {
		v := Verify{GPGKeysFile: keep(t, tt.keys)}
		wantFault(t, tt.name, v.check(commitOf(tt.commit), now), tt.want)
	}
	if err := (Verify{}).check(commitOf([]byte(unsigned)), now); err != nil {
		t.Errorf("without keys configured: %v", err)
	}
}

// TestRealGitSigns makes a commit with git commit -S, so that a change of format is seen.
func TestRealGitSigns(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s: the commits in testdata/signed stand for it", tool)
		}
	}
	dir := t.TempDir()
	do := func(name string, args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v", name, args, err)
		}
		return out
	}
	do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
	do("git", "init", "-q")
	do("git", "-c", "gpg.format=ssh", "-c", "user.signingKey="+filepath.Join(dir, "key"), "commit", "-q", "-S", "--allow-empty", "-m", "Change the fleet.")
	public, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	c := signedCommit{hash: strings.TrimSpace(string(do("git", "rev-parse", "HEAD"))), raw: do("git", "cat-file", "commit", "HEAD"), made: time.Now()}
	v := Verify{AllowedSignersFile: keep(t, fmt.Appendf(nil, "a@example.com %s", public))}
	wantFault(t, "git commit -S", v.check(c, time.Now()), "")
}
