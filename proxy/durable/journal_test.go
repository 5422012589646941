package durable

import (
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

func journalWorld(t testing.TB) (*world, *fakeJournal) {
	w := newWorld(t, policy.Demand{Journal: true})
	j := &fakeJournal{}
	w.p.SetJournal(j)
	return w, j
}

func TestFenceOfTheJournal(t *testing.T) {
	t.Parallel()
	w, j := journalWorld(t)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	w.links[0].answer(w.infoReply())
	for _, at := range []fakeJournal{{replID: firstID, offset: w.offset - 1}, {replID: otherID, offset: w.offset + 9}, {}} {
		j.replID, j.offset = at.replID, at.offset
		w.p.JournalMoved()
		w.turn()
		c.expect("")
	}
	j.replID, j.offset = firstID, w.offset
	w.p.JournalMoved()
	w.turn()
	c.expect("+OK\r\n")
	if j.hurried != 1 {
		t.Errorf("hurried %d times", j.hurried)
	}
	w.empty()
}

// The journal may move after its position was read and before the fence waits. Then its notice finds no
// waiter, and the fence must look again.
func TestJournalThatMovesMeanwhile(t *testing.T) {
	t.Parallel()
	w, j := journalWorld(t)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	j.asked = func() {
		j.asked = nil
		w.p.JournalMoved() // the first look has not read this position
		w.posted = nil
		j.replID, j.offset = firstID, w.offset
	}
	w.links[0].answer(w.infoReply())
	w.turn()
	c.expect("+OK\r\n")
}

// A notice is posted once for each wait, from any number of goroutines.
func TestJournalMovedIsPostedOnce(t *testing.T) {
	t.Parallel()
	w, _ := journalWorld(t)
	w.p.JournalMoved()
	if len(w.posted) != 0 {
		t.Error("posted without a waiter")
	}
	w.client().writes("+OK\r\n")
	w.turn()
	w.links[0].answer(w.infoReply())
	w.p.JournalMoved()
	w.p.JournalMoved()
	if len(w.posted) != 1 {
		t.Errorf("posted %d times", len(w.posted))
	}
}

// WAITAOF counts a journal that acknowledges its fsyncs: the fence asks for one more.
func TestJournalThatAcknowledgesFsyncs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy.Demand{AOFReplicas: 1})
	w.p.SetJournal(&fakeJournal{fack: true})
	w.p.facts.journals = 1
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	if got := w.links[0].sent[2]; got != "waitaof 0 2 1000" {
		t.Fatalf("sent %q", got)
	}
	w.p.facts.journals = 1
	w.links[0].answer(w.infoReply()) // it says: no journal any more
	if f := w.p.kinds[0].inFlight[0]; f.failed != telemetry.FenceShort {
		t.Errorf("the fence counts: %v", f.failed)
	}
	w.sleep(time.Millisecond)
	c.expect("")
}
