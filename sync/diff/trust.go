package diff

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Audiences returns every audience that tokens for the mapping's role may carry:
// the one that Git asks for, the one that the annotation asks for today, and those
// of live pods. A trust statement must allow them all until the old ones are gone.
func (j *Judged) Audiences() []string {
	today := j.ServiceAccount.Annotations[AnnotationAudience]
	if today == "" {
		today = DefaultAudience
	}
	wanted := j.Mapping.IRSA.Audience
	if wanted == "" {
		wanted = today
	}
	all := []string{wanted}
	if j.ServiceAccount.Annotations[AnnotationRole] == j.Mapping.Role.String() {
		all = append(all, today)
	}
	for _, p := range j.Pods {
		for _, c := range p.Containers {
			if c.Credential == live.CredentialIRSA && c.Role == j.Mapping.Role.String() && c.Audience != "" {
				all = append(all, c.Audience)
			}
		}
	}
	slices.Sort(all[1:])
	var unique []string
	for _, a := range all {
		if !slices.Contains(unique, a) {
			unique = append(unique, a)
		}
	}
	return unique
}

// Grant returns lanyard's own statement for the mapping and a mechanism.
func (j *Judged) Grant(c identity.Cluster, m identity.Mechanism) trust.Grant {
	return trust.Grant{
		Mechanism:   m,
		Subject:     j.Mapping.Subject,
		Cluster:     c,
		Provider:    c.Issuer.ProviderARN(j.Mapping.Role.Partition, j.Mapping.Role.Account),
		Audiences:   j.Audiences(),
		Width:       j.Mapping.PodIdentity.Trust,
		SessionTags: j.Mapping.PodIdentity.SessionTags,
	}
}

// Requests returns the calls that the role's trust policy must allow for a
// mechanism: with IRSA one for each audience, with Pod Identity one for each way of
// session tags that Git asks for or the association has.
func (j *Judged) Requests(c identity.Cluster, m identity.Mechanism, opts Options) []trust.Request {
	r := trust.Request{
		Mechanism:    m,
		Subject:      j.Mapping.Subject,
		Cluster:      c,
		OrgID:        opts.OrganizationID,
		IgnoreOthers: true,
	}
	var all []trust.Request
	switch m {
	case identity.IRSA:
		r.Provider = c.Issuer.ProviderARN(j.Mapping.Role.Partition, j.Mapping.Role.Account)
		for _, audience := range j.Audiences() {
			r.Audience = audience
			all = append(all, r)
		}
	case identity.PodIdentity:
		r.SessionTags = j.Mapping.PodIdentity.SessionTags
		all = append(all, r)
		if j.HasAssociation && j.Association.SessionTagsOff == r.SessionTags {
			r.SessionTags = !r.SessionTags
			all = append(all, r)
		}
	}
	return all
}

// compareTrust judges the role's trust policy for the wanted mechanism, and, while
// the subject is still on the other one with the same role, for that one too.
func (j *Judged) compareTrust(snap *live.Snapshot, opts Options) {
	arn := j.Mapping.Role
	role, presence := snap.Role(arn)
	switch presence {
	case live.Unknown:
		return
	case live.Absent:
		j.add(Finding{Kind: RoleMissing, Severity: Critical, Position: j.Mapping.RoleAt,
			Message:  "the role does not exist; lanyard never creates one",
			Expected: arn.String(), Actual: "none"})
		return
	}
	doc, _, err := snap.Trust(arn)
	if err != nil {
		j.Trust = trust.Verdict{Decision: trust.Undecidable, Cause: trust.BadDocument, Statement: -1, Reason: err.Error()}
		j.add(Finding{Kind: TrustUndecidable, Severity: Warning, Position: j.Mapping.RoleAt,
			Message:  "the role's trust policy cannot be read as one, so it is neither judged nor edited: " + err.Error(),
			Expected: "a trust policy", Actual: "a document that does not parse", Owner: OwnerOfRole(role)})
		return
	}
	j.Document = doc
	if j.Wanted == identity.None {
		return
	}
	j.Trust = j.judgeTrust(snap, opts, role, j.Wanted, j.severity(Critical))
	j.compareWidth(snap, opts, role)
	if lives := j.LivesOn(); j.inTransition() && lives != identity.None {
		j.judgeTrust(snap, opts, role, lives, Critical)
	}
	for _, mechanism := range []identity.Mechanism{j.Wanted, j.On} {
		if mechanism == identity.IRSA {
			j.compareProvider(snap)
			return
		}
	}
}

// RoleInUse returns the role that a pod admitted now would get.
func (j *Judged) RoleInUse() string {
	if j.On == identity.PodIdentity {
		return j.Association.Role.String()
	}
	return j.ServiceAccount.Annotations[AnnotationRole]
}

// LivesOn returns the mechanism by which pods have the mapping's own role now, while
// another is wanted; None if they have another role, or none.
func (j *Judged) LivesOn() identity.Mechanism {
	role := j.Mapping.Role.String()
	if j.RoleInUse() == role {
		return j.On
	}
	for _, p := range j.Pods {
		for _, c := range p.Containers {
			if c.Role == role {
				return identity.IRSA
			}
		}
	}
	return identity.None
}

// judgeTrust returns the worst verdict over a mechanism's requests, and records it
// as a finding if it is not Allow.
func (j *Judged) judgeTrust(snap *live.Snapshot, opts Options, role live.Role, m identity.Mechanism, severity Severity) trust.Verdict {
	var worst trust.Verdict
	for i, request := range j.Requests(snap.Cluster(), m, opts) {
		v := j.Document.Evaluate(request)
		if i == 0 || worst.Decision == trust.Allow {
			worst = v
		}
		if v.Decision != trust.Allow {
			break
		}
	}
	if worst.Decision == trust.Allow {
		return worst
	}
	f := Finding{Severity: severity, Position: j.Mapping.RoleAt, Owner: OwnerOfRole(role), Message: worst.Reason,
		Expected: fmt.Sprintf("%s may assume %s by %s", j.Mapping.Subject, role.ARN, m), Actual: "it may not"}
	switch {
	case worst.Decision == trust.Undecidable:
		f.Kind, f.Actual = TrustUndecidable, "it cannot be told"
		if severity == Critical {
			f.Severity = Warning
		}
	case m == identity.PodIdentity && worst.Cause == trust.NoTagSession:
		f.Kind = TrustTagSessionMissing
	case m == identity.PodIdentity:
		f.Kind = TrustPodIdentityMissing
	case worst.Cause == trust.OtherIssuer:
		f.Kind = TrustIssuerStale
	case worst.Cause == trust.OtherAudience:
		f.Kind = TrustAudienceWrong
	default:
		f.Kind = TrustSubjectMissing
	}
	j.add(f)
	return worst
}

// compareWidth reports who else the policy lets in by the wanted mechanism.
func (j *Judged) compareWidth(snap *live.Snapshot, opts Options, role live.Role) {
	if j.Trust.Decision != trust.Allow {
		return
	}
	width := identity.WidthPinned
	if j.Wanted == identity.PodIdentity {
		width = j.Mapping.PodIdentity.Trust
	}
	request := j.Requests(snap.Cluster(), j.Wanted, opts)[0]
	if v, wide := j.Document.Excess(request, width); wide {
		owner := OwnerOfRole(role)
		if trust.IsLanyardSid(v.Sid) {
			owner = "lanyard"
		}
		j.add(Finding{Kind: TrustTooWide, Severity: Warning, Position: j.Mapping.RoleAt, Owner: owner,
			Message:  v.Reason,
			Expected: "trust of width " + width.String(), Actual: "more are let in"})
		return
	}
	if own := j.Grant(snap.Cluster(), j.Wanted); j.OwnStatementDiffers(own) {
		j.add(Finding{Kind: TrustTooWide, Severity: Warning, Position: j.Mapping.RoleAt, Owner: "lanyard",
			Message:  fmt.Sprintf("lanyard's own statement %s allows more than Git asks for and live pods need", own.Sid()),
			Expected: string(own.Statement()), Actual: "a wider statement of the same Sid"})
	}
}

// OwnStatementDiffers reports whether lanyard's statement for a grant stands in the
// role's trust policy, and means something else than lanyard would write now.
func (j *Judged) OwnStatementDiffers(g trust.Grant) bool {
	own := j.Document.Statements()
	i := slices.IndexFunc(own, func(s trust.Statement) bool { return s.Sid == g.Sid() })
	if i < 0 || bytes.Equal(own[i].Raw, g.Statement()) {
		return false
	}
	edit, err := j.Document.Add(g, 0) // by meaning: spacing and order are the same
	return err == nil && edit.Changed
}

// compareProvider checks the IAM OIDC provider that an IRSA statement names. A
// missing one, or a missing client ID, is a handoff: providers are never written.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/enable-iam-roles-for-service-accounts.html
func (j *Judged) compareProvider(snap *live.Snapshot) {
	arn := snap.Cluster().Issuer.ProviderARN(j.Mapping.Role.Partition, j.Mapping.Role.Account)
	severity := Critical
	if j.On != identity.IRSA {
		severity = j.severity(Critical)
	}
	provider, presence := snap.Provider(arn)
	switch presence {
	case live.Unknown:
		j.Unknown = append(j.Unknown, "OIDC provider "+arn)
		return
	case live.Absent:
		j.add(Finding{Kind: OIDCProviderMissing, Severity: severity, Position: j.Mapping.RoleAt,
			Message:  fmt.Sprintf("account %s has no OIDC provider for this cluster's issuer, so no token of it is accepted there; lanyard never creates one", j.Mapping.Role.Account),
			Expected: arn, Actual: "none"})
		return
	}
	for _, audience := range j.Audiences() {
		if !slices.Contains(provider.ClientIDs, audience) {
			j.add(Finding{Kind: OIDCAudienceMissing, Severity: severity, Position: j.Mapping.RoleAt,
				Message:  fmt.Sprintf("the OIDC provider does not accept tokens with audience %s; lanyard never changes a provider", audience),
				Expected: audience, Actual: fmt.Sprint(provider.ClientIDs)})
		}
	}
}
