package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// repairTrust plans the trust policy of the mapping's role for a mechanism, and
// reports whether it already lets the ServiceAccount in.
func (b *builder) repairTrust(j *diff.Judged, mechanism identity.Mechanism) (ready bool) {
	m := j.Mapping
	say := func(r Reason, format string, args ...any) {
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	if _, presence := b.in.Snapshot.Role(m.Role); presence == live.Absent {
		say(OwnerMustAct, "create role %s; lanyard never creates one", m.Role)
		return false
	}
	if j.Document == nil {
		say(Undecidable, "the trust policy of role %s cannot be read as one, so it is not edited", m.Role.Name)
		return false
	}
	doc := b.document(m.Role)
	requests := j.Requests(b.cluster, mechanism, b.in.Policy.Diff)
	verdict := evaluate(j.Document, requests)
	switch verdict.Decision {
	case trust.Allow:
		return true
	case trust.Deny:
	default:
		say(Undecidable, "the trust policy of role %s cannot be judged, so it is neither edited nor built on: %s", m.Role.Name, verdict.Reason)
		return false
	}
	grant := j.Grant(b.cluster, mechanism)
	if verdict.Cause == trust.ExplicitDeny {
		say(OwnerMustAct, "a Deny statement of role %s shuts this ServiceAccount out, and lanyard edits only its own statements: %s", m.Role.Name, verdict.Reason)
		return false
	}
	if !m.Adopt.Trust && !hasSid(j.Document, grant.Sid()) {
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
			Message: fmt.Sprintf("role %s must trust this ServiceAccount (%s): add the statement where the role is made, or let the mapping adopt: [trust]", m.Role.Name, verdict.Reason),
			Handoff: &Handoff{Owner: b.ownerOfRole(m.Role), What: "add this statement to the trust policy of role " + m.Role.Name, JSON: string(grant.Statement()), HCL: grant.HCL()}})
		return false
	}
	quota, _ := b.in.Snapshot.TrustQuota(m.Role.Account)
	grant.Audiences = union(grant.Audiences, ownAudiences(doc, grant))
	edit, err := doc.Add(grant, quota)
	if err != nil {
		b.trustRefused(j, err)
		return false
	}
	if user := b.loses(m.Role, doc, edit.Document); user != "" {
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: InUse,
			Message: fmt.Sprintf("lanyard's own statement in role %s must change (%s), but %s lives on what it would lose", m.Role.Name, verdict.Reason, user)})
		return false
	}
	if !edit.Changed || evaluate(edit.Document, requests).Decision != trust.Allow {
		say(OwnerMustAct, "lanyard's own statement stands in role %s, but the policy still does not allow: %s", m.Role.Name, verdict.Reason)
		return false
	}
	b.edit(edit, Step{Subject: m.Subject, Plane: diff.PlaneTrust, Effect: Widen,
		Action:  PutTrustStatement{Role: m.Role, Grant: grant, Quota: quota},
		Guards:  []Guard{TrustIs{Role: m.Role, Digest: doc.Digest()}},
		Because: fmt.Sprintf("%s (the policy grows from %d to %d of %s characters)", verdict.Reason, edit.Before, edit.After, limit(quota))})
	return false
}

// restoreOld keeps the role that pods are still on alive while Git already names
// another: until the annotation has crossed, and while live pods carry the old role,
// its trust is what they depend on.
func (b *builder) restoreOld(j *diff.Judged) {
	m := j.Mapping
	old, err := identity.ParseRoleARN(j.ServiceAccount.Annotations[diff.AnnotationRole])
	doc := b.document(old)
	if err != nil || old == m.Role || doc == nil || !m.Adopt.Trust || j.Wanted != identity.IRSA || !b.needed(m.Subject, identity.IRSA) {
		return
	}
	audience := cmp.Or(j.ServiceAccount.Annotations[diff.AnnotationAudience], diff.DefaultAudience)
	provider := b.cluster.Issuer.ProviderARN(old.Partition, old.Account)
	request := trust.Request{Mechanism: identity.IRSA, Subject: m.Subject, Cluster: b.cluster, Provider: provider, Audience: audience, OrgID: b.in.Policy.Diff.OrganizationID}
	verdict := doc.Evaluate(request)
	if verdict.Decision != trust.Deny || verdict.Cause == trust.ExplicitDeny {
		return
	}
	quota, _ := b.in.Snapshot.TrustQuota(old.Account)
	grant := trust.Grant{Mechanism: identity.IRSA, Subject: m.Subject, Cluster: b.cluster, Provider: provider, Audiences: []string{audience}}
	grant.Audiences = union(grant.Audiences, ownAudiences(doc, grant))
	edit, err := doc.Add(grant, quota)
	if err != nil {
		b.trustRefused(j, err)
		return
	}
	if edit.Changed && evaluate(edit.Document, []trust.Request{request}).Decision == trust.Allow {
		b.edit(edit, Step{Subject: m.Subject, Plane: diff.PlaneTrust, Effect: Widen,
			Action:  PutTrustStatement{Role: old, Grant: grant, Quota: quota},
			Guards:  []Guard{TrustIs{Role: old, Digest: doc.Digest()}},
			Because: "pods still have role " + old.Name + " until the change to " + m.Role.Name + " has crossed: " + verdict.Reason})
	}
}

// ownAudiences returns the audiences that lanyard's own statement for a grant allows
// now: a widening keeps them, narrowing drops them later.
func ownAudiences(doc *trust.Document, g trust.Grant) []string {
	for _, s := range doc.Statements() {
		if s.Sid != g.Sid() || g.Mechanism != identity.IRSA {
			continue
		}
		var st struct {
			Condition map[string]map[string]json.RawMessage
		}
		if json.Unmarshal(s.Raw, &st) != nil {
			return nil
		}
		raw := st.Condition["StringEquals"][g.Cluster.Issuer.HostPath()+":aud"]
		var one string
		var many []string
		if json.Unmarshal(raw, &one) == nil {
			return []string{one}
		}
		if json.Unmarshal(raw, &many) == nil {
			return many
		}
	}
	return nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func limit(quota int) string {
	if quota == 0 {
		return "an unknown number of"
	}
	return fmt.Sprint(quota)
}

func (b *builder) ownerOfRole(arn identity.RoleARN) string {
	role, _ := b.in.Snapshot.Role(arn)
	return diff.OwnerOfRole(role)
}

// evaluate returns the first verdict that is not Allow, else the last.
func evaluate(doc *trust.Document, requests []trust.Request) (v trust.Verdict) {
	for _, r := range requests {
		if v = doc.Evaluate(r); v.Decision != trust.Allow {
			return v
		}
	}
	return v
}

func hasSid(doc *trust.Document, sid string) bool {
	for _, s := range doc.Statements() {
		if s.Sid == sid {
			return true
		}
	}
	return false
}

// trustRefused turns an edit that cannot be made into a hold with a way out.
func (b *builder) trustRefused(j *diff.Judged, err error) {
	h := Hold{Subject: j.Mapping.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
		Message: fmt.Sprintf("the trust policy of role %s is not edited: %v", j.Mapping.Role.Name, err)}
	if q, full := errors.AsType[*trust.QuotaError](err); full {
		h.Reason = TrustFull
		widths := make([]string, len(q.Fits))
		for i, w := range q.Fits {
			widths[i] = w.String()
		}
		h.Message = fmt.Sprintf("the trust policy of role %s would have %d of %d characters; ", j.Mapping.Role.Name, q.After, q.Limit)
		if len(widths) > 0 {
			h.Message += "podIdentity.trust " + strings.Join(widths, " or ") + " would fit, or raise quota L-C07B4B0D, or take statements out"
		} else {
			h.Message += "raise quota L-C07B4B0D, or take statements out"
		}
	}
	b.hold(h)
}

// tooWide says who must narrow a policy that lets in more than Git asks for, and
// shrinks lanyard's own statement where it has become wider than needed.
func (b *builder) tooWide(j *diff.Judged) {
	if !j.Lacks(diff.TrustTooWide) {
		return
	}
	m := j.Mapping
	grant := j.Grant(b.cluster, j.Wanted)
	if j.OwnStatementDiffers(grant) {
		b.narrowOwn(j, grant)
		return
	}
	for _, f := range j.Findings {
		if f.Kind == diff.TrustTooWide && f.Owner != diff.FieldManager { // lanyard's own go as orphans
			b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
				Message: f.Message + ": narrow it where role " + m.Role.Name + " is made; lanyard edits only its own statements",
				Handoff: &Handoff{Owner: f.Owner, What: "add a statement like this one for every ServiceAccount that is to be let in, then take the wide one out", JSON: string(grant.Statement()), HCL: grant.HCL()}})
		}
	}
}

// narrowOwn rewrites lanyard's own statement to what Git asks for now, once nothing
// live needs more, and nothing else is under way for the subject.
func (b *builder) narrowOwn(j *diff.Judged, grant trust.Grant) {
	m := j.Mapping
	hold := func(r Reason, until time.Time, format string, args ...any) {
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: r, NotBefore: until,
			Message: fmt.Sprintf("lanyard's own statement in role %s allows more than Git asks for: ", m.Role.Name) + fmt.Sprintf(format, args...)})
	}
	if b.busy(m.Subject) {
		hold(Settling, time.Time{}, "something else is under way for this ServiceAccount; after that it is narrowed")
		return
	}
	doc := b.document(m.Role)
	quota, _ := b.in.Snapshot.TrustQuota(m.Role.Account)
	edit, err := doc.Add(grant, quota)
	if err != nil {
		b.trustRefused(j, err)
		return
	}
	if v := evaluate(edit.Document, j.Requests(b.cluster, j.Wanted, b.in.Policy.Diff)); v.Decision != trust.Allow {
		hold(OwnerMustAct, time.Time{}, "what lanyard would write does not allow it: %s", v.Reason)
		return
	}
	if user := b.loses(m.Role, doc, edit.Document); user != "" {
		hold(InUse, time.Time{}, "%s lives on it", user)
		return
	}
	condition := "own statement is wider: " + m.Subject.String() + " " + grant.Sid() + " " + string(grant.Statement())
	if until, ok := b.settled(condition, b.in.Policy.Settle); !ok {
		hold(Settling, until, "it is narrowed once nothing has needed more for %s", b.in.Policy.Settle)
		return
	}
	b.edit(edit, Step{Subject: m.Subject, Plane: diff.PlaneTrust, Effect: Narrow,
		Action:  PutTrustStatement{Role: m.Role, Grant: grant, Quota: quota},
		Guards:  append([]Guard{TrustIs{Role: m.Role, Digest: doc.Digest()}}, within(m.Subject, m.Role, grant)...),
		Because: "lanyard's own statement allows more than Git asks for and live pods need"})
}

// within guards the narrowing of an IRSA statement by the audiences that it keeps.
func within(s identity.Subject, role identity.RoleARN, g trust.Grant) []Guard {
	if g.Mechanism != identity.IRSA {
		return nil
	}
	return []Guard{AudiencesWithin{Subject: s, Role: role, Audiences: g.Audiences}}
}

// document returns a role's trust policy as this plan leaves it: a role that many
// share is edited by several steps of one round, each guarded by what the step before
// leaves. It is nil for a policy that cannot be read.
func (b *builder) document(role identity.RoleARN) *trust.Document {
	if doc, planned := b.docs[role]; planned {
		return doc
	}
	doc, presence, err := b.in.Snapshot.Trust(role)
	if presence != live.Present || err != nil {
		return nil
	}
	return doc
}

// edit plans a step that edits a trust policy.
func (b *builder) edit(e trust.Edit, s Step) {
	if role, is := editedRole(s.Action); is && (b.try(s) || b.late(s)) {
		b.docs[role] = e.Document
	}
}

func editedRole(a Action) (identity.RoleARN, bool) {
	switch a := a.(type) {
	case PutTrustStatement:
		return a.Role, true
	case DropTrustStatement:
		return a.Role, true
	case RevokeTrust:
		return a.Role, true
	case SetAnnotation, DropAnnotation, CreateAssociation, UpdateAssociation, DeleteAssociation,
		EvictPod, RestartWorkload, PauseRollout, ResumeRollout:
	}
	return identity.RoleARN{}, false
}

// loses names a ServiceAccount of this cluster, whether Git names it or not, that a
// role's policy lets in before an edit and not after it (design.md, law 1). A wide
// statement of ours may be all that another subject's pods have. What cannot be read
// may be such a one.
func (b *builder) loses(role identity.RoleARN, before, after *trust.Document) string {
	for _, source := range []live.Source{live.SourceListAssociations, live.SourceServiceAccounts, live.SourcePods} {
		if b.in.Snapshot.Unread(source) {
			return "somebody whose wiring cannot be read now may be one who"
		}
	}
	for _, s := range b.users(role) {
		requests, known := b.wired(s, role)
		if !known {
			return s.String() + ", whose association cannot be read now, may be one who"
		}
		for _, r := range requests {
			if before.Evaluate(r).Decision != trust.Deny && after.Evaluate(r).Decision != trust.Allow {
				return s.String()
			}
		}
	}
	return ""
}

// users returns, sorted, the ServiceAccounts of which [builder.wired] may have something to
// say for a role. Who they are is worked out once for all roles: a plan with many edits
// would otherwise look at the whole cluster for each of them.
func (b *builder) users(role identity.RoleARN) []identity.Subject {
	if b.byRole == nil {
		b.byRole = map[string][]identity.Subject{}
		for _, s := range b.in.Snapshot.Subjects() {
			roles := map[string]bool{}
			a, presence := b.in.Snapshot.Association(s)
			account, _ := b.in.Snapshot.ServiceAccount(s)
			roles[a.Role.String()], roles[account.Annotations[diff.AnnotationRole]] = true, true
			hidden := presence == live.Unknown
			pods, _ := b.in.Snapshot.Pods(s)
			for _, p := range pods {
				for _, c := range p.Containers {
					roles[c.Role] = true
					hidden = hidden || hidesRole(c)
				}
			}
			if hidden {
				roles = map[string]bool{anyRole: true}
			}
			delete(roles, "")
			for r := range roles {
				b.byRole[r] = append(b.byRole[r], s)
			}
		}
	}
	all := slices.Concat(b.byRole[role.String()], b.byRole[anyRole])
	slices.SortFunc(all, identity.Subject.Compare)
	return all
}

// anyRole stands for whatever role cannot be told.
const anyRole = "*"

// wired returns the requests that pods of a subject make, or would make if they were
// started now, of a role; known is false where an association's role was not read.
func (b *builder) wired(s identity.Subject, role identity.RoleARN) (out []trust.Request, known bool) {
	base := trust.Request{Subject: s, Cluster: b.cluster, OrgID: b.in.Policy.Diff.OrganizationID}
	a, presence := b.in.Snapshot.Association(s)
	if presence == live.Unknown {
		return nil, false
	}
	if a.Role == role {
		r := base
		r.Mechanism, r.SessionTags = identity.PodIdentity, !a.SessionTagsOff
		out = append(out, r)
	}
	irsa := func(audience string) {
		r := base
		r.Mechanism, r.Provider, r.Audience = identity.IRSA, b.cluster.Issuer.ProviderARN(role.Partition, role.Account), cmp.Or(audience, diff.DefaultAudience)
		out = append(out, r)
	}
	if a, _ := b.in.Snapshot.ServiceAccount(s); a.Annotations[diff.AnnotationRole] == role.String() {
		irsa(a.Annotations[diff.AnnotationAudience])
	}
	pods, _ := b.in.Snapshot.Pods(s)
	for _, p := range pods {
		for _, c := range p.Containers {
			if c.Role == role.String() || hidesRole(c) {
				irsa(c.Audience)
			}
		}
	}
	return out, true
}

// provider holds what is missing at the IAM OIDC provider: it is never written.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html
func (b *builder) provider(j *diff.Judged) (ready bool) {
	m := j.Mapping
	arn := b.cluster.Issuer.ProviderARN(m.Role.Partition, m.Role.Account)
	switch {
	case j.Lacks(diff.OIDCProviderMissing):
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
			Message: "account " + m.Role.Account + " needs an OIDC provider for this cluster",
			Handoff: &Handoff{What: "create the OIDC provider in account " + m.Role.Account,
				Command: shell(append([]string{"aws", "iam", "create-open-id-connect-provider", "--url", string(b.cluster.Issuer), "--client-id-list"}, j.Audiences()...)...)}})
	case j.Lacks(diff.OIDCAudienceMissing):
		for _, f := range j.Findings {
			if f.Kind == diff.OIDCAudienceMissing {
				b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct, Message: f.Message,
					Handoff: &Handoff{What: "add the client ID to the OIDC provider",
						Command: shell("aws", "iam", "add-client-id-to-open-id-connect-provider", "--open-id-connect-provider-arn", arn, "--client-id", f.Expected)}})
			}
		}
	default:
		return true
	}
	return false
}

// slowdown is how long a statement that live pods depend on is left alone between
// two restorations, once another writer keeps taking it away.
const slowdown = 5 * time.Minute

// soon is when a look is worth it that may show what was written.
const soon = 5 * time.Second

// try plans a step, unless it was taken so lately that the world may not show it yet, or
// another writer has undone the same one twice within the last hour (design.md section
// 5). A statement that pods depend on is restored all the same, in the end more slowly.
func (b *builder) try(s Step) (planned bool) {
	key, _ := s.key()
	b.wanted[key] = true
	p, puts := s.Action.(PutTrustStatement)
	depends := puts && s.Effect == Widen && (b.needed(s.Subject, p.Grant.Mechanism) || b.armed(s.Subject) == p.Grant.Mechanism)
	if !depends && b.late(s) {
		b.unseen[s.Subject] = true
		b.hold(Hold{Subject: s.Subject, Plane: s.Plane, Reason: Settling, NotBefore: b.now.Add(soon), Message: "done, and not visible yet: " + s.Action.String()})
		return false
	}
	n, last := b.memory.times(s, b.now, b.in.Policy.Settle/3)
	if n < 2 {
		b.step(s)
		return true
	}
	h := Hold{Subject: s.Subject, Plane: s.Plane, Reason: WriteConflict,
		Message: fmt.Sprintf("another writer (%s) undid this %d times within an hour, so lanyard stops: %s", b.opponent(s), n, s.Action)}
	if depends {
		if !b.now.Before(last.Add(slowdown)) {
			b.step(s)
			return true
		}
		h.NotBefore = last.Add(slowdown)
		h.Message += "; pods depend on it, so it is restored every " + slowdown.String()
	}
	b.hold(h)
	return false
}

// armed returns the mechanism that a pod of a subject, admitted now, would be given.
func (b *builder) armed(s identity.Subject) identity.Mechanism {
	if j := b.judged(s); j != nil {
		return j.On
	}
	return identity.None
}

// late reports whether a step was taken so lately that the world may not show it yet.
func (b *builder) late(s Step) bool { return b.memory.unseen(s, b.now, b.in.Policy.Settle/3) }

// needed reports whether live pods of a subject use a mechanism.
func (b *builder) needed(s identity.Subject, m identity.Mechanism) bool {
	pods, _ := b.in.Snapshot.Pods(s)
	return slices.ContainsFunc(pods, func(p live.Pod) bool { return p.Uses(m) })
}

// opponent names the other writer, as far as the live world shows it.
func (b *builder) opponent(s Step) string {
	account, _ := b.in.Snapshot.ServiceAccount(s.Subject)
	association, _ := b.in.Snapshot.Association(s.Subject)
	name := ""
	switch a := s.Action.(type) {
	case SetAnnotation:
		name = diff.OwnerOfAnnotation(account, a.Key)
	case DropAnnotation:
		name = diff.OwnerOfAnnotation(account, a.Key)
	case CreateAssociation, UpdateAssociation, DeleteAssociation:
		name = diff.OwnerOfAssociation(association, b.cluster)
	case PutTrustStatement:
		name = b.ownerOfRole(a.Role)
	case DropTrustStatement:
		name = b.ownerOfRole(a.Role)
	case RevokeTrust:
		name = b.ownerOfRole(a.Role)
	case EvictPod, RestartWorkload, PauseRollout, ResumeRollout: // no plane shows who works on a workload
	}
	return cmp.Or(name, "unknown; see CloudTrail")
}
