package actors

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// schedule is a cron schedule: five sets of numbers, and a time zone.
type schedule struct {
	minute, hour, day, month, weekday map[int]bool
	anyDay, anyWeekday                bool
	zone                              *time.Location
}

// parseSchedule reads the five fields of a CronJob: numbers, ranges, steps and lists, and
// the shorthands.
//
// https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
func parseSchedule(line, zone string) (schedule, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return schedule{}, err
	}
	if long, ok := map[string]string{
		"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
	}[line]; ok {
		line = long
	}
	f := strings.Fields(line)
	if len(f) != 5 {
		return schedule{}, fmt.Errorf("schedule %q has %d fields, not 5", line, len(f))
	}
	s := schedule{zone: loc, anyDay: strings.HasPrefix(f[2], "*"), anyWeekday: strings.HasPrefix(f[4], "*")}
	for i, p := range []struct {
		to       *map[int]bool
		from, up int
	}{{&s.minute, 0, 59}, {&s.hour, 0, 23}, {&s.day, 1, 31}, {&s.month, 1, 12}, {&s.weekday, 0, 7}} {
		if *p.to, err = parseField(f[i], p.from, p.up); err != nil {
			return schedule{}, fmt.Errorf("schedule %q: %w", line, err)
		}
	}
	s.weekday[0] = s.weekday[0] || s.weekday[7]
	return s, nil
}

func parseField(field string, from, to int) (map[int]bool, error) {
	out := map[int]bool{}
	for part := range strings.SplitSeq(field, ",") {
		span, by, stepped := strings.Cut(part, "/")
		step, lo, hi := 1, from, to
		var err error
		if stepped {
			if step, err = strconv.Atoi(by); err != nil || step < 1 {
				return nil, fmt.Errorf("bad step in %q", part)
			}
		}
		if span != "*" && span != "?" {
			first, last, ranged := strings.Cut(span, "-")
			if lo, err = strconv.Atoi(first); err != nil {
				return nil, fmt.Errorf("bad number in %q", part)
			}
			switch {
			case ranged:
				if hi, err = strconv.Atoi(last); err != nil {
					return nil, fmt.Errorf("bad number in %q", part)
				}
			case !stepped:
				hi = lo
			}
		}
		if lo < from || hi > to || lo > hi {
			return nil, fmt.Errorf("%q is outside %d to %d", part, from, to)
		}
		for n := lo; n <= hi; n += step {
			out[n] = true
		}
	}
	return out, nil
}

// matches knows cron's oddity: where both day fields are restricted, either will do.
func (s schedule) matches(t time.Time) bool {
	if !s.minute[t.Minute()] || !s.hour[t.Hour()] || !s.month[int(t.Month())] {
		return false
	}
	day, weekday := s.day[t.Day()], s.weekday[int(t.Weekday())]
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
