package apply_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// memory is a role without a network, so that a bubble of testing/synctest can hold it.
type memory struct {
	mu     sync.Mutex
	text   string
	looks  int
	update func(ctx context.Context, store func()) error // nil: store at once
}

func (m *memory) get() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text
}

func (m *memory) Look(context.Context, identity.Subject, ...identity.RoleARN) (*live.Snapshot, error) {
	m.mu.Lock()
	m.looks++
	m.mu.Unlock()
	return live.New(live.Facts{Cluster: live.Cluster{Name: cluster.Name, ARN: cluster.ARN()},
		Roles: []live.Role{{ARN: arn(oldRole), Presence: live.Present, TrustPolicy: m.get()}}})
}

func (m *memory) GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error) {
	name, text := oldRole, url.PathEscape(m.get())
	return &iam.GetRoleOutput{Role: &iamtypes.Role{Arn: &name, AssumeRolePolicyDocument: &text}}, nil
}

func (m *memory) UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyInput, _ ...func(*iam.Options)) (*iam.UpdateAssumeRolePolicyOutput, error) {
	store := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.text = *in.PolicyDocument
	}
	if m.update == nil {
		store()
		return &iam.UpdateAssumeRolePolicyOutput{}, nil
	}
	return &iam.UpdateAssumeRolePolicyOutput{}, m.update(ctx, store)
}

func (m *memory) options() apply.Options {
	return apply.Options{Cluster: cluster, Look: m, Spacing: func() time.Duration { return 0 }, StepTimeout: 9 * time.Second,
		IAM: func(string) (apply.TrustWriter, error) { return m, nil }}
}

// hang never answers; stored says whether the write takes effect all the same.
func hang(stored bool) func(context.Context, func()) error {
	return func(ctx context.Context, store func()) error {
		if stored {
			store()
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestCallThatNeverAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		stored   bool
		deadline time.Duration // of the caller; 0 is none
		cancel   time.Duration // when the caller is cancelled; 0 is never
		result   report.Result
		class    remedy.Class
		takes    time.Duration
	}{
		{"not stored", false, 0, 0, report.Failed, remedy.Retry, 6 * time.Second},
		{"stored", true, 0, 0, report.Done, remedy.None, 6 * time.Second},
		{"the Lease ends before", false, 3 * time.Second, 0, report.Failed, remedy.Retry, 2 * time.Second},
		{"cancelled in hand", true, 0, time.Second, report.Done, remedy.None, 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{text: podTrust, update: hang(tt.stored)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				start := time.Now()
				o := apply.New(m.options()).Apply(ctx, planOf(putStep(subject, oldRole)))[0]
				if check(t, o, tt.result, tt.class); time.Since(start) != tt.takes {
					t.Errorf("got an outcome after %s, want %s", time.Since(start), tt.takes)
				}
				if want := map[bool]string{false: podTrust, true: edited(t, podTrust, subject)}[tt.stored]; o.After != want {
					t.Errorf("after: got %q, want %q", o.After, want)
				}
			})
		})
	}
}

func TestSpacing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{text: podTrust}
		opts := m.options()
		opts.Spacing = func() time.Duration { return 7 * time.Second }
		a, start := apply.New(opts), time.Now()
		check(t, a.Apply(t.Context(), planOf(putStep(subject, oldRole)))[0], report.Done, remedy.None)
		if got := time.Since(start); got != 7*time.Second {
			t.Errorf("got a wait of %s before the write, want 7s", got)
		}
		looks := m.looks
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		second := identity.Subject{Namespace: "demo", ServiceAccount: "second"}
		check(t, a.Apply(ctx, planOf(putStep(second, oldRole)))[0], report.NotTaken, remedy.Retry, "not started")
		if got := time.Since(start); got != 8*time.Second || m.looks != looks {
			t.Errorf("cancelled in the wait: got an end after %s and %d looks, want 8s and none", got, m.looks-looks)
		}
		check(t, a.Apply(t.Context(), planOf(putStep(second, oldRole)))[0], report.Done, remedy.None) // the turn was given back
	})
}

func TestDefaultSpacing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{text: podTrust}
		opts := m.options()
		opts.Spacing = nil
		start := time.Now()
		check(t, apply.New(opts).Apply(t.Context(), planOf(putStep(subject, oldRole)))[0], report.Done, remedy.None)
		if got := time.Since(start); got == 0 || got >= 10*time.Second {
			t.Errorf("got a wait of %s before the write, want a random one below 10s", got)
		}
	})
}

// TestWritesToARoleTakeTurns applies two plans at once: neither write may undo the other.
func TestWritesToARoleTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{text: podTrust, update: func(_ context.Context, store func()) error {
			time.Sleep(time.Second)
			store()
			return nil
		}}
		a := apply.New(m.options())
		second := identity.Subject{Namespace: "demo", ServiceAccount: "second"}
		third := identity.Subject{Namespace: "demo", ServiceAccount: "third"}
		var all sync.WaitGroup
		for _, s := range []identity.Subject{subject, second} {
			all.Go(func() { check(t, a.Apply(t.Context(), planOf(putStep(s, oldRole)))[0], report.Done, remedy.None) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		check(t, a.Apply(ctx, planOf(putStep(third, oldRole)))[0], report.NotTaken, remedy.Retry)
		all.Wait()
		one, two := edited(t, podTrust, subject, second), edited(t, podTrust, second, subject)
		if got := m.get(); got != one && got != two {
			t.Errorf("trust policy:\n got %s\nwant %s", got, one)
		}
	})
}

// TestLookIsBounded gives the whole of a step one time limit, its look included.
func TestLookIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{text: podTrust}
		opts, start := m.options(), time.Now()
		opts.Look = slow{}
		o := apply.New(opts).Apply(t.Context(), planOf(plan.Step{Subject: subject, Action: plan.DeleteAssociation{ID: "a"}}))[0]
		check(t, o, report.Skipped, remedy.Retry, "look at demo/reader")
		if got := time.Since(start); got != 9*time.Second || !errors.Is(o.Err, context.DeadlineExceeded) {
			t.Errorf("got %v after %s, want a deadline after 9s", o.Err, got)
		}
	})
}

type slow struct{}

func (slow) Look(ctx context.Context, _ identity.Subject, _ ...identity.RoleARN) (*live.Snapshot, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
