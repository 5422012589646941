package tap

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestBacklogWarning(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		size   int64
		rate   float64
		lasts  time.Duration
		warned bool
	}{
		{"short", 1 << 20, 1 << 17, 8 * time.Second, true},
		{"long enough", 1 << 20, 1 << 10, 1024 * time.Second, false},
		{"unknown", 0, 1 << 20, 0, false},
		{"nothing is written", 1 << 20, 0, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			tap := &Tap{opts: Options{BacklogTime: time.Minute},
				log: slog.New(slog.NewTextHandler(&log, nil))}
			tap.stats.s.BacklogSize = row.size
			tap.judgeBacklog(row.rate)
			tap.judgeBacklog(row.rate)
			if tap.stats.s.BacklogTime != row.lasts {
				t.Errorf("lasts %v, want %v", tap.stats.s.BacklogTime, row.lasts)
			}
			want := 0
			if row.warned {
				want = 1 // not again within the hour
			}
			if n := strings.Count(log.String(), "repl-backlog-size"); n != want {
				t.Errorf("warned %d times, want %d: %s", n, want, log.String())
			}
		})
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	start := time.Now()
	r := newRate(1000, start)
	if r.sample(5000, start.Add(rateEvery/2)) {
		t.Error("a figure after half a sample")
	}
	if !r.sample(1000+rateEvery.Nanoseconds()/1e6, start.Add(rateEvery)) || r.perSecond != 1000 {
		t.Errorf("%v bytes per second, want 1000", r.perSecond)
	}
}
