package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// checkOpenPGP judges an OpenPGP signature, see https://www.rfc-editor.org/rfc/rfc9580.
// The library refuses signatures by SHA-1 and MD5, keys that may not sign, and
// signatures older than their keys.
func (k *keySet) checkOpenPGP(payload []byte, armored string, now time.Time) *flaw {
	if len(k.gpg) == 0 {
		return &flaw{FaultUnknownKey, "it is signed with OpenPGP, and no OpenPGP keys are configured", "name them in source.verify.gpgKeysFile, or sign with an SSH key"}
	}
	block, err := armor.Decode(strings.NewReader(armored))
	if err != nil || block.Type != openpgp.SignatureType {
		return &flaw{FaultMalformed, "its OpenPGP armour is broken", amend}
	}
	body, err := io.ReadAll(block.Body)
	if err != nil {
		return &flaw{FaultMalformed, "its OpenPGP armour is broken", amend}
	}
	verify := func(at time.Time) (*packet.Signature, *flaw) {
		sig, _, err := openpgp.VerifyDetachedSignature(k.gpg, bytes.NewReader(payload), bytes.NewReader(body), &packet.Config{Time: func() time.Time { return at }})
		return sig, k.openPGPFlaw(sig, err, at)
	}
	// The signature has a time of its own, which is later than the commit's by as long
	// as its maker took to type a passphrase.
	sig, f := verify(now)
	if f == nil {
		_, f = verify(sig.CreationTime)
	}
	return f
}

// openPGPFlaw says what an error of the library's means.
func (k *keySet) openPGPFlaw(sig *packet.Signature, err error, at time.Time) *flaw {
	key := "a key"
	if sig != nil {
		key = keyName(sig)
	}
	_, content := errors.AsType[pgperrors.SignatureError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return &flaw{FaultUnknownKey, fmt.Sprintf("it is signed with OpenPGP key %s, which %s does not have", key, k.GPGKeysFile),
			"add the key there if it is to be trusted, or sign with one that is"}
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return &flaw{FaultRevoked, fmt.Sprintf("its OpenPGP key %s is revoked", key), "sign with another key"}
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return &flaw{FaultExpired, fmt.Sprintf("its OpenPGP key %s is expired at %s", key, stamp(at)),
			"extend the key and export it to " + k.GPGKeysFile + " again, or sign with another"}
	case errors.Is(err, pgperrors.ErrSignatureExpired) && sig != nil && sig.CreationTime.After(at):
		return &flaw{FaultNotYet, fmt.Sprintf("its OpenPGP signature by %s was made at %s, later than %s", key, stamp(sig.CreationTime), stamp(at)),
			"set the clocks, and " + amend}
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return &flaw{FaultExpired, fmt.Sprintf("its OpenPGP signature by %s is expired at %s", key, stamp(at)), amend}
	case errors.Is(err, pgperrors.ErrSignatureOlderThanKey):
		return &flaw{FaultNotYet, fmt.Sprintf("its OpenPGP signature by %s is older than the key", key), amend}
	case content:
		return &flaw{FaultWrong, fmt.Sprintf("its OpenPGP signature by %s is not one of this content: %v", key, err),
			"find out who changed the commit after it was signed, and sign it anew"}
	}
	return &flaw{FaultMalformed, fmt.Sprintf("its OpenPGP signature cannot be read: %v", err), amend}
}

// keyName names the key that a signature claims.
func keyName(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "without a name"
}

// stamp writes a time as people in any zone read it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
