package replay_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// BenchmarkNewPlan reads everything that a restore reads before it touches its target: the base with
// its structure and checksums, and the stream, command by command.
func BenchmarkNewPlan(b *testing.B) {
	srv := proxytest.Spec{Args: append([]string{"--rdbcompression", "no"}, serverArgs...)}.Start(b)
	const fill = "for i = 1, ARGV[1] do redis.call('SET', 'key:' .. i, ARGV[2]) end"
	value := strings.Repeat("x", 100)
	for _, row := range []struct {
		name         string
		base, stream int // keys
	}{{"base", 500_000, 1}, {"stream", 1, 500_000}} {
		srv.MustDo("FLUSHALL")
		srv.MustDo("DEBUG", "POPULATE", row.base, "key", 100)
		r := record(b, srv)
		for range row.stream/5000 + 1 { // short of the server's limits for one script
			srv.MustDo("EVAL", fill, 0, min(row.stream, 5000), value)
		}
		r.caughtUp()
		view, p := r.view(), r.locate(replay.Selector{})
		b.Run(row.name, func(b *testing.B) {
			var plan *replay.Plan
			before := cpuTime(b)
			for b.Loop() {
				var err error
				if plan, err = replay.NewPlan(context.Background(), view, p, nil); err != nil {
					b.Fatal(err)
				}
			}
			read := plan.Base.Size + plan.End() - plan.Base.Offset
			b.SetBytes(read)
			b.ReportMetric(float64(cpuTime(b)-before)/float64(read)/float64(b.N), "cpu-ns/B")
		})
		r.stop()
	}
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
