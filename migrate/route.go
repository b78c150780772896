package migrate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Leg is one step of the way from where a workload stands to where Git wants it, as a
// person is to read it: what is written where, exactly, and how it is undone.
type Leg struct {
	Phase    Phase      `json:"phase"`    // in which it is taken
	Plane    diff.Plane `json:"plane"`    //
	Do       string     `json:"do"`       // in one sentence
	Object   string     `json:"object"`   // what is written
	Owner    string     `json:"owner"`    // who else owns that, as far as it shows; empty: nobody is known
	Before   string     `json:"before"`   // what is there, whole; empty: nothing
	After    string     `json:"after"`    // what is there then, whole; empty: nothing
	Undo     string     `json:"undo"`     // what takes it back
	Restarts []string   `json:"restarts"` // the pods that end and come again
	Waits    string     `json:"waits"`    // for what, before it is taken; empty: for the step before
	Calls    int        `json:"calls"`    // to AWS and the API server, at least: looks right before and after included
	Others   bool       `json:"-"`        // somebody else must take it: lanyard may not
}

// Route lists the steps that lie before a workload, in their order: the next one first.
// It is empty for one that is settled, or that stands for a person to act. What it says
// of later steps holds if nobody else writes meanwhile; each is looked at again before
// it is taken.
func (a *Assessor) Route(j *diff.Judged, s Standing) []Leg {
	r := route{footing: footing{Assessor: a, j: j, m: j.Mapping}, doc: j.Document, at: s.Phase(), legs: []Leg{}}
	if r.at == PhaseRolledBack || r.at == PhaseSettled || s.Foreign {
		return []Leg{}
	}
	if s.Wanted == identity.PodIdentity {
		r.toPodIdentity(s)
	} else {
		r.toIRSA(s)
	}
	return r.legs
}

// route is one itinerary in the making. The trust policy is followed from step to step.
type route struct {
	footing
	doc  *trust.Document
	at   Phase
	legs []Leg
}

func (r *route) add(l Leg) {
	if l.Restarts == nil {
		l.Restarts = []string{}
	}
	r.legs = append(r.legs, l)
}

func (r *route) toPodIdentity(s Standing) {
	if !s.Trusted {
		r.widen(identity.PodIdentity)
	}
	if s.Armed != identity.PodIdentity {
		role := r.m.Role.String()
		r.add(Leg{Phase: PhaseWidened, Plane: diff.PlaneAssociation, Do: "create the association: from then on new pods get Pod Identity",
			Object: "Pod Identity association of " + r.m.Subject.String(), After: r.association(r.marks()), Calls: 3,
			Undo: "delete the association; pods that have come meanwhile are restarted onto IRSA, which still trusts " + role, Waits: "until the trust has stood for the settling time"})
	}
	if wrong := r.differs(); len(wrong) > 0 {
		leg := Leg{Phase: PhaseCrossing, Plane: diff.PlaneAssociation, Do: "update the association in place, to what Git asks for: " + strings.Join(wrong, ", "),
			Object: "Pod Identity association " + r.j.Association.ID, Owner: notOurs(diff.OwnerOfAssociation(r.j.Association, r.snap.Cluster())),
			Before: r.standing(), After: r.association(r.j.Association.Tags), Undo: "update it to what it was", Calls: 3} // an update leaves tags alone
		if cleared := r.cleared(); len(cleared) > 0 {
			leg.After = r.association(r.marks())
			leg.Others = true
			leg.Do, leg.Undo = "somebody deletes the association and creates it as Git asks, because an update cannot clear "+several(cleared), "create it as it was"
		}
		r.add(leg)
	}
	r.restart(s, identity.PodIdentity)
	if r.oldAnnotation() {
		account := r.j.ServiceAccount
		role := account.Annotations[diff.AnnotationRole]
		r.add(Leg{Phase: PhaseNarrowing, Plane: diff.PlaneServiceAccount, Do: "take the annotation off", Object: "ServiceAccount " + r.m.Subject.String(),
			Owner: notOurs(diff.OwnerOfAnnotation(account, diff.AnnotationRole)), Before: diff.AnnotationRole + ": " + role,
			Undo: "annotate it again", Waits: r.gate(), Calls: 3})
	}
	r.dropOld(s.Wanted)
}

func (r *route) toIRSA(s Standing) {
	if !s.Trusted {
		r.widen(identity.IRSA)
	}
	for _, a := range r.annotations() {
		leg := Leg{Phase: r.first(), Plane: diff.PlaneServiceAccount, Do: "annotate the ServiceAccount", Object: "ServiceAccount " + r.m.Subject.String(),
			Owner: a.owner, After: a.key + ": " + a.want, Undo: "take the annotation off", Calls: 3}
		if s.Armed != identity.IRSA {
			leg.Do += ": it counts once the association is gone"
		}
		if !a.ours {
			leg.Others = true
			leg.Do = "whoever owns the annotation changes it, or the mapping adopts it (adopt: [annotation])"
		}
		if a.have != "" {
			leg.Before, leg.Undo = a.key+": "+a.have, "annotate it with "+a.have+" again"
		}
		r.add(leg)
	}
	if s.Armed != identity.IRSA {
		r.add(Leg{Phase: PhaseWidened, Plane: diff.PlaneAssociation, Do: "delete the association: new pods get IRSA, and pods that are there lose Pod Identity when their credentials run out",
			Object: "Pod Identity association " + r.j.Association.ID, Owner: notOurs(diff.OwnerOfAssociation(r.j.Association, r.snap.Cluster())), Before: r.standing(),
			Undo: "create it again", Waits: "until trust and annotation have stood for the settling time", Calls: 3})
	}
	r.restart(s, identity.IRSA)
	r.dropOld(s.Wanted)
}

// widen adds lanyard's own statement beside what stands.
func (r *route) widen(m identity.Mechanism) {
	quota, _ := r.snap.TrustQuota(r.m.Role.Account)
	grant := r.j.Grant(r.snap.Cluster(), m)
	leg := Leg{Phase: r.first(), Plane: diff.PlaneTrust, Object: "trust policy of role " + r.m.Role.String(), Owner: r.maker(), Calls: 3,
		Do: "add lanyard's own statement " + grant.Sid() + " beside what stands", After: string(grant.Statement()), Undo: "take statement " + grant.Sid() + " out"}
	if !r.mayEdit(grant) {
		leg.Others = true
		leg.Do = "whoever makes the role adds this statement, or the mapping adopts its trust (adopt: [trust])"
	}
	if r.doc != nil {
		leg.Before = r.doc.Text()
		if edit, err := r.doc.Add(grant, quota); err == nil {
			leg.After, r.doc = edit.Document.Text(), edit.Document
		}
	}
	r.add(leg)
}

// first is the phase of a step that mends the trust of the wanted side.
func (r *route) first() Phase {
	if r.at == PhaseCrossing {
		return PhaseCrossing
	}
	return PhasePending
}

// restart moves the pods that are on the other side.
func (r *route) restart(s Standing, to identity.Mechanism) {
	if s.Armed == s.Wanted && r.using(other(to)) == 0 && !r.rolling() {
		return
	}
	var pods []string
	own := 0 // those that end by themselves: of Jobs, or of nobody
	for _, p := range r.j.Pods {
		switch {
		case p.Uses(to):
		case restarted(p):
			pods = append(pods, p.Namespace+"/"+p.Name)
		default:
			own++
		}
	}
	slices.Sort(pods)
	do, waits := "ask the API server what a new pod would be given; then evict one pod and, once its successor is ready, restart the rest", "until a dry run of its own template is given "+to.String()
	switch {
	case len(pods) == 0 && own == 0:
		do = "nothing runs: the next pod is on " + to.String()
	case len(pods) == 0:
		do = "wait until " + count(own, "pod") + " that lanyard does not restart have ended: the next run is on " + to.String()
	case r.m.Migration.Restart == desired.RestartNatural:
		do, pods = "wait until the workload's own next rollout has replaced "+count(len(pods), "pod"), nil
	}
	r.add(Leg{Phase: PhaseCrossing, Plane: diff.PlanePods, Do: do, Object: r.owners(), Restarts: pods, Calls: 2 + 2*len(pods), Waits: waits,
		Before: count(r.using(other(to)), "pod") + " on " + other(to).String(), After: "all pods on " + to.String(), Undo: "roll back: the other side still stands, so the pods are restarted onto it"})
}

// dropOld takes the other side out of the role's trust policy.
func (r *route) dropOld(wanted identity.Mechanism) {
	edit := r.narrow(r.doc)
	if edit == nil {
		return
	}
	waits := r.gate()
	if wanted == identity.PodIdentity && r.oldAnnotation() {
		waits = "for a second soak of " + r.m.Migration.Soak.String() + ", in which hidden readers of the annotation show"
	}
	if wanted == identity.IRSA {
		waits += "; and for " + sessionLife.String() + " after the association has gone, which credentials of Pod Identity may live"
	}
	r.add(Leg{Phase: PhaseNarrowing, Plane: diff.PlaneTrust, Do: "take the old trust out", Object: "trust policy of role " + r.m.Role.String(), Owner: r.maker(),
		Before: r.doc.Text(), After: edit.Document.Text(), Undo: "put the statement back", Waits: waits, Calls: 3})
}

// gate says what narrowing waits for.
func (r *route) gate() string {
	wait := "until every owner has run on the new side for " + r.m.Migration.Soak.String() + " and its use is proven (" + string(r.m.Migration.Proof) + ")"
	if r.at == PhaseSoaking || r.at == PhaseNarrowing {
		if until := r.soakUntil(); until.After(r.snap.Facts().TakenAt) {
			wait += ": not before " + until.UTC().Format(time.RFC3339)
		}
	}
	return wait
}

// association is the call that creates it, as JSON.
func (r *route) association(tags map[string]string) string {
	m := r.m
	call := struct {
		Namespace          string            `json:"namespace"`
		ServiceAccount     string            `json:"serviceAccount"`
		Role               string            `json:"roleArn"`
		TargetRole         string            `json:"targetRoleArn,omitempty"`
		DisableSessionTags bool              `json:"disableSessionTags,omitempty"`
		Policy             string            `json:"policy,omitempty"`
		Tags               map[string]string `json:"tags"`
	}{m.Subject.Namespace, m.Subject.ServiceAccount, m.Role.String(), "", !m.PodIdentity.SessionTags, m.PodIdentity.SessionPolicy, tags}
	if !m.PodIdentity.TargetRole.IsZero() {
		call.TargetRole = m.PodIdentity.TargetRole.String()
	}
	return compact(call)
}

// marks are the tags of an association that lanyard makes.
func (r *route) marks() map[string]string {
	return map[string]string{diff.TagCluster: r.snap.Cluster().ARN(), diff.TagMapping: r.m.Key()}
}

// standing is the association that stands, as JSON.
func (r *route) standing() string { return AssociationJSON(r.j.Association) }

// AssociationJSON writes an association as the call that would create it.
func AssociationJSON(a live.Association) string {
	return compact(struct {
		Namespace          string            `json:"namespace"`
		ServiceAccount     string            `json:"serviceAccount"`
		Role               string            `json:"roleArn"`
		TargetRole         string            `json:"targetRoleArn,omitempty"`
		DisableSessionTags bool              `json:"disableSessionTags,omitempty"`
		Policy             string            `json:"policy,omitempty"`
		Tags               map[string]string `json:"tags,omitempty"`
	}{a.Namespace, a.ServiceAccount, a.Role.String(), a.TargetRole.String(), a.SessionTagsOff, a.SessionPolicy, a.Tags})
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("migrate: what is not data: " + err.Error())
	}
	return string(b)
}

func (r *route) maker() string {
	role, _ := r.snap.Role(r.m.Role)
	return diff.OwnerOfRole(role)
}

// owners names what makes the subject's pods.
func (r *route) owners() string {
	var names []string
	workloads, _ := r.snap.Workloads(r.m.Subject)
	for _, w := range workloads {
		if !w.Done {
			names = append(names, workloadFact(w, "").Name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "no workload"
	}
	return strings.Join(slices.Compact(names), ", ")
}

func (r *route) using(m identity.Mechanism) (n int) {
	for _, p := range r.j.Pods {
		if p.Uses(m) {
			n++
		}
	}
	return n
}

func notOurs(owner string) string {
	if owner == diff.FieldManager {
		return ""
	}
	return owner
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
