package plan

import (
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// sessionLife is how long credentials from Pod Identity live, so how long a role is
// still needed after nothing points at it any more.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html; the
// agent's cache may hold them as long (design.md section 5).
const sessionLife = 6 * time.Hour

// massRemoval is the tenth of what bears our mark above which nothing is pruned.
const massRemoval = 10

// leftovers narrows lanyard's own statements that a changed mapping no longer asks
// for: those on the role of before, and those of another width.
func (b *builder) leftovers() {
	for _, o := range b.in.Result.Orphans {
		if o.Gone {
			continue
		}
		j := b.judged(o.Subject)
		if j == nil || j.Class == diff.Held || j.Class == diff.Blind {
			continue // said already
		}
		if b.busy(o.Subject) {
			b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: Settling, Message: "something else is under way for this ServiceAccount; after that: drop statement " + o.Sid + " of role " + o.Role.Name})
			continue
		}
		if o.Role == j.Mapping.Role {
			b.dropWidth(j, o)
		} else {
			b.dropOldRole(j, o)
		}
	}
}

func (b *builder) judged(s identity.Subject) *diff.Judged {
	for i := range b.in.Result.Judged {
		if b.in.Result.Judged[i].Mapping.Subject == s {
			return &b.in.Result.Judged[i]
		}
	}
	return nil
}

// widths adds our statement of the width that Git asks for now, where one of another
// width stands and would be dropped for it.
func (b *builder) widths() {
	for _, o := range b.in.Result.Orphans {
		j := b.judged(o.Subject)
		if o.Gone || j == nil || o.Role != j.Mapping.Role || !b.mends(j) || b.busy(o.Subject) || b.enough(j, o) {
			continue
		}
		grant, doc := j.Grant(b.cluster, j.Wanted), b.document(o.Role)
		if !j.Mapping.Adopt.Trust {
			b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
				Message: "Git asks for another width of trust, which needs another statement: add it, or let the mapping adopt: [trust]",
				Handoff: &Handoff{What: "add this statement to the trust policy of role " + o.Role.Name, JSON: string(grant.Statement()), HCL: grant.HCL()}})
			continue
		}
		quota, _ := b.in.Snapshot.TrustQuota(o.Role.Account)
		beside, err := doc.Add(grant, quota)
		switch {
		case err != nil:
			b.trustRefused(j, err)
		case !beside.Changed:
			b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct,
				Message: "the statement of width " + grant.Width.String() + " stands beside the old one, but alone it does not allow: " + o.Finding.Message})
		default:
			b.edit(beside, Step{Subject: o.Subject, Plane: diff.PlaneTrust, Effect: Widen,
				Action:  PutTrustStatement{Role: o.Role, Grant: grant, Quota: quota},
				Guards:  []Guard{TrustIs{Role: o.Role, Digest: doc.Digest()}},
				Because: "Git asks for trust of width " + grant.Width.String() + "; the old statement goes once this one has been seen to allow"})
		}
	}
}

// enough reports whether the policy allows what Git asks for without our statement of
// another width.
func (b *builder) enough(j *diff.Judged, o diff.Orphan) bool {
	edit, err := b.document(o.Role).RemoveSid(o.Sid)
	return err == nil && evaluate(edit.Document, j.Requests(b.cluster, j.Wanted, b.in.Policy.Diff)).Decision == trust.Allow
}

// dropWidth drops our statement of another width, once the policy has been seen to
// allow without it for settle.
func (b *builder) dropWidth(j *diff.Judged, o diff.Orphan) {
	switch {
	case !b.mends(j):
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: Settling, Message: "something else comes first for this ServiceAccount; after that: " + o.Finding.Message})
	case b.enough(j, o):
		b.narrow(j, o, "trust allows without "+o.Sid+" "+trustCondition(j), b.in.Policy.Settle, Unused{Subject: o.Subject})
	}
}

// dropOldRole drops our statement on the role of before, once nothing live can still
// ask for it.
func (b *builder) dropOldRole(j *diff.Judged, o diff.Orphan) {
	if j.RoleInUse() == o.Role.String() || j.Class == diff.Transition {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: InUse, Message: fmt.Sprintf("statement %s of role %s stays while pods get that role", o.Sid, o.Role.Name)})
		return
	}
	wait, condition := b.in.Policy.Settle, "old role unused: "+o.Subject.String()+" "+o.Role.String()
	if o.Mechanism == identity.IRSA && j.Wanted == identity.PodIdentity { // hidden readers of the annotation, as in a narrowing
		wait = max(wait, j.Mapping.Migration.Soak)
	}
	if o.Mechanism == identity.PodIdentity && j.HasAssociation {
		if until := j.Association.ModifiedAt.Add(sessionLife); until.After(b.now) {
			b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: Settling, NotBefore: until,
				Message: fmt.Sprintf("credentials of role %s may still be held by pods for %s after the association's update; then drop statement %s", o.Role.Name, sessionLife, o.Sid)})
			return
		}
	}
	b.narrow(j, o, condition, wait, Unused{Subject: o.Subject, Mechanism: irsaOnly(o.Mechanism), Role: o.Role})
}

// irsaOnly leaves Pod Identity out of a question about live users by role: its pods
// do not show their role, and are waited out by time instead.
func irsaOnly(m identity.Mechanism) identity.Mechanism {
	if m == identity.PodIdentity {
		return identity.None
	}
	return m
}

// narrow plans one removal of a statement, once nothing uses it and that has been so
// for a time.
func (b *builder) narrow(j *diff.Judged, o diff.Orphan, condition string, wait time.Duration, unused Unused) {
	if user, known := firstUser(b.in.Snapshot, unused); !known || user != "" {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: InUse, Message: fmt.Sprintf("statement %s of role %s stays: %s uses it", o.Sid, o.Role.Name, orUnknown(user))})
		return
	}
	until, ok := b.settled(condition, wait)
	if !ok {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: Settling, NotBefore: until, Message: "then drop statement " + o.Sid + " of role " + o.Role.Name})
		return
	}
	doc := b.document(o.Role)
	if doc == nil {
		return
	}
	edit, err := doc.RemoveSid(o.Sid)
	if err != nil {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: OwnerMustAct, Message: fmt.Sprintf("statement %s of role %s is not dropped: %v", o.Sid, o.Role.Name, err)})
		return
	}
	if user := b.loses(o.Role, doc, edit.Document); user != "" {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: InUse, Message: fmt.Sprintf("statement %s of role %s stays: %s lives on it", o.Sid, o.Role.Name, user)})
		return
	}
	guards := []Guard{TrustIs{Role: o.Role, Digest: doc.Digest()}, unused}
	if j == nil || o.Role != j.Mapping.Role {
		guards = append(guards, NotWired{Subject: o.Subject, Mechanism: o.Mechanism, Role: o.Role})
	}
	b.edit(edit, Step{Subject: o.Subject, Plane: diff.PlaneTrust, Effect: Narrow,
		Action:  DropTrustStatement{Role: o.Role, Sid: o.Sid},
		Guards:  guards,
		Because: o.Finding.Message})
}

func orUnknown(user string) string {
	if user == "" {
		return "something that cannot be read now"
	}
	return user
}

// prune removes what bears our mark and has left Git, one thing per subject and
// round: first what gives new pods a role, then, when that is long gone, the trust.
func (b *builder) prune() {
	var gone []diff.Orphan
	for _, o := range b.in.Result.Orphans {
		if o.Gone {
			gone = append(gone, o)
		}
	}
	if len(gone) == 0 {
		return
	}
	stop := Hold{Plane: diff.PlaneGit}
	unread := b.anyUnread(live.SourceListAssociations, live.SourceDescribeAssociation, live.SourceServiceAccounts, live.SourceRole, live.SourceRoles, live.SourceAuthorizationDetails)
	switch {
	case unread != "":
		stop.Reason, stop.Message = Blind, "it has left Git, but how much else of ours has cannot be told while this is unread: "+unread
	case b.in.Policy.Prune != desired.PruneOwned:
		stop.Reason, stop.Message = PruneOff, "it has left Git and bears lanyard's mark; it stays unless the configuration says prune: owned"
	case len(gone)*massRemoval > b.in.Result.Marks && !b.accepted():
		stop.Reason = MassRemoval
		stop.Message = fmt.Sprintf("%d of %d things that bear lanyard's mark have left Git at once, which is more than a tenth: nothing is removed until the configuration has source.accept: %s", len(gone), b.in.Result.Marks, b.in.Revision.Commit)
	}
	for _, o := range gone {
		if stop.Reason != "" {
			h := stop
			h.Subject = o.Subject
			b.hold(h)
			continue
		}
		b.pruneOne(o, gone)
	}
}

// anyUnread names a source of which something could not be read.
func (b *builder) anyUnread(sources ...live.Source) string {
	for _, source := range sources {
		if b.in.Snapshot.Unread(source) {
			return string(source)
		}
	}
	return ""
}

// accepted reports whether the operator has looked at this commit's removals.
func (b *builder) accepted() bool {
	return b.in.Policy.Accept != "" && b.in.Revision.Commit == b.in.Policy.Accept
}

func (b *builder) pruneOne(o diff.Orphan, gone []diff.Orphan) {
	if b.busy(o.Subject) {
		return
	}
	if o.Sid != "" {
		b.pruneStatement(o, gone)
		return
	}
	unused := Unused{Subject: o.Subject, Mechanism: o.Mechanism, Templates: true}
	if user, known := firstUser(b.in.Snapshot, unused); !known || user != "" {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneGit, Reason: InUse, Message: o.Finding.Message + "; it stays: " + orUnknown(user) + " uses it"})
		return
	}
	s := Step{Subject: o.Subject, Effect: Narrow, Because: o.Finding.Message, Guards: []Guard{unused}}
	if o.Association != nil {
		s.Plane, s.Action = diff.PlaneAssociation, DeleteAssociation{ID: o.Association.ID}
		s.Guards = append(s.Guards, AssociationIs{Subject: o.Subject, ID: o.Association.ID, Role: o.Association.Role})
	} else {
		a, _ := b.in.Snapshot.ServiceAccount(o.Subject)
		s.Plane, s.Action = diff.PlaneServiceAccount, DropAnnotation{UID: a.UID, Key: diff.AnnotationRole, Old: o.Annotation}
		s.Guards = append(s.Guards, AnnotationIs{Subject: o.Subject, UID: a.UID, Key: diff.AnnotationRole, Value: o.Annotation})
	}
	b.try(s)
}

// pruneStatement waits until nothing of the subject is wired, and for as long as
// credentials may live after that.
func (b *builder) pruneStatement(o diff.Orphan, gone []diff.Orphan) {
	wired, known := wiredTo(b.in.Snapshot, o.Subject, o.Mechanism, o.Role)
	if _, presence := b.in.Snapshot.Association(o.Subject); o.Mechanism == identity.PodIdentity && presence != live.Absent {
		wired = true // whatever its role: credentials of this one may have been given out before
	}
	if wired || !known {
		b.hold(Hold{Subject: o.Subject, Plane: diff.PlaneTrust, Reason: InUse, Message: fmt.Sprintf("statement %s of role %s stays while the ServiceAccount is, or may be, wired", o.Sid, o.Role.Name)})
		return
	}
	wait := sessionLife
	if o.Mechanism == identity.IRSA {
		wait = b.in.Policy.Settle
	}
	b.narrow(nil, o, "nothing wired: "+o.Subject.String()+" "+o.Mechanism.String()+" "+o.Role.String(), wait, Unused{Subject: o.Subject, Mechanism: o.Mechanism, Role: o.Role})
}
