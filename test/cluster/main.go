// Command testcluster is a real Kubernetes control plane in one static binary, for
// tests on a machine without containers and without root.
//
//	testcluster up --dir DIR [--issuer URL]
//
// runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler, each from its
// public Go module, and kwok (https://kwok.sigs.k8s.io), which plays the nodes and the
// life of pods. It listens on free ports of 127.0.0.1, writes DIR/kubeconfig (an
// administrator's) and, when all nodes are Ready, DIR/ready; DIR/NAME.log says what a
// component did. SIGTERM or SIGINT ends everything within a second, and what this
// process started ends with it even if it is killed. The state is thrown away.
//
// # What is real and what is not
//
// Scheduling, controllers, admission, RBAC, server-side apply, Leases and ServiceAccount
// tokens are Kubernetes' own. The issuer is an https URL, as EKS has it; the API server
// answers /.well-known/openid-configuration and /openid/v1/jwks, to anybody. Webhooks
// are called where their clientConfig.url says. Pods run nothing: no logs, no exec, no
// mounted tokens (ask the TokenRequest API for one). EndpointSlice default/kubernetes is
// missing, since a loopback address is refused there.
//
// DIR/audit.log has a line of JSON for each request of a ServiceAccount outside of
// kube-system, as it was answered: verb, object, and what the authorizer said
// (https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/).
//
//	testcluster kustomize DIR
//
// prints the objects of a kustomization, as kubectl kustomize does.
//
// # Nodes
//
// See nodes.go: three of EC2, one each of Fargate, Windows, Auto Mode and EKS Hybrid
// Nodes. All but the first three are tainted, so that a plain pod lands on EC2. A pod
// with the schedulerName fargate-scheduler lands on Fargate.
//
// # How a pod fares
//
// Pods are Ready at once and those of Jobs complete at once, unless the annotation
// test.lanyard.io/fate says otherwise; test.lanyard.io/delay is a Go duration. Fates
// are listed in stages.yaml. A pod with an unknown fate stays Pending.
//
//	never-ready   runs and is never Ready
//	ready-late    runs, and is Ready after the delay (5s)
//	crash-loop    fails and is started again, each time after the delay (1s)
//	runs-on       a Job's pod: Ready at once, completes after the delay (1h)
//
// # Breaking it
//
// A component whose process is killed is started again, with the same flags and on the
// same port. Its process is in DIR/NAME.pid (etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kwok):
//
//	kill -9 "$(cat DIR/kube-apiserver.pid)"
//
// While DIR/NAME.hold exists, it stays down: an outage lasts as long as the test wants.
// A component that ends by itself is started again too, after a second and at most
// five times; then everything ends, and the error names the log.
//
// # Why a binary of its own
//
// k8s.io/kubernetes wants 31 replace lines and would pull the product's dependencies
// up with it, so this is a module of its own, and must never share a go.work with the
// product. The components are subcommands and not goroutines: each installs the one
// signal handler of its process, and a process can be killed.
package main

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
)

// commands are what the first argument names. Each reads os.Args without it.
var commands = map[string]func() int{
	"up":              up,
	etcd:              runEtcd,
	apiserver:         runAPIServer,
	controllerManager: runControllerManager,
	scheduler:         runScheduler,
	kwok:              runKwok,
	kustomize:         runKustomize,
}

func main() {
	// A child's Pdeathsig follows the thread that started it, and a thread ends with
	// the goroutine that is locked to it: the main goroutine starts all children.
	runtime.LockOSThread()
	if len(os.Args) > 1 {
		if command, known := commands[os.Args[1]]; known {
			os.Args = slices.Delete(os.Args, 1, 2)
			os.Exit(command())
		}
	}
	fmt.Fprintf(os.Stderr, "usage: testcluster COMMAND [FLAGS]: COMMAND is one of %s\n", strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	os.Exit(2)
}
