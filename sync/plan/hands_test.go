package plan_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TestGuardsOfWorkloads: a pod and a workload are the ones that the plan saw, and what
// cannot be read is not taken for it.
func TestGuardsOfWorkloads(t *testing.T) {
	t.Parallel()
	web := live.WorkloadRef{Kind: "Deployment", Name: "web"}
	pod := plan.PodIs{Subject: reader, Pod: "web-1", UID: "p"}
	workload := plan.WorkloadIs{Subject: reader, Workload: web, UID: "w", RestartedAt: "then"}
	idle := workload
	idle.Idle = true
	for _, tt := range []struct {
		name   string
		guard  plan.Guard
		change func(*live.Facts)
		want   string // of the error; empty: it holds
	}{
		{"a pod", pod, func(*live.Facts) {}, ""},
		{"a pod that is gone", pod, func(f *live.Facts) { f.Pods = nil }, "pod web-1 of demo/reader is gone"},
		{"a pod that has ended", pod, func(f *live.Facts) { f.Pods[0].Phase = "Failed" }, "is gone, or has ended"},
		{"another of its name", pod, func(f *live.Facts) { f.Pods[0].UID = "q" }, "was made again"},
		{"a pod on its way out", pod, func(f *live.Facts) { f.Pods[0].Terminating = true }, "is being deleted"},
		{"another ServiceAccount's", pod, func(f *live.Facts) { f.Pods[0].ServiceAccount = "other" }, "is gone"},
		{"pods that are not read", pod, func(f *live.Facts) { f.Gaps = []live.Gap{{Source: live.SourcePods, Reason: live.GapRefused}} }, "cannot be read"},
		{"a workload", workload, func(*live.Facts) {}, ""},
		{"a workload in a rollout", workload, func(f *live.Facts) { f.Workloads[0].Rolling = true }, ""},
		{"an idle one", idle, func(*live.Facts) {}, ""},
		{"an idle one in a rollout", idle, func(f *live.Facts) { f.Workloads[0].Rolling = true }, "Deployment web is in the middle of a rollout"},
		{"one that is gone", workload, func(f *live.Facts) { f.Workloads = nil }, "Deployment web is gone"},
		{"one of another kind", workload, func(f *live.Facts) { f.Workloads[0].Kind = "StatefulSet" }, "Deployment web is gone"},
		{"one made again", workload, func(f *live.Facts) { f.Workloads[0].UID = "v" }, "was made again"},
		{"one restarted since", workload, func(f *live.Facts) { f.Workloads[0].RestartedAt = "now" }, `was restarted at "now", not "then"`},
		{"workloads that are not read", workload, func(f *live.Facts) {
			f.Gaps = []live.Gap{{Source: live.SourceWorkloads, Scope: "demo/reader", Reason: live.GapFailed}}
		}, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := live.Facts{
				Cluster:   live.Cluster{Name: cluster.Name, ARN: cluster.ARN()},
				Pods:      []live.Pod{{Namespace: "demo", Name: "web-1", UID: "p", ServiceAccount: "reader", Phase: "Running"}},
				Workloads: []live.Workload{{Namespace: "demo", Kind: "Deployment", Name: "web", UID: "w", ServiceAccount: "reader", RestartedAt: "then"}},
			}
			tt.change(&f)
			s, err := live.New(f)
			if err != nil {
				t.Fatal(err)
			}
			err = tt.guard.Check(s)
			if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, plan.ErrStale) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: got %v, want %q", tt.guard.Kind(), err, tt.want)
			}
		})
	}
}

// TestActionsOfWorkloads: each restart is a step of its own, and so is each pod; a
// request is told by what identifies it.
func TestActionsOfWorkloads(t *testing.T) {
	t.Parallel()
	web := live.WorkloadRef{Kind: "Deployment", Name: "web"}
	actions := []plan.Action{
		plan.EvictPod{Pod: "web-1", UID: "p"}, plan.EvictPod{Pod: "web-1", UID: "q"},
		plan.RestartWorkload{Workload: web, UID: "w"}, plan.RestartWorkload{Workload: web, UID: "w", Old: "then"},
		plan.PauseRollout{Workload: web, UID: "w", Why: "why"}, plan.ResumeRollout{Workload: web, UID: "w"},
		plan.RevokeTrust{Role: roleARN("one"), Request: trust.Request{Mechanism: identity.IRSA, Subject: reader, Provider: "p", Audience: "a"}},
		plan.RevokeTrust{Role: roleARN("one"), Request: trust.Request{Mechanism: identity.PodIdentity, Subject: reader, SessionTags: true}},
	}
	seen := map[string]plan.Action{}
	for _, a := range actions {
		id := plan.Step{Subject: reader, Action: a}.ID()
		if seen[id] != nil {
			t.Errorf("%#v and %#v have one ID", seen[id], a)
		}
		seen[id] = a
	}
	got, err := json.Marshal(actions[6])
	want := `{"role":"` + roleARN("one").String() + `","request":{"mechanism":"irsa","subject":"demo/reader","provider":"p","audience":"a","sessionTags":false}}`
	if err != nil || string(got) != want {
		t.Errorf("revoke-trust is written\n%s (%v), want\n%s", got, err, want)
	}
}
