package trust

import (
	"fmt"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// large is a document of n statements of which the last speaks of the subject.
func large(n int) string {
	var stmts []string
	for i := range n {
		g := grantOf([]identity.Mechanism{identity.IRSA, identity.PodIdentity}[i%2], identity.WidthPinned)
		if i < n-2 {
			g.Subject.ServiceAccount = fmt.Sprint("other-", i)
		}
		stmts = append(stmts, string(g.Statement()))
	}
	return document(stmts)
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	d := mustParse(t, large(8))
	for _, r := range []Request{irsa, podID} {
		for _, ignore := range []bool{false, true} {
			r.IgnoreOthers = ignore
			if v := d.Evaluate(r); v.Decision != Allow {
				t.Fatalf("want allow, got %s", v.Reason)
			}
			if raceEnabled {
				continue // the race detector empties pools at random
			}
			if n := testing.AllocsPerRun(200, func() { d.Evaluate(r) }); n >= 1 {
				t.Errorf("%v (IgnoreOthers %v): %v allocations, want none", r.Mechanism, ignore, n)
			}
		}
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	d := mustParse(t, large(8))
	for _, r := range []Request{irsa, podID} {
		for _, name := range []string{"s3-reader", "nobody"} {
			r.Subject.ServiceAccount = name
			if n := testing.AllocsPerRun(200, func() { d.Decide(r) }); n >= 1 && !raceEnabled {
				t.Errorf("%v of %s: %v allocations, want none", r.Mechanism, name, n)
			}
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	denied := irsa
	denied.Subject.ServiceAccount = "nobody"
	d := mustParse(b, large(4))
	for name, r := range map[string]Request{"irsa": irsa, "pod-identity": podID, "denied": denied} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Decide(r)
			}
		})
	}
}

// BenchmarkParseThenDecide is the baseline of BenchmarkDecide: what an evaluation
// would cost if documents were not compiled once per content.
func BenchmarkParseThenDecide(b *testing.B) {
	text := large(4)
	for name, r := range map[string]Request{"irsa": irsa, "pod-identity": podID} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, text).Decide(r)
			}
		})
	}
}

func BenchmarkAdmit(b *testing.B) {
	d := mustParse(b, document([]string{foreign}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Admit(podID, identity.WidthPinned, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	denied := irsa
	denied.Subject.ServiceAccount = "nobody"
	mine := podID
	mine.IgnoreOthers = true
	for _, bb := range []struct {
		name string
		n    int
		r    Request
	}{
		{"irsa", 4, irsa}, {"pod-identity", 4, podID}, {"own", 4, mine}, {"denied", 4, denied}, {"110-statements", 110, irsa},
	} {
		d := mustParse(b, large(bb.n))
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Evaluate(bb.r)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := large(4)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
