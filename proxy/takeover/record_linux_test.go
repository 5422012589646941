package takeover

import (
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// record returns the Records of both processes of a stage, and the outcomes that they tell.
func (s *stage) record(c *Claim) (old, now *Record, told func() []string) {
	var log proxytest.Log
	old, now = s.offer.opts.Record, &Record{}
	for _, r := range []*Record{old, now} {
		r.Tell(func(o Outcome) { _, _ = log.Write([]byte(o.Side + " " + o.Outcome + ": " + o.Text() + "\n")) })
	}
	c.opts.Record = now
	return old, now, func() []string {
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		slices.Sort(lines)
		return lines
	}
}

func pid(text string) string { return strings.ReplaceAll(text, "PID", strconv.Itoa(os.Getpid())) }

func expectTold(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("told: %q", got)
	}
	for i := range got {
		if !strings.HasPrefix(got[i], pid(want[i])) {
			t.Errorf("got %q, want %q", got[i], pid(want[i]))
		}
	}
}

func expectCounts(t *testing.T, r *Record, want ...Count) {
	t.Helper()
	if got := r.Counts(); !slices.Equal(got, want) {
		t.Errorf("counts: %+v, want %+v", got, want)
	}
}

// Both processes know the outcome of a takeover.
func TestOutcomeDone(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	old, now, told := s.record(c)
	s.take(c)
	if err := c.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.offer.Settle(t.Context())
	c.Abandon(errors.New("too late to matter"))
	expectTold(t, told(), "new done: taken over from process PID", "old done: handed over to process PID")
	expectCounts(t, old, Count{Old, Done, 1})
	expectCounts(t, now, Count{New, Done, 1})
	old.Ended(os.Getpid(), nil) // it took over, and is no news
	expectCounts(t, old, Count{Old, Done, 1})
}

// A new process that fails after the handover has begun leaves a line on both sides.
func TestOutcomeFailed(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	old, _, told := s.record(c)
	s.take(c)
	c.Abandon(errors.New("no journal"))
	c.Close()
	s.offer.Settle(t.Context())
	expectTold(t, told(), "new failed: process PID serves again: no journal",
		"old failed: process PID does not serve, and this one goes on: takeover: the other process has gone")
	expectCounts(t, old, Count{Old, Failed, 1})
}

// An old process that ends on request does not claim to serve again.
func TestOutcomeLeft(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	_, _, told := s.record(c)
	s.take(c)
	s.offer.hangUp()
	s.offer.Settle(t.Context())
	expectTold(t, told(), "old left: ended while process PID took over")
}

// A reason before the handover is a line on both sides, once.
func TestOutcomeRefused(t *testing.T) {
	s := newStage(t, func(o *Offer) { o.own = 1 })
	c := s.claim()
	old, now, told := s.record(c)
	err := <-s.taking(c)
	c.Abandon(err)
	proxytest.Poll(t, "both know it", func() bool { return len(told()) == 2 })
	expectTold(t, told(), "new refused: nothing was taken over from process PID: the running proxy refuses: it is the first process",
		"old refused: refused to process PID: the running proxy refuses: it is the first process")
	expectCounts(t, now, Count{New, Refused, 1})
	old.Ended(os.Getpid(), errors.New("exit status 1"))
	expectCounts(t, old, Count{Old, Refused, 1})
	old.Ended(7, errors.New("exit status 1"))
	expectCounts(t, old, Count{Old, Refused, 1}, Count{Old, Failed, 1})
}

// Other users' processes are counted, and fill no audit log.
func TestOutcomeForeign(t *testing.T) {
	s := newStage(t, func(o *Offer) {
		o.peer = func(*net.UnixConn) (int, int, error) { return 7, os.Getuid() + 1, nil }
	})
	old := s.offer.opts.Record
	old.Tell(func(o Outcome) { t.Errorf("told: %+v", o) })
	for range 3 {
		conn, err := dial(s.found())
		if err != nil {
			t.Fatal(err)
		}
		var r *Refusal
		if _, _, err := (channel{conn}).receive(time.Now().Add(time.Minute)); !errors.As(err, &r) {
			t.Errorf("got %v", err)
		}
		conn.Close()
	}
	proxytest.Poll(t, "all are counted", func() bool { return slices.Equal(old.Counts(), []Count{{Old, Refused, 3}}) })
}

// Without a Record, or with no other process, there is nothing to note.
func TestNoRecord(t *testing.T) {
	var r *Record
	r.Tell(nil)
	r.note(Outcome{})
	r.noteForeign()
	r.Ended(1, nil)
	if r.Counts() != nil {
		t.Error("a nil Record counts")
	}
	var c *Claim
	c.Abandon(errors.New("x"))
	(&Claim{}).Abandon(errors.New("x"))
}
