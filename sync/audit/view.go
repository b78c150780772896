package audit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// View says how a report is shown.
type View struct {
	Wide  bool         // all columns
	Paint report.Paint // nil: as it is
}

// columns of a ServiceAccount, in order; a wide view has all.
func (v View) columns() []string {
	head := []string{"SERVICEACCOUNT", "BY", "ROLE", "TRUST", "REFUSES OTHERS", "LAST USED", "VERDICT", "CHECKS"}
	if v.Wide {
		head = append(head, "ACCOUNT", "ROLE ARN", "ATTACHED", "INLINE", "BOUNDARY", "TAGS", "OTHERS", "OWNER", "ROLE OWNER", "ADD-ON", "WORKLOADS", "PODS", "DECLARED", "OWNED")
	}
	return head
}

// cells are the columns' values; an empty one is a dash.
func (v View) cells(w Wired) []string {
	cells := []string{w.Name(), cmp.Or(w.Mechanism.String(), NotKnown), w.roleName(), w.Trust, w.refuses(), w.used(), w.Verdict.String(), joined(w.Checks)}
	if v.Wide {
		attached, inline := strings.Join(w.Attached, ","), strings.Join(w.Inline, ",")
		if !w.PoliciesRead {
			attached, inline = NotKnown, NotKnown
		}
		boundary, tags := w.Boundary, strings.Join(w.Tags, ",")
		if w.LastUsed == NotKnown { // read together
			boundary, tags = NotKnown, NotKnown
		}
		cells = append(cells, w.Account, w.Role, attached, inline, boundary, tags, strings.Join(w.others(), "; "), w.Owner, w.RoleOwner, w.Addon,
			strings.Join(w.Workloads, ", "), strconv.Itoa(w.Pods), w.Declared, strings.Join(w.Owned, ","))
	}
	for i, c := range cells {
		cells[i] = cmp.Or(report.Cell(c), "-")
	}
	return cells
}

// rows are the table of a view, its head first.
func (v View) rows(r Report) [][]string {
	rows := [][]string{v.columns()}
	for _, one := range r.ServiceAccounts {
		rows = append(rows, v.cells(one))
	}
	return rows
}

// roleName is the role's name, or what stands in its place.
func (w Wired) roleName() string {
	if w.role.Name != "" {
		return w.role.Name
	}
	return cmp.Or(w.Role, NotKnown)
}

// refuses is the worst result of the negative tests.
func (w Wired) refuses() string {
	for _, worst := range []string{Admitted, NotKnown, Undecidable} {
		for _, r := range w.Refuses {
			if r.Result == worst {
				return map[string]string{Admitted: "no", NotKnown: NotKnown, Undecidable: Undecidable}[worst]
			}
		}
	}
	return "yes"
}

// used is the day of the role's last use.
func (w Wired) used() string {
	day, _, _ := strings.Cut(w.LastUsed, "T")
	return day
}

func (w Wired) others() []string {
	var out []string
	for _, o := range w.Others {
		out = append(out, o.String())
	}
	switch {
	case w.Trust == NotKnown && len(out) == 0:
		return []string{NotKnown}
	case !w.OthersWhole:
		out = append(out, "perhaps more")
	}
	return out
}

func joined(list []Check) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = string(c)
	}
	return strings.Join(words, ",")
}

func styleOf(s trust.Severity) report.Style {
	switch s {
	case trust.Critical:
		return report.StyleCritical
	case trust.Warning:
		return report.StyleWarning
	case trust.Info:
	}
	return report.StyleInfo
}

// worst is the severity of a ServiceAccount's worst finding that is not waived.
func (r Report) worst() map[identity.Subject]trust.Severity {
	out := map[identity.Subject]trust.Severity{}
	for _, f := range r.Findings {
		k := identity.Subject{Namespace: f.Namespace, ServiceAccount: f.ServiceAccount}
		if have, is := out[k]; !f.Waived && (!is || rank(f.Severity) < rank(have)) {
			out[k] = f.Severity
		}
	}
	return out
}

// line says what the summary says.
func (s Summary) line() string {
	var by []string
	for _, m := range []string{identity.IRSA.String(), identity.PodIdentity.String(), NotKnown} {
		if n := s.Mechanisms[m]; n > 0 {
			by = append(by, fmt.Sprintf("%d by %s", n, m))
		}
	}
	return fmt.Sprintf("%d ServiceAccounts wired to %d roles: %s; findings: %d critical, %d warning, %d info, %d waived; unknown: %d",
		s.ServiceAccounts, s.Roles, cmp.Or(strings.Join(by, ", "), "none"), s.Critical, s.Warning, s.Info, s.Waived, s.Unknown)
}

// elsewhere are the findings that are about no wired ServiceAccount.
func (r Report) elsewhere() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool {
		return slices.ContainsFunc(r.ServiceAccounts, func(w Wired) bool { return w.Namespace == f.Namespace && w.ServiceAccount == f.ServiceAccount })
	})
}

// idle are the waivers that somebody should look at.
func (r Report) idle() []Waiver {
	return slices.DeleteFunc(slices.Clone(r.Waivers), func(w Waiver) bool { return w.State == InForce })
}

// says tells what became of a waiver.
func (w Waiver) says() string {
	text := fmt.Sprintf("waiver of %s for %s (%s, %s: %s)", w.Check, w.About(), cmp.Or(w.Position, w.Name), w.Owner, w.Reason)
	switch w.State {
	case Expired:
		return fmt.Sprintf("%s expired at %s, and waives nothing; findings of it: %d", text, w.Expires.Format(time.RFC3339), w.Findings)
	case Unused:
		return text + " matches nothing: take it out"
	case UnknownCheck:
		return text + " is of no check: write one that docs/audit.md lists"
	case InForce:
	}
	return fmt.Sprintf("%s waives findings until %s: %d", text, w.Expires.Format(time.RFC3339), w.Findings)
}

// Table writes a line for each ServiceAccount, what concerns none, and the summary.
func (r Report) Table(w io.Writer, v View) error {
	rows := v.rows(r)
	worst := r.worst()
	checks := slices.Index(rows[0], "CHECKS")
	var b strings.Builder
	report.Columns(&b, rows, func(row, column int, text string) string {
		if row == 0 || column != checks {
			return text
		}
		severity, is := worst[r.ServiceAccounts[row-1].subject()]
		if !is {
			return text
		}
		return v.Paint.On(styleOf(severity), text)
	})
	if len(r.ServiceAccounts) == 0 {
		b.Reset()
		b.WriteString("no ServiceAccount is wired to a role\n")
	}
	b.WriteByte('\n')
	for _, f := range r.elsewhere() {
		if !f.Waived {
			fmt.Fprintf(&b, "%s %s: %s: %s\n", v.Paint.On(styleOf(f.Severity), string(f.Severity)), report.Cell(f.About()), f.Check, report.Cell(f.Message))
		}
	}
	fmt.Fprintf(&b, "%s\n", r.Summary.line())
	r.tail(&b, v)
	_, err := io.WriteString(w, b.String())
	return err
}

// tail writes what is not known, and waivers that somebody should look at.
func (r Report) tail(b *strings.Builder, v View) {
	for _, u := range r.Unknown {
		fmt.Fprintf(b, "%s %s\n", v.Paint.On(report.StyleWarning, "unknown:"), report.Cell(u.About()+": "+u.Fact))
	}
	for _, w := range r.idle() {
		fmt.Fprintf(b, "%s\n", report.Cell(w.says()))
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(b, "%s %s\n", v.Paint.On(report.StyleWarning, "not read:"), report.Cell(g.String()))
	}
}

// page is a text in the making.
type page struct {
	View
	report.Page
}

// Text writes everything in full.
func (r Report) Text(w io.Writer, v View) error {
	p := &page{View: v}
	for _, one := range r.ServiceAccounts {
		p.serviceAccount(r, one)
		p.Line("")
	}
	for _, f := range r.elsewhere() {
		p.Line("%s", p.Paint.On(report.StyleStrong, report.Cell(f.About())))
		p.finding(f)
		p.Line("")
	}
	p.Line("%s", r.Summary.line())
	for _, w := range r.Waivers {
		if w.State == InForce {
			p.Prose(0, "", w.says())
		}
	}
	r.tail(&p.Builder, v)
	_, err := io.WriteString(w, p.String())
	return err
}

func (p *page) serviceAccount(r Report, w Wired) {
	p.Line("%s  by %s", p.Paint.On(report.StyleStrong, report.Cell(w.Name())), cmp.Or(w.Mechanism.String(), "a mechanism that is not known"))
	for _, fact := range w.facts() {
		p.Prose(2, fact[0], fact[1])
	}
	for _, f := range r.Findings {
		if f.Namespace == w.Namespace && f.ServiceAccount == w.ServiceAccount {
			p.finding(f)
		}
	}
}

// facts are what is told of a ServiceAccount, label by label.
func (w Wired) facts() [][2]string {
	known := func(is bool, list []string) string {
		if !is {
			return NotKnown
		}
		return cmp.Or(strings.Join(list, ", "), "none")
	}
	used := w.LastUsed
	if used == "never" {
		used = "never, in the 400 days that IAM remembers"
	}
	if w.LastUsedRegion != "" {
		used += " in " + w.LastUsedRegion
	}
	details := w.LastUsed != NotKnown
	boundary := []string{}
	if w.Boundary != "" {
		boundary = append(boundary, w.Boundary)
	}
	out := [][2]string{
		{"role", cmp.Or(w.Role, NotKnown)},
		{"attached policies", known(w.PoliciesRead, w.Attached)}, {"inline policies", known(w.PoliciesRead, w.Inline)},
		{"permissions boundary", known(details, boundary)}, {"tags", known(details, w.Tags)},
		{"last used", used}, {"the role lets it in", w.Trust},
	}
	for _, t := range w.Refuses {
		text := t.Result
		if t.Says != "" {
			text += " by " + t.By + ": " + t.Says
		}
		out = append(out, [2]string{"refuses " + strings.ReplaceAll(t.Test, "-", " "), text})
	}
	out = append(out, [2]string{"who else may assume it", cmp.Or(strings.Join(w.others(), "; "), "nobody")})
	for _, one := range [][2]string{{"target role", w.TargetRole}, {"wired by", w.Owner}, {"role made by", w.RoleOwner}, {"EKS add-on", w.Addon}, {"lanyard's own", strings.Join(w.Owned, ", ")}} {
		if one[1] != "" {
			out = append(out, one)
		}
	}
	verdict := w.Verdict.String()
	if len(w.Reasons) > 0 {
		verdict += " (" + strings.Join(w.Reasons, ", ") + ")"
	}
	return append(out, [2]string{"used by", fmt.Sprintf("%s; pods: %d", cmp.Or(strings.Join(w.Workloads, ", "), "no workload"), w.Pods)},
		[2]string{"move to Pod Identity", verdict})
}

func (p *page) finding(f Finding) {
	style, head := styleOf(f.Severity), string(f.Severity)
	if f.Waived {
		style, head = report.StyleFaint, "waived"
	}
	p.Line("  %s  %s", p.Paint.On(style, fmt.Sprintf("%-8s", head)), f.Check)
	p.Prose(4, "", f.Message)
	for _, e := range f.Evidence {
		p.Prose(6, "", "- "+e)
	}
	if f.Waived {
		p.Prose(4, "waived by", f.WaivedBy)
		return
	}
	p.Prose(4, "fix", f.Fix)
}

// CSV writes a line for each wired ServiceAccount with all columns, and one for each
// finding that is about none, for spreadsheets.
func (r Report) CSV(w io.Writer) error {
	v := View{Wide: true}
	head := append(v.columns(), "CRITICAL", "WARNING", "INFO", "WAIVED")
	rows := [][]string{}
	for _, one := range r.ServiceAccounts {
		n := map[trust.Severity]int{}
		waived := 0
		for _, f := range r.Findings {
			switch {
			case f.Namespace != one.Namespace || f.ServiceAccount != one.ServiceAccount:
			case f.Waived:
				waived++
			default:
				n[f.Severity]++
			}
		}
		rows = append(rows, append(v.cells(one), strconv.Itoa(n[trust.Critical]), strconv.Itoa(n[trust.Warning]), strconv.Itoa(n[trust.Info]), strconv.Itoa(waived)))
	}
	for _, f := range r.elsewhere() {
		row := make([]string, len(head))
		if f.ServiceAccount != "" {
			row[0] = f.About()
		}
		row[slices.Index(head, "CHECKS")], row[slices.Index(head, "ROLE ARN")] = string(f.Check), f.Role
		column := strings.ToUpper(string(f.Severity))
		if f.Waived {
			column = "WAIVED"
		}
		row[slices.Index(head, column)] = "1"
		rows = append(rows, row)
	}
	return report.CSV(w, append([][]string{head}, rows...))
}

// Markdown writes a table, and every finding, for a wiki or a pull request, in at most
// [report.CommentLimit] bytes. Where there is no room for all, what has the worst findings
// comes first, and each row and fold is whole or left out.
func (r Report) Markdown(w io.Writer, v View) error {
	c := report.NewComment(report.CommentLimit, fmt.Sprintf("### lanyard audit: cluster %s\n\nAs it was at %s. %s\n\n", report.Prose(r.Cluster), r.TakenAt.UTC().Format(time.RFC3339), report.Prose(r.Summary.line())))
	lines := func(share int, one string, n int, line func(i int) string) string {
		text, left := report.Rows(c.Room()/share, "", n, func(i int) string { return "- " + report.Prose(line(i)) + "\n" })
		c.Lose(left, one)
		return text
	}
	gaps := lines(8, "gap", len(r.Gaps), func(i int) string { return "not read: " + r.Gaps[i].String() })
	waivers := lines(8, "waiver", len(r.Waivers), func(i int) string { return r.Waivers[i].says() })
	unknown := lines(8, "unknown fact", len(r.Unknown), func(i int) string {
		u := r.Unknown[i]
		return "unknown: " + u.About() + ": " + u.Fact + " (not checked: " + joined(u.Checks) + ")"
	})
	if tail := unknown + waivers + gaps; tail != "" {
		c.Last("\n" + tail)
	}
	about := r.about()
	worst := r.worst()
	c.Table(v.rows(r), report.InOrder(len(r.ServiceAccounts), func(i int) int {
		severity, is := worst[r.ServiceAccounts[i].subject()]
		return urgency(severity, is)
	}), report.InOrder(len(about), func(i int) int {
		open := slices.IndexFunc(about[i], func(f Finding) bool { return !f.Waived })
		return urgency(about[i][max(open, 0)].Severity, open >= 0) // the worst comes first
	}), func(i int) string { return folded(about[i]) }, "folded block")
	_, err := io.WriteString(w, c.End("`lanyard audit` with `-o text` or `html` prints all of it, `csv` and `json` for a program; `lanyard audit NAMESPACE/NAME` one ServiceAccount."))
	return err
}

// about are the findings by what they are about.
func (r Report) about() [][]Finding {
	var all [][]Finding
	for i, f := range r.Findings {
		if i == 0 || f.About() != r.Findings[i-1].About() {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], f)
	}
	return all
}

// urgency orders by severity; what has no finding that counts is last.
func urgency(s trust.Severity, is bool) int {
	if !is {
		return rank(trust.Info) + 1
	}
	return rank(s)
}

// folded are the findings about one thing.
func folded(all []Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s</summary>\n\n", report.Prose(all[0].About()))
	for _, f := range all {
		head := string(f.Severity)
		if f.Waived {
			head = "waived"
		}
		fmt.Fprintf(&b, "- %s **%s**: %s\n", head, f.Check, report.Prose(f.Message))
		for _, e := range f.Evidence {
			fmt.Fprintf(&b, "  - %s\n", report.Prose(e))
		}
		if f.Waived {
			fmt.Fprintf(&b, "  - waived by %s\n", report.Prose(f.WaivedBy))
		} else {
			fmt.Fprintf(&b, "  - fix: %s\n", report.Prose(f.Fix))
		}
	}
	b.WriteString("\n</details>\n")
	return b.String()
}
