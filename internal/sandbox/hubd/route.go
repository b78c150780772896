package hubd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of what is written.
const (
	longestBody        = 65536 // characters of a comment
	longestDescription = 140   // characters of a status
	mostStatuses       = 1000  // of one commit and context
)

var commitRE = regexp.MustCompile(`^[0-9a-f]{40}$`)

// route answers a request of somebody who is known.
func (s *Server) route(h *holder, r *http.Request, body []byte) answer {
	if r.URL.Path == "/user" {
		if r.Method != http.MethodGet {
			return notFound()
		}
		// https://docs.github.com/en/rest/users/users#get-the-authenticated-user is not
		// for installations of Apps.
		if h.App {
			return refusal(http.StatusForbidden, "Resource not accessible by integration")
		}
		return answer{code: http.StatusOK, body: user(h.Login)}
	}
	rest, ours := strings.CutPrefix(r.URL.Path, "/repos/"+s.opts.Repository)
	if !ours || h.Elsewhere {
		return notFound() // not told apart from one that does not exist
	}
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	at := func(pattern string) bool {
		want := strings.Split(pattern, "/")
		if len(want) != len(parts) {
			return false
		}
		for i := range want {
			if want[i] != "*" && want[i] != parts[i] {
				return false
			}
		}
		return true
	}
	switch {
	case rest == "" && r.Method == http.MethodGet:
		return answer{code: http.StatusOK, body: map[string]any{"full_name": s.opts.Repository, "private": true, "default_branch": "main"}}
	case at("pulls") && r.Method == http.MethodGet:
		return s.need(h, h.Pulls, Read, func() answer { return s.listPulls(r) })
	case at("issues/*/comments") && r.Method == http.MethodGet:
		return s.need(h, h.Pulls, Read, func() answer { return s.listComments(r, parts[1]) })
	case at("issues/*/comments") && r.Method == http.MethodPost:
		return s.need(h, h.Pulls, Write, func() answer { return s.createComment(h, parts[1], body) })
	case at("issues/comments/*") && (r.Method == http.MethodPatch || r.Method == http.MethodDelete):
		return s.need(h, h.Pulls, Write, func() answer { return s.changeComment(r.Method, parts[2], body) })
	case at("commits/*/statuses") && r.Method == http.MethodGet:
		return s.need(h, h.Statuses, Read, func() answer { return s.listStatuses(r, parts[1]) })
	case at("statuses/*") && r.Method == http.MethodPost:
		return s.need(h, h.Statuses, Write, func() answer { return s.createStatus(h, parts[1], body) })
	}
	return notFound()
}

// need asks whether a token reaches far enough.
// Source: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
func (s *Server) need(h *holder, has, needs Access, run func() answer) answer {
	if has >= needs {
		return run()
	}
	by := "personal access token"
	if h.App {
		by = "integration"
	}
	return refusal(http.StatusForbidden, "Resource not accessible by "+by)
}

// listPulls is https://docs.github.com/en/rest/pulls/pulls#list-pull-requests.
func (s *Server) listPulls(r *http.Request) answer {
	q := r.URL.Query()
	state := cmp.Or(q.Get("state"), "open")
	sort := cmp.Or(q.Get("sort"), "created")
	direction := q.Get("direction")
	if direction == "" {
		direction = "asc"
		if sort == "created" {
			direction = "desc"
		}
	}
	if !slices.Contains([]string{"open", "closed", "all"}, state) {
		return invalid("PullRequest", "state", "state is not one of open, closed, all")
	}
	var found []*Pull
	for _, p := range s.pulls {
		if (state == "all" || p.Closed == (state == "closed")) && (q.Get("base") == "" || q.Get("base") == p.Base) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b *Pull) int {
		at, bt := a.Created, b.Created
		if sort == "updated" {
			at, bt = a.Updated, b.Updated
		}
		order := cmp.Or(at.Compare(bt), cmp.Compare(a.Number, b.Number))
		if direction == "desc" {
			return -order
		}
		return order
	})
	out := make([]map[string]any, len(found))
	for i, p := range found {
		out[i] = s.showPull(p)
	}
	return page(s, r, out)
}

func (s *Server) showPull(p *Pull) map[string]any {
	state := "open"
	if p.Closed || p.Merged {
		state = "closed"
	}
	of := cmp.Or(p.Fork, s.opts.Repository)
	var in any = repository(of, p.Fork != "")
	if p.Gone {
		in = nil
	}
	return map[string]any{
		"id": p.Number * 7, "number": p.Number, "state": state, "title": p.Title, "draft": p.Draft, "locked": p.Locked,
		"html_url": "https://github.com/" + s.opts.Repository + "/pull/" + strconv.Itoa(p.Number), "user": user(p.Author),
		"created_at": p.Created.UTC(), "updated_at": p.Updated.UTC(),
		"head": map[string]any{"label": owner(of) + ":" + p.Branch, "ref": p.Branch, "sha": p.Head, "repo": in, "user": user(owner(of))},
		"base": map[string]any{"label": owner(s.opts.Repository) + ":" + p.Base, "ref": p.Base, "repo": repository(s.opts.Repository, false)},
	}
}

func repository(name string, fork bool) map[string]any {
	_, short, _ := strings.Cut(name, "/")
	return map[string]any{"full_name": name, "name": short, "fork": fork, "owner": user(owner(name))}
}

// user is null for an account that is gone.
func user(login string) any {
	if login == "" {
		return nil
	}
	kind := "User"
	if strings.HasSuffix(login, "[bot]") {
		kind = "Bot"
	}
	return map[string]any{"login": login, "type": kind}
}

// pull finds a pull request by the number in a path.
func (s *Server) pull(number string) *Pull {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(s.pulls) {
		return nil
	}
	return s.pulls[n-1]
}

// listComments is https://docs.github.com/en/rest/issues/comments#list-issue-comments:
// ordered by ascending ID.
func (s *Server) listComments(r *http.Request, number string) answer {
	p := s.pull(number)
	if p == nil {
		return notFound()
	}
	out := []map[string]any{}
	for _, c := range s.comments[p.Number] {
		out = append(out, s.showComment(p.Number, c))
	}
	return page(s, r, out)
}

func (s *Server) showComment(number int, c *Comment) map[string]any {
	return map[string]any{
		"id": c.ID, "body": c.Body, "user": user(c.Author), "created_at": c.Created.UTC(), "updated_at": c.Updated.UTC(),
		"html_url": fmt.Sprintf("https://github.com/%s/pull/%d#issuecomment-%d", s.opts.Repository, number, c.ID),
	}
}

// textOf reads the body of a comment that is to be written.
func textOf(data []byte) (string, *answer) {
	var in struct{ Body *string }
	if err := json.Unmarshal(data, &in); err != nil {
		a := refusal(http.StatusBadRequest, "Problems parsing JSON")
		return "", &a
	}
	switch {
	case in.Body == nil || strings.TrimSpace(*in.Body) == "":
		a := invalid("IssueComment", "body", "Body can't be blank")
		return "", &a
	case utf8.RuneCountInString(*in.Body) > longestBody:
		a := invalid("IssueComment", "body", "Body is too long (maximum is 65536 characters)")
		return "", &a
	}
	return *in.Body, nil
}

// createComment is https://docs.github.com/en/rest/issues/comments#create-an-issue-comment.
func (s *Server) createComment(h *holder, number string, data []byte) answer {
	p := s.pull(number)
	if p == nil {
		return notFound()
	}
	if p.Locked {
		return refusal(http.StatusForbidden, "Unable to create comment because issue is locked.")
	}
	text, wrong := textOf(data)
	if wrong != nil {
		return *wrong
	}
	return answer{code: http.StatusCreated, body: s.showComment(p.Number, s.say(p.Number, h.Login, text)), made: true}
}

// changeComment edits or deletes one, whoever wrote it: write access is enough for that.
// Source: https://docs.github.com/en/rest/issues/comments#update-an-issue-comment
func (s *Server) changeComment(method, id string, data []byte) answer {
	for number, of := range s.comments {
		for i, c := range of {
			if strconv.FormatInt(c.ID, 10) != id {
				continue
			}
			if method == http.MethodDelete {
				s.comments[number] = slices.Delete(slices.Clone(of), i, i+1)
				return answer{code: http.StatusNoContent}
			}
			text, wrong := textOf(data)
			if wrong != nil {
				return *wrong
			}
			c.Body, c.Updated = text, s.opts.Now()
			c.Edits++
			return answer{code: http.StatusOK, body: s.showComment(number, c)}
		}
	}
	return notFound()
}

// listStatuses is https://docs.github.com/en/rest/commits/statuses#list-commit-statuses-for-a-reference:
// newest first.
func (s *Server) listStatuses(r *http.Request, commit string) answer {
	if !s.known(commit) {
		return notFound()
	}
	out := []map[string]any{}
	for _, st := range slices.Backward(s.statuses[commit]) {
		out = append(out, showStatus(st))
	}
	return page(s, r, out)
}

func showStatus(st *Status) map[string]any {
	return map[string]any{
		"id": st.ID, "state": st.State, "context": st.Context, "description": st.Description, "target_url": st.Target,
		"creator": user(st.Creator), "created_at": st.Created.UTC(), "updated_at": st.Created.UTC(),
	}
}

// createStatus is https://docs.github.com/en/rest/commits/statuses#create-a-commit-status.
func (s *Server) createStatus(h *holder, commit string, data []byte) answer {
	var in struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return refusal(http.StatusBadRequest, "Problems parsing JSON")
	}
	if !commitRE.MatchString(commit) || !s.known(commit) {
		return refusal(http.StatusUnprocessableEntity, "No commit found for SHA: "+commit)
	}
	in.Context = cmp.Or(in.Context, "default")
	target, err := url.Parse(in.TargetURL)
	count := 0
	for _, st := range s.statuses[commit] {
		if strings.EqualFold(st.Context, in.Context) {
			count++
		}
	}
	switch {
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, in.State):
		return invalid("Status", "state", "state is not included in the list")
	case utf8.RuneCountInString(in.Description) > longestDescription:
		return invalid("Status", "description", "description is too long (maximum is 140 characters)")
	case in.TargetURL != "" && (err != nil || target.Scheme != "http" && target.Scheme != "https"):
		return invalid("Status", "target_url", "target_url must use http(s) scheme")
	case count >= mostStatuses:
		return invalid("Status", "base", "This SHA and context has reached the maximum number of statuses.")
	}
	st := s.mark(commit, Status{State: in.State, Context: in.Context, Description: in.Description, Target: in.TargetURL, Creator: h.Login})
	return answer{code: http.StatusCreated, body: showStatus(st), made: true}
}
