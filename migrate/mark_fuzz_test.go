package migrate_test

import (
	"testing"

	"github.com/lanyard-io/lanyard/migrate"
)

// FuzzParseMark: a mark that can be read is one or two rollbacks, and reads back as it is
// written.
func FuzzParseMark(f *testing.F) {
	f.Add("0123456789ab 2026-11-23T09:00:00Z crash loop")
	f.Add("0123456789ab 2026-11-23T09:00:00Z,2026-11-22T10:00:00+01:00 x")
	f.Add("0123456789AB 2026-11-23T09:00:00.5Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := migrate.ParseMark(text)
		if err != nil {
			return
		}
		if len(m.At) < 1 || len(m.At) > 2 {
			t.Fatalf("%d rollbacks in %q", len(m.At), text)
		}
		again, err := migrate.ParseMark(m.String())
		if err != nil || again.Digest != m.Digest || len(again.At) != len(m.At) || again.Reason != m.Reason || again.At[0].Unix() != m.At[0].Unix() {
			t.Errorf("%q reads as %+v, and written and read as %+v (%v)", text, m, again, err)
		}
	})
}
