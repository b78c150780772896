package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Looker looks at one subject, and at the roles named, past every cache: its
// ServiceAccount, association, pods and workloads. What could not be read is a gap
// of the snapshot; an error means that there is no answer at all.
type Looker interface {
	Look(ctx context.Context, s identity.Subject, roles ...identity.RoleARN) (*live.Snapshot, error)
}

// TrustWriter reads and writes the trust policies of one account's roles. An
// [*iam.Client] is one.
type TrustWriter interface {
	GetRole(ctx context.Context, in *iam.GetRoleInput, opts ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyInput, opts ...func(*iam.Options)) (*iam.UpdateAssumeRolePolicyOutput, error)
}

// AssociationWriter writes Pod Identity associations. An [*eks.Client] is one.
type AssociationWriter interface {
	CreatePodIdentityAssociation(ctx context.Context, in *eks.CreatePodIdentityAssociationInput, opts ...func(*eks.Options)) (*eks.CreatePodIdentityAssociationOutput, error)
	UpdatePodIdentityAssociation(ctx context.Context, in *eks.UpdatePodIdentityAssociationInput, opts ...func(*eks.Options)) (*eks.UpdatePodIdentityAssociationOutput, error)
	DeletePodIdentityAssociation(ctx context.Context, in *eks.DeletePodIdentityAssociationInput, opts ...func(*eks.Options)) (*eks.DeletePodIdentityAssociationOutput, error)
}

// ServiceAccountWriter patches the ServiceAccounts of one namespace. client-go's typed
// ServiceAccountInterface is one.
type ServiceAccountWriter interface {
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.ServiceAccount, error)
}

// PodEvicter has pods of one namespace evicted. client-go's typed PodInterface is one.
type PodEvicter interface {
	EvictV1(ctx context.Context, eviction *policyv1.Eviction) error
}

// WorkloadWriter reads and patches the workloads of one kind in one namespace: see
// [Workloads]. Get answers as JSON would be decoded, whole numbers as int64; Patch takes
// a JSON patch.
type WorkloadWriter interface {
	Get(ctx context.Context, name string) (map[string]any, error)
	Patch(ctx context.Context, name string, patch []byte, opts metav1.PatchOptions) error
}

// Options are what an [Applier] works with. Cluster, Look and the first three writers
// are required; the rest has defaults.
type Options struct {
	Cluster         identity.Cluster
	Look            Looker
	IAM             func(account string) (TrustWriter, error)
	EKS             AssociationWriter
	ServiceAccounts func(namespace string) ServiceAccountWriter

	// Pods and Workloads are the hands of mode migrate. Without them a step that asks for
	// one halts the plan. Workloads returns nil for a kind that it has no hand for.
	Pods      func(namespace string) PodEvicter
	Workloads func(kind, namespace string) WorkloadWriter

	// Spacing is how long to wait before a write to a role's trust policy, because the
	// daemons of other clusters write it too and IAM has no compare-and-swap. The
	// default is a random time of up to 10 s.
	Spacing func() time.Duration

	// Now stamps the outcomes. The default is time.Now.
	Now func() time.Time

	// StepTimeout is how long all calls of one step may take, 10 s by default. A third
	// of what is left when a write is sent is kept for reading back.
	StepTimeout time.Duration

	// Until says by when every call of a step must have ended: when lanyard's Lease
	// could pass on to another replica. Nil or zero: nothing but StepTimeout bounds it.
	Until func() time.Time

	Started func(plan.Step) // told before each step that is begun
	Wrote   func(plan.Step) // told after each write that was sent, whatever came of it, before it is read back
	Log     *slog.Logger    // gets one line for each step; the default is none
}

// Applier runs plans. It is safe for use by several goroutines: writes to one role
// take turns.
type Applier struct {
	opts Options

	mu    sync.Mutex
	turns map[identity.RoleARN]chan struct{}
	sent  map[identity.RoleARN]sentTrust
}

// New returns an Applier.
func New(o Options) *Applier {
	if o.Spacing == nil {
		o.Spacing = func() time.Duration { return rand.N(10 * time.Second) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StepTimeout == 0 {
		o.StepTimeout = 10 * time.Second
	}
	if o.Started == nil {
		o.Started = func(plan.Step) {}
	}
	if o.Wrote == nil {
		o.Wrote = func(plan.Step) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Applier{opts: o, turns: map[identity.RoleARN]chan struct{}{}, sent: map[identity.RoleARN]sentTrust{}}
}

// Apply takes the plan's steps in their order and returns one outcome for each. After
// a step that is not Done, no other step of the same subject is taken; after one that
// asks to halt, none at all.
func (a *Applier) Apply(ctx context.Context, p plan.Plan) []report.Outcome {
	out := make([]report.Outcome, 0, len(p.Steps))
	stopped := map[identity.Subject]report.Outcome{}
	var halt error
	if p.Cluster != a.opts.Cluster.Name {
		halt = remedy.Mark(remedy.Halt, fmt.Errorf("the plan is for cluster %q, and this is %q", p.Cluster, a.opts.Cluster.Name))
	}
	for _, s := range p.Steps {
		o := report.Outcome{Step: s, Result: report.NotTaken}
		var note error
		switch earlier, is := stopped[s.Subject]; {
		case halt != nil:
			o.Err = halt
		case is:
			o.Err = remedy.Mark(earlier.Remedy, fmt.Errorf("not started: an earlier step of %s came to %q", s.Subject, earlier.Result))
		case ctx.Err() != nil:
			o.Err = notStarted(ctx)
		default:
			o, note = a.take(ctx, s)
		}
		o.Remedy, o.At = remedy.Of(o.Err), a.opts.Now()
		if o.Remedy == remedy.Halt && halt == nil {
			halt = remedy.Mark(remedy.Halt, fmt.Errorf("not started: an earlier step halted the plan: %w", o.Err))
		}
		if _, is := stopped[s.Subject]; o.Result != report.Done && !is {
			stopped[s.Subject] = o
		}
		a.log(ctx, o, note)
		out = append(out, o)
	}
	return out
}

func notStarted(ctx context.Context) error {
	return remedy.Mark(remedy.Retry, fmt.Errorf("not started: %w", context.Cause(ctx)))
}

// log writes the line of a step: the audit trail. The note is the error of a call that
// failed and yet took effect.
func (a *Applier) log(ctx context.Context, o report.Outcome, note error) {
	level := slog.LevelInfo
	switch o.Result {
	case report.Done, report.NotTaken:
	case report.Unverified, report.Skipped:
		level = slog.LevelWarn
	case report.Failed:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("subject", o.Step.Subject.String()),
		slog.String("step", o.Step.ID()),
		slog.String("action", o.Step.Action.String()),
		slog.String("effect", o.Step.Effect.String()),
		slog.String("result", string(o.Result)),
		slog.String("remedy", o.Remedy.String()),
		slog.String("before", o.Before),
		slog.String("after", o.After),
	}
	if err := errors.Join(o.Err, note); err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	a.opts.Log.LogAttrs(ctx, level, "step", attrs...)
}
