package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// judge says how much harm the change of a workload may do, and why.
func (v *reviewer) judge(w *Workload, p pair, traced outline.Workload, j *diff.Judged) {
	found := &verdict{v: v, w: w, p: p, caused: slices.Concat(v.caused[w.subject], renamedFrom(v.caused, w))}
	found.held()
	found.asked(traced, j)
	found.stepped()
	found.restarted()
	found.shared()
	if n := w.writes(); n > 0 && len(found.all) == 0 {
		found.add(Writes, "lanyard writes to %s more than it would without this pull request", count(n, "thing"))
	}
	w.Risks = append([]Danger{}, found.all...)
	slices.SortStableFunc(w.Risks, func(a, b Danger) int { return cmp.Compare(a.Code.rank(), b.Code.rank()) })
	w.Risk = None
	for _, d := range w.Risks {
		if d.Risk.AtLeast(w.Risk) {
			w.Risk = d.Risk
		}
	}
}

func renamedFrom(m map[identity.Subject][]Finding, w *Workload) []Finding {
	if w.from == w.subject {
		return nil
	}
	return m[w.from]
}

// verdict collects the dangers of one workload.
type verdict struct {
	v      *reviewer
	w      *Workload
	p      pair
	caused []Finding
	all    []Danger
}

func (d *verdict) add(c Code, format string, args ...any) {
	if !slices.ContainsFunc(d.all, func(x Danger) bool { return x.Code == c }) {
		d.all = append(d.all, danger(c, format, args...))
	}
}

// held: what Git asks for may not or cannot be, or is not known to be possible.
func (d *verdict) held() {
	for _, h := range d.w.Left {
		if h.Reason == plan.OwnerMustAct {
			d.add(WaitsForOwner, "%s", h.Message)
		}
	}
	stuck := len(d.v.gaps(d.p)) > 0 || slices.ContainsFunc(d.caused, func(f Finding) bool { return f.Kind == diff.MappingForbidden || f.Kind == diff.MappingInvalid })
	for _, f := range d.caused {
		switch {
		case f.Kind == diff.MappingForbidden && ruleOf(f.Message) == string(desired.RuleProtect):
			d.add(Protected, "%s", f.Message)
		case f.Kind == diff.MappingForbidden:
			d.add(Forbidden, "%s", f.Message)
		case f.Kind == diff.MappingInvalid:
			d.add(CannotBe, "%s", f.Message)
		case f.Kind == diff.RoleMissing:
			d.add(RoleMissing, "%s: %s", f.Expected, f.Message)
		case f.Severity == diff.Critical && !stuck && !d.w.mends(f):
			d.add(AddsCritical, "%s: %s", f.Kind, f.Message)
		}
	}
	for _, g := range d.v.gaps(d.p) {
		d.add(Unread, "%s was not read, so nothing is done about this workload until it is", g.What)
	}
	if d.p.is == nil {
		d.add(LeavesBehind, "nobody looks after it any more%s", staying(d.w.Stays))
	} else if d.w.From != "" && len(d.w.Stays) > 0 {
		d.add(LeavesBehind, "of %s stays what nobody looks after any more: %s", d.w.From, strings.Join(d.w.Stays, "; "))
	}
}

func staying(stays []string) string {
	if len(stays) == 0 {
		return ""
	}
	return "; what stays live: " + strings.Join(stays, "; ")
}

// mends reports whether a step of lanyard's, or a restart, is on its way about a finding.
func (w Workload) mends(f Finding) bool {
	if f.Plane == diff.PlanePods && len(w.NeedRestart)+len(w.Restarts) > 0 {
		return true
	}
	return slices.ContainsFunc(w.Steps, func(s Step) bool { return s.Plane == f.Plane && s.By != ByOwner })
}

// mendsNow reports the same of the steps that the mode lets lanyard take, and of what
// somebody else restarts.
func (w Workload) mendsNow(f Finding) bool {
	if f.Plane == diff.PlanePods && len(w.NeedRestart) > 0 {
		return true
	}
	return slices.ContainsFunc(w.Steps, func(s Step) bool { return s.Plane == f.Plane && s.taken(w.mode) })
}

// never reports whether nothing is done for it, whatever is read and whoever writes.
func (w Workload) never() bool { return w.Class.Head == diff.Held.String() }

// ruleOf is the guard rail that a finding is of.
func ruleOf(message string) string {
	if rule := desired.RefusedBy(message); rule != desired.RuleNone {
		return string(rule)
	}
	if strings.Contains(message, ": self: ") {
		return "self"
	}
	return "forbidden"
}

// asked: what the fields say.
func (d *verdict) asked(w outline.Workload, j *diff.Judged) {
	if d.p.is == nil {
		return
	}
	m := d.p.is
	if f, changed := d.w.field("roleARN"); changed && d.p.was != nil && !d.w.never() && (j == nil || j.RoleInUse() != f.After) {
		d.add(ChangesRole, "pods get other permissions: role %s instead of %s", f.After, f.Before)
	}
	if role, changed := d.w.field("roleARN"); changed && m.Role.Account != d.v.snap.Cluster().Account {
		d.add(CrossesAccount, "role %s is in account %s, the cluster in %s", role.After, m.Role.Account, d.v.snap.Cluster().Account)
	}
	if f, changed := d.w.field("podIdentity.targetRoleARN"); changed && !m.PodIdentity.TargetRole.IsZero() && m.PodIdentity.TargetRole.Account != d.v.snap.Cluster().Account {
		d.add(CrossesAccount, "target role %s is in account %s, the cluster in %s", f.After, m.PodIdentity.TargetRole.Account, d.v.snap.Cluster().Account)
	}
	if f, changed := d.w.field("adopt"); changed && len(f.After) > len(f.Before) {
		d.add(TakesOver, "lanyard may overwrite what others made: adopt %s", f.After)
	}
	if f, changed := d.w.field("podIdentity.sessionTags"); changed && f.After == "false" {
		d.add(DropsTags, "sessions bear no tags any more, so policies that ask for them allow nothing")
	}
	asks := m.Mechanism == identity.PodIdentity && (d.p.was == nil || d.p.was.Mechanism != identity.PodIdentity || d.p.was.Role != m.Role)
	if asks && j != nil && j.On != identity.PodIdentity {
		switch w.Verdict {
		case migrate.KeepIRSA:
			d.add(NotServed, "Pod Identity cannot serve it, so it stays on IRSA: %s", told(w.Reasons))
		case migrate.Blocked:
			d.add(Blocked, "it does not move until a person clears what stands in the way: %s", told(w.Reasons))
		case migrate.Unclear:
			d.add(Unread, "whether Pod Identity can serve it is not known, so it does not move")
		case migrate.Eligible:
		}
	}
}

func told(reasons []migrate.Reason) string {
	var parts []string
	for _, r := range reasons {
		parts = append(parts, string(r.Code)+" ("+r.Message+")")
	}
	return strings.Join(parts, "; ")
}

// stepped: what the steps do that are not the base's too.
func (d *verdict) stepped() {
	for _, s := range d.w.Steps {
		if s.Old {
			continue
		}
		gone := s.subject() != d.w.subject || d.p.is == nil
		switch {
		case s.By == ByOwner:
			d.add(WaitsForOwner, "%s: %s", s.Object, s.Do)
			continue
		case s.Plane == diff.PlaneTrust:
			d.trust(s)
			continue
		case s.After == "" && gone && s.Plane != diff.PlanePods:
			d.add(RemovesWiring, "%s: %s", s.Object, s.Do)
			continue
		case s.Plane == diff.PlaneAssociation && s.After == "" && d.w.Wanted.Head == identity.IRSA.String():
			d.add(ExposesPods, "%s: %s", s.Object, s.Do)
		}
		if s.By == ByMigrate && s.Plane == diff.PlaneAssociation {
			d.add(Crosses, d.w.migrates()+"new pods get their credentials by %s instead of %s", d.w.Wanted.Head, cmp.Or(d.w.Now.String(), "nothing"))
		}
		if s.Plane == diff.PlaneServiceAccount || s.Plane == diff.PlaneAssociation {
			if ns := d.w.Namespace; ns == "kube-system" || ns == "kube-public" || ns == "kube-node-lease" {
				d.add(SystemPods, "namespace %s holds what the cluster itself runs on", ns)
			}
		}
	}
}

// trust: whom a step lets in, and whom no longer.
func (d *verdict) trust(s Step) {
	var strangers []string
	for i, a := range s.gains {
		if a.Namespace != s.Namespace || a.ServiceAccount != s.ServiceAccount {
			strangers = append(strangers, s.Gains[i])
		}
	}
	if len(strangers) > 0 {
		d.add(WidensTrust, "role %s then lets in more than this ServiceAccount: %s", s.role.Name, strings.Join(strangers, ", "))
	}
	if len(s.Gains) > len(strangers) {
		d.add(AddsTrust, "role %s then lets in %s", s.role.Name, strings.Join(s.Gains, ", "))
	}
	if len(s.Loses) > 0 {
		d.add(NarrowsTrust, "role %s then no longer lets in %s", s.role.Name, strings.Join(s.Loses, ", "))
	}
}

// restarted: whose pods go and come again.
func (d *verdict) restarted() {
	w := d.w
	if len(w.NeedRestart) > 0 {
		d.add(NeedsRestart, "lanyard does not restart %s, which keep what they have until somebody does", count(len(w.NeedRestart), "pod"))
	}
	if len(w.Restarts) == 0 {
		return
	}
	d.add(Restarts, w.migrates()+"lanyard restarts %s of %s", count(len(w.Restarts), "pod"), strings.Join(w.Owners, ", "))
	careful := *d.p.is
	careful.Migration.AllowDisruption = false
	a := d.v.head.assessor.Assess(careful)
	if i := slices.IndexFunc(a.Reasons, func(r migrate.Reason) bool { return r.Code == migrate.RestartDisruptive }); i >= 0 {
		d.add(RestartsHard, "%s, and the mapping allows it", a.Reasons[i].Message)
	}
}

// shared: who else has what is changed.
func (d *verdict) shared() {
	w := d.w
	touches := slices.ContainsFunc(w.Steps, func(s Step) bool { return !s.Old && s.Plane == diff.PlaneTrust })
	_, role := d.w.field("roleARN")
	if !touches && (!role || d.p.is == nil) {
		return
	}
	if len(w.OtherClusters) > 0 {
		d.add(OtherClusters, "other clusters are let in by its role: %s", strings.Join(w.OtherClusters, ", "))
	}
	if len(w.SharedWith) > 0 {
		d.add(SharedRole, "the role is that of %s too", strings.Join(w.SharedWith, ", "))
	}
	for _, r := range w.Trust {
		if r.Limit > 0 && r.Peak*10 >= r.Limit*9 {
			d.add(NearQuota, "the trust policy of %s grows to %d of %d characters", r.Role, r.Peak, r.Limit)
		}
	}
}

// whole are the dangers of the pull request as such.
func (r *Review) whole() {
	if n := len(r.Refused); n > 0 {
		r.Risks = append(r.Risks, danger(Refused, "the head has %s, so nothing of it is followed: the last accepted revision stays in force", count(n, "mistake")))
	}
	for _, t := range r.Together {
		if n := len(t.Mappings); n >= many {
			d := danger(ManyMappings, "%s of %d mappings is changed at once%s", t.Field, n, at(t.Position))
			d.at = t.at
			r.Risks = append(r.Risks, d)
			break
		}
	}
	if q := r.Quotas.Associations; q.Head > q.Base && q.Head*10 >= q.Limit*9 {
		r.Risks = append(r.Risks, danger(NearQuota, "the cluster will have %d of %d associations", q.Head, q.Limit))
	}
	for _, rail := range r.Rails {
		if rail.Rule == railMass {
			r.Risks = append(r.Risks, danger(MassRemoval, "%s", rail.Message))
		}
	}
	slices.SortStableFunc(r.Risks, func(a, b Danger) int { return cmp.Compare(a.Code.rank(), b.Code.rank()) })
}

// many is how many mappings make one line dangerous.
const many = 5

func at(position string) string {
	if position == "" {
		return ""
	}
	return fmt.Sprintf(", at %s", position)
}
