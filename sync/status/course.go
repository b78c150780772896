package status

import "slices"

// move is a [Moving] on the page.
type move struct {
	Moving
	ID, Link, For string
	At, Of        int // which phase of how many it is in
	Waits         []wait
}

// probe is an [IdentityProbe] on the page.
type probe struct {
	IdentityProbe
	ID, Link, Ago string
	Level         string
}

// course are the phases of a move, in order.
var course = []string{"pending", "widened", "crossing", "soaking", "narrowing", "settled"}

func (v *view) moving(r record) {
	var list []Moving
	whole := len(r.Moving) + r.MovingUnlisted
	for _, m := range r.Moving {
		if m.stays() { // it is among what waits for somebody
			whole--
			continue
		}
		reasons, texts := make([]string, 0, len(m.Holds)), append([]string{m.Wanted}, m.Exposed...)
		for _, h := range m.Holds {
			reasons, texts = append(reasons, h.Reason), append(texts, h.Message)
		}
		if v.Filter.passes(line{m.Namespace, m.ServiceAccount, "", m.Phase, reasons, texts}) {
			list = append(list, m)
		}
	}
	shown, p := cutOut(v.Filter, "moving", "migrations", list, whole, mostMoved)
	v.Moving.Part = p
	for _, m := range shown {
		one := move{Moving: m, ID: id("moving", m.Namespace, m.ServiceAccount), Link: v.Filter.Only(m.Namespace, m.ServiceAccount), For: age(r.Now.Sub(m.Since)),
			At: slices.Index(course, m.Phase) + 1, Of: len(course)}
		for _, h := range m.Holds {
			one.Waits = append(one.Waits, wait{Reason: h.Reason, Message: cell(h.Message), For: left(r.Now, h.Until)})
		}
		if m.Step != nil {
			taken := *m.Step
			taken.Text = cell(taken.Text)
			one.Step = &taken
		}
		v.Moving.List = append(v.Moving.List, one)
	}
}

// looks says how the result of an identity probe looks.
func (p IdentityProbe) looks() string {
	switch {
	case p.Wrong():
		return "bad"
	case p.Result == "as-git":
		return "good"
	case p.Result == "pending":
		return "calm"
	}
	return "warn" // nobody answered
}

func (v *view) probes(r record, phases map[string]string) {
	var list []IdentityProbe
	for _, p := range r.IdentityProbes {
		if v.Filter.passes(line{p.Namespace, p.ServiceAccount, "", phases[p.Namespace+"/"+p.ServiceAccount], []string{p.Result}, []string{p.Wanted, p.Role, p.Session, p.Message}}) {
			list = append(list, p)
		}
	}
	shown, part := cutOut(v.Filter, "probes", "identity probes", list, len(r.IdentityProbes), mostProbed)
	v.Probes.Part = part
	for _, p := range shown {
		one := probe{IdentityProbe: p, ID: id("probe", p.Namespace, p.ServiceAccount), Link: v.Filter.Only(p.Namespace, p.ServiceAccount), Level: p.looks()}
		if !p.At.IsZero() {
			one.Ago = ago(r.Now, p.At)
		}
		one.Role, one.Session, one.Message = cell(p.Role), cell(p.Session), cell(p.Message)
		v.Probes.List = append(v.Probes.List, one)
	}
}
