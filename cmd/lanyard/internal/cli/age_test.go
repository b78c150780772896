package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/sync/live"
)

// TestAgeOfSnapshots: what a daemon saw too long ago is not answered from; a file is as
// good as whoever names it says.
func TestAgeOfSnapshots(t *testing.T) {
	t.Parallel()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "live.json")
	for _, tt := range []struct {
		old  time.Duration
		live string
		args []string
		says string // of what is refused
	}{
		{14 * time.Minute, server.URL, nil, ""},
		{16 * time.Minute, server.URL, nil, "old, more than 15m: see what keeps the daemon from looking (lanyard status), or allow it with --max-age"},
		{16 * time.Minute, server.URL, []string{"--max-age", "1h"}, ""},
		{16 * time.Minute, file, nil, ""},
		{2000 * time.Hour, file, nil, ""},
		{16 * time.Minute, file, []string{"--max-age", "10m"}, "more than 10m: write a new one"},
		{-time.Hour, server.URL, nil, ""}, // its clock goes ahead
	} {
		f.TakenAt = time.Now().Add(-tt.old)
		if text, err = f.EncodeJSON(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var out, talk bytes.Buffer
		args := append([]string{"diff", "--path", "../../../../examples/fleet", "--live", tt.live}, tt.args...)
		code := Main(t.Context(), args, World{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk, Getenv: func(name string) string {
			return map[string]string{"LANYARD_API_TOKEN": "secret"}[name]
		}})
		if tt.says == "" && code != exitDiffers || tt.says != "" && (code != exitFailed || !strings.Contains(talk.String(), tt.says) || out.Len() > 0) {
			t.Errorf("%v of %s: exit code %d, %s", tt.args, tt.live, code, talk.String())
		}
	}
}
