package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// ErrStale is what a guard answers when the world is not as the plan saw it: plan
// again. A fact that cannot be read now is stale too.
var ErrStale = errors.New("the world has moved since the plan was made")

func stale(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrStale}, args...)...)
}

// Guard is a condition for taking a step. It is checked on a fresh look at the one
// subject, right before the write. The list is sealed; each guard is plain data.
//
//sumtype:decl
type Guard interface {
	Kind() string
	Check(*live.Snapshot) error
	guard()
}

// TrustIs holds while a role's trust policy means what the plan saw.
type TrustIs struct {
	Role   identity.RoleARN `json:"role"`
	Digest string           `json:"digest"`
}

// TrustAllows holds while a role's trust policy is judged allow for all requests.
type TrustAllows struct {
	Role     identity.RoleARN
	Requests []trust.Request
}

// request is what identifies a [trust.Request].
type request struct {
	Mechanism   identity.Mechanism `json:"mechanism"`
	Subject     identity.Subject   `json:"subject"`
	Provider    string             `json:"provider,omitempty"`
	Audience    string             `json:"audience,omitempty"`
	SessionTags bool               `json:"sessionTags"`
}

func requestOf(r trust.Request) request {
	return request{r.Mechanism, r.Subject, r.Provider, r.Audience, r.SessionTags}
}

// MarshalJSON writes what identifies the requests.
func (g TrustAllows) MarshalJSON() ([]byte, error) {
	requests := make([]request, len(g.Requests))
	for i, r := range g.Requests {
		requests[i] = requestOf(r)
	}
	return json.Marshal(struct {
		Role     identity.RoleARN `json:"role"`
		Requests []request        `json:"requests"`
	}{g.Role, requests})
}

// AnnotationIs holds while the ServiceAccount is the one that the plan saw and the
// annotation has the value that it had; an empty value is no annotation.
type AnnotationIs struct {
	Subject identity.Subject `json:"subject"`
	UID     string           `json:"uid"`
	Key     string           `json:"key"`
	Value   string           `json:"value"`
}

// AssociationIs holds while the subject's association has this ID, and role; an
// empty ID is no association.
type AssociationIs struct {
	Subject identity.Subject `json:"subject"`
	ID      string           `json:"id"`
	Role    identity.RoleARN `json:"role,omitzero"`
}

// Unused holds while no live pod of the subject was given the mechanism (with that
// role, where the pod shows it); without a mechanism it always holds. With Templates, no workload may name the
// ServiceAccount either.
type Unused struct {
	Subject   identity.Subject   `json:"subject"`
	Mechanism identity.Mechanism `json:"mechanism"`
	Role      identity.RoleARN   `json:"role,omitzero"`
	Templates bool               `json:"templates,omitempty"`
}

// NotWired holds while the subject is not wired to a role by a mechanism: no
// association or annotation names it.
type NotWired struct {
	Subject   identity.Subject   `json:"subject"`
	Mechanism identity.Mechanism `json:"mechanism"`
	Role      identity.RoleARN   `json:"role"`
}

// AudiencesWithin holds while every audience that the subject's annotation or live
// pods carry for a role is one of these.
type AudiencesWithin struct {
	Subject   identity.Subject `json:"subject"`
	Role      identity.RoleARN `json:"role"`
	Audiences []string         `json:"audiences"`
}

// PodIs holds while the pod is the one that the plan saw, and not on its way out.
type PodIs struct {
	Subject identity.Subject `json:"subject"`
	Pod     string           `json:"pod"`
	UID     string           `json:"uid"`
}

// WorkloadIs holds while the workload is the one that the plan saw, and was not restarted
// since. With Idle, no rollout may be under way either.
type WorkloadIs struct {
	Subject     identity.Subject `json:"subject"`
	Workload    live.WorkloadRef `json:"workload"`
	UID         string           `json:"uid"`
	RestartedAt string           `json:"restartedAt,omitempty"`
	Idle        bool             `json:"idle,omitempty"`
}

func (PodIs) guard()           {}
func (WorkloadIs) guard()      {}
func (NotWired) guard()        {}
func (AudiencesWithin) guard() {}
func (TrustIs) guard()         {}
func (TrustAllows) guard()     {}
func (AnnotationIs) guard()    {}
func (AssociationIs) guard()   {}
func (Unused) guard()          {}

// Kind returns "trust-is".
func (TrustIs) Kind() string { return "trust-is" }

// Kind returns "trust-allows".
func (TrustAllows) Kind() string { return "trust-allows" }

// Kind returns "annotation-is".
func (AnnotationIs) Kind() string { return "annotation-is" }

// Kind returns "association-is".
func (AssociationIs) Kind() string { return "association-is" }

// Kind returns "unused".
func (Unused) Kind() string { return "unused" }

// Kind returns "not-wired".
func (NotWired) Kind() string { return "not-wired" }

// Kind returns "audiences-within".
func (AudiencesWithin) Kind() string { return "audiences-within" }

// Kind returns "pod-is".
func (PodIs) Kind() string { return "pod-is" }

// Kind returns "workload-is".
func (WorkloadIs) Kind() string { return "workload-is" }

// Check looks for the pod among the live ones.
func (g PodIs) Check(s *live.Snapshot) error {
	pods, presence := s.Pods(g.Subject)
	if presence != live.Present {
		return stale("the pods of %s cannot be read", g.Subject)
	}
	at := slices.IndexFunc(pods, func(p live.Pod) bool { return p.Name == g.Pod })
	switch {
	case at < 0:
		return stale("pod %s of %s is gone, or has ended", g.Pod, g.Subject)
	case pods[at].UID != g.UID:
		return stale("pod %s of %s was made again", g.Pod, g.Subject)
	case pods[at].Terminating:
		return stale("pod %s of %s is being deleted", g.Pod, g.Subject)
	}
	return nil
}

// Check looks for the workload among those whose template names the ServiceAccount.
func (g WorkloadIs) Check(s *live.Snapshot) error {
	workloads, presence := s.Workloads(g.Subject)
	if presence != live.Present {
		return stale("the workloads of %s cannot be read", g.Subject)
	}
	at := slices.IndexFunc(workloads, func(w live.Workload) bool { return w.Ref() == g.Workload })
	if at < 0 {
		return stale("%s is gone, or its template no longer names %s", g.Workload, g.Subject)
	}
	switch w := workloads[at]; {
	case w.UID != g.UID:
		return stale("%s was made again", g.Workload)
	case w.RestartedAt != g.RestartedAt:
		return stale("%s was restarted at %q, not %q", g.Workload, w.RestartedAt, g.RestartedAt)
	case g.Idle && w.Rolling:
		return stale("%s is in the middle of a rollout", g.Workload)
	}
	return nil
}

// Check looks at the association, or the annotation.
func (g NotWired) Check(s *live.Snapshot) error {
	if wired, known := wiredTo(s, g.Subject, g.Mechanism, g.Role); !known {
		return stale("the wiring of %s cannot be read", g.Subject)
	} else if wired {
		return stale("%s is wired to %s again", g.Subject, g.Role)
	}
	return nil
}

// wiredTo reports whether a pod of the subject, admitted now, may get the role by the
// mechanism; known is false where that cannot be told.
func wiredTo(s *live.Snapshot, subject identity.Subject, m identity.Mechanism, role identity.RoleARN) (wired, known bool) {
	if m == identity.PodIdentity {
		a, presence := s.Association(subject)
		return presence == live.Present && a.Role == role, presence != live.Unknown
	}
	a, presence := s.ServiceAccount(subject)
	return presence == live.Present && a.Annotations[diff.AnnotationRole] == role.String(), presence != live.Unknown
}

// Check looks at the annotation and at live pods.
func (g AudiencesWithin) Check(s *live.Snapshot) error {
	a, presence := s.ServiceAccount(g.Subject)
	pods, known := s.Pods(g.Subject)
	if presence == live.Unknown || known != live.Present {
		return stale("the ServiceAccount or the pods of %s cannot be read", g.Subject)
	}
	if today := cmp.Or(a.Annotations[diff.AnnotationAudience], diff.DefaultAudience); a.Annotations[diff.AnnotationRole] == g.Role.String() && !slices.Contains(g.Audiences, today) {
		return stale("%s asks for audience %s again", g.Subject, today)
	}
	for _, p := range pods {
		for _, c := range p.Containers {
			if (c.Role == g.Role.String() || hidesRole(c)) && c.Audience != "" && !slices.Contains(g.Audiences, c.Audience) {
				return stale("pod %s carries audience %s", p.Name, c.Audience)
			}
		}
	}
	return nil
}

// Check compares the digest of the policy's meaning.
func (g TrustIs) Check(s *live.Snapshot) error {
	doc, presence, err := s.Trust(g.Role)
	switch {
	case presence != live.Present:
		return stale("role %s is %s", g.Role, presence)
	case err != nil:
		return stale("trust policy of %s: %v", g.Role, err)
	case doc.Digest() != g.Digest:
		return stale("the trust policy of %s has changed", g.Role)
	}
	return nil
}

// Check judges the policy again.
func (g TrustAllows) Check(s *live.Snapshot) error {
	doc, presence, err := s.Trust(g.Role)
	if presence != live.Present || err != nil {
		return stale("role %s is %s (%v)", g.Role, presence, err)
	}
	for _, r := range g.Requests {
		if v := doc.Evaluate(r); v.Decision != trust.Allow {
			return stale("role %s no longer lets %s in: %s", g.Role, r.Subject, v.Reason)
		}
	}
	return nil
}

// Check compares UID and value.
func (g AnnotationIs) Check(s *live.Snapshot) error {
	a, presence := s.ServiceAccount(g.Subject)
	switch {
	case presence != live.Present:
		return stale("ServiceAccount %s is %s", g.Subject, presence)
	case a.UID != g.UID:
		return stale("ServiceAccount %s was made again", g.Subject)
	case a.Terminating:
		return stale("ServiceAccount %s is being deleted", g.Subject)
	case a.Annotations[g.Key] != g.Value:
		return stale("annotation %s of %s is %q, not %q", g.Key, g.Subject, a.Annotations[g.Key], g.Value)
	}
	return nil
}

// Check compares ID and role.
func (g AssociationIs) Check(s *live.Snapshot) error {
	a, presence := s.Association(g.Subject)
	switch {
	case presence == live.Unknown:
		return stale("the association of %s cannot be read", g.Subject)
	case a.ID != g.ID:
		return stale("the association of %s is %q, not %q", g.Subject, a.ID, g.ID)
	case g.ID != "" && a.Role != g.Role:
		return stale("the association of %s has role %s, not %s", g.Subject, a.Role, g.Role)
	}
	return nil
}

// Check looks for live users.
func (g Unused) Check(s *live.Snapshot) error {
	if user, known := firstUser(s, g); !known {
		return stale("the pods and workloads of %s cannot be read", g.Subject)
	} else if user != "" {
		return stale("%s uses it", user)
	}
	return nil
}

// firstUser names a live user of what g speaks of; known is false where that cannot
// be told.
func firstUser(s *live.Snapshot, g Unused) (user string, known bool) {
	pods, presence := s.Pods(g.Subject)
	if presence != live.Present {
		return "", false
	}
	for _, p := range pods {
		if g.Templates {
			return "pod " + p.Name, true // any pod of the ServiceAccount may be made again with what stands
		}
		if g.Mechanism != identity.None && p.Uses(g.Mechanism) && (g.Role.IsZero() || g.Mechanism == identity.PodIdentity || hasRole(p, g.Role)) {
			return "pod " + p.Name, true
		}
	}
	if !g.Templates {
		return "", true
	}
	workloads, presence := s.Workloads(g.Subject)
	if presence != live.Present {
		return "", false
	}
	for _, w := range workloads {
		if !w.Done {
			return w.Kind + " " + w.Name, true
		}
	}
	return "", true
}

// hasRole reports whether a pod has a role, or may have it: one that takes its role
// from a reference does not show which.
func hasRole(p live.Pod, role identity.RoleARN) bool {
	for _, c := range p.Containers {
		if c.Role == role.String() || hidesRole(c) {
			return true
		}
	}
	return false
}

func hidesRole(c live.Container) bool {
	return c.Role == "" && (c.Credential == live.CredentialIRSA || c.Credential == live.CredentialBoth)
}
