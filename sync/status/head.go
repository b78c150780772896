package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

// counted counts the mappings by how they stand. Each is counted once.
type counted struct {
	all, drift, critical, waiting, held, blind, moving, stuck int
}

func (r record) counts(d *report.Diff, phases map[string]string) counted {
	c := counted{all: len(d.Mappings), moving: len(r.Moving) + r.MovingUnlisted}
	for _, m := range r.Moving { // of the urgent ones, which are all that are listed
		if m.stays() {
			c.moving, c.stuck = c.moving-1, c.stuck+1
		}
	}
	critical := map[string]bool{}
	for _, f := range d.Findings {
		if f.Severity == "critical" {
			critical[f.Namespace+"/"+f.ServiceAccount] = true
		}
	}
	c.critical = len(critical)
	for _, m := range d.Mappings {
		if phases[m.Namespace+"/"+m.ServiceAccount] != "" {
			continue
		}
		switch m.Class.String() {
		case "rest":
		case "drift":
			c.drift++
		case "transition":
			c.waiting++
		case "held":
			c.held++
		default:
			c.blind++
		}
	}
	return c
}

// head says in one sentence how things are.
func (v *view) head(r record, d *report.Diff, phases map[string]string) {
	c := r.counts(d, phases)
	var parts []string
	say := func(n int, one, many string) {
		if n == 0 {
			return
		}
		of := ""
		if len(parts) == 0 {
			of = " of " + count(c.all, "mapping")
		}
		verb := many
		if n == 1 {
			verb = one
		}
		parts = append(parts, fmt.Sprintf("%d%s %s", n, of, verb))
	}
	say(c.blind, "cannot be judged", "cannot be judged")
	say(c.drift, "drifts", "drift")
	say(c.held, "is held", "are held")
	say(c.moving, "is on its way", "are on their way")
	say(c.stuck, "cannot move", "cannot move")
	say(c.waiting, "is to move", "are to move")
	v.Headline = strings.Join(parts, ", ")
	v.Level = "good"
	switch {
	case !r.Ready:
		v.Level, v.Headline = "blind", "No good round yet"
	case c.critical > 0 || r.Exposed > 0 || slices.ContainsFunc(r.Moving, func(m Moving) bool { return m.Phase == "rolled-back" }):
		v.Level = "bad"
	case c.blind > 0:
		v.Level = "blind"
	case c.drift+c.held > 0 || slices.ContainsFunc(d.Findings, func(f report.Finding) bool {
		return phases[f.Namespace+"/"+f.ServiceAccount] == "" && f.Severity != "info"
	}):
		v.Level = "warn"
	case c.moving+c.stuck+c.waiting > 0:
		v.Level = "busy"
	}
	switch {
	case v.Headline != "":
	case c.all == 0:
		v.Headline = "Git names no mapping for this cluster"
	case len(d.Gaps) > 0:
		v.Headline = fmt.Sprintf("All %s that could be judged %s in sync, but something was not read", count(c.all, "mapping"), are(c.all))
	case len(d.Findings) > 0:
		v.Headline = fmt.Sprintf("All %s %s in sync, but %s concerns the whole cluster", count(c.all, "mapping"), are(c.all), count(len(d.Findings), "finding"))
	case c.all == 1:
		v.Headline = "The one mapping is in sync"
	default:
		v.Headline = fmt.Sprintf("All %d mappings are in sync", c.all)
	}
	v.facts(r, c)
	v.alerts(r, d)
	if slices.ContainsFunc(v.Alerts, func(a alert) bool { return a.Level == "blind" }) && v.Level != "bad" {
		v.Level = "blind"
	}
	v.Title = cell(v.Headline + " · " + cmp.Or(r.Daemon.Cluster, "no cluster yet"))
}

func (v *view) facts(r record, c counted) {
	if !r.Ready {
		return
	}
	if c.critical > 0 {
		v.Facts = append(v.Facts, fmt.Sprintf("%d critical", c.critical))
	}
	if r.Exposed == 0 {
		v.Facts = append(v.Facts, "no pod is exposed")
	}
	if r.Last != nil {
		v.Facts = append(v.Facts, "last round "+ago(r.Now, r.Last.Ended))
	} else {
		v.Facts = append(v.Facts, "last look "+ago(r.Now, r.Rounds[0].Ended))
	}
	if s := r.Daemon.Source; s.Accepted != "" {
		text := "revision " + shortRevision(s.Accepted)
		switch c := s.Commit; {
		case c != nil:
			text += " by " + c.Author + ", " + age(r.Now.Sub(c.At)) + " old"
		case !s.AcceptedAt.IsZero():
			text += ", accepted " + ago(r.Now, s.AcceptedAt)
		}
		v.Facts = append(v.Facts, cell(text))
	}
}

// alerts are what is not well with the daemon itself.
func (v *view) alerts(r record, d *report.Diff) {
	add := func(level, what, text string) { v.Alerts = append(v.Alerts, alert{level, what, cell(text)}) }
	daemon := r.Daemon
	switch {
	case daemon.Leader:
	case daemon.LeaderIdentity != "" && daemon.LeaderIdentity != daemon.Identity:
		add("blind", "This replica stands by", daemon.LeaderIdentity+" leads, and knows: what is shown here, if anything, is from when this one led")
	default:
		add("blind", "No replica is known to lead", "what is shown may be old")
	}
	if len(d.Gaps) > 0 {
		add("blind", "Something was not read", unread(d.Gaps)+": nothing is written about what that concerns")
	}
	if r.Last != nil && r.Now.Sub(r.Last.Ended) > old {
		add("blind", "It has stopped looking", "the last good round was "+ago(r.Now, r.Last.Ended))
	}
	if r.Exposed > 0 {
		add("bad", "Exposed", count(r.Exposed, "pod")+" may be without credentials until made again")
	}
	wrong := 0
	for _, p := range r.IdentityProbes {
		if p.Wrong() {
			wrong++
		}
	}
	if wrong > 0 {
		add("warn", "Identity probes", "AWS takes new pods of "+count(wrong, "ServiceAccount")+" otherwise than Git asks")
	}
	if f := r.Failed; f != nil && (r.Last == nil || f.Ended.After(r.Last.Ended)) {
		add("blind", "The last round failed", fmt.Sprintf("at %s, %s: %s", f.Stage, ago(r.Now, f.Ended), f.Error))
	}
	if h := daemon.Source.Held; h != nil {
		add("warn", "The head of Git is not followed", fmt.Sprintf("%s (%s, for %s): %s", cmp.Or(shortCommit(h.Head), "unread"), h.Reason, age(r.Now.Sub(h.Since)), h.Message))
	}
	if daemon.Configuration.Error != "" {
		add("warn", "A newer configuration was refused", daemon.Configuration.Error)
	}
}

// unread counts gaps by what was asked and why there was no answer.
func unread(gaps []live.Gap) string {
	n := map[string]int{}
	for _, g := range gaps {
		n[fmt.Sprintf("%s %s", g.Source, g.Reason)]++
	}
	kinds := slices.Sorted(maps.Keys(n))
	parts := make([]string, len(kinds))
	for i, kind := range kinds {
		if parts[i] = kind; n[kind] > 1 {
			parts[i] += fmt.Sprintf(" (%d times)", n[kind])
		}
	}
	return strings.Join(parts, ", ")
}
