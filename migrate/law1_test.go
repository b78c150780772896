package migrate_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// newFleet makes a small fleet on IRSA that Git wants on Pod Identity.
func newFleet(seed uint64) *fleet {
	f := &fleet{Rand: rand.New(rand.NewPCG(seed, 11)), now: now, roles: map[string]*simRole{}, answers: map[string]migrate.Answers{}, judged: map[[3]string]bool{},
		pace: desired.Pace{MaxConcurrent: 2, PerNamespace: 2}, lateness: fleetSettle / 3, faults: 12, blind: 4, tick: 5 * time.Second}
	if f.IntN(8) == 0 {
		f.tick = 2 * time.Second // rounds follow each other at once after a write
	}
	for i := range 1 + f.IntN(3) {
		name := fmt.Sprintf("sa-%d", i)
		s := &simSubject{s: identity.Subject{Namespace: "demo", ServiceAccount: name}, role: name, annotations: map[string]string{}, broken: f.IntN(5) == 0}
		s.fargate = !s.broken && f.IntN(8) == 0
		arnText := roleText(name)
		for role, text := range map[string]string{name: irsaTrust(s.s.OIDCSubject()), name + "-b": strangersTrust} {
			f.roles[role] = &simRole{text: text, read: late[string]{now: text}, obey: late[string]{now: text}}
		}
		s.annotations[diff.AnnotationRole] = arnText
		s.hook.now = arnText
		s.m = desired.Mapping{Subject: s.s, Name: name, Role: arn(arnText), Mechanism: identity.PodIdentity,
			PodIdentity: desired.PodIdentity{SessionTags: true, Trust: identity.WidthPinned},
			Migration:   desired.Migration{Restart: desired.RestartRolling, Proof: desired.ProofDeclared, Cleanup: desired.CleanupFull, Soak: fleetSoak, AllowDisruption: true},
			Adopt:       desired.Adopt{Annotation: true, Trust: true, Association: true}}
		if f.IntN(6) == 0 {
			s.m.Mechanism = identity.Auto
		}
		for k := range 1 + f.IntN(2) {
			o := &simOwner{kind: []string{"Deployment", "Deployment", "StatefulSet", "DaemonSet"}[f.IntN(4)], name: fmt.Sprintf("%s-%c", name, 'a'+k), replicas: 1 + f.IntN(3)}
			if f.IntN(8) == 0 && o.kind == "DaemonSet" {
				o.onDelete, o.strategy = true, live.Strategy{Type: "OnDelete"}
			}
			for range o.replicas {
				f.make(s, o).ready = true
			}
			for _, p := range o.pods {
				p.created = now.Add(-time.Hour)
			}
			s.owners = append(s.owners, o)
		}
		if !s.broken && f.IntN(5) == 0 {
			s.owners = append(s.owners, &simOwner{kind: "CronJob", name: name + "-job"})
		}
		f.subjects = append(f.subjects, s)
	}
	return f
}

// strangersTrust lets in nobody of the cluster.
const strangersTrust = `{"Version":"2012-10-17","Statement":[{"Sid":"Admins","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:role/admin"},"Action":"sts:AssumeRole"}]}`

// disturb lets something happen to the cluster that lanyard did not do.
func (f *fleet) disturb() {
	s := f.subjects[f.IntN(len(f.subjects))]
	o := s.owners[f.IntN(len(s.owners))]
	kind := f.IntN(9)
	if o.kind == "CronJob" {
		kind = 5 + f.IntN(4)
	}
	switch kind {
	case 0, 1:
		if len(o.pods) > 0 {
			f.note("pod %s restarts", o.pods[0].name)
			f.end(s, o, o.pods[f.IntN(len(o.pods))])
		}
	case 2:
		f.note("%s scales up", o.name)
		o.replicas++
		f.make(s, o)
	case 3:
		if o.replicas > 1 {
			f.note("%s scales down", o.name)
			o.replicas--
			o.pods = o.pods[1:]
		}
	case 4:
		if !o.onDelete {
			f.note("%s is rolled out by its owner", o.name)
			o.template++
		}
	case 5:
		f.note("lanyard is restarted")
		f.memory, f.answers, f.next = plan.Memory{}, map[string]migrate.Answers{}, nil
	case 6:
		f.note("the webhook is down")
		f.down, f.outage = f.now, f.now.Add(time.Duration(1+f.IntN(180))*time.Second)
	case 8:
		f.note("the agents are not ready") // for lanyard to see; those that serve go on
		f.agents = f.now.Add(time.Duration(1+f.IntN(600)) * time.Second)
	case 7: // another writer takes lanyard's statement out, or puts back what stood before
		doc, err := trust.Parse(f.roles[s.role].text)
		if err != nil {
			panic(err)
		}
		for _, st := range doc.Statements() {
			if e, err := doc.RemoveSid(st.Sid); trust.IsLanyardSid(st.Sid) && err == nil {
				f.note("another hand drops statement %s of role %s", st.Sid, s.role)
				f.edit(s.role, e.Document.Text())
				f.roles[s.role].harmed = true
				s.harmed = f.now.Add(7 * time.Minute) // twice an hour: it is restored every 5 minutes
				return
			}
		}
	}
}

// settle lets the fleet live with lanyard until nothing is under way.
func (f *fleet) settle(rounds, disturbances int) error {
	for range rounds {
		if disturbances > 0 && f.IntN(4) == 0 {
			disturbances--
			f.disturb()
		}
		until, busy, err := f.round()
		if err != nil {
			return err
		}
		run := slices.ContainsFunc(f.last.Holds, func(h plan.Hold) bool {
			return h.Reason == plan.NoRunYet || h.Reason == plan.NotHitless || h.Reason == plan.Blind || h.Reason == plan.Paused || h.Reason == plan.NotEligible && (len(f.gaps) > 0 || f.now.Before(f.agents))
		})
		stale := f.now.Before(f.agents) || slices.ContainsFunc(f.subjects, func(s *simSubject) bool { return f.now.Before(f.roles[s.role].read.from) || f.now.Before(s.read.from) })
		if !busy && disturbances == 0 && !run && !stale {
			return nil
		}
		pause := f.tick
		if !busy && (run || f.now.Before(f.agents)) {
			pause = time.Minute // until something runs, or can be read
		}
		if until.After(f.now) && len(f.last.Steps) == 0 {
			pause = until.Sub(f.now)
		}
		if slices.ContainsFunc(f.subjects, func(s *simSubject) bool { return f.now.Before(s.harmed) }) {
			pause = min(pause, time.Minute) // the daemon looks at everything that often
		}
		if err := f.advance(pause); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w after %d rounds: %v", errBusy, rounds, f.held)
}

var errBusy = errors.New("not at rest")

// runSchedule runs one seeded schedule: to Pod Identity, and back.
func runSchedule(seed uint64) (*fleet, error) {
	f := newFleet(seed)
	f.note("seed %d", seed)
	if f.IntN(6) == 0 { // role and mechanism together
		f.gitRenames()
	}
	if f.IntN(3) == 0 { // Git changes its mind on the way
		if err := f.settle(1+f.IntN(60), f.IntN(4)); err != nil && !errors.Is(err, errBusy) {
			return f, err
		}
		if f.IntN(2) == 0 { // about the role first
			f.gitRenames()
			if err := f.settle(1+f.IntN(60), f.IntN(4)); err != nil && !errors.Is(err, errBusy) {
				return f, err
			}
		}
	} else {
		if err := f.settle(900, f.IntN(10)); err != nil {
			return f, err
		}
		for _, s := range f.subjects {
			if err := f.rests(s, identity.PodIdentity); err != nil {
				return f, err
			}
		}
	}
	if f.IntN(8) == 0 { // there, back, and there again
		f.gitAsks(identity.IRSA)
		if err := f.settle(1+f.IntN(120), f.IntN(4)); err != nil && !errors.Is(err, errBusy) {
			return f, err
		}
		f.gitAsks(identity.PodIdentity)
		if err := f.settle(1+f.IntN(120), 6); err != nil && !errors.Is(err, errBusy) {
			return f, err
		}
	}
	f.gitAsks(identity.IRSA)
	if f.IntN(6) == 0 {
		f.gitRenames()
	}
	if err := f.settle(900, f.IntN(10)); err != nil {
		return f, err
	}
	for _, s := range f.subjects {
		if err := f.rests(s, identity.IRSA); err != nil {
			return f, err
		}
	}
	return f, nil
}

// gitAsks lets Git ask for a mechanism for all.
func (f *fleet) gitAsks(m identity.Mechanism) {
	for _, s := range f.subjects {
		s.m.Mechanism = m
	}
	f.note("Git asks for %s", m)
}

// gitRenames lets Git ask for another role for some.
func (f *fleet) gitRenames() {
	for _, s := range f.subjects {
		if f.IntN(3) == 0 {
			continue
		}
		if short, is := strings.CutSuffix(s.role, "-b"); is {
			s.role = short
		} else {
			s.role += "-b"
		}
		s.m.Role = arn(roleText(s.role))
		f.note("Git asks for role %s", s.role)
	}
}

// rests holds a subject at rest to what Git wants: everything on the wanted side and
// nothing of the other; one whose image cannot use Pod Identity is back on IRSA.
func (f *fleet) rests(s *simSubject, want identity.Mechanism) error {
	if slices.ContainsFunc(f.held, func(h plan.Hold) bool { return h.Subject == s.s && h.Reason == plan.WriteConflict }) {
		return nil // another hand undid the same twice, and lanyard has stopped (design.md section 5)
	}
	if s.broken || s.fargate {
		want = identity.IRSA
		if s.broken && s.m.Mechanism != identity.IRSA && s.annotations[migrate.RolledBackMark] == "" {
			return fmt.Errorf("%s: its image cannot use Pod Identity, and no mark says that it was tried", s.s)
		}
	}
	for _, o := range s.owners {
		for _, p := range o.pods {
			if p.side != want && p.side != identity.None && !p.ended { // one without: the webhook was down after all was settled
				return fmt.Errorf("%s: at rest, pod %s is on %s, want %s", s.s, p.name, p.side, want)
			}
		}
	}
	if (s.association != nil) != (want == identity.PodIdentity) {
		return fmt.Errorf("%s: at rest on %s, association: %v", s.s, want, s.association != nil)
	}
	text := f.roles[s.role].text
	sub, irsa := s.s.OIDCSubject(), "sts:AssumeRoleWithWebIdentity"
	switch {
	case s.broken, s.fargate: // both trusts stay
	case want == identity.PodIdentity && (s.annotations[diff.AnnotationRole] != "" || lets(text, irsa, sub)):
		return fmt.Errorf("%s: at rest on Pod Identity, IRSA is still wired: %q, %s", s.s, s.annotations[diff.AnnotationRole], text)
	case want == identity.IRSA && lets(text, "sts:AssumeRole", s.s.ServiceAccount):
		return fmt.Errorf("%s: at rest on IRSA, Pod Identity is still trusted: %s", s.s, text)
	}
	return nil
}

// TestSchedules is law 1 (design.md section 2): small fleets move to Pod Identity and back
// while pods restart, scale and roll, writes fail, lie or show late, and lanyard is
// killed; after every event every pod obtains credentials.
func TestSchedules(t *testing.T) {
	t.Parallel()
	n := uint64(60) // make check runs 10,000
	if text := os.Getenv("LANYARD_SCHEDULES"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var seed atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for at := seed.Add(1); at <= n && !t.Failed(); at = seed.Add(1) {
				if f, err := runSchedule(at); err != nil {
					t.Errorf("seed %d: %v\nholds: %+v\n%s", at, err, f.last.Holds, f.history())
				}
			}
		})
	}
	workers.Wait()
}
