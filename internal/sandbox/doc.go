// Package sandbox is a whole world on one machine: AWS accounts behind the real wire
// protocols (awsd), a Kubernetes with webhook and pod life (kubed, actors), Git
// repositories (gitd), and one virtual clock for all of them.
//
// A [World] is built from a file of kind Snapshot by playing its history: workloads
// are made while the wiring that their pods remember stood, and then the wiring is
// changed to what the snapshot shows. [World.Credentials] is the oracle: what a pod
// would really get, judged by the double's own evaluator and never by lanyard's.
//
// It imports nothing of lanyard's, listens on loopback only, and never reads ambient
// AWS or kubeconfig settings. The command line and tests import it.
//
//	world, err := sandbox.Load(snapshotJSON, sandbox.Options{Start: time.Now()})
//	defer world.Close()
//	fmt.Println(world.URL) // AWS_ENDPOINT_URL
package sandbox
