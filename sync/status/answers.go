package status

import (
	"encoding/json"
	"time"

	"github.com/lanyard-io/lanyard/sync/plan"
)

// ready reports whether there was a good round, and when it ended.
func (b *Board) ready() (bool, time.Time) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.diff != nil, b.ended
}

func (b *Board) statusJSON() ([]byte, error) { return indented(b.status()) }

// findingsJSON is the report of the last good round, as `lanyard diff -o json` writes it.
func (b *Board) findingsJSON() ([]byte, error) {
	b.mu.RLock()
	diff := b.diff
	b.mu.RUnlock()
	if diff == nil {
		return nil, nil
	}
	data, err := diff.JSON()
	return scrub(data), err
}

// planJSON is what the last good round planned, and how migrations stand.
func (b *Board) planJSON() ([]byte, error) {
	b.mu.RLock()
	diff, p, outline := b.diff, b.plan, b.outline
	b.mu.RUnlock()
	if diff == nil {
		return nil, nil
	}
	answer := struct {
		plan.Plan
		Migration json.RawMessage `json:"migration,omitempty"`
	}{Plan: p}
	if outline != nil {
		text, err := outline()
		if err != nil {
			return nil, err
		}
		answer.Migration = text
	}
	return indented(answer)
}

// snapshotJSON is what the last good round saw, as `lanyard snapshot -o json` writes
// it. It is not touched: package observe puts nothing secret there.
func (b *Board) snapshotJSON() ([]byte, error) {
	b.mu.RLock()
	snapshot := b.snapshot
	b.mu.RUnlock()
	if snapshot == nil {
		return nil, nil
	}
	return snapshot.Facts().EncodeJSON()
}

func indented(document any) ([]byte, error) {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(scrub(data), '\n'), nil
}
