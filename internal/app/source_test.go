package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/app"
)

// A mistake in a directory that is no repository is named as an editor opens it.
func TestMistakesNameFilesThatCanBeOpened(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(name, []byte("kind: nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	git, err := app.OpenGit(app.Desired{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = git.Close() })
	if _, err := git.Repository(t.Context()); err == nil || !strings.Contains(err.Error(), "\n"+name+":1:1: ") {
		t.Errorf("Repository: got %v, want a mistake at %s:1:1", err, name)
	}
}
