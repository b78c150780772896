package diff

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Audiences returns the audiences that the role's trust policy must allow, the one
// that Git asks for first: besides it, the one that the annotation gives to pods
// admitted now, if that works today, and those of live pods' tokens. What the OIDC
// provider does not accept works nowhere, and is not waited for.
func (j *Judged) Audiences() []string { return j.audiences }

// collectAudiences works them out.
func (j *Judged) collectAudiences(snap *live.Snapshot, opts Options) {
	m, c := j.Mapping, snap.Cluster()
	annotations := j.ServiceAccount.Annotations
	today := cmp.Or(annotations[AnnotationAudience], DefaultAudience)
	j.audiences = []string{cmp.Or(m.IRSA.Audience, today)}
	provider, presence := snap.Provider(c.Issuer.ProviderARN(m.Role.Partition, m.Role.Account))
	add := func(audience string) {
		if presence == live.Present && slices.Contains(provider.ClientIDs, audience) && !slices.Contains(j.audiences, audience) {
			j.audiences = append(j.audiences, audience)
		}
	}
	if current, err := identity.ParseRoleARN(annotations[AnnotationRole]); err == nil && j.works(snap, opts, current, today) {
		add(today)
	}
	var carried []string
	for _, p := range j.users {
		for _, c := range p.Containers {
			if c.Role == m.Role.String() && c.Audience != "" {
				carried = append(carried, c.Audience)
			}
		}
	}
	slices.Sort(carried)
	for _, audience := range carried {
		add(audience)
	}
}

// works reports whether a token with an audience is let in by a role today. A role
// that was not read may let it in.
func (j *Judged) works(snap *live.Snapshot, opts Options, role identity.RoleARN, audience string) bool {
	doc, presence, err := snap.Trust(role)
	if presence == live.Unknown {
		return true
	}
	if presence == live.Absent || err != nil {
		return false
	}
	c := snap.Cluster()
	return doc.Evaluate(trust.Request{Mechanism: identity.IRSA, Subject: j.Mapping.Subject, Cluster: c, OrgID: opts.OrganizationID,
		Provider: c.Issuer.ProviderARN(role.Partition, role.Account), Audience: audience}).Decision == trust.Allow
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
		SessionTags: j.Mapping.PodIdentity.SessionTags || j.standingTags && !j.Association.SessionTagsOff,
	}
}

// Requests returns the calls that the role's trust policy must allow for a
// mechanism: with IRSA one for each of [Judged.Audiences], with Pod Identity one for
// the way of session tags that Git asks for, and one for the association's, if that
// is another and works today.
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
		if j.standingTags {
			r.SessionTags = !j.Association.SessionTagsOff
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
	j.collectAudiences(snap, opts)
	if a := j.Association; j.HasAssociation && a.Role == arn && a.SessionTagsOff == j.Mapping.PodIdentity.SessionTags {
		j.standingTags = doc.Evaluate(trust.Request{Mechanism: identity.PodIdentity, Subject: j.Mapping.Subject, Cluster: snap.Cluster(),
			OrgID: opts.OrganizationID, SessionTags: !a.SessionTagsOff}).Decision == trust.Allow
	}
	j.Trust = j.judgeTrust(snap, opts, role, j.Wanted, j.severity(Critical))
	j.compareWidth(snap, opts, role)
	for _, lives := range j.LivesOn() {
		if j.inTransition() && lives != j.Wanted {
			j.judgeTrust(snap, opts, role, lives, Critical)
		}
	}
	for _, mechanism := range []identity.Mechanism{j.Wanted, j.On} {
		if mechanism == identity.IRSA {
			j.compareProvider(snap)
			return
		}
	}
}

// Allows reports whether the role's trust policy surely lets the subject in by a
// mechanism.
func (j *Judged) Allows(c identity.Cluster, m identity.Mechanism, opts Options) bool {
	return j.Document != nil && !slices.ContainsFunc(j.Requests(c, m, opts), func(r trust.Request) bool { return j.Document.Evaluate(r).Decision != trust.Allow })
}

// RoleInUse returns the role that a pod admitted now would get.
func (j *Judged) RoleInUse() string {
	if j.On == identity.PodIdentity {
		return j.Association.Role.String()
	}
	return j.ServiceAccount.Annotations[AnnotationRole]
}

// LivesOn returns the mechanisms by which pods have the mapping's own role now: what one
// admitted now would be given, and what those that run were. A pod that takes its role
// from a reference may have it.
func (j *Judged) LivesOn() (by []identity.Mechanism) {
	role := j.Mapping.Role.String()
	if j.On != identity.None && j.RoleInUse() == role {
		by = append(by, j.On)
	}
	irsa := slices.ContainsFunc(j.Pods, func(p live.Pod) bool {
		return slices.ContainsFunc(p.Containers, func(c live.Container) bool {
			return c.Role == role || c.Role == "" && (c.Credential == live.CredentialIRSA || c.Credential == live.CredentialBoth)
		})
	})
	if irsa && j.On != identity.IRSA || irsa && len(by) == 0 {
		by = append(by, identity.IRSA)
	}
	return by
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
