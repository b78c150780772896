package review

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// What is written of SARIF 2.1.0, by the names of the specification.
// Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool                `json:"tool"`
		Automation  sarifAutomation          `json:"automationDetails"`
		Bases       map[string]sarifLocation `json:"originalUriBaseIds"`
		ColumnKind  string                   `json:"columnKind"`
		Invocations []sarifInvocation        `json:"invocations"`
		Results     []sarifResult            `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		URI   string      `json:"informationUri"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string       `json:"id"`
		Short   sarifMessage `json:"shortDescription"`
		HelpURI string       `json:"helpUri,omitempty"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifMessage      `json:"message"`
		Locations    []sarifPlace      `json:"locations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`

		at desired.Position
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifPlace struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifLocation `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifLocation struct {
		URI  string        `json:"uri,omitempty"`
		Base string        `json:"uriBaseId,omitempty"`
		Says *sarifMessage `json:"description,omitempty"`
	}
	sarifRegion struct {
		Line   int `json:"startLine"`
		Column int `json:"startColumn,omitempty"`
	}
)

// sarifRoot names the repository's root, to which all files are relative; who reads the
// log knows where that is.
const sarifRoot = "SRCROOT"

// mostResults is how many results of a run GitHub shows.
// Source: https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support
const mostResults = 5000

// documentError is the rule of a head's document errors.
const documentError = "document-error"

// docs is where rules are explained.
const docs = "https://github.com/lanyard-io/lanyard/blob/main/docs/"

// SARIF writes what the pull request does as results on files and lines: its document
// errors, the findings that it causes, and the reasons of its risks. What was there before
// and what it heals are no results: a code scanner would show them as news.
func (r Review) SARIF(w io.Writer) error {
	results := r.results()
	run := sarifRun{
		Tool: sarifTool{sarifDriver{Name: "lanyard", URI: "https://github.com/lanyard-io/lanyard", Rules: []sarifRule{}}}, ColumnKind: "unicodeCodePoints",
		Automation: sarifAutomation{ID: "lanyard diff/" + r.Cluster + "/"}, Invocations: []sarifInvocation{{Successful: true}},
		Bases: map[string]sarifLocation{sarifRoot: {Says: &sarifMessage{Text: "The root of the repository."}}},
	}
	if left := len(results) - mostResults; left > 0 {
		results = results[:mostResults]
		run.Invocations[0].Notifications = []sarifNotification{{Level: "warning", Message: sarifMessage{Text: count(left, "more result") + " left out: the JSON form has all"}}}
	}
	for i := range results {
		at := slices.IndexFunc(run.Tool.Driver.Rules, func(rule sarifRule) bool { return rule.ID == results[i].RuleID })
		if at < 0 {
			at = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule(results[i].RuleID))
		}
		results[i].RuleIndex = at
	}
	run.Results = results
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// rule describes a rule by its words, and says where there is more.
func rule(id string) sarifRule {
	r := sarifRule{ID: id, Short: sarifMessage{Text: strings.ReplaceAll(id, "-", " ")}}
	switch {
	case id == documentError:
	case slices.Contains(Codes(), Code(id)):
		r.HelpURI = docs + "risks.md#" + id
	default:
		r.HelpURI = docs + "findings.md#" + id
	}
	return r
}

// results are all of them, the worst first, then by place.
func (r Review) results() []sarifResult {
	all, places := []sarifResult{}, r.places()
	add := func(rule, level, text, key string, at desired.Position) {
		sum := sha256.Sum256([]byte(rule + "\x00" + key))
		one := sarifResult{RuleID: rule, Level: level, Message: sarifMessage{Text: sarifText(text)}, Fingerprints: map[string]string{"lanyard/v1": hex.EncodeToString(sum[:])}, at: at}
		if uri, ok := relative(at.File); ok {
			place := sarifPlace{sarifPhysical{Artifact: sarifLocation{URI: uri, Base: sarifRoot}}}
			if at.Line > 0 {
				place.Physical.Region = &sarifRegion{Line: at.Line, Column: at.Column}
			}
			one.Locations = []sarifPlace{place}
		}
		all = append(all, one)
	}
	for _, m := range r.Refused {
		add(documentError, "error", m.What+": "+m.Instead, m.File+"\x00"+m.What, desired.Position{File: m.File, Line: m.Line, Column: m.Column})
	}
	for _, f := range r.Caused {
		add(string(f.Kind), f.level(), f.who()+": "+f.Message, strings.Join([]string{f.Namespace, f.ServiceAccount, f.Expected, f.Actual}, "\x00"), cmp.Or(f.at, places[f.who()]))
	}
	for _, d := range r.Risks {
		if d.Code != Refused { // its mistakes are results
			add(string(d.Code), d.Risk.level(), d.Message, r.Cluster, cmp.Or(d.at, places[""]))
		}
	}
	for _, w := range r.Workloads {
		for _, d := range w.Risks {
			add(string(d.Code), d.Risk.level(), w.Name()+": "+d.Message, w.Name(), w.at)
		}
	}
	slices.SortStableFunc(all, func(a, b sarifResult) int {
		return cmp.Or(slices.Index(levels, a.Level)-slices.Index(levels, b.Level), a.at.Compare(b.at), strings.Compare(a.RuleID, b.RuleID))
	})
	return all
}

// places are where Git speaks, or spoke, of each ServiceAccount that the pull request
// touches; of the first of them under no name.
func (r Review) places() map[string]desired.Position {
	all := make(map[string]desired.Position, len(r.Workloads)+1)
	add := func(name string, at desired.Position) {
		if _, is := all[name]; !is {
			all[name] = at
		}
	}
	for _, w := range r.Workloads {
		add("", w.at)
		add(w.Name(), w.at)
		add(w.From, w.was)
	}
	return all
}

// levels are SARIF's, the worst first.
var levels = []string{"error", "warning", "note"}

// level of a finding: what a step of lanyard's is about to mend is only to be known.
func (f Finding) level() string {
	switch {
	case f.Mended || f.Severity == diff.Info:
		return "note"
	case f.Severity == diff.Critical:
		return "error"
	}
	return "warning"
}

func (r Risk) level() string {
	switch r {
	case High:
		return "error"
	case Medium:
		return "warning"
	case Low, None:
	}
	return "note"
}

// relative is a file as a reference relative to the root; not ok if it is not below it.
func relative(file string) (uri string, ok bool) {
	clean := path.Clean(file)
	if file == "" || path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", false
	}
	return (&url.URL{Path: clean}).String(), true
}

// sarifText makes a plain text message of text from outside: what would be a link or a
// placeholder there is none.
// Source: sections 3.11.5 and 3.11.6 of the specification.
func sarifText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "{", "{{", "}", "}}").Replace(report.Cell(s))
}
