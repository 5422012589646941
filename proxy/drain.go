package proxy

import (
	"context"
	"strconv"
	"time"

	"holdfast/proxy/telemetry"
)

// drain lets commands in flight finish: no new connections, no new commands; each session is closed
// once its last reply has left. CLIENT UNBLOCK ends blocked commands, with the reply of their
// timeout: closing their connections could lose an element that the server pops at that moment.
//
// When another process takes over (takeover.go), the journal is closed for it as soon as nothing is in flight.
func (srv *Server) drain() {
	limit := srv.drainLimit()
	handing := srv.opts.Offer.Begin(limit)
	srv.draining.Store(true)
	srv.stopServing()
	if srv.opts.Draining != nil && !handing {
		srv.opts.Draining()
	}
	srv.log.Info("draining", "sessions", srv.sessionCount.Load(), "limit", limit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	waits := handing // the other process, for the journal
	if handing {
		srv.leaveSockets(ctx)
		srv.loops.each((*worker).leave)
	} else {
		srv.closeListeners()
		srv.loops.each((*worker).drain)
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for srv.busy(ctx) {
		if waits && srv.quiet(ctx) {
			waits = false
			srv.handJournal()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			srv.log.Warn("not everything in flight has finished", "sessions", srv.sessionCount.Load())
			return
		}
	}
	srv.log.Info("drained")
	if waits {
		srv.handJournal()
	}
}

// closeListeners ends accepting.
func (srv *Server) closeListeners() {
	for _, ln := range srv.listeners {
		ln.net.Close()
		if ln.acceptor != nil {
			ln.acceptor.Stop()
		}
	}
}

// drainPoll is the interval at which drain checks for completion.
const drainPoll = 5 * time.Millisecond

func (srv *Server) drainLimit() time.Duration {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.current.Drain
}

// busy reports whether client connections are still open, if only to send a last reply.
func (srv *Server) busy(ctx context.Context) bool {
	open, err := gather(ctx, srv.loops, func(w *worker) int {
		n := w.loop.Conns() - len(w.links)
		for l := range w.links {
			if l.conn == nil {
				n++ // counted in links, but not in the loop
			}
		}
		return n
	})
	for _, n := range open {
		if n > 0 {
			return true
		}
	}
	return err != nil && ctx.Err() == nil && err != ErrServerClosed
}

// drain ends this worker's sessions, each after its commands in flight.
func (w *worker) drain() {
	w.draining = true
	w.outage.decide()
	w.unblockAll()
	for _, s := range w.sessions {
		s.endOfDrain()
	}
}

// endOfDrain ends a session after its commands in flight.
func (s *session) endOfDrain() {
	if s.unbegun() {
		s.refuseUnbegun(textDraining)
	}
	s.endLater(telemetry.CloseDrain)
}

// unblockEvery is the time between attempts to unblock.
const unblockEvery = 50 * time.Millisecond

// unblockAll repeatedly ends commands that may be blocking: some links are not open yet, and an
// attempt may reach the server before the command that it should end.
func (w *worker) unblockAll() {
	for _, s := range w.sessions {
		if s.pin != nil && !s.pin.retiring && s.outstanding > 0 {
			w.unblock(s)
		}
	}
	if len(w.sessions) > 0 {
		w.loop.AfterFunc(unblockEvery, w.unblockAll)
	}
}

// drainLinger is how long a drain waits for a client to close, too. An idle client of a pool closes
// only when it next needs the connection. Until then its input is read and dropped, so that it sees
// the end of the stream and not a reset, which could overtake the last reply.
const drainLinger = 100 * time.Millisecond

// unblock ends a command that may be blocking.
func (w *worker) unblock(s *session) {
	if s.pin.serverID == 0 {
		return
	}
	l := s.lane(laneLobby).pick(w)
	l.inject("cLiEnT", "uNbLoCk", strconv.FormatInt(s.pin.serverID, 10))
}

// stop ends everything that Run started, in reverse order. The audit log comes last: it has the outcome of a takeover, for
// which stop waits until running ends.
func (srv *Server) stop(running context.Context) {
	srv.stopServing() // a running reload gives up
	srv.topology.stop()
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	srv.closeListeners()
	for _, ln := range srv.listeners {
		if ln.acceptor != nil {
			ln.acceptor.Wait()
		}
	}
	srv.closeConsole(ctx, srv.console)
	srv.closeHTTP(ctx, srv.http)
	srv.guard.Stop()
	srv.stopDial()
	srv.loops.stop()
	srv.retired.Wait()
	srv.closeJournal() // after the loops, to record their last writes
	srv.opts.Offer.Released()
	srv.up.Load().Stop()
	srv.hits.Stop()
	srv.closeExporter(ctx, srv.exporter)
	srv.opts.Offer.Settle(running)
	srv.audit.Swap(nil).Stop()
}

// stopLimit bounds the end of the console, of HTTP and of traces.
const stopLimit = 3 * time.Second
