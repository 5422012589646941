package proxy

import (
	"testing"
	"time"

	"holdfast/policy"
)

const replyDisowned = "-UPSTREAM the link to the server broke (a failover has replaced the server); the command may have " +
	"been executed; check before sending it again; see docs/errors.md#upstream\r\n"

const replyDoubtedLate = "-UPSTREAM the link to the server broke (another server is named as the primary); the command may have " +
	"been executed; check before sending it again; see docs/errors.md#upstream\r\n"

// A server that answers late while it is in doubt may have been replaced: its OK waits for the end of the doubt.
func TestALateAnswerInDoubtWaits(t *testing.T) {
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
		"the fact outlasts the hold":   {fact, fact, 5 * time.Second, replyDoubtedLate},
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
				quick.expect(":1\r\n") // no replica is promoted so soon
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

// lateAnswer has the reply to a client's write come while the primary is in doubt.
func (b *bubble) lateAnswer(s *fakeSource, c *fakeClient, certain bool) {
	b.t.Helper()
	b.server.change(func() { b.server.held["incr n"] = true })
	c.send("INCR n")
	s.say(belief{primary: "fake:0", doubt: "a failover", certain: certain})
	b.sleep(time.Duration(believedFor))
	b.server.answerTo("incr", ":1\r\n")
	c.expect("")
}

// The end of the wait of writes is the end of the wait of replies: after a sign they are delivered, after a fact their commands are
// answered.
func TestALateAnswerDoesNotWaitForEver(t *testing.T) {
	for name, end := range map[string]func(b *bubble){
		"a drain":           func(b *bubble) { b.w.drain() },
		"a takeover":        func(b *bubble) { b.w.leave() },
		"a reload, no hold": func(b *bubble) { b.w.outage.setHold(0) },
		"the hold":          func(*bubble) {},
	} {
		for _, certain := range []bool{false, true} {
			inBubble(t, nil, func(b *bubble) {
				s, c := b.follow("fake:0"), b.client()
				b.lateAnswer(s, c, certain)
				b.onLoop(func() { end(b) })
				wait := time.Millisecond
				if name == "the hold" {
					wait = time.Minute
				}
				b.sleep(wait)
				want := ":1\r\n"
				if certain {
					want = replyDoubtedLate
				}
				if got := c.take(); got != want {
					t.Errorf("%s, a fact %v: got %q", name, certain, got)
				}
				b.onLoop(func() {
					if b.w.outage.on {
						t.Errorf("%s, a fact %v: an outage", name, certain)
					}
				})
			}, holdFor(time.Minute))
		}
	}
}

// Nor where new connections fail meanwhile, so that the worker sees an outage.
func TestALateAnswerInAnOutage(t *testing.T) {
	for certain, want := range map[bool]string{false: ":1\r\n", true: replyDoubtedLate} {
		inBubble(t, nil, func(b *bubble) {
			s, c, reader := b.follow("fake:0"), b.client(), b.client()
			b.lateAnswer(s, c, certain)
			b.server.change(func() { b.server.refuse = true })
			reader.send("GET x") // it needs another link
			b.onLoop(func() {
				if !b.w.outage.on {
					t.Error("there is no outage")
				}
			})
			reader.conn.Close()
			b.sleep(2 * time.Minute)
			c.expect(want)
		}, holdFor(time.Minute))
	}
}

// A sign that is withdrawn during a handover leaves a doubt in which the server's word is good.
func TestALateAnswerInAHandover(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c := b.follow("fake:0"), b.client()
		b.lateAnswer(s, c, false)
		b.srv.topology.plan(plannedSign)
		b.settle()
		c.expect("")
		s.say(belief{primary: "fake:0"})
		c.expect(":1\r\n")
	}, holdFor(time.Minute))
}

// Without a hold, too, a server is not believed where most sentinels name another one.
func TestALateAnswerWithoutAHold(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c := b.follow("fake:0"), b.client()
		b.server.change(func() { b.server.held["incr n"] = true })
		for _, certain := range []bool{false, true} {
			c.send("INCR n")
			s.say(belief{primary: "fake:0", doubt: "a failover", certain: certain})
			b.sleep(time.Duration(believedFor))
			b.server.answerTo("incr", ":1\r\n")
			if certain {
				c.expect(replyDoubtedLate)
			} else {
				c.expect(":1\r\n")
			}
		}
	})
}

// Links from before a reload of the login, for instance, lead to the same server.
func TestALateAnswerBehindAReload(t *testing.T) {
	for _, answered := range []bool{true, false} {
		inBubble(t, nil, func(b *bubble) {
			s, c := b.follow("fake:0"), b.client()
			b.server.change(func() { b.server.held["incr n"] = true })
			c.send("INCR n")
			b.onLoop(func() {
				up := b.srv.newUpstream(b.srv.options().Upstream)
				b.t.Cleanup(up.Stop)
				b.w.switchTo(up, false, false)
			})
			s.say(belief{primary: "fake:0", doubt: "a failover"})
			b.sleep(time.Duration(believedFor))
			if answered {
				b.server.answerTo("incr", ":1\r\n")
				c.expect("")
			}
			s.say(belief{primary: "fake:2"})
			c.expect(replyDisowned)
		}, holdFor(time.Minute))
	}
}

// A link that is being opened during such a reload is opened by the new way.
func TestALinkIsOpenedDuringAReload(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		c, hold := b.client(), make(chan struct{})
		b.server.change(func() { b.server.hold = hold })
		c.send("AUTH u p", "INCR n")
		b.onLoop(func() {
			up := b.srv.newUpstream(b.srv.options().Upstream)
			b.t.Cleanup(up.Stop)
			b.w.switchTo(up, false, false)
		})
		b.server.change(func() { b.server.hold = nil })
		close(hold)
		b.settle()
		c.expect("+OK\r\n:1\r\n")
		b.onLoop(func() {
			for l := range b.w.links {
				if l.up != b.w.up {
					t.Error("a link has the old way")
				}
			}
		})
	})
}

// A write with a blocking command behind it is a write.
func TestALateAnswerBeforeABlockingCommand(t *testing.T) {
	for _, before := range []bool{true, false} {
		inBubble(t, nil, func(b *bubble) {
			s, c := b.follow("fake:0"), b.client()
			c.send("CLIENT NO-EVICT ON") // from here on it has a link of its own
			c.expect("+OK\r\n")
			b.server.change(func() { b.server.held["incr n"] = true })
			c.send("INCR n")
			if before {
				c.send("XREAD BLOCK 0 STREAMS s $")
			}
			s.say(belief{primary: "fake:0", doubt: "a failover"})
			b.sleep(time.Duration(believedFor))
			b.server.answerTo("incr", ":1\r\n")
			c.expect("")
			if !before {
				c.send("XREAD BLOCK 0 STREAMS s $")
			}
			s.say(belief{primary: "fake:2"})
			c.expect(replyDisowned + replyDisowned)
		}, holdFor(time.Minute))
	}
}

// A link whose half reply is kept back is not silent.
func TestHalfAReplyIsKeptBack(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		s, c, d, reader := b.follow("fake:0"), b.client(), b.client(), b.client()
		b.server.change(func() { b.server.held["incr n"] = true })
		c.send("INCR n")
		d.send("INCR n")
		b.server.answerTo("incr", ":1")
		b.settle()
		s.say(belief{primary: "fake:0", doubt: "a failover"})
		b.sleep(time.Duration(believedFor))
		b.server.answerTo("incr", "\r\n:2\r\n")
		for range 2 * time.Duration(deadAfter) / (100 * time.Millisecond) {
			reader.send("GET x")
			reader.expect("$1\r\nx\r\n")
			b.sleep(100 * time.Millisecond)
		}
		c.expect("")
		s.say(belief{primary: "fake:0"})
		c.expect(":1\r\n")
		d.expect(":2\r\n")
	}, holdFor(time.Minute))
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
		c.expect("+OK\r\n") // no replica is promoted so soon
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
