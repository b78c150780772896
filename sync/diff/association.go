package diff

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// compareAssociation compares the Pod Identity association. A correct one that
// others made is in sync; a wrong one that others made is association-foreign.
func (j *Judged) compareAssociation(snap *live.Snapshot) {
	m := j.Mapping
	a, presence := snap.Association(m.Subject)
	owner := OwnerOfAssociation(a, snap.Cluster())
	switch {
	case presence == live.Unknown:
		return
	case j.Wanted == identity.IRSA && presence == live.Present:
		j.add(Finding{Kind: AssociationUnexpected, Severity: Warning, Position: m.MechanismAt,
			Message:  "Git asks for IRSA, but an association stands, so every new pod gets Pod Identity; mode migrate moves it back",
			Expected: "none", Actual: a.Role.String(), Owner: owner})
		return
	case j.Wanted != identity.PodIdentity:
		return
	case presence == live.Absent:
		message := "there is no association, so new pods do not get Pod Identity"
		if j.inTransition() {
			message = "there is no association yet; mode migrate moves this workload from IRSA"
		}
		j.add(Finding{Kind: AssociationMissing, Severity: j.severity(Critical), Position: m.MechanismAt,
			Message: message, Expected: m.Role.String(), Actual: "none"})
		return
	}
	role, settings := a.Role != m.Role, AssociationDifference(m, a)
	if !role && len(settings) == 0 {
		return
	}
	if !MayTakeAssociation(m, a, snap.Cluster()) {
		wrong := settings
		if role {
			wrong = append([]string{"role"}, wrong...)
		}
		j.add(Finding{Kind: AssociationForeign, Severity: Critical, Position: m.RoleAt,
			Message:  fmt.Sprintf("the association is not lanyard's and differs from Git (%s); its owner must change it, or the mapping adopt it", strings.Join(wrong, ", ")),
			Expected: describe(m.Role, m.PodIdentity), Actual: describe(a.Role, settingsOf(a)), Owner: owner})
		return
	}
	if role {
		j.add(Finding{Kind: AssociationRole, Severity: Critical, Position: m.RoleAt,
			Message:  "the association gives pods another role: " + roleDifference(m.Role, a.Role.String()),
			Expected: m.Role.String(), Actual: a.Role.String(), Owner: owner})
	}
	if len(settings) > 0 {
		j.add(Finding{Kind: AssociationSettings, Severity: Warning,
			Message:  "the association's settings are not as Git has them: " + strings.Join(settings, ", "),
			Expected: describe(identity.RoleARN{}, m.PodIdentity), Actual: describe(identity.RoleARN{}, settingsOf(a)), Owner: owner})
	}
}

// MayTakeAssociation reports whether lanyard may write an association: it bears our
// mark, or the mapping adopts the plane, and no EKS add-on owns it.
func MayTakeAssociation(m desired.Mapping, a live.Association, c identity.Cluster) bool {
	return a.OwnerARN == "" && (m.Adopt.Association || Ours(a, c))
}

// AssociationDifference names the settings, role apart, in which an association
// differs from the mapping.
func AssociationDifference(m desired.Mapping, a live.Association) []string {
	var out []string
	if m.PodIdentity.SessionTags == a.SessionTagsOff {
		out = append(out, "sessionTags")
	}
	if m.PodIdentity.TargetRole != a.TargetRole {
		out = append(out, "targetRoleARN")
	}
	if !sameJSON(m.PodIdentity.SessionPolicy, a.SessionPolicy) {
		out = append(out, "sessionPolicy")
	}
	return out
}

// sameJSON compares two policies by content, whatever their spacing.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

func settingsOf(a live.Association) desired.PodIdentity {
	return desired.PodIdentity{SessionTags: !a.SessionTagsOff, TargetRole: a.TargetRole, SessionPolicy: a.SessionPolicy}
}

// describe writes an association's content in one line.
func describe(role identity.RoleARN, p desired.PodIdentity) string {
	var parts []string
	if !role.IsZero() {
		parts = append(parts, role.String())
	}
	if p.SessionTags {
		parts = append(parts, "session tags on")
	} else {
		parts = append(parts, "session tags off")
	}
	if !p.TargetRole.IsZero() {
		parts = append(parts, "target "+p.TargetRole.String())
	}
	if p.SessionPolicy != "" {
		parts = append(parts, "session policy "+p.SessionPolicy)
	}
	return strings.Join(parts, ", ")
}
