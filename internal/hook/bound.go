package hook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// remembered is how long a delivery counts as seen: a timestamp from the far end of the
// future stays fresh for twice the window. mostSeen is how many names of deliveries are
// kept of each provider.
const (
	remembered = 2*window + time.Minute
	mostSeen   = 1 << 15
)

// memory keeps the names of deliveries, as hashes, the oldest first out.
type memory struct {
	mu    sync.Mutex
	at    map[[16]byte]time.Time
	queue []named // in the order in which they came
}

type named struct {
	key [16]byte
	at  time.Time
}

// add notes a delivery and reports whether it is new. One without a name is new.
func (m *memory) add(now time.Time, names ...string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = map[[16]byte]time.Time{}
	}
	for len(m.queue) > 0 && (len(m.queue)+len(names) > mostSeen || now.Sub(m.queue[0].at) >= remembered) {
		delete(m.at, m.queue[0].key)
		m.queue = m.queue[1:]
	}
	isNew := true
	for _, name := range names {
		sum := sha256.Sum256([]byte(name))
		key := [16]byte(sum[:16])
		if _, met := m.at[key]; met {
			isNew = false
			continue
		}
		m.at[key] = now
		m.queue = append(m.queue, named{key, now})
	}
	return isNew
}

// bucket lets maxPerTime through in a second, and burst at once.
type bucket struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.left = burst
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(burst, b.left+passed*maxPerTime)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// throttle lets one line a minute through, and counts those in between.
type throttle struct {
	mu     sync.Mutex
	last   time.Time
	silent int
}

func (t *throttle) speak(now time.Time) (silent int, speak bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if passed := now.Sub(t.last); !t.last.IsZero() && passed >= 0 && passed < time.Minute {
		t.silent++
		return 0, false
	}
	silent, t.silent, t.last = t.silent, 0, now
	return silent, true
}
