package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/app"
)

// TestLeaveNothing: where nothing came of asking, the file says why, by the schema.
func TestLeaveNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "message")
	if err := leave(file, app.Whoami{}, errors.New("no answer within 1s")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(got), `"found":[],"problem":{"error":"no answer within 1s","next":"give it longer`) {
		t.Errorf("%s, %v", got, err)
	}
}
