package review

import (
	"fmt"
	"io"

	"github.com/lanyard-io/lanyard/sync/report"
)

// Markdown writes the review for a comment of at most limit bytes: what it comes to
// first, then what the pull request causes, heals and leaves. What finds no room is
// counted in the last line.
func (r Review) Markdown(w io.Writer, limit int) error {
	c := report.NewComment(limit)
	c.Write("### lanyard: %s\n\n", report.Prose(r.Summary.Line))
	c.Write("Cluster %s, from %s to %s.\n", report.Code(r.Cluster), report.Code(r.Base), report.Code(r.Head))
	c.Section("\n", "", len(r.Refused), func(i int) string {
		m := r.Refused[i]
		return fmt.Sprintf("- %s %s: %s\n", report.Code(fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)), report.Prose(m.What), report.Prose(m.Instead))
	})
	listed(c, "Caused by this change", r.Caused)
	listed(c, "Healed by this change", r.Heals)
	listed(c, "There before", r.Before)
	c.LeftOut("`lanyard diff --base` prints all of it, `-o json` for a program")
	_, err := io.WriteString(w, c.String())
	return err
}

func listed(c *report.Comment, title string, all []Finding) {
	c.Folded(title, len(all), func(i int) string {
		f := all[i]
		return fmt.Sprintf("- **%s** %s %s: %s\n", f.Severity, report.Code(f.who()), f.Kind, report.Prose(f.Message))
	})
}
