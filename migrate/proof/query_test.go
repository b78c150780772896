package proof_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/proof"
)

const query = `sum(rate(aws_requests_total{namespace="demo"}[10m])) > 0`

func queried(a *proof.Ask) { a.Proof, a.Query = desired.ProofQuery, query }

// prometheus is a world whose Prometheus answers by handler.
func prometheus(t *testing.T, handler http.HandlerFunc, change ...func(*proof.Options)) *world {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newWorld(t, awsd.Options{}, append([]func(*proof.Options){func(o *proof.Options) {
		o.CloudTrail, o.Prometheus, o.Limits.Query = nil, server.URL+"/prometheus", 2*time.Second
	}}, change...)...)
}

func success(data string) string {
	return `{"status":"success","data":` + data + `}`
}

func vector(values ...string) string {
	var samples []string
	for _, v := range values {
		samples = append(samples, fmt.Sprintf(`{"metric":{"pod":"a"},"value":[1795424400.5,%q]}`, v))
	}
	return success(`{"resultType":"vector","result":[` + strings.Join(samples, ",") + `]}`)
}

// TestAnswers: which answers of Prometheus are proof, and what is said of the others.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const histogram = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1795424400,{"count":"5","sum":"3","buckets":[[0,"1","2","5"]]}]}]}}`
	for _, tt := range []struct {
		name, body string
		status     int
		proof      bool
		why        string
	}{
		{"a sample", vector("0.25"), 200, true, ""},
		{"a negative one", vector("-1"), 200, true, ""},
		{"one beyond all numbers", vector("+Inf"), 200, true, ""},
		{"one of several", vector("0", "NaN", "3"), 200, true, ""},
		{"zero", vector("0"), 200, false, "returns 1 samples, none of them other than 0"},
		{"minus zero", vector("-0"), 200, false, "none of them"},
		{"no number", vector("NaN"), 200, false, "none of them"},
		{"no sample", vector(), 200, false, "returns 0 samples"},
		{"a histogram", histogram, 200, false, "returns 1 samples, none"},
		{"a scalar", success(`{"resultType":"scalar","result":[1795424400,"1"]}`), 200, true, ""},
		{"a scalar that is zero", success(`{"resultType":"scalar","result":[1795424400,"0"]}`), 200, false, "returns 1 samples, none of them"},
		{"a scalar that is none", success(`{"resultType":"scalar","result":[1795424400,"NaN"]}`), 200, false, "returns 1 samples, none of them"},
		{"a string", success(`{"resultType":"string","result":[1795424400,"1"]}`), 200, false, "returns a string: write one"},
		{"a range", success(`{"resultType":"matrix","result":[{"metric":{},"values":[[1795424400,"1"]]}]}`), 200, false, "returns a matrix: write one"},
		{"a sample with a warning", strings.Replace(vector("1"), `"data"`, `"warnings":["a store is away"],"data"`, 1), 200, true, "Prometheus warns: a store is away"},
		{"nothing with a warning", strings.Replace(vector(), `"data"`, `"warnings":["a store is away"],"data"`, 1), 200, false, "0 samples, none of them other than 0; Prometheus warns: a store is away"},
		{"an error", `{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected end"}`, 400, false, "refuses migration.query (bad_data: 1:3: parse error: unexpected end): mend the query"},
		{"an error in a good answer", `{"status":"error","errorType":"execution","error":"too many samples"}`, 200, false, "refuses migration.query (execution"},
		{"a timeout of its own", `{"status":"error","errorType":"timeout","error":"query timed out"}`, 503, false, "gave up on migration.query (timeout: query timed out): write a cheaper one"},
		{"a timeout that is told", `{"status":"error","errorType":"timeout","error":"query timed out"}`, 422, false, "gave up on migration.query"},
		{"not found", "404 page not found", 404, false, "does not answer at prometheus.url (HTTP status 404)"},
		{"not allowed in", "who are you?", 401, false, "open to lanyard"},
		{"a failure", "oops", 500, false, "does not answer at prometheus.url (HTTP status 500)"},
		{"no JSON", "<html>", 200, false, "is not Prometheus' API"},
		{"an unknown type", success(`{"resultType":"colour","result":[]}`), 200, false, "not in the form"},
		{"a sample of another shape", success(`{"resultType":"vector","result":[{"value":"1"}]}`), 200, false, "not in the form"},
		{"a sample that is no number", vector("many"), 200, false, "not in the form"},
		{"nothing", "", 200, false, "is not Prometheus' API"},
		{"null", "null", 200, false, "is not Prometheus' API"},
		{"an answer without data", `{"status":"success"}`, 200, false, "not in the form"},
		{"samples that are null", success(`{"resultType":"vector","result":null}`), 200, false, "not in the form"},
		{"a sample without a value", success(`{"resultType":"vector","result":[{"metric":{}}]}`), 200, false, "not in the form"},
		{"a good sample beside a bad one", success(`{"resultType":"vector","result":[{"metric":{},"value":[1,"5"]},{"metric":{},"value":[1]}]}`), 200, false, "not in the form"},
		{"an error of another kind", `{"status":"error","errorType":"unavailable","error":"try later"}`, 503, false, "failed to answer, HTTP status 503 (unavailable: try later)"},
		{"a success that is none", vector("1"), 503, false, "failed to answer, HTTP status 503"},
		{"an answer without end", success(`{"resultType":"vector","result":[`) + strings.Repeat(" ", 2<<20), 200, false, "over 1048576 bytes: aggregate it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := prometheus(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(tt.status)
				fmt.Fprint(rw, tt.body)
			})
			used := never
			if tt.proof {
				used = begin
			}
			why := []string{tt.why}
			if tt.why == "" {
				why = nil
			}
			got := w.look(queried)
			wantUse(t, got, used, never, why...)
			if strings.Contains(got.Why, "127.0.0.1") {
				t.Errorf("an address is told: %q", got.Why)
			}
		})
	}
}

// TestQuestion: what Prometheus is asked, and that each question is asked once.
func TestQuestion(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := prometheus(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodPost || r.URL.Path != "/prometheus/api/v1/query" || r.URL.RawQuery != "" {
			t.Errorf("asked %s %s?%s", r.Method, r.URL.Path, r.URL.RawQuery)
		}
		if got := r.PostFormValue("query"); got != query && got != "other" || r.PostFormValue("time") != "" || r.PostFormValue("timeout") != "2" {
			t.Errorf("asked %v", r.PostForm)
		}
		fmt.Fprint(rw, vector(map[bool]string{true: "1", false: "0"}[r.PostFormValue("query") == query]))
	})
	var asks []proof.Ask
	for i := range 10 {
		asks = append(asks, ask(queried, func(a *proof.Ask) { a.Subject.ServiceAccount = fmt.Sprint("sa-", i) }))
	}
	asks[9].Query = "other"
	uses := w.prover.Look(t.Context(), asks)
	for i, a := range asks {
		if u := uses[a.Subject]; u.New.IsZero() != (i == 9) || !u.Looked.Equal(begin) {
			t.Errorf("%s: %+v", a.Subject, u)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times for two questions", n)
	}
}

// TestQueryAndCloudTrail: where a query counts, no event does, but one of the other side
// holds.
func TestQueryAndCloudTrail(t *testing.T) {
	t.Parallel()
	answer := vector("0")
	var w *world
	w = prometheus(t, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, answer) },
		func(o *proof.Options) {
			o.CloudTrail = func(region string) proof.LookupAPI { return w.cloudtrail(region) }
		})
	w.associate(subject)
	w.podIdentity(subject)
	w.must(w.irsa(subject, role))
	wantUse(t, w.look(queried), never, begin, "none of them other than 0")
	answer = vector("1")
	wantUse(t, w.look(queried), begin, begin)
}

// TestPrometheusAway: no answer is no proof, and says what to mend.
func TestPrometheusAway(t *testing.T) {
	t.Parallel()
	none := newWorld(t, awsd.Options{})
	wantNone(t, none.look(queried), "no Prometheus to ask: write prometheus: {url: ...}")
	away := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Prometheus = "http://127.0.0.1:1" })
	wantNone(t, away.look(queried), "not reached at prometheus.url")
	wantNone(t, away.look(queried, func(a *proof.Ask) { a.Query = "" }), "migration.query is empty")
	bad := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Prometheus = "http://a b" })
	wantNone(t, bad.look(queried), "prometheus.url is not one")
	slow := prometheus(t, func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil { // the server hears of a client that has gone once the body is read
			<-r.Context().Done()
		}
	}, func(o *proof.Options) { o.Limits.Query = 100 * time.Millisecond })
	start := time.Now()
	wantNone(t, slow.look(queried), "did not answer in time")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("waited %s", took)
	}
}

func wantNone(t *testing.T, got migrate.Use, why string) {
	t.Helper()
	wantUse(t, got, never, never, why)
	if !got.Looked.IsZero() || strings.Contains(got.Why, "127.0.0.1") {
		t.Errorf("%+v", got)
	}
}

// TestRedirects: a redirect within the host is followed, and one to another is not: the
// operator says whom the query goes to.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		fmt.Fprint(rw, vector("1"))
	}))
	t.Cleanup(other.Close)
	leads := func(to string) *world {
		return prometheus(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				fmt.Fprint(rw, vector("1"))
				return
			}
			http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
		})
	}
	wantUse(t, leads("/there").look(queried), begin, never)
	wantNone(t, leads(other.URL+"/there").look(queried), "redirects to another host")
	wantNone(t, leads("/round").look(queried), "redirects to another host")
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("another host was asked %d times", n)
	}
}

// TestTLS: a certificate that no root vouches for ends the question.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, vector("1")) }))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	strict := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Prometheus = server.URL })
	wantNone(t, strict.look(queried), "certificate")
	trusted := newWorld(t, awsd.Options{}, func(o *proof.Options) { o.Prometheus, o.HTTP = server.URL, server.Client() })
	wantUse(t, trusted.look(queried), begin, never)
}

// FuzzAnswer: an answer is a stranger's text. Whatever it is, only a number other than 0
// is proof.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{vector("1"), vector("0", "NaN"), success(`{"resultType":"scalar","result":[1,"2"]}`), `{"status":"error"}`, "null", success(`{"resultType":"matrix","result":[]}`)} {
		f.Add(body)
	}
	var body atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, body.Load()) }))
	f.Cleanup(server.Close)
	p := proof.New(proof.Options{Cluster: lab, Prometheus: server.URL, Now: func() time.Time { return begin }})
	f.Fuzz(func(t *testing.T, text string) {
		body.Store(text)
		u := p.Look(t.Context(), []proof.Ask{ask(queried)})[identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"}]
		if u.New.IsZero() && u.Why == "" {
			t.Errorf("%q is no proof, and nothing says why", text)
		}
		if !u.New.IsZero() && !strings.ContainsAny(text, "123456789I") {
			t.Errorf("%q is taken for proof: %+v", text, u)
		}
	})
}
