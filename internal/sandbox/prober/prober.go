package prober

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Agents says where the Pod Identity agents of nodes listen.
type Agents interface {
	// Address returns where the node's agent listens, or false where it has none.
	Address(node string) (address string, ok bool)
	// Ready reports whether the node has an agent that answers.
	Ready(node string) bool
}

// Options are the settings of a [Prober].
type Options struct {
	// Client reads pods and nodes and asks for tokens. It is required, as are Clock,
	// Endpoint and Agents.
	Client kubernetes.Interface
	// Clock is the world's; a wall clock where the API server is a real one.
	Clock *virtual.Clock
	// Region is where pods look for STS.
	Region string
	// Endpoint is the AWS double's URL.
	Endpoint string
	Agents   Agents

	// Named reports whether Git names a ServiceAccount; nil means that it names all.
	Named func(namespace, serviceAccount string) bool
	// Roles returns the ARNs of the roles that are right for a pod: the one wired when it
	// was admitted, and later ones. None means that any role will do.
	Roles func(pod *corev1.Pod) []string
	// Cold gives every probe a new token, so that no agent answers from its cache: what
	// will fail in three hours fails now. Without it a pod's token is the kubelet's, and
	// running pods live on their agent's cache as they do in truth.
	Cold bool
	// Before is called at the start of every round, such as to let agents follow the
	// cluster; nil is allowed.
	Before func(ctx context.Context) error
	// Workers is how many containers are probed at a time; 4 if zero.
	Workers int
}

// Prober stands in the place of every running container. Make one with [New]. It is safe
// for use by several goroutines.
type Prober struct {
	o      Options
	http   *http.Client
	tokens *tokens

	round sync.Mutex // Held for a round: two at once would make proof depend on luck.

	mu        sync.Mutex
	probes    int
	failures  []Probe
	forgotten int
	exposures []exposure
	first     map[types.NamespacedName]time.Time // When a pod of the ServiceAccount first had credentials.
	proven    map[container]bool                 // Had credentials before.
	last      []Probe                            // Of the newest round.
	equipped  map[types.UID]bool                 // Nodes that had a ready agent once.

	stop context.CancelFunc
	done chan struct{}
}

type container struct {
	pod  types.UID
	name string
}

// mostFailures bounds the books.
const mostFailures = 20_000

// youngFor is how long a new node is excused for an agent that is not ready.
const youngFor = 2 * time.Minute

// New returns a prober that has seen nothing yet.
func New(o Options) *Prober {
	o.Workers = cmp.Or(o.Workers, 4)
	return &Prober{
		o: o, tokens: &tokens{client: o.Client, clock: o.Clock, cold: o.Cold, kept: map[types.UID]map[tokenSpec]token{}},
		first: map[types.NamespacedName]time.Time{}, proven: map[container]bool{}, equipped: map[types.UID]bool{},
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}},
	}
}

// Round probes every container of every running pod once, and returns what came of it, by
// namespace, pod and container. It fails only where pods and nodes cannot be read, which
// is no verdict on anybody.
func (p *Prober) Round(ctx context.Context) ([]Probe, error) {
	p.round.Lock()
	defer p.round.Unlock()
	if p.o.Before != nil {
		if err := p.o.Before(ctx); err != nil {
			return nil, err
		}
	}
	pods, nodes, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	out := p.probeAll(ctx, pods, nodes)
	if err := ctx.Err(); err != nil {
		return nil, err // What failed now failed for want of time.
	}
	p.enter(out)
	alive := map[types.UID]bool{}
	for i := range pods {
		alive[pods[i].UID] = true
	}
	p.tokens.forget(alive)
	p.forget(alive)
	return out, nil
}

// look lists running pods, sorted, and nodes.
func (p *Prober) look(ctx context.Context) ([]corev1.Pod, map[string]corev1.Node, error) {
	all, err := p.o.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("probe pods: list them: %w", err)
	}
	list, err := p.o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("probe pods: list nodes: %w", err)
	}
	nodes := map[string]corev1.Node{}
	for _, n := range list.Items {
		nodes[n.Name] = n
		p.waitsForAgent(n, p.o.Clock.Now()) // Notes who has one.
	}
	pods := slices.DeleteFunc(all.Items, func(pod corev1.Pod) bool { return !running(&pod) })
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return pods, nodes, nil
}

func running(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil
}

// probeAll probes with several workers and keeps the order.
func (p *Prober) probeAll(ctx context.Context, pods []corev1.Pod, nodes map[string]corev1.Node) []Probe {
	results := make([][]Probe, len(pods))
	var wg sync.WaitGroup
	turn := make(chan int)
	for range p.o.Workers {
		wg.Go(func() {
			for i := range turn {
				results[i] = p.probePod(ctx, &pods[i], nodes[pods[i].Spec.NodeName])
			}
		})
	}
	for i := range pods {
		turn <- i
	}
	close(turn)
	wg.Wait()
	return slices.Concat(results...)
}

// probePod probes a pod's containers. What fails of a pod that meanwhile has gone says
// nothing, and is left out.
func (p *Prober) probePod(ctx context.Context, pod *corev1.Pod, node corev1.Node) []Probe {
	if p.o.Named != nil && !p.o.Named(pod.Namespace, pod.Spec.ServiceAccountName) {
		return nil
	}
	var out []Probe
	for _, c := range lasting(pod) {
		w := wiringOf(pod, c)
		if w.mechanism == Static {
			continue // Nobody is asked, and no plane of lanyard's has a part in it.
		}
		out = append(out, p.probe(ctx, pod, node, c.Name, w))
	}
	if slices.ContainsFunc(out, func(r Probe) bool { return r.Failed }) && !p.stillThere(ctx, pod) {
		out = slices.DeleteFunc(out, func(r Probe) bool { return r.Failed })
	}
	return out
}

func (p *Prober) stillThere(ctx context.Context, pod *corev1.Pod) bool {
	now, err := p.o.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	return err == nil && now.UID == pod.UID && running(now)
}

// waitsForAgent reports whether a node is new and its agent has not been ready yet. One
// that was, and has gone, is no longer awaited.
func (p *Prober) waitsForAgent(node corev1.Node, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o.Agents.Ready(node.Name) {
		p.equipped[node.UID] = true
	}
	return !p.equipped[node.UID] && now.Sub(node.CreationTimestamp.Time) < youngFor
}

func (p *Prober) probe(ctx context.Context, pod *corev1.Pod, node corev1.Node, name string, w wiring) Probe {
	now := p.o.Clock.Now()
	r := Probe{
		Started: now, Namespace: pod.Namespace, ServiceAccount: pod.Spec.ServiceAccountName, Pod: pod.Name, UID: pod.UID,
		Admitted: pod.CreationTimestamp.Time, Node: pod.Spec.NodeName, Container: name, Mechanism: w.mechanism,
		YoungNode: w.mechanism == Container && p.waitsForAgent(node, now),
	}
	owner := metav1.GetControllerOf(pod)
	r.OnItsOwn = owner == nil || owner.Kind == "Job"
	if w.mechanism == None {
		r.Ended, r.Failed, r.Plane, r.Error = now, true, Pods, "the pod was admitted without the variables of either mechanism"
		return r
	}
	session, err := p.obtain(ctx, pod, w)
	r.Ended = p.o.Clock.Now()
	if err != nil {
		r.Failed, r.Error = true, err.Error()
		r.Plane, r.Code = blame(w, err)
		return r
	}
	r.Session = session
	if p.o.Roles == nil {
		return r
	}
	account, role := roleOf(session)
	if may := p.o.Roles(pod); len(may) > 0 && !slices.ContainsFunc(may, func(arn string) bool { return isRole(arn, account, role) }) {
		r.Failed, r.Error = true, fmt.Sprintf("it got role %s of account %s, and may have only %v", role, account, may)
		r.Plane = Association
		if w.mechanism == WebIdentity {
			r.Plane = ServiceAccount
		}
	}
	return r
}

// enter marks what was proven before, and books a round: its failures first, so that no
// pod is held to what another proved in the same round.
func (p *Prober) enter(round []Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range round {
		r := &round[i]
		first, worked := p.first[r.subject()]
		r.Proven = p.proven[container{r.UID, r.Container}] || worked && !r.Admitted.Before(first.Truncate(time.Second))
	}
	for _, r := range round {
		p.probes++
		switch {
		case !r.Failed:
			p.proven[container{r.UID, r.Container}] = true
			if _, worked := p.first[r.subject()]; !worked {
				p.first[r.subject()] = r.Started
			}
		case r.Mechanism == None && !r.Proven: // Most pods of a cluster have no wiring, and want none.
		case len(p.failures) == mostFailures:
			p.forgotten++
		default:
			p.failures = append(p.failures, r)
		}
	}
	p.last = round
}

func (p Probe) subject() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.ServiceAccount}
}

func (p *Prober) forget(alive map[types.UID]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.proven {
		if !alive[c.pod] {
			delete(p.proven, c)
		}
	}
}

// Deleted tells the judge that at that time a crossing back, or a rollback, deleted the
// association of a ServiceAccount: what its pods with Pod Identity's variables lose from
// then on is booked as exposed, until Restarted. It may be told afterwards. A delete by
// prune, by repair or by a stranger is none of these: do not tell of it.
func (p *Prober) Deleted(namespace, serviceAccount string, at time.Time, rollback bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exposures = append(p.exposures, exposure{namespace: namespace, serviceAccount: serviceAccount, deleted: at, rollback: rollback})
}

// Restarted tells the judge that at that time the pods which a delete had exposed were all
// restarted, or that the association was there again: the exposure ends.
func (p *Prober) Restarted(namespace, serviceAccount string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.exposures {
		if e := &p.exposures[i]; e.namespace == namespace && e.serviceAccount == serviceAccount && e.restarted.IsZero() && !at.Before(e.deleted) {
			e.restarted = at
		}
	}
}

// Report returns the books as of now, by all that the judge has been told.
func (p *Prober) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{Probes: p.probes, Forgotten: p.forgotten}
	for _, f := range p.failures {
		switch book(f, p.exposures) {
		case Broken:
			r.Broken = append(r.Broken, f)
		case Exposed:
			r.Exposed = append(r.Exposed, f)
		case Young:
			r.Young = append(r.Young, f)
		case Unproven:
			r.Unproven = append(r.Unproven, f)
		}
	}
	return r
}

// Last returns the newest round's probes.
func (p *Prober) Last() []Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.last)
}

// Start probes round after round, with a pause between them on the wall clock, until Close.
// Rounds that fail are reported to failed, which may be nil.
func (p *Prober) Start(pause time.Duration, failed func(error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil {
		return errors.New("start prober: it was started before: make a new one")
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan struct{})
	go p.run(ctx, pause, failed)
	return nil
}

func (p *Prober) run(ctx context.Context, pause time.Duration, failed func(error)) {
	defer close(p.done)
	for ctx.Err() == nil {
		if _, err := p.Round(ctx); err != nil && ctx.Err() == nil && failed != nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Close ends probing and waits for the round under way. The books stay readable.
func (p *Prober) Close() error {
	p.mu.Lock()
	stop, done := p.stop, p.done
	p.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
	return nil
}
