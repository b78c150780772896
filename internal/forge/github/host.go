package github

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	api "github.com/google/go-github/v89/github"

	"github.com/lanyard-io/lanyard/internal/forge"
	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Options are what a host is made of. URL, Repository and Token are required.
type Options struct {
	URL        string                 // of the API: https, or http on this machine
	Repository string                 // owner/name
	Token      func() (string, error) // asked for each request
	Author     string                 // the login that comments are made under; as GET /user says if empty
	Transport  http.RoundTripper      // http.DefaultTransport if nil
	Agent      string                 // User-Agent

	Called func(code int)      // told of each answer, and of none as 0
	Left   func(remaining int) // told what is left of the primary rate limit
	Now    func() time.Time    // time.Now if nil
}

// The bounds on time and lists.
const (
	callTime     = 20 * time.Second
	pullsPage    = 100
	commentsPage = 50 // each may have 65,536 characters
	mostPages    = 20
	statusPages  = 10 // of a hundred: a commit has at most 1,000 of a name
	patience     = time.Minute
	longestWait  = time.Hour
)

// Host is GitHub. Make one with [New].
type Host struct {
	api         *api.Client
	owner, name string
	now         func() time.Time
	author      string

	mu   sync.Mutex
	self string // as GET /user said
}

// New checks the options. It asks nothing of GitHub yet.
func New(o Options) (*Host, error) {
	base, err := url.Parse(strings.TrimSuffix(o.URL, "/") + "/")
	if err != nil || base.Host == "" || base.User != nil {
		return nil, errors.New("the address of GitHub's API is not a URL: write one such as https://api.github.com")
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !loopback(base.Hostname())) {
		return nil, fmt.Errorf("the address of GitHub's API is %s: a token goes over https, or to this machine", base.Redacted())
	}
	owner, name, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("repository %q is not OWNER/NAME", o.Repository)
	}
	c := &carrier{base: base, token: o.Token, next: o.Transport, called: o.Called, left: o.Left, known: map[string]kept{}}
	if c.next == nil {
		c.next = http.DefaultTransport
	}
	if c.called == nil {
		c.called = func(int) {}
	}
	if c.left == nil {
		c.left = func(int) {}
	}
	h := &Host{owner: owner, name: name, now: o.Now, author: o.Author}
	if h.now == nil {
		h.now = time.Now
	}
	// Whoever uses the host waits as it asks; the library's own count of the rate limit
	// would only refuse in its place.
	at := base.String()
	h.api, err = api.NewClient(api.WithTransport(c), api.WithTimeout(callTime), api.WithURLs(&at, nil), api.WithUserAgent(o.Agent), api.WithDisableRateLimitCheck())
	if err != nil {
		return nil, err
	}
	return h, nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Self returns the login that comments are made under. An installation of an App is not
// told who it is, so that its login has to be configured.
// Source: https://docs.github.com/en/rest/users/users#get-the-authenticated-user
func (h *Host) Self(ctx context.Context) (string, error) {
	if h.author != "" {
		return h.author, nil
	}
	h.mu.Lock()
	known := h.self
	h.mu.Unlock()
	if known != "" {
		return known, nil
	}
	me, _, err := h.api.Users.Get(ctx, "")
	if err != nil {
		return "", h.judge("ask who the token belongs to (pullRequests.author says it for a GitHub App)", err)
	}
	if me.GetLogin() == "" { // the authors that are gone have no login: theirs would be ours
		return "", remedy.Mark(remedy.Hold, errors.New("ask who the token belongs to: the answer names nobody: write pullRequests.author"))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.self = me.GetLogin()
	return h.self, nil
}

// Pulls lists the open pull requests into a branch.
func (h *Host) Pulls(ctx context.Context, base string, most int) (pulls []forge.Pull, more bool, err error) {
	o := &api.PullRequestListOptions{Base: base, Sort: "updated", Direction: "desc", ListOptions: api.ListOptions{PerPage: pullsPage}}
	for range mostPages {
		found, answer, err := h.api.PullRequests.List(ctx, h.owner, h.name, o)
		if err != nil {
			return nil, false, h.judge("list pull requests", err)
		}
		for _, p := range found {
			if len(pulls) == most {
				return pulls, true, nil
			}
			pulls = append(pulls, h.pull(p))
		}
		if answer.NextPage == 0 {
			return pulls, false, nil
		}
		o.Page = answer.NextPage
	}
	return pulls, true, nil
}

// pull reads what is needed. The head's repository is null once it is deleted.
// GitHub has each head under refs/pull/NUMBER/head, those of forks included.
// Source: https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/checking-out-pull-requests-locally
func (h *Host) pull(p *api.PullRequest) forge.Pull {
	of := p.GetHead().GetRepo().GetFullName()
	return forge.Pull{
		Number: p.GetNumber(), Head: p.GetHead().GetSHA(), Ref: "refs/pull/" + strconv.Itoa(p.GetNumber()) + "/head",
		Fork: !strings.EqualFold(of, h.owner+"/"+h.name),
	}
}

// Comments lists those of a pull request, which are those of its issue.
func (h *Host) Comments(ctx context.Context, number int) ([]forge.Comment, error) {
	self, err := h.Self(ctx)
	if err != nil {
		return nil, err
	}
	var out []forge.Comment
	o := &api.IssueListCommentsOptions{ListOptions: api.ListOptions{PerPage: commentsPage}}
	for range mostPages {
		found, answer, err := h.api.Issues.ListComments(ctx, h.owner, h.name, number, o)
		if err != nil {
			return nil, h.judge("list comments", err)
		}
		for _, c := range found {
			out = append(out, forge.Comment{ID: c.GetID(), Body: c.GetBody(), Mine: strings.EqualFold(c.GetUser().GetLogin(), self)})
		}
		if answer.NextPage == 0 {
			return out, nil
		}
		o.Page = answer.NextPage
	}
	return out, remedy.Mark(remedy.Hold, fmt.Errorf("list comments: %w", forge.ErrCut))
}

// Write makes a comment or changes one.
func (h *Host) Write(ctx context.Context, number int, id int64, body string) error {
	if id == 0 {
		_, _, err := h.api.Issues.CreateComment(ctx, h.owner, h.name, number, &api.IssueComment{Body: &body})
		return h.judge("comment", err)
	}
	_, _, err := h.api.Issues.EditComment(ctx, h.owner, h.name, id, &api.IssueComment{Body: &body})
	return h.judge("edit the comment", err)
}

// Delete removes a comment. One that is gone is removed.
func (h *Host) Delete(ctx context.Context, _ int, id int64) error {
	answer, err := h.api.Issues.DeleteComment(ctx, h.owner, h.name, id)
	if answer != nil && answer.StatusCode == http.StatusNotFound {
		return nil
	}
	return h.judge("delete a comment", err)
}

// Status returns the newest status under a name, which GitHub compares without case.
// They come newest first.
// Source: https://docs.github.com/en/rest/commits/statuses#list-commit-statuses-for-a-reference
func (h *Host) Status(ctx context.Context, commit, name string) (forge.Status, bool, error) {
	self, err := h.Self(ctx)
	if err != nil {
		return forge.Status{}, false, err
	}
	o := &api.ListOptions{PerPage: 100}
	for range statusPages {
		found, answer, err := h.api.Repositories.ListStatuses(ctx, h.owner, h.name, commit, o)
		if err != nil {
			return forge.Status{}, false, h.judge("list statuses", err)
		}
		for _, s := range found {
			if strings.EqualFold(s.GetContext(), name) {
				return forge.Status{State: forge.State(s.GetState()), Description: s.GetDescription(), Mine: strings.EqualFold(s.GetCreator().GetLogin(), self)}, true, nil
			}
		}
		if answer.NextPage == 0 {
			break
		}
		o.Page = answer.NextPage
	}
	return forge.Status{}, false, nil
}

// SetStatus says a new one.
func (h *Host) SetStatus(ctx context.Context, commit, name string, s forge.Status) error {
	state := string(s.State)
	_, _, err := h.api.Repositories.CreateStatus(ctx, h.owner, h.name, commit, api.RepoStatus{State: &state, Context: &name, Description: &s.Description})
	return h.judge("set the status", err)
}

// judge classes an error by what it asks for. Rate limits say when they end: the primary
// one by X-RateLimit-Reset, the secondary one by Retry-After, or else a minute is due.
// Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
func (h *Host) judge(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	if limit, is := errors.AsType[*api.RateLimitError](err); is {
		return h.wait(limit.Rate.Reset.Time, wrapped)
	}
	if limit, is := errors.AsType[*api.AbuseRateLimitError](err); is {
		after := patience
		if limit.RetryAfter != nil {
			after = *limit.RetryAfter
		}
		return h.wait(h.now().Add(after), wrapped)
	}
	refused, is := errors.AsType[*api.ErrorResponse](err)
	if !is {
		return remedy.Mark(remedy.Retry, wrapped) // no answer, or none that could be read
	}
	if after, e := strconv.Atoi(refused.Response.Header.Get("Retry-After")); e == nil && after > 0 {
		return h.wait(h.now().Add(time.Duration(after)*time.Second), wrapped)
	}
	switch code := refused.Response.StatusCode; {
	case code == http.StatusTooManyRequests:
		return h.wait(h.now().Add(patience), wrapped)
	case code >= 500:
		return remedy.Mark(remedy.Retry, wrapped)
	}
	return remedy.Mark(remedy.Hold, wrapped)
}

// wait bounds what a host may ask for: a clock that is wrong must not silence the
// reporter for good.
func (h *Host) wait(until time.Time, err error) error {
	now := h.now()
	switch {
	case until.Before(now.Add(time.Second)):
		until = now.Add(time.Second)
	case until.After(now.Add(longestWait)):
		until = now.Add(longestWait)
	}
	return remedy.Mark(remedy.Retry, &forge.WaitError{Until: until, Err: err})
}
