package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
	"github.com/lanyard-io/lanyard/internal/sandbox/hubd"
)

const (
	pullsToken = "github_pat_of_the_test"
	pullsBot   = "lanyard-bot"
	pullsName  = "lanyard/irsa-lab"
)

// reviewed is a rig whose daemon reports on the pull requests of a GitHub.
type reviewed struct {
	*rig
	hub   *hubd.Server
	token string // its file
}

func newReviewed(t *testing.T) *reviewed {
	t.Helper()
	r := &reviewed{rig: newRig(t)}
	var err error
	if r.hub, err = hubd.Serve(t.Context(), hubd.Options{Repository: "acme/fleet"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.hub.Close() })
	r.hub.Grant(pullsToken, hubd.Token{Login: pullsBot, Pulls: hubd.Write, Statuses: hubd.Write})
	r.token = filepath.Join(t.TempDir(), "github")
	r.write(t, r.token, pullsToken+"\n")
	entries, err := fs.ReadDir(r.fleet, ".")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, e.Name())
	}
	r.setConfig(t, "source:", "features: { pullRequests: true }\npullRequests: { url: \""+r.hub.URL+"\", repository: acme/fleet, tokenFile: "+r.token+" }\n"+
		"source:\n  paths: ["+strings.Join(paths, ", ")+"]")
	r.options.Pulls = app.PullsPace{Interval: 50 * time.Millisecond, Every: 300 * time.Millisecond, Spacing: time.Millisecond}
	return r
}

// branch commits to a branch that comes from main.
func (r *reviewed) branch(t *testing.T, name string, write map[string]string) string {
	t.Helper()
	if _, err := r.repo.Head(name); err != nil {
		if err := r.repo.SetBranch(name, r.head(t)); err != nil {
			t.Fatal(err)
		}
	}
	hash, err := r.repo.Commit(gitd.Change{Branch: name, Write: write, By: gitd.By(r.Clock.Now())})
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// open opens a pull request, as Git and the host show it.
func (r *reviewed) open(t *testing.T, p hubd.Pull, write map[string]string) int {
	t.Helper()
	p.Head, p.Base = r.branch(t, p.Branch, write), "main"
	n := len(r.hub.Pulls()) + 1
	if err := r.repo.SetPull(n, p.Head); err != nil {
		t.Fatal(err)
	}
	if p.Fork != "" { // its branch is in another repository
		if err := r.repo.DeleteBranch(p.Branch); err != nil {
			t.Fatal(err)
		}
	}
	return r.hub.Open(p)
}

// push moves a pull request's head.
func (r *reviewed) push(t *testing.T, n int, branch string, write map[string]string) string {
	t.Helper()
	head := r.branch(t, branch, write)
	if err := r.repo.SetPull(n, head); err != nil {
		t.Fatal(err)
	}
	r.hub.Push(n, head)
	return head
}

// comment is what lanyard says on a pull request; empty if nothing.
func (r *reviewed) comment(t *testing.T, n int) (body string, edits int) {
	t.Helper()
	all := r.hub.Comments(n)
	switch {
	case len(all) > 1:
		t.Fatalf("#%d has %d comments, want one at most", n, len(all))
	case len(all) == 1:
		return all[0].Body, all[0].Edits
	}
	return "", 0
}

// state is the newest status of a commit.
func (r *reviewed) state(head string) string {
	all := r.hub.Statuses(head)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Context + " " + all[len(all)-1].State
}

func (r *reviewed) file(t *testing.T, name, old, text string) map[string]string {
	t.Helper()
	data, err := fs.ReadFile(r.fleet, name)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q: %v", name, old, err)
	}
	return map[string]string{name: strings.Replace(string(data), old, text, 1)}
}

// TestPullRequests: a daemon says on each pull request what merging it would do, keeps
// that up to date, and goes on making rounds whatever happens to it.
func TestPullRequests(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	flip := r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: pod-identity")
	n := r.open(t, hubd.Pull{Title: "move s3-reader", Branch: "flip"}, flip)
	note := r.open(t, hubd.Pull{Branch: "note"}, map[string]string{"README.md": "a note\n"})
	fork := r.open(t, hubd.Pull{Branch: "fork", Fork: "mallory/fleet"}, flip)
	d := r.start(t)
	waitFor(t, "a comment", func() bool { body, _ := r.comment(t, n); return body != "" })
	body, _ := r.comment(t, n)
	for _, want := range []string{"<!-- lanyard: report of " + pullsName + " -->\n### lanyard: ", "demo/s3-reader", "`irsa-lab`", r.hub.Pulls()[n-1].Head} {
		if !strings.Contains(body, want) {
			t.Errorf("the comment does not say %q:\n%s", want, body)
		}
	}
	head := r.hub.Pulls()[n-1].Head
	waitFor(t, "a status", func() bool { return r.state(head) == pullsName+" success" })

	r.settled(t, d) // repairs, and ten minutes in which the live world moves
	wait(t, r.hub, 8)
	body, edits := r.comment(t, n)
	fetches := r.fetches()
	r.pass(t, 4*time.Minute) // in five, the session in the other account has ended
	wait(t, r.hub, 8)
	if more := r.fetches() - fetches; more != 0 {
		t.Errorf("fetched %d times from Git though nothing moved", more)
	}
	if again, more := r.comment(t, n); more != edits {
		t.Errorf("edited %d times in four still minutes (-from +to):\n%s", more-edits, cmp.Diff(body, again))
	}

	broken := r.push(t, n, "flip", map[string]string{"demo/s3-reader.yaml": flip["demo/s3-reader.yaml"] + "  unknown: true\n"})
	waitFor(t, "a status of the broken head", func() bool { return r.state(broken) == pullsName+" failure" })
	if body, _ := r.comment(t, n); !strings.Contains(body, "demo/s3-reader.yaml:") || !strings.Contains(body, "unknown") {
		t.Errorf("the comment does not say what is wrong:\n%s", body)
	}
	elsewhere := r.push(t, n, "flip", r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: irsa\n  roleARN: arn:aws:iam::123456789012:role/never-looked-at"))
	waitFor(t, "a comment on another role", func() bool { body, _ := r.comment(t, n); return strings.Contains(body, elsewhere) })
	if body, _ := r.comment(t, n); !strings.Contains(body, "role never-looked-at was not read") {
		t.Errorf("the comment does not say that a role was not looked at:\n%s", body)
	}
	mended := r.push(t, n, "flip", flip)
	waitFor(t, "a status of the mended head", func() bool { return r.state(mended) == pullsName+" success" })

	r.hub.AddFault(hubd.Fault{Hang: true}) // nothing of GitHub's holds rounds up
	merged := r.commit(t, flip)
	r.hub.Change(n, func(p *hubd.Pull) { p.Closed, p.Merged = true, true })
	r.until(t, "the merge is followed", func() bool {
		var s statusSeen
		d.api(t, "/api/v1/status", &s)
		return strings.HasSuffix(s.Daemon.Source.Accepted, merged)
	})
	for what, number := range map[string]int{"one that concerns nobody": note, "a fork": fork} {
		if body, _ := r.comment(t, number); body != "" {
			t.Errorf("%s is commented on:\n%s", what, body)
		}
	}
	for _, line := range []string{`lanyard_pull_requests_shown_total{result="created",what="comment"} 1`, `lanyard_pull_requests_calls_total{code="unchanged"}`, "lanyard_pull_requests_rate_limit_left 4"} {
		if d.metric(t, line) == "" {
			t.Errorf("no metric begins with %s", line)
		}
	}
	if text := r.log.String(); strings.Contains(text, pullsToken) || !strings.Contains(text, `"what":"comment","result":"created"`) {
		t.Error("the log has the token in it, or no line of a comment")
	}
}

// fetches counts the times that objects were asked for.
func (r *reviewed) fetches() (n int) {
	for _, q := range r.git.Requests() {
		if q.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// wait lets the reporter look so many times.
func wait(t *testing.T, hub *hubd.Server, looks int) {
	t.Helper()
	hub.Forget()
	waitFor(t, fmt.Sprint(looks, " looks"), func() bool {
		n := 0
		for _, q := range hub.Requests() {
			if strings.HasSuffix(q.Path, "/pulls") {
				n++
			}
		}
		return n >= looks
	})
}

// TestPullRequestsOfForks: with forks the head of a pull request is read where the host
// keeps it, and a second daemon adds nothing.
func TestPullRequestsOfForks(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	r.setConfig(t, "repository: acme/fleet", "forks: true, repository: acme/fleet")
	n := r.open(t, hubd.Pull{Branch: "fork", Fork: "mallory/fleet", Gone: true}, r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: pod-identity"))
	d := r.start(t)
	waitFor(t, "a comment", func() bool { body, _ := r.comment(t, n); return strings.Contains(body, "demo/s3-reader") })
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	wait(t, r.hub, 8)
	r.comment(t, n) // fails the test if there are two
}

// TestPullRequestsOnlyByTheLeader: a replica that stands by says nothing.
func TestPullRequestsOnlyByTheLeader(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	d := r.start(t)
	waitFor(t, "one leads", func() bool { code, _ := d.get(t, "/readyz", ""); return code == http.StatusOK })
	other := newGate(r.stage)
	standby := r.start(t, func(o *app.DaemonOptions) { o.Lease.Identity, o.Sleep = "two", other.Sleep })
	waitFor(t, "the other stands by", func() bool {
		_, body := standby.get(t, "/readyz", "")
		return strings.Contains(string(body), "standing by, one leads")
	})
	wait(t, r.hub, 5)
	if got := standby.metric(t, `lanyard_pull_requests_calls_total{code="ok"}`); got != `lanyard_pull_requests_calls_total{code="ok"} 0` {
		t.Errorf("the one that stands by asked: %s", got)
	}
}

// deliver sends GitHub's hook.
func (d *runningDaemon) deliver(t *testing.T, event string) {
	t.Helper()
	body := fmt.Sprintf(`{"zen":%d}`, time.Now().UnixNano())
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.HookAddr().String()+"/hook/github", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-GitHub-Event", event)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusAccepted {
		t.Fatalf("the hook is answered %d", answer.StatusCode)
	}
}

// TestPullRequestsWoken: a hook wakes the reporter, whatever its interval; its token may be
// renewed under it; and it ends with the feature.
func TestPullRequestsWoken(t *testing.T) {
	t.Parallel()
	r := newReviewed(t)
	secret := filepath.Join(t.TempDir(), "hook")
	r.write(t, secret, "s3cret\n")
	d := r.start(t, func(o *app.DaemonOptions) {
		o.Pulls.Interval, o.Pulls.Every = time.Hour, time.Hour
		o.HookListen, o.HookSecrets = "127.0.0.1:0", map[string][]string{"github": {secret}}
	})
	waitFor(t, "a first look", func() bool { return len(r.hub.Requests()) > 0 })
	flip := r.file(t, "demo/s3-reader.yaml", "mechanism: irsa", "mechanism: pod-identity")
	n := r.open(t, hubd.Pull{Branch: "flip"}, flip)
	d.deliver(t, "pull_request")
	waitFor(t, "a comment", func() bool { body, _ := r.comment(t, n); return body != "" })

	r.hub.Revoke(pullsToken)
	r.hub.Grant("renewed", hubd.Token{Login: pullsBot, Pulls: hubd.Write, Statuses: hubd.Write})
	r.write(t, r.token, "renewed\n")
	orphan, err := r.repo.Commit(gitd.Change{Branch: "orphan", Write: flip, By: gitd.By(r.Clock.Now())})
	if err != nil {
		t.Fatal(err)
	}
	m := r.hub.Open(hubd.Pull{Branch: "orphan", Base: "main", Head: orphan})
	if err := r.repo.SetPull(m, orphan); err != nil {
		t.Fatal(err)
	}
	d.deliver(t, "pull_request")
	waitFor(t, "a status of what cannot be merged", func() bool { return r.state(orphan) == pullsName+" failure" })
	if body, _ := r.comment(t, m); !strings.Contains(body, "cannot be read") || !strings.Contains(body, "no common ancestor") {
		t.Errorf("the comment does not say why:\n%s", body)
	}

	r.setConfig(t, "pullRequests: true", "pullRequests: false")
	waitFor(t, "the configuration is in force", func() bool { return strings.Count(r.log.String(), "configuration in force") > 1 })
	waitFor(t, "another generation", func() bool { code, _ := d.get(t, "/readyz", ""); return code == http.StatusOK })
	r.gate.pass(t, time.Minute)
	r.gate.rest(t)
	r.hub.Forget()
	d.deliver(t, "pull_request")
	r.gate.pass(t, time.Minute)
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); time.Sleep(20 * time.Millisecond) { // looks are a second apart
		if asked := r.hub.Requests(); len(asked) != 0 {
			t.Fatalf("asked %v with the feature off", asked)
		}
	}
}
