package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// TestRing: only so many rounds are kept, newest first, and a long error is cut.
func TestRing(t *testing.T) {
	t.Parallel()
	b := status.New(status.Options{Rounds: 3, Authorize: someone, Now: clock})
	for i := range 5 {
		b.Saw(report.Round{Number: i + 1, Started: noon, Ended: noon}, nil)
	}
	step := report.Outcome{Result: report.Done}
	for i := range 4 {
		b.Again(report.Round{Number: i + 6, Started: noon.Add(time.Duration(i)), Ended: noon, Outcomes: []report.Outcome{step, {Result: report.Failed}}}, nil)
	}
	b.Failed("git", errors.New(strings.Repeat("é", 100_000)), noon, noon)
	var got status.Status
	w := ask(b.Handler(), "GET", "/api/v1/status", token)
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, p := range got.Rounds {
		numbers = append(numbers, p.Number)
	}
	if diff := cmp.Diff([]int{0, 9, 5}, numbers); diff != "" {
		t.Errorf("rounds (-want +got)\n%s", diff)
	}
	if p := got.Rounds[1]; !p.Partial || p.Writes != 4 || p.Failures != 4 || !p.Started.Equal(noon) {
		t.Errorf("four partial rounds are kept as %+v", p)
	}
	if n := len(got.Failed.Error); n > 4100 || !strings.HasSuffix(got.Failed.Error, "é ... (cut)") {
		t.Errorf("an error of %d bytes is kept", n)
	}
	if got.Last.Number != 5 || !got.Ready {
		t.Errorf("the last good round is %d, ready %t", got.Last.Number, got.Ready)
	}
}

// TestMemory: rounds that were large leave nothing but their summaries behind.
func TestMemory(t *testing.T) { // not parallel: it measures the heap
	b := newBoard()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 20 {
		r := report.Round{Number: i, Started: noon, Ended: noon}
		for j := range 10_000 {
			r.Result.Findings = append(r.Result.Findings, diff.Finding{Kind: diff.MappingGone, Message: strings.Repeat("m", 200) + fmt.Sprint(i, j)})
		}
		b.Saw(r, nil)
	}
	if grown := int64(heap()) - int64(before); grown > 20<<20 { // one report has 5 MiB
		t.Errorf("after 20 large rounds %d MiB more are held", grown>>20)
	}
	runtime.KeepAlive(b)
}

// TestTogether asks while rounds come in; the race detector judges it.
func TestTogether(t *testing.T) {
	t.Parallel()
	b := newBoard()
	h := b.Handler()
	r, snap := example(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 25 {
			if w := ask(h, "GET", "/", "all"); w.Code != 200 {
				t.Errorf("the page: %d", w.Code)
			}
		}
	})
	for i := range 4 {
		wg.Go(func() {
			for range 25 {
				w := ask(h, "GET", paths[i], "all")
				if w.Code != 200 && w.Code != 503 || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s: %d", paths[i], w.Code)
				}
			}
		})
	}
	wg.Go(func() {
		held := &status.Held{Reason: "empty"}
		for i := range 25 {
			r.Number = i
			b.Saw(r, snap)
			b.Failed("git", context.Canceled, noon, noon)
			b.State(func(s *status.State) { s.Source.Held, s.Source.Paths = held, append(s.Source.Paths, "x") })
			held.Message += "x"
		}
	})
	wg.Wait()
}

// TestPlaces: large answers wait for one another, and whoever has gone waits no more.
func TestPlaces(t *testing.T) {
	t.Parallel()
	b := lived(t)
	begun, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/snapshot", nil)
			r.Header.Set("Authorization", "Bearer all")
			b.Handler().ServeHTTP(&slow{httptest.NewRecorder(), begun, end}, r)
		})
	}
	<-begun
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/snapshot", nil)
	r.Header.Set("Authorization", "Bearer all")
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		t.Errorf("a third reader got %d bytes", w.Body.Len())
	}
	if w := ask(b.Handler(), "GET", "/api/v1/status", "all"); w.Code != 200 {
		t.Errorf("the status waits for large answers: %d", w.Code)
	}
	close(end)
	wg.Wait()
	if w := ask(b.Handler(), "GET", "/api/v1/snapshot", "all"); w.Code != 200 {
		t.Errorf("a place was not given back: %d", w.Code)
	}
}

// slow is a reader who takes the answer when it is let go.
type slow struct {
	*httptest.ResponseRecorder
	begun, end chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	s.begun <- struct{}{}
	<-s.end
	return len(p), nil
}

// BenchmarkSaw is what a round of 5,000 mappings costs.
func BenchmarkSaw(b *testing.B) {
	r := report.Round{Started: noon, Ended: noon.Add(time.Second)}
	for i := range 5000 {
		s := identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprintf("sa-%05d", i)}
		r.Result.Judged = append(r.Result.Judged, diff.Judged{Mapping: desired.Mapping{Subject: s}})
		r.Result.Findings = append(r.Result.Findings, diff.Finding{Subject: s, Kind: diff.AnnotationMismatch, Message: "m"})
	}
	board := newBoard()
	b.ReportAllocs()
	for b.Loop() {
		board.Saw(r, nil)
	}
}
