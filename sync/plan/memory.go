package plan

import (
	"maps"
	"slices"
	"time"
)

// Memory is what a planner knows that the live world does not date: since when this
// process has seen a condition hold, and what it wrote within the last hour. It goes
// into a round and comes out of it; losing it only lengthens waits (design.md, law 9).
type Memory struct {
	Seen   map[string]time.Time
	Writes []Write              // oldest first
	Failed map[string]time.Time // steps that were refused or failed, by ID, within the last hour
}

// Write is one write that took effect.
type Write struct {
	Key     string // what was written: subject, plane and place
	Value   string // to what
	At      time.Time
	Shown   bool // a later round found the world as it was written
	Removes bool
}

// Remembering returns the memory of a process that has seen nothing yet and knows when
// the last removals were made, by whoever ran before it.
func Remembering(removed []time.Time) Memory {
	var m Memory
	for _, at := range removed {
		m.Writes = append(m.Writes, Write{At: at, Shown: true, Removes: true})
	}
	return m
}

// Removals returns when the removals of the last hour were made, or may have been.
func (m Memory) Removals() []time.Time {
	var at []time.Time
	for _, w := range m.Writes {
		if w.Removes {
			at = append(at, w.At)
		}
	}
	return at
}

// remembered is how long writes count: the hour of law 5 and of the write conflict.
const remembered = time.Hour

// key names what a step writes, and the value that it writes there.
func (s Step) key() (key, value string) {
	place := ""
	switch a := s.Action.(type) {
	case PutTrustStatement:
		place, value = a.Role.String()+"#"+a.Grant.Sid(), string(a.Grant.Statement())
	case DropTrustStatement:
		place = a.Role.String() + "#" + a.Sid
	case SetAnnotation:
		place, value = a.Key, a.Value
	case DropAnnotation:
		place = a.Key
	case CreateAssociation:
		value = a.Role.String()
	case UpdateAssociation:
		value = a.String()
	case DeleteAssociation:
	case RevokeTrust:
		r := a.Request
		place = a.Role.String() + "#" + r.Mechanism.String() + " " + r.Provider + " " + r.Audience
	case EvictPod:
		place, value = "Pod "+a.Pod, "evicted "+a.UID
	case RestartWorkload:
		place, value = a.Workload.String(), "restarted after "+a.Old
	case PauseRollout:
		place, value = a.Workload.String()+"#paused", "paused"
	case ResumeRollout:
		place = a.Workload.String() + "#paused"
	}
	return s.Subject.String() + "|" + string(s.Plane) + "|" + place, value
}

// Record returns the memory with the writes of a round added: the steps that took
// effect, at the time given.
func (m Memory) Record(at time.Time, done ...Step) Memory {
	out := Memory{Seen: maps.Clone(m.Seen), Writes: slices.Clone(m.Writes), Failed: m.Failed}
	for _, s := range done {
		key, value := s.key()
		out.Writes = append(out.Writes, Write{Key: key, Value: value, At: at, Removes: s.Removes()})
	}
	return out
}

// RecordFailed returns the memory with steps added that came to nothing.
func (m Memory) RecordFailed(at time.Time, failed ...Step) Memory {
	out := Memory{Seen: m.Seen, Writes: m.Writes, Failed: maps.Clone(m.Failed)}
	if out.Failed == nil {
		out.Failed = map[string]time.Time{}
	}
	for _, s := range failed {
		out.Failed[s.ID()] = at
	}
	return out
}

// show notes which writes the world shows: those that no step asks for again. Of
// several writes that it took to get there the last one counts.
func (m *Memory) show(wanted map[string]bool) {
	last := map[string]int{}
	for i, w := range m.Writes {
		last[w.Key+"="+w.Value] = i
	}
	var out []Write
	for i, w := range m.Writes {
		if !wanted[w.Key] && !w.Shown {
			if last[w.Key+"="+w.Value] != i {
				continue
			}
			w.Shown = true
		}
		out = append(out, w)
	}
	m.Writes = out
}

// forget drops the writes that no longer count.
func (m Memory) forget(now time.Time) Memory {
	out := Memory{Seen: map[string]time.Time{}, Failed: map[string]time.Time{}}
	for id, at := range m.Failed {
		if now.Sub(at) < remembered {
			out.Failed[id] = at
		}
	}
	for _, w := range m.Writes {
		if now.Sub(w.At) < remembered {
			out.Writes = append(out.Writes, w)
		}
	}
	return out
}

// times counts how often another writer took back what the step writes, and tells
// when it was last written. A write counts once the world has shown it, or has had
// the time in which a late read must show it (design.md, law 1): IAM and EKS are
// eventually consistent, and what is not seen yet was not taken back.
func (m Memory) times(s Step, now time.Time, late time.Duration) (n int, last time.Time) {
	key, value := s.key()
	var counted time.Time
	for _, w := range m.Writes {
		if w.Key != key || w.Value != value {
			continue
		}
		last = w.At
		if w.Shown || now.Sub(w.At) >= late && (counted.IsZero() || w.At.Sub(counted) >= late) {
			n, counted = n+1, w.At
		}
	}
	return n, last
}

// unseen reports whether the last write of what a step writes was the step's own, and was
// made so lately that a look may not show it yet (design.md, law 1).
func (m Memory) unseen(s Step, now time.Time, late time.Duration) bool {
	key, value := s.key()
	for _, w := range slices.Backward(m.Writes) {
		if w.Key == key {
			return w.Value == value && !w.Shown && now.Sub(w.At) < late
		}
	}
	return false
}

// removals counts the removals of the last hour.
func (m Memory) removals() int {
	n := 0
	for _, w := range m.Writes {
		if w.Removes {
			n++
		}
	}
	return n
}
