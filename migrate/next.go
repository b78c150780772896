package migrate

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/bugs"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Course is what moves depend on besides Git and the live world: what the operator lets
// be done, and what this process has seen and found out.
type Course struct {
	Pace   desired.Pace
	Diff   diff.Options
	Settle time.Duration

	SessionLife time.Duration // how long credentials of Pod Identity live; six hours if zero

	// Seen tells since when a condition has been seen to hold; nil knows of none.
	Seen func(condition string) (since time.Time, known bool)
	// Answers are what the API servers have said that a new pod of a workload would be
	// given; nil was never asked.
	Answers func(s identity.Subject, w live.WorkloadRef) Answers
	// Use tells what has shown that a subject uses the wanted side; nil knows of nothing.
	Use func(identity.Subject) Use
}

// Next is what lies before one mapping now.
type Next struct {
	Phase    Phase
	Standing Standing
	Move     plan.Move
	Asks     []live.WorkloadRef // about whose pods the API server is to be asked
	Proof    bool               // whether the wanted side is used is to be found out
	Used     bool               // it was shown to be
	Soaking  time.Time          // since when all pods have been seen on it; zero: not seen yet
	Crossed  time.Time          // when that side was armed, as far as anything dates it
	Serving  time.Time          // since when the association has been seen to be as it is; zero: not yet
	Slot     bool               // it is on its way, and counts against the workloads that may be
}

// quick is how often subjects that are crossing or rolling back are looked at
// (design.md section 5).
const quick = 5 * time.Second

// Next plans the next step of every judged mapping that is not at rest: at most one
// widening, crossing or narrowing each. Declared are the mappings as Git has them, in
// the same order. What is settled has no entry.
//
// The order of waiting workloads is by risk, so that those that are cheap to lose show
// first whether the rest may follow.
func (a *Assessor) Next(judged []diff.Judged, declared []desired.Mapping, c Course) map[identity.Subject]Next {
	var movers []*mover
	for i := range judged {
		if m := a.mover(&judged[i], declared[i], c); m != nil {
			movers = append(movers, m)
		}
	}
	taken, by := 0, map[string]int{}
	for _, m := range movers {
		if m.next.Slot {
			taken++
			by[m.m.Subject.Namespace]++
		}
	}
	slices.SortStableFunc(movers, func(x, y *mover) int { return x.risk - y.risk })
	forward := a.stopped(judged, c)
	out := make(map[identity.Subject]Next, len(movers))
	for _, m := range movers {
		m.stopped = forward
		m.full = taken >= max(c.Pace.MaxConcurrent, 1) || by[m.m.Subject.Namespace] >= max(c.Pace.PerNamespace, 1)
		m.plan()
		if m.next.Phase == PhaseWidened && len(m.next.Move.Steps) > 0 {
			taken++
			by[m.m.Subject.Namespace]++
		}
		out[m.m.Subject] = m.next
	}
	return out
}

// mover plans the next step of one mapping.
type mover struct {
	footing
	c        Course
	declared desired.Mapping
	next     Next
	risk     int
	full     bool   // no more may be on their way
	stopped  string // why no step forward is taken anywhere
}

// mover returns the planner of a mapping that is not at rest; nil for one that is, of which
// nothing can be said, or that is a repair: nothing has to be moved.
func (a *Assessor) mover(j *diff.Judged, declared desired.Mapping, c Course) *mover {
	m := &mover{footing: footing{Assessor: a, j: j, m: j.Mapping}, c: c, declared: declared, risk: a.Risk(j.Mapping.Subject)}
	m.e = Evidence{
		Settled: func(identity.Subject) bool { _, ok := m.settled(m.readyCondition(), c.Settle); return ok },
		Soaking: func(identity.Subject) time.Time { return m.since(m.soakCondition()) },
		Proven:  func(identity.Subject) bool { return m.used() },
		Serving: func(identity.Subject) time.Time { return m.since(m.servesCondition()) },
	}
	s, holds, ok := a.Stand(j, declared, m.e)
	lost := s.Wanted == identity.PodIdentity && s.Armed != s.Wanted && j.Class != diff.Transition // an association that was there, or never had anything beside it
	if !ok || j.Class == diff.Held || s.Phase() == PhaseSettled || lost && !s.RolledBack {
		return nil
	}
	m.next = Next{Phase: s.Phase(), Standing: s, Move: plan.Move{Subject: m.m.Subject}, Crossed: m.armedAt(j.Wanted),
		Used: m.used(), Soaking: m.since(m.soakCondition()), Serving: m.since(m.servesCondition())}
	m.notes(s)
	waits := false // for a run or for proof: others may go meanwhile
	for _, h := range holds {
		m.say(plan.Reason(h.Code), time.Time{}, "%s", h.Message)
		waits = waits || h.Code == NoRunYet || h.Code == NoProof
	}
	switch m.next.Phase {
	case PhaseCrossing:
		m.next.Slot = s.OldWired && !m.leaves() || m.moves()
	case PhaseSoaking:
		m.next.Slot = !waits
	case PhaseNarrowing: // back on IRSA, proven, and only a statement waits for hours to go: others may go meanwhile
		m.next.Slot = !waits && j.Wanted == identity.PodIdentity
	case PhaseRolledBack:
		m.next.Slot = m.retreating()
	case PhasePending, PhaseWidened, PhaseSettled:
	}
	return m
}

// notes records the conditions that hold now, for waits that the live world does not date.
func (m *mover) notes(s Standing) {
	if s.Trusted && !m.j.Lacks(diff.OIDCProviderMissing, diff.OIDCAudienceMissing) &&
		(s.Wanted == identity.PodIdentity || !m.j.Lacks(diff.AnnotationMissing, diff.AnnotationMismatch, diff.AnnotationTuning)) {
		m.saw(m.readyCondition())
	}
	if s.Armed == s.Wanted && s.Trusted && !s.Moving {
		m.saw(m.soakCondition())
	}
	if m.j.HasAssociation {
		m.saw(m.servesCondition())
	} else {
		m.saw(m.disarmed())
	}
	if phase := s.Phase(); m.leaves() || !m.since(m.leaving()).IsZero() && (phase == PhaseCrossing || phase == PhaseSoaking || phase == PhaseNarrowing) {
		m.saw(m.leaving())
	}
	if m.j.ServiceAccount.Annotations[diff.AnnotationRole] == "" {
		m.saw(m.bared())
	}
}

func (m *mover) now() time.Time { return m.snap.Facts().TakenAt }

func (m *mover) saw(condition string) { m.next.Move.Seen = append(m.next.Move.Seen, condition) }

// since tells since when a condition has been seen to hold; zero if it has not been.
func (m *mover) since(condition string) time.Time {
	if m.c.Seen == nil {
		return time.Time{}
	}
	at, known := m.c.Seen(condition)
	if !known {
		return time.Time{}
	}
	return at
}

// settled reports whether a condition has been seen to hold for a time, and until when
// it must be seen if not.
func (m *mover) settled(condition string, long time.Duration) (until time.Time, ok bool) {
	if bugs.On("settle for nothing") {
		return m.now(), true
	}
	since := m.since(condition)
	if since.IsZero() {
		since = m.now()
	}
	until = since.Add(long)
	return until, !until.After(m.now())
}

// readyCondition names the condition that the wanted side is ready for exactly what Git asks.
func (m *mover) readyCondition() string {
	return fmt.Sprintf("ready: %s %s %s aud=%s tags=%t target=%s", m.m.Subject, m.j.Wanted, m.m.Role, strings.Join(m.j.Audiences(), ","), m.m.PodIdentity.SessionTags, m.m.PodIdentity.TargetRole)
}

// soakCondition names the condition that all pods are on the wanted side.
func (m *mover) soakCondition() string {
	return fmt.Sprintf("all on: %s %s %s", m.m.Subject, m.j.Wanted, m.m.Role)
}

// servesCondition names the condition that the association is as it is.
func (m *mover) servesCondition() string {
	a := m.j.Association
	return fmt.Sprintf("serves: %s %s %s target=%s tags=%t policy=%x", m.m.Subject, a.ID, a.Role, a.TargetRole, !a.SessionTagsOff, sha256.Sum256([]byte(a.SessionPolicy)))
}

// say records why something is not done. With a time it ends by waiting.
func (m *mover) say(reason plan.Reason, until time.Time, format string, args ...any) {
	h := plan.Hold{Subject: m.m.Subject, Reason: reason, NotBefore: until, Message: fmt.Sprintf(format, args...)}
	if !slices.ContainsFunc(m.next.Move.Holds, func(o plan.Hold) bool { return o.Reason == h.Reason && o.Message == h.Message }) {
		m.next.Move.Holds = append(m.next.Move.Holds, h)
	}
}

// wait records what is under way by itself.
func (m *mover) wait(format string, args ...any) {
	m.say(plan.Waiting, m.now().Add(quick), format, args...)
}

func (m *mover) step(s plan.Step) {
	s.Subject = m.m.Subject
	m.next.Move.Steps = append(m.next.Move.Steps, s)
}

// plan plans by the phase.
func (m *mover) plan() {
	switch m.next.Phase {
	case PhasePending:
		m.pending()
	case PhaseWidened:
		m.widened()
	case PhaseCrossing:
		m.crossing()
	case PhaseSoaking:
		m.soaking()
	case PhaseNarrowing:
		m.narrowing()
	case PhaseRolledBack:
		m.rollback()
	case PhaseSettled:
	}
}

// pending makes the wanted side ready, if the workload may move at all.
func (m *mover) pending() {
	if m.next.Standing.Foreign || !m.eligible() || !m.unheld() {
		return
	}
	m.next.Move.Prepare = true
	if m.next.Standing.Trusted {
		if until, ok := m.settled(m.readyCondition(), m.c.Settle); !ok && slices.Contains(m.next.Move.Seen, m.readyCondition()) {
			m.say(plan.Settling, until, "the far side must have been seen ready for %s; then the workload crosses", m.c.Settle)
		}
	}
}

// eligible reports whether Pod Identity can serve the workload. Towards IRSA nothing is
// asked: every workload can be served by it.
func (m *mover) eligible() bool {
	if m.j.Wanted == identity.IRSA || bugs.On("forget Fargate") {
		return true
	}
	a := m.Assess(m.m)
	if a.Verdict == Eligible {
		return true
	}
	var why []string
	for _, r := range a.Reasons {
		why = append(why, string(r.Code))
	}
	for _, g := range a.Gaps {
		why = append(why, string(g.Source)+" unread")
	}
	m.say(plan.NotEligible, time.Time{}, "%s (%s): `lanyard plan %s` shows the facts and the way out", a.Verdict, strings.Join(slices.Compact(why), ", "), m.m.Subject)
	return false
}

// unheld reports whether nobody has asked that the workload stays where it is.
func (m *mover) unheld() bool {
	ns, _ := m.snap.Namespace(m.m.Subject.Namespace)
	mark := cmp.Or(m.j.ServiceAccount.Annotations[diff.PauseMark], ns.Pause)
	switch {
	case m.m.Migration.Hold != "":
		m.say(plan.Held, time.Time{}, "migration.hold: %s", m.m.Migration.Hold)
	case m.c.Pace.Pause:
		m.say(plan.Paused, time.Time{}, "the operator's configuration says migration.pause")
	case mark != "":
		m.say(plan.Paused, time.Time{}, "%s: %s", diff.PauseMark, mark)
	case m.stopped != "":
		m.say(plan.Paused, time.Time{}, "steps forward have stopped by themselves: %s", m.stopped)
	default:
		return true
	}
	return false
}

// mayStart reports whether a crossing or a narrowing may start now.
func (m *mover) mayStart() bool {
	if !m.eligible() || !m.unheld() {
		return false
	}
	if !m.m.Migration.Windows.Open(m.now()) {
		m.say(plan.OutsideWindow, time.Time{}, "migration.window is %s", m.m.Migration.Windows)
		return false
	}
	return true
}

// widened arms the wanted side.
func (m *mover) widened() {
	if !m.mayStart() {
		return
	}
	if m.full {
		m.say(plan.Concurrency, time.Time{}, "as many workloads are on their way as migration.maxConcurrent and perNamespace let be")
		return
	}
	if m.j.Wanted == identity.IRSA && !m.hitless() || !m.answered() {
		return
	}
	m.arm(m.j.Wanted, false)
}

// hitless reports whether nothing would lose its credentials for good with the
// association: a Job's pod, a bare one, or one whose owner lanyard does not know to
// restart, is never made again.
func (m *mover) hitless() bool {
	owners := m.ownersOf()
	for _, p := range m.j.Pods {
		again := slices.ContainsFunc(owners, func(o owner) bool { return o.ref() == p.Owner && o.restartable() })
		if p.Uses(identity.PodIdentity) && !p.Terminating && !again && !bugs.On("delete under Jobs") {
			m.say(plan.NotHitless, time.Time{}, "pod %s runs on Pod Identity and is never made again: the association stays until it has ended", p.Name)
			return false
		}
	}
	return true
}

// moves reports whether lanyard is to move a pod off the other side: Jobs end by
// themselves, and with restart: natural so do the others. Where they would be left without
// credentials it moves them all.
func (m *mover) moves() bool {
	for _, o := range m.ownersOf() {
		if len(o.old) > 0 && o.restartable() && (m.exposes() || m.m.Migration.Restart != desired.RestartNatural) {
			return true
		}
	}
	return false
}

// answered reports whether the API server says now what a new pod of each owner would be
// given, whichever side that is: an owner that cannot be asked about could not be moved.
func (m *mover) answered() bool {
	if _, presence := m.snap.Workloads(m.m.Subject); presence != live.Present {
		m.say(plan.Blind, time.Time{}, "the workloads cannot be read, so nobody can be asked what their new pods would be given")
		return false
	}
	all := true
	for _, o := range m.ownersOf() {
		// A CronJob's Job is asked about by its CronJob.
		if o.restartable() || o.w.Owner.Name == "" && (o.w.Kind == "Job" || o.w.Kind == "CronJob") {
			all = m.shows(o, identity.None) && all
		}
	}
	return all
}

// shows reports whether the API servers show that an owner's new pods would be given a
// side (None: whichever), and says what lacks.
func (m *mover) shows(o owner, side identity.Mechanism) bool {
	ref := o.ref()
	if !slices.Contains(m.next.Asks, ref) {
		m.next.Asks = append(m.next.Asks, ref)
	}
	var answers Answers
	if m.c.Answers != nil {
		answers = m.c.Answers(m.m.Subject, ref)
	}
	ok, why, next := answers.Shows(m.wants(side), m.now())
	if ok || bugs.On("restart unasked") {
		return true
	}
	if !next.After(m.now()) {
		next = m.now().Add(quick)
	}
	reason := plan.Waiting
	if code, words := answers.Hold(); code != "" {
		reason, why = plan.Reason(code), words
		if !m.exposes() {
			next = time.Time{} // a person ends it, not time
		}
	}
	m.say(reason, next, "%s: %s", o, why)
	return false
}

// exposes reports whether pods may be without credentials until the subject has moved.
func (m *mover) exposes() bool {
	return m.next.Phase == PhaseRolledBack || m.next.Phase == PhaseCrossing && m.j.Wanted == identity.IRSA
}

// wants says which answers are good ones.
func (m *mover) wants(side identity.Mechanism) func(Answer) bool {
	switch side {
	case identity.PodIdentity:
		return func(a Answer) bool { return a.Credential == live.CredentialPodIdentity }
	case identity.IRSA:
		role := m.roleBy(identity.IRSA).String()
		return func(a Answer) bool { return a.Credential == live.CredentialIRSA && a.Role == role }
	}
	return func(Answer) bool { return true }
}

// arm lets new pods get the other side, by creating or deleting the association.
func (m *mover) arm(side identity.Mechanism, rescue bool) {
	c := m.snap.Cluster()
	allowed := m.admits(side)
	if bugs.On("cross before widen") {
		allowed.Requests = nil
	}
	if side == identity.PodIdentity {
		m.step(plan.Step{Plane: diff.PlaneAssociation, Effect: plan.Cross, Rescue: rescue,
			Action: plan.CreateAssociation{Role: m.m.Role, TargetRole: m.m.PodIdentity.TargetRole, SessionTagsOff: !m.m.PodIdentity.SessionTags,
				SessionPolicy: m.m.PodIdentity.SessionPolicy, Tags: map[string]string{diff.TagCluster: c.ARN(), diff.TagMapping: m.m.Key()}},
			Guards:  []plan.Guard{allowed, plan.AssociationIs{Subject: m.m.Subject}},
			Because: "from now on new pods get Pod Identity; the role's trust has stood for " + m.c.Settle.String()})
		return
	}
	a := m.j.Association
	m.step(plan.Step{Plane: diff.PlaneAssociation, Effect: plan.Cross, Rescue: rescue, Action: plan.DeleteAssociation{ID: a.ID},
		Guards: []plan.Guard{allowed,
			plan.AnnotationIs{Subject: m.m.Subject, UID: m.j.ServiceAccount.UID, Key: diff.AnnotationRole, Value: m.roleBy(side).String()},
			plan.AssociationIs{Subject: m.m.Subject, ID: a.ID, Role: a.Role}},
		Because: "from now on new pods get IRSA; trust and annotation have stood for " + m.c.Settle.String()})
}

// soaking waits for the gate.
func (m *mover) soaking() {
	if m.fails() || m.stragglers() {
		return
	}
	m.next.Proof = m.m.Migration.Proof != desired.ProofDeclared
	if until := m.soakUntil(); until.After(m.now()) {
		m.say(plan.Settling, until, "all pods are on %s; the old side stays for the soak of %s", m.j.Wanted, m.m.Migration.Soak)
	}
}

// narrowing takes the old side away: one write, then a fresh look.
func (m *mover) narrowing() {
	if m.fails() || m.stragglers() || !m.mayStart() {
		return
	}
	if until, ok := m.settled(m.soakCondition(), m.c.Settle); !ok { // an association just deleted may still be shown
		m.say(plan.Settling, until, "%s must have been seen to be what pods get for %s; then the old side goes", m.j.Wanted, m.c.Settle)
		return
	}
	armed := plan.AssociationIs{Subject: m.m.Subject, ID: m.j.Association.ID, Role: m.j.Association.Role}
	unused := plan.Unused{Subject: m.m.Subject, Mechanism: other(m.j.Wanted)}
	if m.oldAnnotation() {
		account := m.j.ServiceAccount
		old := account.Annotations[diff.AnnotationRole]
		m.step(plan.Step{Plane: diff.PlaneServiceAccount, Effect: plan.Narrow, Action: plan.DropAnnotation{UID: account.UID, Key: diff.AnnotationRole, Old: old},
			Guards: []plan.Guard{plan.AnnotationIs{Subject: m.m.Subject, UID: account.UID, Key: diff.AnnotationRole, Value: old}, armed, unused,
				plan.TrustAllows{Role: m.m.Role, Requests: m.j.Requests(m.snap.Cluster(), m.j.Wanted, m.c.Diff)}},
			Because: "every owner has run on " + m.j.Wanted.String() + " for " + m.m.Migration.Soak.String() + ", and its use is proven"})
		return
	}
	action := m.oldTrust()
	if action == nil {
		return
	}
	condition, wait, why := m.bared(), max(m.m.Migration.Soak, m.c.Settle), "hidden readers of the annotation would show in a second soak"
	if m.j.Wanted == identity.IRSA {
		condition, wait, why = m.disarmed(), cmp.Or(m.c.SessionLife, sessionLife), "credentials of Pod Identity may live that long after the association"
	}
	if until, ok := m.settled(condition, wait); !ok {
		m.say(plan.Settling, until, "the old trust stays for %s: %s", wait, why)
		return
	}
	m.step(plan.Step{Plane: diff.PlaneTrust, Effect: plan.Narrow, Action: action, Guards: []plan.Guard{armed, unused},
		Because: "nothing uses " + other(m.j.Wanted).String() + " any more"})
}

// sessionLife is how long credentials from Pod Identity live.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
const sessionLife = 6 * time.Hour

// disarmed names the condition that there is no association.
func (m *mover) disarmed() string { return "no association: " + m.m.Subject.String() }

// bared names the condition that there is no annotation.
func (m *mover) bared() string { return "no annotation: " + m.m.Subject.String() }

// oldTrust returns what takes the other side out of the role's trust policy; nil where
// nothing does.
func (m *mover) oldTrust() plan.Action {
	doc := m.j.Document
	if m.narrow(doc) == nil {
		return nil
	}
	old := other(m.j.Wanted)
	if sid := m.j.Grant(m.snap.Cluster(), old).Sid(); !m.m.Adopt.Trust {
		return plan.DropTrustStatement{Role: m.m.Role, Sid: sid}
	}
	for _, r := range m.j.Requests(m.snap.Cluster(), old, m.c.Diff) {
		r.IgnoreOthers = false
		if doc.Evaluate(r).Decision != trust.Deny {
			return plan.RevokeTrust{Role: m.m.Role, Request: r}
		}
	}
	return nil
}

// used reports whether something has shown that the wanted side is used, and nothing
// since that the other one is.
func (m *mover) used() bool {
	if m.c.Use == nil {
		return false
	}
	return m.c.Use(m.m.Subject).Proves(m.armedAt(m.j.Wanted), cmp.Or(m.since(m.soakCondition()), m.now()))
}

// young is for how long a pod that came up without credentials stops steps forward
// (design.md section 6).
const young = 15 * time.Minute

// stopped says why no step forward is taken anywhere: a pod that was admitted lately, to
// wiring that had settled, came up without credentials, so the webhook may be failing.
func (a *Assessor) stopped(judged []diff.Judged, c Course) string {
	now := a.snap.Facts().TakenAt
	for i := range judged {
		j := &judged[i]
		wired := j.WiredSince()
		if j.On == identity.None || wired.IsZero() {
			continue
		}
		for _, p := range j.Pods {
			if now.Sub(p.CreatedAt) < young && p.CreatedAt.After(wired.Add(c.Settle)) && j.Uninjected(p) {
				return fmt.Sprintf("pod %s/%s was admitted without credentials %s ago", p.Namespace, p.Name, now.Sub(p.CreatedAt).Round(time.Second))
			}
		}
	}
	return ""
}

// Risk orders workloads by what a failed move would cost: those with several replicas
// first, single ones, Jobs and the cluster's own last. [RiskOf] says it in words.
func (a *Assessor) Risk(s identity.Subject) int {
	r := riskNone
	workloads, _ := a.snap.Workloads(s)
	for _, w := range workloads {
		switch {
		case w.Done:
		case w.Kind == "Job" || w.Kind == "CronJob":
			r = max(r, riskRuns)
		case w.Kind == "StatefulSet":
			r = max(r, riskSingle)
		case w.Replicas < 2 && w.Kind != "DaemonSet":
			r = max(r, riskSingle)
		case w.Kind == "DaemonSet":
			r = max(r, riskNodes)
		}
	}
	if s.Namespace == "kube-system" {
		r += riskSystem
	}
	return r
}

// The kinds of risk, and what is added for the cluster's own.
const (
	riskNone = iota
	riskNodes
	riskSingle
	riskRuns
	riskSystem = 10
)

// RiskOf says in words what a number of [Assessor.Risk] means.
func RiskOf(risk int) string {
	own := ""
	if risk >= riskSystem {
		risk, own = risk-riskSystem, ", and the cluster's own"
	}
	return []string{
		riskNone:   "risk: least, several replicas or nothing that runs now",
		riskNodes:  "risk: low, a DaemonSet",
		riskSingle: "risk: higher, a single replica or a StatefulSet",
		riskRuns:   "risk: highest, Jobs, whose next run shows whether it works",
	}[risk] + own
}
