package diff

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Orphan is something that bears our mark and that Git does not ask for any more:
// its mapping is gone, or the mapping now names another role or width.
type Orphan struct {
	Subject     identity.Subject
	Gone        bool               // the mapping left Git; else it changed
	Mechanism   identity.Mechanism // whose wiring it is
	Association *live.Association  // one of the three is set
	Annotation  string             // the role annotation's value
	Role        identity.RoleARN   // with Sid: the role whose trust policy holds the statement
	Sid         string
	Finding     Finding
}

// orphans finds what bears our mark without a mapping that asks for it, and counts
// all that bears our mark.
func orphans(state desired.State, judged []Judged, snap *live.Snapshot) (all []Orphan, marks int) {
	for _, a := range snap.Facts().Associations {
		if !a.Described || !Ours(a, snap.Cluster()) {
			continue
		}
		marks++
		if _, named := state.Mapping(a.Subject()); !named {
			all = append(all, gone(Orphan{Subject: a.Subject(), Mechanism: identity.PodIdentity, Association: &a},
				"the association", a.Role.String()))
		}
	}
	for _, a := range snap.Facts().ServiceAccounts {
		role := a.Annotations[AnnotationRole]
		if role == "" || OwnerOfAnnotation(a, AnnotationRole) != FieldManager {
			continue
		}
		marks++
		if _, named := state.Mapping(a.Subject()); !named {
			all = append(all, gone(Orphan{Subject: a.Subject(), Mechanism: identity.IRSA, Annotation: role}, "the role annotation", role))
		}
	}
	statements, ours := orphanStatements(judged, snap)
	all = append(all, statements...)
	slices.SortFunc(all, func(a, b Orphan) int { return a.Finding.compare(b.Finding) })
	return all, marks + ours
}

func gone(o Orphan, what, actual string) Orphan {
	o.Gone = true
	o.Finding = Finding{Subject: o.Subject, Plane: PlaneGit, Kind: MappingGone, Severity: Warning, Owner: "lanyard",
		Message:  what + " was made by lanyard for a mapping that has left Git",
		Expected: "none", Actual: actual}
	return o
}

// statement is what a lanyard Sid stands for.
type statement struct {
	subject   identity.Subject
	mechanism identity.Mechanism
	width     identity.Width
}

// orphanStatements finds our statements that no mapping asks for on that role. A Sid
// is a hash, so it is recognised by computing those of every subject that could have
// one: those in Git, those that are live, and those that the statement itself names.
func orphanStatements(judged []Judged, snap *live.Snapshot) (out []Orphan, marks int) {
	known := map[string]statement{}
	cluster := snap.Cluster()
	learn := func(s identity.Subject) {
		for _, g := range grants(cluster, s) {
			known[g.Sid()] = statement{s, g.Mechanism, g.Width}
		}
	}
	mappings := map[identity.Subject]*Judged{}
	for i := range judged {
		mappings[judged[i].Mapping.Subject] = &judged[i]
		learn(judged[i].Mapping.Subject)
	}
	learnt := false
	for _, r := range snap.Facts().Roles {
		if r.Presence != live.Present || !strings.Contains(r.TrustPolicy, "Lanyard") {
			continue
		}
		doc, _, err := snap.Trust(r.ARN)
		if err != nil {
			continue // trust-undecidable is found on the mapping; nothing is edited
		}
		for _, st := range doc.Statements() {
			if !trust.IsLanyardSid(st.Sid) {
				continue
			}
			if _, ok := known[st.Sid]; !ok && !learnt {
				learnt = true
				for _, s := range snap.Subjects() {
					learn(s)
				}
			}
			if _, ok := known[st.Sid]; !ok {
				for _, s := range namedIn(st.Raw) {
					learn(s)
				}
			}
			if is, ok := known[st.Sid]; ok {
				marks++
				if o, orphaned := orphanOf(is, mappings[is.subject], r, st.Sid); orphaned {
					out = append(out, o)
				}
			}
		}
	}
	return out, marks
}

// grants returns every statement that lanyard may ever write for a subject.
func grants(c identity.Cluster, s identity.Subject) []trust.Grant {
	all := []trust.Grant{{Mechanism: identity.IRSA, Subject: s, Cluster: c}}
	for _, w := range []identity.Width{identity.WidthPinned, identity.WidthCluster, identity.WidthAccount, identity.WidthBare} {
		all = append(all, trust.Grant{Mechanism: identity.PodIdentity, Subject: s, Cluster: c, Width: w})
	}
	return all
}

var subjectRE = regexp.MustCompile(`system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+`)

// namedIn returns the ServiceAccounts that a statement of ours names: by the token's
// subject, or by the request tags of the pinned width.
func namedIn(raw []byte) []identity.Subject {
	var out []identity.Subject
	for _, sub := range subjectRE.FindAllString(string(raw), 10) {
		if s, ok := identity.ParseOIDCSubject(sub); ok {
			out = append(out, s)
		}
	}
	var st struct {
		Condition map[string]map[string]any
	}
	if json.Unmarshal(raw, &st) == nil {
		ns, _ := st.Condition["StringEquals"]["aws:RequestTag/kubernetes-namespace"].(string)
		sa, _ := st.Condition["StringEquals"]["aws:RequestTag/kubernetes-service-account"].(string)
		if ns != "" && sa != "" {
			out = append(out, identity.Subject{Namespace: ns, ServiceAccount: sa})
		}
	}
	return out
}

// orphanOf says whether our statement on a role is one that Git does not ask for.
// The statement of the other mechanism on the mapping's own role is not: it belongs
// to a migration, and migrate narrows it.
func orphanOf(is statement, j *Judged, r live.Role, sid string) (Orphan, bool) {
	o := Orphan{Subject: is.subject, Mechanism: is.mechanism, Role: r.ARN, Sid: sid}
	if j == nil {
		return gone(o, fmt.Sprintf("statement %s of role %s", sid, r.ARN.Name), r.ARN.String()), true
	}
	m := j.Mapping
	var why string
	switch {
	case r.ARN != m.Role:
		why = fmt.Sprintf("role %s still trusts this ServiceAccount by lanyard's statement %s, but Git now names role %s", r.ARN.Name, sid, m.Role.Name)
	case is.mechanism == identity.PodIdentity && j.Wanted == identity.PodIdentity && is.width != m.PodIdentity.Trust:
		why = fmt.Sprintf("lanyard's statement %s has width %s, but Git now asks for %s", sid, is.width, m.PodIdentity.Trust)
	default:
		return Orphan{}, false
	}
	o.Finding = Finding{Subject: is.subject, Plane: PlaneTrust, Kind: TrustTooWide, Severity: Warning, Message: why, Position: cmp.Or(m.RoleAt, m.At),
		Expected: "no such statement", Actual: sid, Owner: "lanyard"}
	return o, true
}
