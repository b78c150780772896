package main

import (
	"bytes"
	_ "embed"
	"fmt"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	kwokv1 "sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"
)

// fates are the stages of pods that fare otherwise than kwok's own stages have it.
//
//go:embed stages.yaml
var fates []byte

// The annotations that choose among them, as kwok's selectors name them.
const (
	fateKey  = `.metadata.annotations["test.lanyard.io/fate"]`
	delayKey = `.metadata.annotations["test.lanyard.io/delay"]`
)

// kwokOptions names the parallelism of each kind of work, because kwok does not default
// what a configuration leaves out.
const kwokOptions = `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  podPlayStageParallelism: 16
  nodePlayStageParallelism: 16
  nodeLeaseParallelism: 16
  podsOnNodeSyncParallelism: 16
`

// kwokConfig is kwok's configuration and all stages: kwok's own fast ones, with pods
// and Jobs' pods only where no fate is asked for, and the fates. Where several stages
// match a pod, kwok takes one by lot, so no two may.
func kwokConfig() ([]byte, error) {
	stages := []struct {
		stock, name string
		which       kwokv1.SelectorJQ
		delay       int64 // milliseconds, unless the annotation says otherwise
	}{
		{podfast.DefaultPodReady, "pod-ready", kwokv1.SelectorJQ{Key: fateKey, Operator: kwokv1.SelectorOpDoesNotExist}, 0},
		{podfast.DefaultPodComplete, "pod-complete", kwokv1.SelectorJQ{Key: fateKey, Operator: kwokv1.SelectorOpDoesNotExist}, 0},
		{podfast.DefaultPodReady, "fate-running", kwokv1.SelectorJQ{Key: fateKey, Operator: kwokv1.SelectorOpIn, Values: []string{"runs-on"}}, 0},
		{podfast.DefaultPodComplete, "fate-complete", kwokv1.SelectorJQ{Key: fateKey, Operator: kwokv1.SelectorOpIn, Values: []string{"runs-on"}}, 3600_000},
	}
	documents := [][]byte{
		[]byte(kwokOptions), []byte(nodefast.DefaultNodeInit), []byte(nodeheartbeat.DefaultNodeHeartbeatWithLease),
		[]byte(podfast.DefaultPodDelete), fates,
	}
	for _, s := range stages {
		var stage kwokv1.Stage
		if err := yaml.Unmarshal([]byte(s.stock), &stage); err != nil {
			return nil, fmt.Errorf("read kwok's stage for %s: %w", s.name, err)
		}
		stage.Name = s.name
		stage.Spec.Selector.MatchExpressions = append(stage.Spec.Selector.MatchExpressions, kwokv1.MatchExpression{JQ: &s.which})
		if s.delay > 0 {
			stage.Spec.Delay = &kwokv1.StageDelay{
				DurationMilliseconds: &s.delay,
				DurationFrom:         &kwokv1.ExpressionFrom{JQ: &kwokv1.ExpressionJQ{Expression: delayKey}},
			}
		}
		data, err := yaml.Marshal(stage)
		if err != nil {
			return nil, fmt.Errorf("write stage %s: %w", s.name, err)
		}
		documents = append(documents, data)
	}
	return bytes.Join(documents, []byte("\n---\n")), nil
}
