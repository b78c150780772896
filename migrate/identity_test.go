package migrate

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
)

var identityNow = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)

var identityReader = IdentityAsk{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "reader"}, Wanted: identity.PodIdentity,
	Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/team/", Name: "reader"}}

// TestIdentityJudge: an identity is as Git asks only if role, account and mechanism all
// are; everything else says what is amiss, in one line of bounded length.
func TestIdentityJudge(t *testing.T) {
	t.Parallel()
	good := IdentitySaid{Account: "123456789012", Role: "reader", Session: "arn:aws:sts::123456789012:assumed-role/reader/x", Wiring: "pod-identity", Mechanism: "container"}
	with := func(change func(*IdentitySaid)) IdentitySaid {
		said := good
		change(&said)
		return said
	}
	for _, tt := range []struct {
		name string
		said IdentitySaid
		want IdentityResult
		says string
	}{
		{"as Git asks", good, IdentityAsGit, "AWS takes a new pod for role reader by pod-identity"},
		{"another role", with(func(s *IdentitySaid) { s.Role = "node" }), IdentityOtherRole, "and not for role reader of account 123456789012"},
		{"a role of that name elsewhere", with(func(s *IdentitySaid) { s.Account = "210987654321" }), IdentityOtherRole, "not for role reader"},
		{"a user", with(func(s *IdentitySaid) { s.Role = "" }), IdentityOtherRole, "not for role reader"},
		{"the other mechanism", with(func(s *IdentitySaid) { s.Wiring = "irsa" }), IdentityOtherMechanism, "role reader by irsa, and not by pod-identity"},
		{"nobody's variables", with(func(s *IdentitySaid) { s.Wiring, s.Mechanism = "", "instance-metadata" }), IdentityOtherMechanism, "by instance-metadata, and not by pod-identity"},
		{"no identity", IdentitySaid{Mechanism: "container", Problem: "AccessDenied:\n\n" + strings.Repeat("x", 5000)}, IdentityNone, "a new pod gets no identity by container: AccessDenied: xxx"},
		{"a problem and an identity", with(func(s *IdentitySaid) { s.Problem = "x" }), IdentityNone, "no identity"},
		{"silence", IdentitySaid{Waits: "its pod is not scheduled: no node", Ended: "deadline"}, IdentityNoAnswer, "its pod is not scheduled: no node; deadline"},
		{"nothing at all", IdentitySaid{}, IdentityNoAnswer, "its pod said nothing"},
		{"refused", IdentitySaid{Refused: "exceeded quota"}, IdentityRefused, "no Job can be made: exceeded quota"},
		{"unguarded", IdentitySaid{Unguarded: "not there"}, IdentityUnguarded, "no Job is made: not there"},
	} {
		got := identityReader.Judge(tt.said, identityNow)
		if got.Result != tt.want || !strings.Contains(got.Message, tt.says) || len(got.Message) > longestSaid+len("…") || strings.Contains(got.Message, "\n") || got.At != identityNow || got.Ask != identityReader {
			t.Errorf("%s: got %+v, want %s with %q", tt.name, got, tt.want, tt.says)
		}
	}
}

// TestIdentityJob: the Job of each question has a name of its own, which is one of probes.
func TestIdentityJob(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, change := range []func(*IdentityAsk){func(*IdentityAsk) {}, func(a *IdentityAsk) { a.Subject.ServiceAccount = "other" }, func(a *IdentityAsk) { a.Wanted = identity.IRSA }, func(a *IdentityAsk) { a.Role.Name = "other" }} {
		a := identityReader
		change(&a)
		if name := a.Job(); names[name] || !identity.IsProbe(name, map[string]string{identity.ProbeLabel: identity.ProbeLabelValue}) {
			t.Errorf("%+v has name %s", a, name)
		}
		names[a.Job()] = true
	}
}

// TestIdentityChecks: who is asked about, over rounds. Each line is one round with what it
// found of the subject, and whether it is due.
func TestIdentityChecks(t *testing.T) {
	t.Parallel()
	type found struct {
		phase  Phase // with moves
		moves  bool
		change func(*diff.Judged)
		gone   bool
		answer IdentityResult // given after the round
		after  time.Duration  // before it
		due    bool
	}
	on := func(p Phase, due bool) found { return found{phase: p, moves: true, due: due} }
	answered := func(f found, r IdentityResult) found { f.answer = r; return f }
	with := func(f found, change func(*diff.Judged)) found { f.change = change; return f }
	later := func(f found, d time.Duration) found { f.after = d; return f }
	rest := func(due bool) found { return found{due: due} }
	otherRole := func(j *diff.Judged) { j.Mapping.Role.Name = "other" }
	back := func(j *diff.Judged) { j.Wanted, j.On = identity.IRSA, identity.IRSA }
	unresolved := func(j *diff.Judged) { j.Wanted = identity.None }
	blind := func(j *diff.Judged) { j.Unknown = []string{"pods"} }
	for name, rounds := range map[string][]found{
		"once, however long it soaks":                {on(PhaseCrossing, false), on(PhaseSoaking, true), on(PhaseSoaking, true), answered(on(PhaseSoaking, true), IdentityAsGit), on(PhaseSoaking, false), later(on(PhaseNarrowing, false), time.Hour), rest(false)},
		"found soaking by a new process":             {on(PhaseSoaking, true)},
		"found in narrowing":                         {on(PhaseNarrowing, true)},
		"found at rest":                              {rest(false), rest(false)},
		"nothing to soak for":                        {on(PhaseCrossing, false), answered(rest(true), IdentityAsGit), rest(false)},
		"held after crossing":                        {on(PhaseCrossing, false), with(rest(false), func(j *diff.Judged) { j.Class = diff.Held })},
		"on the other side after crossing":           {on(PhaseCrossing, false), with(rest(false), func(j *diff.Judged) { j.On = identity.IRSA })},
		"its ServiceAccount is gone":                 {on(PhaseCrossing, false), with(rest(false), func(j *diff.Judged) { j.Findings = []diff.Finding{{Kind: diff.ServiceAccountMissing}} })},
		"a straggler, after it was asked":            {answered(on(PhaseSoaking, true), IdentityNone), on(PhaseCrossing, false), on(PhaseSoaking, false)},
		"a wrong answer is not asked for again":      {answered(on(PhaseSoaking, true), IdentityOtherRole), later(on(PhaseSoaking, false), 24*time.Hour)},
		"a Job that could not be made":               {answered(on(PhaseSoaking, true), IdentityRefused), later(on(PhaseSoaking, false), 9*time.Minute), later(on(PhaseSoaking, true), 2*time.Minute)},
		"without the policy":                         {answered(on(PhaseSoaking, true), IdentityUnguarded), later(on(PhaseSoaking, false), 9*time.Minute), later(on(PhaseSoaking, true), 2*time.Minute)},
		"rolled back, and tried anew":                {answered(on(PhaseSoaking, true), IdentityNone), on(PhaseRolledBack, false), on(PhasePending, false), on(PhaseCrossing, false), on(PhaseSoaking, true)},
		"another role":                               {answered(on(PhaseSoaking, true), IdentityAsGit), with(on(PhaseSoaking, true), otherRole)},
		"the other way":                              {answered(on(PhaseSoaking, true), IdentityAsGit), with(on(PhaseSoaking, true), back)},
		"the other way, at rest":                     {answered(on(PhaseSoaking, true), IdentityAsGit), with(rest(false), back)},
		"out of Git and in again":                    {answered(on(PhaseSoaking, true), IdentityAsGit), {gone: true}, on(PhaseSoaking, true)},
		"a fact is missing before the answer":        {on(PhaseSoaking, true), with(rest(true), blind), on(PhaseSoaking, true)},
		"a fact is missing after the answer":         {answered(on(PhaseSoaking, true), IdentityAsGit), with(rest(false), blind), on(PhaseSoaking, false)},
		"a fact is missing on the way":               {on(PhaseCrossing, false), with(rest(false), blind), rest(true)},
		"auto that is not resolved":                  {on(PhaseSoaking, true), with(rest(true), unresolved)},
		"auto that is not resolved after the answer": {answered(on(PhaseSoaking, true), IdentityAsGit), with(rest(false), unresolved), on(PhaseSoaking, false)},
		"auto that is not resolved on the way":       {on(PhaseCrossing, false), with(rest(false), unresolved), rest(true)},
		"a fact is missing, and nothing known of it": {with(rest(false), blind)},
	} {
		var c IdentityChecks
		now := identityNow
		for i, f := range rounds {
			now = now.Add(f.after)
			j := diff.Judged{Mapping: desired.Mapping{Subject: identityReader.Subject, Role: identityReader.Role}, Wanted: identity.PodIdentity, On: identity.PodIdentity, Class: diff.Rest}
			if f.change != nil {
				f.change(&j)
			}
			next := map[identity.Subject]Next{}
			if f.moves {
				next[identityReader.Subject] = Next{Phase: f.phase}
			}
			judged := []diff.Judged{j}
			if f.gone {
				judged = nil
			}
			due := c.See(judged, next, now)
			if (len(due) == 1) != f.due || len(due) > 1 {
				t.Errorf("%s: round %d asks %v, want it due: %t", name, i, due, f.due)
			}
			if f.answer != "" && len(due) == 1 {
				c.Answered(IdentityCheck{Ask: due[0], Result: f.answer, At: now})
			}
			if f.gone && len(c.Known()) != 0 {
				t.Errorf("%s: round %d knows %v of what Git does not name", name, i, c.Known())
			}
		}
	}
}

// TestIdentityAsks: the role that is asked about is the one a pod ends up with; and who is
// due comes in order.
func TestIdentityAsks(t *testing.T) {
	t.Parallel()
	target := identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "target"}
	other := identity.Subject{Namespace: "a", ServiceAccount: "z"}
	j := diff.Judged{Mapping: desired.Mapping{Subject: identityReader.Subject, Role: identityReader.Role, PodIdentity: desired.PodIdentity{TargetRole: target}}, Wanted: identity.PodIdentity}
	back := j
	back.Mapping.Subject, back.Wanted = other, identity.IRSA
	var c IdentityChecks
	got := c.See([]diff.Judged{j, back}, map[identity.Subject]Next{j.Mapping.Subject: {Phase: PhaseSoaking}, other: {Phase: PhaseSoaking}}, identityNow)
	want := []IdentityAsk{{other, identity.IRSA, identityReader.Role}, {identityReader.Subject, identity.PodIdentity, target}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("asks (-want +got)\n%s", d)
	}
}

// TestIdentityDocs: each result has a row in docs/migration.md.
func TestIdentityDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range IdentityResults() {
		if !strings.Contains(string(page), "\n| `"+string(r)+"` | ") {
			t.Errorf("docs/migration.md has no row for %s", r)
		}
	}
}
