package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// The limits of what is printed for people; JSON has no limit.
const (
	textWidth = 100  // columns to which prose is wrapped
	longest   = 1000 // characters of one message or value
	mostNamed = 30   // mappings or ServiceAccounts that a list names before it counts
)

// Printable makes text from outside (Git, AWS, Kubernetes) safe for a terminal: a
// control character could move the cursor or recolour what follows, a format
// character could turn its direction or hide a part of it. They become U+FFFD; a
// line feed or tab becomes a space.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsGraphic(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// clip cuts a text that is too long for people, and says so.
func clip(s string) string {
	if len(s) <= longest {
		return s
	}
	runes := []rune(s)
	if len(runes) <= longest {
		return s
	}
	return fmt.Sprintf("%s ... (%d more characters)", string(runes[:longest]), len(runes)-longest)
}

// wrap breaks prose into lines of at most width columns, at spaces. A word that is
// wider has a line of its own, whole, so that ARNs can be copied.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// statement lays a trust policy statement out over lines that fit a terminal, as far
// as they can. What is not JSON is returned as it is.
func statement(text string, width int) []string {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		return []string{text}
	}
	lines := strings.Split(out.String(), "\n")
	for i := 0; i < len(lines); i++ {
		lines = fold(lines, i, width)
	}
	return lines
}

// fold joins the object or list that begins on line i into one line, if it holds no
// other and fits there, or has one member only.
func fold(lines []string, i, width int) []string {
	if !strings.HasSuffix(lines[i], "{") && !strings.HasSuffix(lines[i], "[") {
		return lines
	}
	end := i + 1
	for end < len(lines) && strings.HasSuffix(lines[end], ",") {
		end++
	}
	end++ // the last member has no comma
	if end >= len(lines) {
		return lines
	}
	joined := lines[i]
	for _, l := range lines[i+1 : end] {
		if strings.HasSuffix(l, "{") || strings.HasSuffix(l, "[") {
			return lines
		}
		joined += strings.TrimSpace(l) + " "
	}
	joined = strings.TrimSuffix(joined, " ") + strings.TrimSpace(lines[end])
	if end > i+2 && utf8.RuneCountInString(joined) > width {
		return lines
	}
	return slices.Replace(lines, i, end+1, joined)
}

var (
	roleRE     = regexp.MustCompile(`arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]*[A-Za-z0-9+=@_-]`)
	providerRE = regexp.MustCompile(`arn:aws[a-z0-9-]*:iam::[0-9]{12}:oidc-provider/[A-Za-z0-9./_-]*[A-Za-z0-9_-]`)
)

// shortNames returns a function that replaces in prose the ARNs of roles by their
// names and those of OIDC providers by the ends of theirs, where no other ARN of the
// report has the same. Expected and actual values keep whole ARNs.
func (d Diff) shortNames() func(string) string {
	bearers := map[string]map[string]bool{} // short name → ARNs
	learn := func(text string) {
		for _, arn := range slices.Concat(roleRE.FindAllString(text, -1), providerRE.FindAllString(text, -1)) {
			if bearers[shortName(arn)] == nil {
				bearers[shortName(arn)] = map[string]bool{}
			}
			bearers[shortName(arn)][arn] = true
		}
	}
	for _, f := range d.Findings {
		learn(f.Message)
		learn(f.Expected)
		learn(f.Actual)
	}
	for _, m := range d.Mappings {
		learn(m.Role)
	}
	for _, s := range d.Steps {
		learn(s.Because)
	}
	for _, h := range d.Left {
		learn(h.Message)
	}
	replace := func(arn string) string {
		if short := shortName(arn); len(bearers[short]) == 1 {
			return short
		}
		return arn
	}
	return func(s string) string {
		return providerRE.ReplaceAllStringFunc(roleRE.ReplaceAllStringFunc(s, replace), replace)
	}
}

// shortName returns a role's name, or the end of an OIDC provider's URL.
func shortName(arn string) string {
	last := arn[strings.LastIndexByte(arn, '/')+1:]
	if !strings.Contains(arn, ":oidc-provider/") {
		return last
	}
	return ".../" + last
}

// line counts in one line.
func (s Summary) line() string {
	return fmt.Sprintf("%s, %d in sync; %s (%d critical, %d warning, %d info); %d to write, %d left; %s",
		count(s.Mappings, "mapping"), s.InSync, count(s.Findings, "finding"), s.Critical, s.Warning, s.Info, s.Steps, s.Left, count(s.Gaps, "gap"))
}

// subject is what a finding is about.
func (f Finding) subject() string {
	if f.ServiceAccount == "" {
		return "the cluster"
	}
	return f.Namespace + "/" + f.ServiceAccount
}

func (m Mapping) subject() string { return m.Namespace + "/" + m.ServiceAccount }

// state says in a few words where a mapping stands: what its pods get now, and the
// class where that is not plainly rest or drift.
func (m Mapping) state() string {
	words := "not wired"
	switch {
	case m.On != identity.None:
		words = "on " + m.On.String()
	case m.Class == diff.Blind:
		words = "wiring unknown"
	}
	switch m.Class {
	case diff.Transition:
		return words + ", wants " + m.Wanted.String() + " · " + m.Class.String()
	case diff.Held, diff.Blind:
		return words + " · " + m.Class.String()
	case diff.Rest, diff.Drift:
	}
	return words
}

// mechanism names what a mapping in sync is on, and whether Git left the choice.
func (m Mapping) mechanism() string {
	if m.Declared == identity.Auto {
		return m.Wanted.String() + " (auto)"
	}
	return m.Wanted.String()
}

// inSync returns the mappings that are as Git wants them.
func (d Diff) inSync() []Mapping {
	return slices.DeleteFunc(slices.Clone(d.Mappings), func(m Mapping) bool { return m.Class != diff.Rest })
}

// states returns each mapping by its subject.
func (d Diff) states() map[string]Mapping {
	all := make(map[string]Mapping, len(d.Mappings))
	for _, m := range d.Mappings {
		all[m.subject()] = m
	}
	return all
}

// silent returns the mappings of which there is no finding, and which are not in sync
// either: a fact about them is missing.
func (d Diff) silent() []Mapping {
	told := map[string]bool{}
	for _, f := range d.Findings {
		told[f.subject()] = true
	}
	return slices.DeleteFunc(slices.Clone(d.Mappings), func(m Mapping) bool { return m.Class == diff.Rest || told[m.subject()] })
}

// about is what a hold is about.
func about(h plan.Hold) string {
	if h.Subject.IsZero() {
		return "the cluster"
	}
	return h.Subject.String()
}

// count returns "1 pod", "2 pods".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
