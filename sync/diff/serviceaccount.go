package diff

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// compareServiceAccount compares the annotations.
func (j *Judged) compareServiceAccount(snap *live.Snapshot) {
	m := j.Mapping
	a, presence := snap.ServiceAccount(m.Subject)
	switch presence {
	case live.Unknown:
		return
	case live.Absent:
		j.add(Finding{Kind: ServiceAccountMissing, Severity: Warning,
			Message:  "the ServiceAccount does not exist; lanyard never creates one, and does nothing about this mapping until it is there",
			Expected: "ServiceAccount " + m.Subject.String(), Actual: "none"})
		return
	}
	role := a.Annotations[AnnotationRole]
	switch {
	case j.Wanted == identity.IRSA && role == "":
		j.add(Finding{Kind: AnnotationMissing, Severity: j.severity(Critical), Position: m.RoleAt,
			Message:  "the ServiceAccount has no role annotation, so new pods get no role",
			Expected: m.Role.String(), Actual: "none", Owner: OwnerOfAnnotation(a, AnnotationRole)})
	case j.Wanted == identity.IRSA && role != m.Role.String():
		j.add(Finding{Kind: AnnotationMismatch, Severity: j.severity(Critical), Position: m.RoleAt,
			Message:  "the ServiceAccount's annotation names another role: " + roleDifference(m.Role, role),
			Expected: m.Role.String(), Actual: role, Owner: OwnerOfAnnotation(a, AnnotationRole)})
	case j.Wanted == identity.PodIdentity && role != "" && j.HasAssociation && m.Migration.Cleanup != desired.CleanupKeepAnnotation:
		j.add(Finding{Kind: AnnotationUnexpected, Severity: Info, Position: m.MechanismAt,
			Message:  "the annotation is left over from IRSA; the webhook ignores it beside an association, other readers do not; mode migrate removes it",
			Expected: "none", Actual: role, Owner: OwnerOfAnnotation(a, AnnotationRole)})
	}
	if j.Wanted == identity.IRSA {
		j.compareTuning(a)
	}
}

// Tuning returns the annotations that the mapping manages besides the role's. A
// setting that Git does not name is not managed, and never written.
func Tuning(m desired.Mapping) map[string]string {
	t := map[string]string{}
	if m.IRSA.Audience != "" {
		t[AnnotationAudience] = m.IRSA.Audience
	}
	if m.IRSA.TokenExpiration != 0 {
		t[AnnotationExpiration] = strconv.Itoa(int(m.IRSA.TokenExpiration.Seconds()))
	}
	if m.IRSA.STSRegionalEndpoints != nil {
		t[AnnotationRegional] = strconv.FormatBool(*m.IRSA.STSRegionalEndpoints)
	}
	return t
}

func (j *Judged) compareTuning(a live.ServiceAccount) {
	want := Tuning(j.Mapping)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		got, there := a.Annotations[key]
		if SameTuning(key, want[key], a.Annotations) {
			continue
		}
		actual := got
		if !there {
			actual = "none"
		}
		j.add(Finding{Kind: AnnotationTuning, Severity: Warning,
			Message:  fmt.Sprintf("annotation %s is not as Git has it", key),
			Expected: want[key], Actual: actual, Owner: OwnerOfAnnotation(a, key)})
	}
}

// SameTuning reports whether one of the annotations of [Tuning] is as wanted, by what the
// webhook makes of it: no audience annotation means the default one, and
// sts-regional-endpoints is a Go bool.
func SameTuning(key, want string, annotations map[string]string) bool {
	got, there := annotations[key]
	switch key {
	case AnnotationAudience:
		return want == got || (want == DefaultAudience && !there)
	case AnnotationRegional:
		g, err := strconv.ParseBool(got)
		return err == nil && strconv.FormatBool(g) == want
	}
	return want == got
}

// severity lowers what is only a step not yet taken: while a subject is still on the
// other mechanism, the missing parts of the wanted one harm nobody.
func (j *Judged) severity(s Severity) Severity {
	if j.inTransition() {
		return Info
	}
	return s
}

// roleDifference says which part of two ARNs differs: account, path or name.
func roleDifference(want identity.RoleARN, got string) string {
	g, err := identity.ParseRoleARN(got)
	switch {
	case err != nil:
		return "it is not a role ARN"
	case g.Partition != want.Partition:
		return fmt.Sprintf("partition %s instead of %s", g.Partition, want.Partition)
	case g.Account != want.Account:
		return fmt.Sprintf("account %s instead of %s", g.Account, want.Account)
	case g.Path != want.Path:
		return fmt.Sprintf("path %s instead of %s", g.Path, want.Path)
	}
	return fmt.Sprintf("%s instead of %s", g.Name, want.Name)
}
