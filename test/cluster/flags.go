package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// layout is where one cluster's files and ports are.
type layout struct {
	dir, issuer string
	ports       map[string]int // by what listens there
}

const etcdPeer = "etcd-peer"

// newLayout chooses ports that are free now. They lie below the range from which Linux
// takes the ports of outgoing connections, so that none of those sits on a component's
// port while it is being restarted.
func newLayout(dir, issuer string) (layout, error) {
	l := layout{dir: dir, issuer: issuer, ports: map[string]int{}}
	taken := map[int]bool{}
	for _, name := range []string{etcd, etcdPeer, apiserver, controllerManager, scheduler} {
		port := 0
		for range 100 {
			p := 20000 + rand.IntN(10000)
			listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(p)))
			if err != nil || taken[p] {
				continue
			}
			if err := listener.Close(); err != nil {
				return layout{}, fmt.Errorf("look for a free port: %w", err)
			}
			port, taken[p] = p, true
			break
		}
		if port == 0 {
			return layout{}, fmt.Errorf("no free port for %s between 20000 and 30000 in 100 tries", name)
		}
		l.ports[name] = port
	}
	return l, nil
}

const loopback = "127.0.0.1"

func (l layout) file(name string) string { return filepath.Join(l.dir, name) }

func (l layout) port(name string) string { return strconv.Itoa(l.ports[name]) }

func (l layout) address(name string) string { return net.JoinHostPort(loopback, l.port(name)) }

func (l layout) server() string { return "https://" + l.address(apiserver) }

// flags are a component's arguments. The same again start it again.
func (l layout) flags(component string) []string {
	serving := []string{
		"--bind-address=" + loopback,
		"--secure-port=" + l.port(component),
		"--tls-cert-file=" + l.file("server.crt"),
		"--tls-private-key-file=" + l.file("server.key"),
	}
	switch component {
	case etcd:
		return []string{"--dir=" + l.file("etcd"), "--client=" + l.address(etcd), "--peer=" + l.address(etcdPeer)}
	case apiserver:
		return append(serving,
			"--etcd-servers=http://"+l.address(etcd),
			// A loopback address may stand in no Endpoints, so nothing reconciles them.
			"--advertise-address="+loopback,
			"--endpoint-reconciler-type=none",
			"--cert-dir="+l.file("certificates"),
			"--client-ca-file="+l.file("ca.crt"),
			"--service-account-issuer="+l.issuer,
			"--service-account-jwks-uri="+l.issuer+"/keys",
			"--service-account-signing-key-file="+l.file("sa.key"),
			"--service-account-key-file="+l.file("sa.pub"),
			"--api-audiences="+l.issuer+",https://kubernetes.default.svc",
			"--service-cluster-ip-range=10.0.0.0/16",
			"--authorization-mode=Node,RBAC",
			"--allow-privileged=true",
			"--profiling=false",
			"--max-requests-inflight=2000",
			"--max-mutating-requests-inflight=1000",
			"--event-ttl=10m",
			"--audit-policy-file="+l.file("audit.yaml"),
			"--audit-log-path="+l.file("audit.log"), // written before the answer: the mode is blocking
		)
	case controllerManager:
		return append(serving,
			"--kubeconfig="+l.file(controllerManager+".kubeconfig"),
			"--leader-elect=false",
			"--service-account-private-key-file="+l.file("sa.key"),
			"--root-ca-file="+l.file("ca.crt"),
			"--cluster-signing-cert-file="+l.file("ca.crt"),
			"--cluster-signing-key-file="+l.file("ca.key"),
			"--use-service-account-credentials=true",
			"--kube-api-qps=1000",
			"--kube-api-burst=2000",
			// A test that stops kwok or the API server is no failure of nodes.
			"--node-monitor-grace-period=5m",
			// The default is made below /usr, where a test has no business.
			"--flex-volume-plugin-dir="+l.file("flexvolume"),
			"--profiling=false",
		)
	case scheduler:
		return append(serving, "--config="+l.file("scheduler.yaml"))
	case kwok:
		return []string{
			"--config=" + l.file("kwok.yaml"),
			"--kubeconfig=" + l.file("kubeconfig"),
			"--manage-all-nodes=true",
			// A restarted kwok waits until the leases of its last life have run out.
			"--node-lease-duration-seconds=4",
			"--cidr=10.64.0.1/16",
			"--node-ip=10.32.0.1",
		}
	}
	return nil
}

// write fills the directory with what the flags name.
func (l layout) write() error {
	stages, err := kwokConfig()
	if err != nil {
		return err
	}
	config := fmt.Appendf(nil, schedulerConfig, l.file(scheduler+".kubeconfig"), computeType)
	for name, data := range map[string][]byte{"kwok.yaml": stages, "scheduler.yaml": config, "audit.yaml": []byte(auditPolicy)} {
		if err := os.WriteFile(l.file(name), data, 0o600); err != nil {
			return fmt.Errorf("write a configuration: %w", err)
		}
	}
	return writeKeys(l.dir, l.server())
}

// auditPolicy writes down what ServiceAccounts ask, not what the cluster asks itself.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived] # a watch has a line when it starts and one when it ends
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

// schedulerConfig is the scheduler's, with two profiles: the usual one, and one that
// stands for EKS's fargate-scheduler, whose pods go to Fargate and tolerate nothing.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 1000, burst: 2000}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: default-scheduler
- schedulerName: fargate-scheduler
  plugins: {multiPoint: {disabled: [{name: TaintToleration}]}}
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions:
            - {key: %q, operator: In, values: [fargate]}
`
