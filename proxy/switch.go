package proxy

import (
	"time"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A reload can put another server in the place of the one that links lead to. Each link to the old
// one is then on its way out:
//
//   - One that is not connected yet has sent nothing. It is dialled anew, to the new server, with
//     everything that waits on it.
//   - A shared one takes no new commands. It is closed once its outstanding ones were answered.
//   - A pinned one at rest is closed. One on loan is closed where it would have been given back.
//   - A session whose state lives on its link (a transaction, watched keys, subscriptions …) is
//     ended once nothing of it is outstanding: the new server does not have that state, and what
//     goes on with the old one would write where nobody looks any more.
//
// A command that blocks could hold on to the old server for ever, and its client would wait for
// elements that only the new one gets. So it is ended by CLIENT UNBLOCK, as in a drain, which
// answers it as its timeout does. The command may still be on its way when it is looked for, so
// that is done until there is no link left (retireUpstream).
//
// All the while invariant 1 holds: a session with commands outstanding on an old link waits for
// their replies before it goes on with the new server.

// switchTo makes up the server that new links lead to. moved says that it is at another address;
// otherwise the links that there are stay.
func (w *worker) switchTo(up *upstream.Upstream, moved bool) {
	w.up = up
	if !moved {
		return
	}
	// What was learnt of the old server does not hold for the new one.
	w.dialer.succeeded()
	w.paused, w.pausedAll = false, false
	if w.durable != nil {
		w.durable.upstreamMoved()
	}
	for l := range w.links {
		l.leave(up)
	}
}

// leave sends a link to the old server on its way out; up is the new one.
func (l *link) leave(up *upstream.Upstream) {
	switch {
	case l.retiring:
		return
	case l.conn == nil:
		l.up = up
		l.w.dial(l)
		return
	}
	l.retiring = true
	if l.lane != nil {
		l.lane.remove(l)
	}
	if l.owner != nil {
		l.owner.serverLeft()
	}
	l.wakeStalled()
	l.retireIfDone()
}

// retireIfDone closes a retiring link that nobody waits for any more.
func (l *link) retireIfDone() {
	if !l.closed && l.owner == nil && l.reqs.len() == 0 {
		l.retire()
	}
}

// serverLeft is called when the session's pinned link is on its way out.
func (s *session) serverLeft() {
	switch {
	case s.pin.raw:
		s.close(telemetry.CloseUpstream)
	case s.held != 0:
		s.endLater(telemetry.CloseUpstream)
	case s.outstanding == 0:
		s.givePinBack()
	}
}

// letGo makes sure that no new command goes by a pinned link on its way out: false when the session
// has to wait for the replies that are outstanding there.
func (s *session) letGo() bool {
	if s.outstanding > 0 {
		s.wait = waitOrder
		return false
	}
	s.givePinBack()
	return true
}

// leftovers is what a worker still has of an old server.
type leftovers struct {
	links   int
	blocked []int64 // ids, on the server, of the links whose sessions wait in a blocking command
}

func (w *worker) leftovers(up *upstream.Upstream) (out leftovers) {
	for l := range w.links {
		if !l.retiring || l.up != up {
			continue
		}
		out.links++
		if l.owner != nil && l.serverID != 0 && l.owner.blocked() {
			out.blocked = append(out.blocked, l.serverID)
		}
	}
	return out
}

// The pace at which commands that block are looked for on a server that was replaced.
const (
	unblockFirst = 10 * time.Millisecond
	unblockPause = time.Second
)

// retireUpstream sees a server off that a reload has replaced: it waits until no link leads there,
// or the proxy ends. One of srv.retired.
func (srv *Server) retireUpstream(up *upstream.Upstream) {
	defer up.Stop()
	for pause := unblockFirst; ; pause = min(2*pause, unblockPause) {
		parts, err := gather(srv.dialCtx, srv, func(w *worker) leftovers { return w.leftovers(up) })
		if err != nil {
			return
		}
		links := 0
		for _, p := range parts {
			links += p.links
			srv.unblockAll(up, p.blocked)
		}
		if links == 0 {
			return
		}
		select {
		case <-time.After(pause):
		case <-srv.dialCtx.Done():
			return
		}
	}
}

// unblockAll ends blocking commands by the control connection.
func (srv *Server) unblockAll(up *upstream.Upstream, ids []int64) {
	for _, id := range ids {
		if _, err := up.Do(srv.dialCtx, "CLIENT", "UNBLOCK", id); err != nil {
			srv.log.Debug("a command that blocks on the old upstream cannot be ended",
				"upstream", up.Address(), "error", err)
			if srv.dialCtx.Err() != nil {
				return
			}
		}
	}
}
