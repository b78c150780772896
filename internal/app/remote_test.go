package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
		if snapshot, err := app.RemoteSnapshot(t.Context(), address, "secret"); err != nil || snapshot.Cluster().Name != "irsa-lab" {
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
		if _, err := app.RemoteSnapshot(t.Context(), test.address, test.token); err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", test.address, err, test.says)
		}
	}
	if stolen != "" {
		t.Errorf("another server got %q", stolen)
	}
}
