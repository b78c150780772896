package review

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// pair is one mapping in base and head. Of a renamed one the two have other subjects.
type pair struct {
	change  Change // empty: it is the same in both
	was, is *desired.Mapping
	fields  []Field
}

func (p pair) subject() identity.Subject {
	if p.is != nil {
		return p.is.Subject
	}
	return p.was.Subject
}

// pairs finds for each mapping of either revision what became of it.
func pairs(base, head desired.State) []pair {
	var all []pair
	var left, came []*desired.Mapping
	b, h := base.Mappings, head.Mappings
	for len(b)+len(h) > 0 {
		switch {
		case len(h) == 0 || len(b) > 0 && b[0].Subject.Compare(h[0].Subject) < 0:
			left, b = append(left, &b[0]), b[1:]
		case len(b) == 0 || b[0].Subject.Compare(h[0].Subject) > 0:
			came, h = append(came, &h[0]), h[1:]
		default:
			p := pair{was: &b[0], is: &h[0], fields: fields(&b[0], &h[0])}
			switch {
			case len(p.fields) > 0:
				p.change = Changed
			case p.was.At.File != p.is.At.File:
				p.change = Moved
			}
			all, b, h = append(all, p), b[1:], h[1:]
		}
	}
	old := missing(left, came)
	for _, is := range came {
		p := pair{change: Added, is: is, was: old.renamed(is)}
		if p.was != nil {
			p.change = Renamed
		}
		p.fields = fields(p.was, p.is)
		all = append(all, p)
	}
	for _, was := range old.left() {
		all = append(all, pair{change: Deleted, was: was, fields: fields(was, nil)})
	}
	slices.SortFunc(all, func(x, y pair) int { return x.subject().Compare(y.subject()) })
	return all
}

// lost are the mappings that left a revision, some of which may be among those that came.
type lost struct {
	all    []*desired.Mapping
	places map[place][]*desired.Mapping
	roles  map[identity.RoleARN][]*desired.Mapping
	came   map[identity.RoleARN]int
	found  map[*desired.Mapping]bool
}

// place is where a mapping is written.
type place struct {
	file string
	line int
}

func placeOf(m *desired.Mapping) place { return place{m.At.File, m.At.Line} }

func missing(left, came []*desired.Mapping) *lost {
	l := &lost{all: left, places: map[place][]*desired.Mapping{}, roles: map[identity.RoleARN][]*desired.Mapping{}, came: map[identity.RoleARN]int{}, found: map[*desired.Mapping]bool{}}
	for _, was := range left {
		l.places[placeOf(was)] = append(l.places[placeOf(was)], was)
		l.roles[was.Role] = append(l.roles[was.Role], was)
	}
	for _, is := range came {
		l.came[is.Role]++
	}
	return l
}

// renamed finds the mapping that a new one was, and no later one will be: at the same
// place of the same file, or the only one with its role, if it is the only new one with
// that. It is nil if there is none.
func (l *lost) renamed(is *desired.Mapping) *desired.Mapping {
	at := placeOf(is)
	for ; len(l.places[at]) > 0; l.places[at] = l.places[at][1:] {
		if was := l.places[at][0]; !l.found[was] {
			l.found[was] = true
			return was
		}
	}
	if l.came[is.Role] != 1 { // so the list below is looked through once
		return nil
	}
	with := l.not(l.roles[is.Role])
	if len(with) != 1 {
		return nil
	}
	l.found[with[0]] = true
	return with[0]
}

// left are those that no new one was.
func (l *lost) left() []*desired.Mapping { return l.not(l.all) }

// not are those of a list that were not found.
func (l *lost) not(list []*desired.Mapping) []*desired.Mapping {
	return slices.DeleteFunc(slices.Clone(list), func(m *desired.Mapping) bool { return l.found[m] })
}

// fields are those in which two mappings differ; of one that was added or deleted those
// that are not as they would be if nobody wrote them.
func fields(was, is *desired.Mapping) []Field {
	all := []Field{}
	if was != nil && is != nil && same(was, is) {
		return all
	}
	one := cmp.Or(is, was)
	plain := desired.Undeclared(one.Subject, identity.RoleARN{}, identity.None)
	plain.Adopt, plain.Name = desired.Adopt{}, one.Subject.ServiceAccount
	before, after := &plain, &plain
	if was != nil {
		before = was
	}
	if is != nil {
		after = is
	}
	for _, f := range said {
		if x, y := f.of(before), f.of(after); x != y {
			at := one.At
			if f.at != nil {
				at = f.at(one)
			}
			all = append(all, Field{Name: f.name, Before: x, After: y, Position: at.String(), at: at})
		}
	}
	return all
}

// same reports whether two mappings ask for the same; it is [fields] for the many.
func same(a, b *desired.Mapping) bool {
	x, y := a.IRSA, b.IRSA
	xs, ys := x.STSRegionalEndpoints, y.STSRegionalEndpoints
	x.STSRegionalEndpoints, y.STSRegionalEndpoints = nil, nil
	m, n := a.Migration, b.Migration
	open := m.Windows.Equal(n.Windows)
	m.Windows, n.Windows = desired.Windows{}, desired.Windows{}
	return a.Subject == b.Subject && a.Name == b.Name && a.Role == b.Role && a.Mechanism == b.Mechanism && x == y && (xs == ys || xs != nil && ys != nil && *xs == *ys) &&
		a.PodIdentity == b.PodIdentity && reflect.DeepEqual(m, n) && open && a.Adopt == b.Adopt
}

// said is every field of a mapping, as text; empty where it is not set.
var said = []struct {
	name string
	of   func(*desired.Mapping) string
	at   func(*desired.Mapping) desired.Position // nil: the mapping's own
}{
	{"metadata.namespace", func(m *desired.Mapping) string { return m.Subject.Namespace }, nil},
	{"serviceAccount", func(m *desired.Mapping) string { return m.Subject.ServiceAccount }, nil},
	{"metadata.name", func(m *desired.Mapping) string { return m.Name }, nil},
	{"roleARN", func(m *desired.Mapping) string { return m.Role.String() }, func(m *desired.Mapping) desired.Position { return m.RoleAt }},
	{"mechanism", func(m *desired.Mapping) string { return m.Mechanism.String() }, func(m *desired.Mapping) desired.Position { return m.MechanismAt }},
	{"irsa.audience", func(m *desired.Mapping) string { return m.IRSA.Audience }, nil},
	{"irsa.tokenExpiration", func(m *desired.Mapping) string { return duration(m.IRSA.TokenExpiration) }, nil},
	{"irsa.stsRegionalEndpoints", func(m *desired.Mapping) string {
		if m.IRSA.STSRegionalEndpoints == nil {
			return ""
		}
		return strconv.FormatBool(*m.IRSA.STSRegionalEndpoints)
	}, nil},
	{"podIdentity.sessionTags", func(m *desired.Mapping) string { return strconv.FormatBool(m.PodIdentity.SessionTags) }, nil},
	{"podIdentity.trust", func(m *desired.Mapping) string { return m.PodIdentity.Trust.String() }, nil},
	{"podIdentity.targetRoleARN", func(m *desired.Mapping) string { return m.PodIdentity.TargetRole.String() }, nil},
	{"podIdentity.sessionPolicy", func(m *desired.Mapping) string { return m.PodIdentity.SessionPolicy }, nil},
	{"migration.restart", func(m *desired.Mapping) string { return string(m.Migration.Restart) }, nil},
	{"migration.allowDisruption", func(m *desired.Mapping) string { return strconv.FormatBool(m.Migration.AllowDisruption) }, nil},
	{"migration.soak", func(m *desired.Mapping) string { return duration(m.Migration.Soak) }, nil},
	{"migration.proof", func(m *desired.Mapping) string { return string(m.Migration.Proof) }, nil},
	{"migration.query", func(m *desired.Mapping) string { return m.Migration.Query }, nil},
	{"migration.sdk", func(m *desired.Mapping) string { return m.Migration.SDK }, nil},
	{"migration.cleanup", func(m *desired.Mapping) string { return string(m.Migration.Cleanup) }, nil},
	{"migration.window", func(m *desired.Mapping) string { return m.Migration.Windows.String() }, nil},
	{"migration.hold", func(m *desired.Mapping) string { return m.Migration.Hold }, nil},
	{"adopt", func(m *desired.Mapping) string { return strings.Join(adopted(m.Adopt), ", ") }, nil},
}

func adopted(a desired.Adopt) (planes []string) {
	for _, p := range []struct {
		is   bool
		name string
	}{{a.Annotation, "annotation"}, {a.Trust, "trust"}, {a.Association, "association"}} {
		if p.is {
			planes = append(planes, p.name)
		}
	}
	return planes
}

func duration(d time.Duration) string {
	s := d.String()
	switch {
	case d == 0:
		return ""
	case d%time.Hour == 0:
		return strings.TrimSuffix(s, "0m0s")
	case d%time.Minute == 0:
		return strings.TrimSuffix(s, "0s")
	}
	return s
}

// together finds what several of the mappings that the pull request touches have in
// common: one line of defaults or of a template, or the same change at many places.
func together(all []pair) []Together {
	type line struct{ field, at, before, after string }
	groups := map[line]*Together{}
	var order []line
	for _, p := range all {
		if p.change != Changed {
			continue
		}
		for _, f := range p.fields {
			l := line{field: f.Name, at: f.Position}
			if f.at.File == p.is.At.File && f.at == p.is.At { // its line is not known
				l = line{f.Name, "", f.Before, f.After}
			}
			g := groups[l]
			if g == nil {
				g = &Together{Field: f.Name, Position: l.at, at: f.at, Before: f.Before, After: f.After, Mappings: []string{}}
				groups[l], order = g, append(order, l)
			}
			if g.Template = g.Template || g.Before != f.Before || g.After != f.After; g.Template {
				g.Before, g.After = "", ""
			}
			if l.at == "" && f.at.Compare(g.at) < 0 {
				g.at = f.at
			}
			g.Mappings = append(g.Mappings, p.subject().String())
		}
	}
	out := []Together{}
	for _, l := range order {
		if g := groups[l]; len(g.Mappings) > 1 {
			out = append(out, *g)
		}
	}
	slices.SortStableFunc(out, func(a, b Together) int {
		return cmp.Or(len(b.Mappings)-len(a.Mappings), strings.Compare(a.Field, b.Field), strings.Compare(a.Position, b.Position))
	})
	return out
}
