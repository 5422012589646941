package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A place is the beginning or the end of a part of a journal: an offset or a time.
type place struct {
	given  bool
	offset int64
	time   time.Time // zero: offset counts
}

const placeHelp = "an `OFFSET|TIME`: digits, 2026-03-01T14:03:05.5Z, 90s ago,\n" +
	"14:03:05 or 2026-03-01 14:03:05 (here)"

// The forms of times without a zone, which are those of this machine's clock.
var localTimes = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04",
	"2006-01-02 15:04"}

// parsePlace reads OFFSET|TIME. A time of the day alone is the last such time before now.
func parsePlace(text string, now time.Time) (place, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return place{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return place{given: true, offset: n}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return place{given: true, time: t}, nil
	}
	for _, form := range localTimes {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return place{given: true, time: t}, nil
		}
	}
	for _, form := range []string{"15:04:05", "15:04"} {
		clock, err := time.ParseInLocation(form, text, now.Location())
		if err != nil {
			continue
		}
		t := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(),
			clock.Second(), clock.Nanosecond(), now.Location())
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return place{given: true, time: t}, nil
	}
	if span, ok := strings.CutSuffix(text, "ago"); ok {
		d, err := time.ParseDuration(strings.TrimSpace(span))
		if err == nil && d >= 0 {
			return place{given: true, time: now.Add(-d)}, nil
		}
	}
	return place{}, fmt.Errorf("%q is neither an offset nor a time", text)
}

// clock is a time for people: of this machine's clock, with its zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02T15:04:05.000Z07:00")
}
