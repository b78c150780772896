package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/lanyard-io/lanyard/desired"
)

// answer is what Prometheus said to one question.
type answer struct {
	proof    bool
	answered bool
	why      string // why it is no proof, and what Prometheus warns of
}

const (
	longestAnswer = 1 << 20 // bytes; a question for proof has few series
	mostRedirects = 3
	mostQuestions = 4 // at a time
)

// queries asks each question once, a few at a time.
func (p *Prover) queries(ctx context.Context, asks []Ask) map[string]answer {
	answers := map[string]answer{}
	for _, a := range asks {
		if a.Proof == desired.ProofQuery {
			answers[a.Query] = answer{}
		}
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		turn  = make(chan struct{}, mostQuestions)
		got   = make(map[string]answer, len(answers))
	)
	for query := range answers {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			a := p.question(ctx, query)
			mu.Lock()
			defer mu.Unlock()
			got[query] = a
		})
	}
	group.Wait()
	return got
}

const mendURL = "write prometheus: {url: ...} in the configuration, the base of its API"

// question asks one question, as a form that is posted: a query may be longer than a URL.
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
func (p *Prover) question(ctx context.Context, query string) answer {
	switch {
	case p.o.Prometheus == "":
		return answer{why: "no Prometheus to ask: " + mendURL}
	case query == "":
		return answer{why: "migration.query is empty: write the PromQL that shows the use"}
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Limits.Query)
	defer cancel()
	form := url.Values{"query": {query}, "timeout": {strconv.FormatFloat(p.o.Limits.Query.Seconds(), 'f', -1, 64)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(p.o.Prometheus, "/")+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{why: "prometheus.url is not one: " + mendURL}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport := http.DefaultTransport
	if p.o.HTTP != nil && p.o.HTTP.Transport != nil {
		transport = p.o.HTTP.Transport
	}
	res, err := (&http.Client{Transport: transport, CheckRedirect: sameHost}).Do(req)
	if err != nil {
		return answer{why: unanswered(err)}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, longestAnswer+1))
	if shut := res.Body.Close(); err == nil {
		err = shut
	}
	switch {
	case err != nil:
		return answer{why: unanswered(err)}
	case len(body) > longestAnswer:
		return answer{why: fmt.Sprintf("the answer to migration.query is over %d bytes: aggregate it, such as with max() or count()", longestAnswer)}
	}
	return read(res.StatusCode, body)
}

// unanswered says why there is no answer, and what mends it.
func unanswered(err error) string {
	switch {
	case errors.Is(err, errElsewhere):
		return "prometheus.url redirects to another host, or in a circle: write the base of the API itself"
	case errors.Is(err, context.DeadlineExceeded):
		return "Prometheus did not answer in time"
	}
	return "Prometheus is not reached at prometheus.url: " + plain(err)
}

var errElsewhere = errors.New("a redirect to another host")

// sameHost follows a redirect within a host: the configuration says whom to ask.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > mostRedirects || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return errElsewhere
	}
	return nil
}

// reply is the form of every answer. What else is there does not matter.
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
type reply struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// read judges an answer. Of a body that is not in Prometheus' form nothing is told.
func read(status int, body []byte) answer {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil || r.Status != "success" && r.Status != "error" {
		if status/100 == 2 {
			return answer{why: "what answers at prometheus.url is not Prometheus' API: " + mendURL}
		}
		return answer{why: fmt.Sprintf("Prometheus' API does not answer at prometheus.url (HTTP status %d): it must be the base, to which /api/v1/query is added, and open to lanyard", status)}
	}
	if r.Status == "error" || status/100 != 2 {
		said := fmt.Sprintf("(%s: %s)", short(r.ErrorType), short(r.Error))
		switch r.ErrorType {
		case "bad_data", "execution":
			return answer{why: "Prometheus refuses migration.query " + said + ": mend the query"}
		case "timeout", "canceled":
			return answer{why: "Prometheus gave up on migration.query " + said + ": write a cheaper one"}
		}
		return answer{why: fmt.Sprintf("Prometheus failed to answer, HTTP status %d %s", status, said)}
	}
	a := judge(r.Data.ResultType, r.Data.Result)
	if len(r.Warnings) > 0 {
		a.why = both(a.why, "Prometheus warns: "+short(strings.Join(r.Warnings, ", ")))
	}
	return a
}

// judge finds a sample other than 0. What is not a number is no sample, and neither is
// a histogram.
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats
func judge(kind string, result json.RawMessage) answer {
	var samples []struct{ Value, Histogram json.RawMessage }
	switch kind {
	case "scalar":
		samples = append(samples, struct{ Value, Histogram json.RawMessage }{Value: result})
	case "vector":
		if err := json.Unmarshal(result, &samples); err != nil || samples == nil {
			return garbled
		}
	case "string", "matrix":
		return answer{why: "migration.query returns a " + kind + ": write one that returns an instant vector or a scalar"}
	default:
		return garbled
	}
	a := answer{answered: true}
	for _, s := range samples {
		if s.Value == nil && s.Histogram != nil {
			continue
		}
		v, ok := number(s.Value)
		if !ok {
			return garbled
		}
		a.proof = a.proof || v != 0 && !math.IsNaN(v)
	}
	if !a.proof {
		a.why = fmt.Sprintf("migration.query returns %d samples, none of them other than 0", len(samples))
	}
	return a
}

// garbled is an answer that names no sample and no error.
var garbled = answer{why: "what answers at prometheus.url is not in the form of Prometheus' API: " + mendURL}

// number reads a sample: a time, and a number in quotes.
func number(sample json.RawMessage) (float64, bool) {
	var parts []json.RawMessage
	var at float64
	var text string
	if json.Unmarshal(sample, &parts) != nil || len(parts) != 2 || bytes.Equal(parts[0], []byte("null")) ||
		json.Unmarshal(parts[0], &at) != nil || json.Unmarshal(parts[1], &text) != nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}
