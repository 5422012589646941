package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/telemetry"
)

// onRoute is a route for the keys pay:*.
func onRoute(d policy.Demand, change ...func(*policy.RouteSpec)) []policy.RouteSpec {
	r := policy.RouteSpec{Name: "payments", Keys: []string{"pay:*"}, Demand: d, Timeout: 500 * time.Millisecond}
	for _, f := range change {
		f(&r)
	}
	return []policy.RouteSpec{r}
}

var oneReplica = policy.Demand{Replicas: 1}

// Constants of package durable.
const (
	maxFences  = 4
	retryPause = 5 * time.Millisecond
	gateHolds  = 16 << 10
)

func TestReplyIsHeldUntilTheFence(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a", "GET x", "SET plain b")
		c.expect("")
		b.server.catchUp()
		b.server.answer(":1\r\n")
		c.expect("+OK\r\n$1\r\nx\r\n+OK\r\n")
	})
}

func TestFenceCoversWhatWasAnsweredBeforeIt(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		first, second := b.client(), b.client()
		first.send("SET pay:1 a")
		if got := b.server.waiting(); len(got) != 1 {
			t.Fatalf("waiting: %q", got)
		}
		second.send("SET pay:2 b") // answered while the fence is in the air
		b.server.catchUp()
		b.server.answer(":1\r\n")
		first.expect("+OK\r\n")
		second.expect("")
		b.server.catchUp()
		b.server.answer(":1\r\n")
		second.expect("+OK\r\n")
	})
}

// prove lets the oldest WAIT succeed.
func (b *bubble) prove() {
	b.server.catchUp()
	b.server.answer(":1\r\n")
	b.settle()
}

// outcomes is what became of the commands on the first route.
func (b *bubble) outcomes() (out telemetry.RouteCounters) {
	b.onLoop(func() { out = *b.w.counters.Routes[0] })
	return out
}

func (b *bubble) expectOutcome(o telemetry.HoldOutcome, want uint64) {
	b.t.Helper()
	if n := b.outcomes(); n.Outcomes[o] != want {
		b.t.Errorf("%v: got %d, want %d of %v", o, n.Outcomes[o], want, n.Outcomes)
	}
}

func TestTimeoutInTheMiddle(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.sleep(300 * time.Millisecond)
		c.send("SET pay:2 b", "GET x")
		b.sleep(199 * time.Millisecond)
		c.expect("")
		b.sleep(2 * time.Millisecond)
		c.expectError("UNCONFIRMED", "within 500ms", "replicas 0 of 1")
		b.server.catchUp()
		for len(b.server.waiting()) > 0 {
			b.prove()
		}
		c.expect("+OK\r\n$1\r\nx\r\n")
		b.expectOutcome(telemetry.HoldTimeout, 1)
		b.expectOutcome(telemetry.HoldConfirmed, 1)
		if n := b.outcomes(); n.Late != 1 || n.Held != 0 {
			t.Errorf("late: %d, held: %d", n.Late, n.Held)
		}
	})
}

func TestTimeoutCloses(t *testing.T) {
	t.Parallel()
	closes := func(r *policy.RouteSpec) { r.CloseOnTimeout = true }
	inBubble(t, onRoute(oneReplica, closes), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.send("GET x", "SET pay:2 a", "GET x")
		c.expect("+OK\r\n$1\r\nx\r\n")
		b.sleep(501 * time.Millisecond)
		c.expect("")
		c.expectEnd()
		b.expectOutcome(telemetry.HoldTimeout, 1)
	})
}

func TestLinkCutBetweenWriteAndFence(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		if n := b.server.cut("set pay:1"); n != 1 {
			t.Fatalf("cut %d links", n)
		}
		c.expectError("UNCONFIRMED", "link")
		b.prove()
		c.expect("")
		b.expectOutcome(telemetry.HoldLink, 1)
	})
}

func TestFenceLinkCut(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.server.cut("wait 1")
		b.server.answer(":1\r\n") // to nobody
		b.sleep(100 * time.Millisecond)
		c.expect("")
		b.prove()
		c.expect("+OK\r\n")
	})
}

// A count that falls short proves nothing, whatever INFO says; nor does an error, nor a count that
// INFO does not bear out.
func TestAnswersThatProveNothing(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{":0\r\n", "-ERR no\r\n", "$1\r\n1\r\n", "*0\r\n",
		"-UNBLOCKED force unblock from blocking operation\r\n"} {
		inBubble(t, onRoute(oneReplica), func(b *bubble) {
			c := b.client()
			c.send("SET pay:1 a")
			b.server.catchUp()
			b.server.answer(answer)
			b.sleep(20 * time.Millisecond)
			c.expect("")
			b.prove()
			c.expect("+OK\r\n")
		})
	}
}

func TestMarkThatWasRefusedProvesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.server.change(func() { b.server.instead["set holdfast:fence 1"] = "-NOPERM no\r\n" })
		c.send("SET pay:1 a")
		b.prove()
		c.expect("")
		b.sleep(501 * time.Millisecond)
		c.expectError("UNCONFIRMED")
	})
}

// A full memory refuses SET, and not DEL, which is to be proven as well.
func TestMarkUnderFullMemory(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.server.change(func() { b.server.instead["set holdfast:fence 1"] = "-OOM no\r\n" })
		c.send("SET pay:1 a")
		b.prove()
		b.sleep(10 * time.Millisecond)
		c.expect("")
		b.prove()
		c.expect("+OK\r\n")
		if b.server.sent("pexpireat holdfast:fence") != 1 {
			t.Error("no other mark was made")
		}
	})
}

func TestTouchOfAMissingMarkProvesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		b.server.change(func() {
			b.server.instead["set holdfast:fence 1"] = "-OOM no\r\n"
			b.server.instead["pexpireat"] = ":0\r\n"
		})
		c.send("SET pay:1 a")
		for range 4 {
			b.prove()
			b.sleep(10 * time.Millisecond)
			c.expect("")
		}
	})
}

// WAIT counts a journal like a replica.
func TestJournalsAreNotCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.server.change(func() { b.server.replicas = append(b.server.replicas, fakeReplica{0, 1 << 40}) })
		c := b.client()
		c.send("SET pay:1 a")
		b.server.answer(":1\r\n") // the journal
		b.settle()
		if got := b.server.waiting(); len(got) != 1 || !strings.HasPrefix(got[0], "wait 2 ") {
			t.Fatalf("waiting: %q", got)
		}
		c.expect("")
		b.server.catchUp()
		b.server.answer(":2\r\n")
		c.expect("+OK\r\n")
	})
}

func TestAOFTurnedOffInTheMiddle(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(policy.Demand{AOFLocal: true}), func(b *bubble) {
		c, d := b.client(), b.client()
		c.send("SET pay:1 a")
		b.server.change(func() { b.server.config["appendonly"] = "no" })
		b.server.answer("-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n")
		b.sleep(100 * time.Millisecond)
		c.expect("")
		d.send("SET pay:2 b")
		d.expectError("NODURABLE", "set appendonly yes")
		for len(b.server.waiting()) > 0 {
			b.server.answer("*2\r\n:1\r\n:0\r\n") // of a server that says so all the same
			b.settle()
		}
		c.expect("")
		b.sleep(401 * time.Millisecond)
		c.expectError("UNCONFIRMED", "aof local not confirmed", "appendonly")
		b.server.change(func() { b.server.config["appendonly"] = "yes" })
		b.sleep(2 * time.Second)
		d.send("SET pay:2 b")
		for len(b.server.waiting()) > 0 {
			b.server.answer("*2\r\n:1\r\n:0\r\n")
			b.settle()
		}
		b.sleep(5 * time.Millisecond)
		d.expect("+OK\r\n")
	})
}

// The answer of WAITAOF is believed only under settings under which it is true.
func TestAOFSettingsThatLie(t *testing.T) {
	t.Parallel()
	for _, set := range [][2]string{{"appendfsync", "everysec"}, {"no-appendfsync-on-rewrite", "yes"}} {
		inBubble(t, onRoute(policy.Demand{AOFLocal: true}), func(b *bubble) {
			c := b.client()
			c.send("SET pay:1 a")
			b.server.change(func() { b.server.config[set[0]] = set[1] })
			b.server.answer("*2\r\n:1\r\n:0\r\n")
			c.expect("")
			b.sleep(501 * time.Millisecond)
			c.expectError("UNCONFIRMED", "aof local not confirmed")
		})
	}
}

func TestAThousandSessionsOnOneFence(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		first := b.client()
		first.send("SET pay:0 a")
		var rest []*fakeClient
		for i := range 999 {
			c := b.client()
			c.send(fmt.Sprintf("SET pay:%d a", i))
			rest = append(rest, c)
		}
		for range maxFences { // those of the first sessions
			b.prove()
		}
		first.expect("+OK\r\n")
		for _, c := range rest[maxFences-1:] {
			c.expect("")
		}
		b.prove()
		for _, c := range rest {
			c.expect("+OK\r\n")
		}
		b.expectOutcome(telemetry.HoldConfirmed, 1000)
		if n := b.server.sent("wait "); n != maxFences+1 {
			t.Errorf("%d fences", n)
		}
	})
}

// A slow fence does not double the next one's time: another one begins a quarter of a round later.
func TestFencesOverlap(t *testing.T) {
	t.Parallel()
	slow := func(r *policy.RouteSpec) { r.Timeout = 10 * time.Second }
	inBubble(t, onRoute(oneReplica, slow), func(b *bubble) {
		c := b.client()
		for range 16 { // so that the round is known
			c.send("SET pay:0 a")
			b.sleep(100 * time.Millisecond)
			b.prove()
			c.expect("+OK\r\n")
		}
		clients := []*fakeClient{b.client(), b.client(), b.client(), b.client(), b.client(), b.client()}
		for i, c := range clients {
			c.send("SET pay:1 a")
			if want := 1; len(b.server.waiting()) != want {
				t.Fatalf("%d: waiting: %q", i, b.server.waiting())
			}
			b.sleep(2 * time.Millisecond)
		}
		b.sleep(20 * time.Millisecond)
		if n := len(b.server.waiting()); n != 2 {
			t.Fatalf("waiting: %q", b.server.waiting())
		}
		b.prove()
		clients[0].expect("+OK\r\n")
		clients[1].expect("")
		b.prove()
		for _, c := range clients[1:] {
			c.expect("+OK\r\n")
		}
	})
}

// fakeJournal is what the journal says.
type fakeJournal struct {
	replID string
	offset int64
}

func (j *fakeJournal) Confirmed() (string, int64) { return j.replID, j.offset }
func (j *fakeJournal) Hurry()                     {}
func (j *fakeJournal) FACKs() bool                { return false }

// withFakeJournal has the journal be available, and say what j says.
func (b *bubble) withFakeJournal(j *fakeJournal) {
	b.provable(durable.Availability{Replicas: 1})
	b.onLoop(func() { b.w.durable.SetJournal(j) })
}

// moved is what the journal's goroutines do.
func (b *bubble) moved(j *fakeJournal, replID string, offset int64) {
	b.onLoop(func() { j.replID, j.offset = replID, offset })
	b.w.durable.JournalMoved()
	b.settle()
}

func TestJournalFence(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(policy.Demand{Journal: true}), func(b *bubble) {
		j := &fakeJournal{}
		b.withFakeJournal(j)
		c := b.client()
		c.send("SET pay:1 a")
		end := b.server.offset
		c.expect("")
		b.moved(j, firstID, end-1)
		c.expect("")
		b.moved(j, otherID, end+100) // of another history
		c.expect("")
		b.moved(j, "", 0)
		c.expect("")
		b.moved(j, firstID, end)
		c.expect("+OK\r\n")
		c.send("SET pay:2 a")
		b.moved(j, firstID, b.server.offset+1000)
		c.expect("+OK\r\n")
		if n := len(b.server.waiting()); n != 0 || b.server.sent("set holdfast:fence") != 0 {
			t.Error("the journal's fences wait, or write")
		}
	})
}

// What the journal makes durable together is released together, however long it took: a fence is not
// put off for so long that it covers what comes after, too.
func TestJournalFencesLieCloseTogether(t *testing.T) {
	t.Parallel()
	slow := func(r *policy.RouteSpec) { r.Timeout = 10 * time.Second }
	inBubble(t, onRoute(policy.Demand{Journal: true}, slow), func(b *bubble) {
		j := &fakeJournal{}
		b.withFakeJournal(j)
		c := b.client()
		for range 16 { // so that the round is known
			c.send("SET pay:0 a")
			b.sleep(100 * time.Millisecond)
			b.moved(j, firstID, b.server.offset)
			c.expect("+OK\r\n")
		}
		clients := []*fakeClient{b.client(), b.client(), b.client(), b.client()}
		for _, c := range clients[:3] {
			c.send("SET pay:1 a")
			b.sleep(3 * time.Millisecond)
		}
		synced := b.server.offset
		clients[3].send("SET pay:1 a")
		b.sleep(80 * time.Millisecond)
		b.moved(j, firstID, synced)
		for _, c := range clients[:3] {
			c.expect("+OK\r\n")
		}
		clients[3].expect("")
	})
}

// Kinds do not wait for each other, and a hold waits for all of its own.
func TestHoldNeedsAllOfItsKinds(t *testing.T) {
	t.Parallel()
	both := onRoute(policy.Demand{Journal: true, Replicas: 1})
	only := onRoute(oneReplica)[0]
	only.Name, only.Keys = "other", []string{"other:*"}
	inBubble(t, append(both, only), func(b *bubble) {
		j := &fakeJournal{}
		b.withFakeJournal(j)
		c, d := b.client(), b.client()
		c.send("SET pay:1 a")
		b.prove()
		c.expect("")
		d.send("SET other:1 a")
		b.prove()
		d.expect("+OK\r\n")
		c.expect("")
		b.moved(j, firstID, b.server.offset)
		c.expect("+OK\r\n")
		c.send("SET pay:1 a")
		b.moved(j, firstID, b.server.offset)
		b.sleep(501 * time.Millisecond)
		c.expectError("UNCONFIRMED", "journal confirmed", "replicas 0 of 1")
	})
}

// A fence that is due again in less than the loop's timers can tell is begun all the same, though
// nothing else makes the loop turn.
func TestFenceIsTriedAgainByItself(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		c := b.client()
		c.send("SET pay:1 a")
		b.sleep(501 * time.Millisecond)
		c.expectError("UNCONFIRMED")
		b.server.answer(":0\r\n")
		b.sleep(retryPause - 400*time.Microsecond)
		c.send("SET pay:2 a")
		b.sleep(2 * time.Millisecond)
		b.prove()
		c.expect("+OK\r\n")
	})
}
