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
	Writes []Write // oldest first
}

// Write is one write that took effect.
type Write struct {
	Key     string // what was written: subject, plane and place
	Value   string // to what
	At      time.Time
	Removes bool
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
	}
	return s.Subject.String() + "|" + string(s.Plane) + "|" + place, value
}

// Record returns the memory with the writes of a round added: the steps that took
// effect, at the time given.
func (m Memory) Record(at time.Time, done ...Step) Memory {
	out := Memory{Seen: maps.Clone(m.Seen), Writes: slices.Clone(m.Writes)}
	for _, s := range done {
		key, value := s.key()
		out.Writes = append(out.Writes, Write{Key: key, Value: value, At: at, Removes: s.Removes()})
	}
	return out
}

// forget drops the writes that no longer count.
func (m Memory) forget(now time.Time) Memory {
	out := Memory{Seen: map[string]time.Time{}}
	for _, w := range m.Writes {
		if now.Sub(w.At) < remembered {
			out.Writes = append(out.Writes, w)
		}
	}
	return out
}

// times counts how often the same was written to the same place, and tells when last.
func (m Memory) times(s Step) (n int, last time.Time) {
	key, value := s.key()
	for _, w := range m.Writes {
		if w.Key == key && w.Value == value {
			n, last = n+1, w.At
		}
	}
	return n, last
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
