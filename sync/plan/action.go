package plan

import (
	"encoding/json"
	"fmt"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Action is a write. The list is sealed; each action is plain data.
//
//sumtype:decl
type Action interface {
	Kind() string   // stable, kebab-case
	String() string // for a person
	action()
}

// PutTrustStatement makes lanyard's own statement for a grant stand in a role's trust
// policy, beside whatever else stands there.
type PutTrustStatement struct {
	Role  identity.RoleARN
	Grant trust.Grant
	Quota int // characters; 0 if unknown
}

// MarshalJSON writes the statement itself, as IAM will hold it.
func (a PutTrustStatement) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Role      identity.RoleARN `json:"role"`
		Sid       string           `json:"sid"`
		Statement json.RawMessage  `json:"statement"`
		Quota     int              `json:"quota"`
	}{a.Role, a.Grant.Sid(), a.Grant.Statement(), a.Quota})
}

// DropTrustStatement removes lanyard's own statement from a role's trust policy.
type DropTrustStatement struct {
	Role identity.RoleARN `json:"role"`
	Sid  string           `json:"sid"`
}

// SetAnnotation sets one annotation of a ServiceAccount by server-side apply.
type SetAnnotation struct {
	UID   string `json:"uid"`
	Key   string `json:"key"`
	Value string `json:"value"`
	Old   string `json:"old,omitempty"`
	Force bool   `json:"force,omitempty"` // take it from its field manager; only where the mapping adopts it
}

// DropAnnotation removes one annotation of a ServiceAccount by JSON patch.
type DropAnnotation struct {
	UID string `json:"uid"`
	Key string `json:"key"`
	Old string `json:"old"`
}

// CreateAssociation creates the subject's Pod Identity association.
type CreateAssociation struct {
	Role           identity.RoleARN  `json:"role"`
	TargetRole     identity.RoleARN  `json:"targetRole,omitzero"`
	SessionTagsOff bool              `json:"sessionTagsOff,omitempty"`
	SessionPolicy  string            `json:"sessionPolicy,omitempty"`
	Tags           map[string]string `json:"tags"`
}

// UpdateAssociation changes the subject's association in place. Zero fields are left
// as they are: the API cannot clear a target role or a session policy.
type UpdateAssociation struct {
	ID             string           `json:"id"`
	Role           identity.RoleARN `json:"role,omitzero"`
	TargetRole     identity.RoleARN `json:"targetRole,omitzero"`
	SessionTagsOff *bool            `json:"sessionTagsOff,omitempty"`
	SessionPolicy  string           `json:"sessionPolicy,omitempty"`
}

// DeleteAssociation deletes an association that nothing live uses.
type DeleteAssociation struct {
	ID string `json:"id"`
}

// RevokeTrust takes what lets one request in out of a role's trust policy, whoever
// wrote it, and no more: only where the mapping adopts the plane.
type RevokeTrust struct {
	Role    identity.RoleARN
	Request trust.Request
}

// MarshalJSON writes what identifies the request.
func (a RevokeTrust) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Role    identity.RoleARN `json:"role"`
		Request request          `json:"request"`
	}{a.Role, requestOf(a.Request)})
}

// EvictPod asks the API server to evict one pod, so that its owner makes it again:
// disruption budgets count.
// Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
type EvictPod struct {
	Pod string `json:"pod"`
	UID string `json:"uid"`
}

// RestartWorkload makes a workload's own controller replace its pods, as kubectl rollout
// restart does; of an Argo Rollout, as its restartAt does.
// Sources: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/
// and https://argo-rollouts.readthedocs.io/en/stable/features/restart/
type RestartWorkload struct {
	Workload live.WorkloadRef `json:"workload"`
	UID      string           `json:"uid"`
	Old      string           `json:"old,omitempty"` // restartedAt as it was
}

// PauseRollout stops a rollout that is under way, and marks that lanyard did.
type PauseRollout struct {
	Workload live.WorkloadRef `json:"workload"`
	UID      string           `json:"uid"`
	Why      string           `json:"why"`
}

// ResumeRollout takes lanyard's own pause back, and its mark. What somebody else paused
// stays paused.
type ResumeRollout struct {
	Workload live.WorkloadRef `json:"workload"`
	UID      string           `json:"uid"`
}

func (RevokeTrust) action()        {}
func (EvictPod) action()           {}
func (RestartWorkload) action()    {}
func (PauseRollout) action()       {}
func (ResumeRollout) action()      {}
func (PutTrustStatement) action()  {}
func (DropTrustStatement) action() {}
func (SetAnnotation) action()      {}
func (DropAnnotation) action()     {}
func (CreateAssociation) action()  {}
func (UpdateAssociation) action()  {}
func (DeleteAssociation) action()  {}

// Kind returns "put-trust-statement".
func (PutTrustStatement) Kind() string { return "put-trust-statement" }

// Kind returns "drop-trust-statement".
func (DropTrustStatement) Kind() string { return "drop-trust-statement" }

// Kind returns "set-annotation".
func (SetAnnotation) Kind() string { return "set-annotation" }

// Kind returns "drop-annotation".
func (DropAnnotation) Kind() string { return "drop-annotation" }

// Kind returns "create-association".
func (CreateAssociation) Kind() string { return "create-association" }

// Kind returns "update-association".
func (UpdateAssociation) Kind() string { return "update-association" }

// Kind returns "delete-association".
func (DeleteAssociation) Kind() string { return "delete-association" }

// Kind returns "revoke-trust".
func (RevokeTrust) Kind() string { return "revoke-trust" }

// Kind returns "evict-pod".
func (EvictPod) Kind() string { return "evict-pod" }

// Kind returns "restart-workload".
func (RestartWorkload) Kind() string { return "restart-workload" }

// Kind returns "pause-rollout".
func (PauseRollout) Kind() string { return "pause-rollout" }

// Kind returns "resume-rollout".
func (ResumeRollout) Kind() string { return "resume-rollout" }

// String says what is written where.
func (a PutTrustStatement) String() string {
	return fmt.Sprintf("put %s statement %s into the trust policy of role %s", a.Grant.Mechanism, a.Grant.Sid(), a.Role.Name)
}

// String says what is removed where.
func (a DropTrustStatement) String() string {
	return fmt.Sprintf("drop statement %s from the trust policy of role %s", a.Sid, a.Role.Name)
}

// String says what is set.
func (a SetAnnotation) String() string { return fmt.Sprintf("set annotation %s=%s", a.Key, a.Value) }

// String says what is removed.
func (a DropAnnotation) String() string { return fmt.Sprintf("drop annotation %s=%s", a.Key, a.Old) }

// String says what is created.
func (a CreateAssociation) String() string {
	return "create the Pod Identity association with role " + a.Role.Name
}

// String says what is changed.
func (a UpdateAssociation) String() string {
	s := "update Pod Identity association " + a.ID
	if !a.Role.IsZero() {
		s += " to role " + a.Role.Name
	}
	if !a.TargetRole.IsZero() {
		s += ", target role " + a.TargetRole.Name
	}
	if a.SessionTagsOff != nil {
		s += map[bool]string{true: ", session tags off", false: ", session tags on"}[*a.SessionTagsOff]
	}
	if a.SessionPolicy != "" {
		s += ", session policy"
	}
	return s
}

// String says what is deleted.
func (a DeleteAssociation) String() string { return "delete Pod Identity association " + a.ID }

// String says what is taken out, and where.
func (a RevokeTrust) String() string {
	return fmt.Sprintf("take what lets %s in by %s out of the trust policy of role %s", a.Request.Subject, a.Request.Mechanism, a.Role.Name)
}

// String says what is evicted.
func (a EvictPod) String() string { return "evict pod " + a.Pod }

// String says what is restarted.
func (a RestartWorkload) String() string { return "restart " + a.Workload.String() }

// String says what is paused, and why.
func (a PauseRollout) String() string {
	return "pause the rollout of " + a.Workload.String() + ": " + a.Why
}

// String says what goes on.
func (a ResumeRollout) String() string { return "resume the rollout of " + a.Workload.String() }
