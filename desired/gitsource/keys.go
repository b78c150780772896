package gitsource

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// keySet is whose signatures count.
type keySet struct {
	Verify
	gpg     openpgp.EntityList
	signers []signer
}

// maxKeyFile bounds each file of keys, and every other file that the operator
// names, so that a wrong name cannot fill memory.
const maxKeyFile = 4 << 20

// load reads the files of keys. What is wrong with them is the operator's to mend,
// and until then no commit counts as signed.
func (v Verify) load() (*keySet, error) {
	k := &keySet{Verify: v}
	var errs []error
	if v.GPGKeysFile != "" {
		data, err := readOperators(v.GPGKeysFile)
		if err == nil {
			k.gpg, err = parseGPGKeys(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read OpenPGP keys of %s: %w", v.GPGKeysFile, err))
		}
	}
	if v.AllowedSignersFile != "" {
		data, err := readOperators(v.AllowedSignersFile)
		if err == nil {
			k.signers, err = parseSigners(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read allowed signers of %s: %w", v.AllowedSignersFile, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: %w", ErrKeySet, err))
	}
	return k, nil
}

// Key is one whose signatures may count. Times are zero where it has no such end.
type Key struct {
	Name        string // what a person knows it by
	From, Until time.Time
	Revoked     bool
	Unusable    string // why it signs no commit, whatever the time
}

// Keys reads the files, and returns every key in them, good or not.
func (v Verify) Keys(now time.Time) ([]Key, error) {
	set, err := v.load()
	if err != nil {
		return nil, err
	}
	var all []Key
	for _, e := range set.gpg {
		k := Key{Name: fmt.Sprintf("OpenPGP key %X", e.PrimaryKey.Fingerprint), Revoked: e.Revoked(now)}
		k.From = e.PrimaryKey.CreationTime
		if self, _ := e.PrimarySelfSignature(); self != nil && self.KeyLifetimeSecs != nil && *self.KeyLifetimeSecs != 0 {
			k.Until = e.PrimaryKey.CreationTime.Add(time.Duration(*self.KeyLifetimeSecs) * time.Second)
		}
		if _, can := e.SigningKey(now); !can && !k.Revoked && (k.Until.IsZero() || now.Before(k.Until)) {
			k.Unusable = "has no part that may sign now"
		}
		all = append(all, k)
	}
	for _, s := range set.signers {
		k := Key{Name: fmt.Sprintf("SSH key of %s (line %d)", shorten(s.principals), s.line), From: s.after, Until: s.before}
		if s.namespaces != "" && !matchList(s.namespaces, sshNamespace) {
			k.Unusable = fmt.Sprintf("may sign for %s only: add %q to its namespaces", shorten(s.namespaces), sshNamespace)
		}
		all = append(all, k)
	}
	return all, nil
}

// readOperators reads a file that the operator has named.
func readOperators(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("it is over %d bytes: name the right file", maxKeyFile)
	}
	return data, nil
}

// parseGPGKeys reads armoured blocks of public keys, one after another.
func parseGPGKeys(data []byte) (openpgp.EntityList, error) {
	var all openpgp.EntityList
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%w: export the keys with gpg --armor --export", err)
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("there is a %q where public keys should be: export the keys with gpg --armor --export", block.Type)
		}
		found, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, fmt.Errorf("%w: export the keys with gpg --armor --export", err)
		}
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return nil, fmt.Errorf("%w: export the keys with gpg --armor --export", err)
		}
		for _, e := range found {
			if self, _ := e.PrimarySelfSignature(); self == nil {
				return nil, fmt.Errorf("key %X has no signature of its own: export it whole", e.PrimaryKey.Fingerprint)
			}
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no key in it: export the keys with gpg --armor --export")
	}
	return all, nil
}
