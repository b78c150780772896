package migrate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// What the small fleets of the schedules are made with.
const (
	fleetSettle = time.Minute
	fleetSoak   = 2 * time.Minute
)

var fleetCluster = identity.Cluster{Name: "irsa-lab", Region: "eu-west-1", Account: account, Partition: "aws", Issuer: issuer}

// late is a value that some readers see only after a while.
type late[T any] struct {
	now, before T
	from        time.Time // when the new one shows
}

func (l *late[T]) set(v T, from, now time.Time) {
	l.before, l.now, l.from = l.at(now), v, from
}

func (l *late[T]) at(now time.Time) T {
	if now.Before(l.from) {
		return l.before
	}
	return l.now
}

// simRole is one role's trust policy: as written, as read, and as STS and EKS obey it.
type simRole struct {
	text       string
	read, obey late[string]
	harmed     bool // another hand took a statement out since lanyard last put one in
}

// simPod is one pod.
type simPod struct {
	name     string
	side     identity.Mechanism // None: it came up without credentials
	role     string             // on IRSA: the role that it was given
	created  time.Time
	ready    bool
	restarts int
	template int
	ended    bool
	exposed  bool // on Pod Identity since before its association was deleted
}

// simOwner is one workload.
type simOwner struct {
	kind, name         string
	replicas, template int
	restartedAt        string
	pausedBy           string
	onDelete, paused   bool
	strategy           live.Strategy
	pods               []*simPod
	made, restarts     int
}

// simSubject is one ServiceAccount with what wires it and what it makes pods for.
type simSubject struct {
	s           identity.Subject
	m           desired.Mapping
	role        string // that Git asks for
	annotations map[string]string
	hook        late[string] // the role annotation as the webhook sees it
	association *live.Association
	read        late[*live.Association]
	auth        late[string] // the role that EKS Auth gives by it; empty: it knows of none
	shown       late[bool]   // whether the webhook does; never before EKS Auth
	owners      []*simOwner
	broken      bool      // its image cannot use Pod Identity
	fargate     bool      // its pods run where no agent is
	created     int       // associations
	harmed      time.Time // until when what another hand did to it is not held against lanyard
}

// fleet is a small cluster in virtual time, with lanyard at work in it.
type fleet struct {
	*rand.Rand
	now       time.Time
	subjects  []*simSubject
	roles     map[string]*simRole
	memory    plan.Memory
	answers   map[string]migrate.Answers
	pace      desired.Pace
	faults    int // percent of writes that fail, lie or end in a crash
	lateness  time.Duration
	log       []string
	tick      time.Duration // between rounds while something is under way
	agents    time.Time     // until when no agent is ready, as far as lanyard sees
	outage    time.Time     // until when the webhook is down: pods are admitted without credentials
	down      time.Time     // since when
	blind     int           // percent of looks that miss something
	next      map[identity.Subject]migrate.Next
	exposed   int
	last      plan.Plan
	gaps      []live.Gap // of the last round's look
	judged    map[[3]string]bool
	documents live.Documents
	held      []plan.Hold // of the last round that missed nothing
}

func (f *fleet) note(format string, args ...any) {
	f.log = append(f.log, f.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// delay is how late a write shows: up to a third of settle (design.md, law 1).
func (f *fleet) delay() time.Time {
	if f.lateness == 0 {
		return f.now
	}
	return f.now.Add(rand.N(f.lateness))
}

func (f *fleet) edit(name, text string) {
	r := f.roles[name]
	r.text = text
	at := f.now.Add(f.upTo(f.lateness))
	r.obey.set(text, at, f.now)
	r.read.set(text, f.now.Add(f.upTo(at.Sub(f.now))), f.now)
}

func (f *fleet) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(f.Int64N(int64(d)))
}

// admit gives a new pod what the webhook would, with the name of IRSA's role.
func (f *fleet) admit(s *simSubject) (identity.Mechanism, string) {
	switch {
	case f.now.Before(f.outage):
		return identity.None, ""
	case s.shown.at(f.now):
		return identity.PodIdentity, ""
	case s.hook.at(f.now) != "":
		return identity.IRSA, arn(s.hook.at(f.now)).Name
	}
	return identity.None, ""
}

func (f *fleet) make(s *simSubject, o *simOwner) *simPod {
	o.made++
	side, role := f.admit(s)
	p := &simPod{name: fmt.Sprintf("%s-%d", o.name, o.made), side: side, role: role, created: f.now, template: o.template}
	p.exposed = p.side == identity.PodIdentity && s.association == nil
	o.pods = append(o.pods, p)
	return p
}

// end ends a pod; its owner makes it again at once.
func (f *fleet) end(s *simSubject, o *simOwner, p *simPod) {
	o.pods = slices.DeleteFunc(o.pods, func(q *simPod) bool { return q == p })
	if len(o.pods) < o.replicas && o.kind != "Job" {
		q := f.make(s, o)
		if o.kind == "StatefulSet" || o.kind == "DaemonSet" || o.onDelete || o.paused {
			q.template = o.template
		}
	}
}

// obtains is the oracle: whether a pod on a side obtains credentials now, by what AWS
// obeys. It reads the policy by itself, for the two shapes of statement that there are.
func (f *fleet) obtains(s *simSubject, side identity.Mechanism, role string) bool {
	switch side {
	case identity.IRSA:
		return f.lets(f.roles[role].obey.at(f.now), "sts:AssumeRoleWithWebIdentity", "system:serviceaccount:"+s.s.Namespace+":"+s.s.ServiceAccount)
	case identity.PodIdentity:
		role = s.auth.at(f.now)
		return !s.fargate && role != "" && f.lets(f.roles[role].obey.at(f.now), "sts:AssumeRole", s.s.ServiceAccount)
	}
	return false
}

// lets reports whether a statement allows an action and names the text among its
// conditions' values.
func (f *fleet) lets(document, action, value string) bool {
	key := [3]string{document, action, value}
	is, known := f.judged[key]
	if !known {
		is = lets(document, action, value)
		f.judged[key] = is
	}
	return is
}

func lets(document, action, value string) bool {
	var d struct {
		Statement []struct {
			Effect    string
			Action    any
			Condition map[string]map[string]any
		}
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		panic(err)
	}
	has := func(v any, text string) bool {
		list, is := v.([]any)
		return v == text || is && slices.Contains(list, any(text))
	}
	for _, st := range d.Statement {
		if st.Effect != "Allow" || !has(st.Action, action) {
			continue
		}
		for _, keys := range st.Condition {
			for _, v := range keys {
				if has(v, value) {
					return true
				}
			}
		}
	}
	return false
}

// law1 is the first law: every running pod, and every pod that would be admitted now,
// obtains credentials. What a deleted association exposes is booked apart.
func (f *fleet) law1() error {
	for _, s := range f.subjects {
		if f.now.Before(s.harmed) {
			continue
		}
		for _, o := range s.owners {
			for _, p := range o.pods {
				if p.ended || p.side == identity.None {
					continue
				}
				if p.side == identity.PodIdentity && s.association == nil {
					if !p.exposed && o.kind == "CronJob" && s.annotations[migrate.RolledBackMark] == "" {
						return fmt.Errorf("pod %s of %s is a Job's, and its association was deleted under it", p.name, s.s)
					}
					p.exposed = true
				}
				if !p.exposed && !f.obtains(s, p.side, p.role) && !f.lost(s, p.side, p.role) {
					return fmt.Errorf("pod %s of %s is on %s, and obtains no credentials", p.name, s.s, p.side)
				}
			}
		}
		side, role := f.admit(s)
		if side == identity.None && !f.now.Before(f.outage) {
			return fmt.Errorf("a pod of %s admitted now would get nothing", s.s)
		}
		if side != identity.None && !f.obtains(s, side, role) && !f.lost(s, side, role) && !(side == identity.PodIdentity && s.association == nil) {
			return fmt.Errorf("a pod of %s admitted now would be on %s, and obtain no credentials", s.s, side)
		}
	}
	return nil
}

// lost reports whether another hand took away a role that Git has turned from meanwhile:
// lanyard edits the trust of no role that Git does not name.
func (f *fleet) lost(s *simSubject, side identity.Mechanism, role string) bool {
	if side == identity.PodIdentity {
		role = s.auth.at(f.now)
	}
	return role != "" && role != s.role && f.roles[role].harmed
}

// advance lets time pass in small steps, and the cluster live.
func (f *fleet) advance(d time.Duration) error {
	for end := f.now.Add(d); f.now.Before(end); {
		f.now = f.now.Add(min(5*time.Second, end.Sub(f.now)))
		for _, s := range f.subjects {
			for _, o := range s.owners {
				f.live(s, o)
			}
		}
		if err := f.law1(); err != nil {
			return err
		}
		if far := end.Sub(f.now); far > 10*time.Minute && f.still() { // nothing moves: skip
			f.now = end.Add(-time.Minute)
		}
	}
	return nil
}

// still reports whether nothing in the cluster is under way.
func (f *fleet) still() bool {
	for _, s := range f.subjects {
		if f.now.Before(s.hook.from) || f.now.Before(s.auth.from) || f.now.Before(s.shown.from) || slices.ContainsFunc(slices.Collect(maps.Values(f.roles)), func(r *simRole) bool { return f.now.Before(r.obey.from) }) {
			return false
		}
		for _, o := range s.owners {
			if o.rolling() || slices.ContainsFunc(o.pods, func(p *simPod) bool { return !p.ready && !p.ended }) {
				return false
			}
		}
	}
	return true
}

func (o *simOwner) rolling() bool {
	return o.kind != "CronJob" && (slices.ContainsFunc(o.pods, func(p *simPod) bool { return p.template != o.template && !p.ended }) && !o.onDelete || len(o.pods) > o.replicas)
}

// live lets an owner and its pods do what is due.
func (f *fleet) live(s *simSubject, o *simOwner) {
	for _, p := range o.pods {
		age := f.now.Sub(p.created)
		switch {
		case p.ended:
		case s.broken && p.side == identity.PodIdentity:
			p.restarts = int(age / (20 * time.Second))
		case p.side == identity.None && f.IntN(2) == 0: // whatever it does without
			p.ready = age >= 10*time.Second
		default:
			p.ready = age >= 10*time.Second
		}
	}
	if o.kind == "CronJob" {
		for _, p := range o.pods {
			if f.now.Sub(p.created) > time.Minute {
				p.ended = true
			}
		}
		if n := len(o.pods); n == 0 || f.now.Sub(o.pods[n-1].created) > 10*time.Minute {
			f.make(s, o)
		}
		if len(o.pods) > 2 {
			o.pods = o.pods[1:]
		}
		return
	}
	if o.pausedBy != "" || o.paused || !o.rolling() {
		return
	}
	old := slices.IndexFunc(o.pods, func(p *simPod) bool { return p.template != o.template })
	fresh := slices.ContainsFunc(o.pods, func(p *simPod) bool { return p.template == o.template && !p.ready })
	switch {
	case fresh: // its own controller waits
	case len(o.pods) > o.replicas && old >= 0:
		o.pods = slices.Delete(o.pods, old, old+1)
	case len(o.pods) > o.replicas:
		o.pods = o.pods[:o.replicas]
	case o.kind == "Deployment":
		f.make(s, o)
	default:
		f.end(s, o, o.pods[old])
	}
}

// facts is what a look shows.
func (f *fleet) facts() live.Facts {
	base := eligible().f
	for i := range base.Nodes {
		base.Nodes[i].AgentReady = !f.now.Before(f.agents)
	}
	out := live.Facts{TakenAt: f.now, ReadAt: f.now, Cluster: base.Cluster, Namespaces: base.Namespaces, Nodes: base.Nodes, Webhook: base.Webhook, Addons: base.Addons,
		FargateProfiles: base.FargateProfiles, NodeGroups: base.NodeGroups, Accounts: base.Accounts, Providers: base.Providers,
		Workloads: []live.Workload{base.Workloads[1]}, Roles: []live.Role{base.Roles[1]}}
	for _, name := range slices.Sorted(maps.Keys(f.roles)) {
		out.Roles = append(out.Roles, live.Role{ARN: arn("arn:aws:iam::" + account + ":role/" + name), Presence: live.Present, TrustPolicy: f.roles[name].read.at(f.now), PoliciesRead: true})
	}
	for _, s := range f.subjects {
		a := live.ServiceAccount{Namespace: s.s.Namespace, Name: s.s.ServiceAccount, UID: "uid-" + s.s.ServiceAccount, Annotations: maps.Clone(s.annotations)}
		out.ServiceAccounts = append(out.ServiceAccounts, a)
		if x := s.read.at(f.now); x != nil {
			out.Associations = append(out.Associations, *x)
		}
		for _, o := range s.owners {
			w := live.Workload{Namespace: s.s.Namespace, Kind: o.kind, Name: o.name, UID: "uid-" + o.name, ServiceAccount: s.s.ServiceAccount, Replicas: o.replicas,
				PodLabels: map[string]string{"app": o.name}, Containers: []live.Template{{Name: "app", Image: "docker.io/amazon/aws-cli:2.33.0"}},
				RestartedAt: o.restartedAt, PausedBy: o.pausedBy, Suspended: o.paused || o.pausedBy != "" && o.kind == "Deployment", Rolling: o.rolling(), Strategy: o.strategy}
			out.Workloads = append(out.Workloads, w)
			for _, p := range o.pods {
				x := live.Pod{Namespace: s.s.Namespace, Name: p.name, UID: "uid-" + p.name, ServiceAccount: s.s.ServiceAccount, Node: node, Owner: live.WorkloadRef{Kind: o.kind, Name: o.name},
					CreatedAt: p.created, Phase: "Running", Ready: p.ready, Restarts: p.restarts, Fargate: s.fargate}
				c := live.Container{Name: "app", Credential: live.CredentialNone}
				switch {
				case p.ended:
					x.Phase, x.Ready = "Succeeded", false
				case p.restarts > 0 && !p.ready:
					x.Trouble = live.TroubleCrash
				}
				switch p.side {
				case identity.IRSA:
					c.Credential, c.Role, c.Audience = live.CredentialIRSA, roleText(p.role), "sts.amazonaws.com"
				case identity.PodIdentity:
					c.Credential = live.CredentialPodIdentity
				}
				x.Containers = []live.Container{c}
				out.Pods = append(out.Pods, x)
			}
		}
	}
	if f.IntN(100) < f.blind {
		gap := live.Gap{Source: live.SourcePods, Reason: live.GapThrottled}
		switch f.IntN(3) {
		case 0:
			out.Pods = nil
		case 1:
			out.Associations, gap.Source = nil, live.SourceListAssociations
		case 2:
			out.ServiceAccounts, gap.Source = nil, live.SourceServiceAccounts
		}
		out.Gaps = append(out.Gaps, gap)
	}
	return out
}

func (f *fleet) snapshot() *live.Snapshot {
	snap, err := live.NewWith(f.facts(), &f.documents)
	if err != nil {
		panic(err)
	}
	return snap
}

// ask asks about the pods that the last plan wants to know of.
func (f *fleet) ask() {
	for s, n := range f.next {
		for _, ref := range n.Asks {
			key := s.String() + ref.Name
			x := f.subject(s)
			a := migrate.Answer{At: f.now, Result: migrate.AnswerGiven, Credential: live.CredentialNone}
			switch side, role := f.admit(x); side {
			case identity.PodIdentity:
				a.Credential = live.CredentialPodIdentity
			case identity.IRSA:
				a.Credential, a.Role = live.CredentialIRSA, roleText(role)
			}
			f.answers[key] = f.answers[key].Add([]migrate.Answer{a})
		}
	}
}

func (f *fleet) subject(s identity.Subject) *simSubject {
	return f.subjects[slices.IndexFunc(f.subjects, func(x *simSubject) bool { return x.s == s })]
}

var errCrash = errors.New("lanyard was killed")

// round makes one round: look, compare, plan, apply. It returns whether anything was
// planned or is waited for, and until when.
func (f *fleet) round() (until time.Time, busy bool, err error) {
	snap := f.snapshot()
	f.gaps = snap.Gaps()
	var declared []desired.Mapping
	for _, s := range f.subjects {
		declared = append(declared, s.m)
	}
	a := migrate.NewAssessor(snap, migrate.Options{Mappings: declared, Brief: true})
	state := desired.State{}
	for _, m := range declared {
		state.Mappings = append(state.Mappings, a.Resolve(m))
	}
	result := diff.Compare(state, snap, diff.Options{})
	f.ask()
	f.next = a.Next(result.Judged, declared, migrate.Course{Pace: f.pace, Settle: fleetSettle,
		Seen:    func(c string) (time.Time, bool) { at, known := f.memory.Seen[c]; return at, known },
		Answers: func(s identity.Subject, w live.WorkloadRef) migrate.Answers { return f.answers[s.String()+w.Name] }})
	moves := map[identity.Subject]plan.Move{}
	for s, n := range f.next {
		moves[s] = n.Move
	}
	policy := plan.DefaultPolicy()
	policy.Settle, policy.RemovalsPerHour = fleetSettle, 100
	p, memory := plan.Repair(plan.Input{Result: result, Snapshot: snap, Policy: policy, Memory: f.memory, Moves: moves})
	f.last, f.memory = p, memory
	if len(f.gaps) == 0 {
		f.held = p.Holds
	}
	if err := f.told(p); err != nil {
		return until, true, err
	}
	for _, step := range p.Steps {
		if err := f.take(step); errors.Is(err, errCrash) {
			f.note("%v", err)
			f.memory, f.answers, f.next = plan.Memory{}, map[string]migrate.Answers{}, nil
			return f.now, true, f.law1()
		} else if err != nil {
			return until, true, err
		}
		if err := f.law1(); err != nil {
			return until, true, err
		}
	}
	for _, h := range p.Holds {
		if h.Waits() && (until.IsZero() || h.NotBefore.Before(until)) {
			until = h.NotBefore
		}
	}
	return until, len(p.Steps) > 0 || !until.IsZero(), nil
}

// told holds a plan to saying why: whoever is on its way has a step, or a hold. A rollout
// of an owner's own is nobody's way.
func (f *fleet) told(p plan.Plan) error {
	for s, n := range f.next {
		said := slices.ContainsFunc(p.Steps, func(st plan.Step) bool { return st.Subject == s }) || slices.ContainsFunc(p.Holds, func(h plan.Hold) bool { return h.Subject == s })
		if own := n.Phase == migrate.PhaseCrossing && !n.Standing.OldWired; !said && !own {
			return fmt.Errorf("%s is %s, and the plan does not say why nothing is done: %+v", s, n.Phase, n.Standing)
		}
	}
	return nil
}

// take takes one step, or one of the ways in which it may go wrong.
func (f *fleet) take(step plan.Step) error {
	fate := f.IntN(100)
	if fate < f.faults/4 {
		return errCrash // before the write
	}
	snap := f.snapshot()
	for _, g := range step.Guards {
		if err := g.Check(snap); err != nil {
			f.note("%s: skipped: %v", step.Action, err)
			return nil
		}
	}
	if fate < f.faults/2 {
		f.note("%s: failed", step.Action)
		f.memory = f.memory.RecordFailed(f.now, step)
		return nil
	}
	f.note("%s (%s)", step.Action, step.Because)
	if err := f.fair(step); err != nil {
		return err
	}
	f.write(step)
	if fate < 3*f.faults/4 {
		return errCrash // after the write
	}
	if fate >= f.faults {
		f.memory = f.memory.Record(f.now, step)
	} // else the error lied
	return nil
}

// fair holds a step that ends pods to what design.md section 6 promises of it.
func (f *fleet) fair(step plan.Step) error {
	s := f.subject(step.Subject)
	evict, evicts := step.Action.(plan.EvictPod)
	_, restarts := step.Action.(plan.RestartWorkload)
	if (evicts || restarts) && f.now.Before(f.outage) && f.now.Sub(f.down) > 15*time.Second {
		return fmt.Errorf("%s while new pods get no credentials", step.Action)
	}
	mark, err := migrate.ParseMark(s.annotations[migrate.RolledBackMark])
	marked := err == nil && mark.Holds(s.m)
	if _, creates := step.Action.(plan.CreateAssociation); creates && s.broken && s.created > 0 && s.association == nil && marked {
		return fmt.Errorf("%s: it was tried, and rolled back", step.Action)
	}
	if !evicts || !s.broken || marked || s.m.Mechanism == identity.IRSA {
		return nil
	}
	for _, o := range s.owners {
		ready, hit := 0, false
		for _, p := range o.pods {
			if p.ready {
				ready++
				hit = hit || "uid-"+p.name == evict.UID
			}
		}
		if hit && ready < o.replicas {
			return fmt.Errorf("%s: one of %s is down already", step.Action, o.name)
		}
	}
	return nil
}

func (f *fleet) write(step plan.Step) {
	s := f.subject(step.Subject)
	policy := func(name string, edit func(*trust.Document) (trust.Edit, error)) {
		doc, err := trust.Parse(f.roles[name].text)
		if err != nil {
			panic(err)
		}
		e, err := edit(doc)
		if err != nil {
			f.note("%s: refused: %v", step.Action, err) // the look was late
			return
		}
		f.edit(name, e.Document.Text())
	}
	switch a := step.Action.(type) {
	case plan.PutTrustStatement:
		f.roles[a.Role.Name].harmed = false
		policy(a.Role.Name, func(d *trust.Document) (trust.Edit, error) { return d.Add(a.Grant, a.Quota) })
	case plan.DropTrustStatement:
		policy(a.Role.Name, func(d *trust.Document) (trust.Edit, error) { return d.RemoveSid(a.Sid) })
	case plan.RevokeTrust:
		policy(a.Role.Name, func(d *trust.Document) (trust.Edit, error) { return d.Remove(a.Request) })
	case plan.SetAnnotation:
		s.annotations[a.Key] = a.Value
		if a.Key == diff.AnnotationRole {
			s.hook.set(a.Value, f.now.Add(f.upTo(f.lateness)), f.now)
		}
	case plan.DropAnnotation:
		delete(s.annotations, a.Key)
		if a.Key == diff.AnnotationRole {
			s.hook.set("", f.now.Add(f.upTo(f.lateness)), f.now)
		}
	case plan.CreateAssociation:
		if s.association != nil {
			return // EKS answers ResourceInUseException
		}
		s.created++
		s.association = &live.Association{Namespace: s.s.Namespace, ServiceAccount: s.s.ServiceAccount, ID: fmt.Sprintf("a-%s%d", s.s.ServiceAccount, s.created), Described: true,
			Role: a.Role, SessionTagsOff: a.SessionTagsOff, Tags: a.Tags, CreatedAt: f.now, ModifiedAt: f.now}
		f.associate(s)
	case plan.DeleteAssociation:
		if s.association == nil || s.association.ID != a.ID {
			return
		}
		s.association = nil
		f.associate(s)
	case plan.EvictPod:
		for _, o := range s.owners {
			if i := slices.IndexFunc(o.pods, func(p *simPod) bool { return "uid-"+p.name == a.UID }); i >= 0 {
				f.end(s, o, o.pods[i])
			}
		}
	case plan.RestartWorkload:
		for _, o := range s.owners {
			if o.kind == a.Workload.Kind && o.name == a.Workload.Name && o.restartedAt == a.Old {
				o.restartedAt = f.now.UTC().Format(time.RFC3339)
				o.template++
				o.restarts++
			}
		}
	case plan.PauseRollout, plan.ResumeRollout:
		var ref live.WorkloadRef
		by := ""
		if p, is := a.(plan.PauseRollout); is {
			ref, by = p.Workload, p.Why
		} else if p, is := a.(plan.ResumeRollout); is {
			ref = p.Workload
		}
		for _, o := range s.owners {
			if o.kind == ref.Kind && o.name == ref.Name {
				o.pausedBy = by
			}
		}
	case plan.UpdateAssociation:
		if s.association == nil || s.association.ID != a.ID {
			return
		}
		updated := *s.association
		updated.Role, updated.ModifiedAt = a.Role, f.now
		s.association = &updated
		f.associate(s)
	}
}

// associate lets EKS Auth know of what stands, then the webhook, then lanyard's reads.
func (f *fleet) associate(s *simSubject) {
	known, role := s.association != nil, ""
	auth := f.upTo(f.lateness)
	if known {
		role = s.association.Role.Name
	} else { // the SDK and the agent answer for a while; exposure is counted from the delete
		auth = 0
	}
	s.auth.set(role, f.now.Add(auth), f.now)
	s.shown.set(known, f.now.Add(auth+f.upTo(f.lateness-auth)), f.now)
	s.read.set(s.association, f.now.Add(f.upTo(f.lateness)), f.now)
}

// roleText is the ARN of a role by its name.
func roleText(name string) string { return "arn:aws:iam::" + account + ":role/" + name }

func (f *fleet) history() string { return strings.Join(f.log, "\n") }
