package cli

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgress: what is done is told when a second has passed, also where nothing new
// was begun since, and is gone before anything else is written.
func TestProgress(t *testing.T) {
	t.Parallel()
	const wiped = "\r\x1b[K"
	for _, tt := range []struct {
		name     string
		terminal bool
		play     func(v *voice, answer func(string))
		want     string
	}{
		{"over at once", true, func(v *voice, _ func(string)) { v.progress("a"); time.Sleep(early / 2); v.close() }, ""},
		{"one thing that takes long", true, func(v *voice, _ func(string)) { v.progress("a"); time.Sleep(2 * early); v.close() }, "lanyard: a ..." + wiped},
		{"the latest of several", true, func(v *voice, _ func(string)) {
			v.progress("a")
			v.progress("b")
			time.Sleep(2 * early)
			v.progress("c")
			v.close()
		}, "lanyard: b ..." + wiped + "lanyard: c ..." + wiped},
		{"an answer takes it away", true, func(v *voice, answer func(string)) {
			v.progress("a")
			time.Sleep(2 * early)
			answer("A\n")
			time.Sleep(early)
			v.close()
		}, "lanyard: a ..." + wiped + "A\n"},
		{"an answer comes first", true, func(v *voice, answer func(string)) { v.progress("a"); answer("A\n"); time.Sleep(2 * early) }, "A\n"},
		{"talk takes it away", true, func(v *voice, _ func(string)) {
			v.progress("a")
			time.Sleep(2 * early)
			v.say("b")
			v.close()
		}, "lanyard: a ..." + wiped + "lanyard: b\n"},
		{"nobody at a terminal", false, func(v *voice, _ func(string)) { v.progress("a"); time.Sleep(2 * early); v.progress("b"); v.close() }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var screen lockedBuffer
				v := &voice{out: &screen, terminal: tt.terminal, started: time.Now()}
				tt.play(v, func(text string) { fmt.Fprint(v.after(&screen), text) })
				synctest.Wait()
				if got := screen.String(); got != tt.want {
					t.Errorf("screen: got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
