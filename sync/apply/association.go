package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// associationCreate creates the subject's association. The client token is the SDK's,
// new for each call: the key, namespace and ServiceAccount, is the idempotence.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html
type associationCreate struct {
	a      *Applier
	step   plan.Step
	action plan.CreateAssociation
	want   live.Association
}

func (w *associationCreate) value() string { return summary(w.want) }

func (w *associationCreate) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	w.want = live.Association{
		Namespace: w.step.Subject.Namespace, ServiceAccount: w.step.Subject.ServiceAccount, Described: true,
		Role: w.action.Role, TargetRole: w.action.TargetRole,
		SessionTagsOff: w.action.SessionTagsOff, SessionPolicy: w.action.SessionPolicy, Tags: w.action.Tags,
	}
	got, presence := fresh.Association(w.step.Subject)
	switch {
	case presence == live.Unknown:
		return "", false, unreadable("the association of %s", w.step.Subject)
	case presence == live.Absent:
		return "", false, nil
	case w.meant(got):
		return summary(got), true, nil
	}
	return "", false, stale("%s has another association, %s", w.step.Subject, got.ID)
}

// meant reports whether an association is the one to be created, our marks included:
// another's, however alike, is not ours to answer for.
func (w *associationCreate) meant(got live.Association) bool {
	for key, value := range w.want.Tags {
		if got.Tags[key] != value {
			return false
		}
	}
	return alike(got, w.want)
}

func (w *associationCreate) write(ctx context.Context) error {
	out, err := w.a.opts.EKS.CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
		ClusterName: &w.a.opts.Cluster.Name, Namespace: &w.want.Namespace, ServiceAccount: &w.want.ServiceAccount,
		RoleArn: given(w.want.Role.String()), TargetRoleArn: given(w.want.TargetRole.String()), Policy: given(w.want.SessionPolicy),
		DisableSessionTags: &w.want.SessionTagsOff, Tags: maps.Clone(w.want.Tags),
	}, once)
	if err != nil {
		return remedy.Mark(classAWS(err), fmt.Errorf("create association of %s: %w", w.step.Subject, err))
	}
	if out.Association != nil {
		w.want.ID = aws.ToString(out.Association.AssociationId)
	}
	return nil
}

func (w *associationCreate) readBack(ctx context.Context) (string, bool, error) {
	got, presence, err := w.a.association(ctx, w.step.Subject)
	return summary(got), presence == live.Present && w.meant(got), err
}

// associationUpdate changes the subject's association in place.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdatePodIdentityAssociation.html
type associationUpdate struct {
	a      *Applier
	step   plan.Step
	action plan.UpdateAssociation
	want   live.Association
}

func (w *associationUpdate) value() string { return summary(w.want) }

func (w *associationUpdate) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	got, presence := fresh.Association(w.step.Subject)
	switch {
	case presence == live.Unknown:
		return "", false, unreadable("the association of %s", w.step.Subject)
	case got.ID != w.action.ID:
		return "", false, stale("the association of %s is %q, not %q", w.step.Subject, got.ID, w.action.ID)
	}
	w.want = got
	if !w.action.Role.IsZero() {
		w.want.Role = w.action.Role
	}
	if !w.action.TargetRole.IsZero() {
		w.want.TargetRole = w.action.TargetRole
	}
	if w.action.SessionTagsOff != nil {
		w.want.SessionTagsOff = *w.action.SessionTagsOff
	}
	if w.action.SessionPolicy != "" {
		w.want.SessionPolicy = w.action.SessionPolicy
	}
	return summary(got), alike(got, w.want), addonOwned(got)
}

func (w *associationUpdate) write(ctx context.Context) error {
	_, err := w.a.opts.EKS.UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{
		ClusterName: &w.a.opts.Cluster.Name, AssociationId: &w.action.ID,
		RoleArn: given(w.action.Role.String()), TargetRoleArn: given(w.action.TargetRole.String()), Policy: given(w.action.SessionPolicy),
		DisableSessionTags: w.action.SessionTagsOff,
	}, once)
	if err != nil {
		return remedy.Mark(classAWS(err), fmt.Errorf("update association %s of %s: %w", w.action.ID, w.step.Subject, err))
	}
	return nil
}

func (w *associationUpdate) readBack(ctx context.Context) (string, bool, error) {
	got, presence, err := w.a.association(ctx, w.step.Subject)
	return summary(got), presence == live.Present && got.ID == w.action.ID && alike(got, w.want), err
}

// associationDelete deletes an association by ID.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_DeletePodIdentityAssociation.html
type associationDelete struct {
	a      *Applier
	step   plan.Step
	action plan.DeleteAssociation
}

func (w *associationDelete) value() string { return "" }

func (w *associationDelete) prepare(_ context.Context, fresh *live.Snapshot) (string, bool, error) {
	got, presence := fresh.Association(w.step.Subject)
	switch {
	case presence == live.Unknown:
		return "", false, unreadable("the association of %s", w.step.Subject)
	case presence == live.Absent:
		return "", true, nil
	case got.ID != w.action.ID:
		return "", false, stale("the association of %s is %q, not %q", w.step.Subject, got.ID, w.action.ID)
	}
	return summary(got), false, addonOwned(got)
}

func (w *associationDelete) write(ctx context.Context) error {
	_, err := w.a.opts.EKS.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{
		ClusterName: &w.a.opts.Cluster.Name, AssociationId: &w.action.ID,
	}, once)
	if err != nil { // that it is gone already is an error too; the read-back shows that it is
		return remedy.Mark(classAWS(err), fmt.Errorf("delete association %s of %s: %w", w.action.ID, w.step.Subject, err))
	}
	return nil
}

func (w *associationDelete) readBack(ctx context.Context) (string, bool, error) {
	got, _, err := w.a.association(ctx, w.step.Subject)
	return summary(got), err == nil && got.ID != w.action.ID, err
}

// association reads the subject's association back. One that cannot be read is an error.
func (a *Applier) association(ctx context.Context, s identity.Subject) (live.Association, live.Presence, error) {
	fresh, err := a.lookAt(ctx, s)
	if err != nil {
		return live.Association{}, live.Unknown, err
	}
	got, presence := fresh.Association(s)
	if presence == live.Unknown {
		return live.Association{}, presence, unreadable("the association of %s", s)
	}
	return got, presence, nil
}

// once makes the SDK send a write once. Who sends it again has looked again first.
func once(o *eks.Options) { o.RetryMaxAttempts = 1 }

// given returns nil for an empty text, which EKS takes as "not given".
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// addonOwned refuses to write to what an EKS add-on owns: only UpdateAddon changes it
// for good, whatever was adopted.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/add-ons-iam.html
func addonOwned(a live.Association) error {
	if a.OwnerARN == "" {
		return nil
	}
	return remedy.Mark(remedy.Hold, fmt.Errorf("association %s belongs to EKS add-on %s: change it with aws eks update-addon", a.ID, a.OwnerARN))
}

// alike reports whether two associations give pods the same.
func alike(a, b live.Association) bool {
	return a.Role == b.Role && a.TargetRole == b.TargetRole && a.SessionTagsOff == b.SessionTagsOff && sameJSON(a.SessionPolicy, b.SessionPolicy)
}

// sameJSON compares two session policies by content: EKS may space them otherwise.
func sameJSON(a, b string) bool {
	var x, y any
	return a == b || json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// summary is an association's text for the record; none is "".
func summary(a live.Association) string {
	if a.Namespace == "" {
		return ""
	}
	b, err := json.Marshal(a)
	if err != nil {
		return a.ID // texts, times and a map of texts: it does not fail
	}
	return string(b)
}
