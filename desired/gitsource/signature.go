package gitsource

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Verify says whose signatures a commit needs. The zero value asks for none. The
// files are read anew for every judgement, so that keys can be rotated.
//
// It is always the commit that must be signed: an annotated tag's own signature
// does not count, because it says who named the commit and not who wrote it, and
// because a branch has none. Only the head's commit is judged, not its ancestors:
// whoever signs a commit answers for what it stands on.
type Verify struct {
	// GPGKeysFile holds armoured OpenPGP public keys, any number of blocks.
	GPGKeysFile string
	// AllowedSignersFile holds SSH keys, as ssh-keygen(1) reads it under ALLOWED
	// SIGNERS. As in git verify-commit, a principal names the signer and is not
	// compared with the committer's address.
	AllowedSignersFile string
}

// Fault says what is wrong with a signature.
type Fault string

// The faults of signatures.
const (
	FaultUnsigned   Fault = "unsigned"        // there is none
	FaultMalformed  Fault = "malformed"       // it cannot be read
	FaultUnknownKey Fault = "unknown-key"     // the key is not in the configured set
	FaultExpired    Fault = "expired"         // the key or the signature is past its end
	FaultNotYet     Fault = "not-yet-valid"   // it was made before the key's time, or in the future
	FaultRevoked    Fault = "revoked"         // the key was revoked
	FaultNamespace  Fault = "wrong-namespace" // it was not made for Git
	FaultWrong      Fault = "wrong-content"   // it is over other content
)

// SignatureError is an [ErrUnverified]: a commit whose signature does not count.
type SignatureError struct {
	Commit string
	Fault  Fault
	What   string // what was found
	Next   string // what to do
}

// Error names the commit, the fault and the way out.
func (e *SignatureError) Error() string {
	return fmt.Sprintf("verify commit %s: %v: %s: %s", e.Commit, ErrUnverified, e.What, e.Next)
}

// Is makes every SignatureError an [ErrUnverified].
func (e *SignatureError) Is(target error) bool { return target == ErrUnverified }

// signedCommit is a commit as its signature sees it.
type signedCommit struct {
	hash string
	raw  []byte    // as Git stores it, without its header of type and size
	made time.Time // by the committer
}

// maxSignature bounds a signature in bytes. Those of RSA with 16384 bits take 3 KB.
const maxSignature = 64 << 10

// check judges a commit's signature. A nil error means that a key of the set made
// it over this very commit, and that the key was good both when the commit says it
// was made and now: a commit's own time can be anything, so it alone cannot vouch
// for a key whose time is over.
func (v Verify) check(c signedCommit, now time.Time) error {
	if v == (Verify{}) {
		return nil
	}
	keys, err := v.load()
	if err != nil {
		return err
	}
	fault := func(f Fault, what, next string) error {
		return remedy.Mark(remedy.Hold, &SignatureError{Commit: c.hash, Fault: f, What: what, Next: next})
	}
	payload, signature, problem := splitSigned(c.raw)
	switch {
	case problem != "":
		return fault(FaultMalformed, problem, amend)
	case signature == "":
		return fault(FaultUnsigned, "it is not signed", "sign it with git commit --amend -S, and set commit.gpgSign for the next ones")
	case len(signature) > maxSignature || strings.Count(signature, "-----BEGIN ") != 1:
		return fault(FaultMalformed, "its signature is not exactly one armoured block", amend)
	}
	var f *flaw
	switch {
	case strings.HasPrefix(signature, "-----BEGIN SSH SIGNATURE-----"):
		f = keys.checkSSH(payload, signature, c.made, now)
	case strings.HasPrefix(signature, "-----BEGIN PGP SIGNATURE-----"):
		f = keys.checkOpenPGP(payload, signature, now)
	default:
		f = &flaw{FaultMalformed, "its signature is neither OpenPGP nor SSH", "sign it with gpg.format openpgp or ssh"}
	}
	if f != nil {
		return fault(f.fault, f.what, f.next)
	}
	return nil
}

// flaw is why a signature does not count.
type flaw struct {
	fault      Fault
	what, next string
}

const amend = "sign the commit anew with git commit --amend -S"

// splitSigned takes the signature out of a commit and returns the rest, which is
// what was signed. Its format is that of a header with continuation lines, see
// https://git-scm.com/docs/signature-format and https://git-scm.com/docs/gitformat-signature.
// Git drops every gpgsig header before it verifies and looks at one of them; this
// refuses a commit with two, of which readers could pick different ones.
func splitSigned(raw []byte) (payload []byte, signature, problem string) {
	const header = "gpgsig "
	end := bytes.Index(raw, []byte("\n\n"))
	if end < 0 {
		end = len(raw)
	} else {
		end++
	}
	var text strings.Builder
	count, inside := 0, false
	payload = make([]byte, 0, len(raw))
	for line := range bytes.Lines(raw[:end]) {
		switch {
		case inside && line[0] == ' ':
			text.Write(line[1:])
			continue
		case bytes.HasPrefix(line, []byte(header)):
			inside = true
			count++
			text.Write(line[len(header):])
			continue
		case bytes.HasPrefix(line, []byte("gpgsig-sha256 ")):
			return nil, "", "it bears a signature for SHA-256 object names"
		case bytes.IndexByte(line, 0) >= 0:
			return nil, "", "its header has a NUL byte"
		}
		inside = false
		payload = append(payload, line...)
	}
	if count > 1 {
		return nil, "", fmt.Sprintf("it bears %d signatures", count)
	}
	return append(payload, raw[end:]...), text.String(), ""
}
