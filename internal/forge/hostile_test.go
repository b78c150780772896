package forge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/hubd"
)

// TestDefect: a pull request that meets a defect of lanyard's ends neither the daemon nor
// the look, and is told.
func TestDefect(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *forge.Options) {
		o.Diff = func(_ context.Context, p forge.Pull) (forge.Answer, error) {
			if p.Number == 2 {
				panic("out of range")
			}
			return says("report of " + p.Head), nil
		}
	})
	for i := range 3 {
		b.open(hubd.Pull{Head: commit(i)})
	}
	b.look(t)
	b.want(t, "before it", 1, "report of "+commit(0))
	b.want(t, "itself", 2)
	b.want(t, "after it", 3, "report of "+commit(2))
	if said := b.log.String(); !strings.Contains(said, "defect of lanyard") || !strings.Contains(said, "out of range") {
		t.Errorf("it is not told:\n%s", said)
	}
}

// TestSlowOnes: pull requests that fail in a way that could pass, again and again, are
// tried ever more rarely, and hold the others up for no time that matters.
func TestSlowOnes(t *testing.T) {
	t.Parallel()
	for _, many := range []int{1, 2, 20} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			right := b.open(hubd.Pull{Head: commit(1)})
			b.look(t)
			for i := range many {
				b.wrong[b.open(hubd.Pull{Head: commit(100 + i)})] = remedy.Mark(remedy.Retry, errors.New("no time left"))
			}
			tries := 0
			for minute := range 120 {
				if minute%10 == 0 {
					b.answers[commit(1)] = says(fmt.Sprint("at ", minute))
				}
				b.look(t)
				for _, n := range b.asked {
					if b.wrong[n] != nil {
						tries++
					}
				}
				if minute%10 == 8 {
					b.want(t, fmt.Sprint("in minute ", minute), right, fmt.Sprint("at ", minute-8))
				}
				b.now = b.now.Add(time.Minute)
			}
			if most := many * 20; tries > most {
				t.Errorf("%d tries in two hours, want %d at most", tries, most)
			}
			b.wrong = nil
			b.hub.Push(right+1, commit(50))
			b.now = b.now.Add(30 * time.Second)
			b.look(t)
			b.want(t, "right at once after a push", right+1, "report of "+commit(50))
		})
	}
}
