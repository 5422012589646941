package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lineLog is a log of text lines without their times.
type lineLog struct {
	mu    sync.Mutex
	lines []string
	slow  chan struct{} // if set, each line waits for a token
}

func (l *lineLog) Write(p []byte) (int, error) {
	if l.slow != nil {
		<-l.slow
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(bytes.TrimSpace(p)))
	return len(p), nil
}

// take returns the lines since the last call.
func (l *lineLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.lines, "\n")
	l.lines = nil
	return text
}

func newTestRuleLog(l *lineLog) *ruleLog {
	untimed := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return newRuleLog(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: untimed})))
}

func TestRuleLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lineLog
		r := newTestRuleLog(&l)
		r.start()
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := l.take(); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", when, got, want)
			}
		}
		r.hit("a", false, ruleHit{command: "flushall", user: "alice", client: "1:1"})
		expect("the first", `level=WARN msg="a rule refused a command" rule=a command=flushall `+
			`user=alice client=1:1`)
		r.hit("a", false, ruleHit{command: "flushdb", user: "bob", client: "2:2"})
		r.hit("a", false, ruleHit{command: "", user: "carol", client: "3:3"})
		expect("more of the same", "")
		r.hit("b", true, ruleHit{command: "keys", user: "alice", client: "1:1"})
		expect("another rule", `level=INFO msg="a rule would refuse a command" rule=b command=keys `+
			`user=alice client=1:1`)
		time.Sleep(ruleLogPause - time.Second)
		expect("before the pause is over", "")
		time.Sleep(time.Second)
		expect("after it", `level=WARN msg="a rule refused commands" rule=a count=2 `+
			`last_command=(unknown) last_user=carol last_client=3:3`)
		time.Sleep(2 * ruleLogPause)
		expect("nothing new", "")
		if len(r.rules) != 0 {
			t.Errorf("%d rules are remembered", len(r.rules))
		}
		r.hit("a", false, ruleHit{command: "flushall", user: "alice", client: "1:1"})
		expect("after a rest", `level=WARN msg="a rule refused a command" rule=a command=flushall `+
			`user=alice client=1:1`)
		r.hit("a", false, ruleHit{command: "flushall", user: "bob", client: "1:1"})
		r.stop()
		expect("at the end", `level=WARN msg="a rule refused commands" rule=a count=1 `+
			`last_command=flushall last_user=bob last_client=1:1`)
	})
}

// A log that nobody reads holds up nobody, and nothing is lost from the counts.
func TestRuleLogNeverBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := lineLog{slow: make(chan struct{})}
		r := newTestRuleLog(&l)
		r.start()
		for range 1000 {
			r.hit("a", false, ruleHit{command: "flushall", user: "u", client: "c"})
			synctest.Wait() // the writer is stuck from the first on
		}
		close(l.slow)
		r.stop()
		got := l.take()
		if !strings.Contains(got, "a rule refused a command\"") || !strings.Contains(got, "count=999") {
			t.Errorf("got %s", got)
		}
	})
}

func TestRuleLogCostsNothing(t *testing.T) {
	r := newTestRuleLog(&lineLog{})
	r.hit("a", false, ruleHit{command: "flushall", user: "u", client: "c"})
	if n := testing.AllocsPerRun(100, func() { r.hit("a", false, ruleHit{command: "flushall", user: "u", client: "c"}) }); n > 0 {
		t.Errorf("%v allocations for each command", n)
	}
}
