package status_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/status"
)

// opened is a page as a browser gets it, with the token as the password.
func opened(t testing.TB, b *status.Board, query string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/"+query, nil)
	r.SetBasicAuth("somebody", token)
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return w.Body.String()
}

var (
	inlineRE = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)
	tagRE    = regexp.MustCompile(`<[^>]*>`)
	headRE   = regexp.MustCompile(`<h1[^>]*>([^<]*)</h1>`)
	levelRE  = regexp.MustCompile(`<div id="head" data-live class="hero ([a-z]+)">`)
)

// text is what a page says, a line for each of its lines that says anything.
func text(page string) string {
	page = tagRE.ReplaceAllString(strings.ReplaceAll(inlineRE.ReplaceAllString(page, ""), "<wbr>", ""), " ")
	var out []string
	for line := range strings.Lines(html.UnescapeString(page)) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// section is what one section of a page says.
func section(t testing.TB, page, id string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, `<section id="`+id+`"`)
	body, _, ended := strings.Cut(rest, "</section>")
	if !found || !ended {
		t.Fatalf("the page has no section %s", id)
	}
	return text("<section" + body)
}

// TestPageShowsAll: everything that happened is on the page.
func TestPageShowsAll(t *testing.T) {
	t.Parallel()
	b := lived(t)
	b.Standings([]status.Standing{{Namespace: "karpenter", ServiceAccount: "karpenter", Verdict: "keep-irsa", Wanted: "auto",
		Reasons: []status.Reason{{Code: "fargate", Message: "its pods run on Fargate", Fix: "leave it on IRSA"}}},
		{Namespace: "batch", ServiceAccount: "exporter", Verdict: "unclear"}}, 5000)
	page := opened(t, b, "")
	testkit.Golden(t, "page.txt", text(page))
	if strings.Contains(page, leak) {
		t.Error("the page has a secret in it")
	}
	if strings.Contains(page, "<no value>") || strings.Contains(page, "ZgotmplZ") {
		t.Error("the template says that something does not fit")
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two elements are named %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(` (?:href="#|aria-labelledby="|for=")([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("something points to %s, which is not there", m[1])
		}
	}
}

// TestPageIsStrict: what is inline is named in the policy by its digest, and nothing else
// may be loaded; the page is nobody's to keep, frame or tell about.
func TestPageIsStrict(t *testing.T) {
	t.Parallel()
	w := ask(lived(t).Handler(), http.MethodGet, "/", token)
	policy := w.Header().Get("Content-Security-Policy")
	for _, m := range inlineRE.FindAllStringSubmatch(w.Body.String(), -1) {
		sum := sha256.Sum256([]byte(m[2]))
		want := m[1] + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !strings.Contains(policy, want) {
			t.Errorf("the policy has no %s: %s", want, policy)
		}
	}
	for _, word := range []string{"unsafe", "http:", "https:", "*", "nonce-"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy says %s: %s", word, policy)
		}
	}
	for key, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy lacks %s: %s", directive, policy)
		}
	}
}

// TestPageWho walks through who may see the page. A browser is asked for a password.
func TestPageWho(t *testing.T) {
	t.Parallel()
	h := lived(t).Handler()
	basic := func(user, password string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for _, tt := range []struct {
		name, method  string
		authorization []string
		code          int
		header        string // that must be set
	}{
		{"the token as the password", "GET", []string{basic("anybody", token)}, 200, ""},
		{"of nobody", "GET", []string{basic("", token)}, 200, ""},
		{"as programs do", "GET", []string{"Bearer " + token}, 200, ""},
		{"head", "HEAD", []string{basic("", token)}, 200, ""},
		{"a stranger", "GET", nil, 401, "WWW-Authenticate"},
		{"a stranger's head", "HEAD", nil, 401, "WWW-Authenticate"},
		{"the token as the user", "GET", []string{basic(token, "")}, 401, "WWW-Authenticate"},
		{"a guess", "GET", []string{basic("", "guess")}, 401, "WWW-Authenticate"},
		{"no token's form", "GET", []string{basic("", "down and out")}, 401, "WWW-Authenticate"},
		{"too long", "GET", []string{basic("", strings.Repeat("x", 17<<10))}, 401, "WWW-Authenticate"},
		{"not base64", "GET", []string{"Basic " + token}, 401, "WWW-Authenticate"},
		{"two of them", "GET", []string{basic("", token), basic("", token)}, 401, "WWW-Authenticate"},
		{"not for this page", "GET", []string{basic("", "limited")}, 403, ""},
		{"not to be found out", "GET", []string{basic("", "down")}, 503, "Retry-After"},
		{"post", "POST", []string{basic("", token)}, 405, "Allow"},
		{"put by a stranger", "PUT", nil, 405, "Allow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", nil)
			for _, a := range tt.authorization {
				r.Header.Add("Authorization", a)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code || tt.header != "" && w.Header().Get(tt.header) == "" {
				t.Errorf("%d with %s %q, want %d", w.Code, tt.header, w.Header().Get(tt.header), tt.code)
			}
			if told := strings.Contains(w.Body.String(), "irsa-lab"); told != (tt.code == 200 && tt.method == "GET") {
				t.Errorf("the cluster is told: %t", told)
			}
			if strings.Contains(w.Body.String(), token) || strings.Contains(w.Body.String(), "connection refused") {
				t.Error("the answer says too much")
			}
			if got := w.Header().Get("WWW-Authenticate"); got != "" && !strings.HasPrefix(got, `Basic realm="`) {
				t.Errorf("a browser is asked by %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("content type %q, policy %q", got, w.Header().Get("Content-Security-Policy"))
			}
		})
	}
	if w := ask(h, "GET", "/api/v1/status", "", "Authorization", basic("", token)); w.Code != 401 {
		t.Errorf("a password opens the API: %d", w.Code)
	}
	off := status.New(status.Options{Now: clock})
	off.Saw(example(t))
	if w := ask(off.Handler(), "GET", "/", token); w.Code != 404 || !strings.Contains(w.Body.String(), "--api-access") {
		t.Errorf("without anybody to ask who it is: %d %s", w.Code, text(w.Body.String()))
	}
}

// filtered are the names that a section of the page of lived has, in order.
func filtered(t *testing.T, page, id string) []string {
	t.Helper()
	var names []string
	for _, name := range regexp.MustCompile(`[a-z0-9-]+/[a-z0-9-]+`).FindAllString(section(t, page, id), -1) {
		if strings.Contains("batch demo2 cross kube-system late payments tf-demo demo karpenter external-secrets win-demo", strings.Split(name, "/")[0]) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// TestFilter: what the URL asks for is what is shown, in each section.
func TestFilter(t *testing.T) {
	t.Parallel()
	b := lived(t)
	b.Standings([]status.Standing{{Namespace: "karpenter", ServiceAccount: "karpenter", Verdict: "keep-irsa", Reasons: []status.Reason{{Code: "fargate", Message: "m"}}}}, 5000)
	for _, tt := range []struct {
		query string
		want  map[string][]string // first names of a section; the others have none
	}{
		{"?namespace=late", map[string][]string{"drift": {"late/late-bird"}, "waiting": {"late/late-bird"}, "mappings": {"late/late-bird"}}},
		{"?q=LATE-BIRD&plane=pods", map[string][]string{"drift": {"late/late-bird"}, "waiting": {"late/late-bird"}}},
		{"?phase=crossing", map[string][]string{"drift": {"batch/exporter"}, "moving": {"batch/exporter"}, "waiting": {"batch/exporter"}, "mappings": {"batch/exporter"}}},
		{"?phase=pending", map[string][]string{"drift": {"demo2/s3-reader", "demo/s3-reader"}, "moving": {"demo2/s3-reader"}, "mappings": {"demo2/s3-reader"}, "writes": {"demo2/s3-reader", "demo/s3-reader"}}},
		{"?reason=fargate", map[string][]string{"irsa": {"karpenter/karpenter"}}},
		{"?reason=keep-irsa&namespace=karpenter", map[string][]string{"irsa": {"karpenter/karpenter"}}},
		{"?reason=pods-uninjected", map[string][]string{"drift": {"late/late-bird"}}},
		{"?plane=association&namespace=payments", map[string][]string{"drift": {"payments/api"}, "waiting": {"payments/api"}}},
		{"?namespace=nowhere", nil},
		{"?q=%3Cscript%3E", nil},
		{"?plane=moon", nil},
	} {
		page := opened(t, b, tt.query)
		for _, id := range []string{"drift", "moving", "waiting", "irsa", "mappings", "writes", "gaps"} {
			if diff := cmp.Diff(tt.want[id], filtered(t, page, id)); diff != "" {
				t.Errorf("%s: section %s (-want +got)\n%s", tt.query, id, diff)
			}
		}
		if !strings.Contains(page, "show everything") {
			t.Errorf("%s: no way back to everything", tt.query)
		}
		q, err := url.ParseQuery(strings.TrimPrefix(tt.query, "?"))
		if err != nil {
			t.Fatal(err)
		}
		for key := range q { // the form says what was asked
			value := html.EscapeString(q.Get(key))
			if !strings.Contains(page, `<option value="`+value+`" selected>`) && !strings.Contains(page, `type="search" value="`+value+`"`) {
				t.Errorf("%s: the form does not show %s=%s", tt.query, key, value)
			}
		}
	}
	if page := opened(t, b, "?refresh=off&namespace=late"); strings.Contains(page, "http-equiv") || !strings.Contains(page, `data-every="0"`) || !strings.Contains(page, `href="/?namespace=late">refresh again`) {
		t.Error("a page that is to stand still does not, or there is no way back")
	}
	if page := opened(t, b, "?namespace=late"); !strings.Contains(page, `<noscript><meta http-equiv="refresh" content="15"></noscript>`) || !strings.Contains(page, `href="/?namespace=late&amp;refresh=off">pause`) {
		t.Error("a page does not refresh by itself, or cannot be held")
	}
}

// many is a board after a round of so many mappings, every tenth of which drifts.
func many(n int) *status.Board {
	b := newBoard()
	r := report.Round{Number: 1, Started: noon, Ended: noon, Mode: desired.ModeRepair}
	for i := range n {
		s := identity.Subject{Namespace: fmt.Sprintf("team-%03d", i%200), ServiceAccount: fmt.Sprintf("workload-%05d", i)}
		j := diff.Judged{Mapping: desired.Mapping{Subject: s, Mechanism: identity.IRSA, Role: identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: s.ServiceAccount}}}
		if i%10 == 0 {
			j.Class = diff.Drift
			r.Result.Findings = append(r.Result.Findings, diff.Finding{Subject: s, Plane: diff.PlaneTrust, Kind: diff.TrustSubjectMissing, Severity: diff.Warning,
				Message: "statement 1 allows another", Expected: trustBefore, Actual: strings.Replace(trustBefore, "SAML:aud", "SAML:iss", 1)})
			r.Plan.Holds = append(r.Plan.Holds, plan.Hold{Subject: s, Reason: plan.OwnerMustAct, Message: "add the statement", Handoff: &plan.Handoff{What: "add it", JSON: trustBefore}})
		}
		r.Result.Judged = append(r.Result.Judged, j)
		r.Moves = append(r.Moves, report.Move{Subject: s, Wanted: identity.PodIdentity, Phase: "soaking", Since: noon})
	}
	r.Moves = r.Moves[:n/5]
	for i := range n / 5 {
		r.Gaps = append(r.Gaps, live.Gap{Source: live.SourceRole, Scope: fmt.Sprint(i), Reason: live.GapRefused})
	}
	b.Saw(r, nil)
	return b
}

// TestPagesAreBounded: however much there is, one page shows a part of it, says so, and
// leads to the rest.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	b := many(5000)
	first := opened(t, b, "")
	if n := len(first); n > 400<<10 {
		t.Errorf("a page of 5,000 mappings has %d KiB", n>>10)
	}
	seen := map[string]bool{}
	pages := 0
	for query := ""; ; pages++ {
		page := opened(t, b, query)
		for _, name := range regexp.MustCompile(`team-[0-9]+/workload-[0-9]+`).FindAllString(section(t, page, "mappings"), -1) {
			seen[name] = true
		}
		_, next, more := strings.Cut(page, `id="next-mappings" rel="next" href="/`)
		if !more {
			break
		}
		query, _, _ = strings.Cut(html.UnescapeString(next), "#")
	}
	if len(seen) != 5000 || pages != 99 {
		t.Errorf("%d mappings on %d pages after the first, want 5000 on 99", len(seen), pages)
	}
	if got := section(t, first, "mappings"); !strings.Contains(got, "1 to 50 of 5000") {
		t.Errorf("the section does not say how many there are:\n%s", got)
	}
	for query, want := range map[string]string{"?mappings=100": "4951 to 5000 of 5000", "?mappings=101": "4951 to 5000 of 5000", "?mappings=-1": "1 to 50 of 5000", "?mappings=x": "1 to 50 of 5000",
		"?mappings=99999999999999999999": "1 to 50 of 5000", "?mappings=2&namespace=team-001": "1 to 25 of 25; 25 with this filter, 5000 without it"} {
		if got := section(t, opened(t, b, query), "mappings"); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in\n%s", query, want, got[max(0, len(got)-200):])
		}
	}
}

// TestPageIdentityProbes: what AWS took new pods for is on the page where it was asked,
// and the worst of it is at the top; where the feature is off there is nothing to see.
func TestPageIdentityProbes(t *testing.T) {
	t.Parallel()
	b := lived(t)
	const wrong = "Identity probes AWS takes new pods of 2 ServiceAccounts otherwise than Git asks"
	if page := text(opened(t, b, "")); strings.Contains(page, wrong[:30]) {
		t.Errorf("an answer that nobody gave is an alert")
	}
	b.IdentityProbes([]status.IdentityProbe{
		{Namespace: "demo", ServiceAccount: "a", Wanted: "irsa", Result: "as-git", Message: "as it should be", At: noon},
		{Namespace: "demo", ServiceAccount: "b", Wanted: "pod-identity", Result: "other-role", Message: "it is another", At: noon},
		{Namespace: "late", ServiceAccount: "c", Wanted: "pod-identity", Result: "no-identity", Message: "it is nobody", At: noon},
	})
	page := opened(t, b, "")
	if !strings.Contains(strings.Join(strings.Fields(text(page)), " "), wrong) || strings.Contains(page, `<section id="probes" hidden`) {
		t.Errorf("no alert %q", wrong)
	}
	for query, want := range map[string]string{"?namespace=late": "it is nobody", "?reason=other-role": "it is another", "?q=should": "as it should be"} {
		page := text(opened(t, b, query))
		for _, message := range []string{"as it should be", "it is another", "it is nobody"} {
			if got := strings.Contains(page, message); got != (message == want) {
				t.Errorf("%s shows %q: %v", query, message, got)
			}
		}
	}
	b.IdentityProbes(nil)
	if page := opened(t, b, ""); !strings.Contains(page, `<section id="probes" hidden`) {
		t.Error("the section is shown where nobody is asked")
	}
}

// hostile is what names, messages and values from outside may hold.
var hostile = map[string]string{
	"script":     `<script>alert(1)</script><img src=x onerror=alert(1)></title></style></section></main>`,
	"attribute":  `" onmouseover="alert(1)" autofocus onfocus='alert(1)' x="`,
	"entities":   "&lt;b&gt; &#60;script&#62;",
	"template":   "{{.}} {{define \"page\"}} ${x}",
	"scheme":     "javascript:alert(1)",
	"comment":    "<!-- --> <![CDATA[ ]]>",
	"control":    "a\x00\x08\x0b\x1b[31m\x7f\u0085\r\nb",
	"bidi":       "a\u202egpj.exe\u2066\u200f\u061cb",
	"invisible":  "a\u200b\ufeff\u2060\U000e0041b",
	"separators": "a\u2028b\u2029c",
	"not utf-8":  "a\xff\xfe\xc0b",
	"json":       `{"a": "</td></tr></table><script>x</script>", "b": [` + strings.Repeat(`{"c": "\u202e"},`, 50) + `{}]}`,
	"deep":       strings.Repeat("[", 10_000),
	"long":       strings.Repeat("word ", 20_000),
	"long word":  strings.Repeat("x", 100_000),
	"lines":      strings.Repeat("a\n", 10_000),
	"wide":       strings.Repeat("ß", 50_000),
}

// everywhere is a page with a text in every place that comes from outside.
func everywhere(t testing.TB, s string) string {
	t.Helper()
	b := newBoard()
	who := identity.Subject{Namespace: s, ServiceAccount: s}
	role := identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/", Name: s}
	step := plan.Step{Subject: who, Plane: diff.Plane(s), Action: plan.CreateAssociation{Role: role}, Because: s}
	r := report.Round{Number: 1, Started: noon, Ended: noon, Mode: desired.Mode(s), Revision: desired.Revision{Ref: s, Commit: s},
		Moves: []report.Move{{Subject: who, Wanted: identity.PodIdentity, Phase: s, Since: noon}}, Gaps: []live.Gap{{Source: live.Source(s), Scope: s, Reason: live.GapReason(s), Message: s}}}
	r.Outcomes = []report.Outcome{{Step: step, Result: report.Failed, Err: fmt.Errorf("%s", s), At: noon, Before: s, After: s + "x"}}
	r.Result = diff.Result{Unmanaged: []identity.Subject{who},
		Judged: []diff.Judged{{Mapping: desired.Mapping{Subject: who, Role: role, At: desired.Position{File: s}}, Class: diff.Blind, Unknown: []string{s},
			Pods: []live.Pod{{Name: s}}}},
		Findings: []diff.Finding{{Subject: who, Plane: diff.Plane(s), Kind: diff.Kind(s), Severity: diff.Critical, Message: s, Expected: s, Actual: "x" + s, Owner: s, Position: desired.Position{File: s}}}}
	r.Plan = plan.Plan{Steps: []plan.Step{step}, Holds: []plan.Hold{
		{Subject: who, Plane: diff.Plane(s), Reason: plan.Reason(s), Message: s, Handoff: &plan.Handoff{Owner: s, What: s + ".", JSON: s, HCL: s, Command: s}},
		{Subject: who, Reason: plan.Concurrency, Message: s}, {Subject: identity.Subject{Namespace: s}, Reason: plan.Concurrency, Message: s}}}
	b.Saw(r, nil)
	b.Failed(s, fmt.Errorf("%s", s), noon, noon)
	b.Standings([]status.Standing{{Namespace: s, ServiceAccount: s, Verdict: s, Wanted: s, Reasons: []status.Reason{{Code: s, Message: s, Fix: s}}}}, 5000)
	b.IdentityProbes([]status.IdentityProbe{{Namespace: s, ServiceAccount: s, Wanted: s, Role: s, Result: s, Session: s, Message: s, At: noon}})
	b.State(func(st *status.State) {
		*st = status.State{Version: s, Commit: s, Cluster: s, Mode: s, Identity: s, LeaderIdentity: s + "x",
			Source:        status.Source{URL: s, Ref: s, Paths: []string{s}, Accepted: s, AcceptedAt: noon, Commit: &status.Commit{Author: s, Subject: s, At: noon}, Held: &status.Held{Head: s, Reason: s, Message: s, Since: noon}},
			Configuration: status.Configuration{File: s, SHA256: s, Error: s, LoadedAt: noon}}
	})
	return opened(t, b, "?refresh=off&q="+url.QueryEscape(s[:min(len(s), 150)])) + opened(t, b, "")
}

var (
	wholeTagRE = regexp.MustCompile(`<[^>]*>?`)
	valueRE    = regexp.MustCompile(`="[^"]*"`)
	hrefRE     = regexp.MustCompile(` (?:href|src|action|formaction|data|content)="([^"]*)"`)
)

// shapes are the tags of a page, each with the names of its attributes.
func shapes(page string) map[string]bool {
	out := map[string]bool{}
	for _, tag := range wholeTagRE.FindAllString(inlineRE.ReplaceAllString(page, ""), -1) {
		out[valueRE.ReplaceAllString(tag, "=")] = true
	}
	return out
}

// harmless fails unless a page with s in every place has no tag, attribute or address but
// the page's own, and no character that a browser would obey.
func harmless(t *testing.T, s string, known map[string]bool) {
	t.Helper()
	page := everywhere(t, s)
	if !utf8.ValidString(page) || len(page) > 2<<20 {
		t.Errorf("%.100q: %d bytes, valid UTF-8: %t", s, len(page), utf8.ValidString(page))
	}
	for i, r := range page {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Fatalf("%.100q: character %U got through: %q", s, r, page[max(0, i-20):min(len(page), i+20)])
		}
	}
	for shape := range shapes(page) {
		if !known[shape] {
			t.Fatalf("%.100q: a tag of its own: %.200s", s, shape)
		}
	}
	for _, m := range hrefRE.FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/?") && !strings.HasPrefix(m[1], "#") && !strings.HasPrefix(m[1], "data:image/svg") && !slices.Contains([]string{"/", "15", "width=device-width, initial-scale=1", "light dark"}, m[1]) {
			t.Fatalf("%.100q: an address of its own: %.200s", s, m[1])
		}
	}
}

// ours are the shapes of the page's own tags, with short text and with long.
func ours(t testing.TB) map[string]bool {
	known := map[string]bool{}
	for _, s := range []string{"x", strings.Repeat("x ", 3000), strings.Repeat("a\nb\n", 40)} {
		for shape := range shapes(everywhere(t, s)) {
			known[shape] = true
		}
	}
	if len(known) < 40 {
		t.Fatalf("only %d kinds of tags: the page is not looked at", len(known))
	}
	return known
}

func TestHostilePage(t *testing.T) {
	t.Parallel()
	known := ours(t)
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harmless(t, s, known)
		})
	}
}

func FuzzPage(f *testing.F) {
	known := ours(f)
	for _, s := range hostile {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) { harmless(t, s, known) })
}

// TestHeadline: the state of everything in one sentence, and how bad that is.
func TestHeadline(t *testing.T) {
	t.Parallel()
	judged := func(classes ...diff.Class) (out []diff.Judged) {
		for i, c := range classes {
			out = append(out, diff.Judged{Class: c, Mapping: desired.Mapping{Subject: identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprint("sa-", i)}}})
		}
		return out
	}
	finding := func(n int, s diff.Severity) diff.Finding {
		return diff.Finding{Subject: identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprint("sa-", n)}, Severity: s}
	}
	move := func(n int, phase string) report.Move {
		return report.Move{Subject: identity.Subject{Namespace: "demo", ServiceAccount: fmt.Sprint("sa-", n)}, Phase: phase, Since: noon}
	}
	gap := live.Gap{Source: live.SourceRole, Scope: "r", Reason: live.GapRefused}
	for _, tt := range []struct {
		name     string
		round    report.Round
		state    func(*status.State)
		later    time.Duration
		headline string
		level    string
		says     string // in the alerts
	}{
		{name: "in sync", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest, diff.Rest)}}, headline: "All 2 mappings are in sync", level: "good"},
		{name: "one", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest)}}, headline: "The one mapping is in sync", level: "good"},
		{name: "none", headline: "Git names no mapping for this cluster", level: "good"},
		{name: "drift", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest, diff.Drift), Findings: []diff.Finding{finding(1, diff.Warning)}}}, headline: "1 of 2 mappings drifts", level: "warn"},
		{name: "critical", round: report.Round{Result: diff.Result{Judged: judged(diff.Drift, diff.Drift, diff.Held), Findings: []diff.Finding{finding(1, diff.Critical)}}}, headline: "2 of 3 mappings drift, 1 is held", level: "bad"},
		{name: "moving", round: report.Round{Result: diff.Result{Judged: judged(diff.Transition, diff.Transition, diff.Rest), Findings: []diff.Finding{finding(0, diff.Warning)}}, Moves: []report.Move{move(0, "soaking")}},
			headline: "1 of 3 mappings is on its way, 1 is to move", level: "busy"},
		{name: "kept", round: report.Round{Result: diff.Result{Judged: judged(diff.Transition, diff.Transition)}, Moves: []report.Move{move(0, "crossing"), move(1, "pending")},
			Plan: plan.Plan{Holds: []plan.Hold{{Subject: identity.Subject{Namespace: "demo", ServiceAccount: "sa-1"}, Reason: plan.NotEligible}}}},
			headline: "1 of 2 mappings is on its way, 1 cannot move", level: "busy"},
		{name: "rolled back", round: report.Round{Result: diff.Result{Judged: judged(diff.Transition)}, Moves: []report.Move{move(0, "rolled-back")}}, headline: "1 of 1 mapping is on its way", level: "bad"},
		{name: "blind", round: report.Round{Result: diff.Result{Judged: judged(diff.Blind, diff.Drift, diff.Rest)}, Gaps: []live.Gap{gap, gap}}, headline: "1 of 3 mappings cannot be judged, 1 drifts", level: "blind", says: "iam:GetRole refused (2 times)"},
		{name: "a gap beside", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest)}, Gaps: []live.Gap{gap}}, headline: "All 1 mapping that could be judged is in sync, but something was not read", level: "blind"},
		{name: "stopped", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest)}}, later: 11 * time.Minute, headline: "The one mapping is in sync", level: "blind", says: "It has stopped looking the last good round was 11 min ago"},
		{name: "held head", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest)}}, state: func(s *status.State) {
			s.Source.Held = &status.Held{Head: "00c0ffee", Reason: "unsigned", Message: "no signature", Since: noon}
		},
			headline: "The one mapping is in sync", level: "good", says: "The head of Git is not followed 00c0ffee (unsigned, for 0 s): no signature"},
		{name: "standing by", round: report.Round{Result: diff.Result{Judged: judged(diff.Rest)}}, state: func(s *status.State) { s.Leader, s.LeaderIdentity = false, "lanyard-1" },
			headline: "The one mapping is in sync", level: "blind", says: "lanyard-1 leads"},
		{name: "exposed", round: report.Round{Result: diff.Result{Judged: []diff.Judged{{Mapping: judged(diff.Rest)[0].Mapping, Pods: []live.Pod{exposedPod()}}}}}, headline: "The one mapping is in sync", level: "bad", says: "1 pod may be without credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := noon
			b := status.New(status.Options{Authorize: someone, Now: func() time.Time { return now }})
			b.State(func(s *status.State) { s.Leader = true })
			if tt.state != nil {
				b.State(tt.state)
			}
			tt.round.Number, tt.round.Started, tt.round.Ended = 1, noon, noon
			b.Saw(tt.round, nil)
			now = now.Add(tt.later)
			page := opened(t, b, "")
			if got := html.UnescapeString(headRE.FindStringSubmatch(page)[1]); got != tt.headline {
				t.Errorf("headline %q, want %q", got, tt.headline)
			}
			if got := levelRE.FindStringSubmatch(page)[1]; got != tt.level {
				t.Errorf("level %q, want %q", got, tt.level)
			}
			if !strings.Contains(text(page), tt.says) {
				t.Errorf("the page does not say %q", tt.says)
			}
		})
	}
	b := newBoard()
	b.Failed("cluster", fmt.Errorf("no route to host"), noon, noon)
	if got := text(opened(t, b, "")); !strings.Contains(got, "No good round yet") || !strings.Contains(got, "at cluster, 0 s ago: no route to host") || strings.Contains(got, "Nothing differs") {
		t.Errorf("before the first round the page says\n%s", got)
	}
}

// TestPageStays: who was asked to move and cannot is no part of what moves, unless it had
// begun to; and what a mapping with a missing fact is on is not known, and not nothing.
func TestPageStays(t *testing.T) {
	t.Parallel()
	named := func(name string) identity.Subject {
		return identity.Subject{Namespace: "demo", ServiceAccount: name}
	}
	r := report.Round{Number: 1, Started: noon, Ended: noon}
	for name, phase := range map[string]string{"begun": "crossing", "stays": "pending", "waits": "pending"} {
		r.Result.Judged = append(r.Result.Judged, diff.Judged{Class: diff.Transition, Mapping: desired.Mapping{Subject: named(name)}})
		r.Moves = append(r.Moves, report.Move{Subject: named(name), Wanted: identity.PodIdentity, Phase: phase, Since: noon})
		if name != "waits" {
			r.Plan.Holds = append(r.Plan.Holds, plan.Hold{Subject: named(name), Reason: plan.NotEligible, Message: "keep-irsa (fargate)"})
		}
	}
	r.Result.Judged = append(r.Result.Judged, diff.Judged{Class: diff.Blind, Mapping: desired.Mapping{Subject: named("blind")}, Unknown: []string{"Pod Identity association"}})
	b := newBoard()
	b.Saw(r, nil)
	page := opened(t, b, "")
	for _, tt := range []struct {
		section string
		has     []string
		not     []string
	}{
		{"moving", []string{"On their way 2", "demo/begun", "demo/waits"}, []string{"demo/stays"}},
		{"waiting", []string{"demo/begun", "demo/stays"}, []string{"demo/waits"}},
		{"mappings", []string{"? unknown Pod Identity association not known"}, nil},
	} {
		got := strings.Join(strings.Fields(section(t, page, tt.section)), " ")
		for _, want := range tt.has {
			if !strings.Contains(got, want) {
				t.Errorf("section %s lacks %q:\n%s", tt.section, want, got)
			}
		}
		for _, bad := range tt.not {
			if strings.Contains(got, bad) {
				t.Errorf("section %s has %q:\n%s", tt.section, bad, got)
			}
		}
	}
}

// exposedPod is on Pod Identity.
func exposedPod() live.Pod {
	return live.Pod{Name: "api-1", Containers: []live.Container{{Name: "c", Credential: live.CredentialPodIdentity}}}
}

// BenchmarkPage is what one look at a page of 5,000 mappings costs.
func BenchmarkPage(b *testing.B) {
	board := many(5000)
	h := board.Handler()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = ask(h, http.MethodGet, "/", token).Body.Len()
	}
	b.ReportMetric(float64(n), "B/page")
}
