//go:build nightly

package interop

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

const (
	seed      = 20261123
	documents = 6000
	limit     = 500 // unexplained differences shown
)

// pair is one document and request, with what both sides made of it in one world.
type pair struct {
	text  string
	r     trust.Request
	world int
	ours  trust.Verdict
	calls world
	their answer
}

func (p pair) allowed() bool {
	for _, r := range p.their.Results {
		if r != "Allowed" {
			return false
		}
	}
	return len(p.their.Results) > 0
}

func (p pair) String() string {
	return fmt.Sprintf("document %s\n context  %v\n lanyard  %v: %s\n other    %v %v %s",
		p.text, p.calls[0].Context, p.ours.Decision, p.ours.Reason, p.their.Results, p.their.Invalid, p.their.Thrown)
}

// TestTrustDecisions puts the same made-up documents and requests to lanyard and to
// iam-simulate. Where lanyard decides, the other must decide alike in every world that
// the request leaves open; undecidable is compared with nothing.
func TestTrustDecisions(t *testing.T) {
	t.Parallel()
	m := maker{rand.New(rand.NewPCG(seed, 1))}
	var pairs []pair
	var questions []question
	decisions := map[trust.Decision]int{}
	for range documents {
		r := m.request()
		text := m.document(r.Mechanism == identity.PodIdentity)
		doc, err := trust.Parse(text)
		if err == nil {
			err = doc.Valid()
		}
		if err != nil {
			t.Fatalf("made a document that lanyard refuses: %v\n%s", err, text)
		}
		v := doc.Evaluate(r)
		decisions[v.Decision]++
		for i, w := range worlds(r) {
			pairs = append(pairs, pair{text: text, r: r, world: i, ours: v, calls: w})
			questions = append(questions, question{text, w})
		}
	}
	for i, a := range ask(t, questions) {
		pairs[i].their = a
	}
	t.Logf("seed %d, %d documents: %v", seed, documents, decisions)
	for _, d := range []trust.Decision{trust.Allow, trust.Deny, trust.Undecidable} {
		if decisions[d] < documents/20 {
			t.Errorf("only %d of %d answers were %v: the documents made do not test much", decisions[d], documents, d)
		}
	}
	settle(t, differences, pairs, func(p pair) bool {
		if p.their.Thrown != "" || len(p.their.Invalid) > 0 {
			return true
		}
		return p.ours.Decision != trust.Undecidable && p.allowed() != (p.ours.Decision == trust.Allow)
	})
}

// rule is one known difference: where it applies, why, and how often it comes up.
type rule struct {
	name  string
	holds func(pair) bool
	count int
}

// settle books each pair that differs under the first rule that explains it.
func settle(t *testing.T, rules []rule, pairs []pair, differs func(pair) bool) {
	t.Helper()
	counts, unexplained := make([]int, len(rules)), 0
next:
	for _, p := range pairs {
		if !differs(p) {
			continue
		}
		for i, r := range rules {
			if r.holds(p) {
				counts[i]++
				continue next
			}
		}
		if unexplained++; unexplained <= limit {
			t.Errorf("unexplained:\n %v", p)
		}
	}
	if unexplained > 0 {
		t.Errorf("%d differences of %d comparisons are unexplained", unexplained, len(pairs))
	}
	for i, r := range rules {
		t.Logf("%4d  %s", counts[i], r.name)
		if counts[i] != r.count {
			t.Errorf("rule %q explains %d differences, want %d: look at what changed", r.name, counts[i], r.count)
		}
	}
}
