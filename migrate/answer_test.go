package migrate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

var asked = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)

// onPodIdentity is what a crossing to Pod Identity wants to see.
func onPodIdentity(a migrate.Answer) bool { return a.Credential == live.CredentialPodIdentity }

// answer is one of address a (or b, ...) at a second: +a1 good, -a1 bad, ?a1 refused, !a1
// failed, #a1 unguarded.
func answer(t *testing.T, word string) migrate.Answer {
	t.Helper()
	a := migrate.Answer{Address: "10.0.0." + word[1:2] + ":443", Result: migrate.AnswerGiven, Credential: live.CredentialPodIdentity}
	var seconds float64
	if _, err := fmt.Sscanf(word[2:], "%g", &seconds); err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	a.At = asked.Add(time.Duration(seconds * float64(time.Second)))
	switch word[0] {
	case '-':
		a.Credential, a.Role = live.CredentialIRSA, "arn:aws:iam::123456789012:role/old"
	case '?':
		a.Result, a.Credential, a.Message = migrate.AnswerRefused, "", "exceeded quota"
	case '!':
		a.Result, a.Credential, a.Message = migrate.AnswerFailed, "", "connection refused"
	case '#':
		a.Result, a.Credential, a.Message = migrate.AnswerUnguarded, "", "spec.failurePolicy is Ignore"
	}
	return a
}

// TestAnswersShow: passes are separated by |.
func TestAnswersShow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, passes string
		now          float64
		ok           bool
		why          string
		next         float64 // where it is not ok
		hold         migrate.Code
	}{
		{"nobody was asked", "", 0, false, "no API server was asked yet", 0, ""},
		{"three of one address", "+a0 | +a2 | +a4", 5, true, "the API server showed it", 0, ""},
		{"two of one address", "+a0 | +a2", 3, false, "API server 10.0.0.a:443 showed it 2 of 3 times", 4, ""},
		{"three too close", "+a0 | +a1 | +a2", 3, false, "2 of 3", 4, ""},
		{"five close ones span enough", "+a0 | +a1 | +a2 | +a3 | +a4", 5, true, "", 0, ""},
		{"the newest is old", "+a0 | +a2 | +a4", 20, false, "showed it last 16s ago", 20, ""},
		{"the newest is just young enough", "+a0 | +a2 | +a4", 19, true, "", 0, ""},
		{"the first is too old", "+a0 | +a50 | +a52", 60, false, "2 of 3", 60, ""},
		{"both of two addresses", "+a0 +b0 | +a2 +b2 | +a4 +b4", 5, true, "2 API servers showed it", 0, ""},
		{"one of two addresses", "+a0 +b0 | +a2 +b2 | +a4 !b4", 5, false, "API server 10.0.0.b:443 did not answer: connection refused", 6, ""},
		{"a bad one voids all before it", "+a0 | -a1 | +a2 | +a4", 5, false, "2 of 3", 6, ""},
		{"a bad one voids other addresses' too", "+a0 +b0 | +a2 +b2 | +a4 +b4 | +a6 -b6 | +a8 +b8 | +a10 +b10", 11, false, "2 of 3", 12, ""},
		{"three since a bad one", "-a0 | +a2 | +a4 | +a6", 7, true, "", 0, ""},
		{"the last is bad", "+a0 | +a2 | +a4 | -a6", 7, false, "would give a new pod irsa of arn:aws:iam::123456789012:role/old", 8, ""},
		{"a bad one of an address that is gone", "+a0 +b0 | +a2 -b2 | +a4 | +a6", 7, false, "2 of 3", 8, ""},
		{"an address that is gone need not answer", "!b0 | +a0 | +a2 | +a4", 5, true, "", 0, ""},
		{"an address that is new has to", "+a0 | +a2 | +a4 | +a6 +b6", 7, false, "10.0.0.b:443 showed it 1 of 3", 8, ""},
		{"nobody's answer voids its address", "+a0 +b0 | !a2 +b2 | +a4 +b4 | +a6 +b6", 7, false, "10.0.0.a:443 showed it 2 of 3", 8, ""},
		{"nobody's answer leaves the others", "+a0 +b0 | !a2 +b2 | +a4 +b4 | +a6 +b6 | +a8 +b8", 9, true, "", 0, ""},
		{"a refusal is no bad one", "+a0 | ?a2 | +a4 | +a6", 7, true, "", 0, ""},
		{"a refusal is no good one", "+a0 | ?a2 | +a4", 5, false, "2 of 3", 6, ""},
		{"the last is a refusal", "+a0 | +a2 | +a4 | ?a6", 7, false, "refused the dry run: exceeded quota", 8, migrate.ProbeRefused},
		{"a refusal that is over", "?a0 | +a2 | +a4 | +a6", 7, true, "", 0, ""},
		{"unguarded", "+a0 | +a2 | +a4 | #a6", 7, false, "spec.failurePolicy is Ignore", 7, migrate.ProbeUnguarded},
		{"guarded again", "+a0 | +a2 | #a3 | +a4", 5, true, "", 0, ""},
		{"a bad one is told before a refusal", "?a0 -b0", 1, false, "10.0.0.b:443 would give", 2, migrate.ProbeRefused},
		{"of the future", "+a0 | +a2 | +a14", 5, false, "2 of 3", 7, ""},
		{"in one pass, out of order", "+a4 +a0 +a2", 5, true, "", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r migrate.Answers
			for pass := range strings.SplitSeq(test.passes, "|") {
				var list []migrate.Answer
				for _, word := range strings.Fields(pass) {
					list = append(list, answer(t, word))
				}
				before := fmt.Sprint(r)
				after := r.Add(list)
				if fmt.Sprint(r) != before {
					t.Errorf("Add changed what it was called on from %s to %v", before, r)
				}
				r = after
			}
			at := func(s float64) time.Time { return asked.Add(time.Duration(s * float64(time.Second))) }
			ok, why, next := r.Shows(onPodIdentity, at(test.now))
			if ok != test.ok || !strings.Contains(why, test.why) || why == "" {
				t.Errorf("%q at %g s: %v, %q; want %v, %q", test.passes, test.now, ok, why, test.ok, test.why)
			}
			if !ok && !next.Equal(at(test.next)) || ok && !next.IsZero() {
				t.Errorf("%q at %g s: ask again at %v, want after %g s", test.passes, test.now, next, test.next)
			}
			if hold, words := r.Hold(); hold != test.hold || (hold == "") != (words == "") {
				t.Errorf("%q: hold %q, %q; want %q", test.passes, hold, words, test.hold)
			}
		})
	}
}

// TestAnswersAreBounded: however often it is asked, little is kept, and a bad answer is
// never forgotten before the good ones that it voids.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var r migrate.Answers
	for i := range 5000 {
		a := answer(t, "+a0")
		a.At = asked.Add(time.Duration(i) * 5 * time.Millisecond)
		if i == 4500 {
			a.Credential = live.CredentialIRSA
		}
		r = r.Add([]migrate.Answer{a})
	}
	if n := strings.Count(fmt.Sprint(r), "10.0.0.a"); n > 1100 {
		t.Errorf("%d answers are kept", n)
	}
	if ok, why, _ := r.Shows(onPodIdentity, asked.Add(25*time.Second)); ok {
		t.Errorf("shown (%s) 2.5 s after a bad answer", why)
	}
	anything := func(migrate.Answer) bool { return true }
	if ok, why, _ := r.Shows(anything, asked.Add(25*time.Second)); !ok {
		t.Errorf("too little is kept to show anything: %s", why)
	}
}

// told is an answer and the pass it came in.
type told struct {
	migrate.Answer
	order int
}

// shown is the rule of design.md section 6, word by word, over all that was ever said.
func shown(all []told, listed []string, unguarded bool, now time.Time) bool {
	good := func(a told) bool { return a.Result == migrate.AnswerGiven && onPodIdentity(a.Answer) }
	younger := func(a, b told) bool { return a.At.After(b.At) || a.At.Equal(b.At) && a.order > b.order }
	if unguarded || len(listed) == 0 {
		return false
	}
	counts := func(a told) bool {
		if !good(a) || now.Sub(a.At) >= time.Minute || a.At.After(now) {
			return false
		}
		return !slices.ContainsFunc(all, func(b told) bool {
			bad := b.Result == migrate.AnswerGiven && !good(b) && !a.At.After(b.At)
			return bad || b.Result == migrate.AnswerFailed && b.Address == a.Address && younger(b, a)
		})
	}
	for _, address := range listed {
		var own, counted []told
		for _, a := range all {
			if a.Address == address {
				if own = append(own, a); counts(a) {
					counted = append(counted, a)
				}
			}
		}
		last := slices.MaxFunc(own, func(a, b told) int {
			if younger(a, b) {
				return 1
			}
			return -1
		})
		three := false
		for _, a := range counted {
			for _, b := range counted {
				for _, c := range counted {
					three = three || b.At.Sub(a.At) >= 2*time.Second && c.At.Sub(b.At) >= 2*time.Second
				}
			}
		}
		fresh := slices.ContainsFunc(counted, func(a told) bool { return now.Sub(a.At) <= 15*time.Second })
		if !three || !fresh || !good(last) {
			return false
		}
	}
	return true
}

// schedule makes passes of a text: two bytes of it are one address asked, or the end of a
// pass and the time until the next one. Both sides are asked after each pass.
func schedule(t *testing.T, text []byte) (yes int) {
	t.Helper()
	var r migrate.Answers
	var all []told
	var pass []migrate.Answer
	var listed []string
	unguarded := false
	now := asked
	for i := 0; i+1 < len(text); i += 2 {
		op, arg := text[i], text[i+1]
		if op%4 != 0 && len(pass) < 16 {
			a := migrate.Answer{Address: string('a' + rune(arg%3)), At: now, Result: migrate.AnswerGiven, Credential: live.CredentialPodIdentity}
			switch arg / 3 % 24 {
			case 20:
				a.Credential = live.CredentialIRSA
			case 21:
				a.Result = migrate.AnswerRefused
			case 22:
				a.Result = migrate.AnswerFailed
			case 23:
				a.Result = migrate.AnswerUnguarded
			}
			pass = append(pass, a)
			now = now.Add(time.Duration(op/4%4) * 100 * time.Millisecond)
			continue
		}
		if len(pass) > 0 {
			r = r.Add(pass)
			var addresses []string
			unguarded = false
			for _, a := range pass {
				if a.Result == migrate.AnswerUnguarded {
					unguarded = true
					continue
				}
				addresses, all = append(addresses, a.Address), append(all, told{a, len(all)})
			}
			if len(addresses) > 0 {
				listed = addresses
			}
			pass = nil
		}
		for _, later := range []time.Duration{0, time.Second, 14 * time.Second, 16 * time.Second} {
			got, why, next := r.Shows(onPodIdentity, now.Add(later))
			if want := shown(all, listed, unguarded, now.Add(later)); got != want {
				t.Fatalf("%v after\n%v\nlisted %v: shown is %v (%s), want %v", now.Add(later).Sub(asked), all, listed, got, why, want)
			}
			if !got && (next.Before(now.Add(later)) || next.After(now.Add(later+2*time.Second))) {
				t.Fatalf("ask again at %v, which is not within 2 s of %v", next, now.Add(later))
			}
			if got {
				yes++
			}
		}
		now = now.Add([]time.Duration{500 * time.Millisecond, 2 * time.Second, 2 * time.Second, 5 * time.Second, 5 * time.Second, 20 * time.Second}[int(arg)%6])
	}
	return yes
}

// FuzzAnswers: over any schedule of answers the record says what the rule says of all
// answers ever.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1})
	f.Add([]byte{1, 0, 1, 1, 0, 3, 1, 60, 1, 1, 0, 3, 1, 0, 1, 1, 0, 3, 1, 0, 1, 1, 0, 5, 1, 0, 1, 66, 0, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < 400 {
			schedule(t, text)
		}
	})
}

// TestAnswersOverSchedules is the same over schedules that are likely to show something.
func TestAnswersOverSchedules(t *testing.T) {
	t.Parallel()
	yes := 0
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(7, seed))
		var text []byte
		for range 12 {
			for address := range byte(1 + seed%3) {
				result := byte(random.IntN(20))
				if random.IntN(25) == 0 {
					result = 20 + byte(random.IntN(4))
				}
				text = append(text, 1, address+3*result)
			}
			text = append(text, 0, byte(random.IntN(6)))
		}
		yes += schedule(t, text)
	}
	if yes < 1000 {
		t.Errorf("over all schedules it was shown %d times: they try too little", yes)
	}
}
