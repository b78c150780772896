package agentd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Options are the settings of a [Fleet]. All but StartUp are required.
type Options struct {
	Clock       *virtual.Clock
	Cluster     string // Its name.
	Region      string
	Endpoint    string                  // Of EKS Auth: the AWS double's URL.
	Credentials aws.CredentialsProvider // The nodes' role.
	// StartUp is how long after its start an agent answers nobody.
	StartUp time.Duration
}

// Fleet is the agents of a cluster's nodes. Make one with [New]. It is safe for use by
// several goroutines.
type Fleet struct {
	o    Options
	http *http.Client

	mu     sync.Mutex
	closed bool
	agents map[string]*running // By node.
}

// running is an agent that listens.
type running struct {
	agent   *Agent
	server  *http.Server
	address string
	uid     string // Of the pod that Follow started it for.
}

// New returns a fleet without agents.
func New(o Options) *Fleet {
	return &Fleet{o: o, agents: map[string]*running{}, http: &http.Client{
		Timeout:   time.Second, // The real agent's.
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext},
	}}
}

// Start gives a node an agent with an empty cache, which answers once StartUp has passed.
// One that is there is replaced.
func (f *Fleet) Start(node string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.start(node, "")
}

func (f *Fleet) start(node, uid string) error {
	if f.closed {
		return errors.New("start agent: the fleet is closed: make a new one")
	}
	f.stop(node)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start agent of node %s: %w", node, err)
	}
	a := &Agent{
		clock: f.o.Clock, cluster: f.o.Cluster, ready: f.o.Clock.Now().Add(f.o.StartUp), cache: map[string]*entry{},
		auth: eksAuth{endpoint: f.o.Endpoint, region: f.o.Region, credentials: f.o.Credentials, http: f.http},
	}
	r := &running{agent: a, address: l.Addr().String(), uid: uid, server: &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}}
	f.agents[node] = r
	go r.server.Serve(l) // Ends with stop.
	return nil
}

// Stop takes the agent of a node away, and reports whether there was one.
func (f *Fleet) Stop(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop(node)
}

func (f *Fleet) stop(node string) bool {
	r := f.agents[node]
	if r == nil {
		return false
	}
	delete(f.agents, node)
	_ = r.server.Close() // A listener that is closed already is as good.
	return true
}

// Address returns where the agent of a node listens. It is there from the start, though
// it answers only once it is ready.
func (f *Fleet) Address(node string) (address string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.agents[node]; r != nil {
		return r.address, true
	}
	return "", false
}

// Ready reports whether a node has an agent that answers.
func (f *Fleet) Ready(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.agents[node]
	return r != nil && !f.o.Clock.Now().Before(r.agent.ready)
}

// Follow makes the fleet what the cluster shows now: an agent where an agent's pod is
// Ready, and on the nodes of Auto Mode, which have it built in. A new pod is a new agent,
// with an empty cache.
func (f *Fleet) Follow(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("follow agents: list nodes: %w", err)
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + actors.AgentName})
	if err != nil {
		return fmt.Errorf("follow agents: list their pods: %w", err)
	}
	want := map[string]string{}
	for _, n := range nodes.Items {
		if n.Labels["eks.amazonaws.com/compute-type"] == "auto" {
			want[n.Name] = string(n.UID)
		}
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning && actors.Ready(&p) {
			want[p.Spec.NodeName] = string(p.UID)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, node := range slices.Collect(maps.Keys(f.agents)) {
		if _, wanted := want[node]; !wanted {
			f.stop(node)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(want)) {
		if r := f.agents[node]; r != nil && r.uid == want[node] {
			continue
		}
		if err := f.start(node, want[node]); err != nil {
			return err
		}
	}
	return nil
}

// Close stops all agents.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for node := range f.agents {
		f.stop(node)
	}
	return nil
}
