package outline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/report"
)

// Choice says which of those that can move a proposal is made of.
type Choice struct {
	Namespaces []string           // of these only; none: of all
	Names      []identity.Subject // these and no other; none: the next wave
	Limit      int                // at most so many, whatever the namespace; 0: as many as the operator lets move at a time
	// Unfit says why Git cannot be changed for one that can move; empty: it can. Nil knows of none.
	Unfit func(Workload) string
}

// Proposal is the next wave: those that Git declares irsa, and that could be on Pod
// Identity. Its order is that of what a failed move would cost.
type Proposal struct {
	Cluster  string
	Take     []Workload
	Left     []Left   // of those that Git declares irsa and the choice means
	Movable  int      // workloads, Take among them
	Waves    int      // that they make; 0 where Take was named or limited
	Unfit    int      // of Left, those that Git cannot be changed for
	UnderWay []string // others that are on their way to Pod Identity
}

// Left is a workload that a proposal leaves out.
type Left struct {
	Workload
	Why  []string // one line for each reason
	Next bool     // only because it is not its turn
}

// Propose picks the next wave. Never one that is not eligible, that is held, or that is
// not settled on IRSA.
func (o Outline) Propose(pace desired.Pace, c Choice) (Proposal, error) {
	p := Proposal{Cluster: o.Cluster}
	if err := o.known(c); err != nil {
		return p, err
	}
	var movable []Workload
	for _, w := range o.Workloads {
		if w.moving() {
			p.UnderWay = append(p.UnderWay, w.Name())
		}
		if w.Declared != identity.IRSA.String() || !c.means(w) {
			continue
		}
		why := w.stays()
		if len(why) == 0 && c.Unfit != nil {
			if text := c.Unfit(w); text != "" {
				p.Unfit++
				why = []string{text}
			}
		}
		if len(why) > 0 {
			p.Left = append(p.Left, Left{Workload: w, Why: why})
			continue
		}
		movable = append(movable, w)
	}
	slices.SortStableFunc(movable, func(a, b Workload) int { return a.risk - b.risk })
	p.Movable = len(movable)
	p.turns(movable, pace, c)
	return p, nil
}

// turns takes the first wave, and leaves those of later ones.
func (p *Proposal) turns(movable []Workload, pace desired.Pace, c Choice) {
	most, perNamespace := max(pace.MaxConcurrent, 1), max(pace.PerNamespace, 1)
	if chosen := len(c.Names) > 0 || c.Limit > 0; chosen {
		n := len(movable)
		if c.Limit > 0 {
			n = min(n, c.Limit)
		}
		p.Take = movable[:n]
		for _, w := range movable[n:] {
			p.Left = append(p.Left, Left{Workload: w, Next: true, Why: []string{"others come first: it can move, in a later wave"}})
		}
		return
	}
	for rest := movable; len(rest) > 0; {
		p.Waves++
		var later []Workload
		taken, by := 0, map[string]int{}
		for _, w := range rest {
			switch {
			case taken == most || by[w.Namespace] == perNamespace:
				later = append(later, w)
				continue
			case p.Waves == 1:
				p.Take = append(p.Take, w)
			default:
				p.Left = append(p.Left, Left{Workload: w, Next: true, Why: []string{fmt.Sprintf("others come first: it can move, in wave %d", p.Waves)}})
			}
			taken++
			by[w.Namespace]++
		}
		rest = later
	}
}

// known refuses what means nothing, and names of those that Git does not declare irsa.
func (o Outline) known(c Choice) error {
	for _, n := range c.Namespaces {
		if !slices.ContainsFunc(o.Workloads, func(w Workload) bool { return w.Namespace == n && w.Declared != "" }) {
			return fmt.Errorf("no ServiceAccount of namespace %q is named by Git: name a namespace that `lanyard plan` lists", n)
		}
	}
	for _, s := range c.Names {
		i := slices.IndexFunc(o.Workloads, func(w Workload) bool { return w.Name() == s.String() })
		switch {
		case i < 0:
			return fmt.Errorf("%s is neither named by Git nor wired to a role: name one that `lanyard plan` lists", s)
		case o.Workloads[i].Declared == "":
			return fmt.Errorf("%s is not named by Git: `lanyard import` writes its mapping", s)
		case o.Workloads[i].Declared == identity.Auto.String():
			return fmt.Errorf("%s is declared auto (%s), and moves by itself once it can: `lanyard plan %s` says where it stands", s, o.Workloads[i].Position, s)
		case o.Workloads[i].Declared != identity.IRSA.String():
			return fmt.Errorf("%s is declared %s already (%s): `lanyard plan %s` says where it stands", s, o.Workloads[i].Declared, o.Workloads[i].Position, s)
		}
	}
	return nil
}

func (c Choice) means(w Workload) bool {
	if len(c.Names) > 0 {
		return slices.ContainsFunc(c.Names, func(s identity.Subject) bool { return s.String() == w.Name() })
	}
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, w.Namespace)
}

// moving reports whether a workload is on its way to Pod Identity.
func (w Workload) moving() bool { return w.Wanted == identity.PodIdentity && len(w.Steps) > 0 }

// stays says why a workload that Git declares irsa is not proposed; nothing for one that
// could move.
func (w Workload) stays() []string {
	var why []string
	switch {
	case w.Verdict == migrate.Unclear:
		for _, g := range w.Gaps {
			why = append(why, "unclear, not read: "+g.String())
		}
	case w.Verdict != migrate.Eligible:
		for _, r := range w.Reasons {
			why = append(why, fmt.Sprintf("%s, %s: %s", w.Verdict, r.Code, r.Message))
		}
	case w.held(migrate.Held, migrate.Paused, migrate.RolledBack, migrate.OwnerMustAct):
		for _, r := range w.Holds {
			why = append(why, fmt.Sprintf("held, %s: %s", r.Code, r.Message))
		}
	case len(w.Would) == 0:
		why = append(why, fmt.Sprintf("not settled on IRSA yet: it is on %s, phase %s", cmp.Or(w.Mechanism.String(), "nothing"), cmp.Or(w.Phase, "unknown")))
	}
	return why
}

// Refused reports whether there was something to propose, but for the form of the files.
func (p Proposal) Refused() bool { return p.Unfit > 0 }

// Title is what the proposal does, in one line.
func (p Proposal) Title() string {
	if len(p.Take) == 1 {
		return fmt.Sprintf("Move %s to EKS Pod Identity", report.Printable(p.Take[0].Name()))
	}
	return fmt.Sprintf("Move %d workloads of %s to EKS Pod Identity", len(p.Take), report.Printable(p.Cluster))
}

// mostLeft bounds how many of those that are left out a message names.
const mostLeft = 30

// Message is the message of a commit that makes the proposal: what moves and why it can,
// in which order, what restarts, and what was left out and why. notes are said besides.
func (p Proposal) Message(notes []string) string {
	var m message
	m.line(p.Title())
	m.line("")
	m.prose("", p.why())
	for i, w := range p.Take {
		m.line("")
		m.prose("", fmt.Sprintf("%d. %s, %s", i+1, w.Name(), w.Position))
		m.prose("   ", "role: "+w.Role)
		m.prose("   ", "verdict: "+w.Verdict.String()+"; "+migrate.RiskOf(w.risk))
		for _, r := range w.Warnings {
			m.prose("   ", fmt.Sprintf("to know: %s: %s", r.Code, r.Message))
		}
		for _, r := range w.Holds {
			m.prose("   ", fmt.Sprintf("waits: %s: %s", r.Code, r.Message))
		}
		m.prose("   ", "restarts: "+w.restarts())
	}
	if len(notes) > 0 {
		m.line("")
		m.line("To know:")
	}
	for _, n := range notes {
		m.prose("", "- "+n)
	}
	p.leftOut(&m)
	m.line("")
	m.prose("", "Once this is merged, a daemon in mode migrate judges each of them again and moves them, a few at a time. To take it back, revert it: that is the way back to IRSA.")
	return m.String()
}

// message is a commit's message in the making.
type message struct{ strings.Builder }

func (m *message) line(text string) { m.WriteString(text + "\n") }

// width is that of a commit's message, by custom.
const width = 72

// prose writes text from outside, wrapped and indented; a line that continues one
// stands a little further in where the text is an item's.
func (m *message) prose(indent, text string) {
	for i, l := range report.Wrap(report.Cell(text), width-len(indent)-2) {
		if i == 1 && (indent != "" || strings.HasPrefix(text, "- ")) {
			indent += "  "
		}
		m.line(indent + l)
	}
}

// why says what the wave is, and on whose word.
func (p Proposal) why() string {
	s := fmt.Sprintf("Of those that Git declares irsa for cluster %s, %d could be on Pod Identity: lanyard knows of nothing that keeps them on IRSA or stands in the way. ", p.Cluster, p.Movable)
	switch {
	case p.Movable == 1:
		return strings.TrimSuffix(s, ". ") + "."
	case p.Waves > 1:
		return s + fmt.Sprintf("This is the first of %d waves: a failed move would cost least here.", p.Waves)
	case len(p.Take) < p.Movable:
		return s + fmt.Sprintf("These are %d of them: a failed move would cost least here.", len(p.Take))
	}
	return s + "These are all of them, in the order of what a failed move would cost."
}

// Brief is why a workload is proposed, and what its move restarts, in one line.
func (w Workload) Brief() string {
	return fmt.Sprintf("%s; %s; restarts %s", w.Verdict, migrate.RiskOf(w.risk), w.restarts())
}

// restarts says which pods end and come again.
func (w Workload) restarts() string {
	for _, l := range w.Would {
		if l.Plane != diff.PlanePods {
			continue
		}
		if len(l.Restarts) == 0 {
			return "nothing: " + l.Do
		}
		pods := l.Restarts[:min(len(l.Restarts), 10)]
		more := ""
		if n := len(l.Restarts) - len(pods); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return fmt.Sprintf("%s, pods %s%s", l.Object, strings.Join(pods, ", "), more)
	}
	return "nothing: no pod uses it"
}

func (p Proposal) leftOut(m *message) {
	if len(p.Left) == 0 {
		return
	}
	m.line("")
	m.line("Left out:")
	for i, l := range p.Left {
		if i == mostLeft {
			m.line(fmt.Sprintf("- and %d more, which `lanyard plan` lists", len(p.Left)-i))
			return
		}
		for _, why := range l.Why {
			m.prose("", fmt.Sprintf("- %s: %s", l.Name(), why))
		}
	}
}
