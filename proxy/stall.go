package proxy

import (
	"errors"
	"time"

	"holdfast/policy"
)

// Replies on a shared link can stop while the server goes on: CLIENT PAUSE WRITE from elsewhere
// holds up a write, a module blocks its client without notice, a network drops one connection, an
// upstream sends half a reply and no more. The later commands on that link wait, too. So the loop
// checks its links every watchEvery while any command is outstanding:
//
//  1. A link without a reply for stallAfter is passed over: new commands go by another (pick).
//  2. It is parked once the server is proven to go on: a request that was sent stallAfter later, by
//     another link, was answered. A parked link leaves its lane, which may open another, so that
//     stuck links do not affect other clients, whatever their number. Reads behind the stuck
//     command are resent by another link (stall_move.go); writes never are.
//  3. Commands of the stuck kind are kept off shared links: writes while they are held (laneHeld),
//     module commands for suspectFor.
//  4. A link silent for deadAfter is broken if its oldest command is one that the server answers at
//     once, if a part of the reply has come, or if other clients wait behind it, and if the server
//     answered others for deadProof of that time (pulse). For a write only writes count: a pause
//     may be holding it. While the server's kernel receives requests, the link is not silent.
//
// The proof matters: a slow command, a long script or a stopped server stalls all links, and then
// no link is parked or broken, and no command resent. One reply is too little proof to break a
// link: after a stall of seconds the server executes the backlog of commands in any order, and I/O
// threads send the first replies while it executes the rest. Rejected: a timeout for each command.
// It cannot distinguish a slow server from a dead link, and so would break links whose commands are
// being executed.

const (
	watchEvery = 20 * time.Millisecond
	// deadAfter is how long a link may be silent while the server answers others.
	deadAfter = int64(5 * time.Second)
	// unackedAfter is how long a link is silent before the kernel is asked whether the server still receives: megabytes
	// that a slow network carries are no silence.
	unackedAfter = int64(time.Second)
	// deadProof is the part of that time in which the server must have been seen to answer.
	deadProof = deadAfter / 2
	// pulseMax is the most that one reply adds to that. It is longer than the interval of probes.
	pulseMax = int64(time.Second)
	// probeAfter is how long a write may be stuck before a probe tests whether the server holds
	// writes.
	probeAfter = int64(500 * time.Millisecond)
	// heldFor is how long writes count as held after the last sign of it.
	heldFor = int64(time.Second)
	// suspectFor is how long a module's command that blocked a shared link is kept off them.
	suspectFor = int64(time.Minute)
	// maxParked bounds the parked links of a lane: beyond it the oldest is broken.
	maxParked = 64
)

var (
	errSilent = errors.New("no answer, while the server answers others")
	errParked = errors.New("too many links wait for an answer, while the server answers others")
)

// progress is the server's progress, as a worker sees it.
type progress struct {
	armed bool
	// read counts all requests, write those that CLIENT PAUSE WRITE would have held.
	read, write pulse
	probing     bool             // a probe for writes is under way
	suspects    map[string]int64 // module commands that blocked a shared link: loop time of the end
}

// pulse measures, by the replies, how long the server has been answering.
type pulse struct {
	sent int64 // send time of the newest answered request
	at   int64 // arrival of the newest reply that counts in alive
	// alive is a clock that runs while the server answers: a stall adds pulseMax to it, whatever
	// its length and the number of requests answered at its end.
	alive int64
}

// saw notes that a request was answered.
func (p *pulse) saw(start, now int64) {
	p.sent = max(p.sent, start)
	if start >= p.at && start > 0 {
		p.alive += min(now-p.at, pulseMax)
		p.at = now
	}
}

// silence marks the start of a time without progress on a link.
type silence struct {
	since       int64
	read, write int64 // alive of the two pulses at its start
	unacked     int   // bytes of requests that the server's kernel has not acknowledged; -1: not asked yet
}

// stall is a link's own progress.
type stall struct {
	parked  bool
	emptied bool   // its movable requests have been moved
	sent    uint64 // bytes taken by the connection, as last seen
	sentAt  int64  // when that last grew, or the server's kernel was seen to receive
	silence silence
	log     sentLog
}

// saw notes that a request was answered.
func (h *progress) saw(start, now int64, cmd *policy.Command) {
	h.read.saw(start, now)
	if cmd != nil && isHeldByPause(cmd) {
		h.write.saw(start, now)
	}
}

// saw notes the reply to a request. A server that answers BUSY or LOADING executes nothing.
func (w *worker) saw(start int64, cmd *policy.Command, reply []byte) {
	if len(reply) > 0 && reply[0] == '-' {
		cmd = nil // refused before anything could hold it
		if isPassing(reply) {
			return
		}
	}
	w.watch.saw(start, w.loop.Now(), cmd)
}

// isHeldByPause reports whether CLIENT PAUSE WRITE holds a command.
func isHeldByPause(cmd *policy.Command) bool {
	return cmd.Flags.Has(policy.FlagWrite) || cmd.Flags.Has(policy.FlagMayReplicate)
}

// watchLinks starts the checks of links, which go on while any command is outstanding.
func (w *worker) watchLinks() {
	w.watch.armed = true
	w.loop.AfterFunc(watchEvery, w.lookAtLinks)
}

func (w *worker) lookAtLinks() {
	busy := false
	for _, i := range w.identities {
		for _, ln := range i.lanes {
			busy = ln.look() || busy
		}
	}
	w.resume()
	if w.watch.armed = busy; busy {
		w.loop.AfterFunc(watchEvery, w.lookAtLinks)
	}
}

// look checks the lane's links, and reports whether any has outstanding requests. A check may end
// sessions, and with them any number of the lane's links.
func (ln *lane) look() (busy bool) {
	for n := len(ln.links) - 1; n >= 0; n = min(n, len(ln.links)) - 1 {
		if l := ln.links[n]; l.reqs.len() > 0 {
			busy = true
			l.lookShared()
		}
	}
	for n := len(ln.parked) - 1; n >= 0; n = min(n, len(ln.parked)) - 1 {
		busy = true
		ln.parked[n].lookParked()
	}
	return busy
}

// silentSince is when the link was last seen to make progress.
func (l *link) silentSince() int64 {
	st := &l.stall
	if sent := l.conn.Sent(); sent != st.sent {
		st.sent, st.sentAt = sent, l.w.loop.Now()
	}
	since := max(l.lastActive, st.sentAt)
	if l.reqs.len() > 0 {
		since = max(since, l.reqs.front().start)
	}
	if st.silence.since != since {
		st.silence = silence{since, l.w.watch.read.alive, l.w.watch.write.alive, -1}
	}
	if now := l.w.loop.Now(); now-since >= unackedAfter && st.silence.receives(l.conn.Unacked()) {
		st.sentAt = now
		return now
	}
	return since
}

// receives takes over a number of unacknowledged bytes, and reports whether it has changed in this silence.
func (n *silence) receives(unacked int) bool {
	before := n.unacked
	n.unacked = unacked
	return before >= 0 && unacked != before
}

// isDead reports whether a link was silent for so long, while the server answered others, that it
// will stay silent. held: CLIENT PAUSE WRITE could hold its outstanding commands.
func (n *silence) isDead(held bool, now int64, watch *progress) bool {
	alive := watch.read.alive - n.read
	if held {
		alive = watch.write.alive - n.write
	}
	return now-n.since >= deadAfter && alive >= deadProof
}

// lookShared parks a stuck link, and asks for the proof if there is none yet.
func (l *link) lookShared() {
	if l.conn == nil || l.retiring {
		return
	}
	w, since := l.w, l.silentSince()
	if w.loop.Now()-since < stallAfter {
		return
	}
	if l.lane.key.kind.isHeld() && w.watch.write.sent < since+stallAfter {
		// A pause is known to hold these commands: only an answered write proves them stuck.
		if w.watch.read.sent >= since+stallAfter {
			w.holdWrites()
		}
		if w.loop.Now()-since >= probeAfter {
			w.probe(l, w.watch.write.sent)
		}
		return
	}
	if w.watch.read.sent < since+stallAfter {
		w.askForProof(l)
		return
	}
	w.suspect(l)
	l.park()
}

// askForProof has the server answer a read on another link than the stuck one. It goes by a link of
// the control user: another user may lack the permission for PING, and each refusal would be a line
// in ACL LOG.
func (w *worker) askForProof(stuck *link) {
	p := w.controlIdentity().lane(laneKey{kind: laneData, proto: 2}).pick(w)
	if p != stuck && p.reqs.len() == 0 {
		p.inject("pInG")
	}
}

// suspect keeps commands of the stuck kind off shared links.
func (w *worker) suspect(l *link) {
	cmd := l.stuckCommand()
	switch {
	case cmd == nil:
	case isHeldByPause(cmd) && !cmd.Flags.Has(policy.FlagModule):
		w.holdWrites()
	case cmd.Flags.Has(policy.FlagModule):
		if w.watch.suspects == nil {
			w.watch.suspects = map[string]int64{}
		}
		w.watch.suspects[cmd.Name] = w.loop.Now() + suspectFor
	}
}

// stuckCommand is the oldest outstanding command, unless a part of its reply has come.
func (l *link) stuckCommand() *policy.Command {
	if !l.ready || l.reqs.len() == 0 || l.partly() {
		return nil
	}
	return l.reqs.front().cmd
}

// holdWrites sends writes by links of their own for a while.
func (w *worker) holdWrites() {
	if !w.paused {
		w.log.Warn("writes are not answered while reads are: CLIENT PAUSE from elsewhere, or a " +
			"failover; they wait by themselves")
	}
	w.pauseClients(w.loop.Now()+heldFor, false, true)
}

// isSuspect reports whether a module command has blocked a shared link lately.
func (w *worker) isSuspect(cmd *policy.Command) bool {
	if len(w.watch.suspects) == 0 || w.watch.suspects[cmd.Name] == 0 {
		return false
	}
	if w.loop.Now() > w.watch.suspects[cmd.Name] {
		delete(w.watch.suspects, cmd.Name)
		return false
	}
	return true
}

// park takes a link out of its lane. It is closed once its outstanding requests are answered.
func (l *link) park() {
	ln := l.lane
	ln.remove(l)
	l.stall.parked = true
	l.w.room.parked(l)
	ln.parked = append(ln.parked, l)
	l.moveReads()
	l.wakeStalled()
	if len(ln.parked) > maxParked {
		ln.parked[0].fail(errParked)
	}
}

// lookParked breaks a parked link that is proven dead.
func (l *link) lookParked() {
	w := l.w
	if l.conn == nil {
		return
	}
	if l.reqs.len() == 0 {
		l.retire()
		return
	}
	now, since := w.loop.Now(), l.silentSince()
	if !l.stall.emptied && now-since >= stallAfter && w.watch.read.sent >= since+stallAfter {
		l.moveReads()
	}
	if l.withheld != nil {
		return // it is not the server that is silent
	}
	proof, held := w.watch.read.sent, false
	if cmd := l.stuckCommand(); cmd != nil {
		if !w.atOnce(cmd) && !l.othersWait() {
			return
		}
		if held = isHeldByPause(cmd); held {
			if proof = w.watch.write.sent; proof < since+stallAfter && now-since > stallAfter {
				w.holdWrites()
			}
		}
	}
	switch {
	case l.stall.silence.isDead(held, now, &w.watch):
		l.fail(errSilent)
	case now-since >= probeAfter:
		w.probe(l, proof)
	}
}

// atOnce reports whether the server answers a command in its turn: it neither waits for others nor
// runs on another thread.
func (w *worker) atOnce(cmd *policy.Command) bool {
	if cmd.Flags.Has(policy.FlagModule) {
		return false
	}
	switch w.behaviours[cmd.ID] {
	case blocking, maybeBlocking, waitAcks, named, stateful, rawStream, scriptDebug:
		return false
	}
	return true
}

// probe tests whether the server answers reads, and whether it answers writes: CLIENT PAUSE WRITE
// holds PFCOUNT of a missing key like a write, and PFCOUNT changes nothing.
func (w *worker) probe(l *link, proof int64) {
	now := w.loop.Now()
	if now-proof < probeAfter {
		return
	}
	if w.watch.read.sent <= proof {
		w.askForProof(l)
	}
	if w.watch.probing || now-w.watch.write.sent < probeAfter {
		return
	}
	w.watch.probing = true
	p := w.controlIdentity().lane(laneKey{kind: laneHeld, proto: 2}).pick(w)
	p.ask(func(reply []byte, broken bool) {
		w.watch.probing = false
		if !broken && reply[0] == ':' {
			w.watch.write.saw(now, w.loop.Now())
		}
	}, "pFcOuNt", probeKey)
}

// probeKey does not exist.
const probeKey = "holdfast:probe"

// lookAtPins breaks pinned links that are proven dead. It spares those that wait on purpose; half a
// reply is never on purpose. It runs once a second.
func (w *worker) lookAtPins() {
	for l := range w.links {
		if l.owner == nil || l.conn == nil || l.raw || l.side != nil || l.conn.ReadPaused() {
			continue
		}
		cmd := l.stuckCommand()
		half := l.partly()
		if !half && l.ready && (cmd == nil || !w.atOnce(cmd)) {
			continue
		}
		since, proof := l.silentSince(), w.watch.read.sent
		held := cmd != nil && (isHeldByPause(cmd) || w.behaviours[cmd.ID] == exec)
		if held {
			proof = w.watch.write.sent
		}
		switch now := w.loop.Now(); {
		case l.stall.silence.isDead(held, now, &w.watch):
			l.fail(errSilent)
		case now-since >= int64(sweepEvery):
			w.probe(l, proof)
		}
	}
}
