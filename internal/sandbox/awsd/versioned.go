package awsd

import "time"

// history is how long superseded versions are kept, and so the longest delay that a
// [Consistency] may ask for.
const history = time.Hour

// Consistency says how long after it was accepted a write becomes visible. Every part
// of AWS that reads has its own delay, because they do not learn of a change together:
// IAM may show a trust policy that STS does not honour yet.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
//
// Only writes made through the API, and events, are delayed. What a setter of [Server] puts is
// visible everywhere at once. No delay may exceed an hour.
type Consistency struct {
	RoleReads              time.Duration // IAM reads of roles.
	Trust                  time.Duration // STS, EKS and EKS Auth judging a role's trust and existence.
	AssociationReads       time.Duration // ListPodIdentityAssociations, DescribePodIdentityAssociation.
	AssociationAdmission   time.Duration // The webhook, through Server.AssociationVisible.
	AssociationCredentials time.Duration // EKS Auth answering a pod.
	Events                 time.Duration // LookupEvents, at the latest; each event after a time of its own from half of it on.
}

func (c Consistency) longest() time.Duration {
	return max(c.RoleReads, c.Trust, c.AssociationReads, c.AssociationAdmission, c.AssociationCredentials, c.Events)
}

// version is a value and when it was accepted. The zero time means "since ever".
type version[T any] struct {
	at   time.Time
	val  T
	gone bool
}

// versioned is a value with its recent past, oldest first.
type versioned[T any] struct{ vs []version[T] }

// always returns a value that has no past: every reader sees it.
func always[T any](val T) *versioned[T] { return &versioned[T]{vs: []version[T]{{val: val}}} }

// put makes val the newest version and returns how to undo that.
func (v *versioned[T]) put(at time.Time, val T) (undo func()) {
	return v.add(version[T]{at: at, val: val})
}

// remove makes "gone" the newest version and returns how to undo that.
func (v *versioned[T]) remove(at time.Time) (undo func()) {
	return v.add(version[T]{at: at, gone: true})
}

func (v *versioned[T]) add(n version[T]) (undo func()) {
	before := v.vs
	kept := before
	for len(kept) > 2 && kept[1].at.Before(n.at.Add(-history)) {
		kept = kept[1:]
	}
	v.vs = append(kept[:len(kept):len(kept)], n)
	return func() { v.vs = before }
}

// latest returns the truth.
func (v *versioned[T]) latest() (T, bool) { return v.nth(len(v.vs) - 1) }

// previous returns what was true before the newest write.
func (v *versioned[T]) previous() (T, bool) {
	if n := len(v.vs); n == 1 && v.vs[0].at.IsZero() {
		return v.nth(0)
	}
	return v.nth(len(v.vs) - 2)
}

// asOf returns what a reader sees that has heard of everything accepted up to t.
func (v *versioned[T]) asOf(t time.Time) (T, bool) {
	i := len(v.vs) - 1
	for i >= 0 && v.vs[i].at.After(t) {
		i--
	}
	return v.nth(i)
}

func (v *versioned[T]) nth(i int) (T, bool) {
	if i < 0 || v.vs[i].gone {
		var zero T
		return zero, false
	}
	return v.vs[i].val, true
}
