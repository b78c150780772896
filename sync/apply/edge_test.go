package apply_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/sync/apply"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// check checks an outcome alone.
func check(t *testing.T, o report.Outcome, result report.Result, class remedy.Class, parts ...string) {
	t.Helper()
	if o.Result != result || o.Remedy != class {
		t.Errorf("%s: got %s, %s, error %v; want %s, %s", o.Step.Action, o.Result, o.Remedy, o.Err, result, class)
	}
	for _, part := range parts {
		if o.Err == nil || !strings.Contains(o.Err.Error(), part) {
			t.Errorf("%s: got error %v, want it to say %q", o.Step.Action, o.Err, part)
		}
	}
}

func putStep(s identity.Subject, role string) plan.Step {
	return plan.Step{Subject: s, Plane: diff.PlaneTrust, Effect: plan.Widen, Action: plan.PutTrustStatement{Role: arn(role), Grant: irsaGrant(s), Quota: 2048}}
}

func TestEmptyPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out := w.apply(); len(out) != 0 || w.mutations() != 0 || w.looks != 0 || w.log.Len() != 0 {
		t.Errorf("got %d outcomes, %d writes, %d looks, log %q; want none", len(out), w.mutations(), w.looks, w.log.String())
	}
}

func TestOtherClustersPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := apply.New(w.options).Apply(t.Context(), plan.Plan{Cluster: "irsa-prod", Steps: []plan.Step{putStep(subject, oldRole)}})[0]
	check(t, o, report.NotTaken, remedy.Halt, `the plan is for cluster "irsa-prod"`)
}

func TestAfterAStepThatIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.AddFault(awsd.Fault{Operation: "UpdateAssumeRolePolicy", Kind: awsd.Refuse, Times: 1})
	next := identity.Subject{Namespace: "demo", ServiceAccount: "next"}
	out := w.apply(putStep(subject, oldRole), putStep(subject, newRole), putStep(next, oldRole), putStep(subject, newRole))
	check(t, out[0], report.Failed, remedy.Hold, "AccessDenied")
	check(t, out[1], report.NotTaken, remedy.Hold, `an earlier step of demo/reader came to "failed"`)
	check(t, out[2], report.Done, remedy.None)
	check(t, out[3], report.NotTaken, remedy.Hold, `came to "failed"`)
}

func TestHaltStopsAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := identity.Subject{Namespace: "demo", ServiceAccount: "next"}
	for name, s := range map[string]plan.Step{
		"no uid":          {Subject: subject, Action: plan.SetAnnotation{Key: diff.AnnotationRole, Value: newRole}},
		"another subject": {Subject: subject, Action: plan.CreateAssociation{Role: arn(oldRole)}, Guards: []plan.Guard{plan.Unused{Subject: next}}},
	} {
		out := w.apply(s, putStep(next, oldRole))
		if check(t, out[0], report.Skipped, remedy.Halt); w.mutations() != 0 {
			t.Errorf("%s: got %d writes, want none", name, w.mutations())
		}
		check(t, out[1], report.NotTaken, remedy.Halt, "halted the plan")
	}
}

func TestTrustRefusedBeforeTheWrite(t *testing.T) {
	t.Parallel()
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity"}]}`
	only := `{"Version":"2012-10-17","Statement":[` + string(irsaGrant(subject).Statement()) + `]}`
	drop := plan.Step{Subject: subject, Action: plan.DropTrustStatement{Role: arn(oldRole), Sid: irsaGrant(subject).Sid()}}
	foreign := plan.Step{Subject: subject, Action: plan.DropTrustStatement{Role: arn(oldRole), Sid: "Human"}}
	full := putStep(subject, oldRole)
	full.Action = plan.PutTrustStatement{Role: arn(oldRole), Grant: irsaGrant(subject), Quota: 300}
	for _, tt := range []struct {
		name, trust string
		step        plan.Step
		class       remedy.Class
		part        string
	}{
		{"explicit deny", deny, putStep(subject, oldRole), remedy.Hold, "an explicit Deny"},
		{"no room", foreignTrust, full, remedy.Hold, "characters of 300"},
		{"last statement", only, drop, remedy.Hold, "only statement"},
		{"someone else's statement", foreignTrust, foreign, remedy.Hold, "not of lanyard's making"},
		{"role missing", "", putStep(subject, oldRole), remedy.Replan, "absent"},
		{"other path", foreignTrust, putStep(subject, "arn:aws:iam::123456789012:role/other/reader"), remedy.Hold, "the role of that name is " + oldRole},
		{"same name, other account", foreignTrust, putStep(subject, "arn:aws:iam::210987654321:role/apps/reader"), remedy.Hold, "NoSuchEntity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if w.aws.DeleteRole(oldRole); tt.trust != "" {
				w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: tt.trust}))
			}
			check(t, w.apply(tt.step)[0], report.Skipped, tt.class, tt.part)
			if w.mutations() != 0 || w.trust(oldRole) != tt.trust {
				t.Errorf("got %d writes and trust %q, want none and %q", w.mutations(), w.trust(oldRole), tt.trust)
			}
		})
	}
}

func TestAccountNotConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inner := w.options.IAM
	w.options.IAM = func(id string) (apply.TrustWriter, error) {
		if id == other {
			return nil, errors.New("the configuration has no such account")
		}
		return inner(id)
	}
	check(t, w.apply(putStep(subject, "arn:aws:iam::210987654321:role/apps/reader"))[0], report.Skipped, remedy.Hold, "reach account 210987654321")
}

func TestClassesOfAWS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		operation, code string
		status          int
		message         string
		class           remedy.Class
	}{
		{"UpdateAssumeRolePolicy", "MalformedPolicyDocument", 400, "Invalid principal in policy", remedy.Hold},
		{"UpdateAssumeRolePolicy", "LimitExceeded", 409, "Cannot exceed quota for ACLSizePerRole: 2048", remedy.Hold},
		{"UpdateAssumeRolePolicy", "UnmodifiableEntity", 400, "only modifiable by AWS", remedy.Hold},
		{"UpdateAssumeRolePolicy", "NoSuchEntity", 404, "cannot be found", remedy.Hold},
		{"UpdateAssumeRolePolicy", "AccessDenied", 403, "not authorized", remedy.Hold},
		{"UpdateAssumeRolePolicy", "ConcurrentModification", 409, "try again", remedy.Replan},
		{"UpdateAssumeRolePolicy", "Throttling", 400, "Rate exceeded", remedy.Retry},
		{"UpdateAssumeRolePolicy", "ServiceFailure", 500, "", remedy.Retry},
		{"UpdateAssumeRolePolicy", "ExpiredToken", 403, "expired", remedy.Retry},
		{"UpdateAssumeRolePolicy", "InvalidClientTokenId", 403, "", remedy.Hold},
		{"CreatePodIdentityAssociation", "InvalidParameterException", 400, "Trust policy of the role provided is invalid", remedy.Retry},
		{"CreatePodIdentityAssociation", "InvalidParameterException", 400, "Role provided in the request does not exist", remedy.Retry},
		{"CreatePodIdentityAssociation", "InvalidParameterException", 400, "disableSessionTags must be true", remedy.Hold},
		{"CreatePodIdentityAssociation", "ResourceInUseException", 409, "Association already exists: a-1", remedy.Replan},
		{"CreatePodIdentityAssociation", "ResourceLimitExceededException", 400, "limit", remedy.Hold},
		{"CreatePodIdentityAssociation", "AccessDeniedException", 403, "iam:PassRole", remedy.Hold},
		{"CreatePodIdentityAssociation", "ThrottlingException", 429, "", remedy.Retry},
		{"CreatePodIdentityAssociation", "ServerException", 500, "", remedy.Retry},
	} {
		t.Run(fmt.Sprint(tt.code, " ", tt.message), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.aws.AddFault(awsd.Fault{Operation: tt.operation, Kind: awsd.Answer, Code: tt.code, Status: tt.status, Message: tt.message})
			s := putStep(subject, oldRole)
			if strings.HasPrefix(tt.operation, "Create") {
				s.Action = plan.CreateAssociation{Role: arn(oldRole), Tags: marks}
			}
			check(t, w.apply(s)[0], report.Failed, tt.class, tt.code, "read back: unchanged")
			if w.mutations() != 1 {
				t.Errorf("got %d writes, want 1: a write is sent once, whatever the SDK would do", w.mutations())
			}
		})
	}
}

// TestLateRead has two subjects of one role. IAM shows the first write late; a second
// write built on that read would take the first statement away again.
func TestLateRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := identity.Subject{Namespace: "demo", ServiceAccount: "second"}
	w.aws.SetConsistency(awsd.Consistency{RoleReads: 15 * time.Second})
	a := apply.New(w.options)
	one := func(s plan.Step) report.Outcome { return a.Apply(t.Context(), planOf(s))[0] }

	check(t, one(putStep(subject, oldRole)), report.Unverified, remedy.Retry, "not visible yet")
	w.clock.Advance(5 * time.Second)
	check(t, one(putStep(second, oldRole)), report.Skipped, remedy.Retry, "still reads as it did before lanyard's own last write")
	check(t, one(putStep(subject, oldRole)), report.Unverified, remedy.Retry) // the same document does no harm
	w.clock.Advance(15 * time.Second)
	check(t, one(putStep(second, oldRole)), report.Unverified, remedy.Retry, "not visible yet")
	if got, want := w.trust(oldRole), edited(t, podTrust, subject, second); got != want {
		t.Errorf("trust policy:\n got %s\nwant %s", got, want)
	}
	w.clock.Advance(2 * time.Minute) // what stands as before after that long was put back by someone
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: edited(t, podTrust, subject)}))
	third := identity.Subject{Namespace: "demo", ServiceAccount: "third"}
	check(t, one(putStep(third, oldRole)), report.Unverified, remedy.Retry, "not visible yet")
}

// TestRefusedWriteIsForgotten edits a role for the next subject right after a refusal.
func TestRefusedWriteIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.AddFault(awsd.Fault{Operation: "UpdateAssumeRolePolicy", Kind: awsd.Answer, Code: "LimitExceeded", Status: 409, Times: 1})
	out := w.apply(putStep(subject, oldRole), putStep(identity.Subject{Namespace: "demo", ServiceAccount: "second"}, oldRole))
	check(t, out[0], report.Failed, remedy.Hold)
	check(t, out[1], report.Done, remedy.None)
}

// TestTrustChangesUnderway has another writer between the look and the writer's own read.
func TestTrustChangesUnderway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onLook = func(int) { w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: foreignTrust})) }
	s := putStep(subject, oldRole)
	s.Guards = []plan.Guard{plan.TrustIs{Role: arn(oldRole), Digest: digest(t, podTrust)}}
	check(t, w.apply(s)[0], report.Skipped, remedy.Replan, "changed while it was looked at")
	if got := w.trust(oldRole); got != foreignTrust {
		t.Errorf("trust policy: got %q, want %q", got, foreignTrust)
	}
}

// TestOverwritten reads back what another writer put over ours right after it.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onWrote = func() { w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: foreignTrust})) }
	check(t, w.apply(putStep(subject, oldRole))[0], report.Unverified, remedy.Replan, "someone else wrote too")
	w.aws.AddFault(awsd.Fault{Operation: "UpdateAssumeRolePolicy", Kind: awsd.Fail})
	w.onWrote = func() { w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: podTrust})) }
	check(t, w.apply(putStep(subject, oldRole))[0], report.Failed, remedy.Retry, "neither as before nor as meant")
}

// TestDropOfARepeatedMeaning drops our statement where a foreign one says the same, so
// that the meaning stays and only the Sid can tell whether the write took effect.
func TestDropOfARepeatedMeaning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := string(irsaGrant(subject).Statement())
	twice := `{"Version":"2012-10-17","Statement":[` + strings.Replace(own, irsaGrant(subject).Sid(), "Human", 1) + "," + own + `]}`
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: twice}))
	lift := w.aws.AddFault(awsd.Fault{Operation: "UpdateAssumeRolePolicy", Kind: awsd.Lost})
	s := plan.Step{Subject: subject, Action: plan.DropTrustStatement{Role: arn(oldRole), Sid: irsaGrant(subject).Sid()}}
	check(t, w.apply(s)[0], report.Unverified, remedy.Retry)
	lift()
	check(t, w.apply(s)[0], report.Done, remedy.None)
}

// TestRevokeOfARepeatedMeaning takes our statement out where one that bears the Sid of
// another subject of lanyard's says the same, and stays: its owner drops it.
func TestRevokeOfARepeatedMeaning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := string(irsaGrant(subject).Statement())
	theirs := strings.Replace(own, irsaGrant(subject).Sid(), irsaGrant(identity.Subject{Namespace: "demo", ServiceAccount: "next"}).Sid(), 1)
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: `{"Version":"2012-10-17","Statement":[` + theirs + "," + own + `]}`}))
	lift := w.aws.AddFault(awsd.Fault{Operation: "UpdateAssumeRolePolicy", Kind: awsd.Lost})
	s := plan.Step{Subject: subject, Action: plan.RevokeTrust{Role: arn(oldRole), Request: irsaRequest(subject)}}
	check(t, w.apply(s)[0], report.Unverified, remedy.Retry)
	lift()
	check(t, w.apply(s)[0], report.Done, remedy.None)
	if got := w.trust(oldRole); strings.Contains(got, irsaGrant(subject).Sid()) || !strings.Contains(got, theirs) {
		t.Errorf("trust policy: got %s, want theirs alone", got)
	}
}

// TestRevokeOfWhatOthersNeed: a statement that serves others too is not touched.
func TestRevokeOfWhatOthersNeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shared := strings.Replace(edited(t, podTrust, subject), `:demo:reader"`, `:demo:*"`, 1)
	shared = strings.NewReplacer(`"StringEquals":{`, `"StringLike":{`, irsaGrant(subject).Sid(), "Theirs").Replace(shared)
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: shared}))
	o := w.apply(plan.Step{Subject: subject, Action: plan.RevokeTrust{Role: arn(oldRole), Request: irsaRequest(subject)}})[0]
	check(t, o, report.Skipped, remedy.Hold, "lets in others too by the pattern")
	if w.mutations() != 0 || w.trust(oldRole) != shared {
		t.Errorf("got %d writes, trust %s", w.mutations(), w.trust(oldRole))
	}
}

// between calls f between the look and the write.
type between struct {
	apply.ServiceAccountWriter
	apply.AssociationWriter
	f func()
}

func (b between) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, sub ...string) (*corev1.ServiceAccount, error) {
	b.f()
	return b.ServiceAccountWriter.Patch(ctx, name, pt, data, opts, sub...)
}

func (b between) CreatePodIdentityAssociation(ctx context.Context, in *eks.CreatePodIdentityAssociationInput, opts ...func(*eks.Options)) (*eks.CreatePodIdentityAssociationOutput, error) {
	b.f()
	return b.AssociationWriter.CreatePodIdentityAssociation(ctx, in, opts...)
}

func (b between) DeletePodIdentityAssociation(ctx context.Context, in *eks.DeletePodIdentityAssociationInput, opts ...func(*eks.Options)) (*eks.DeletePodIdentityAssociationOutput, error) {
	b.f()
	return b.AssociationWriter.DeletePodIdentityAssociation(ctx, in, opts...)
}

// onPatch runs f right before the next patch reaches the API server.
func (w *world) onPatch(f func()) {
	inner := w.options.ServiceAccounts
	w.options.ServiceAccounts = func(ns string) apply.ServiceAccountWriter {
		return between{ServiceAccountWriter: inner(ns), f: f}
	}
}

// TestServiceAccountChangesUnderway has the ServiceAccount deleted, made again or
// changed between look and patch: none is created, none that is another is written to.
func TestServiceAccountChangesUnderway(t *testing.T) {
	t.Parallel()
	gvr := corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	gone := func(w *world) { w.kube.Remove(gvr, subject.Namespace, subject.ServiceAccount) }
	again := func(w *world) { gone(w); w.account(map[string]string{diff.AnnotationRole: oldRole}) }
	changed := func(w *world) { w.annotate("helm", diff.AnnotationAudience, "theirs") }
	set := func(uid string) plan.Action {
		return plan.SetAnnotation{UID: uid, Key: diff.AnnotationRole, Value: newRole, Old: oldRole, Force: true}
	}
	drop := func(uid string) plan.Action {
		return plan.DropAnnotation{UID: uid, Key: diff.AnnotationRole, Old: oldRole}
	}
	revalued := func(w *world) { w.annotate("helm", diff.AnnotationRole, "theirs") }
	for _, tt := range []struct {
		name   string
		happen func(*world)
		action func(uid string) plan.Action
		want   map[string]string // nil: no ServiceAccount
		noRV   bool
	}{
		{"set, gone", gone, set, nil, false},
		{"set without resourceVersion, gone", gone, set, nil, true},
		{"set, made again", again, set, map[string]string{diff.AnnotationRole: oldRole}, false},
		{"set without resourceVersion, made again", again, set, map[string]string{diff.AnnotationRole: oldRole}, true},
		{"set by force, changed", changed, set, map[string]string{diff.AnnotationRole: oldRole, diff.AnnotationAudience: "theirs"}, false},
		{"drop, gone", gone, drop, nil, false},
		{"drop, made again", again, drop, map[string]string{diff.AnnotationRole: oldRole}, false},
		{"drop, changed value", revalued, drop, map[string]string{diff.AnnotationRole: "theirs"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.noRV = tt.noRV
			uid := w.account(map[string]string{diff.AnnotationRole: oldRole})
			w.onPatch(func() { tt.happen(w) })
			check(t, w.apply(plan.Step{Subject: subject, Action: tt.action(uid)})[0], report.Failed, remedy.Replan)
			sa, err := w.people.CoreV1().ServiceAccounts("demo").Get(t.Context(), "reader", metav1.GetOptions{})
			if apierrors.IsNotFound(err) != (tt.want == nil) || err == nil && !maps.Equal(sa.Annotations, tt.want) {
				t.Errorf("ServiceAccount: got %v, %v; want annotations %v", sa.Annotations, err, tt.want)
			}
		})
	}
}

// annotate sets an annotation as another field manager.
func (w *world) annotate(manager, key, value string) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, key, value)
	_, err := w.people.CoreV1().ServiceAccounts("demo").Patch(w.t.Context(), "reader", types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager})
	w.must(err)
}

func TestFieldManagers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uid := w.account(map[string]string{diff.AnnotationRole: oldRole})
	set := func(key, value string, force bool) report.Outcome {
		return w.apply(plan.Step{Subject: subject, Action: plan.SetAnnotation{UID: uid, Key: key, Value: value, Force: force}})[0]
	}
	check(t, set(diff.AnnotationRole, newRole, false), report.Failed, remedy.Hold, `belongs to field manager "helm"`, "adopt: [annotation]")
	check(t, set(diff.AnnotationAudience, "ours", false), report.Done, remedy.None)
	check(t, set(diff.AnnotationExpiration, "3600", false), report.Done, remedy.None)
	check(t, set(diff.AnnotationRole, newRole, true), report.Done, remedy.None)
	// An apply of one key takes away what the same manager applied before and left out.
	want := map[string]string{diff.AnnotationRole: newRole, diff.AnnotationAudience: "ours", diff.AnnotationExpiration: "3600"}
	if got := w.serviceAccount().Annotations; !maps.Equal(got, want) {
		t.Errorf("annotations: got %v, want %v", got, want)
	}
	// What another manager applied is not sent along, which would make it ours too.
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"reader","annotations":{%q:"frozen"}}}`, diff.PauseMark)
	_, err := w.people.CoreV1().ServiceAccounts("demo").Patch(t.Context(), "reader", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "argocd-controller"})
	w.must(err)
	check(t, set(diff.AnnotationExpiration, "1800", false), report.Done, remedy.None)
	for _, m := range w.serviceAccount().ManagedFields {
		if m.Manager == "lanyard" && strings.Contains(string(m.FieldsV1.GetRawBytes()), diff.PauseMark) {
			t.Errorf("lanyard's fields: got %s, want no %s", m.FieldsV1.GetRawBytes(), diff.PauseMark)
		}
	}
	// What another manager took over is not ours to send back.
	w.annotate("argocd-controller", diff.AnnotationAudience, "theirs")
	check(t, set(diff.AnnotationExpiration, "7200", true), report.Done, remedy.None)
	if got := w.serviceAccount().Annotations[diff.AnnotationAudience]; got != "theirs" {
		t.Errorf("audience: got %q, want the other manager's", got)
	}
	drop := plan.Step{Subject: subject, Action: plan.DropAnnotation{UID: uid, Key: diff.AnnotationExpiration, Old: "7200"}}
	check(t, w.apply(drop)[0], report.Done, remedy.None)
	check(t, set(diff.AnnotationRegional, "true", false), report.Done, remedy.None)
	want = map[string]string{diff.AnnotationRole: newRole, diff.AnnotationAudience: "theirs", diff.AnnotationRegional: "true", diff.PauseMark: "frozen"}
	if got := w.serviceAccount().Annotations; !maps.Equal(got, want) {
		t.Errorf("annotations after a drop: got %v, want %v", got, want)
	}
}

func TestAssociationMadeUnderway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		tags   map[string]string
		result report.Result
		class  remedy.Class
	}{
		{"ours", marks, report.Done, remedy.None},
		{"someone's", nil, report.Failed, remedy.Replan},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			step := plan.Step{Subject: subject, Action: plan.CreateAssociation{Role: arn(oldRole), Tags: marks}}
			hands := between{AssociationWriter: w.options.EKS, f: func() {
				_, err := w.aws.PutAssociation(awsd.Association{Cluster: cluster.ARN(), Namespace: "demo", ServiceAccount: "reader", RoleARN: oldRole, Tags: tt.tags})
				w.must(err)
			}}
			check(t, w.applyEKS(hands, step), tt.result, tt.class)
		})
	}
}

// applyEKS applies a step with another hand for associations; the look keeps its own.
func (w *world) applyEKS(hand apply.AssociationWriter, s plan.Step) report.Outcome {
	w.t.Helper()
	o := w.options
	o.EKS = hand
	return apply.New(o).Apply(w.t.Context(), planOf(s))[0]
}

func TestAssociationGoneUnderway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.aws.PutAssociation(awsd.Association{Cluster: cluster.ARN(), Namespace: "demo", ServiceAccount: "reader", RoleARN: oldRole, Tags: marks})
	w.must(err)
	hands := between{AssociationWriter: w.options.EKS, f: func() { w.aws.DeleteAssociation(cluster.ARN(), "demo", "reader") }}
	check(t, w.applyEKS(hands, plan.Step{Subject: subject, Action: plan.DeleteAssociation{ID: a.ID}}), report.Done, remedy.None)
}

func TestAssociationOfOthers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		owner  string
		action func(id string) plan.Action
		class  remedy.Class
		part   string
	}{
		"add-on, update": {"arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/x/1", func(id string) plan.Action { return plan.UpdateAssociation{ID: id, Role: arn(newRole)} }, remedy.Hold, "update-addon"},
		"add-on, delete": {"arn:aws:eks:eu-west-1:123456789012:addon/irsa-lab/x/1", func(id string) plan.Action { return plan.DeleteAssociation{ID: id} }, remedy.Hold, "update-addon"},
		"other ID, update": {"", func(string) plan.Action {
			return plan.UpdateAssociation{ID: "a-00000000000000000", Role: arn(newRole)}
		}, remedy.Replan, "a-00000000000000000"},
		"other ID, delete": {"", func(string) plan.Action { return plan.DeleteAssociation{ID: "a-00000000000000000"} }, remedy.Replan, "a-00000000000000000"},
		"create over":      {"", func(string) plan.Action { return plan.CreateAssociation{Role: arn(newRole), Tags: marks} }, remedy.Replan, "another association"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, err := w.aws.PutAssociation(awsd.Association{Cluster: cluster.ARN(), Namespace: "demo", ServiceAccount: "reader", RoleARN: oldRole, OwnerARN: tt.owner})
			w.must(err)
			check(t, w.apply(plan.Step{Subject: subject, Action: tt.action(a.ID)})[0], report.Skipped, tt.class, tt.part)
			if got, _ := w.association(); w.mutations() != 0 || got.RoleARN != oldRole {
				t.Errorf("got %d writes, role %s; want none and %s", w.mutations(), got.RoleARN, oldRole)
			}
		})
	}
}

func TestAssociationSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	target := "arn:aws:iam::210987654321:role/shared"
	check(t, w.apply(plan.Step{Subject: subject, Action: plan.CreateAssociation{Role: arn(oldRole), TargetRole: arn(target), Tags: marks}})[0], report.Done, remedy.None)
	a, _ := w.association()
	if a.TargetRoleARN != target || a.DisableSessionTags || a.Policy != "" {
		t.Errorf("created: got %+v, want target %s, session tags on, no policy", a, target)
	}
	off := true
	update := plan.UpdateAssociation{ID: a.ID, SessionTagsOff: &off, SessionPolicy: policy}
	check(t, w.apply(plan.Step{Subject: subject, Action: update})[0], report.Done, remedy.None)
	if a, _ = w.association(); a.TargetRoleARN != target || a.RoleARN != oldRole || !a.DisableSessionTags || a.Policy != policy {
		t.Errorf("updated: got %+v, want only session tags and policy changed", a)
	}
	other := "arn:aws:iam::210987654321:role/other"
	check(t, w.apply(plan.Step{Subject: subject, Action: plan.UpdateAssociation{ID: a.ID, TargetRole: arn(other)}})[0], report.Done, remedy.None)
	if a, _ = w.association(); a.TargetRoleARN != other {
		t.Errorf("updated: got target %s, want %s", a.TargetRoleARN, other)
	}
}

// TestUsed keeps what a live pod uses, though nothing used it when it was planned.
func TestUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := edited(t, foreignTrust, subject)
	w.must(w.aws.PutRole(awsd.Role{ARN: oldRole, Trust: text}))
	w.must(w.kube.Seed(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "reader-1"}, Spec: corev1.PodSpec{ServiceAccountName: "reader"}}))
	s := plan.Step{Subject: subject, Effect: plan.Narrow, Action: plan.DropTrustStatement{Role: arn(oldRole), Sid: irsaGrant(subject).Sid()},
		Guards: []plan.Guard{plan.TrustIs{Role: arn(oldRole), Digest: digest(t, text)}, plan.Unused{Subject: subject, Mechanism: identity.IRSA, Role: arn(oldRole)}}}
	check(t, w.apply(s)[0], report.Skipped, remedy.Replan, "pod reader-1 uses it")
	if w.mutations() != 0 {
		t.Errorf("got %d writes, want none", w.mutations())
	}
}
