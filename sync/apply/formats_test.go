package apply_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// TestFormatsRolloutPaused: a rollout that a release v1 stopped goes on as it was before.
func TestFormatsRolloutPaused(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../test/testdata/formats/v1/rollout-paused.yaml")
	if err != nil {
		t.Fatal(err)
	}
	marks := map[string]string{}
	if err := yaml.UnmarshalStrict(data, &marks); err != nil {
		t.Fatal(err)
	}
	deployment, set, daemons := webDeployment(), webStatefulSet(new(int32(3))), webDaemonSet()
	deployment.Spec.Paused = true
	daemons.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	kinds := map[string]struct{ stopped, was runtime.Object }{
		"Deployment":  {deployment, webDeployment()},
		"StatefulSet": {set, webStatefulSet(new(int32(1)))},
		"DaemonSet":   {daemons, webDaemonSet()},
	}
	if len(marks) != len(kinds) {
		t.Fatalf("%d marks in the file, want %d", len(marks), len(kinds))
	}
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			before := newWorld(t)
			before.workload(k.was)
			w := newWorld(t)
			annotated := k.stopped.(interface{ GetAnnotations() map[string]string })
			annotated.GetAnnotations()[live.RolloutPausedMark] = marks[kind]
			a := plan.ResumeRollout{Workload: live.WorkloadRef{Kind: kind, Name: "web"}, UID: w.workload(k.stopped)}
			check(t, w.apply(step(a))[0], report.Done, remedy.None)
			if d := cmp.Diff(before.fields(kind)["spec"], w.fields(kind)["spec"]); d != "" {
				t.Errorf("the rollout (-was +is)\n%s", d)
			}
		})
	}
}
