package gitsource

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// TestKeys: every key of the files is told, with its ends and what keeps it from signing,
// and agrees with the judgement of commits.
func TestKeys(t *testing.T) {
	t.Parallel()
	now := made.Add(time.Hour)
	good, short, revoked := newEntity(t, made, 0), newEntity(t, made, 1800), newEntity(t, made, 0)
	if err := revoked.RevokeKey(packet.KeyCompromised, "lost", &packet.Config{Time: func() time.Time { return made.Add(time.Minute) }}); err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile("testdata/signed/ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	ssh := strings.TrimSpace(string(public))
	v := Verify{
		GPGKeysFile:        keep(t, publicKey(t, good, short, revoked)),
		AllowedSignersFile: keep(t, fmt.Appendf(nil, "# two\na@example.com %s\nb@example.com namespaces=\"file\",valid-after=\"20260301Z\",valid-before=\"20260303Z\" %s\n", ssh, ssh)),
	}
	keys, err := v.Keys(now)
	if err != nil || len(keys) != 5 {
		t.Fatalf("%v, %v, want five keys", keys, err)
	}
	for i, want := range []struct {
		name     string
		until    time.Time
		revoked  bool
		unusable string
	}{
		{fmt.Sprintf("OpenPGP key %X", good.PrimaryKey.Fingerprint), time.Time{}, false, ""},
		{fmt.Sprintf("OpenPGP key %X", short.PrimaryKey.Fingerprint), made.Add(30 * time.Minute), false, ""},
		{fmt.Sprintf("OpenPGP key %X", revoked.PrimaryKey.Fingerprint), time.Time{}, true, ""},
		{"SSH key of a@example.com (line 2)", time.Time{}, false, ""},
		{"SSH key of b@example.com (line 3)", time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), false, `may sign for file only: add "git" to its namespaces`},
	} {
		k := keys[i]
		if k.Name != want.name || !k.Until.Equal(want.until) || k.Revoked != want.revoked || k.Unusable != want.unusable {
			t.Errorf("key %d is %+v, want %+v", i, k, want)
		}
	}
	wantFault(t, "good", v.check(commitOf(pgpSigned(t, good, made, 0)), now), "")
	wantFault(t, "short", v.check(commitOf(pgpSigned(t, short, made, 0)), now), FaultExpired)
	if _, err := (Verify{GPGKeysFile: keep(t, nil)}).Keys(now); !errors.Is(err, ErrKeySet) {
		t.Errorf("of an empty file: %v, want ErrKeySet", err)
	}
	if keys, err := (Verify{}).Keys(now); err != nil || len(keys) != 0 {
		t.Errorf("of nothing: %v, %v", keys, err)
	}
}
