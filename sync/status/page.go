package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the page's template, style and script
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/report"
)

// pagePath is where the page is, and what one must be let get to read it.
const pagePath = "/"

// every is how many seconds lie between two looks of a page that is open.
const every = 15

var (
	//go:embed page/page.html.tmpl
	pageText string
	//go:embed page/page.css
	style string
	//go:embed page/page.js
	script string
)

// sheets are the page, and what is said to those who may not see it.
var sheets = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":  func() template.CSS { return template.CSS(style) },
	"script": func() template.JS { return template.JS(script) },
	"icon":   icon,
	"cell":   cell,
	"stamp":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock":  func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
	"short":  func(s string) string { return cell(shortRevision(s)) },
	"mark":   func(level string) string { return marks[level] },
	"count":  count,
	"name":   func(namespace, account string) string { return cell(name(namespace, account)) },
	"plus":   func(a, b int) int { return a + b },
	"soft": func(s string) template.HTML { // where a long name may be broken first
		return template.HTML(strings.Replace(template.HTMLEscapeString(s), "/", "/<wbr>", 1))
	},
	"args": func(values ...any) []any { return values },
}).Parse(pageText))

// marks are the shapes of the levels, beside their colours.
var marks = map[string]string{"good": "✓", "busy": "→", "warn": "!", "bad": "✕", "blind": "?", "calm": "·", "none": "–",
	"critical": "✕", "warning": "!", "info": "i"}

// policy is the page's own: what is inline is named by its digest, and nothing else is
// loaded, run, framed or sent anywhere.
// Source: https://www.w3.org/TR/CSP3/#framework-directive-source-list
var policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	digest(style), digest(script))

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// icon is the tab's: who has ten of them open sees which one to look at.
func icon(level string) template.URL {
	colour, known := map[string]string{"good": "1a7f4b", "busy": "1f5fbf", "warn": "b36b00", "bad": "c62828"}[level]
	if !known {
		colour = "6b46a8"
	}
	return template.URL("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23" + colour + "'/%3E%3C/svg%3E")
}

// page answers whoever opens it in a browser.
func (b *Board) page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	strict(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	switch {
	case b.opts.Authorize == nil:
		refuse(w, http.StatusNotFound, "The page is off: start lanyard run with --api-token-file or --api-access.")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "This page is only read, with GET.")
	case b.admit(w, r, pageDoor):
		b.draw(w, r)
	}
}

// draw writes the page.
func (b *Board) draw(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		return
	}
	done, ok := b.place(w, r, b.pages, pageDoor)
	if !ok {
		return
	}
	defer done()
	v := look(b.record(), wished(r.URL.Query()))
	if !v.Filter.Still {
		v.Every = every
	}
	data, err := render("page", v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The page cannot be made: "+err.Error())
		return
	}
	send(w, r, http.StatusOK, data)
}

// render fills a sheet in. Markup in what comes from outside is escaped by the template;
// what it leaves alone, such as a character that turns the direction of what follows, is
// made harmless here.
func render(sheet string, data any) ([]byte, error) {
	var page bytes.Buffer
	if err := sheets.ExecuteTemplate(&page, sheet, data); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(page.Len() + page.Len()/16)
	if err := report.HTML(&out, page.String()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// refuse is [fail] for people.
func refuse(w http.ResponseWriter, code int, why string) {
	data, err := render("refused", struct {
		Code      int
		Title     string
		Why       string
		Path      string
		Stranger  bool
		Forbidden bool
	}{code, http.StatusText(code), why, pagePath, code == http.StatusUnauthorized, code == http.StatusForbidden})
	if err != nil {
		http.Error(w, why, code)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	_, _ = w.Write(data) // the reader may have gone
}
