package desired

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Windows are the times at which a migration may start or narrow. The zero value
// is always open. Times are wall-clock times of the zone named: on the day on
// which clocks are put forward a window may be an hour shorter, and an hour
// longer on the day on which they are put back.
type Windows struct{ list []window }

// window is one stretch of a day. Where it ends at or before its start it runs
// past midnight and belongs to the day on which it began.
type window struct {
	days       [7]bool // by time.Weekday
	text       string  // canonical
	start, end int     // minutes after midnight; end may be 1440
	zone       *time.Location
}

const (
	windowExample  = `"Mon-Fri 09:00-16:00 Europe/Berlin"`
	maxWindows     = 32
	minutesOfADay  = 24 * 60
	maxWindowsText = 2048
)

var (
	weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	clockRE  = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])$`)
)

// ParseWindows reads windows such as "Mon-Fri 09:00-16:00 Europe/Berlin", several
// of them separated by commas. Days are optional, a day or a range that may pass
// over the weekend's end ("Fri-Mon"); times run from 00:00 to 24:00 and may cross
// midnight ("22:00-04:00"); the zone is an IANA name and never left out. Empty
// text and "always" are always open.
func ParseWindows(s string) (Windows, error) {
	if s = strings.TrimSpace(s); s == "" || s == "always" {
		return Windows{}, nil
	}
	if len(s) > maxWindowsText {
		return Windows{}, fmt.Errorf("%d characters of windows are over %d", len(s), maxWindowsText)
	}
	parts := strings.Split(s, ",")
	if len(parts) > maxWindows {
		return Windows{}, fmt.Errorf("%d windows are more than %d", len(parts), maxWindows)
	}
	var w Windows
	for _, part := range parts {
		one, err := parseWindow(part)
		switch {
		case err != nil && len(parts) > 1:
			return Windows{}, fmt.Errorf("%q: %w", strings.TrimSpace(part), err)
		case err != nil:
			return Windows{}, err
		}
		w.list = append(w.list, one)
	}
	return w, nil
}

func parseWindow(s string) (window, error) {
	words := strings.Fields(s)
	var w window
	var err error
	days := ""
	switch {
	case len(words) == 3:
		if w.days, err = parseDays(words[0]); err != nil {
			return window{}, err
		}
		days, words = words[0]+" ", words[1:]
	case len(words) != 2:
		return window{}, fmt.Errorf("a window is days, times and a zone")
	case strings.Contains(words[1], ":"):
		return window{}, fmt.Errorf("the zone is missing")
	default:
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	from, to, ok := strings.Cut(words[0], "-")
	if !ok {
		return window{}, fmt.Errorf("times %q are not HH:MM-HH:MM", words[0])
	}
	if w.start, err = parseClock(from); err != nil {
		return window{}, err
	}
	if w.end, err = parseClock(to); err != nil {
		return window{}, err
	}
	switch {
	case w.start == minutesOfADay:
		return window{}, fmt.Errorf("a window cannot start at 24:00; the day's first minute is 00:00")
	case w.start == w.end:
		return window{}, fmt.Errorf("a window of no length; a whole day is 00:00-24:00")
	case w.end == 0:
		w.end = minutesOfADay
	}
	// "Local" would read the machine that happens to run lanyard.
	if w.zone, err = time.LoadLocation(words[1]); err != nil || words[1] == "Local" {
		return window{}, fmt.Errorf("zone %q is not an IANA name", words[1])
	}
	w.text = fmt.Sprintf("%s%02d:%02d-%02d:%02d %s", days, w.start/60, w.start%60, w.end/60, w.end%60, words[1])
	return w, nil
}

// parseDays reads "Mon" or "Mon-Fri".
func parseDays(s string) (days [7]bool, err error) {
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
	if first < 0 || last < 0 {
		return days, fmt.Errorf("days %q are not of Mon Tue Wed Thu Fri Sat Sun", s)
	}
	for d := first; ; d = (d + 1) % 7 {
		days[d] = true
		if d == last {
			return days, nil
		}
	}
}

// parseClock returns the minutes after midnight.
func parseClock(s string) (int, error) {
	if !clockRE.MatchString(s) {
		return 0, fmt.Errorf("time %q is not HH:MM", s)
	}
	minutes := int(s[0]-'0')*600 + int(s[1]-'0')*60 + int(s[3]-'0')*10 + int(s[4]-'0')
	if minutes > minutesOfADay {
		return 0, fmt.Errorf("time %q is after 24:00", s)
	}
	return minutes, nil
}

// Open reports whether now is inside any of the windows.
func (w Windows) Open(now time.Time) bool {
	return len(w.list) == 0 || slices.ContainsFunc(w.list, func(one window) bool { return one.open(now) })
}

func (w window) open(now time.Time) bool {
	local := now.In(w.zone)
	minute, today := local.Hour()*60+local.Minute(), local.Weekday()
	if w.start < w.end {
		return w.days[today] && w.start <= minute && minute < w.end
	}
	yesterday := (today + 6) % 7
	return w.days[today] && minute >= w.start || w.days[yesterday] && minute < w.end
}

// IsZero reports whether the windows are always open.
func (w Windows) IsZero() bool { return len(w.list) == 0 }

// Equal reports whether both were written the same, spaces apart.
func (w Windows) Equal(v Windows) bool { return w.String() == v.String() }

// String returns the windows in one spelling, "always" for the zero value.
func (w Windows) String() string {
	if w.IsZero() {
		return "always"
	}
	all := make([]string, len(w.list))
	for i, one := range w.list {
		all[i] = one.text
	}
	return strings.Join(all, ", ")
}

// MarshalText writes the windows as [Windows.String] does.
func (w Windows) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads windows as [ParseWindows] does.
func (w *Windows) UnmarshalText(b []byte) error {
	parsed, err := ParseWindows(string(b))
	if err != nil {
		return err
	}
	*w = parsed
	return nil
}
