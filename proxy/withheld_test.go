package proxy

import (
	"testing"
	"time"

	"holdfast/policy"
)

const replyDisowned = "-UPSTREAM the link to the server broke (a failover has replaced the server); the command may have " +
	"been executed; check before sending it again; see docs/errors.md#upstream\r\n"

// A server that answers late while it is in doubt may have been replaced: its OK waits for the end of the doubt.
func TestALateAnswerInDoubtWaits(t *testing.T) {
	const again = "-UPSTREAM the link to the server broke (another server is named as the primary); the command may have " +
		"been executed; check before sending it again; see docs/errors.md#upstream\r\n"
	doubt := belief{primary: "fake:0", doubt: "a failover"}
	fact := belief{primary: "fake:0", doubt: "a failover", certain: true}
	trusted, moved := belief{primary: "fake:0"}, belief{primary: "fake:2"}
	for name, row := range map[string]struct {
		doubt belief
		end   belief
		after time.Duration
		want  string
	}{
		"the primary stays":            {doubt, trusted, time.Second, ":1\r\n"},
		"another one takes its place":  {doubt, moved, time.Second, replyDisowned},
		"the same, which is a fact":    {fact, moved, time.Second, replyDisowned},
		"the sign outlasts the hold":   {doubt, doubt, 5 * time.Second, ":1\r\n"},
		"the fact outlasts the hold":   {fact, fact, 5 * time.Second, again},
		"the answer is behind the end": {doubt, moved, 0, replyDisowned},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bubble) {
				s, c, reader, quick := b.follow("fake:0"), b.client(), b.client(), b.client()
				b.server.change(func() { b.server.held["eval late 0"], b.server.held["incr n"] = true, true })
				c.send("INCR n", "GET x")
				quick.send("EVAL late 0")
				s.say(row.doubt)
				b.sleep(time.Duration(believedFor) / 2)
				b.server.answerTo("eval", ":1\r\n")
				quick.expect(":1\r\n") // nobody is promoted so soon
				b.sleep(time.Duration(believedFor))
				if row.after > 0 {
					b.server.answerTo("incr", ":1\r\n")
					c.expect("")
					reader.send("GET x")
					reader.expect("$1\r\nx\r\n")
					b.sleep(row.after - 3*time.Duration(believedFor)/2 - time.Millisecond)
					c.expect("")
					b.sleep(time.Millisecond)
				}
				s.say(row.end)
				got := c.take()
				if got != row.want+"$1\r\nx\r\n" && got != row.want+row.want { // a link that breaks has no reply for either
					t.Errorf("got %q", got)
				}
				quick.send("GET x")
				quick.expect("$1\r\nx\r\n")
			}, holdFor(5*time.Second))
		})
	}
}

// A refusal promises nothing, and a handover of the proxy's own needs the answers.
func TestLateAnswersThatAreBelieved(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c, d := b.follow("fake:0"), b.client(), b.client()
		b.server.change(func() { b.server.held["eval a 0"], b.server.held["eval b 0"] = true, true })
		c.send("EVAL a 0")
		d.send("EVAL b 0")
		b.srv.topology.plan(plannedSign)
		b.sleep(time.Second)
		b.server.answerTo("eval", ":1\r\n")
		c.expect(":1\r\n")
		s.say(belief{primary: "fake:0", doubt: "a failover"})
		b.sleep(time.Second)
		b.server.answerTo("eval", "-ERR no\r\n")
		d.expect("-ERR no\r\n")
	}, holdFor(time.Minute))
}

// A write in the journal of a server in doubt is not proven: its successor may lack it.
func TestTheJournalProvesNothingInDoubt(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(policy.Demand{Journal: true}), func(b *bubble) {
		b.onLoop(func() { b.w.outage.setHold(time.Minute) })
		j := &fakeJournal{}
		b.withFakeJournal(j)
		c, d := b.client(), b.client()
		c.send("SET pay:1 a")
		b.doubt("a failover", false)
		b.moved(j, firstID, b.server.offset)
		c.expect("+OK\r\n") // nobody is promoted so soon
		b.doubt("", false)
		d.send("SET pay:2 a")
		b.doubt("a failover", false)
		b.sleep(time.Duration(believedFor))
		b.moved(j, firstID, b.server.offset)
		d.expect("")
		b.doubt("", false)
		d.expect("+OK\r\n")
	})
}

// Nor are replicas: they may be those of a server that has been replaced.
func TestReplicasProveNothingInDoubt(t *testing.T) {
	t.Parallel()
	inBubble(t, onRoute(oneReplica), func(b *bubble) {
		b.onLoop(func() { b.w.outage.setHold(time.Minute) })
		c := b.client()
		c.send("SET pay:1 a")
		b.doubt("a failover", false)
		b.sleep(time.Duration(believedFor))
		b.prove()
		c.expect("")
		b.doubt("", false)
		c.expect("+OK\r\n")
	})
}

// A link is read again for other reasons, too: the later replies wait behind the one that is kept back.
func TestALinkIsReadAgainInDoubt(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c := b.follow("fake:0"), b.client()
		b.server.change(func() { b.server.held["incr n"], b.server.held["get held"] = true, true })
		c.send("INCR n", "GET held")
		s.say(belief{primary: "fake:0", doubt: "a failover"})
		b.sleep(time.Duration(believedFor))
		b.server.answerTo("incr", ":1\r\n")
		b.settle()
		b.onLoop(func() {
			for l := range b.w.links {
				if l.withheld != nil {
					l.conn.ResumeRead()
				}
			}
		})
		b.server.answerTo("get", "-ERR no\r\n")
		c.expect("")
		s.say(belief{primary: "fake:0"})
		c.expect(":1\r\n-ERR no\r\n")
	}, holdFor(time.Minute))
}
