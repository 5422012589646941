package durable

import (
	"strings"
	"testing"
	"time"

	"holdfast/proxy/telemetry"
)

// unconfirmed checks that a client got one -UNCONFIRMED for the primary's change.
func (c *fakeClient) unconfirmed() {
	c.w.t.Helper()
	if !strings.HasPrefix(c.got, "-UNCONFIRMED executed, but the primary changed") || strings.Count(c.got, "\r\n") != 1 {
		c.w.t.Fatalf("got %q", c.got)
	}
	c.got = ""
}

func TestChangesThatBreakPromises(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"role":    func(w *world) { w.role = "slave" },
		"history": func(w *world) { w.replID, w.replID2 = otherID, firstID },
	} {
		w := newWorld(t, oneReplica)
		c, d := w.client(), w.client()
		late := d.sends(w.trusted())
		c.writes("+OK\r\n")
		w.turn()
		change(w)
		w.links[0].answer(w.infoReply(), "+OK\r\n", ":1\r\n", w.infoReply())
		w.turn()
		c.unconfirmed()
		d.answered(late, "+OK\r\n") // executed before the change
		w.turn()
		d.unconfirmed()
		if w.rechecked == 0 || w.outcome(telemetry.HoldPrimary) != 2 {
			t.Errorf("%s: rechecked %d times, outcomes %v", name, w.rechecked, w.counters.Routes[0].Outcomes)
		}
		w.empty()
	}
}

// A primary without a past has changed its replication id, and nothing else.
func TestHarmlessReplicationID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	w.replID = otherID
	w.links[0].prove()
	if c.expect("+OK\r\n"); w.moved == 0 {
		t.Error("writes that wait for a proof were not looked at")
	}
}

// A reply that came by a link younger than every side link waits for a side link that is younger still.
func TestUnverifiedLink(t *testing.T) {
	t.Parallel()
	for name, runID := range map[string]string{"the same process": "run-1", "another one": "run-2"} {
		w := newWorld(t, oneReplica)
		c := w.client()
		c.answered(c.sends(w.origin()), "+OK\r\n")
		w.turn()
		if len(w.links) != 2 {
			t.Fatalf("%s: %d side links", name, len(w.links))
		}
		w.links[0].prove()
		c.expect("") // the old side link's word is not enough
		w.runID = runID
		w.links[1].connect()
		w.links[1].answer(w.hello())
		w.turn()
		if runID == "run-1" {
			c.expect("+OK\r\n")
		} else {
			c.unconfirmed()
		}
		w.empty()
	}
}

func TestBrokenLinkOfAWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c, d := w.client(), w.client()
	o, other := w.trusted(), w.trusted()
	c.answered(c.sends(o), "+OK\r\n")
	d.answered(d.sends(other), "+OK\r\n")
	w.turn()
	w.p.LinkBroke(o)
	w.turn()
	if !strings.HasPrefix(c.got, "-UNCONFIRMED executed, but the link to the server broke") {
		t.Errorf("got %q", c.got)
	}
	w.links[0].prove()
	d.expect("+OK\r\n")
}

// Another process has been named: links that lead elsewhere go, and those that were dialled once the side
// link was connected stay.
func TestLinksToAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	old := w.origin()
	w.info.Up, w.info.RunID, w.info.ReplID = true, "run-2", otherID
	w.p.Sighted(&w.info)
	side := w.links[1]
	between := w.origin()
	side.connect()
	after := w.origin()
	if w.p.CanProve(oneReplica) || w.p.Why(oneReplica) != whyUnidentified {
		t.Error("proofs are available before the process is known")
	}
	w.runID, w.replID = "run-2", otherID
	side.answer(w.hello())
	if len(w.retired) != 2 || w.retired[0] != old || w.retired[1] != between || after.RunID != "run-2" {
		t.Errorf("retired %v; %+v", w.retired, after)
	}
	if !w.links[0].closed || w.moved == 0 || !w.p.CanProve(oneReplica) || w.p.RunID() != "run-2" {
		t.Errorf("the old side link: closed %v; moved %d", w.links[0].closed, w.moved)
	}
}

// While the process is unknown a write may wait for its route's timeout.
func TestHopeForAnIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	due := w.client().sends(w.trusted()).terms.match
	if !w.p.HopeUntil(due).IsZero() {
		t.Error("a write waits whose proof is available")
	}
	w.info.Up, w.info.RunID = true, "run-2"
	if until := w.p.HopeUntil(due); time.Until(until) <= 0 || len(w.links) != 2 {
		t.Errorf("until %v, %d side links", until, len(w.links))
	}
}

func TestServerReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	w.p.ServerReplaced(w.dials)
	w.turn()
	c.unconfirmed()
	if !w.links[0].closed || w.p.RunID() != "" {
		t.Errorf("closed %v, run id %q", w.links[0].closed, w.p.RunID())
	}
	w.empty()
}
