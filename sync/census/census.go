// Package census writes down what is live as Git would have it: one mapping for each
// ServiceAccount that is wired, so that a cluster which nobody declared can be taken
// into Git without a change to anything.
//
// [Take] is pure. What it writes as a mapping differs from the live world in nothing:
// each is compared as `lanyard diff` would before it is written. A subject whose planes
// do not agree, or were not all read, or that others rule, is written as a comment that
// says what is wrong, and so stays unmanaged.
package census

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// SchemaFile is the name of the file that the modeline of each file names.
const SchemaFile = "lanyard.schema.json"

// File is one file of desired state.
type File struct {
	Name string // relative, with slashes
	Text []byte
}

// Census is what was found.
type Census struct {
	Files    []File             // by name: one for each namespace
	Written  []identity.Subject // as mappings, sorted
	Left     []identity.Subject // as comments, sorted
	Mappings []desired.Mapping  // those that were written
}

// Take writes down the live world. What it finds wrong is judged with the options.
func Take(snap *live.Snapshot, o diff.Options) (Census, error) {
	var all []entry
	for _, s := range snap.Subjects() {
		e, wired := found(snap, s)
		if !wired {
			continue
		}
		if !plain(s.Namespace) || !plain(s.ServiceAccount) {
			return Census{}, fmt.Errorf("ServiceAccount %q has a name that Kubernetes would refuse: is this a snapshot that lanyard wrote?", s)
		}
		all = append(all, e)
	}
	var cluster []string // what is wrong with all of them
	for _, f := range diff.Compare(desired.State{Cluster: snap.Cluster().Name}, snap, o).Findings {
		if f.Subject.IsZero() {
			cluster = append(cluster, string(f.Kind)+": "+f.Message)
		}
	}
	for i := range all {
		all[i].wrong = append(all[i].wrong, cluster...)
	}
	settle(all, snap, o)
	var c Census
	texts := map[string]*strings.Builder{}
	for i := range all {
		e := &all[i]
		name := e.m.Subject.Namespace + ".yaml"
		if texts[name] == nil {
			texts[name] = &strings.Builder{}
			fmt.Fprintf(texts[name], "# yaml-language-server: $schema=%s\n# Written by lanyard import from cluster %s as it was at %s.\n",
				SchemaFile, oneLine(snap.Cluster().Name), snap.Facts().TakenAt.UTC().Format(time.RFC3339))
		}
		texts[name].WriteString(e.text(snap))
		if e.wrong != nil {
			c.Left = append(c.Left, e.m.Subject)
			continue
		}
		c.Written, c.Mappings = append(c.Written, e.m.Subject), append(c.Mappings, e.m)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		c.Files = append(c.Files, File{name, []byte(texts[name].String())})
	}
	return c, nil
}

// plain reports whether a name is one that Kubernetes has, so that it can be a file's.
// Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
func plain(name string) bool {
	return name != "" && len(name) <= 253 && strings.Trim(name, "-.") == name &&
		strings.IndexFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' }) < 0
}

// entry is one wired ServiceAccount.
type entry struct {
	m     desired.Mapping
	role  string   // as it stands, also where it is none
	wrong []string // why it stays a comment
}

// found makes the mapping of what stands.
func found(snap *live.Snapshot, s identity.Subject) (e entry, wired bool) {
	account, _ := snap.ServiceAccount(s)
	a, presence := snap.Association(s)
	annotated := account.Annotations[diff.AnnotationRole]
	e.role, wired = annotated, annotated != "" || presence != live.Absent
	mechanism := identity.IRSA
	if presence == live.Present {
		mechanism, e.role = identity.PodIdentity, a.Role.String()
	}
	role, err := identity.ParseRoleARN(e.role)
	e.m = desired.Undeclared(s, role, mechanism)
	e.m.Adopt = desired.Adopt{}
	switch {
	case presence == live.Unknown && annotated == "" && !slices.ContainsFunc(snap.Facts().Associations, func(a live.Association) bool { return a.Subject() == s }):
		return e, false // nothing says that it is wired
	case presence == live.Unknown:
		e.wrong = append(e.wrong, "its association was not read, or not whole")
	case err != nil:
		e.wrong = append(e.wrong, "its role is not one: "+err.Error())
	case a.OwnerARN != "":
		e.wrong = append(e.wrong, "its association is "+diff.OwnerOfAssociation(a, snap.Cluster())+"'s, which would put its own back")
	}
	if mechanism == identity.PodIdentity {
		p := &e.m.PodIdentity
		p.SessionTags, p.TargetRole, p.SessionPolicy = !a.SessionTagsOff, a.TargetRole, a.SessionPolicy
		if annotated != "" {
			e.m.Migration.Cleanup = desired.CleanupKeepAnnotation
		}
		return e, wired
	}
	e.tuning(account.Annotations)
	return e, wired
}

// tuning takes over the annotations that tune IRSA, as far as they can be read.
func (e *entry) tuning(annotations map[string]string) {
	e.m.IRSA.Audience = annotations[diff.AnnotationAudience]
	if text, there := annotations[diff.AnnotationExpiration]; there {
		if n, err := strconv.Atoi(text); err == nil && n >= 600 && n <= 86400 {
			e.m.IRSA.TokenExpiration = time.Duration(n) * time.Second
		} else {
			e.wrong = append(e.wrong, fmt.Sprintf("annotation %s is %q, which the webhook does not take", diff.AnnotationExpiration, text))
		}
	}
	if text, there := annotations[diff.AnnotationRegional]; there {
		if on, err := strconv.ParseBool(text); err == nil {
			e.m.IRSA.STSRegionalEndpoints = &on
		} else {
			e.wrong = append(e.wrong, fmt.Sprintf("annotation %s is %q, which is no Boolean", diff.AnnotationRegional, text))
		}
	}
}

// settle finds the width of the trust statement that stands, by trying each, the
// narrowest first. Where none fits, what is wrong with the narrowest is told. All are
// compared at once: a comparison looks at the whole cluster, however little is asked.
func settle(all []entry, snap *live.Snapshot, o diff.Options) {
	var open []*entry
	for i := range all {
		if all[i].wrong == nil {
			open = append(open, &all[i])
		}
	}
	first := map[*entry][]string{} // what was wrong with the narrowest
	for _, width := range []identity.Width{identity.WidthPinned, identity.WidthCluster, identity.WidthAccount, identity.WidthBare} {
		var tried, later []*entry
		state := desired.State{Cluster: snap.Cluster().Name}
		for _, e := range open {
			if width.NeedsSessionTags() && !e.m.PodIdentity.SessionTags {
				later = append(later, e)
				continue
			}
			e.m.PodIdentity.Trust = width
			tried, state.Mappings = append(tried, e), append(state.Mappings, e.m)
		}
		wrong := differences(diff.Compare(state, snap, o))
		for _, e := range tried {
			now := wrong[e.m.Subject]
			if len(now) == 0 {
				continue
			}
			if first[e] == nil {
				first[e] = now
			}
			if e.m.Mechanism == identity.IRSA { // that has no width
				e.wrong = now
			} else {
				later = append(later, e)
			}
		}
		open = later
	}
	for _, e := range open {
		e.m.PodIdentity.Trust, e.wrong = identity.WidthPinned, first[e]
	}
}

// differences are what is wrong with each mapping, and what was not read of it.
func differences(r diff.Result) map[identity.Subject][]string {
	out := map[identity.Subject][]string{}
	for _, f := range r.Findings {
		out[f.Subject] = append(out[f.Subject], string(f.Kind)+": "+f.Message)
	}
	for i := range r.Judged {
		for _, what := range r.Judged[i].Unknown {
			s := r.Judged[i].Mapping.Subject
			out[s] = append(out[s], "not read: "+what)
		}
	}
	return out
}

// text is the document, with what was found as comments before it.
func (e *entry) text(snap *live.Snapshot) string {
	var b strings.Builder
	b.WriteString("---\n")
	for _, line := range e.notes(snap) {
		b.WriteString("# " + line + "\n")
	}
	doc := e.document(snap.Cluster())
	if e.wrong == nil {
		return b.String() + doc
	}
	b.WriteString("# Left out, so lanyard does not manage it:\n")
	for _, w := range e.wrong {
		b.WriteString("# - " + oneLine(w) + "\n")
	}
	for line := range strings.Lines(doc) {
		b.WriteString("#   " + line)
	}
	return b.String()
}

// notes say what was found, and who owns it.
func (e *entry) notes(snap *live.Snapshot) []string {
	s := e.m.Subject
	account, _ := snap.ServiceAccount(s)
	var out []string
	pods, _ := snap.Pods(s)
	workloads, _ := snap.Workloads(s)
	var names []string
	for _, w := range workloads {
		if !w.Done {
			names = append(names, w.Kind+" "+w.Name)
		}
	}
	slices.Sort(names)
	out = append(out, oneLine(fmt.Sprintf("%s: used by %s; pods: %d.", s, cmp.Or(strings.Join(slices.Compact(names), ", "), "no workload"), len(pods))))
	if owner := diff.OwnerOfAnnotation(account, diff.AnnotationRole); account.Annotations[diff.AnnotationRole] != "" && owner != "" {
		out = append(out, oneLine("The annotation is "+owner+"'s."))
	}
	if a, presence := snap.Association(s); presence == live.Present {
		if owner := diff.OwnerOfAssociation(a, snap.Cluster()); owner != "" {
			out = append(out, oneLine("The association is "+owner+"'s."))
		}
	}
	if r, presence := snap.Role(e.m.Role); presence == live.Present {
		if owner := diff.OwnerOfRole(r); owner != "" {
			out = append(out, oneLine("The role is "+owner+"'s."))
		}
	}
	return out
}

// document writes the mapping, and of its settings those that are not the defaults.
// Every value from outside is quoted: see [quoted].
func (e *entry) document(c identity.Cluster) string {
	m := e.m
	var b strings.Builder
	line := func(indent int, key, value string) {
		fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", indent), key, value)
	}
	line(0, "apiVersion", "lanyard.io/v1alpha1")
	line(0, "kind", "IdentityMapping")
	b.WriteString("metadata:\n")
	line(1, "name", quoted(m.Subject.ServiceAccount))
	line(1, "namespace", quoted(m.Subject.Namespace))
	b.WriteString("spec:\n")
	line(1, "roleARN", quoted(e.role))
	line(1, "mechanism", m.Mechanism.String())
	line(1, "clusters", "["+quoted(c.Name)+"]")
	var irsa, pi []string
	if m.IRSA.Audience != "" {
		irsa = append(irsa, "audience: "+quoted(m.IRSA.Audience))
	}
	if m.IRSA.TokenExpiration != 0 {
		irsa = append(irsa, "tokenExpiration: "+strconv.Itoa(int(m.IRSA.TokenExpiration.Seconds()))+"s")
	}
	if on := m.IRSA.STSRegionalEndpoints; on != nil {
		irsa = append(irsa, "stsRegionalEndpoints: "+strconv.FormatBool(*on))
	}
	if m.Mechanism == identity.PodIdentity {
		if !m.PodIdentity.SessionTags {
			pi = append(pi, "sessionTags: false")
		}
		if w := m.PodIdentity.Trust; w != identity.WidthPinned && (m.PodIdentity.SessionTags || w != identity.WidthAccount) {
			pi = append(pi, "trust: "+w.String())
		}
		if !m.PodIdentity.TargetRole.IsZero() {
			pi = append(pi, "targetRoleARN: "+quoted(m.PodIdentity.TargetRole.String()))
		}
		if m.PodIdentity.SessionPolicy != "" {
			pi = append(pi, "sessionPolicy: "+quoted(m.PodIdentity.SessionPolicy))
		}
	}
	for _, part := range []struct {
		key  string
		list []string
	}{{"irsa", irsa}, {"podIdentity", pi}} {
		if len(part.list) > 0 {
			line(1, part.key, "{"+strings.Join(part.list, ", ")+"}")
		}
	}
	if m.Migration.Cleanup != desired.CleanupFull {
		line(1, "migration", "{cleanup: "+string(m.Migration.Cleanup)+"}")
	}
	return b.String()
}

// quoted is a YAML string in double quotes, all of it ASCII; a plain name needs none. A
// JSON string would not do: it may hold U+0085, which ends a line and so a comment, and
// U+007F, which is no character of YAML's. Go's escapes are YAML's too.
// Source: https://yaml.org/spec/1.2.2/#57-escaped-characters
func quoted(s string) string {
	if plain(s) && strings.IndexFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' }) == 0 && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, s) {
		return s
	}
	return strconv.QuoteToASCII(strings.ToValidUTF8(s, "\ufffd"))
}

// oneLine keeps a comment on its line, whatever is in it, and in the order in which it is
// written: every break that YAML knows is not graphic, nor is what turns text around.
// Source: https://yaml.org/spec/1.2.2/#54-line-break-characters, and 1.1's besides.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, s)
}
