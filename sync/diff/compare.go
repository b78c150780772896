package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// Class says whose business a subject is. Each subject is in exactly one.
type Class uint8

// The classes.
const (
	Rest       Class = iota // as Git wants it, as far as anyone can repair
	Drift                   // on the right mechanism, wrong in detail: package plan repairs
	Transition              // on the other mechanism: package migrate moves it
	Held                    // Git asks for what may not or cannot be: the mapping's findings say why
	Blind                   // a fact is missing: nobody writes
)

var classes = [...]string{"rest", "drift", "transition", "held", "blind"}

// String returns the class's name.
func (c Class) String() string { return classes[min(int(c), len(classes)-1)] }

// MarshalText writes the class's name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Options are what a comparison depends on besides Git and the live world.
type Options struct {
	// Forbid says which of the operator's guard rails a mapping breaks, if one; nil
	// forbids nothing.
	Forbid func(desired.Mapping) (why string, forbidden bool)
	// OrganizationID is the value of aws:SourceOrgId; empty means unknown.
	OrganizationID string
}

// Judged is one mapping with everything that was found out about it. The planners
// work on it, so that each judgement is made once.
type Judged struct {
	Mapping desired.Mapping
	Wanted  identity.Mechanism // IRSA or PodIdentity; None where auto could not be resolved
	On      identity.Mechanism // what a pod admitted now would get; None for nothing
	Class   Class

	ServiceAccount live.ServiceAccount
	Association    live.Association // zero when there is none
	HasAssociation bool
	Pods           []live.Pod // live ones that are not on their way out
	users          []live.Pod // all live ones
	audiences      []string   // see [Judged.Audiences]
	standingTags   bool       // the association's own way of session tags works today

	Trust    trust.Verdict   // of the wanted mechanism on the mapping's role
	Target   trust.Verdict   // of the target role, for the mapping's role
	Document *trust.Document // of the mapping's role; nil if it is not there or cannot be read
	Unknown  []string        // the facts that are missing
	Findings []Finding       // sorted
}

// Result is the whole comparison.
type Result struct {
	Cluster   identity.Cluster
	Judged    []Judged           // one per mapping, sorted by subject
	Marks     int                // how many things bear our mark
	Orphans   []Orphan           // what bears our mark and Git no longer asks for, sorted
	Unmanaged []identity.Subject // wired ServiceAccounts that Git does not name, sorted
	Findings  []Finding          // all of them, sorted
}

// Compare compares Git with the live world. The same input gives the same result,
// to the byte.
func Compare(state desired.State, snap *live.Snapshot, opts Options) Result {
	r := Result{Cluster: snap.Cluster(), Judged: make([]Judged, 0, len(state.Mappings))}
	for _, m := range state.Mappings {
		j := judge(m, snap, opts)
		r.Judged = append(r.Judged, j)
		r.Findings = append(r.Findings, j.Findings...)
	}
	r.Orphans, r.Marks = orphans(state, r.Judged, snap)
	for _, o := range r.Orphans {
		r.Findings = append(r.Findings, o.Finding)
	}
	r.Unmanaged = unmanaged(state, r.Orphans, snap)
	if f, mismatch := clusterMismatch(snap); mismatch {
		r.Findings = append(r.Findings, f)
	}
	r.Findings = append(r.Findings, revisionStale(state)...)
	slices.SortFunc(r.Findings, Finding.compare)
	return r
}

// staleListed bounds how many mistakes of a held head are findings of their own.
const staleListed = 20

// revisionStale reports a head that is not followed: one finding, or one for each of
// the first mistakes, at its place.
func revisionStale(state desired.State) []Finding {
	h := state.Held
	if h == nil {
		return nil
	}
	actual := h.Head
	if actual == "" {
		actual = string(h.Reason)
	}
	stale := Finding{Plane: PlaneGit, Kind: RevisionStale, Severity: Warning,
		Message:  fmt.Sprintf("%s; revision %s stays in force", h.Message, state.Revision),
		Expected: "the head of " + state.Revision.Ref, Actual: actual}
	if len(h.Errors) == 0 {
		return []Finding{stale}
	}
	var out []Finding
	for i, e := range h.Errors {
		if i == staleListed {
			stale.Message = fmt.Sprintf("and %d more mistakes in commit %s", len(h.Errors)-i, h.Head)
			return append(out, stale)
		}
		f := stale
		f.Position, f.Message = e.At, fmt.Sprintf("%s; revision %s stays in force", e, state.Revision)
		out = append(out, f)
	}
	return out
}

// clusterMismatch compares the issuer that the API server names with the one that
// EKS names: when they differ, the kubeconfig and the cluster's name point at two
// clusters, and everything else would be wrong.
func clusterMismatch(snap *live.Snapshot) (Finding, bool) {
	c := snap.Facts().Cluster
	if c.APIServerIssuer == c.Issuer && c.Issuer != "" {
		return Finding{}, false
	}
	f := Finding{Plane: PlaneGit, Kind: ClusterMismatch, Severity: Critical,
		Expected: string(c.Issuer), Actual: string(c.APIServerIssuer)}
	if c.APIServerIssuer == "" || c.Issuer == "" {
		f.Message = "the issuer of the API server or of the EKS cluster could not be read, so it is not sure that they are one cluster: nothing is written"
	} else {
		f.Message = fmt.Sprintf("the API server is not that of EKS cluster %s: their issuers differ: nothing is written", c.Name)
	}
	return f, true
}

// Mismatch reports whether the comparison was halted by cluster-mismatch.
func (r Result) Mismatch() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == ClusterMismatch })
}

func judge(m desired.Mapping, snap *live.Snapshot, opts Options) Judged {
	j := Judged{Mapping: m}
	j.look(snap)
	j.resolve()
	invalid := j.invalid(snap)
	if !invalid { // what cannot be is not compared: everything would differ from it
		j.compareServiceAccount(snap)
		j.compareTrust(snap, opts)
		j.compareTarget(snap, opts)
		j.compareAssociation(snap)
		j.comparePods(snap)
	}
	j.classify()
	if forbidden := j.forbidden(opts); invalid || forbidden {
		j.Class = Held // drift under a guard rail is still drift; it is only not repaired
	}
	slices.SortFunc(j.Findings, Finding.compare)
	return j
}

// look collects the facts of a subject, and notes those that are missing.
func (j *Judged) look(snap *live.Snapshot) {
	subject := j.Mapping.Subject
	need := func(what string, p live.Presence) bool {
		if p == live.Unknown {
			j.Unknown = append(j.Unknown, what)
		}
		return p == live.Present
	}
	var p live.Presence
	j.ServiceAccount, p = snap.ServiceAccount(subject)
	need("ServiceAccount", p)
	j.Association, p = snap.Association(subject)
	j.HasAssociation = need("Pod Identity association", p)
	j.users, p = snap.Pods(subject)
	need("pods", p)
	j.Pods = slices.DeleteFunc(slices.Clone(j.users), func(p live.Pod) bool { return p.Terminating })
	slices.SortStableFunc(j.Pods, func(a, b live.Pod) int { return strings.Compare(a.Name, b.Name) }) // messages name the first
	_, p = snap.Namespace(subject.Namespace)
	need("namespace", p)
	_, p = snap.Role(j.Mapping.Role)
	need("role "+j.Mapping.Role.String(), p)
}

// resolve says which mechanism is wanted, and which one a pod admitted now would
// get. EKS's webhook prefers an association over the annotation.
// Source: https://github.com/aws/amazon-eks-pod-identity-webhook: container
// credentials before web identity.
func (j *Judged) resolve() {
	unknown := slices.Contains(j.Unknown, "Pod Identity association")
	j.Wanted = j.Mapping.Mechanism
	if j.Wanted == identity.Auto {
		switch {
		case unknown:
			j.Wanted = identity.None
		case j.HasAssociation:
			j.Wanted = identity.PodIdentity
		default:
			j.Wanted = identity.IRSA
		}
	}
	switch {
	case j.HasAssociation:
		j.On = identity.PodIdentity
	case j.ServiceAccount.Annotations[AnnotationRole] != "" && !unknown:
		j.On = identity.IRSA
	}
}

// classify draws the line between the planners.
func (j *Judged) classify() {
	switch {
	case len(j.Unknown) > 0:
		j.Class = Blind
	case j.inTransition():
		j.Class = Transition
	case len(j.Findings) > 0:
		j.Class = Drift
	default:
		j.Class = Rest
	}
}

// inTransition reports whether reaching what Git wants would move pods from one
// mechanism to the other. Towards Pod Identity it would, unless live pods carry its
// variables and none IRSA's (the association was lost under them), or nothing is
// wired at all (design.md section 5).
func (j *Judged) inTransition() bool {
	switch j.Wanted {
	case identity.IRSA:
		return j.HasAssociation
	case identity.PodIdentity:
		if j.HasAssociation {
			return false
		}
		onIRSA := j.anyPodUses(identity.IRSA)
		if j.anyPodUses(identity.PodIdentity) && !onIRSA {
			return false
		}
		return onIRSA || j.ServiceAccount.Annotations[AnnotationRole] != ""
	}
	return false
}

func (j *Judged) anyPodUses(m identity.Mechanism) bool {
	return slices.ContainsFunc(j.Pods, func(p live.Pod) bool { return p.Uses(m) })
}

// Lacks reports whether the mapping has a finding of one of the kinds.
func (j *Judged) Lacks(kinds ...Kind) bool {
	return slices.ContainsFunc(j.Findings, func(f Finding) bool { return slices.Contains(kinds, f.Kind) })
}

// add records a finding; plane and subject are filled in, and the position, which is
// always one of the mapping itself.
func (j *Judged) add(f Finding) {
	f.Subject, f.Plane = j.Mapping.Subject, f.Kind.Plane()
	if f.Position.File != j.Mapping.At.File { // a default's is in another file: the mapping is where to begin
		f.Position = j.Mapping.At
	}
	j.Findings = append(j.Findings, f)
}

// invalid reports the world errors of design.md section 3: what Git asks for is well
// formed, but cannot be on this cluster.
func (j *Judged) invalid(snap *live.Snapshot) bool {
	m, c := j.Mapping, snap.Cluster()
	switch {
	case m.Role.Partition != c.Partition:
		j.add(Finding{Kind: MappingInvalid, Severity: Critical, Position: m.RoleAt,
			Message:  fmt.Sprintf("the role is in partition %s, the cluster in %s: no pod of this cluster can assume it", m.Role.Partition, c.Partition),
			Expected: "a role in partition " + c.Partition, Actual: m.Role.String()})
	case j.Wanted == identity.PodIdentity && m.Role.Account != c.Account:
		j.add(Finding{Kind: MappingInvalid, Severity: Warning, Position: m.RoleAt,
			Message: fmt.Sprintf("keep-irsa: the role is in account %s and the cluster in %s, and an association takes only roles of the cluster's account: write mechanism: irsa, or name a role of %s and put this one in podIdentity.targetRoleARN",
				m.Role.Account, c.Account, c.Account),
			Expected: "a role in account " + c.Account, Actual: m.Role.String()})
	default:
		return false
	}
	return true
}

func (j *Judged) forbidden(opts Options) bool {
	if opts.Forbid == nil {
		return false
	}
	why, forbidden := opts.Forbid(j.Mapping)
	if forbidden {
		j.add(Finding{Kind: MappingForbidden, Severity: Warning,
			Message:  "the operator's guard rails forbid this mapping, so nothing is written for it: " + why,
			Expected: "a mapping that the configuration allows", Actual: j.Mapping.Role.String()})
	}
	return forbidden
}

// unmanaged lists the wired ServiceAccounts that Git does not name, and that bear no
// mark of ours.
func unmanaged(state desired.State, orphans []Orphan, snap *live.Snapshot) []identity.Subject {
	var out []identity.Subject
	ours := map[identity.Subject]bool{}
	for _, o := range orphans {
		ours[o.Subject] = true
	}
	for _, subject := range snap.Subjects() {
		if _, named := state.Mapping(subject); named || ours[subject] {
			continue
		}
		a, _ := snap.ServiceAccount(subject)
		_, p := snap.Association(subject)
		if a.Annotations[AnnotationRole] != "" || p != live.Absent {
			out = append(out, subject)
		}
	}
	return out
}

// list names up to three things and counts the rest.
func list(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}
