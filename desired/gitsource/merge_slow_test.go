package gitsource_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// TestMergeOfHardFiles: a head with many files whose lines are hard to compare is over a
// limit, which can be told of it, before the time of the whole look is over.
func TestMergeOfHardFiles(t *testing.T) {
	t.Parallel()
	f := split(t)
	write := func(branch, mark string) {
		var b strings.Builder
		for i := 0; b.Len() < 600<<10; i++ {
			fmt.Fprintf(&b, "%s%x\n", mark, i)
		}
		c := gitd.Change{Write: map[string]string{}}
		for i := range 20 {
			c.Write[fmt.Sprintf("fleet/hard-%d.yaml", i)] = b.String() + branch + "\n"
		}
		f.on(t, branch, c)
	}
	write("main", "")
	hash, err := f.Head("main")
	f.do(t, err)
	f.branch(t, "change", hash)
	write("main", "m")
	write("change", "c")
	src := open(t, gitsource.Options{URL: f.Dir, Limits: gitsource.Limits{Time: 16 * time.Second}})
	began := time.Now()
	_, err = merge(t, src, "main", "change")
	if over, is := errors.AsType[*gitsource.LimitError](err); !is || over.Limit != "Time" || remedy.Of(err) != remedy.Hold {
		t.Errorf("%v (remedy %v), after %s", err, remedy.Of(err), time.Since(began))
	}
}
