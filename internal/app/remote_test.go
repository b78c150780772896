package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestRemoteSnapshot: a daemon's snapshot is read with the token, from https or this
// machine only; the token follows no redirect, and what goes wrong says what to do.
func TestRemoteSnapshot(t *testing.T) {
	t.Parallel()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	stolen := ""
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = r.Header.Get("Authorization") + "!" }))
	defer thief.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			http.Error(w, "say who you are", http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/snapshot":
			_, _ = w.Write(text)
		case r.URL.Path == "/away":
			http.Redirect(w, r, thief.URL, http.StatusFound)
		default:
			_, _ = w.Write([]byte("{"))
		}
	}))
	defer server.Close()
	for _, address := range []string{server.URL, server.URL + "/", server.URL + "/api/v1/snapshot"} {
		if snapshot, err := app.RemoteSnapshot(t.Context(), address, app.Access{Token: "secret"}); err != nil || snapshot.Cluster().Name != "irsa-lab" {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, test := range []struct{ address, token, says string }{
		{server.URL, "", "LANYARD_API_TOKEN"},
		{server.URL, "wrong", "401 Unauthorized: say who you are"},
		{server.URL + "/other", "secret", "read the daemon's snapshot"},
		{server.URL + "/away", "secret", "302"},
		{"http://lanyard.example.com:8080", "secret", "would send a token in the open"},
		{"http://user:hidden@127.0.0.1:1", "secret", "leave them out"},
		{"http://user:hidden@127.0.0.1:x", "secret", "is no URL of a daemon"},
		{"http://127.0.0.1:1", "secret", "ask the daemon"},
		{"https://", "secret", "is no URL of a daemon"},
	} {
		if _, err := app.RemoteSnapshot(t.Context(), test.address, app.Access{Token: test.token}); err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", test.address, err, test.says)
		}
	}
	if stolen != "" {
		t.Errorf("another server got %q", stolen)
	}
}

// TestRemoteSnapshotOverTLS: a daemon whose certificate a private authority has signed is
// believed with that authority's certificate, and only then.
func TestRemoteSnapshotOverTLS(t *testing.T) {
	t.Parallel()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.EncodeJSON()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(text)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	file := func(name, content string) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	own := file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if _, err := app.RemoteSnapshot(t.Context(), server.URL, app.Access{Token: "secret", CAFile: own}); err != nil || asked != 1 {
		t.Errorf("with its authority: %v, asked %d times", err, asked)
	}
	for name, test := range map[string]struct{ ca, says string }{
		"the system's":   {"", "unknown authority: name the authorities that vouch for it with --api-ca"},
		"none in it":     {file("empty.pem", "nothing"), "has no certificate in PEM"},
		"no such file":   {"/nowhere/ca.pem", "name a PEM file with --api-ca"},
		"other than its": {file("other.pem", other(t)), "name the authorities that vouch for it with --api-ca"},
	} {
		if _, err := app.RemoteSnapshot(t.Context(), server.URL, app.Access{Token: "secret", CAFile: test.ca}); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	if asked != 1 {
		t.Errorf("a daemon that nobody vouches for was asked, token and all")
	}
}

// other is the certificate of an authority that signed nothing here.
func other(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}
