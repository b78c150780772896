package migrate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/sync/live"
)

// Result says what came of asking an API server what a new pod would be given. The zero
// Result is [AnswerFailed]: what nobody answered shows nothing.
type Result uint8

// The results of asking.
const (
	AnswerFailed    Result = iota // no answer, or none about admission
	AnswerGiven                   // the pod would be admitted, as told
	AnswerRefused                 // another admission plugin would refuse the pod: never a no
	AnswerUnguarded               // nobody was asked: a real pod could have come of it
)

var results = [...]string{"failed", "given", "refused", "unguarded"}

// String returns failed, given, refused or unguarded.
func (r Result) String() string { return results[min(int(r), len(results)-1)] }

// Answer is what one API server says that a new pod of a workload would be given.
type Answer struct {
	Address    string    // of the API server, host:port; empty where there is only one to ask
	At         time.Time // when it was asked: what it says is no older
	Result     Result
	Credential live.Credential // of all containers that matter; the worst where they differ
	Role       string          // that was injected, for IRSA
	Audience   string          // of the token that was injected
	Message    string          // what decided, or the words of who refused
}

// The rule of design.md section 6: three good answers per address, 2 s apart, all since
// the last bad one. Each control-plane instance runs a webhook of its own with a cache
// of its own, and a webhook that answered once may have been another one a moment ago.
// An answer counts for a minute, and the newest must be younger than 15 s: a decision
// rests on what admission does now.
const (
	answersNeeded = 3
	answersApart  = 2 * time.Second
	answersFresh  = 15 * time.Second
	answersAge    = time.Minute
	answersKept   = 1024
)

// Answers are what the API servers said about one workload. The zero value is of nobody
// asked; values are never changed, [Answers.Add] makes new ones.
type Answers struct {
	listed    []string // the addresses of the last pass, sorted
	all       []Answer // oldest first
	unguarded string   // why the last pass was not made
}

// Add adds the answers of one pass over all API servers. Their addresses take the place
// of those of the pass before: an API server that is gone need not answer, and one that
// is new has to.
//
// What is dropped to keep the record small is the oldest of all addresses together, so
// that no answer outlives a bad one after it.
func (r Answers) Add(pass []Answer) Answers {
	if len(pass) == 0 {
		return r
	}
	out := Answers{all: slices.Clone(r.all)}
	for _, a := range pass {
		if a.Result == AnswerUnguarded {
			out.unguarded = a.Message
			if out.unguarded == "" {
				out.unguarded = "nothing keeps lanyard from making real pods"
			}
			continue
		}
		out.all = append(out.all, a)
		if !slices.Contains(out.listed, a.Address) {
			out.listed = append(out.listed, a.Address)
		}
	}
	slices.Sort(out.listed)
	slices.SortStableFunc(out.all, func(a, b Answer) int { return a.At.Compare(b.At) })
	if n := len(out.all); n > 0 {
		old := out.all[n-1].At.Add(-answersAge)
		if n > answersKept && out.all[n-answersKept-1].At.After(old) {
			old = out.all[n-answersKept-1].At
		}
		out.all = slices.DeleteFunc(out.all, func(a Answer) bool { return !a.At.After(old) })
	}
	return out
}

// Shows reports whether the API servers show surely what is wanted of a new pod, and why
// or why not. If not, next is when to ask again.
//
// A bad answer is a pod that would be given something else: it voids every answer that
// is not younger, of all addresses. Nobody's answer voids those of its address: behind it
// may now be another API server, with an empty cache. A refusal is neither good nor bad;
// but what an address said last must be good.
func (r Answers) Shows(want func(Answer) bool, now time.Time) (ok bool, why string, next time.Time) {
	next = r.next(now)
	if r.unguarded != "" {
		return false, r.unguarded, next
	}
	if len(r.listed) == 0 {
		return false, "no API server was asked yet", next
	}
	var bad Answer
	for _, a := range r.all {
		if a.Result == AnswerGiven && !want(a) {
			bad = a
		}
	}
	problem := 0
	for _, address := range r.listed {
		if p, text := r.lacks(address, want, bad, now); p > problem {
			problem, why = p, text
		}
	}
	if problem > 0 {
		return false, why, next
	}
	return true, fmt.Sprintf("%s showed it, %d times and more", servers(len(r.listed)), answersNeeded), time.Time{}
}

// lacks says what an address still owes; a greater problem is told before a lesser one.
func (r Answers) lacks(address string, want func(Answer) bool, bad Answer, now time.Time) (problem int, why string) {
	var last, counted, newest Answer
	n, seen := 0, false
	for _, a := range r.all {
		if a.Address != address {
			continue
		}
		switch last, seen = a, true; {
		case a.Result == AnswerFailed:
			n = 0
		case a.Result != AnswerGiven || !want(a), bad.Result == AnswerGiven && !a.At.After(bad.At), a.At.After(now), now.Sub(a.At) >= answersAge:
		default:
			newest = a
			if n == 0 || a.At.Sub(counted.At) >= answersApart {
				n, counted = n+1, a
			}
		}
	}
	who := server(address)
	switch {
	case !seen:
		return 2, who + " has not been asked for a minute"
	case last.Result == AnswerGiven && !want(last):
		return 5, fmt.Sprintf("%s would give a new pod %s", who, last.told())
	case last.Result == AnswerRefused:
		return 4, who + " refused the dry run: " + last.Message
	case last.Result == AnswerFailed:
		return 3, who + " did not answer: " + last.Message
	case n < answersNeeded:
		return 2, fmt.Sprintf("%s showed it %d of %d times", who, n, answersNeeded)
	case now.Sub(newest.At) > answersFresh:
		return 1, fmt.Sprintf("%s showed it last %s ago", who, now.Sub(newest.At).Round(time.Second))
	}
	return 0, ""
}

// next is when another pass can add something.
func (r Answers) next(now time.Time) time.Time {
	if len(r.all) == 0 {
		return now
	}
	next := r.all[len(r.all)-1].At.Add(answersApart)
	if next.Before(now) {
		return now
	}
	if latest := now.Add(answersApart); next.After(latest) { // the clock was set back
		return latest
	}
	return next
}

// Hold returns the hold that the last pass means, with its words, or nothing: a workload
// that was refused or not asked about waits for a person.
func (r Answers) Hold() (code Code, why string) {
	if r.unguarded != "" {
		return ProbeUnguarded, r.unguarded
	}
	for _, address := range r.listed {
		for _, a := range slices.Backward(r.all) {
			if a.Address != address {
				continue
			}
			if a.Result == AnswerRefused {
				return ProbeRefused, server(address) + " refused the dry run: " + a.Message
			}
			break
		}
	}
	return "", ""
}

// told says in a few words what was given.
func (a Answer) told() string {
	s := string(a.Credential)
	if a.Role != "" {
		s += " of " + a.Role
	}
	if a.Message != "" {
		s += ": " + a.Message
	}
	return s
}

func server(address string) string {
	if address == "" {
		return "the API server"
	}
	return "API server " + address
}

func servers(n int) string {
	if n == 1 {
		return "the API server"
	}
	return fmt.Sprintf("%d API servers", n)
}
