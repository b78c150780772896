package github_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lanyard-io/lanyard/internal/forge/github"
)

// TestNobody: a host that does not say whose the token is makes nobody's comments ours.
func TestNobody(t *testing.T) {
	t.Parallel()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/comments") {
			_, _ = w.Write([]byte(`[{"id":1,"user":null,"body":"of one who is gone"}]`))
			return
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	defer hub.Close()
	b := newBench(t, func(o *github.Options) { o.URL = hub.URL })
	if all, err := b.Comments(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "pullRequests.author") {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestPagesWithoutEnd: a list whose pages never end is read to a bound.
func TestPagesWithoutEnd(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if n < 1000 {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, n+1))
		}
		_, _ = w.Write([]byte(`[]`))
	}))
	defer hub.Close()
	b := newBench(t, func(o *github.Options) { o.URL = hub.URL })
	if all, more, err := b.Pulls(t.Context(), "main", 500); err != nil || !more || len(all) > 0 || asked.Load() > 20 {
		t.Errorf("%d pull requests, more %t, %v, after %d requests", len(all), more, err, asked.Load())
	}
}
