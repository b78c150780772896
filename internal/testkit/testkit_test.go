package testkit

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// spy is a test that records instead of failing.
type spy struct {
	testing.TB
	lines    []string
	cleanups []func()
}

func (s *spy) Helper()          {}
func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *spy) Log(args ...any)  { s.lines = append(s.lines, "log: "+fmt.Sprint(args...)) }
func (s *spy) Errorf(format string, args ...any) {
	s.lines = append(s.lines, "error: "+fmt.Sprintf(format, args...))
}

func (s *spy) Fatalf(format string, args ...any) {
	s.lines = append(s.lines, "fatal: "+fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// run calls f as a test would, so that Fatalf ends it alone.
func (s *spy) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func TestGolden(t *testing.T) {
	t.Parallel()
	Golden(t, "text.txt", "one\ntwo\n")
	t.Run("a subtest shares the directory", func(t *testing.T) {
		t.Parallel()
		Golden(t, "text.txt", "one\ntwo\n")
	})
}

func TestGoldenWritesAndDiffers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "deep", "plan.txt")
	for _, step := range []struct {
		name  string
		write bool
		got   string
		want  []string // in the one line said; none means silence
	}{
		{"absent", false, "one\n", []string{"fatal: ", "does not exist", "-update", "one"}},
		{"written", true, "one\ntwo\n", nil},
		{"equal", false, "one\ntwo\n", nil},
		{"different", false, "one\nthree\n", []string{"error: ", "plan.txt differs", "two", "three", "-update"}},
		{"no last newline", false, "one\ntwo", []string{"error: ", "differs"}},
	} {
		s := &spy{TB: t}
		s.run(func() { golden(s, step.write, file, step.got) })
		said := strings.Join(s.lines, "\n")
		if (len(step.want) == 0) != (said == "") {
			t.Errorf("%s: said %q, want %q", step.name, said, step.want)
		}
		for _, want := range step.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: said %q, want %q in it", step.name, said, want)
			}
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "one\ntwo\n" {
		t.Errorf("%s = %q, %v, want what was written", file, data, err)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	s := &spy{TB: t}
	log := Logger(s)
	log.LogAttrs(t.Context(), slog.LevelDebug, "step done", slog.String("subject", "demo/s3-reader"), slog.Group("took", slog.Int("time", 3)))
	for _, cleanup := range s.cleanups {
		cleanup()
	}
	log.LogAttrs(t.Context(), slog.LevelError, "too late")
	want := `log: level=DEBUG msg="step done" subject=demo/s3-reader took.time=3`
	if len(s.lines) != 1 || s.lines[0] != want {
		t.Errorf("lines = %q, want one: %q", s.lines, want)
	}
}
