package seldom

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A condition of a day, met each second, is some thirty lines, which count every time.
func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1_000_000, 0)
	to := slog.New(slog.NewTextHandler(&out, nil))
	l := &Log{Now: func() time.Time { return now }}
	lines := func() []string {
		defer out.Reset()
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	for i := range 24 * 3600 {
		l.Tell(to, slog.LevelError, "disk error", fmt.Errorf("write seg-%d: no space left", i))
		now = now.Add(time.Second)
	}
	got := lines()
	if n := len(got); n < 24 || n > 32 || strings.Contains(got[0], "times=") ||
		!strings.Contains(got[1], "times=60 ") || !strings.Contains(got[n-1], "times=3600 ") {
		t.Errorf("%d lines:\n%s", n, strings.Join(got, "\n"))
	}
	l.Tell(to, slog.LevelError, "disk error", errors.New("input/output error"))
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "input/output") {
		t.Errorf("another error is news: %q", got)
	}
	l.Over(to, "disk error")
	l.Over(to, "disk error")
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "works again") {
		t.Errorf("the end of it: %q", got)
	}
	for range 3 { // each time it had been over for long
		l.Tell(to, slog.LevelWarn, "seldom", nil)
		now = now.Add(2 * time.Hour)
	}
	if got := lines(); len(got) != 3 {
		t.Errorf("what comes every two hours: %q", got)
	}
	for i := range 3 * maxConditions {
		l.Tell(to, slog.LevelWarn, strings.Repeat("x", i), nil)
	}
	if len(l.all) > maxConditions {
		t.Errorf("%d conditions are remembered", len(l.all))
	}
}
