package hubd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

var commit = strings.Repeat("a1", 20)

func serve(t *testing.T, o Options) *Server {
	t.Helper()
	o.Repository = "acme/fleet"
	s, err := Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.Grant("good", Token{Login: "lanyard-bot", Pulls: Write, Statuses: Write})
	s.Grant("reads", Token{Login: "reader", Pulls: Read, Statuses: Read})
	s.Grant("elsewhere", Token{Login: "other", Elsewhere: true, Pulls: Write, Statuses: Write})
	s.Grant("app", Token{Login: "lanyard[bot]", App: true, Pulls: Write})
	return s
}

// got is what a request was answered with.
type got struct {
	StatusCode int
	Header     http.Header
}

func ask(t *testing.T, s *Server, token, method, path, body string, header ...string) (got, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got{answer.StatusCode, answer.Header}, string(data)
}

// TestAnswers: each refusal has GitHub's code and words.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	n := s.Open(Pull{Title: "one", Author: "ann", Branch: "flip", Head: commit, Base: "main"})
	locked := s.Open(Pull{Branch: "x", Head: commit, Base: "main", Locked: true})
	other := s.Say(n, "ann", "hello")
	comments := fmt.Sprintf("/repos/acme/fleet/issues/%d/comments", n)
	long := `{"body":"` + strings.Repeat("é", longestBody) + `"}`
	status := func(state, description string) string {
		return `{"state":"` + state + `","context":"c","description":"` + description + `"}`
	}
	for _, tt := range []struct {
		name, token, method, path, body string
		code                            int
		says                            string
	}{
		{"nobody asks who they are", "", "GET", "/user", "", 401, "Requires authentication"},
		{"a stranger", "", "GET", "/repos/acme/fleet/pulls", "", 404, "Not Found"},
		{"a wrong token", "bad", "GET", "/repos/acme/fleet/pulls", "", 401, "Bad credentials"},
		{"a token for other repositories", "elsewhere", "GET", "/repos/acme/fleet/pulls", "", 404, "Not Found"},
		{"another repository", "good", "GET", "/repos/acme/other/pulls", "", 404, "Not Found"},
		{"who is it", "good", "GET", "/user", "", 200, `"login":"lanyard-bot"`},
		{"an App does not know", "app", "GET", "/user", "", 403, "Resource not accessible by integration"},
		{"comments, read only", "reads", "POST", comments, `{"body":"x"}`, 403, "Resource not accessible by personal access token"},
		{"statuses, without", "app", "GET", "/repos/acme/fleet/commits/" + commit + "/statuses", "", 403, "Resource not accessible by integration"},
		{"an unknown state", "good", "GET", "/repos/acme/fleet/pulls?state=mine", "", 422, "Validation Failed"},
		{"a longest comment", "good", "POST", comments, long, 201, ""},
		{"one character more", "good", "POST", comments, strings.Replace(long, `":"`, `":"x`, 1), 422, "Body is too long (maximum is 65536 characters)"},
		{"an empty comment", "good", "POST", comments, `{"body":" "}`, 422, "blank"},
		{"no JSON", "good", "POST", comments, `{`, 400, "Problems parsing JSON"},
		{"a locked conversation", "good", "POST", fmt.Sprintf("/repos/acme/fleet/issues/%d/comments", locked), `{"body":"x"}`, 403, "locked"},
		{"no such pull request", "good", "GET", "/repos/acme/fleet/issues/99/comments", "", 404, "Not Found"},
		{"no such comment", "good", "PATCH", "/repos/acme/fleet/issues/comments/1", `{"body":"x"}`, 404, "Not Found"},
		{"somebody else's comment", "good", "PATCH", fmt.Sprintf("/repos/acme/fleet/issues/comments/%d", other), `{"body":"x"}`, 200, ""},
		{"deleting it", "good", "DELETE", fmt.Sprintf("/repos/acme/fleet/issues/comments/%d", other), "", 204, ""},
		{"a status", "good", "POST", "/repos/acme/fleet/statuses/" + commit, status("success", "ok"), 201, `"creator"`},
		{"an unknown commit", "good", "POST", "/repos/acme/fleet/statuses/" + strings.Repeat("b2", 20), status("success", "ok"), 422, "No commit found"},
		{"an unknown status", "good", "POST", "/repos/acme/fleet/statuses/" + commit, status("green", "ok"), 422, "state"},
		{"a long description", "good", "POST", "/repos/acme/fleet/statuses/" + commit, status("success", strings.Repeat("x", 141)), 422, "140"},
	} {
		answer, body := ask(t, s, tt.token, tt.method, tt.path, tt.body)
		if answer.StatusCode != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s; want %d, %q", tt.name, answer.StatusCode, body, tt.code, tt.says)
		}
	}
	if answer, _ := ask(t, s, "good", "GET", "/user", "", "X-GitHub-Api-Version", "2020-01-01"); answer.StatusCode != 400 {
		t.Errorf("an unknown version: %d, want 400", answer.StatusCode)
	}
	if answer, _ := ask(t, s, "good", "GET", "/user", "", "User-Agent", ""); answer.StatusCode != 403 {
		t.Errorf("without a user agent: %d, want 403", answer.StatusCode)
	}
	for range mostStatuses - 1 {
		s.Mark(commit, Status{State: "success", Context: "C"})
	}
	if answer, _ := ask(t, s, "good", "POST", "/repos/acme/fleet/statuses/"+commit, status("success", "ok")); answer.StatusCode != 422 {
		t.Errorf("status 1001 of a context: %d, want 422", answer.StatusCode)
	}
}

var nextRE = regexp.MustCompile(`<http://[^/]+([^>]+)>; rel="next"`)

// TestPages: lists come in pages of at most 100 whose Link header leads through all.
func TestPages(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	for i := range 250 {
		base := "main"
		if i%50 == 0 {
			base = "release"
		}
		s.Open(Pull{Branch: fmt.Sprint("b", i), Head: commit, Base: base, Closed: i == 7})
	}
	path, seen, pages := "/repos/acme/fleet/pulls?base=main&per_page=1000", map[float64]bool{}, 0
	for path != "" {
		answer, body := ask(t, s, "good", "GET", path, "")
		var pulls []map[string]any
		if err := json.Unmarshal([]byte(body), &pulls); err != nil || len(pulls) > 100 {
			t.Fatalf("%s: %d pulls, %v", path, len(pulls), err)
		}
		for _, p := range pulls {
			seen[p["number"].(float64)] = true
		}
		pages++
		path = ""
		if m := nextRE.FindStringSubmatch(answer.Header.Get("Link")); m != nil {
			path = m[1]
		}
	}
	if len(seen) != 244 || pages != 3 {
		t.Errorf("%d pull requests on %d pages, want 244 on 3", len(seen), pages)
	}
}

// TestLimits: a 304 is free, everything else counts, and both limits say when they end.
func TestLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	s := serve(t, Options{Now: func() time.Time { return now }, Hourly: 100})
	n := s.Open(Pull{Branch: "b", Head: commit, Base: "main"})
	answer, _ := ask(t, s, "good", "GET", "/repos/acme/fleet/pulls", "")
	tag := answer.Header.Get("ETag")
	if tag == "" || s.Left("good") != 99 {
		t.Fatalf("ETag %q, %d left; want one, and 99", tag, s.Left("good"))
	}
	if answer, body := ask(t, s, "good", "GET", "/repos/acme/fleet/pulls", "", "If-None-Match", tag); answer.StatusCode != 304 || body != "" || s.Left("good") != 99 {
		t.Errorf("unchanged: %d %q, %d left; want 304, nothing, 99", answer.StatusCode, body, s.Left("good"))
	}
	s.Push(n, strings.Repeat("b2", 20))
	if answer, _ := ask(t, s, "good", "GET", "/repos/acme/fleet/pulls", "", "If-None-Match", tag); answer.StatusCode != 200 {
		t.Errorf("changed: %d, want 200", answer.StatusCode)
	}
	write := func() got {
		answer, _ := ask(t, s, "good", "POST", fmt.Sprintf("/repos/acme/fleet/issues/%d/comments", n), `{"body":"x"}`)
		return answer
	}
	for range perMinute {
		if answer := write(); answer.StatusCode != 201 {
			t.Fatalf("a comment: %d", answer.StatusCode)
		}
	}
	if answer := write(); answer.StatusCode != 403 || answer.Header.Get("Retry-After") != "60" {
		t.Errorf("too many comments in a minute: %d, retry after %q; want 403, 60", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	now = now.Add(time.Minute)
	if answer := write(); answer.StatusCode != 201 {
		t.Errorf("a minute later: %d, want 201", answer.StatusCode)
	}
	s.Exhaust("good", 0, now.Add(10*time.Minute))
	answer, body := ask(t, s, "good", "GET", "/user", "")
	if answer.StatusCode != 403 || answer.Header.Get("X-RateLimit-Remaining") != "0" || answer.Header.Get("X-RateLimit-Reset") != fmt.Sprint(now.Add(10*time.Minute).Unix()) || !strings.Contains(body, "API rate limit exceeded") {
		t.Errorf("nothing left: %d %v %s", answer.StatusCode, answer.Header, body)
	}
	now = now.Add(10 * time.Minute)
	if answer, _ := ask(t, s, "good", "GET", "/user", ""); answer.StatusCode != 200 || s.Left("good") != 99 {
		t.Errorf("after the reset: %d, %d left; want 200, 99", answer.StatusCode, s.Left("good"))
	}
}

// TestFaults: a write that fails has happened or not, as the fault says.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	n := s.Open(Pull{Branch: "b", Head: commit, Base: "main"})
	path := fmt.Sprintf("/repos/acme/fleet/issues/%d/comments", n)
	for i, tt := range []struct {
		fault Fault
		code  int
		made  int
	}{
		{Fault{Method: "POST", Times: 1}, 502, 0},
		{Fault{Method: "POST", Times: 1, Status: 503, RetryAfter: 7}, 503, 0},
		{Fault{Method: "POST", Times: 1, Done: true}, 502, 1},
		{Fault{Method: "POST", Path: "/elsewhere", Times: 1}, 201, 2},
		{Fault{Method: "POST", Times: 1, Skip: 1}, 201, 3},
	} {
		lift := s.AddFault(tt.fault)
		answer, _ := ask(t, s, "good", "POST", path, `{"body":"x"}`)
		if answer.StatusCode != tt.code || len(s.Comments(n)) != tt.made {
			t.Errorf("fault %d: %d, %d comments; want %d, %d", i, answer.StatusCode, len(s.Comments(n)), tt.code, tt.made)
		}
		lift()
	}
}
