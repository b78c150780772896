package gitsource

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// FuzzSigners reads arbitrary allowed signers: they end in an error, or in lines that
// each have a key and principals.
func FuzzSigners(f *testing.F) {
	key, err := os.ReadFile("testdata/signed/ed25519.pub")
	if err != nil {
		f.Fatal(err)
	}
	for _, start := range []string{"a ", `"a b" `, `a namespaces="git,\"x",valid-after="20260302Z" `, "a cert-authority ", "# a ", `a valid-before="202603021200" `, `a namespaces="git `} {
		f.Add(append([]byte(start), key...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		signers, err := parseSigners(data)
		if err != nil {
			return
		}
		for _, s := range signers {
			if s.key == nil || s.principals == "" || s.line == 0 {
				t.Errorf("%+v lacks something", s)
			}
			s.refuses(s.key, made, made.Add(time.Hour))
		}
	})
}

// FuzzSignature puts arbitrary bytes where a commit is: none counts as signed, since
// nobody has the keys.
func FuzzSignature(f *testing.F) {
	var keys keySet
	for _, name := range []string{"ed25519", "ecdsa", "rsa"} {
		key, err := os.ReadFile("testdata/signed/" + name + ".pub")
		if err != nil {
			f.Fatal(err)
		}
		signers, err := parseSigners(append([]byte("a "), key...))
		if err != nil {
			f.Fatal(err)
		}
		keys.signers = append(keys.signers, signers...)
		commit, err := os.ReadFile("testdata/signed/" + name + ".commit")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(commit)
	}
	known := map[string]bool{}
	for _, name := range []string{"ed25519", "ecdsa", "rsa"} {
		commit, _ := os.ReadFile("testdata/signed/" + name + ".commit")
		payload, _, _ := splitSigned(commit)
		known[string(payload)] = true
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, signature, problem := splitSigned(raw)
		if problem != "" || signature == "" {
			return
		}
		if bytes.Contains(payload, []byte("\ngpgsig ")) && !bytes.Contains(raw, []byte("\n\n")) {
			t.Error("a signature is left in what was signed")
		}
		if strings.HasPrefix(signature, "-----BEGIN SSH") && keys.checkSSH(payload, signature, made, made) == nil && !known[string(payload)] {
			t.Errorf("%q counts as signed", raw)
		}
	})
}
