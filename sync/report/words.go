package report

import (
	"cmp"
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
	textWidth  = 100  // columns to which prose is wrapped
	longest    = 1000 // characters of one message or value
	widestName = 60   // columns that names are aligned to
	mostNamed  = 30   // mappings or ServiceAccounts that a list names before it counts
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

// Clip cuts a text that is too long for people, and says so.
func Clip(s string) string {
	if len(s) <= longest {
		return s
	}
	runes := []rune(s)
	if len(runes) <= longest {
		return s
	}
	return fmt.Sprintf("%s ... (%d more characters)", string(runes[:longest]), len(runes)-longest)
}

// Wrap breaks prose into lines of at most width columns, at spaces. A word that is
// wider has a line of its own, whole, so that ARNs can be copied.
func Wrap(s string, width int) []string {
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
		learn(strings.Join(m.Unknown, " "))
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

// blind returns the mappings of which a fact is missing, with a finding or without.
func (d Diff) blind() []Mapping {
	silent := map[string]bool{}
	for _, m := range d.silent() {
		silent[m.subject()] = true
	}
	return slices.DeleteFunc(slices.Clone(d.Mappings), func(m Mapping) bool { return len(m.Unknown) == 0 && !silent[m.subject()] })
}

// unknown names the facts that are missing.
func (m Mapping) unknown() []string {
	if len(m.Unknown) == 0 {
		return []string{"a fact is missing"}
	}
	return m.Unknown
}

// nothing says that there is no finding.
func (d Diff) nothing() string {
	if len(d.Gaps) > 0 {
		return "no differences in what could be read"
	}
	return "no differences"
}

// rank orders severities, the worst first.
func rank(s diff.Severity) int {
	switch s {
	case diff.Critical:
		return 0
	case diff.Warning:
		return 1
	case diff.Info:
	}
	return 2
}

func (f Finding) compareSubject(g Finding) int {
	return cmp.Or(strings.Compare(f.Namespace, g.Namespace), strings.Compare(f.ServiceAccount, g.ServiceAccount))
}

// worstFirst returns the findings with the subjects in the order of their worst
// finding, then by name. Those of one subject stay as they are.
func (d Diff) worstFirst() []Finding {
	worst := map[string]int{}
	for _, f := range d.Findings {
		if r, found := worst[f.subject()]; !found || rank(f.Severity) < r {
			worst[f.subject()] = rank(f.Severity)
		}
	}
	findings := slices.Clone(d.Findings)
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(worst[a.subject()], worst[b.subject()]), a.compareSubject(b))
	})
	return findings
}

// news returns what a hold says beyond the findings of its subject.
func (d Diff) news(h plan.Hold) string {
	message := h.Message
	for _, f := range d.Findings {
		if f.subject() != about(h) || f.Message == "" {
			continue
		}
		if h.Message == f.Message {
			return "see above"
		}
		said := strings.Replace(h.Message, " ("+f.Message+")", "", 1)
		if rest, begins := strings.CutPrefix(h.Message, f.Message); begins && (strings.HasPrefix(rest, ": ") || strings.HasPrefix(rest, "; ")) {
			said = rest[2:]
		}
		if len(said) < len(message) {
			message = said
		}
	}
	return message
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
