package diff

import (
	"fmt"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// TargetRequest returns the call that the trust policy of the mapping's target role
// must allow: EKS assumes the mapping's role, then, as that role, the target. The
// external ID is known only once an association stands.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (j *Judged) TargetRequest(c identity.Cluster, opts Options) trust.ChainRequest {
	return trust.ChainRequest{
		Caller:      j.Mapping.Role,
		Target:      j.Mapping.PodIdentity.TargetRole,
		Subject:     j.Mapping.Subject,
		Cluster:     c,
		SessionTags: j.Mapping.PodIdentity.SessionTags,
		ExternalID:  j.Association.ExternalID,
		OrgID:       opts.OrganizationID,
	}
}

// compareTarget judges the trust policy of the target role, which lanyard never
// writes: the mapping's own role is the one whose trust it keeps. What Git asks for
// is judged, not what the association has, so that a target which only the latter
// breaks does not stop its repair.
func (j *Judged) compareTarget(snap *live.Snapshot, opts Options) {
	target := j.Mapping.PodIdentity.TargetRole
	if j.Wanted != identity.PodIdentity || target.IsZero() {
		return
	}
	doc, presence, err := snap.Trust(target)
	switch {
	case presence == live.Unknown:
		j.Unknown = append(j.Unknown, "target role "+target.String())
		j.Target = trust.Verdict{Decision: trust.Undecidable, Cause: trust.Unknowable, Statement: -1, Reason: "the target role could not be read"}
		return
	case presence == live.Absent:
		j.Target = trust.Verdict{Decision: trust.Deny, Cause: trust.NoStatement, Statement: -1, Reason: "the target role does not exist"}
		j.add(Finding{Kind: RoleMissing, Severity: Critical,
			Message:  "target role " + target.String() + " does not exist, so pods get no credentials; lanyard never creates one",
			Expected: target.String(), Actual: "none"})
		return
	case err != nil:
		j.Target = trust.Verdict{Decision: trust.Undecidable, Cause: trust.BadDocument, Statement: -1, Reason: err.Error()}
	default:
		j.Target = doc.EvaluateChain(j.TargetRequest(snap.Cluster(), opts))
	}
	j.reportTarget(snap)
}

// reportTarget records a finding if the target role does not surely let the
// mapping's role in.
func (j *Judged) reportTarget(snap *live.Snapshot) {
	m, v := j.Mapping, j.Target
	calls := "sts:AssumeRole"
	if m.PodIdentity.SessionTags {
		calls += " and sts:TagSession"
	}
	target := m.PodIdentity.TargetRole
	role, _ := snap.Role(target)
	f := Finding{Severity: j.severity(Critical), Owner: OwnerOfRole(role), Actual: "it may not",
		Message: fmt.Sprintf("target role %s does not let %s in, so pods get no credentials: %s; its trust policy must allow %s to that role for this ServiceAccount",
			target, m.Role, v.Reason, calls),
		Expected: fmt.Sprintf("%s may call %s on %s", m.Role, calls, target)}
	switch {
	case v.Decision == trust.Allow:
		return
	case v.Decision == trust.Undecidable:
		f.Kind, f.Severity, f.Actual = TrustUndecidable, j.severity(Warning), "it cannot be told"
		f.Message = fmt.Sprintf("it cannot be told whether target role %s lets %s in: %s; nothing is built on it until its trust policy surely allows %s to that role",
			target, m.Role, v.Reason, calls)
	case v.Cause == trust.NoTagSession:
		f.Kind = TrustTagSessionMissing
	default:
		f.Kind = TrustPodIdentityMissing
	}
	j.add(f)
}
