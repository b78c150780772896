package migrate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Evidence is what the live world does not show at one glance. The zero value is that of
// somebody who looks once, and is told nothing.
type Evidence struct {
	// Settled reports whether the wanted side of a subject has been seen ready for the
	// settling time; nil takes what is ready now for settled.
	Settled func(identity.Subject) bool
	// Soaking tells since when all pods of a subject have been seen on the wanted side;
	// nil has seen none.
	Soaking func(identity.Subject) time.Time
	// Proven reports whether something has shown that a subject uses the wanted side;
	// nil knows of nothing but what mappings declare.
	Proven func(identity.Subject) bool
	// Serving tells since when the association of a subject has been seen to be as it is;
	// nil has not watched it.
	Serving func(identity.Subject) time.Time
}

// other returns the other mechanism.
func other(m identity.Mechanism) identity.Mechanism {
	if m == identity.PodIdentity {
		return identity.IRSA
	}
	return identity.PodIdentity
}

// Resolve turns auto into what it means now: with an association Pod Identity, for good;
// else IRSA until the verdict is eligible. Where it is not known whether there is an
// association, the mapping is returned as it is, and diff finds it blind.
func (a *Assessor) Resolve(m desired.Mapping) desired.Mapping {
	if m.Mechanism != identity.Auto {
		return m
	}
	switch _, presence := a.snap.Association(m.Subject); {
	case presence == live.Present:
		m.Mechanism = identity.PodIdentity
	case presence == live.Unknown:
	case a.Assess(m).Verdict == Eligible:
		m.Mechanism = identity.PodIdentity
	default:
		m.Mechanism = identity.IRSA
	}
	return m
}

// Stand finds out where a judged mapping stands. Its mechanism must be resolved; where
// it could not be, ok is false. Declared is the mapping as Git has it: the mark of a
// rollback is held against it.
func (a *Assessor) Stand(j *diff.Judged, declared desired.Mapping, e Evidence) (s Standing, holds []Reason, ok bool) {
	if j.Wanted != identity.IRSA && j.Wanted != identity.PodIdentity || len(j.Unknown) > 0 && !bugs.On("unknown is absent") {
		return Standing{}, nil, false
	}
	f := footing{Assessor: a, j: j, m: j.Mapping, e: e}
	s = Standing{Wanted: j.Wanted, Armed: identity.IRSA, Trusted: f.trusted(), Ready: f.ready(), OldWired: f.oldWired()}
	if j.HasAssociation {
		s.Armed = identity.PodIdentity
	}
	s.RolledBack = f.rolledBack(declared)
	s.Foreign = f.foreign()
	s.Moving = f.moving()
	s.Proven = f.proven(s)
	return s, f.holds, true
}

// Waits says what a mapping waits for besides: what others must write, and what cannot be
// done without taking credentials away. It is for the report; [Assessor.Next] says so of
// the step that it would take.
func (a *Assessor) Waits(j *diff.Judged, s Standing) []Reason {
	f := footing{Assessor: a, j: j, m: j.Mapping}
	if !s.RolledBack && !s.Foreign {
		f.handoffs(s)
		f.keepsCredentials(s)
	}
	return f.holds
}

// footing is one standing in the making.
type footing struct {
	*Assessor
	j     *diff.Judged
	m     desired.Mapping
	e     Evidence
	holds []Reason
}

func (f *footing) hold(code Code, message, fix string, facts ...Fact) {
	slices.SortFunc(facts, Fact.compare)
	f.holds = append(f.holds, Reason{code, message, facts, fix})
}

func (f *footing) rolledBack(declared desired.Mapping) bool {
	text, there := f.j.ServiceAccount.Annotations[RolledBackMark]
	if !there {
		return false
	}
	fact := Fact{OfServiceAccount, f.m.Subject.String(), RolledBackMark + ": " + text}
	const fix = "find out why, mend it, and let lanyard retry take the mark away; a changed mapping is tried again by itself"
	m, err := ParseMark(text)
	if err != nil {
		f.hold(RolledBack, "a mark of a rollback stands that cannot be read: "+err.Error(), fix, fact)
		return true
	}
	if !m.Holds(declared) || bugs.On("forget the mark") {
		return false
	}
	f.hold(RolledBack, "it was tried and rolled back: "+cmp.Or(m.Reason, "no reason was noted"), fix, fact)
	return true
}

// foreign: rule 2 of the phases.
func (f *footing) foreign() bool {
	a, c := f.j.Association, f.snap.Cluster()
	if !f.j.HasAssociation || diff.MayTakeAssociation(f.m, a, c) || f.j.Wanted == identity.PodIdentity && a.Role == f.m.Role && len(diff.AssociationDifference(f.m, a)) == 0 {
		return false
	}
	f.hold(OwnerMustAct, "an association of others stands, and is not what Git asks for", "change it where it is made, or write adopt: [association]",
		Fact{OfAssociation, a.ID, made(diff.OwnerOfAssociation(a, c))})
	return true
}

// handoffs says what others must write before the next step: what is theirs, and not
// adopted, lanyard writes out for them. Towards Pod Identity a trust policy that is not
// lanyard's to edit is a reason of the verdict, and not told twice.
func (f *footing) handoffs(s Standing) {
	back, c := s.Wanted == identity.IRSA && s.Armed != s.Wanted, f.snap.Cluster()
	if grant := f.j.Grant(c, s.Wanted); !s.Trusted && f.j.Document != nil && f.j.Trust.Decision != trust.Allow && (back || s.Armed == s.Wanted) && !f.mayEdit(grant) {
		f.hold(OwnerMustAct, "the role's trust policy does not surely let "+s.Wanted.String()+" in for this ServiceAccount, and the mapping does not adopt it",
			"add this statement to the trust policy of role "+f.m.Role.Name+" where the role is made, or write adopt: [trust]\n"+string(grant.Statement())+"\n"+grant.HCL(),
			Fact{OfRole, f.m.Role.String(), f.j.Trust.Reason})
	}
	if !back {
		return
	}
	provider := c.Issuer.ProviderARN(f.m.Role.Partition, f.m.Role.Account)
	switch {
	case f.j.Lacks(diff.OIDCProviderMissing):
		f.hold(OwnerMustAct, "account "+f.m.Role.Account+" has no OIDC provider for this cluster, and lanyard never makes one",
			"aws iam create-open-id-connect-provider --url "+string(c.Issuer)+" --client-id-list "+strings.Join(f.j.Audiences(), " "),
			Fact{OfRole, f.m.Role.String(), "would be assumed by way of " + provider})
	case f.j.Lacks(diff.OIDCAudienceMissing):
		f.hold(OwnerMustAct, "the OIDC provider does not take the audience of the ServiceAccount's tokens, and lanyard never changes one",
			"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "+provider+" --client-id "+strings.Join(f.j.Audiences(), " or "),
			Fact{OfRole, f.m.Role.String(), "would be assumed by way of " + provider})
	}
	for _, a := range f.annotations() {
		if a.ours {
			continue
		}
		f.hold(OwnerMustAct, "an annotation of the ServiceAccount is not as Git asks, and belongs to "+cmp.Or(a.owner, "somebody else"),
			"write this where the ServiceAccount is made, or let the mapping adopt it (adopt: [annotation])\n"+a.key+": "+a.want,
			Fact{OfServiceAccount, f.m.Subject.String(), a.key + ": " + a.have})
	}
}

// mayEdit reports whether lanyard's statement may be written: it stands, or the mapping
// adopts the plane.
func (f *footing) mayEdit(g trust.Grant) bool {
	return f.m.Adopt.Trust || f.j.Document != nil && slices.ContainsFunc(f.j.Document.Statements(), func(s trust.Statement) bool { return s.Sid == g.Sid() })
}

// annotation is one that is not as Git asks.
type annotation struct {
	key, have, want, owner string
	ours                   bool // lanyard may write it
}

// annotations are those that IRSA needs and that are not as Git asks, the role's first.
func (f *footing) annotations() (out []annotation) {
	account, wanted := f.j.ServiceAccount, diff.Tuning(f.m)
	add := func(key, want string) {
		out = append(out, annotation{key, account.Annotations[key], want, notOurs(diff.OwnerOfAnnotation(account, key)), diff.MayTakeAnnotation(f.m, account, key)})
	}
	if role := f.m.Role.String(); account.Annotations[diff.AnnotationRole] != role {
		add(diff.AnnotationRole, role)
	}
	for _, key := range []string{diff.AnnotationAudience, diff.AnnotationExpiration, diff.AnnotationRegional} {
		if want, managed := wanted[key]; managed && !diff.SameTuning(key, want, account.Annotations) {
			add(key, want)
		}
	}
	return out
}

// keepsCredentials finds what cannot be done without taking credentials away for a moment: to
// clear a setting of an association, which only goes with it; and to go back while pods
// that nobody restarts are on Pod Identity.
func (f *footing) keepsCredentials(s Standing) {
	if s.Armed != identity.PodIdentity {
		return
	}
	if s.Wanted == identity.PodIdentity {
		if cleared := f.cleared(); len(cleared) > 0 {
			f.hold(NotHitless, "what the association has and Git does not cannot be cleared, only deleted with it, and new pods would be without credentials for a moment",
				"delete the association and create it anew by hand in a quiet hour, or put the setting into Git", Fact{OfAssociation, f.j.Association.ID, "has " + several(cleared)})
		}
		return
	}
	var facts []Fact
	for _, p := range f.j.Pods {
		if p.Uses(identity.PodIdentity) && !restarted(p) {
			facts = append(facts, podFact(p, made(cmp.Or(strings.TrimSpace(p.Owner.Kind+" "+p.Owner.Name), "nobody"))+"; is on Pod Identity, and is not restarted"))
		}
	}
	if len(facts) > 0 {
		f.hold(NotHitless, "pods of Jobs or of nobody are on Pod Identity, and would lose it with the association", "wait until they have ended, or end them by hand", facts...)
	}
}

// cleared are the settings of the association that Git asks to be none. EKS takes
// another value for them, but not none.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdatePodIdentityAssociation.html
func (f *footing) cleared() (out []string) {
	for _, setting := range diff.AssociationDifference(f.m, f.j.Association) {
		if setting == "targetRoleARN" && f.m.PodIdentity.TargetRole.IsZero() || setting == "sessionPolicy" && f.m.PodIdentity.SessionPolicy == "" {
			out = append(out, setting)
		}
	}
	return out
}

// restarted reports whether lanyard makes a pod again by a restart of its owner. Those
// of Jobs come with the next run, bare ones never.
func restarted(p live.Pod) bool {
	return slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "Rollout"}, p.Owner.Kind)
}

func (f *footing) trusted() bool {
	return f.j.Trust.Decision == trust.Allow && (f.j.Wanted == identity.IRSA || f.m.PodIdentity.TargetRole.IsZero() || f.j.Target.Decision == trust.Allow)
}

func (f *footing) ready() bool {
	if f.j.Wanted == identity.IRSA && f.j.Lacks(diff.AnnotationMissing, diff.AnnotationMismatch, diff.AnnotationTuning, diff.OIDCProviderMissing, diff.OIDCAudienceMissing) {
		return false
	}
	return f.e.Settled == nil || f.e.Settled(f.m.Subject)
}

// differs says in what the armed side is not what Git asks for yet: pods that come now
// get something else, whichever mechanism they are on.
func (f *footing) differs() []string {
	switch a := f.j.Association; {
	case f.j.Wanted == identity.PodIdentity && f.j.HasAssociation:
		out := diff.AssociationDifference(f.m, a)
		if a.Role != f.m.Role {
			out = append([]string{"role"}, out...)
		}
		return out
	case f.j.Wanted == identity.IRSA && f.j.Lacks(diff.AnnotationMissing, diff.AnnotationMismatch):
		return []string{"annotation"}
	}
	return nil
}

func (f *footing) moving() bool {
	if len(f.differs()) > 0 {
		return true
	}
	if slices.ContainsFunc(f.j.Pods, func(p live.Pod) bool { return p.Uses(other(f.j.Wanted)) || f.outdated(p) }) {
		return true
	}
	return f.rolling()
}

// outdated reports whether a pod may still have the role of before: it is on Pod Identity,
// and older than an update of the association on the way there. It would follow by itself,
// but only when what it holds has run out, in up to six hours
// (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html). One that
// nobody restarts is left to that.
func (f *footing) outdated(p live.Pod) bool {
	return f.m.Migration.Restart != desired.RestartNatural && p.CreatedAt.Before(f.j.Association.ModifiedAt) && p.Uses(identity.PodIdentity) && restarted(p) &&
		p.CreatedAt.Before(f.changed())
}

// changed is when the association was updated on the way to Pod Identity, while the old
// side still is what pods could go back to; zero if it was not. Of a workload that is
// settled there, an update restarts nothing: that is a repair; nor does one after which
// all credentials have been renewed. EKS may date other things as updates: one after the
// association has been seen to be as it is was none.
func (f *footing) changed() time.Time {
	a := f.j.Association
	past := f.snap.Facts().TakenAt.Sub(a.ModifiedAt) > sessionLife
	if f.j.Wanted != identity.PodIdentity || !f.j.HasAssociation || past || !a.ModifiedAt.After(a.CreatedAt.Add(quick)) {
		return time.Time{}
	}
	if !f.oldAnnotation() && !slices.ContainsFunc(f.j.Pods, func(p live.Pod) bool { return p.Uses(identity.IRSA) }) {
		return time.Time{}
	}
	if f.e.Serving != nil {
		if at := f.e.Serving(f.m.Subject); !at.IsZero() && a.ModifiedAt.After(at.Add(clockSkew)) {
			return time.Time{}
		}
	}
	return a.ModifiedAt
}

// clockSkew is how far AWS's clock and lanyard's may be apart: five minutes, as far as
// AWS takes signed requests.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
const clockSkew = 5 * time.Minute

func (f *footing) rolling() bool {
	workloads, _ := f.snap.Workloads(f.m.Subject)
	return slices.ContainsFunc(workloads, func(w live.Workload) bool { return w.Rolling })
}

// oldWired reports whether narrowing would find anything to take away. What others made,
// and the mapping does not adopt, stays.
func (f *footing) oldWired() bool {
	return f.oldAnnotation() || f.oldStatement() != nil
}

// oldAnnotation: with Pod Identity the annotation is a leftover.
func (f *footing) oldAnnotation() bool {
	return f.j.Wanted == identity.PodIdentity && f.m.Migration.Cleanup != desired.CleanupKeepAnnotation &&
		f.j.ServiceAccount.Annotations[diff.AnnotationRole] != "" && diff.MayTakeAnnotation(f.m, f.j.ServiceAccount, diff.AnnotationRole)
}

// oldStatement returns the edit that takes the other side out of the role's trust
// policy; nil where there is nothing to take, or it is kept, or others'.
func (f *footing) oldStatement() *trust.Edit { return f.narrow(f.j.Document) }

func (f *footing) narrow(doc *trust.Document) *trust.Edit {
	if doc == nil || f.m.Migration.Cleanup != desired.CleanupFull {
		return nil
	}
	old := other(f.j.Wanted)
	if !f.m.Adopt.Trust { // lanyard's own statement, and nothing of others beside it
		sid := f.j.Grant(f.snap.Cluster(), old).Sid()
		if !slices.ContainsFunc(doc.Statements(), func(s trust.Statement) bool { return s.Sid == sid }) {
			return nil
		}
		edit, err := doc.RemoveSid(sid)
		if err != nil || !edit.Changed || f.read() && !f.allowsIn(edit.Document, old) {
			return nil
		}
		return &edit
	}
	for _, r := range f.j.Requests(f.snap.Cluster(), old, diff.Options{OrganizationID: f.opts.OrganizationID}) {
		r.IgnoreOthers = false
		if doc.Evaluate(r).Decision == trust.Deny {
			continue
		}
		edit, err := doc.Remove(r)
		if err != nil || !edit.Changed || f.read() {
			return nil // shared, or not lanyard's to edit: audit names it
		}
		return &edit
	}
	return nil
}

// read reports whether an annotation stands that lanyard may not take away: who reads it
// lives on the old trust, which stays until the annotation's owner has dropped it.
func (f *footing) read() bool {
	a := f.j.ServiceAccount
	return f.j.Wanted == identity.PodIdentity && a.Annotations[diff.AnnotationRole] == f.m.Role.String() && !diff.MayTakeAnnotation(f.m, a, diff.AnnotationRole)
}

// allowsIn reports whether a trust policy surely lets a side in.
func (f *footing) allowsIn(doc *trust.Document, side identity.Mechanism) bool {
	return !slices.ContainsFunc(f.j.Requests(f.snap.Cluster(), side, diff.Options{OrganizationID: f.opts.OrganizationID}), func(r trust.Request) bool {
		return doc.Evaluate(r).Decision != trust.Allow
	})
}

// proven is the gate between soaking and narrowing.
func (f *footing) proven(s Standing) bool {
	if s.Armed != s.Wanted || s.Moving || !s.Trusted || !s.OldWired || s.RolledBack || s.Foreign {
		return false // another phase, so nothing is held by the gate
	}
	return f.allRun() && f.soaked() && f.inUse()
}

// allRun: every owner whose template names the ServiceAccount has made a pod on the
// wanted side that became Ready or succeeded. It says of each that has not.
func (f *footing) allRun() bool {
	workloads, presence := f.snap.Workloads(f.m.Subject)
	if presence == live.Unknown {
		f.hold(NoRunYet, "its owners were not read, so whether all have run on the new mechanism is not known", "grant what lanyard policy prints, and look again",
			Fact{OfRead, string(live.SourceWorkloads), "no answer"})
		return false
	}
	var idle []Fact
	for _, w := range workloads {
		if w.Done || w.Owner.Name != "" {
			continue // a CronJob's Job counts for the CronJob
		}
		ran := func(p live.Pod) bool {
			return p.Uses(f.j.Wanted) && !f.outdated(p) && (p.Ready || p.Phase == "Succeeded") && p.Owner.Name == w.Name && p.Owner.Kind == w.Kind
		}
		if !slices.ContainsFunc(f.j.Pods, ran) && !slices.ContainsFunc(f.completed[f.m.Subject], ran) {
			idle = append(idle, workloadFact(w, "has no pod on "+f.j.Wanted.String()+" that became ready"))
		}
	}
	if len(idle) > 0 {
		f.hold(NoRunYet, "not every owner has run on the new mechanism yet, so the old one stays", "wait for its next run, or start it once", idle...)
	}
	return len(idle) == 0
}

// soaked: the youngest pod has run for the soak time. Until then nothing is held: the
// phase says it.
func (f *footing) soaked() bool {
	return !f.soakUntil().After(f.snap.Facts().TakenAt)
}

func (f *footing) inUse() bool {
	if f.m.Migration.Proof == desired.ProofDeclared || f.e.Proven != nil && f.e.Proven(f.m.Subject) {
		return true
	}
	f.hold(NoProof, "nothing has shown yet that the new mechanism is used, so the old one stays: that is safe",
		"let migration.proof name what shows it ("+strings.Join([]string{string(desired.ProofCloudTrail), string(desired.ProofDeclared), string(desired.ProofQuery)}, ", ")+")",
		Fact{OfServiceAccount, f.m.Subject.String(), "migration.proof: " + string(f.m.Migration.Proof)})
	return false
}

// soakUntil is when the soak time is over. It began when the last owner got its first pod
// on the wanted side, or when all were first seen there: pods that come and go since, for
// an autoscaler or a CronJob, do not begin it anew.
func (f *footing) soakUntil() time.Time {
	first := map[live.WorkloadRef]time.Time{}
	for _, p := range f.j.Pods {
		if at, known := first[p.Owner]; p.Uses(f.j.Wanted) && (!known || p.CreatedAt.Before(at)) {
			first[p.Owner] = p.CreatedAt
		}
	}
	var begun time.Time
	for _, at := range first {
		begun = latest(begun, at)
	}
	if f.e.Soaking != nil {
		if at := f.e.Soaking(f.m.Subject); !at.IsZero() && at.Before(begun) {
			begun = at
		}
	}
	return latest(latest(begun, f.j.Association.CreatedAt), f.changed()).Add(f.m.Migration.Soak)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
