package proxy

import (
	"context"
	"fmt"
	"time"

	"holdfast/proxy/accept"
	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/recorder"
	"holdfast/proxy/takeover"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// A takeover passes the listening sockets and the journal to another process; package takeover has the
// conversation. These are the server's parts in it.
//
// The new process: start calls takeOver once everything that can fail without the journal has been done, and
// Claim.Confirm before it accepts.
//
// The old process: the drain is that of any other end, in this order:
//
//  1. No loop gets another connection, and the handshakes in progress have ended (leaveSockets). Connections that
//     come now wait in the sockets' queues.
//  2. Sessions end, each once its commands are answered, durable writes with their proof. One that has just been
//     accepted gets its first answer before, and a command that waits for a link is sent (endMost).
//  3. No session is left (quiet); only last replies are on their way to clients. The journal is closed, with a last
//     fsync, and the new process hears so (handJournal). A client that does not read holds up the end of the old
//     process, and not the new one.
//
// At the drain's limit stop closes the journal, with commands in flight or without.

// takeOver takes over from the process that serves this configuration, if there is one. A server that does not answer
// is refused then, as in a reload: the other process has clients to lose.
func (srv *Server) takeOver(ctx context.Context, info *upstream.Info, unanswered error) error {
	if srv.opts.Claim == nil {
		return nil
	}
	unreadable := recorder.Readable(srv.opts.Journal) // before the other process begins to wait
	found, err := srv.opts.Claim.Find()
	if !found {
		return err
	}
	if unanswered == nil {
		unanswered = info.Err
	}
	if unanswered != nil {
		return fmt.Errorf("nothing was taken over: upstream %s: %w", srv.up.Load().Address(), unanswered)
	}
	if unreadable != nil {
		return fmt.Errorf("nothing was taken over: journal in %s: %w", srv.opts.Journal.Dir, unreadable)
	}
	return srv.opts.Claim.Take(ctx, srv.opts.Addresses())
}

// Addresses are those of listeners, console and HTTP.
func (o *Options) Addresses() (out []string) {
	for _, l := range o.Listeners {
		out = append(out, l.Address)
	}
	for _, address := range []string{o.Admin.Address, o.HTTP} {
		if address != "" {
			out = append(out, address)
		}
	}
	return out
}

// leaveSockets ends accepting for another process that goes on with the sockets. A connection that was accepted has
// reached its loop when it returns, unless its handshake takes too long.
func (srv *Server) leaveSockets(ctx context.Context) {
	srv.mu.Lock()
	console, http := srv.console, srv.http
	srv.console, srv.http = nil, nil
	srv.mu.Unlock()
	srv.retired.Go(func() { srv.leaveOperators(console, http) })
	for _, ln := range srv.listeners {
		if ln.greeting != nil {
			_ = ln.greeting.Retire() // closed once more below
		} else {
			ln.acceptor.Stop()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, accept.DefaultPatience)
	defer cancel()
	for _, ln := range srv.listeners {
		select {
		case <-ln.acceptor.Ended():
		case <-ctx.Done():
		}
	}
	srv.closeListeners()
	for _, ln := range srv.listeners {
		ln.acceptor.Wait()
	}
}

// leaveOperators ends console and HTTP, whose sockets go to another process.
func (srv *Server) leaveOperators(console *admin.Server, http *telemetry.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	srv.closeConsole(ctx, console)
	srv.closeHTTP(ctx, http)
}

// newFor is how long a new session may take to ask for its first answer, unbegunFor how long a command may wait for its
// link after the drain began, and leaveLook the interval of looks at them.
const (
	newFor     = 100 * time.Millisecond
	unbegunFor = 500 * time.Millisecond
	leaveLook  = 2 * time.Millisecond
)

// leave is drain when another process takes over.
func (w *worker) leave() {
	w.draining = true
	w.outage.decide()
	w.unblockAll()
	w.endMost(w.loop.Now() + int64(unbegunFor))
}

// endMost ends the sessions but those that wait for a moment only: new ones for their first answer, others, up to a
// loop time, for the link of a command. In any other drain such a command is refused: no process goes on.
func (w *worker) endMost(until int64) {
	now, waits := w.loop.Now(), false
	for _, s := range w.sessions {
		isNew := s.traffic.out == 0 && now-s.accepted < int64(newFor)
		if isNew || now < until && s.unbegun() {
			waits = true
			continue
		}
		s.endOfDrain()
	}
	if waits {
		w.loop.AfterFunc(leaveLook, func() { w.endMost(until) })
	}
}

// quiet reports whether every session has ended: nothing is in flight.
func (srv *Server) quiet(ctx context.Context) bool {
	parts, err := gather(ctx, srv.loops, func(w *worker) int { return len(w.sessions) })
	for _, sessions := range parts {
		if sessions > 0 {
			return false
		}
	}
	return err == nil
}

// handJournal closes the journal, and says so to the process that takes over.
func (srv *Server) handJournal() {
	began := time.Now()
	srv.topology.stop() // it may be changing the journal's server
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	srv.closeJournal()
	srv.opts.Offer.Released()
	srv.log.Info("the journal is free for the other process", "took", time.Since(began))
}

// closeJournal ends the recording, if there is any.
func (srv *Server) closeJournal() {
	if srv.recorder != nil {
		srv.recorder.Close()
	}
}

// noteTakeover writes the outcome of a takeover to the audit log.
func (srv *Server) noteTakeover(o takeover.Outcome) {
	by := ""
	if o.PID != 0 {
		by = fmt.Sprintf("process %d", o.PID)
	}
	srv.audit.Note(audit.Entry{Verdict: "takeover", Command: "proxy serve --takeover", Operator: by, Result: o.Text()})
}

// takeovers counts the takeovers for the metrics.
func (srv *Server) takeovers() (out []telemetry.TakeoverCount) {
	for _, c := range srv.opts.Takeovers.Counts() {
		out = append(out, telemetry.TakeoverCount(c))
	}
	return out
}
