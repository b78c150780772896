package probe

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// callTimeout is how long one call may take. EKS's webhook may take 10 s before its
// failurePolicy lets the pod through without it; who waited for that would take a hung
// webhook for one that does not inject.
const callTimeout = 3 * time.Second

// Options are the settings of a [Prober].
type Options struct {
	Kube    kubernetes.Interface // reads templates, addresses and the policy; required
	Dynamic dynamic.Interface    // reads Argo Rollouts; without one the newest ReplicaSet of a Rollout is asked about

	// Dial returns a client of the one API server at an address, over new connections:
	// see [Dialer]. Without it Kube is asked for every address, and once where there is
	// none: a cluster in memory has no addresses.
	Dial func(address string) (kubernetes.Interface, error)

	// Judge says what the containers of an admitted pod were given; required. It is
	// observe's: a hand does not import another, and the probe must judge as the look does.
	Judge func(*corev1.Pod) []live.Container

	Now     func() time.Time // [time.Now] by default
	Timeout time.Duration    // of each call; 3 s by default
}

// Prober asks API servers about new pods. It is safe for use by several goroutines.
type Prober struct{ o Options }

// New returns a prober.
func New(o Options) *Prober {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = callTimeout
	}
	return &Prober{o}
}

// Ask asks every API server once, one after the other, what a new pod of a workload would
// be given under a ServiceAccount. It is an error if the question cannot be put: the
// workload is gone, names another ServiceAccount by now, or the addresses of the API
// servers cannot be read. Unless [Prober.Guard] agrees nobody is asked, and the one
// answer says so.
func (p *Prober) Ask(ctx context.Context, s identity.Subject, w live.WorkloadRef) ([]migrate.Answer, error) {
	asked := p.o.Now()
	if err := p.Guard(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask about %s: %w", s, ctx.Err())
		}
		return []migrate.Answer{{At: asked, Result: migrate.AnswerUnguarded, Message: words(err)}}, nil
	}
	t, err := p.template(ctx, s.Namespace, w)
	if err != nil {
		return nil, fmt.Errorf("ask about %s: read %s %s: %w", s, w.Kind, w.Name, err)
	}
	if uses := t.serviceAccount(); uses != s.ServiceAccount {
		return nil, fmt.Errorf("ask about %s: %s %s uses ServiceAccount %s now", s, w.Kind, w.Name, uses)
	}
	addresses, err := p.addresses(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask about %s: read the API servers' addresses: %w", s, err)
	}
	pod := t.pod(s.Namespace)
	answers := make([]migrate.Answer, 0, len(addresses))
	for _, address := range addresses {
		answers = append(answers, p.ask(ctx, address, pod))
	}
	return answers, nil
}

// ask puts the question to one API server.
func (p *Prober) ask(ctx context.Context, address string, pod *corev1.Pod) migrate.Answer {
	a := migrate.Answer{Address: address, At: p.o.Now()}
	client, err := p.dial(address)
	if err != nil {
		a.Message = words(err)
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	// A copy: a client may fill in what it is given.
	admitted, err := client.CoreV1().Pods(pod.Namespace).Create(ctx, pod.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		a.Result, a.Message = classify(err), words(err)
		return a
	}
	a.Result = migrate.AnswerGiven
	a.Credential, a.Role, a.Audience, a.Message = sum(p.o.Judge(admitted))
	return a
}

func (p *Prober) dial(address string) (kubernetes.Interface, error) {
	if p.o.Dial == nil {
		return p.o.Kube, nil
	}
	return p.o.Dial(address)
}

// call bounds a read.
func (p *Prober) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.o.Timeout)
}
