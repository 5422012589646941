package proxy

import (
	"context"
	"errors"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/proxy/upstream"
)

// A reload can replace the server to which links lead. Each link to the old one is then on its way
// out:
//
//   - An unconnected one has sent nothing. It is dialled again, to the new server, with all its
//     waiting commands.
//   - A shared one takes no new commands. It is closed once its outstanding ones are answered.
//   - A pinned one at rest is closed. One on loan is closed where it would have been given back.
//   - A session whose state lives on its link (a transaction, watched keys, subscriptions …) is
//     ended once nothing of it is outstanding: the new server lacks that state, and a session that
//     goes on with the old server would write to an abandoned one.
//
// A blocking command could hold on to the old server for ever, and its client would wait for
// elements that only the new one gets. So CLIENT UNBLOCK ends it, as in a drain, with the reply of
// its timeout. The command may still be on its way at that time, so retireUpstream repeats the
// search until no link is left.
//
// After a failover, the old server's word on a write is worth nothing: it may have been stopped or cut
// off, and says OK to what its successor will never have. So at the switch each link that owes the
// reply to a command that may write is broken, and the command is answered: it may have been executed
// (disown). Reads and blocking commands have until disownAfter, also on a server that is stopped.
//
// All the while invariant 1 holds: a session with commands outstanding on an old link waits for
// their replies before it goes on with the new server.

// switchTo makes up the server of new links. moved: it is at another address; otherwise the present
// links stay. failover: the server there has replaced the old one.
func (w *worker) switchTo(up *upstream.Upstream, moved, failover bool) {
	old := w.up
	w.up = up
	if !moved {
		for l := range w.links {
			if l.up == old {
				l.stayAt(up)
			}
		}
		return
	}
	// Facts about the old server do not hold for the new one.
	w.outage.over()
	w.outage.trust()
	w.paused, w.pausedAll = false, false
	w.durable.ServerReplaced(w.dialSeq)
	for l := range w.links {
		l.leave(up)
	}
	if failover {
		w.disown(old, (*link).owesWrite)
	}
}

// errDisowned ends a link to a server that a failover has replaced.
var errDisowned = errors.New("a failover has replaced the server")

// disown breaks links to a server that a failover has replaced.
func (w *worker) disown(up *upstream.Upstream, which func(*link) bool) {
	w.breakLinks(errDisowned, func(l *link) bool { return l.retiring && l.up == up && which(l) })
}

// breakLinks ends the links for which which is true. The end of one may open another.
func (w *worker) breakLinks(cause error, which func(*link) bool) {
	var broken []*link
	for l := range w.links {
		if which(l) {
			broken = append(broken, l)
		}
	}
	for _, l := range broken {
		l.fail(cause)
	}
}

// owesWrite reports whether a reply to a command that may write is outstanding.
func (l *link) owesWrite() bool {
	for i := range l.reqs.len() {
		if l.mayWrite(l.reqs.at(i)) {
			return true
		}
	}
	return false
}

// mayWrite reports whether a request is a command that may write. A blocking one does not count: CLIENT UNBLOCK ends
// it. Nor does a raw stream.
func (l *link) mayWrite(r *request) bool {
	b := l.w.behaviours
	return r.cmd != nil && !l.raw && mutates(r.cmd, b[r.cmd.ID]) && !(l.owner != nil && b[r.cmd.ID].mayBlock())
}

// stayAt takes over another way to the link's server. An unconnected link is dialled again, by that way.
func (l *link) stayAt(up *upstream.Upstream) {
	l.up = up
	if l.conn == nil && l.begun {
		l.w.dial(l)
	}
}

// leave sends a link to the old server on its way out; up is the new one.
func (l *link) leave(up *upstream.Upstream) {
	switch {
	case l.retiring:
		return
	case l.conn == nil:
		l.stayAt(up)
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

// leaving reports whether a shared link takes no new commands.
func (l *link) leaving() bool { return l.retiring || l.stall.parked }

// retireIfDone closes a link that takes no new commands once nothing is outstanding on it.
func (l *link) retireIfDone() {
	if !l.closed && l.owner == nil && l.reqs.len() == 0 {
		l.retire()
	}
}

// leftovers are a worker's links to an old server.
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

// The pace of the search for blocking commands on a replaced server.
const (
	unblockFirst = 10 * time.Millisecond
	unblockPause = time.Second
)

// disownAfter is how long a server that a failover has replaced may take for its last replies.
const disownAfter = time.Second

// retireUpstream closes a replaced upstream: it waits until no link leads there, or the proxy ends.
// One of srv.retired. failover: the links end after disownAfter at the latest.
func (srv *Server) retireUpstream(up *upstream.Upstream, failover bool) {
	defer up.Stop()
	ctx := srv.dialCtx
	if failover {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, disownAfter)
		defer done()
		defer srv.loops.each(func(w *worker) { w.disown(up, func(*link) bool { return true }) })
	}
	for pause := unblockFirst; ; pause = min(2*pause, unblockPause) {
		parts, err := gather(ctx, srv.loops, func(w *worker) leftovers { return w.leftovers(up) })
		if err != nil {
			return
		}
		links := 0
		for _, p := range parts {
			links += p.links
			srv.unblockAll(ctx, up, p.blocked)
		}
		if links == 0 {
			return
		}
		if ctxtime.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// unblockAll ends blocking commands by the control connection.
func (srv *Server) unblockAll(ctx context.Context, up *upstream.Upstream, ids []int64) {
	for _, id := range ids {
		if _, err := up.Do(ctx, "CLIENT", "UNBLOCK", id); err != nil {
			srv.log.Debug("a command that blocks on the old upstream cannot be ended",
				"upstream", up.Address(), "error", err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}
