package gitsource_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// TestMergeTakesItsTime: a file whose sides are apart is merged however long the
// comparison takes, within the limit: how fast the machine is makes no conflict.
func TestMergeTakesItsTime(t *testing.T) {
	t.Parallel()
	f := split(t)
	const part = 9_000
	text := func(marks ...string) string {
		var b strings.Builder
		for i := range 3 * part {
			if i%part == 0 {
				b.WriteString("a line that both keep\n")
			}
			mark := marks[i/part]
			n := i % 7 // few lines are unlike all others, so that comparing is hard
			if mark != "" {
				n = i * i % 11
			}
			fmt.Fprintf(&b, "%s%d\n", mark, n)
		}
		return b.String()
	}
	write := func(branch string, marks ...string) {
		f.on(t, branch, gitd.Change{Write: map[string]string{"fleet/hard.yaml": text(marks...)}})
	}
	write("main", "", "", "")
	hash, err := f.Head("main")
	f.do(t, err)
	f.branch(t, "change", hash)
	write("main", "m", "", "m")
	write("change", "", "c", "")
	m, err := merge(t, open(t, gitsource.Options{URL: f.Dir, Limits: gitsource.Limits{Time: time.Hour}}), "main", "change")
	if err != nil || len(m.Conflicts) > 0 {
		t.Errorf("%v, conflicts %v", err, m.Conflicts)
	}
}
