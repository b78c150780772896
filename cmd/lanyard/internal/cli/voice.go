package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/lanyard-io/lanyard/sync/report"
)

// voice is how lanyard talks on standard error, and colours standard output. Talk
// has one prefix; progress is one line that overwrites itself, shown on a terminal
// only and only for what takes over a second.
type voice struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool // standard error is one
	colour   bool // standard output is one, and NO_COLOR is not set
	started  time.Time
	shown    bool
}

func newVoice(world World) *voice {
	return &voice{
		out:      world.Stderr,
		terminal: isTerminal(world.Stderr) && world.Getenv("TERM") != "dumb",
		colour:   isTerminal(world.Stdout) && world.Getenv("NO_COLOR") == "" && world.Getenv("TERM") != "dumb",
		started:  time.Now(),
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say prints one line of talk.
func (v *voice) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
	fmt.Fprintf(v.out, "lanyard: %s\n", report.Printable(fmt.Sprintf(format, args...)))
}

// progress shows what is being done, once a second has passed.
func (v *voice) progress(what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terminal || time.Since(v.started) < time.Second {
		return
	}
	v.wipe()
	fmt.Fprintf(v.out, "lanyard: %s ...", report.Printable(what))
	v.shown = true
}

func (v *voice) wipe() {
	if v.shown {
		fmt.Fprint(v.out, "\r\x1b[K")
		v.shown = false
	}
}

func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
}

// paint returns the colours for standard output, or none.
func (v *voice) paint() report.Paint {
	if !v.colour {
		return nil
	}
	codes := map[report.Style]string{
		report.StyleCritical: "1;31", report.StyleWarning: "33", report.StyleInfo: "36",
		report.StyleGood: "32", report.StyleStrong: "1", report.StyleFaint: "2",
	}
	return func(s report.Style, text string) string { return "\x1b[" + codes[s] + "m" + text + "\x1b[0m" }
}
