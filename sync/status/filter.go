package status

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/sync/report"
)

// longestWish is how many bytes of a filter are looked at.
const longestWish = 200

// filter is what a reader asks to see, all of it in the URL, so that it can be sent to
// somebody. The zero value shows everything.
type filter struct {
	Text, Namespace, Plane, Phase, Reason string

	Still bool // the page does not refresh by itself
	pages map[string]int
}

// The keys of the URL. A section's page stands under the section's name.
const (
	keyText, keyNamespace, keyPlane, keyPhase, keyReason = "q", "namespace", "plane", "phase", "reason"

	keyRefresh = "refresh"
	refreshOff = "off"
)

// wished reads a URL's query. What cannot be is as if it were not there.
func wished(q url.Values) filter {
	get := func(key string) string {
		text := strings.TrimSpace(report.Printable(strings.ToValidUTF8(q.Get(key), "\uFFFD")))
		if len(text) > longestWish {
			text = strings.ToValidUTF8(text[:longestWish], "")
		}
		return text
	}
	f := filter{Text: get(keyText), Namespace: get(keyNamespace), Plane: get(keyPlane), Phase: get(keyPhase), Reason: get(keyReason),
		Still: q.Get(keyRefresh) == refreshOff, pages: map[string]int{}}
	for _, section := range paged {
		if n, err := strconv.Atoi(q.Get(section)); err == nil && n > 1 && n < 1_000_000 {
			f.pages[section] = n
		}
	}
	return f
}

// Active reports whether anything is left out.
func (f filter) Active() bool { return f.Text+f.Namespace+f.Plane+f.Phase+f.Reason != "" }

// URL is the page's own address with this filter.
func (f filter) URL() string {
	q := url.Values{}
	for key, value := range map[string]string{keyText: f.Text, keyNamespace: f.Namespace, keyPlane: f.Plane, keyPhase: f.Phase, keyReason: f.Reason} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.Still {
		q.Set(keyRefresh, refreshOff)
	}
	for section, n := range f.pages {
		if n > 1 {
			q.Set(section, strconv.Itoa(n))
		}
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

// at is the address of a page of a section.
func (f filter) at(section string, n int) string {
	g := f
	g.pages = map[string]int{}
	for s, m := range f.pages {
		g.pages[s] = m
	}
	g.pages[section] = n
	return g.URL() + "#" + section
}

// All is the address of everything.
func (f filter) All() string { return filter{Still: f.Still}.URL() }

// Only is the address of what concerns one ServiceAccount.
func (f filter) Only(namespace, account string) string {
	only := filter{Namespace: namespace, Text: namespace + "/" + account, Still: f.Still}
	if len(only.Text) > longestWish { // no name in Kubernetes is
		only.Namespace, only.Text = "", strings.ToValidUTF8(only.Text[:longestWish], "")
	}
	return only.URL()
}

// Toggle is the address of the same page that does, or does not, refresh by itself.
func (f filter) Toggle() string {
	f.Still = !f.Still
	return f.URL()
}

// line is what a filter looks at in one line of the page. A line without a plane, phase
// or reason does not pass a filter for one.
type line struct {
	namespace, account, plane, phase string
	reasons                          []string
	texts                            []string
}

func (f filter) passes(l line) bool {
	if f.Namespace != "" && l.namespace != f.Namespace || f.Plane != "" && l.plane != f.Plane || f.Phase != "" && l.phase != f.Phase {
		return false
	}
	if f.Reason != "" && !slices.Contains(l.reasons, f.Reason) {
		return false
	}
	return f.Text == "" || contains(l.namespace+"/"+l.account, f.Text) ||
		slices.ContainsFunc(l.texts, func(text string) bool { return contains(text, f.Text) }) ||
		slices.ContainsFunc(l.reasons, func(text string) bool { return contains(text, f.Text) })
}

// contains is strings.Contains, in any case of ASCII letters; it makes no copy.
func contains(text, part string) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// paged are the sections that have pages.
var paged = []string{"drift", "moving", "probes", "waiting", "irsa", "mappings", "writes", "gaps"}

// Part is the page of a section that is shown.
type Part struct {
	Section    string
	Name       string // of the section, for those who hear it
	From, To   int    // counted from one
	Of         int    // lines that there are on all pages
	Total      int    // that the filter lets through
	Whole      int    // that there are
	Prev, Next string // addresses; empty where there is none
}

// cutOut returns the part of a list that is to be shown.
func cutOut[T any](f filter, section, name string, list []T, whole, most int) ([]T, Part) {
	last := max(1, (len(list)+most-1)/most)
	n := min(cmp.Or(f.pages[section], 1), last)
	from, to := (n-1)*most, min(n*most, len(list))
	p := Part{Section: section, Name: name, From: from + 1, To: to, Of: len(list), Total: len(list), Whole: whole}
	if n > 1 {
		p.Prev = f.at(section, n-1)
	}
	if n < last {
		p.Next = f.at(section, n+1)
	}
	return list[from:to], p
}

// choices are the words of one field of the filter's form. What was chosen is among
// them, whether it occurs or not.
func choices(occur map[string]bool, chosen string) []string {
	if chosen != "" {
		occur[chosen] = true
	}
	out := make([]string, 0, len(occur))
	for word := range occur {
		if word != "" && len(word) <= longestWish && utf8.ValidString(word) {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), mostChoices)]
}

// mostChoices bounds a field of the form; whoever has more namespaces types.
const mostChoices = 1000
