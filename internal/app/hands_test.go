package app

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/lanyard-io/lanyard/desired"
)

// TestHandsOfModes: only mode migrate is built with what moves pods (law 7: what a mode
// does not do, it has no means for).
func TestHandsOfModes(t *testing.T) {
	t.Parallel()
	c := &clients{kube: fake.NewClientset()}
	for _, mode := range []desired.Mode{"", desired.ModeObserve, desired.ModeRepair} {
		if pods, workloads := c.hands(mode); pods != nil || workloads != nil {
			t.Errorf("mode %q has hands for pods (%t) and workloads (%t)", mode, pods != nil, workloads != nil)
		}
	}
	pods, workloads := c.hands(desired.ModeMigrate)
	if pods == nil || pods("demo") == nil || workloads == nil {
		t.Fatal("mode migrate has no hands")
	}
	for kind, want := range map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "Rollout": false, "Job": false} {
		if got := workloads(kind, "demo") != nil; got != want {
			t.Errorf("a hand for %s: %t, want %t", kind, got, want)
		}
	}
	c.custom = dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	if _, workloads = c.hands(desired.ModeMigrate); workloads("Rollout", "demo") == nil {
		t.Error("no hand for Rollouts, with a client for kinds besides Kubernetes' own")
	}
}
