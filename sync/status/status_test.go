package status_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

var paths = []string{"/api/v1/status", "/api/v1/findings", "/api/v1/plan", "/api/v1/snapshot"}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := lived(t).Handler()
	r, snap := example(t)
	for _, path := range paths {
		w := ask(h, http.MethodGet, path, "all")
		if w.Code != 200 || strings.Contains(w.Body.String(), leak) {
			t.Errorf("%s: %d, or a secret in it:\n%.2000s", path, w.Code, w.Body)
		}
		switch path {
		case "/api/v1/snapshot":
			want, err := snap.Facts().EncodeJSON()
			if err != nil || !bytes.Equal(want, w.Body.Bytes()) {
				t.Errorf("the snapshot is not as lanyard snapshot writes it: %v", err)
			}
			if _, err := live.Decode(w.Body.Bytes()); err != nil {
				t.Errorf("the snapshot cannot be read back: %v", err)
			}
		case "/api/v1/findings":
			want, err := report.NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps).JSON()
			if err != nil || !bytes.Equal(want, w.Body.Bytes()) {
				t.Errorf("findings are not as lanyard diff writes them: %v", err)
			}
			validate(t, "diff.json", w.Body.Bytes())
		default:
			testkit.Golden(t, strings.TrimPrefix(path, "/api/v1/")+".json", w.Body.String())
		}
	}
}

// TestWho walks through who may read what.
func TestWho(t *testing.T) {
	t.Parallel()
	board := lived(t)
	h := board.Handler()
	long := strings.Repeat("x", 17<<10)
	for _, tt := range []struct {
		name, method, path, authorization string
		code                              int
		header                            string // that must be set
	}{
		{"somebody", "GET", "/api/v1/status", "Bearer " + token, 200, ""},
		{"in small letters", "GET", "/api/v1/status", "bearer " + token, 200, ""},
		{"head", "HEAD", "/api/v1/findings", "Bearer " + token, 200, "Last-Modified"},
		{"nobody", "GET", "/api/v1/status", "", 401, "WWW-Authenticate"},
		{"a password", "GET", "/api/v1/status", "Basic " + token, 401, "WWW-Authenticate"},
		{"an empty token", "GET", "/api/v1/status", "Bearer ", 401, "WWW-Authenticate"},
		{"a token with a space", "GET", "/api/v1/status", "Bearer " + token + " x", 401, "WWW-Authenticate"},
		{"a token that is too long", "GET", "/api/v1/status", "Bearer " + long, 401, "WWW-Authenticate"},
		{"another's token", "GET", "/api/v1/status", "Bearer guess", 401, "WWW-Authenticate"},
		{"not for everything", "GET", "/api/v1/snapshot", "Bearer " + token, 403, ""},
		{"not to be found out", "GET", "/api/v1/status", "Bearer down", 503, "Retry-After"},
		{"post", "POST", "/api/v1/status", "Bearer " + token, 405, "Allow"},
		{"delete by nobody", "DELETE", "/api/v1/plan", "", 405, "Allow"},
		{"nothing", "GET", "/api/v1/", "Bearer " + token, 404, ""},
		{"the page", "GET", "/", "Bearer " + token, 404, ""},
		{"a slash more", "GET", "/api/v1/status/", "Bearer " + token, 404, ""},
		{"a way round", "GET", "/api/v1/../v1/status", "Bearer " + token, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", nil)
			r.URL.Path = tt.path
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code || tt.header != "" && w.Header().Get(tt.header) == "" {
				t.Errorf("%d with %s %q, want %d", w.Code, tt.header, w.Header().Get(tt.header), tt.code)
			}
			if strings.Contains(w.Body.String(), token) || strings.Contains(w.Body.String(), "refused") {
				t.Errorf("the answer says too much: %s", w.Body)
			}
			for key, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
				if got := w.Header().Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			if tt.method != http.MethodHead && !json.Valid(w.Body.Bytes()) || tt.method == http.MethodHead && w.Body.Len() > 0 {
				t.Errorf("the body is %q", w.Body)
			}
		})
	}
	if w := ask(h, "GET", "/api/v1/status", token, "Authorization", "Bearer "+token); w.Code != 401 {
		t.Errorf("two tokens: %d, want 401", w.Code)
	}
	off := status.New(status.Options{Now: clock})
	off.Saw(example(t))
	if w := ask(off.Handler(), "GET", "/api/v1/status", token); w.Code != 404 {
		t.Errorf("without anybody to ask who it is: %d, want 404", w.Code)
	}
}

// TestBeforeTheFirst: until there is something to tell, the answer is 503; the status
// comes with it, because it says why.
func TestBeforeTheFirst(t *testing.T) {
	t.Parallel()
	b := newBoard()
	b.Failed("cluster", errors.New("no route to host"), noon, noon)
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := ask(b.Handler(), method, path, "all")
			if w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s %s: %d, Retry-After %q", method, path, w.Code, w.Header().Get("Retry-After"))
			}
			if path == "/api/v1/status" && method == http.MethodGet {
				validate(t, "status.json", w.Body.Bytes())
				if !strings.Contains(w.Body.String(), "no route to host") {
					t.Errorf("the status does not say why:\n%s", w.Body)
				}
			}
		}
	}
	if w := ask(b.Handler(), "GET", "/api/v1/findings", ""); w.Code != 401 {
		t.Errorf("a stranger learns that there was no round: %d, want 401", w.Code)
	}
	b.Saw(report.Round{Ended: noon}, nil)
	for path, want := range map[string]int{"/api/v1/status": 200, "/api/v1/plan": 200, "/api/v1/snapshot": 503} {
		if w := ask(b.Handler(), "GET", path, "all"); w.Code != want {
			t.Errorf("after a round without a snapshot, %s: %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(b.Handler(), "GET", "/api/v1/plan", "all"); strings.Contains(w.Body.String(), "null") {
		t.Errorf("an empty plan has a null in it:\n%s", w.Body)
	}
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(lived(t).Handler())
	defer server.Close()
	plain := ask(lived(t).Handler(), "GET", "/api/v1/snapshot", "all").Body.Bytes()
	for accept, zipped := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "*": true, "": false, "gzip;q=0": false, "identity": false, "*;q=1, gzip;q=0": false, "gzip;q=x": false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/snapshot", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer all")
		r.Header.Set("Accept-Encoding", accept)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(answer.Body)
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: zipped %t, want %t", accept, got, zipped)
		} else if got {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		data, err := io.ReadAll(body)
		_ = answer.Body.Close() // it was read whole
		if err != nil || !bytes.Equal(data, plain) {
			t.Errorf("Accept-Encoding %q: another document: %v", accept, err)
		}
		if answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Vary: %q", answer.Header.Get("Vary"))
		}
	}
}

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
func TestMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
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

// TestSecrets: no form of a URL brings its credentials out, in what the daemon says of
// itself and in what errors and findings quote.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"https://git.example.com/a/b.git", "https://git.example.com/a/b.git"},
		{"https://bot:hunter2@git.example.com:8443/b.git", "https://git.example.com:8443/b.git"},
		{"https://hunter2@git.example.com/b.git", "https://git.example.com/b.git"},
		{"https://a:hun@ter2@git.example.com/b.git", "https://git.example.com/b.git"},
		{"https://bot:hunter2%2F%40@git.example.com/b", "https://git.example.com/b"},
		{"https://bot:hunter2/x@git.example.com/b", "https://git.example.com/b"},
		{"https://bot:hunter2&<\"'\\@git.example.com/b", "https://git.example.com/b"},
		{"https://git.example.com/b?token=hunter2#hunter2", "https://git.example.com/b"},
		{"ssh://git@git.example.com:22/b.git", "ssh://git.example.com:22/b.git"},
		{"https://[::1]:8443/b", "https://[::1]:8443/b"},
		{"git@git.example.com:b.git", "git@git.example.com:b.git"},
		{"file:///srv/git/b.git", "file:///srv/git/b.git"},
		{"/srv/git/b@2.git", "/srv/git/b@2.git"},
		{"", ""},
	} {
		b := newBoard()
		b.State(func(s *status.State) {
			s.Source.URL = tt.url
			s.Source.Held = &status.Held{Reason: "unreachable", Message: "fetch " + tt.url + " failed"}
			s.Configuration.Error = tt.url
		})
		r, snap := example(t)
		if !strings.Contains(tt.url, "?") { // a query in a quoted URL is not looked for
			b.Failed("git", fmt.Errorf("clone %q:\n%s\n%s, and %s", tt.url, tt.url, tt.url, tt.url), noon, noon)
			r.Result.Findings[0].Message = "see " + tt.url
			r.Plan.Holds[0].Message = "see <" + tt.url + ">"
		} else {
			b.State(func(s *status.State) { s.Source.Held, s.Configuration.Error = nil, "" })
		}
		b.Saw(r, snap)
		var got status.Status
		for _, path := range paths[:3] {
			w := ask(b.Handler(), "GET", path, token)
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "ter2") {
				t.Errorf("%s of %s shows a secret:\n%.3000s", path, tt.url, w.Body)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s of %s is no JSON", path, tt.url)
			}
			if path == "/api/v1/status" {
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got.Daemon.Source.URL != tt.want {
			t.Errorf("%s is shown as %s, want %s", tt.url, got.Daemon.Source.URL, tt.want)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	list, broken := []string{" old\n", "", "new"}, errors.New("permission denied")
	var err error
	may := status.Tokens(func() ([]string, error) { return list, err })
	for token, want := range map[string]bool{"old": true, "new": true, "": false, "ol": false, "other": false} {
		if got, e := may(t.Context(), token, "/"); got != want || errors.Is(e, status.ErrUnauthenticated) == want {
			t.Errorf("%q: %t %v, want %t", token, got, e, want)
		}
	}
	list = []string{"new"}
	if got, _ := may(t.Context(), "old", "/"); got {
		t.Error("a token that was taken away is let in")
	}
	err = broken
	if got, e := may(t.Context(), "new", "/"); got || !errors.Is(e, broken) {
		t.Errorf("with an unreadable file: %t %v", got, e)
	}
}

// TestTogether asks while rounds come in; the race detector judges it.
func TestTogether(t *testing.T) {
	t.Parallel()
	b := newBoard()
	h := b.Handler()
	r, snap := example(t)
	var wg sync.WaitGroup
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

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("../../docs/schemas/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, file string, data []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, file).Validate(value); err != nil {
		t.Errorf("%s: %.2000s", file, err)
	}
}

// TestSchema: the status is as its schema says, which notices each member that is
// missing and each that is too many.
func TestSchema(t *testing.T) {
	t.Parallel()
	validate(t, "status.json", ask(newBoard().Handler(), "GET", "/api/v1/status", token).Body.Bytes())
	data := ask(lived(t).Handler(), "GET", "/api/v1/status", token).Body.Bytes()
	validate(t, "status.json", data)
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	s := compile(t, "status.json")
	optional := map[string][]string{
		".daemon.source":        {"acceptedAt", "fetched"},
		".daemon.configuration": {"loadedAt"},
	}
	for _, pass := range []string{".lastGood", ".lastFailed", ".rounds"} {
		optional[pass] = []string{"error", "mode", "remedy", "revision", "stage", "summary"}
	}
	var visit func(path string, value any)
	visit = func(path string, value any) {
		switch value := value.(type) {
		case []any:
			for _, one := range value {
				visit(path, one)
			}
		case map[string]any:
			if strings.HasSuffix(path, ".byPlane") {
				return
			}
			value["surplus"] = "x"
			if s.Validate(root) == nil {
				t.Errorf("%s: a member that is not ours passes", path)
			}
			delete(value, "surplus")
			for _, key := range slices.Sorted(maps.Keys(value)) {
				member := value[key]
				delete(value, key)
				lacks, may := s.Validate(root) == nil, slices.Contains(optional[path], key)
				if value[key] = member; lacks != may {
					t.Errorf("%s without %q: valid %t, want %t", path, key, lacks, may)
				}
				visit(path+"."+key, member)
			}
		}
	}
	visit("", root)
}

// TestSchemaWords compares the schema's closed lists with the code's.
func TestSchemaWords(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/schemas/status.json")
	if err != nil {
		t.Fatal(err)
	}
	for what, words := range map[string][]string{
		"planes": {string(diff.PlaneServiceAccount), string(diff.PlaneTrust), string(diff.PlaneAssociation), string(diff.PlanePods), string(diff.PlaneGit)},
		"modes":  {string(desired.ModeObserve), string(desired.ModeRepair), string(desired.ModeMigrate)},
	} {
		if want := `"` + strings.Join(words, `", "`) + `"`; !strings.Contains(string(data), want) {
			t.Errorf("the schema's %s are not %s", what, want)
		}
	}
}

// TestPage: docs/api.md names every path, and every code that is answered.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if !strings.Contains(string(page), "\n| `"+path+"` |") {
			t.Errorf("docs/api.md has no row for %s", path)
		}
	}
	for _, code := range []string{"200", "401", "403", "404", "405", "503"} {
		if !strings.Contains(string(page), "\n| "+code+" |") {
			t.Errorf("docs/api.md has no row for %s", code)
		}
	}
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
