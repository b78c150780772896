package github

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// The bounds on what is read and kept.
const (
	maxAnswer = 32 << 20 // a page of comments, each of the longest, is below
	maxKept   = 16 << 20 // of answers that are kept to be asked for again
)

// carrier carries each request to the host: with the token, with the ETag of the answer
// that is known, and counted.
//
// The caches that go-github names keep to RFC 9111, by which an answer of GitHub's is
// good for a minute without asking: a head that has just been pushed would not be seen.
// So it always asks, and GitHub answers 304 at no cost.
// Source: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
type carrier struct {
	base   *url.URL
	token  func() (string, error)
	next   http.RoundTripper
	called func(code int)
	left   func(remaining int)

	mu    sync.Mutex
	known map[string]kept // by URL
	order []string        // oldest first
	size  int
}

type kept struct {
	tag    string
	header http.Header
	body   []byte
}

// errAway refuses to follow GitHub elsewhere, token in hand.
var errAway = errors.New("sent to another host: write the address of the API itself as pullRequests.url")

// RoundTrip carries one request.
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != c.base.Scheme || r.URL.Host != c.base.Host {
		return nil, remedy.Mark(remedy.Hold, errAway)
	}
	token, err := c.token()
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("read the token: %w", err))
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	was, asked := c.find(r)
	if asked {
		r.Header.Set("If-None-Match", was.tag)
	}
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		c.called(0)
		return nil, err
	}
	c.called(answer.StatusCode)
	if n, err := strconv.Atoi(answer.Header.Get("X-Ratelimit-Remaining")); err == nil {
		c.left(n)
	}
	if asked && answer.StatusCode == http.StatusNotModified {
		_ = answer.Body.Close()
		maps.Copy(answer.Header, was.header) // Link leads to the next page
		answer.StatusCode, answer.Status = http.StatusOK, "200 OK"
		answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(was.body)), int64(len(was.body))
		return answer, nil
	}
	if err := c.read(r, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// read takes an answer in, up to a bound, and keeps it if it has an ETag.
func (c *carrier) read(r *http.Request, answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	_ = answer.Body.Close()
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return remedy.Mark(remedy.Hold, fmt.Errorf("the answer is over %d bytes", maxAnswer))
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if tag := answer.Header.Get("ETag"); r.Method == http.MethodGet && answer.StatusCode == http.StatusOK && tag != "" {
		c.keep(r.URL.String(), kept{tag, answer.Header.Clone(), body})
	}
	return nil
}

func (c *carrier) find(r *http.Request) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[r.URL.String()]
	return k, ok && r.Method == http.MethodGet
}

// keep remembers an answer in place of the oldest ones.
func (c *carrier) keep(at string, k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(at)
	if len(k.body) > maxKept {
		return
	}
	for c.size+len(k.body) > maxKept || len(c.order) >= 1000 {
		c.drop(c.order[0])
	}
	c.known[at], c.order, c.size = k, append(c.order, at), c.size+len(k.body)
}

func (c *carrier) drop(at string) {
	was, ok := c.known[at]
	if !ok {
		return
	}
	delete(c.known, at)
	c.size -= len(was.body)
	for i, other := range c.order {
		if other == at {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			return
		}
	}
}
