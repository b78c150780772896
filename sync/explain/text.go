package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/sync/report"
)

// width is that of prose.
const width = 100

// Text writes the chain as a person reads it, and what mends its first broken link.
func (c Chain) Text(w io.Writer, paint report.Paint) error {
	if paint == nil {
		paint = func(_ report.Style, text string) string { return text }
	}
	var b strings.Builder
	prose := func(indent int, text string) {
		for i, line := range report.Wrap(report.Printable(text), width-indent) {
			if i == 1 {
				indent += 2
			}
			fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", indent), line)
		}
	}
	if c.Message != nil {
		for _, line := range c.Message.lines() {
			prose(0, line)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s  by %s\n", paint(report.StyleStrong, report.Printable(c.Namespace+"/"+c.ServiceAccount)), cmp.Or(c.Mechanism.String(), c.without()))
	for _, l := range c.Links {
		style := map[State]report.Style{Good: report.StyleGood, Broken: report.StyleCritical, Unknown: report.StyleWarning}[l.State]
		fmt.Fprintf(&b, "  %s  %s\n", paint(style, fmt.Sprintf("%-7s", l.State)), l.Name)
		prose(11, l.Says)
		for _, e := range l.Evidence {
			prose(11, "- "+e)
		}
	}
	b.WriteByte('\n')
	i := slices.IndexFunc(c.Links, func(l Link) bool { return l.Name == c.First })
	if i < 0 {
		b.WriteString(paint(report.StyleGood, "every link is good") + "\n")
	} else {
		l := c.Links[i]
		fmt.Fprintf(&b, "%s\n", paint(report.StyleStrong, "the first "+string(l.State)+" link is "+l.Name))
		if l.Owner != "" {
			prose(2, "owned by "+l.Owner)
		}
		for _, f := range l.Fix {
			if verbatim(f) { // to be copied
				fmt.Fprintf(&b, "  %s\n", report.Printable(f))
				continue
			}
			prose(2, f)
		}
	}
	if c.Message != nil {
		prose(0, c.held())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// without says by what the pods of a chain without a mechanism get their role.
func (c Chain) without() string {
	for _, l := range c.Links {
		if l.Name == "wiring" && l.State == Unknown {
			return "what was not read"
		}
	}
	return "nothing"
}

// verbatim reports whether a fix is a statement or a command, which a line break would spoil.
func verbatim(fix string) bool {
	return slices.ContainsFunc([]string{"{", "aws ", "kubectl "}, func(begins string) bool { return strings.HasPrefix(fix, begins) })
}
