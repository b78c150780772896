package observe

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/lanyard-io/lanyard/sync/live"
)

// gaps collects what could not be read. It is safe for use by several goroutines.
type gaps struct {
	mu   sync.Mutex
	list []live.Gap
}

// add records that a read has no answer.
func (g *gaps) add(source live.Source, scope string, err error) {
	reason, message := classify(err)
	g.put(live.Gap{Source: source, Scope: scope, Reason: reason, Message: message})
}

// addPages records a list that ended early. Where some pages came before the error it
// is truncated, whatever the error: what came is known, the rest is not.
func (g *gaps) addPages(source live.Source, scope string, came int, err error) {
	reason, message := classify(err)
	if came > 0 {
		message = fmt.Sprintf("page %d: %s: %s", came+1, reason, message)
		reason = live.GapTruncated
	}
	g.put(live.Gap{Source: source, Scope: scope, Reason: reason, Message: message})
}

func (g *gaps) put(gap live.Gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list = append(g.list, gap)
}

// manyItems is how many gaps of single items are told one by one.
const manyItems = 10

// addEach records the reads of single items that have no answer: one by one, or where
// they are many as one gap that covers them all.
func (g *gaps) addEach(source live.Source, scopes []string, errs []error) {
	failed := map[live.GapReason][]live.Gap{}
	for i, err := range errs {
		if err == nil {
			continue
		}
		reason, message := classify(err)
		failed[reason] = append(failed[reason], live.Gap{Source: source, Scope: scopes[i], Reason: reason, Message: message})
	}
	for reason, list := range failed {
		if len(list) > manyItems {
			list = []live.Gap{{Source: source, Reason: reason, Message: fmt.Sprintf("%d of %d: %s", len(list), len(errs), list[0].Message)}}
		}
		for _, gap := range list {
			g.put(gap)
		}
	}
}

// sorted returns the gaps in a fixed order.
func (g *gaps) sorted() []live.Gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortFunc(g.list, func(a, b live.Gap) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(g.list)
}
