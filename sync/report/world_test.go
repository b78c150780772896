package report_test

import (
	"os"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

const examples = "../../examples"

// world is Git and a live cluster, compared and planned.
type world struct {
	state  desired.State
	snap   *live.Snapshot
	result diff.Result
	plan   plan.Plan
}

// example is the world of examples/fleet and examples/live.yaml.
func example(t *testing.T) world {
	t.Helper()
	data, err := os.ReadFile(examples + "/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	facts, err := live.DecodeFacts(data)
	if err != nil {
		t.Fatal(err)
	}
	return compare(t, facts)
}

func compare(t *testing.T, facts live.Facts) world {
	t.Helper()
	repo, err := desired.Parse(os.DirFS(examples), []string{"fleet"}, desired.Revision{Ref: "main", Commit: "4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.New(facts)
	if err != nil {
		t.Fatal(err)
	}
	w := world{snap: snap}
	if w.state, err = repo.For(snap.Cluster()); err != nil {
		t.Fatal(err)
	}
	w.result = diff.Compare(w.state, snap, diff.Options{})
	w.plan, _ = plan.Repair(plan.Input{Revision: w.state.Revision, Result: w.result, Snapshot: snap, Policy: plan.DefaultPolicy()})
	return w
}

func (w world) diff() report.Diff {
	return report.NewDiff(w.state.Revision, w.result, w.plan, w.snap.Gaps())
}
