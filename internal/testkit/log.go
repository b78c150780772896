package testkit

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Logger returns a logger whose lines appear with the test's own output, shown when
// the test fails or with -v. Times are left out: they differ from run to run. What
// is logged after the test has ended, by a goroutine on its way out, is dropped,
// where t.Log would panic.
func Logger(t testing.TB) *slog.Logger {
	w := &lines{t: t}
	t.Cleanup(w.close) // cleanups run last in, first out: those of later calls may still log
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// lines is a test's log as a writer. The lock keeps t.Log from overlapping the end of
// the test.
type lines struct {
	mu     sync.Mutex
	t      testing.TB
	closed bool
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
