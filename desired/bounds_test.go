package desired_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanyard-io/lanyard/desired"
)

// TestBoundsOfARevision: a revision that would keep the parser busy is refused
// and the last mistake says so.
func TestBoundsOfARevision(t *testing.T) {
	t.Parallel()
	blob := file(strings.Repeat("#", 1<<20+1)) // over the bound of a file, so that parsing takes no time
	names := func(n int, f *fstest.MapFile) fstest.MapFS {
		fsys := fstest.MapFS{}
		for i := range n {
			fsys[fmt.Sprintf("%03d.yaml", i)] = f
		}
		return fsys
	}
	for _, tt := range []struct {
		name string
		fsys fstest.MapFS
		want string // "" means that it is accepted
	}{
		{"one blob under many names", names(200, blob), "063.yaml: more than 64 MiB of YAML files: watch fewer paths"},
		{"documents at the bound", names(2, file(strings.Repeat("---\n", desired.MaxDocuments/2))), ""},
		{"empty documents", names(2, file(strings.Repeat("---\n", desired.MaxDocuments/2+1))),
			"001.yaml:25001:1: more than 50000 documents: watch fewer paths"},
		{"empty documents with comments", names(3, file(strings.Repeat("---\n# nothing\n", desired.MaxDocuments/2))),
			"002.yaml:3:1: more than 50000 documents: watch fewer paths"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := desired.Parse(tt.fsys, nil, worktree)
			var all desired.Errors
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Parse: got %v, want no error", err)
			case tt.want == "":
			case !errors.As(err, &all) || all[len(all)-1].Error() != tt.want:
				t.Errorf("Parse: got %v, want it to end with %s", err, tt.want)
			}
		})
	}
}

// TestMemoryOfManyMappings measures what stays of as many mappings as are
// accepted. It is not parallel, so that nobody else's memory is counted.
func TestMemoryOfManyMappings(t *testing.T) {
	const perFile, most = 1000, 300 << 20
	fsys := fstest.MapFS{}
	for f := range desired.MaxDocuments / perFile {
		var b strings.Builder
		for i := range perFile {
			b.WriteString("---\n" + mapping(fmt.Sprintf("n%d", f), fmt.Sprintf("s%d", i), ""))
		}
		fsys[fmt.Sprintf("%d.yaml", f)] = file(b.String())
	}
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	repo, err := desired.Parse(fsys, nil, worktree)
	if err != nil {
		t.Fatal(err)
	}
	if got := heap() - before; got > most || repo.Counts().Mappings != desired.MaxDocuments {
		t.Errorf("%d mappings keep %d MiB, want %d mappings and at most %d MiB", repo.Counts().Mappings, got>>20, desired.MaxDocuments, most>>20)
	} else {
		t.Logf("%d mappings keep %d MiB", repo.Counts().Mappings, got>>20)
	}
	runtime.KeepAlive(repo)
}
