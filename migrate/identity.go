package migrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// IdentityAsk is a question to AWS about a subject that has crossed: does a new pod of its
// ServiceAccount get this role, by this mechanism? Package identityprobe asks
// it, and nothing waits for the answer.
type IdentityAsk struct {
	Subject identity.Subject
	Wanted  identity.Mechanism // IRSA or PodIdentity
	Role    identity.RoleARN   // the one that a pod ends up with: Pod Identity's target role, where there is one
}

// Job is the name of the Job that asks. Another question has another name, so that what a
// process before this one asked is known from its name alone.
func (a IdentityAsk) Job() string {
	sum := sha256.Sum256([]byte(a.Subject.String() + " " + a.Wanted.String() + " " + a.Role.String()))
	return identity.ProbePrefix + hex.EncodeToString(sum[:8])
}

// IdentitySaid is what came of a Job. All texts are a stranger's: whoever may write to the
// workload's namespace may have written them.
type IdentitySaid struct {
	Account, Role, Session string // of an identity; empty without one
	Wiring                 string // whose variables those are: irsa, pod-identity; empty: nobody's
	Mechanism              string // of the SDK's chain
	Problem                string // why there is no identity

	Waits string // what keeps its pod from saying anything
	Ended string // how the Job ended without an answer

	Unguarded string // why no Job was made: nothing is known to hold lanyard to these Jobs
	Refused   string // why no Job could be made
}

// IdentityResult is what an answer is worth.
type IdentityResult string

// The results: a closed list.
const (
	IdentityAsGit          IdentityResult = "as-git"          // AWS takes a new pod for the role that Git names, by the wanted mechanism
	IdentityOtherRole      IdentityResult = "other-role"      // for another one
	IdentityOtherMechanism IdentityResult = "other-mechanism" // it got its credentials in another way
	IdentityNone           IdentityResult = "no-identity"     // it got none
	IdentityNoAnswer       IdentityResult = "no-answer"       // nobody said anything
	IdentityRefused        IdentityResult = "refused"         // no Job could be made
	IdentityUnguarded      IdentityResult = "unguarded"       // none may be made: the policy does not stand
)

// IdentityResults returns all of them.
func IdentityResults() []IdentityResult {
	return []IdentityResult{IdentityAsGit, IdentityOtherRole, IdentityOtherMechanism, IdentityNone, IdentityNoAnswer, IdentityRefused, IdentityUnguarded}
}

// IdentityCheck is a question with its answer.
type IdentityCheck struct {
	Ask     IdentityAsk
	Result  IdentityResult
	Session string // ARN of whom AWS takes the pod for
	Message string
	At      time.Time
}

// longestSaid bounds what is kept of a stranger's text.
const longestSaid = 600

// Judge says what an answer is worth.
func (a IdentityAsk) Judge(said IdentitySaid, at time.Time) IdentityCheck {
	c := IdentityCheck{Ask: a, Session: oneLine(said.Session), At: at}
	wanted := a.Wanted.String()
	say := func(r IdentityResult, format string, args ...any) IdentityCheck {
		c.Result, c.Message = r, oneLine(fmt.Sprintf(format, args...))
		return c
	}
	switch {
	case said.Unguarded != "":
		return say(IdentityUnguarded, "no Job is made: %s", said.Unguarded)
	case said.Refused != "":
		return say(IdentityRefused, "no Job can be made: %s", said.Refused)
	case said.Problem != "":
		return say(IdentityNone, "a new pod gets no identity by %s: %s", cmp.Or(said.Mechanism, "any mechanism"), said.Problem)
	case said.Session == "":
		return say(IdentityNoAnswer, "%s", strings.Join(slices.DeleteFunc([]string{cmp.Or(said.Waits, "its pod said nothing"), said.Ended}, func(s string) bool { return s == "" }), "; "))
	case said.Account != a.Role.Account || said.Role != a.Role.Name:
		return say(IdentityOtherRole, "AWS takes a new pod for %s, and not for role %s of account %s", said.Session, a.Role.Name, a.Role.Account)
	case said.Wiring != wanted:
		return say(IdentityOtherMechanism, "a new pod is role %s by %s, and not by %s", said.Role, cmp.Or(said.Wiring, said.Mechanism, "no known mechanism"), wanted)
	}
	return say(IdentityAsGit, "AWS takes a new pod for role %s by %s", said.Role, wanted)
}

// oneLine makes a stranger's text fit to be shown.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > longestSaid {
		text = strings.ToValidUTF8(text[:longestSaid], "") + "…"
	}
	return text
}

// askAgain is after how long a question is put again that no Job was made for: a person
// may have mended what was in the way.
const askAgain = 10 * time.Minute

// IdentityChecks are the questions of one process, and their answers. The world does not
// show that a question was put, so a new process asks once more about what it finds
// soaking. The zero value has asked nothing.
type IdentityChecks struct {
	due    []IdentityAsk
	moving map[identity.Subject]IdentityAsk // seen on their way
	known  map[identity.Subject]IdentityCheck
}

// See takes in what a round found, and returns what is to be asked, in order. That is
// everybody whose pods have all crossed: who soaks or is narrowed, and who was seen on the
// way and has nothing to soak for. Each is asked about once, until it goes the other way,
// is to have another role, or is rolled back. Answers about what Git no longer names are
// forgotten; about a subject with a fact missing nothing changes.
func (c *IdentityChecks) See(judged []diff.Judged, next map[identity.Subject]Next, now time.Time) []IdentityAsk {
	due, moving, known := []IdentityAsk{}, map[identity.Subject]IdentityAsk{}, map[identity.Subject]IdentityCheck{}
	for i := range judged {
		j := &judged[i]
		s, a := j.Mapping.Subject, identityAsk(j)
		was, asked := c.known[s]
		on, moved := c.moving[s]
		blind := len(j.Unknown) > 0 || j.Wanted != identity.IRSA && j.Wanted != identity.PodIdentity
		if asked && (blind || was.Ask == a) {
			known[s] = was
		}
		if moved && (blind || on == a) {
			moving[s] = on
		}
		if blind {
			due = append(due, slices.DeleteFunc(slices.Clone(c.due), func(d IdentityAsk) bool { return d.Subject != s })...)
			continue
		}
		n, moves := next[s]
		crossed := false
		switch {
		case !moves: // at rest, or nothing can be done about it
			crossed = moving[s] == a && j.On == j.Wanted && j.Class != diff.Held && !j.Lacks(diff.ServiceAccountMissing)
		case n.Phase == PhaseSoaking, n.Phase == PhaseNarrowing:
			moving[s], crossed = a, true
		case n.Phase == PhaseCrossing:
			moving[s] = a
		default: // the wanted side is not armed
			delete(moving, s)
			delete(known, s)
		}
		if got, is := known[s]; crossed && (!is || got.again(now)) {
			due = append(due, a)
		}
	}
	slices.SortFunc(due, func(x, y IdentityAsk) int { return x.Subject.Compare(y.Subject) })
	c.due, c.moving, c.known = due, moving, known
	return c.Due()
}

// Due returns what is still to be asked of what the last round found.
func (c *IdentityChecks) Due() []IdentityAsk { return slices.Clone(c.due) }

// again reports whether it is worth asking once more.
func (c IdentityCheck) again(now time.Time) bool {
	return (c.Result == IdentityUnguarded || c.Result == IdentityRefused) && now.Sub(c.At) >= askAgain
}

// identityAsk is the question about a mapping.
func identityAsk(j *diff.Judged) IdentityAsk {
	a := IdentityAsk{Subject: j.Mapping.Subject, Wanted: j.Wanted, Role: j.Mapping.Role}
	if target := j.Mapping.PodIdentity.TargetRole; j.Wanted == identity.PodIdentity && !target.IsZero() {
		a.Role = target
	}
	return a
}

// Answered takes in an answer.
func (c *IdentityChecks) Answered(check IdentityCheck) {
	if c.known == nil {
		c.known = map[identity.Subject]IdentityCheck{}
	}
	c.known[check.Ask.Subject] = check
	c.due = slices.DeleteFunc(c.due, func(d IdentityAsk) bool { return d == check.Ask })
}

// Known returns the answers, by subject.
func (c *IdentityChecks) Known() map[identity.Subject]IdentityCheck { return maps.Clone(c.known) }
