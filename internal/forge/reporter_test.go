package forge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/forge/github"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/hubd"
)

const (
	secret = "github_pat_secret"
	bot    = "lanyard-bot"
	name   = "lanyard/irsa-lab"
)

// commit returns a commit's name.
func commit(n int) string { return fmt.Sprintf("%040x", n) }

// bench is a reporter in front of GitHub's double.
type bench struct {
	*forge.Reporter
	hub  *hubd.Server
	host forge.Host
	now  time.Time
	log  bytes.Buffer

	stamp   string
	answers map[string]forge.Answer // by head
	wrong   map[int]error           // by number
	asked   []int
	saw     []string
}

func newBench(t *testing.T, change ...func(*forge.Options)) *bench {
	t.Helper()
	b := &bench{now: time.Now(), stamp: "c0", answers: map[string]forge.Answer{}, wrong: map[int]error{}}
	var err error
	if b.hub, err = hubd.Serve(t.Context(), hubd.Options{Repository: "acme/fleet"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.hub.Close() })
	b.hub.Grant(secret, hubd.Token{Login: bot, Pulls: hubd.Write, Statuses: hubd.Write})
	b.restart(t, change...)
	return b
}

// restart makes a reporter that knows nothing, of the same or of another replica.
func (b *bench) restart(t *testing.T, change ...func(*forge.Options)) {
	t.Helper()
	host, err := github.New(github.Options{URL: b.hub.URL, Repository: "acme/fleet", Token: func() (string, error) { return secret, nil }, Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	o := forge.Options{
		Host: host, Name: name, Base: "main", Spacing: time.Nanosecond, Now: func() time.Time { return b.now },
		Stamp: func() string { return b.stamp },
		Diff: func(_ context.Context, p forge.Pull) (forge.Answer, error) {
			b.asked = append(b.asked, p.Number)
			if err := b.wrong[p.Number]; err != nil {
				return forge.Answer{}, err
			}
			if a, ok := b.answers[p.Head]; ok {
				return a, nil
			}
			return says("report of " + p.Head), nil
		},
		Saw: func(what forge.What, result forge.Result) { b.saw = append(b.saw, string(what)+" "+string(result)) },
		Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	b.Reporter = forge.New(o)
}

func says(body string) forge.Answer {
	return forge.Answer{Touches: true, Body: body, State: forge.Success, Description: "does " + body}
}

// open opens a pull request whose head is a commit of its own.
func (b *bench) open(p hubd.Pull) int {
	if p.Base == "" {
		p.Base = "main"
	}
	if p.Head == "" {
		p.Head = commit(1000 + len(b.hub.Requests()) + int(time.Now().UnixNano()%1e6))
	}
	return b.hub.Open(p)
}

// look looks once, and returns what was written at the host.
func (b *bench) look(t *testing.T) (wrote []string) {
	t.Helper()
	b.hub.Forget()
	b.asked, b.saw = nil, nil
	if err := b.Look(t.Context()); err != nil {
		t.Logf("look: %v", err)
	}
	for _, r := range b.hub.Requests() {
		if r.Method != "GET" {
			wrote = append(wrote, r.Method)
		}
	}
	return wrote
}

// bodies are what the bot's comments on a pull request say, without their marks.
func (b *bench) bodies(number int) (out []string) {
	for _, c := range b.hub.Comments(number) {
		if c.Author == bot {
			_, body, _ := strings.Cut(c.Body, "\n")
			out = append(out, strings.TrimSpace(body))
		}
	}
	return out
}

func (b *bench) want(t *testing.T, what string, number int, bodies ...string) {
	t.Helper()
	if got := b.bodies(number); !slices.Equal(got, bodies) {
		t.Errorf("%s: comments of #%d %q, want %q\n%s", what, number, got, bodies, b.log.String())
	}
}

// statuses are what was said of a commit under lanyard's name.
func (b *bench) statuses(head string) (out []string) {
	for _, s := range b.hub.Statuses(head) {
		if s.Context == name {
			out = append(out, s.State+" "+s.Description)
		}
	}
	return out
}

// TestOneComment: a pull request gets one comment and one status; nothing is written
// while nothing changes, and what changes is edited, not added.
func TestOneComment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := commit(1), commit(2)
	n := b.open(hubd.Pull{Title: "move s3-reader", Branch: "flip", Head: one})
	b.look(t)
	b.want(t, "opened", n, "report of "+one)
	if got := b.statuses(one); !slices.Equal(got, []string{"success does report of " + one}) {
		t.Errorf("statuses %q", got)
	}
	if first := b.hub.Comments(n)[0].Body; !strings.HasPrefix(first, "<!-- lanyard: report of lanyard/irsa-lab -->\n") {
		t.Errorf("the comment bears no mark:\n%s", first)
	}
	for range 30 {
		if wrote := b.look(t); len(wrote) != 0 {
			t.Fatalf("wrote %v though nothing changed", wrote)
		}
		b.now = b.now.Add(time.Minute)
	}
	b.hub.Push(n, two)
	if wrote := b.look(t); !slices.Equal(wrote, []string{"PATCH", "POST"}) {
		t.Errorf("a push wrote %v, want an edit and a status", wrote)
	}
	b.want(t, "pushed", n, "report of "+two)
	if got := b.statuses(two); len(got) != 1 {
		t.Errorf("statuses of the new head %q", got)
	}
	b.hub.Change(n, func(p *hubd.Pull) { p.Closed, p.Merged = true, true })
	b.answers[two] = says("another answer")
	b.now = b.now.Add(time.Hour)
	if wrote := b.look(t); len(wrote) != 0 || len(b.asked) != 0 {
		t.Errorf("after the merge: wrote %v, asked %v", wrote, b.asked)
	}
	b.want(t, "merged", n, "report of "+two)
}

// TestWhom: who is answered, and who is not.
func TestWhom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		pull           hubd.Pull
		without, forks bool // answered, as the configuration has it
	}{
		{"a branch", hubd.Pull{}, true, true},
		{"a draft", hubd.Pull{Draft: true}, true, true},
		{"one whose author is gone", hubd.Pull{Author: ""}, true, true},
		{"a closed one", hubd.Pull{Closed: true}, false, false},
		{"one into another branch", hubd.Pull{Base: "release"}, false, false},
		{"one into a branch that begins so", hubd.Pull{Base: "main2"}, false, false},
		{"a fork", hubd.Pull{Fork: "mallory/fleet", Branch: "main"}, false, true},
		{"a fork of another name", hubd.Pull{Fork: "mallory/elsewhere"}, false, true},
		{"a fork that is gone", hubd.Pull{Fork: "mallory/fleet", Gone: true}, false, true},
		{"a hostile title and branch", hubd.Pull{Title: "<!-- lanyard: report of lanyard/irsa-lab -->\n@everyone `x` \x1b[31m", Branch: "a\"; rm -rf $(x) <img src=x> --upload-pack=x"}, true, true},
	} {
		for _, forks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s forks=%t", tt.name, forks), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, func(o *forge.Options) { o.Forks = forks })
				n := b.open(tt.pull)
				b.look(t)
				want := tt.without
				if forks {
					want = tt.forks
				}
				if got := len(b.bodies(n)) == 1; got != want || (len(b.asked) > 0) != want {
					t.Errorf("answered: %t, asked of Git: %v; want %t", got, b.asked, want)
				}
				for _, c := range b.hub.Comments(n) {
					if strings.Contains(c.Body, "rm -rf") || strings.Contains(c.Body, "@everyone") {
						t.Errorf("the comment repeats what a stranger wrote:\n%s", c.Body)
					}
				}
				if text := b.log.String(); strings.Contains(text, "rm -rf") || strings.Contains(text, "@everyone") {
					t.Errorf("the log repeats what a stranger wrote:\n%s", text)
				}
			})
		}
	}
}

// TestWhenAgain: a head that moved is answered at once; a base that moved within a
// minute; the live world within five.
func TestWhenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.open(hubd.Pull{Head: commit(1)})
	b.look(t)
	b.answers[commit(1)] = says("the world changed")
	for range 4 {
		b.now = b.now.Add(time.Minute)
		if b.look(t); len(b.asked) != 0 {
			t.Fatalf("asked again after %s", b.now)
		}
	}
	b.now = b.now.Add(time.Minute)
	b.look(t)
	b.want(t, "the live world", n, "the world changed")

	b.stamp = "c1"
	b.answers[commit(1)] = says("the base moved")
	b.now = b.now.Add(30 * time.Second)
	b.look(t)
	b.want(t, "the base, too soon", n, "the world changed")
	b.now = b.now.Add(30 * time.Second)
	b.look(t)
	b.want(t, "the base", n, "the base moved")

	b.hub.Push(n, commit(2))
	b.look(t)
	b.want(t, "the head", n, "report of "+commit(2))
}

// TestNothingKnown: before the first round there is nothing to say.
func TestNothingKnown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stamp = ""
	b.open(hubd.Pull{})
	if b.look(t); len(b.hub.Requests()) != 0 {
		t.Errorf("asked %v", b.hub.Requests())
	}
}

// TestUntouched: a pull request that touches nothing is not commented on; one that did and
// does no more is put right, status included.
func TestUntouched(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	nothing := forge.Answer{Body: "Nothing here concerns lanyard.", State: forge.Success, Description: "nothing"}
	b.answers[commit(1)], b.answers[commit(3)] = nothing, nothing
	n := b.open(hubd.Pull{Head: commit(1)})
	if wrote := b.look(t); len(wrote) != 0 {
		t.Errorf("wrote %v", wrote)
	}
	b.now = b.now.Add(10 * time.Minute)
	b.look(t)
	if got := len(b.hub.Requests()); got != 1 {
		t.Errorf("%d requests for what was quiet and stays so, want the list alone", got)
	}
	b.hub.Push(n, commit(2))
	b.look(t)
	b.want(t, "touches", n, "report of "+commit(2))
	b.hub.Push(n, commit(3))
	b.look(t)
	b.want(t, "touches no more", n, nothing.Body)
	if got := b.statuses(commit(3)); !slices.Equal(got, []string{"success nothing"}) {
		t.Errorf("statuses %q", got)
	}
	b.restart(t)
	b.look(t)
	b.want(t, "after a restart", n, nothing.Body)
}

// TestRestarts: whoever looks finds the comment that is there, whatever happened to the
// answer of the write that made it.
func TestRestarts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault hubd.Fault
	}{
		{"as it should", hubd.Fault{Path: "/nowhere"}},
		{"an answer that got lost", hubd.Fault{Method: "POST", Path: "/comments", Times: 1, Done: true}},
		{"a connection that broke after the write", hubd.Fault{Method: "POST", Path: "/comments", Times: 1, Done: true, Cut: true}},
		{"a write that failed", hubd.Fault{Method: "POST", Path: "/comments", Times: 1}},
		{"a status that failed", hubd.Fault{Method: "POST", Path: "/statuses", Times: 1, Status: 500}},
		{"a status whose answer got lost", hubd.Fault{Method: "POST", Path: "/statuses", Times: 1, Done: true}},
		{"a list that failed", hubd.Fault{Method: "GET", Path: "/comments", Times: 1, Status: 500}},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s restarted=%t", tt.name, restarted), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				n := b.open(hubd.Pull{Head: commit(1)})
				for i := range 45 { // beyond the first page
					b.hub.Say(n, "ann", fmt.Sprint("looks good ", i))
				}
				b.hub.AddFault(tt.fault)
				b.look(t)
				if restarted {
					b.restart(t)
				}
				for range 3 {
					b.now = b.now.Add(10 * time.Minute)
					b.look(t)
				}
				b.want(t, "in the end", n, "report of "+commit(1))
				if got := b.statuses(commit(1)); len(got) != 1 {
					t.Errorf("statuses %q, want one", got)
				}
			})
		}
	}
}

// TestTwoReplicas: of comments that two replicas made at once, the first stays.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.open(hubd.Pull{Head: commit(1)})
	b.look(t)
	first := b.hub.Comments(n)[0]
	b.hub.Say(n, bot, first.Body)
	b.hub.Say(n, bot, first.Body)
	b.restart(t)
	b.look(t)
	b.want(t, "merged", n, "report of "+commit(1))
	if got := b.hub.Comments(n)[0].ID; got != first.ID {
		t.Errorf("comment %d stayed, want the first, %d", got, first.ID)
	}
	if !slices.Contains(b.saw, "comment deleted") {
		t.Errorf("saw %v", b.saw)
	}
}

// TestNotOurs: the mark alone makes no comment ours, nor does the author: what others
// wrote, and what this account wrote for another cluster, is not touched.
func TestNotOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.open(hubd.Pull{Head: commit(1)})
	before := []int64{
		b.hub.Say(n, "mallory", "<!-- lanyard: report of lanyard/irsa-lab -->\nall is well"),
		b.hub.Say(n, bot, "<!-- lanyard: report of lanyard/irsa-lab-2 -->\nof another cluster"),
		b.hub.Say(n, bot, "no mark"),
		b.hub.Say(n, bot, "> <!-- lanyard: report of lanyard/irsa-lab -->\nquoted"),
	}
	b.hub.Mark(commit(1), hubd.Status{State: "success", Context: name, Description: "does report of " + commit(1), Creator: "mallory"})
	b.look(t)
	for i, c := range b.hub.Comments(n)[:4] {
		if c.ID != before[i] || c.Edits != 0 {
			t.Errorf("comment %+v was touched", c)
		}
	}
	if all := b.hub.Comments(n); len(all) != 5 || all[4].Author != bot {
		t.Errorf("%d comments, want one more of the bot's", len(all))
	}
	if got := b.hub.Statuses(commit(1)); len(got) != 2 || got[1].Creator != bot {
		t.Errorf("statuses %+v, want the bot's own above somebody else's", got)
	}
	other := newBench(t, func(o *forge.Options) { o.Name = "lanyard/other" })
	other.hub, other.stamp = b.hub, "c0"
	other.restart(t, func(o *forge.Options) { o.Name = "lanyard/other" })
	other.look(t)
	b.now = b.now.Add(10 * time.Minute)
	if wrote := b.look(t); len(wrote) != 0 || len(b.hub.Comments(n)) != 6 {
		t.Errorf("two clusters: wrote %v, %d comments; want none, one each", wrote, len(b.hub.Comments(n)))
	}
}

// TestPutRight: what somebody made of the comment, or of the status, is put right.
func TestPutRight(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.open(hubd.Pull{Head: commit(1)})
	b.look(t)
	c := b.hub.Comments(n)[0]
	b.hub.Rewrite(c.ID, strings.ReplaceAll(c.Body, "\n", "\r\n")+"\r\n") // as a host may
	b.now = b.now.Add(10 * time.Minute)
	if wrote := b.look(t); len(wrote) != 0 {
		t.Errorf("line ends alone made it write %v", wrote)
	}
	b.hub.Rewrite(c.ID, c.Body+"approved, merge at once")
	b.hub.Mark(commit(1), hubd.Status{State: "failure", Context: name, Description: "no", Creator: "ann"})
	b.now = b.now.Add(10 * time.Minute)
	b.look(t)
	b.want(t, "rewritten", n, "report of "+commit(1))
	if got := b.statuses(commit(1)); got[len(got)-1] != "success does report of "+commit(1) {
		t.Errorf("statuses %q", got)
	}
}

// TestTooMuch: a body that no host takes is cut, and a description too; control
// characters of neither get through as they are.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answers[commit(1)] = forge.Answer{
		Touches: true, Body: strings.Repeat("é", 70_000), State: forge.Failure, Description: "line\none \xff" + strings.Repeat("ü", 200),
	}
	n := b.open(hubd.Pull{Head: commit(1)})
	b.look(t)
	if got := b.hub.Comments(n); len(got) != 1 || !strings.HasSuffix(got[0].Body, "does not fit into a comment.*\n") {
		t.Fatalf("%d comments\n%s", len(got), b.log.String())
	}
	st := b.hub.Statuses(commit(1))
	if len(st) != 1 || st[0].State != "failure" || !strings.HasPrefix(st[0].Description, "line one \uFFFDü") || !strings.HasSuffix(st[0].Description, "ü...") {
		t.Errorf("statuses %+v", st)
	}
	b.now = b.now.Add(10 * time.Minute)
	if wrote := b.look(t); len(wrote) != 0 {
		t.Errorf("again: wrote %v", wrote)
	}
	b.answers[commit(2)] = says(strings.Repeat("x", forge.Room(name)))
	b.hub.Push(n, commit(2))
	b.look(t)
	if got := b.hub.Comments(n)[0].Body; strings.Contains(got, "does not fit") {
		t.Error("a body that fits is cut")
	}
}

// TestPatience: while the host asks for patience it is left alone, and afterwards all is
// done that was due.
func TestPatience(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		limit func(*bench)
		rest  time.Duration
	}{
		{"the primary limit", func(b *bench) { b.hub.Exhaust(secret, 0, b.now.Add(20*time.Minute)) }, 20 * time.Minute},
		{"the primary limit, on the way", func(b *bench) { b.hub.Exhaust(secret, 3, b.now.Add(20*time.Minute)) }, 20 * time.Minute},
		{"a server that is down for a while", func(b *bench) { b.hub.AddFault(hubd.Fault{Times: 1, Status: 503, RetryAfter: 240}) }, 4 * time.Minute},
		{"a server error", func(b *bench) { b.hub.AddFault(hubd.Fault{Times: 1, Status: 500}) }, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			n := b.open(hubd.Pull{Head: commit(1)})
			tt.limit(b)
			b.look(t)
			first := len(b.hub.Requests())
			b.now = b.now.Add(tt.rest - 2*time.Second)
			if b.look(t); len(b.hub.Requests()) != 0 || first == 0 {
				t.Errorf("asked %v before %s were over", b.hub.Requests(), tt.rest)
			}
			b.hub.Exhaust(secret, 1000, b.now.Add(time.Hour))
			b.now = b.now.Add(3 * time.Second)
			b.look(t)
			b.want(t, "afterwards", n, "report of "+commit(1))
			if got := b.statuses(commit(1)); len(got) != 1 {
				t.Errorf("statuses %q", got)
			}
		})
	}
}

// TestBackOff: errors that do not pass are asked about ever more rarely, and told once.
func TestBackOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.open(hubd.Pull{Head: commit(1)})
	lift := b.hub.AddFault(hubd.Fault{Status: 500})
	looks := 0
	for range 60 {
		b.look(t)
		looks += len(b.hub.Requests())
		b.now = b.now.Add(time.Minute)
	}
	if looks < 5 || looks > 10 {
		t.Errorf("%d requests in an hour of errors, want 5 to 10", looks)
	}
	if n := strings.Count(b.log.String(), "not all pull requests"); n != 1 {
		t.Errorf("told %d times:\n%s", n, b.log.String())
	}
	lift()
	b.now = b.now.Add(15 * time.Minute)
	b.look(t)
	if !strings.Contains(b.log.String(), "reported on again") {
		t.Errorf("the end of it is not told:\n%s", b.log.String())
	}
}

// TestOthersGoOn: what is wrong with one pull request holds no other up.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	hold, retry := remedy.Mark(remedy.Hold, errors.New("too large")), remedy.Mark(remedy.Retry, errors.New("no answer"))
	for _, tt := range []struct {
		name  string
		class error
		locks bool
		tries int // of the wrong ones in six minutes
	}{
		{"heads that cannot be read for now", retry, false, 0},
		{"heads that cannot be read at all", hold, false, 2},
		{"conversations that are locked", nil, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for i := range 12 {
				n := b.open(hubd.Pull{Head: commit(100 + i), Locked: tt.locks && i > 5})
				if i > 5 && !tt.locks {
					b.wrong[n] = tt.class
				}
			}
			tries := 0
			for range 6 {
				b.look(t)
				wrong := 0
				for _, n := range b.asked {
					if n == 12 {
						tries++
					}
					if b.wrong[n] != nil && errors.Is(tt.class, retry) {
						wrong++
					}
				}
				if wrong > 3 {
					t.Errorf("%d errors in one look, want an end after three", wrong)
				}
				b.now = b.now.Add(time.Minute)
			}
			for n := 1; n <= 6; n++ {
				b.want(t, "one that is right", n, "report of "+commit(99+n))
			}
			if tt.tries > 0 && tries != tt.tries {
				t.Errorf("one that is wrong was tried %d times in six minutes, want %d", tries, tt.tries)
			}
			if tt.locks && len(b.statuses(commit(111))) != 1 {
				t.Error("a locked one has no status")
			}
			for n := 1; n <= 6; n++ {
				b.answers[commit(99+n)] = says("the world changed")
			}
			for range 3 {
				b.now = b.now.Add(15 * time.Minute)
				b.look(t)
			}
			b.want(t, "one that is right, later", 1, "the world changed")
		})
	}
}

// TestTooManyComments: where not all comments can be read, the one that was found is
// kept up to date, and none is made because it was not.
func TestTooManyComments(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	early, late := b.open(hubd.Pull{Head: commit(1)}), b.open(hubd.Pull{Head: commit(2), Closed: true})
	b.look(t)
	for range 1001 {
		b.hub.Say(early, "ann", "+1")
		b.hub.Say(late, "ann", "+1")
	}
	b.hub.Change(late, func(p *hubd.Pull) { p.Closed = false })
	b.hub.Push(early, commit(3))
	b.look(t)
	b.want(t, "found", early, "report of "+commit(3))
	b.want(t, "not found", late)
	if got := b.statuses(commit(2)); len(got) != 1 {
		t.Errorf("statuses %q, want one all the same", got)
	}
}

// TestMany: so many are answered in one look, and nobody is forgotten.
func TestMany(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *forge.Options) { o.Most, o.MostSeen = 7, 20 })
	for i := range 25 {
		b.open(hubd.Pull{Head: commit(100 + i)})
	}
	answered := map[int]bool{}
	for i := range 3 {
		if b.look(t); len(b.asked) > 7 {
			t.Errorf("look %d answered %d, want at most 7", i, len(b.asked))
		}
		for _, n := range b.asked {
			answered[n] = true
		}
	}
	if len(answered) != 20 || answered[1] || !answered[25] {
		t.Errorf("answered %v, want the 20 that were touched last", answered)
	}
}

// TestRun: it looks when it is woken, spaces its writes, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	shown := make(chan string, 10)
	b.restart(t, func(o *forge.Options) {
		o.Interval, o.Spacing, o.Now = time.Hour, 50*time.Millisecond, time.Now
		o.Stamp = func() string { mu.Lock(); defer mu.Unlock(); return b.stamp }
		o.Saw = func(what forge.What, result forge.Result) { shown <- string(what) + " " + string(result) }
	})
	n := b.open(hubd.Pull{Head: commit(1)})
	woken := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx, woken) }()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-shown:
			if got != want {
				t.Errorf("shown %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not within 20 s: %s", want)
		}
	}
	next("comment created")
	next("status created")
	b.hub.Push(n, commit(2))
	woken <- struct{}{}
	next("comment edited")
	next("status created")
	cancel()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
	var writes []time.Time
	for _, r := range b.hub.Requests() {
		if r.Method != "GET" {
			writes = append(writes, r.At)
		}
	}
	for i := 1; i < len(writes); i++ {
		if d := writes[i].Sub(writes[i-1]); d < 50*time.Millisecond {
			t.Errorf("write %d came %s after the one before", i, d)
		}
	}
	if d := cmp.Diff(4, len(writes)); d != "" {
		t.Errorf("writes (-want +got):\n%s", d)
	}
}

// TestBudget: a host that does not answer costs a look's budget, and no more.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *forge.Options) { o.Budget = 100 * time.Millisecond })
	b.open(hubd.Pull{})
	b.hub.AddFault(hubd.Fault{Hang: true})
	began := time.Now()
	if err := b.Look(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute { // two minutes without it
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
