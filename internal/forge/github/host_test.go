package github_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
)

var commit = strings.Repeat("a1", 20)

// bench is a host in front of the double.
type bench struct {
	*github.Host
	hub   *hubd.Server
	token string
	codes []int
	left  int
}

func newBench(t *testing.T, change ...func(*github.Options)) *bench {
	t.Helper()
	hub, err := hubd.Serve(t.Context(), hubd.Options{Repository: "acme/fleet"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hub.Close() })
	hub.Grant(secret, hubd.Token{Login: "lanyard-bot", Pulls: hubd.Write, Statuses: hubd.Write})
	b := &bench{hub: hub, token: secret}
	o := github.Options{
		URL: hub.URL, Repository: "acme/fleet", Agent: "lanyard/test", Token: func() (string, error) { return b.token, nil },
		Called: func(code int) { b.codes = append(b.codes, code) }, Left: func(n int) { b.left = n },
	}
	for _, c := range change {
		c(&o)
	}
	if b.Host, err = github.New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPulls: all pages are read, up to a bound, newest first; a fork is told from a
// branch, and a branch of this repository from one of a fork that is gone.
func TestPulls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 230 {
		b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	}
	b.hub.Open(hubd.Pull{Branch: "main", Head: commit, Base: "main", Fork: "mallory/fleet"})
	b.hub.Open(hubd.Pull{Branch: "main", Head: commit, Base: "main", Fork: "mallory/fleet", Gone: true})
	b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "release"})
	b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main", Closed: true})
	all, more, err := b.Pulls(t.Context(), "main", 1000)
	if err != nil || more || len(all) != 232 {
		t.Fatalf("%d pull requests, more %t, %v; want 232, all", len(all), more, err)
	}
	want := []forge.Pull{
		{Number: 232, Head: commit, Ref: "refs/pull/232/head", Fork: true},
		{Number: 231, Head: commit, Ref: "refs/pull/231/head", Fork: true},
		{Number: 230, Head: commit, Ref: "refs/pull/230/head"},
	}
	if d := cmp.Diff(want, all[:3]); d != "" {
		t.Errorf("newest three (-want +got):\n%s", d)
	}
	if some, more, err := b.Pulls(t.Context(), "main", 120); err != nil || !more || len(some) != 120 {
		t.Errorf("%d pull requests, more %t, %v; want 120 of more", len(some), more, err)
	}
	b.hub.Say(3, "ann", "hello")
	if some, _, err := b.Pulls(t.Context(), "main", 1); err != nil || some[0].Number != 3 {
		t.Errorf("%v, %v; want the one that was touched last", some, err)
	}
	if n := len(b.hub.Requests()); n != 6 {
		t.Errorf("%d requests, want 3, 2 and 1 pages", n)
	}
}

// TestUnchanged: what did not change is asked for with its ETag, which costs nothing of
// the rate limit, and reads the same.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	first, _, err := b.Pulls(t.Context(), "main", 100)
	if err != nil {
		t.Fatal(err)
	}
	left := b.hub.Left(secret)
	again, _, err := b.Pulls(t.Context(), "main", 100)
	if err != nil || !cmp.Equal(first, again) || b.hub.Left(secret) != left || b.left != left {
		t.Errorf("again %v, %v, %d left and %d told; want %v, %d", again, err, b.hub.Left(secret), b.left, first, left)
	}
	if d := cmp.Diff([]int{200, 304}, b.codes); d != "" {
		t.Errorf("codes (-want +got):\n%s", d)
	}
	b.hub.Push(n, strings.Repeat("b2", 20))
	if moved, _, err := b.Pulls(t.Context(), "main", 100); err != nil || moved[0].Head != strings.Repeat("b2", 20) {
		t.Errorf("after a push %v, %v", moved, err)
	}
}

// TestComments: comments are made, edited, listed with whose they are, and removed; one
// that is gone already is removed.
func TestComments(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	for i := range 70 {
		b.hub.Say(n, "ann", fmt.Sprint("hello ", i))
	}
	do(t, b.Write(t.Context(), n, 0, "report"))
	list, err := b.Comments(t.Context(), n)
	do(t, err)
	again, err := b.Comments(t.Context(), n)
	do(t, err)
	if d := cmp.Diff(list, again); d != "" {
		t.Errorf("unchanged pages read otherwise (-first +again):\n%s", d)
	}
	last := list[len(list)-1]
	if len(list) != 71 || !last.Mine || last.Body != "report" || list[0].Mine {
		t.Fatalf("%d comments, first %+v, last %+v; want 71, the last mine", len(list), list[0], last)
	}
	do(t, b.Write(t.Context(), n, last.ID, "report 2"))
	if got := b.hub.Comments(n)[70]; got.Body != "report 2" || got.Edits != 1 {
		t.Errorf("edited: %+v", got)
	}
	do(t, b.Delete(t.Context(), n, last.ID))
	do(t, b.Delete(t.Context(), n, last.ID))
	if got := len(b.hub.Comments(n)); got != 70 {
		t.Errorf("%d comments left, want 70", got)
	}
	for range 1000 {
		b.hub.Say(n, "ann", "spam")
	}
	if list, err := b.Comments(t.Context(), n); !errors.Is(err, forge.ErrCut) || len(list) != 1000 {
		t.Errorf("%d comments, %v; want 1000 and ErrCut", len(list), err)
	}
}

// TestStatus: the newest status of a name counts, whatever its case and whoever said it.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	if _, there, err := b.Status(t.Context(), commit, "lanyard/lab"); there || err != nil {
		t.Errorf("before: %t, %v", there, err)
	}
	do(t, b.SetStatus(t.Context(), commit, "lanyard/lab", forge.Status{State: forge.Success, Description: "nothing"}))
	for i := range 150 {
		b.hub.Mark(commit, hubd.Status{State: "pending", Context: fmt.Sprint("ci/", i), Creator: "ci"})
	}
	got, there, err := b.Status(t.Context(), commit, "lanyard/LAB")
	if want := (forge.Status{State: forge.Success, Description: "nothing", Mine: true}); got != want || !there || err != nil {
		t.Errorf("%+v, %t, %v; want %+v", got, there, err, want)
	}
	b.hub.Mark(commit, hubd.Status{State: "failure", Context: "lanyard/lab", Creator: "mallory"})
	if got, _, _ := b.Status(t.Context(), commit, "lanyard/lab"); got.Mine || got.State != forge.Failure {
		t.Errorf("after somebody else's: %+v", got)
	}
}

// TestErrors: each way to fail has its class, and what asks for patience says until when.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		wrong func(*bench)
		class remedy.Class
		wait  time.Duration // at least, and half a minute more at most
		says  string
	}{
		{"a wrong token", func(b *bench) { b.token = "wrong" }, remedy.Hold, 0, "401 Bad credentials"},
		{"a token for another repository", func(b *bench) { b.hub.Grant(secret, hubd.Token{Elsewhere: true}) }, remedy.Hold, 0, "404 Not Found"},
		{"a token without pull requests", func(b *bench) { b.hub.Grant(secret, hubd.Token{}) }, remedy.Hold, 0, "403 Resource not accessible by personal access token"},
		{"a server error", func(b *bench) { b.hub.AddFault(hubd.Fault{}) }, remedy.Retry, 0, "502"},
		{"a server that is down for a while", func(b *bench) { b.hub.AddFault(hubd.Fault{Status: 503, RetryAfter: 90}) }, remedy.Retry, 90 * time.Second, "503"},
		{"a connection that breaks", func(b *bench) { b.hub.AddFault(hubd.Fault{Cut: true}) }, remedy.Retry, 0, "EOF"},
		{"too many, without a word", func(b *bench) { b.hub.AddFault(hubd.Fault{Status: 429}) }, remedy.Retry, time.Minute, "429"},
		{"the primary limit", func(b *bench) { b.hub.Exhaust(secret, 0, time.Now().Add(20*time.Minute)) }, remedy.Retry, 20*time.Minute - time.Second, "API rate limit exceeded"},
		{"the primary limit of a wrong clock", func(b *bench) { b.hub.Exhaust(secret, 0, time.Now().Add(20*time.Hour)) }, remedy.Retry, time.Hour - time.Second, "API rate limit exceeded"},
		{"the secondary limit", func(b *bench) { b.hub.Throttle(secret, time.Now().Add(45*time.Second)) }, remedy.Retry, 44 * time.Second, "secondary rate limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
			tt.wrong(b)
			began := time.Now()
			_, _, err := b.Pulls(t.Context(), "main", 100)
			if remedy.Of(err) != tt.class || !strings.Contains(fmt.Sprint(err), tt.says) || strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%v, class %s; want %s, %q", err, remedy.Of(err), tt.class, tt.says)
			}
			if tt.says == "EOF" && !cmp.Equal(b.codes, []int{0}) {
				t.Errorf("codes %v, want none as 0", b.codes)
			}
			wait, is := errors.AsType[*forge.WaitError](err)
			if is != (tt.wait > 0) {
				t.Fatalf("%v; want a time to wait: %t", err, tt.wait > 0)
			}
			if is && (wait.Until.Sub(began) < tt.wait || wait.Until.Sub(began) > tt.wait+30*time.Second) {
				t.Errorf("wait for %s, want %s", wait.Until.Sub(began), tt.wait)
			}
		})
	}
}

// TestRefused: what GitHub does not take is for a person to mend.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	if err := b.Write(t.Context(), n, 0, strings.Repeat("x", forge.LongestBody+1)); remedy.Of(err) != remedy.Hold || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v, class %s", err, remedy.Of(err))
	}
	do(t, b.Write(t.Context(), n, 0, strings.Repeat("é", forge.LongestBody)))
	if err := b.SetStatus(t.Context(), commit, "c", forge.Status{State: forge.Success, Description: strings.Repeat("x", forge.LongestDescription+1)}); remedy.Of(err) != remedy.Hold {
		t.Errorf("%v, class %s", err, remedy.Of(err))
	}
}

// TestWhoAsks: an App is told who it is by the configuration.
func TestWhoAsks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		if self, err := b.Self(t.Context()); self != "lanyard-bot" || err != nil || len(b.hub.Requests()) != 1 {
			t.Errorf("%q, %v, %d requests", self, err, len(b.hub.Requests()))
		}
	}
	b.hub.Grant(secret, hubd.Token{Login: "lanyard[bot]", App: true, Pulls: hubd.Write})
	n := b.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	app := newBench(t)
	app.hub.Grant(secret, hubd.Token{Login: "lanyard[bot]", App: true, Pulls: hubd.Write})
	if _, err := app.Comments(t.Context(), n); err == nil || !strings.Contains(err.Error(), "pullRequests.author") {
		t.Errorf("an App that is not told who it is: %v", err)
	}
	app = newBench(t, func(o *github.Options) { o.Author = "lanyard[bot]" })
	app.hub.Grant(secret, hubd.Token{Login: "lanyard[bot]", App: true, Pulls: hubd.Write})
	n = app.hub.Open(hubd.Pull{Branch: "b", Head: commit, Base: "main"})
	do(t, app.Write(t.Context(), n, 0, "report"))
	if list, err := app.Comments(t.Context(), n); err != nil || len(list) != 1 || !list[0].Mine {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTokenRotates: the token is read for each request, and one that cannot be read is
// told without a request.
func TestTokenRotates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, _, err := b.Pulls(t.Context(), "main", 1)
	do(t, err)
	b.hub.Revoke(secret)
	b.hub.Grant("new", hubd.Token{Login: "lanyard-bot", Pulls: hubd.Write})
	b.token = "new"
	_, _, err = b.Pulls(t.Context(), "main", 1)
	do(t, err)
	broken := newBench(t, func(o *github.Options) { o.Token = func() (string, error) { return "", errors.New("no such file") } })
	if _, _, err := broken.Pulls(t.Context(), "main", 1); err == nil || !strings.Contains(err.Error(), "no such file") || len(broken.hub.Requests()) != 0 {
		t.Errorf("%v, %d requests; want an error and none", err, len(broken.hub.Requests()))
	}
}

// TestElsewhere: the token does not follow GitHub to another host, and is sent over https
// or to this machine only.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer thief.Close()
	front := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusFound))
	defer front.Close()
	b := newBench(t, func(o *github.Options) { o.URL = front.URL })
	if _, _, err := b.Pulls(t.Context(), "main", 1); err == nil || asked != 0 {
		t.Errorf("%v, the other host was asked %d times; want an error, 0", err, asked)
	}
	for _, u := range []string{"http://ghe.example.com/api/v3", "ftp://127.0.0.1", "https://u:p@ghe.example.com", "::", "api.github.com"} {
		if _, err := github.New(github.Options{URL: u, Repository: "acme/fleet"}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v; want it refused", u, err)
		}
	}
	for _, repository := range []string{"", "acme", "acme/", "/fleet", "a/b/c"} {
		if _, err := github.New(github.Options{URL: "https://api.github.com", Repository: repository}); err == nil {
			t.Errorf("repository %q is accepted", repository)
		}
	}
}

// TestCancelled: a context that ends, ends the call.
func TestCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hub.AddFault(hubd.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.Pulls(ctx, "main", 1); !errors.Is(err, context.DeadlineExceeded) || remedy.Of(err) != remedy.Retry {
		t.Errorf("%v, class %s", err, remedy.Of(err))
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
