package desired_test

import (
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/desired"
)

func TestWindows(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		windows   string
		canonical string
		open      []string // RFC 3339
		shut      []string
	}{
		{"", "always", []string{"2027-01-04T03:00:00Z"}, nil},
		{"always", "always", []string{"2027-01-04T03:00:00Z"}, nil},
		{" Mon-Fri  09:00-16:00   Europe/Berlin", "Mon-Fri 09:00-16:00 Europe/Berlin",
			[]string{"2027-01-04T08:00:00Z", "2027-01-08T14:59:59Z", "2027-07-05T07:00:00Z"},
			[]string{"2027-01-04T07:59:59Z", "2027-01-04T15:00:00Z", "2027-01-09T10:00:00Z", "2027-07-05T06:59:59Z"}},
		{"Fri 22:00-04:00 UTC", "Fri 22:00-04:00 UTC",
			[]string{"2027-01-08T22:00:00Z", "2027-01-09T03:59:00Z"},
			[]string{"2027-01-08T03:00:00Z", "2027-01-09T04:00:00Z", "2027-01-09T22:00:00Z"}},
		{"Fri-Mon 00:00-24:00 UTC", "Fri-Mon 00:00-24:00 UTC",
			[]string{"2027-01-08T00:00:00Z", "2027-01-11T23:59:59Z"}, []string{"2027-01-12T00:00:00Z", "2027-01-07T23:59:59Z"}},
		{"23:00-00:00 UTC", "23:00-24:00 UTC", []string{"2027-01-08T23:30:00Z"}, []string{"2027-01-09T00:00:00Z"}},
		{"Sat 10:00-11:00 UTC, Sun 10:00-11:00 Asia/Tokyo", "Sat 10:00-11:00 UTC, Sun 10:00-11:00 Asia/Tokyo",
			[]string{"2027-01-09T10:30:00Z", "2027-01-10T01:30:00Z"}, []string{"2027-01-10T10:30:00Z"}},
		// Clocks go forward at 02:00 on this day: 02:30 does not exist.
		{"02:00-03:00 Europe/Berlin", "02:00-03:00 Europe/Berlin", nil, []string{"2027-03-28T00:59:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"}},
		// Clocks go back at 03:00 on this day: 02:30 is twice.
		{"02:00-03:00 Europe/Berlin", "02:00-03:00 Europe/Berlin", []string{"2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"}, nil},
	} {
		w, err := desired.ParseWindows(tt.windows)
		if err != nil {
			t.Errorf("%q: %v", tt.windows, err)
			continue
		}
		if w.String() != tt.canonical {
			t.Errorf("%q: printed as %q, want %q", tt.windows, w, tt.canonical)
		}
		for want, moments := range map[bool][]string{true: tt.open, false: tt.shut} {
			for _, m := range moments {
				now, err := time.Parse(time.RFC3339, m)
				if err != nil {
					t.Fatal(err)
				}
				if got := w.Open(now); got != want {
					t.Errorf("%q at %s: open is %v, want %v", tt.windows, m, got, want)
				}
			}
		}
	}
}

func FuzzWindows(f *testing.F) {
	for _, s := range []string{"", "always", "Mon-Fri 09:00-16:00 Europe/Berlin", "Fri-Mon 22:00-04:00 UTC, 00:00-24:00 UTC", "24:00-24:01 UTC", "Mon 09:00-16:00 ../../etc/passwd"} {
		f.Add(s, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		w, err := desired.ParseWindows(s)
		if err != nil {
			return
		}
		again, err := desired.ParseWindows(w.String())
		if err != nil || !again.Equal(w) || again.String() != w.String() {
			t.Fatalf("%q: read back from %q as %q: %v", s, w, again, err)
		}
		if now := time.Unix(unix%1e10, 0); again.Open(now) != w.Open(now) {
			t.Fatalf("%q: open at %s is %v, read back %v", s, now, w.Open(now), again.Open(now))
		}
	})
}
