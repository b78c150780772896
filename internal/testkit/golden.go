package testkit

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Golden compares got with the file testdata/<test>/<name>, where <test> is the name
// of the top-level test: subtests share its directory. With -update it writes the
// file instead.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	golden(t, *update, filepath.Join("testdata", test, filepath.FromSlash(name)), got)
}

func golden(t testing.TB, write bool, file, got string) {
	t.Helper()
	if write {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s does not exist; write it with go test -update and review it. Got:\n%s", file, got)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Text is compared by line, so that a difference shows as lines.
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s differs (-want +got); if the change is meant, rewrite with go test -update and review it\n%s", file, diff)
	}
}
