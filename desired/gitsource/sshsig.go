package gitsource

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// sshNamespace is what git signs commits for when gpg.format is ssh, see
// https://git-scm.com/docs/git-config#Documentation/git-config.txt-gpgformat.
// A signature made for something else, an email say, does not count.
const sshNamespace = "git"

// checkSSH judges a signature in the format of
// https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig.
func (k *keySet) checkSSH(payload []byte, armored string, made, now time.Time) *flaw {
	if len(k.signers) == 0 {
		return &flaw{FaultUnknownKey, "it is signed with an SSH key, and no allowed signers are configured",
			"name them in source.verify.allowedSignersFile, or sign with OpenPGP"}
	}
	sig, err := sshsig.Unarmor([]byte(armored))
	if err != nil {
		return &flaw{FaultMalformed, fmt.Sprintf("its SSH signature cannot be read: %v", err), amend}
	}
	if sig.Namespace != sshNamespace {
		return &flaw{FaultNamespace, fmt.Sprintf("its SSH signature was made for %q and not for %q", shorten(sig.Namespace), sshNamespace), amend}
	}
	if f := weakness(sig); f != nil {
		return f
	}
	if f := k.allows(sig.PublicKey, made, now); f != nil {
		return f
	}
	if err := sshsig.Verify(bytes.NewReader(payload), sig, sig.PublicKey, sig.HashAlgorithm, sshNamespace); err != nil {
		return &flaw{FaultWrong, fmt.Sprintf("its SSH signature by %s is not one of this content: %v", ssh.FingerprintSHA256(sig.PublicKey), err),
			"find out who changed the commit after it was signed, and sign it anew"}
	}
	return nil
}

// weakness refuses what ssh-keygen refuses: RSA with SHA-1, which PROTOCOL.sshsig
// forbids, and DSA; and RSA keys of less than 2048 bits.
func weakness(sig *sshsig.Signature) *flaw {
	key := sig.PublicKey
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	refuse := func(what string) *flaw {
		return &flaw{FaultMalformed, "its SSH signature is " + what, "sign with an Ed25519 key"}
	}
	switch key.Type() {
	case "ssh-dss":
		return refuse("by a DSA key")
	case ssh.KeyAlgoRSA:
		if f := sig.Signature.Format; f != ssh.KeyAlgoRSASHA256 && f != ssh.KeyAlgoRSASHA512 {
			return refuse(fmt.Sprintf("of kind %q", shorten(f)))
		}
		own, ok := key.(ssh.CryptoPublicKey)
		if !ok {
			return refuse("by a key of unknown size")
		}
		if public, ok := own.CryptoPublicKey().(*rsa.PublicKey); !ok || public.N.BitLen() < 2048 {
			return refuse("by an RSA key of less than 2048 bits")
		}
	}
	return nil
}

// allows says whether a line of the allowed signers is for this key, at both times.
// Where several are, one that does is enough.
func (k *keySet) allows(key ssh.PublicKey, made, now time.Time) *flaw {
	name := "SSH key " + ssh.FingerprintSHA256(key)
	last := &flaw{FaultUnknownKey, fmt.Sprintf("it is signed with %s, which %s does not have", name, k.AllowedSignersFile),
		"add the key there if it is to be trusted, or sign with one that is"}
	for _, s := range k.signers {
		if !s.isFor(key) {
			continue
		}
		f := s.refuses(key, made, now)
		if f == nil {
			return nil
		}
		f.what = fmt.Sprintf("%s of %s (%s:%d) %s", name, shorten(s.principals), k.AllowedSignersFile, s.line, f.what)
		last = f
	}
	return last
}

// isFor reports whether a line names a key, or the authority of a certificate.
func (s signer) isFor(key ssh.PublicKey) bool {
	want := s.key.Marshal()
	if !s.authority {
		return bytes.Equal(key.Marshal(), want)
	}
	c, ok := key.(*ssh.Certificate)
	return ok && bytes.Equal(c.SignatureKey.Marshal(), want)
}

// refuses says why a line that is for a key does not let it sign.
func (s signer) refuses(key ssh.PublicKey, made, now time.Time) *flaw {
	if s.namespaces != "" && !matchList(s.namespaces, sshNamespace) {
		return &flaw{FaultNamespace, fmt.Sprintf("may sign for %s only", shorten(s.namespaces)), `add "` + sshNamespace + `" to its namespaces, or sign with another key`}
	}
	for _, at := range []time.Time{made, now} {
		if !s.after.IsZero() && at.Before(s.after) {
			return &flaw{FaultNotYet, fmt.Sprintf("is valid from %s and the commit is of %s", stamp(s.after), stamp(at)), "sign with a key that was valid then"}
		}
		if !s.before.IsZero() && !at.Before(s.before) {
			return &flaw{FaultExpired, fmt.Sprintf("was valid until %s, and it is judged at %s", stamp(s.before), stamp(at)),
				"sign with a current key, or give it a later valid-before"}
		}
	}
	if !s.authority {
		return nil
	}
	c, ok := key.(*ssh.Certificate)
	if !ok {
		return &flaw{FaultUnknownKey, "is for the certificates of an authority", "sign with a certificate of it"}
	}
	for _, at := range []time.Time{made, now} {
		if err := s.checkCertificate(c, at); err != nil {
			return &flaw{FaultExpired, fmt.Sprintf("is a certificate that does not count at %s: %v", stamp(at), err), "have the certificate issued anew"}
		}
	}
	return nil
}

// checkCertificate judges a user certificate as of a time. At least one of its
// principals must match the line's.
func (s signer) checkCertificate(c *ssh.Certificate, at time.Time) error {
	if c.CertType != ssh.UserCert {
		return errors.New("it is not a user certificate")
	}
	i := slices.IndexFunc(c.ValidPrincipals, func(p string) bool { return matchList(s.principals, p) })
	if i < 0 {
		return fmt.Errorf("none of its principals matches %q", shorten(s.principals))
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return at }}
	return checker.CheckCert(c.ValidPrincipals[i], c)
}

// matchList matches a comma-separated list of patterns as ssh does: * and ? are
// wild, and a pattern after ! forbids, whatever else matches. See PATTERNS in
// ssh_config(5).
func matchList(list, s string) bool {
	matched := false
	for p := range strings.SplitSeq(list, ",") {
		p, negated := strings.CutPrefix(p, "!")
		if !matchPattern(p, s) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchPattern takes time in the product of both lengths at most.
func matchPattern(p, s string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}
