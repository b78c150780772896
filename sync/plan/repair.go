package plan

import (
	"cmp"
	"fmt"
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

// Policy is what the operator allows a plan to do.
type Policy struct {
	Prune           desired.Prune
	RemovalsPerHour int
	ChangesPerRound int
	Settle          time.Duration
	Accept          string // a commit whose removals are meant, however many (source.accept)
	Diff            diff.Options
}

// DefaultPolicy is what holds without a configuration (design.md section 4).
func DefaultPolicy() Policy {
	return Policy{Prune: desired.PruneNever, RemovalsPerHour: 5, ChangesPerRound: 20, Settle: time.Minute}
}

// Input is everything that a repair plan depends on.
type Input struct {
	Revision desired.Revision
	Result   diff.Result
	Snapshot *live.Snapshot
	Policy   Policy
	Memory   Memory
	Moves    map[identity.Subject]Move // of those that package migrate moves; nil but in mode migrate
}

// Repair plans what one round does about drift and orphans. The memory that it
// returns is to be given to the next round, with the round's writes recorded.
func Repair(in Input) (Plan, Memory) {
	b := &builder{
		in:      in,
		docs:    map[identity.RoleARN]*trust.Document{},
		wanted:  map[string]bool{},
		unseen:  map[identity.Subject]bool{},
		now:     in.Snapshot.Facts().TakenAt,
		cluster: in.Snapshot.Cluster(),
		memory:  in.Memory.forget(in.Snapshot.Facts().TakenAt),
		plan:    Plan{Revision: in.Revision, Cluster: in.Snapshot.Cluster().Name, Steps: []Step{}, Holds: []Hold{}},
	}
	if in.Result.Mismatch() {
		b.hold(Hold{Plane: diff.PlaneGit, Reason: ClusterMismatch, Message: "the API server is not known to be that of the EKS cluster: nothing is done until it is"})
		return b.plan, b.memory
	}
	for i := range in.Result.Judged {
		b.repair(&in.Result.Judged[i])
	}
	b.widths()
	// Narrowing comes last, so that an edit of a shared role that waits for the budget
	// of removals never holds up one that lets somebody in.
	for i := range in.Result.Judged {
		if j := &in.Result.Judged[i]; b.mends(j) {
			b.tooWide(j)
		}
	}
	b.leftovers()
	b.prune()
	b.abandoned()
	b.limit()
	b.memory.show(b.wanted) // after the steps of this round are known, before they are taken
	slices.SortStableFunc(b.plan.Holds, func(x, y Hold) int {
		return cmp.Or(x.Subject.Compare(y.Subject), strings.Compare(string(x.Reason), string(y.Reason)), strings.Compare(x.Message, y.Message))
	})
	return b.plan, b.memory
}

type builder struct {
	in      Input
	docs    map[identity.RoleARN]*trust.Document // trust policies as this plan leaves them
	wanted  map[string]bool                      // keys of the steps that this round asks for, taken or not
	unseen  map[identity.Subject]bool            // of whom a write is not visible yet
	byRole  map[string][]identity.Subject        // who may use a role, by its ARN; nil until it is asked for
	now     time.Time
	cluster identity.Cluster
	memory  Memory
	plan    Plan
}

func (b *builder) hold(h Hold) { b.plan.Holds = append(b.plan.Holds, h) }
func (b *builder) step(s Step) { b.plan.Steps = append(b.plan.Steps, s) }
func (b *builder) busy(s identity.Subject) bool {
	return b.unseen[s] || slices.ContainsFunc(b.plan.Steps, func(st Step) bool { return st.Subject == s })
}

// since notes that a condition holds now, and returns since when it has been seen to.
func (b *builder) since(condition string) time.Time {
	if b.memory.Seen[condition].IsZero() {
		// First sight is dated by the end of the look, so that a long one shortens no wait.
		b.memory.Seen[condition] = b.now
		if read := b.in.Snapshot.Facts().ReadAt; read.After(b.now) {
			b.memory.Seen[condition] = read
		}
		if at, seen := b.in.Memory.Seen[condition]; seen {
			b.memory.Seen[condition] = at
		}
	}
	return b.memory.Seen[condition]
}

// settled reports whether a condition has been seen to hold for a time, and until
// when to wait if not.
func (b *builder) settled(condition string, long time.Duration) (until time.Time, ok bool) {
	until = b.since(condition).Add(long)
	return until, !until.After(b.now)
}

// repair plans for one mapping.
func (b *builder) repair(j *diff.Judged) {
	subject := j.Mapping.Subject
	say := func(r Reason, p diff.Plane, format string, args ...any) {
		b.hold(Hold{Subject: subject, Plane: p, Reason: r, Message: fmt.Sprintf(format, args...)})
	}
	b.noteTrust(j)
	move, moves := b.in.Moves[subject]
	switch {
	case j.Class == diff.Held:
		reason := CannotBe
		if j.Lacks(diff.MappingForbidden) {
			reason = GuardRail
		}
		for _, f := range j.Findings {
			if f.Plane == diff.PlaneGit {
				say(reason, diff.PlaneGit, "%s", f.Message)
			}
		}
	case j.Class == diff.Blind && !bugs.On("unknown is absent"):
		say(Blind, "", "nothing is written while these cannot be read: %s", strings.Join(j.Unknown, ", "))
	case j.Class == diff.Rest && !moves:
	case b.terminating(j):
		say(Terminating, diff.PlaneServiceAccount, "the ServiceAccount or its namespace is being deleted")
	case j.Lacks(diff.ServiceAccountMissing):
		say(OwnerMustAct, diff.PlaneServiceAccount, "create ServiceAccount %s, or take its mapping out of Git", subject)
	case moves:
		b.move(j, move)
	case j.Class == diff.Transition:
		b.keep(j, j.LivesOn())
		say(InTransition, diff.PlaneAssociation, "Git asks for %s and the workload is on the other mechanism: mode migrate moves it", j.Wanted)
	default:
		b.repairDrift(j)
	}
}

// mends reports whether a subject's details are repaired: it is on the right
// mechanism, and there to be repaired.
func (b *builder) mends(j *diff.Judged) bool {
	return (j.Class == diff.Drift || j.Class == diff.Rest) && j.Document != nil && j.Trust.Decision == trust.Allow && !b.terminating(j) && !j.Lacks(diff.ServiceAccountMissing)
}

// terminating reports whether the subject is going away.
func (b *builder) terminating(j *diff.Judged) bool {
	ns, _ := b.in.Snapshot.Namespace(j.Mapping.Subject.Namespace)
	return j.ServiceAccount.Terminating || ns.Terminating
}

// paused returns why steps forward are stopped for a subject.
func (b *builder) paused(j *diff.Judged) string {
	ns, _ := b.in.Snapshot.Namespace(j.Mapping.Subject.Namespace)
	return cmp.Or(j.ServiceAccount.Annotations[diff.PauseMark], ns.Pause)
}

// noteTrust remembers since when the trust of the wanted side has been judged allow,
// for exactly what Git asks for now.
func (b *builder) noteTrust(j *diff.Judged) {
	if j.Document != nil && j.Trust.Decision == trust.Allow && (j.Mapping.PodIdentity.TargetRole.IsZero() || j.Target.Decision == trust.Allow) {
		b.since(trustCondition(j))
	}
}

func trustCondition(j *diff.Judged) string {
	m := j.Mapping
	return fmt.Sprintf("trust allows %s %s %s %s tags=%t target=%s", m.Subject, j.Wanted, m.Role,
		strings.Join(j.Audiences(), ","), m.PodIdentity.SessionTags, m.PodIdentity.TargetRole)
}

// repairDrift plans for a subject that is on the right mechanism, or on none. What is
// to be relied on comes first: the trust policy, then, once that has been seen to
// allow for settle, the annotation or the association.
func (b *builder) repairDrift(j *diff.Judged) {
	forward := b.mendDrift(j)
	b.keep(j, slices.DeleteFunc(j.LivesOn(), func(side identity.Mechanism) bool { // the wanted one was mended
		return side == j.Wanted || !b.needed(j.Mapping.Subject, side)
	}))
	if forward {
		b.restartNeeded(j)
	}
}

// keep lets sides in that pods live on: what they are on must go on working until they
// are moved. It reports whether the role's trust does already.
func (b *builder) keep(j *diff.Judged, sides []identity.Mechanism) (ready bool) {
	ready = true
	for _, side := range sides {
		ready = b.repairTrust(j, side) && ready
	}
	return ready
}

// mendDrift is repairDrift without a word about pods. It reports whether steps forward
// may be taken.
func (b *builder) mendDrift(j *diff.Judged) (forward bool) {
	ready := b.repairTrust(j, j.Wanted)
	b.restoreOld(j)
	if why := b.paused(j); why != "" {
		b.hold(Hold{Subject: j.Mapping.Subject, Reason: Paused, Message: "paused: " + why})
		return false
	}
	switch j.Wanted {
	case identity.IRSA:
		ready = b.provider(j) && ready
		b.annotations(j, ready)
	case identity.PodIdentity:
		b.association(j, ready)
	}
	return true
}

// restartNeeded says that pods must be made again to pick up what stands now.
func (b *builder) restartNeeded(j *diff.Judged) {
	for _, f := range j.Findings {
		if f.Plane != diff.PlanePods {
			continue
		}
		what := "recreate the pods, for example: kubectl rollout restart, once the other planes are in sync"
		switch f.Kind {
		case diff.PodsStaticKeys:
			what = "take the access keys out of the pod template; they shadow both mechanisms"
		case diff.PodsUnservable:
			what = "set mechanism: irsa, or split the ServiceAccount; Pod Identity does not reach these pods"
		case diff.PodsAgentMissing:
			what = "make the Pod Identity agent ready on these nodes"
		}
		b.hold(Hold{Subject: j.Mapping.Subject, Plane: diff.PlanePods, Reason: RestartNeeded, Message: f.Message + ": " + what,
			Handoff: &Handoff{Owner: f.Owner, What: what, Command: restartCommand(j.Mapping.Subject, f)}})
	}
}

func restartCommand(s identity.Subject, f diff.Finding) string {
	kind, name, ok := strings.Cut(f.Owner, " ")
	if !ok || strings.Contains(name, ",") || !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, kind) ||
		f.Kind == diff.PodsUnservable || f.Kind == diff.PodsStaticKeys || f.Kind == diff.PodsAgentMissing {
		return ""
	}
	return shell("kubectl", "-n", s.Namespace, "rollout", "restart", strings.ToLower(kind)+"/"+name)
}

// annotations plans the ServiceAccount's annotations. While no role is wired the
// settings come first and the role last, so that no pod is admitted in between with
// the one and without the other; else the role first, whose new trust allows both.
func (b *builder) annotations(j *diff.Judged, ready bool) {
	wrong := map[string]string{} // annotation → wanted value
	if j.Lacks(diff.AnnotationMissing, diff.AnnotationMismatch) {
		wrong[diff.AnnotationRole] = j.Mapping.Role.String()
	}
	for _, f := range j.Findings {
		if f.Kind == diff.AnnotationTuning {
			key := strings.Fields(strings.TrimPrefix(f.Message, "annotation "))[0]
			wrong[key] = diff.Tuning(j.Mapping)[key]
		}
	}
	order := []string{diff.AnnotationAudience, diff.AnnotationExpiration, diff.AnnotationRegional, diff.AnnotationRole}
	if j.ServiceAccount.Annotations[diff.AnnotationRole] != "" {
		slices.Reverse(order)
	}
	for _, key := range order {
		if value, is := wrong[key]; is {
			b.annotation(j, ready, key, value)
		}
	}
}

func (b *builder) annotation(j *diff.Judged, ready bool, key, value string) {
	m, a := j.Mapping, j.ServiceAccount
	old := a.Annotations[key]
	if !diff.MayTakeAnnotation(m, a, key) {
		owner := diff.OwnerOfAnnotation(a, key)
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneServiceAccount, Reason: OwnerMustAct,
			Message: fmt.Sprintf("annotation %s is %q and belongs to %s: change it there, or let the mapping adopt: [annotation]", key, old, cmp.Or(owner, "someone else")),
			Handoff: &Handoff{Owner: owner, What: "set this annotation where the ServiceAccount is made", Command: fmt.Sprintf("%s: %q", key, value)}})
		return
	}
	if !b.mayCross(j, ready, diff.PlaneServiceAccount, fmt.Sprintf("annotation %s is set", key)) {
		return
	}
	b.try(Step{Subject: m.Subject, Plane: diff.PlaneServiceAccount, Effect: Cross,
		Action: SetAnnotation{UID: a.UID, Key: key, Value: value, Old: old, Force: old != "" && m.Adopt.Annotation},
		Guards: []Guard{
			AnnotationIs{Subject: m.Subject, UID: a.UID, Key: key, Value: old},
			AssociationIs{Subject: m.Subject, ID: j.Association.ID, Role: j.Association.Role},
			TrustAllows{Role: m.Role, Requests: j.Requests(b.cluster, identity.IRSA, b.in.Policy.Diff)},
		},
		Because: fmt.Sprintf("Git asks for %s=%s at %s", key, value, m.At)})
}

// mayCross reports whether the far side has been ready for settle; if not it says
// what waits for what.
func (b *builder) mayCross(j *diff.Judged, ready bool, plane diff.Plane, then string) bool {
	subject := j.Mapping.Subject
	if !ready {
		b.hold(Hold{Subject: subject, Plane: plane, Reason: Settling,
			Message: "first the role must trust this ServiceAccount; then, after " + b.in.Policy.Settle.String() + ", " + then})
		return false
	}
	if until, ok := b.settled(trustCondition(j), b.in.Policy.Settle); !ok {
		b.hold(Hold{Subject: subject, Plane: plane, Reason: Settling, NotBefore: until,
			Message: fmt.Sprintf("the role's trust must have been seen to allow for %s; then %s", b.in.Policy.Settle, then)})
		return false
	}
	return true
}

// association plans the Pod Identity association.
func (b *builder) association(j *diff.Judged, ready bool) {
	m := j.Mapping
	guards := []Guard{TrustAllows{Role: m.Role, Requests: j.Requests(b.cluster, identity.PodIdentity, b.in.Policy.Diff)}}
	switch {
	case j.Lacks(diff.AssociationForeign):
		b.foreignAssociation(j)
	case j.Lacks(diff.AssociationMissing) && j.ServiceAccount.Annotations[diff.RolledBackMark] != "" && j.ServiceAccount.Annotations[diff.AnnotationRole] != "":
		// Without an annotation there is nothing that it could have been rolled back to.
		b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneAssociation, Reason: RolledBack,
			Message: "a move to Pod Identity was rolled back, so the association is not made again by a repair; lanyard retry takes the mark away"})
	case j.Lacks(diff.AssociationMissing):
		if b.target(j) || !b.mayCross(j, ready, diff.PlaneAssociation, "the association is created") {
			return
		}
		b.try(Step{Subject: m.Subject, Plane: diff.PlaneAssociation, Effect: Cross,
			Action: CreateAssociation{Role: m.Role, TargetRole: m.PodIdentity.TargetRole, SessionTagsOff: !m.PodIdentity.SessionTags,
				SessionPolicy: m.PodIdentity.SessionPolicy, Tags: map[string]string{diff.TagCluster: b.cluster.ARN(), diff.TagMapping: m.Key()}},
			Guards:  append(guards, AssociationIs{Subject: m.Subject}, Unused{Subject: m.Subject, Mechanism: identity.IRSA}),
			Because: "Git asks for Pod Identity at " + m.MechanismAt.String()})
	case j.Lacks(diff.AssociationRole, diff.AssociationSettings):
		b.updateAssociation(j, ready, guards)
	default:
		b.target(j)
	}
}

func (b *builder) updateAssociation(j *diff.Judged, ready bool, guards []Guard) {
	m, a := j.Mapping, j.Association
	u := UpdateAssociation{ID: a.ID}
	if a.Role != m.Role {
		u.Role = m.Role
	}
	for _, setting := range diff.AssociationDifference(m, a) {
		switch {
		case setting == "sessionTags":
			off := !m.PodIdentity.SessionTags
			u.SessionTagsOff = &off
		case setting == "targetRoleARN" && m.PodIdentity.TargetRole.IsZero(), setting == "sessionPolicy" && m.PodIdentity.SessionPolicy == "":
			b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneAssociation, Reason: NotHitless,
				Message: setting + " of an association cannot be cleared, only deleted with it, and that takes the credentials of new pods away for a moment: delete and recreate the association by hand in a quiet hour, or put the setting into Git"})
			return
		case setting == "targetRoleARN":
			u.TargetRole = m.PodIdentity.TargetRole
		case setting == "sessionPolicy":
			u.SessionPolicy = m.PodIdentity.SessionPolicy
		}
	}
	if b.target(j) || !b.mayCross(j, ready, diff.PlaneAssociation, "the association is updated") {
		return
	}
	b.try(Step{Subject: m.Subject, Plane: diff.PlaneAssociation, Effect: Cross, Action: u,
		Guards:  append(guards, AssociationIs{Subject: m.Subject, ID: a.ID, Role: a.Role}),
		Because: "Git asks for other settings of the association at " + m.At.String()})
}

// target holds what would make an association assume a target role whose trust is
// not judged allow. The target is never edited: it is often another account's.
func (b *builder) target(j *diff.Judged) (held bool) {
	if j.Mapping.PodIdentity.TargetRole.IsZero() || j.Target.Decision == trust.Allow {
		return false
	}
	actions := "sts:AssumeRole"
	if j.Mapping.PodIdentity.SessionTags {
		actions += " and sts:TagSession"
	}
	b.hold(Hold{Subject: j.Mapping.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
		Message: fmt.Sprintf("target role %s is not known to trust %s: %s", j.Mapping.PodIdentity.TargetRole, j.Mapping.Role.Name, j.Target.Reason),
		Handoff: &Handoff{What: "let the target role's trust policy allow " + j.Mapping.Role.String() + " to call " + actions}})
	return true
}

func (b *builder) foreignAssociation(j *diff.Judged) {
	a, m := j.Association, j.Mapping
	owner := diff.OwnerOfAssociation(a, b.cluster)
	h := &Handoff{Owner: owner, What: "change the association where it is made, or let the mapping adopt: [association]",
		Command: shell("aws", "eks", "update-pod-identity-association", "--cluster-name", b.cluster.Name, "--association-id", a.ID, "--role-arn", m.Role.String())}
	if a.OwnerARN != "" {
		h.What = "change the association through the add-on that owns it"
		if addon, ok := b.in.Snapshot.Addon(a); ok {
			h.Command = shell("aws", "eks", "update-addon", "--cluster-name", b.cluster.Name, "--addon-name", addon.Name,
				"--pod-identity-associations", "serviceAccount="+m.Subject.ServiceAccount+",roleArn="+m.Role.String())
		}
	}
	b.hold(Hold{Subject: m.Subject, Plane: diff.PlaneAssociation, Reason: OwnerMustAct,
		Message: fmt.Sprintf("association %s belongs to %s and is not as Git wants it", a.ID, cmp.Or(owner, "someone else")), Handoff: h})
}
