package report

import (
	"fmt"
	"io"
	"time"

	"github.com/lanyard-io/lanyard/desired"
)

// Text writes a round: what was found, each step and what it came to, what was left.
// A round after the first begins with an empty line, to stand off the one before.
func (r Round) Text(w io.Writer, p Paint) error {
	d := NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps)
	t := &printer{w: w, p: p, short: d.shortNames()}
	summary := func() {
		t.block("", StyleFaint, 0, d.Summary.line())
		t.f("%d written\n", r.Writes())
	}
	if r.Number > 1 {
		t.f("\n")
	}
	t.row(2, word{StyleStrong, fmt.Sprintf("round %d · cluster %s · %s", r.Number, r.Cluster.Name, modeName(r.Mode))}, word{StyleFaint, d.Revision})
	summary()
	t.findings(d)
	t.inSync(d.inSync())
	if len(r.Outcomes) > 0 {
		t.title(StyleStrong, written(r.Mode))
		t.outcomes(r.Outcomes)
	}
	t.holds(d, "lanyard diff -o markdown")
	t.gaps(d.Gaps)
	t.f("\n")
	summary()
	return t.err
}

// Brief writes what a round did and, if it wrote nothing, what is waited for: enough
// of a round that stands between two that are told in full. It begins with an empty
// line.
func (r Round) Brief(w io.Writer, p Paint) error {
	d := NewDiff(r.Mode, r.Revision, r.Result, r.Plan, r.Gaps)
	t := &printer{w: w, p: p, short: d.shortNames()}
	t.f("\n")
	t.row(2, word{StyleStrong, fmt.Sprintf("round %d", r.Number)}, word{StyleFaint, clock(r.Started, r.Started)})
	t.outcomes(r.Outcomes)
	if r.Writes() > 0 {
		return t.err
	}
	now := r.Started
	if !r.Ended.IsZero() {
		now = r.Ended
	}
	if h, waits := r.next(); waits {
		left := max(0, h.NotBefore.Sub(now).Round(time.Second))
		t.block("  waiting", StyleFaint, 10, fmt.Sprintf("until %s (%s): %s: %s", clock(h.NotBefore, r.Started), left, about(h), t.short(h.Message)))
	} else if len(r.Outcomes) == 0 {
		t.f("  nothing to write\n")
	}
	return t.err
}

func (t *printer) outcomes(all []Outcome) {
	for _, o := range all {
		style := StyleGood
		if o.Result != Done {
			style = StyleWarning
		}
		t.f("  %s  %-6s  %s\n", t.p.On(style, fmt.Sprintf("%-10s", o.Result)), o.Step.Effect, Printable(o.Step.Subject.String()))
		t.block("", StyleFaint, 14, o.Step.Action.String())
		if o.Err != nil {
			t.block("", StyleFaint, 14, o.Err.Error())
		}
	}
}

// clock writes a moment in UTC, with its date where that is not the day of now.
func clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.Format(time.DateOnly) != now.Format(time.DateOnly) {
		return at.Format(time.DateTime) + " UTC"
	}
	return at.Format(time.TimeOnly) + " UTC"
}

// modeName names a mode, or the lack of a configuration. A snapshot may say anything.
func modeName(m desired.Mode) string {
	switch m {
	case desired.ModeObserve, desired.ModeRepair, desired.ModeMigrate:
		return "mode " + string(m)
	case "":
		return "no configuration"
	}
	return "a mode that is not known"
}

// writes reports whether rounds of a mode write.
func writes(m desired.Mode) bool { return m == desired.ModeRepair || m == desired.ModeMigrate }

// wouldWrite is the title of the steps that nobody has taken.
func wouldWrite(m desired.Mode) string {
	if writes(m) {
		return "a round would write"
	}
	return fmt.Sprintf("in mode %s a round would write (%s: nothing is written)", desired.ModeRepair, modeName(m))
}

// written is the title of the outcomes.
func written(m desired.Mode) string {
	if writes(m) {
		return "written"
	}
	return fmt.Sprintf("would write (%s: not done)", modeName(m))
}
