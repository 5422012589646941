package proxy

import (
	"context"
	"strconv"
	"time"

	"holdfast/proxy/telemetry"
)

// drain lets what is in flight finish: no new connections, no new commands; each session is closed
// once its last reply has left. Commands that block are ended by CLIENT UNBLOCK, which answers
// them with their timeout: closing their connections could lose the element that the server pops
// at that very moment.
func (srv *Server) drain() {
	srv.draining.Store(true)
	srv.stopServing()
	srv.log.Info("draining", "sessions", srv.sessionCount.Load(), "limit", srv.drainLimit())
	for _, ln := range srv.listeners {
		ln.net.Close()
		ln.acceptor.Stop()
	}
	srv.each((*worker).drain)
	ctx, cancel := context.WithTimeout(context.Background(), srv.drainLimit())
	defer cancel()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for srv.busy(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			srv.log.Warn("not everything in flight has finished", "sessions", srv.sessionCount.Load())
			return
		}
	}
	srv.log.Info("drained")
}

// drainPoll is how often drain looks whether all is done.
const drainPoll = 5 * time.Millisecond

func (srv *Server) drainLimit() time.Duration {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.current.Drain
}

// busy reports whether connections of clients are still open, be it only to send the last reply.
func (srv *Server) busy(ctx context.Context) bool {
	open, err := gather(ctx, srv, func(w *worker) int {
		n := w.loop.Conns() - len(w.links)
		for l := range w.links {
			if l.conn == nil {
				n++ // counted in links and not in the loop
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

// drain ends this worker's sessions, each after what it has in flight.
func (w *worker) drain() {
	w.draining = true
	w.unblockAll()
	for _, s := range w.sessions {
		s.endLater(telemetry.CloseDrain)
	}
}

// unblockEvery is the time between attempts to unblock.
const unblockEvery = 50 * time.Millisecond

// unblockAll ends commands that may be blocking, over and over: some links are not open yet, and
// an attempt may reach the server before the command that it is to end.
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

// drainLinger is how long a drain waits for a client to close too. Idle clients of a pool do so only
// when they next need the connection. Until then what they still send is read and dropped, so that
// the end of the stream reaches them and not a reset, which could overtake the last reply.
const drainLinger = 100 * time.Millisecond

// linger is how long a session that ends may take to read what it was sent and close.
func (s *session) linger() time.Duration {
	if !s.w.draining {
		return lingerTime
	}
	if s.conn.Flush(); s.conn.Buffered() > 0 {
		return lingerTime // it has not got its last reply yet
	}
	return drainLinger
}

// unblock ends a command that may be blocking.
func (w *worker) unblock(s *session) {
	if s.pin.serverID == 0 {
		return
	}
	l := s.lane(laneLobby).pick(w)
	l.inject("cLiEnT", "uNbLoCk", strconv.FormatInt(s.pin.serverID, 10))
}

// stop ends everything that Run started, in reverse order.
func (srv *Server) stop() {
	srv.stopServing() // a reload at work gives up
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	for _, ln := range srv.listeners {
		ln.net.Close()
		if ln.acceptor != nil {
			ln.acceptor.Stop()
			ln.acceptor.Wait()
		}
	}
	srv.closeConsole(ctx, srv.console)
	srv.closeHTTP(ctx, srv.http)
	srv.guard.stop()
	srv.stopDial()
	for _, w := range srv.workers {
		w.loop.Stop()
	}
	srv.running.Wait()
	srv.retired.Wait()
	if srv.recorder != nil {
		srv.recorder.close() // after the loops: what they still sent is recorded if it comes in time
	}
	srv.up.Load().Stop()
	srv.hits.stop()
	srv.audits.Swap(nil).stop()
	srv.closeExporter(ctx, srv.exporter)
}

// stopLimit bounds the end of the console, of HTTP and of traces.
const stopLimit = 3 * time.Second
