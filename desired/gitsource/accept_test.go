package gitsource_test

import (
	"testing"

	"github.com/lanyard-io/lanyard/desired/gitsource"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const a, b = "a", "b"
	held := func(r gitsource.Reason) gitsource.Judgement { return gitsource.Judgement{Reason: r} }
	ask := func(q gitsource.Question) gitsource.Judgement { return gitsource.Judgement{Ask: q} }
	accepted := gitsource.Judgement{Accepted: true}
	for _, tt := range []struct {
		name  string
		facts gitsource.Facts
		want  gitsource.Judgement
	}{
		{"first", gitsource.Facts{Head: b, Mappings: 1}, accepted},
		{"first, empty", gitsource.Facts{Head: b}, accepted},
		{"first, unsigned", gitsource.Facts{Head: b, Unverified: true}, held(gitsource.Unverified)},
		{"first, broken", gitsource.Facts{Head: b, Broken: true}, held(gitsource.Broken)},
		{"the same", gitsource.Facts{Head: a, Last: a}, accepted},
		{"the same, broken now", gitsource.Facts{Head: a, Last: a, Broken: true}, held(gitsource.Broken)},
		{"unsigned, though accepted by name", gitsource.Facts{Head: b, Last: a, Accept: b, Unverified: true}, held(gitsource.Unverified)},
		{"broken, though accepted by name", gitsource.Facts{Head: b, Last: a, Accept: b, Broken: true}, held(gitsource.Broken)},
		{"next, unasked", gitsource.Facts{Head: b, Last: a, Mappings: 1}, ask(gitsource.AskDescends)},
		{"next", gitsource.Facts{Head: b, Last: a, Mappings: 1, Descends: gitsource.Yes}, accepted},
		{"rewound", gitsource.Facts{Head: b, Last: a, Mappings: 1, Descends: gitsource.No}, held(gitsource.Stale)},
		{"rewound, accepted by name", gitsource.Facts{Head: b, Last: a, Accept: b, Descends: gitsource.No}, accepted},
		{"rewound, another accepted", gitsource.Facts{Head: b, Last: a, Accept: "c", Mappings: 1, Descends: gitsource.No}, held(gitsource.Stale)},
		{"rewound, no name", gitsource.Facts{Head: b, Last: a, Accept: "", Mappings: 1, Descends: gitsource.No}, held(gitsource.Stale)},
		{"empty, unasked", gitsource.Facts{Head: b, Last: a, Descends: gitsource.Yes}, ask(gitsource.AskLastHadSome)},
		{"emptied", gitsource.Facts{Head: b, Last: a, Descends: gitsource.Yes, LastHadSome: gitsource.Yes}, held(gitsource.Emptied)},
		{"empty as before", gitsource.Facts{Head: b, Last: a, Descends: gitsource.Yes, LastHadSome: gitsource.No}, accepted},
	} {
		if got := gitsource.Judge(tt.facts); got != tt.want {
			t.Errorf("%s: Judge(%+v) = %+v, want %+v", tt.name, tt.facts, got, tt.want)
		}
	}
}
