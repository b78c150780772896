package gitsource_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// TestMergeOfMuch: a head with many large files that both sides changed is over a limit,
// which can be told of it, and does not take the time of the others.
func TestMergeOfMuch(t *testing.T) {
	t.Parallel()
	f := split(t)
	write := func(branch, mark string) {
		c := gitd.Change{Write: map[string]string{}}
		for i := range 20 {
			c.Write[fmt.Sprintf("fleet/large-%d.yaml", i)] = mark + strings.Repeat("of many\n", 5000)
		}
		f.on(t, branch, c)
	}
	write("main", "")
	hash, err := f.Head("main")
	f.do(t, err)
	f.branch(t, "change", hash)
	write("main", "m")
	write("change", "c")
	for _, tt := range []struct {
		limit int64
		over  bool
	}{{16 << 20, true}, {32 << 20, false}} { // 2.4 MB are compared
		src := open(t, gitsource.Options{URL: f.Dir, Limits: gitsource.Limits{UnpackedBytes: tt.limit}})
		m, err := merge(t, src, "main", "change")
		limit, over := errors.AsType[*gitsource.LimitError](err)
		if over != tt.over || over && (limit.Limit != "UnpackedBytes" || remedy.Of(err) != remedy.Hold) || !over && (err != nil || len(m.Conflicts) != 20) {
			t.Errorf("with %d bytes: %v (remedy %v), %d conflicts", tt.limit, err, remedy.Of(err), len(m.Conflicts))
		}
	}
}
