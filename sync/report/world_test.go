package report_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

const examples = "../../examples"

// world is Git and a live cluster, compared and planned.
type world struct {
	mode   desired.Mode
	state  desired.State
	snap   *live.Snapshot
	result diff.Result
	plan   plan.Plan
}

// example is the world of examples/fleet and examples/live.yaml.
func example(t *testing.T) world {
	t.Helper()
	return compare(t, exampleFacts(t), desired.ModeRepair, diff.Options{})
}

func exampleFacts(t *testing.T) live.Facts {
	t.Helper()
	data, err := os.ReadFile(examples + "/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	facts, err := live.DecodeFacts(data)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func compare(t *testing.T, facts live.Facts, mode desired.Mode, opts diff.Options) world {
	t.Helper()
	repo, err := desired.Parse(os.DirFS(examples), []string{"fleet"}, desired.Revision{Ref: "main", Commit: "4f1c0c5a9a3e7b6d2f8e1a0b9c8d7e6f5a4b3c2d"})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.New(facts)
	if err != nil {
		t.Fatal(err)
	}
	w := world{mode: mode, snap: snap}
	if w.state, err = repo.For(snap.Cluster()); err != nil {
		t.Fatal(err)
	}
	w.result = diff.Compare(w.state, snap, opts)
	w.plan, _ = plan.Repair(plan.Input{Revision: w.state.Revision, Result: w.result, Snapshot: snap, Policy: plan.DefaultPolicy()})
	return w
}

func (w world) diff() report.Diff {
	return report.NewDiff(w.mode, w.state.Revision, w.result, w.plan, w.snap.Gaps())
}

// mixed is the world of the examples with one subject of every class, and without a
// configuration: an association beside Git's IRSA, a role that nobody could read, a
// read that was refused, a guard rail in the way of drift.
func mixed(t *testing.T) world {
	t.Helper()
	facts := exampleFacts(t)
	facts.Associations = append(facts.Associations, live.Association{Namespace: "demo", ServiceAccount: "s3-reader", ID: "a-1", Described: true,
		Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "eks-irsa-lab-demo-s3-reader-role"}})
	chained := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: "eks-irsa-lab-cross-chained-reader-role"}
	facts.Roles = slices.DeleteFunc(facts.Roles, func(r live.Role) bool { return r.ARN == chained })
	facts.Gaps = []live.Gap{
		{Source: live.SourceRole, Scope: chained.String(), Reason: live.GapThrottled, Message: "Rate exceeded"},
		{Source: live.SourcePods, Scope: "late/late-bird", Reason: live.GapRefused},
	}
	guarded := func(m desired.Mapping) (string, bool) {
		return "rails.yaml:7:3: namespace kube-system is protected", m.Subject.Namespace == "kube-system"
	}
	return compare(t, facts, "", diff.Options{Forbid: guarded})
}

// inSync is a report of n mappings, all in sync.
func inSync(n int) report.Diff {
	d := report.Diff{Revision: "worktree", Cluster: "irsa-lab", Summary: report.Summary{Mappings: n, InSync: n}}
	for i := range n {
		d.Mappings = append(d.Mappings, report.Mapping{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%05d", i),
			Role:     fmt.Sprintf("arn:aws:iam::123456789012:role/role-%05d", i),
			Declared: identity.IRSA, Wanted: identity.IRSA, On: identity.IRSA, Class: diff.Rest, Pods: i})
	}
	return d
}
