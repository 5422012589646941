package audit

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/proxytest"
)

// slowLog is a log each of whose lines waits for a token.
type slowLog struct {
	proxytest.Log
	tokens chan struct{}
}

func (l *slowLog) Write(p []byte) (int, error) {
	<-l.tokens
	return l.Log.Write(p)
}

func TestRuleLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l proxytest.Log
		r := NewRuleLog(proxytest.Untimed(&l))
		r.Start()
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := l.Take(); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", when, got, want)
			}
		}
		r.Hit("a", false, Hit{Command: "flushall", User: "alice", Client: "1:1"})
		expect("the first", `level=WARN msg="a rule refused a command" rule=a command=flushall `+
			`user=alice client=1:1`)
		r.Hit("a", false, Hit{Command: "flushdb", User: "bob", Client: "2:2"})
		r.Hit("a", false, Hit{Command: "", User: "carol", Client: "3:3"})
		expect("more of the same", "")
		r.Hit("b", true, Hit{Command: "keys", User: "alice", Client: "1:1"})
		expect("another rule", `level=INFO msg="a rule would refuse a command" rule=b command=keys `+
			`user=alice client=1:1`)
		time.Sleep(rulePause - time.Second)
		expect("before the pause is over", "")
		time.Sleep(time.Second)
		expect("after it", `level=WARN msg="a rule refused commands" rule=a count=2 `+
			`last_command=(unknown) last_user=carol last_client=3:3`)
		time.Sleep(2 * rulePause)
		expect("nothing new", "")
		if len(r.rules) != 0 {
			t.Errorf("%d rules are remembered", len(r.rules))
		}
		r.Hit("a", false, Hit{Command: "flushall", User: "alice", Client: "1:1"})
		expect("after a rest", `level=WARN msg="a rule refused a command" rule=a command=flushall `+
			`user=alice client=1:1`)
		r.Hit("a", false, Hit{Command: "flushall", User: "bob", Client: "1:1"})
		r.Stop()
		expect("at the end", `level=WARN msg="a rule refused commands" rule=a count=1 `+
			`last_command=flushall last_user=bob last_client=1:1`)
	})
}

// An unread log holds no caller up, and the counts stay complete.
func TestRuleLogNeverBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := slowLog{tokens: make(chan struct{})}
		r := NewRuleLog(proxytest.Untimed(&l))
		r.Start()
		for range 1000 {
			r.Hit("a", false, Hit{Command: "flushall", User: "u", Client: "c"})
			synctest.Wait() // the writer is stuck from the first on
		}
		close(l.tokens)
		r.Stop()
		got := l.Take()
		if !strings.Contains(got, "a rule refused a command\"") || !strings.Contains(got, "count=999") {
			t.Errorf("got %s", got)
		}
	})
}

func TestRuleLogCostsNothing(t *testing.T) {
	r := NewRuleLog(slog.New(slog.DiscardHandler))
	r.Hit("a", false, Hit{Command: "flushall", User: "u", Client: "c"})
	if n := testing.AllocsPerRun(100, func() { r.Hit("a", false, Hit{Command: "flushall", User: "u", Client: "c"}) }); n > 0 {
		t.Errorf("%v allocations for each command", n)
	}
}
