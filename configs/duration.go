package configs

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errNotDuration = errors.New("expected a duration such as 500ms, 10s, 24h or 7d")

const (
	day     = 24 * time.Hour
	maxDays = int64((1<<63 - 1) / day)
)

// ParseDuration reads a duration as time.ParseDuration does, with whole days in front of it if
// wanted: "7d", "1d12h". Negative durations are errors: none of them has a meaning here.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return parseClock(text)
	}
	n, err := strconv.ParseUint(days, 10, 63)
	if err != nil || int64(n) > maxDays {
		return 0, errNotDuration
	}
	whole := time.Duration(n) * day
	if rest == "" {
		return whole, nil
	}
	clock, err := parseClock(rest)
	if err != nil || whole+clock < whole {
		return 0, errNotDuration
	}
	return whole + clock, nil
}

func parseClock(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return 0, errNotDuration
	}
	return d, nil
}
