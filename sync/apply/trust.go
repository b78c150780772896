package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// lateness is for how long a read of a role may still show what stood before our own
// last write. AWS gives no bound; its docs speak of a short time.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const lateness = time.Minute

// sentTrust is the last write to a role's trust policy.
type sentTrust struct {
	before, after string
	at            time.Time
}

// turn waits until no other step writes to the role, and then for the spacing. The
// wait is not part of the step's time; it ends with the parent context.
func (a *Applier) turn(ctx context.Context, role identity.RoleARN) (done func(), err error) {
	a.mu.Lock()
	turn := a.turns[role]
	if turn == nil {
		turn = make(chan struct{}, 1)
		a.turns[role] = turn
	}
	a.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, notStarted(ctx)
	}
	timer := time.NewTimer(a.opts.Spacing())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		<-turn
		return nil, notStarted(ctx)
	}
	return func() { <-turn }, nil
}

// trustWork edits one role's trust policy. The edit is made anew on the document that
// the writer's own client reads right before the write, and whatever it does not touch
// is sent back to the byte.
type trustWork struct {
	a    *Applier
	role identity.RoleARN
	edit func(*trust.Document) (trust.Edit, error)
	left func(*trust.Document) bool // whether something stands that is not to stand afterwards; nil: nothing is

	client TrustWriter
	before *trust.Document
	want   *trust.Document
}

// put returns the edit of an action that adds or replaces lanyard's own statement. Its
// outcome is judged before it is sent: the read-back then only has to show the same
// meaning.
func put(action plan.PutTrustStatement) func(*trust.Document) (trust.Edit, error) {
	return func(doc *trust.Document) (trust.Edit, error) {
		edit, err := doc.Add(action.Grant, action.Quota)
		if err == nil {
			err = judgeTrust(edit.Document, action.Grant)
		}
		return edit, err
	}
}

// judgeTrust refuses a policy that would deny what it is written for. Package trust does
// not make one; if it did, nothing more would be written.
func judgeTrust(doc *trust.Document, g trust.Grant) error {
	for _, r := range requestsOf(g) {
		if v := doc.Evaluate(r); v.Decision == trust.Deny {
			return remedy.Mark(remedy.Halt, fmt.Errorf("the policy would not let %s in: %s", r.Subject, v.Reason))
		}
	}
	return nil
}

func drop(action plan.DropTrustStatement) func(*trust.Document) (trust.Edit, error) {
	return func(doc *trust.Document) (trust.Edit, error) { return doc.RemoveSid(action.Sid) }
}

func dropped(action plan.DropTrustStatement) func(*trust.Document) bool {
	return func(doc *trust.Document) bool {
		return slices.ContainsFunc(doc.Statements(), func(s trust.Statement) bool { return s.Sid == action.Sid })
	}
}

// revoke returns the edit of an action that takes away what lets one request in, whoever
// wrote it. What serves others too is left alone, and the step with it.
func revoke(action plan.RevokeTrust) func(*trust.Document) (trust.Edit, error) {
	return func(doc *trust.Document) (trust.Edit, error) { return doc.Remove(action.Request) }
}

func revoked(action plan.RevokeTrust) func(*trust.Document) bool {
	return func(doc *trust.Document) bool {
		again, err := doc.Remove(action.Request)
		return err != nil || again.Changed
	}
}

// requestsOf are the questions to which a grant is the answer.
func requestsOf(g trust.Grant) []trust.Request {
	r := trust.Request{Mechanism: g.Mechanism, Subject: g.Subject, Cluster: g.Cluster, Provider: g.Provider, SessionTags: g.SessionTags}
	if g.Mechanism != identity.IRSA {
		return []trust.Request{r}
	}
	out := make([]trust.Request, len(g.Audiences))
	for i, audience := range g.Audiences {
		out[i] = r
		out[i].Audience = audience
	}
	return out
}

func (w *trustWork) value() string { return w.want.Text() }

func (w *trustWork) prepare(ctx context.Context, fresh *live.Snapshot) (string, bool, error) {
	seen, presence, err := fresh.Trust(w.role)
	switch {
	case presence == live.Unknown:
		return "", false, unreadable("role %s", w.role)
	case presence == live.Absent:
		return "", false, stale("role %s is absent", w.role)
	case err != nil:
		return "", false, remedy.Mark(remedy.Hold, fmt.Errorf("trust policy of %s: %w", w.role, err))
	}
	if w.client, err = w.a.opts.IAM(w.role.Account); err != nil {
		return "", false, remedy.Mark(remedy.Hold, fmt.Errorf("reach account %s: %w", w.role.Account, err))
	}
	if w.before, err = w.get(ctx); err != nil {
		return "", false, err
	}
	if !trust.Equal(seen, w.before) {
		return "", false, stale("the trust policy of %s changed while it was looked at", w.role)
	}
	edit, err := w.edit(w.before)
	if err != nil {
		return "", false, remedy.Mark(remedy.Hold, fmt.Errorf("edit trust policy of %s: %w", w.role, err))
	}
	w.want = edit.Document
	if !edit.Changed {
		return w.before.Text(), true, nil
	}
	return w.before.Text(), false, w.late()
}

// late refuses to build on a read that is older than our own last write: the document
// would take that write back. Sending the same document again does no harm.
func (w *trustWork) late() error {
	w.a.mu.Lock()
	last, is := w.a.sent[w.role]
	w.a.mu.Unlock()
	if !is || w.a.opts.Now().Sub(last.at) >= lateness || w.before.Text() != last.before || w.want.Text() == last.after {
		return nil
	}
	return remedy.Mark(remedy.Retry, fmt.Errorf("the trust policy of %s still reads as it did before lanyard's own last write; it is edited once that shows, or after %s", w.role, lateness))
}

// write sends the document. It is sent once: the SDK would send it again after a lost
// answer, by when it might undo what someone else wrote in between.
func (w *trustWork) write(ctx context.Context) error {
	w.remember(true)
	_, err := w.client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
		RoleName: &w.role.Name, PolicyDocument: aws.String(w.want.Text()),
	}, func(o *iam.Options) { o.RetryMaxAttempts = 1 })
	if err == nil {
		return nil
	}
	class := classAWS(err)
	w.remember(class == remedy.Retry) // an error of that class may be a lie
	return remedy.Mark(class, fmt.Errorf("update trust policy of %s: %w", w.role, err))
}

// remember notes that the write may take effect, or that it will not.
func (w *trustWork) remember(may bool) {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	if may {
		w.a.sent[w.role] = sentTrust{before: w.before.Text(), after: w.want.Text(), at: w.a.opts.Now()}
	} else {
		delete(w.a.sent, w.role)
	}
}

func (w *trustWork) readBack(ctx context.Context) (string, bool, error) {
	doc, err := w.get(ctx)
	if err != nil {
		return "", false, err
	}
	return doc.Text(), trust.Equal(doc, w.want) && (w.left == nil || !w.left(doc)), nil
}

// get reads the role. IAM's calls are by name, so that a role of the same name in
// another account or under another path would answer: the whole ARN must be the one
// that was planned for.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
func (w *trustWork) get(ctx context.Context) (*trust.Document, error) {
	hold := func(err error) error { return remedy.Mark(remedy.Hold, fmt.Errorf("get role %s: %w", w.role, err)) }
	out, err := w.client.GetRole(ctx, &iam.GetRoleInput{RoleName: &w.role.Name})
	switch {
	case err != nil:
		return nil, remedy.Mark(classAWS(err), fmt.Errorf("get role %s: %w", w.role, err))
	case out.Role == nil:
		return nil, hold(errors.New("the answer holds no role"))
	case aws.ToString(out.Role.Arn) != w.role.String():
		return nil, hold(fmt.Errorf("the role of that name is %s: correct roleARN in Git, or the accounts in lanyard's configuration", aws.ToString(out.Role.Arn)))
	}
	text, err := trust.Decode(aws.ToString(out.Role.AssumeRolePolicyDocument))
	if err != nil {
		return nil, hold(err)
	}
	doc, err := trust.Parse(text)
	if err != nil {
		return nil, hold(err)
	}
	return doc, nil
}
