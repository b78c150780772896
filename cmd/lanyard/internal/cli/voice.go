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

// early is how long lanyard works in silence before it says at what.
const early = time.Second

// voice is how lanyard talks on standard error, and colours standard output. Talk
// has one prefix; progress is one line that overwrites itself, shown on a terminal
// only and only for what takes over a second: then also where nothing new was begun
// since. Whatever else is written first takes the line away.
type voice struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool     // standard error is one
	colour   bool     // standard output is one, and NO_COLOR is not set
	screen   *os.File // standard output where it is one; nil where not
	started  time.Time
	doing    string      // what is being done; empty for nothing that is told
	soon     *time.Timer // shows it once a second has passed
	shown    bool
}

func newVoice(world World) *voice {
	v := &voice{
		out:      world.Stderr,
		terminal: isTerminal(world.Stderr) && world.Getenv("TERM") != "dumb",
		colour:   isTerminal(world.Stdout) && world.Getenv("NO_COLOR") == "" && world.Getenv("TERM") != "dumb",
		started:  time.Now(),
	}
	if isTerminal(world.Stdout) && world.Getenv("TERM") != "dumb" {
		v.screen, _ = world.Stdout.(*os.File)
	}
	return v
}

// size returns the columns and lines of the terminal; 80 and 24 where it does not say.
func (v *voice) size() (width, height int) {
	width, height, err := term.GetSize(int(v.screen.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
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
	if !v.terminal {
		return
	}
	v.doing = what
	switch left := early - time.Since(v.started); {
	case left <= 0:
		v.show()
	case v.soon == nil:
		v.soon = time.AfterFunc(left, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.show()
		})
	}
}

func (v *voice) show() {
	if v.doing == "" {
		return
	}
	v.wipe()
	fmt.Fprintf(v.out, "lanyard: %s ...", report.Printable(v.doing))
	v.shown = true
}

func (v *voice) wipe() {
	if v.shown {
		fmt.Fprint(v.out, "\r\x1b[K")
		v.shown = false
	}
}

// close takes the progress away, for the time being too.
func (v *voice) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
	v.doing = ""
}

// after returns a writer to out that takes the progress away first: on one terminal an
// answer would begin on its line.
func (v *voice) after(out io.Writer) io.Writer { return &afterwards{v, out} }

type afterwards struct {
	talk *voice
	out  io.Writer
}

// Write takes the progress away and writes.
func (w *afterwards) Write(p []byte) (int, error) {
	w.talk.close()
	return w.out.Write(p)
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
