package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"holdfast/proxy/durable"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// link is one upstream connection. It is shared (lane is set) or pinned (owner is set while it is
// lent to a session). All of it belongs to its worker's loop.
//
// A link passes through: connecting → preparing → ready → closed, and a pinned one goes back to
// preparing when it is lent to a session whose database or name differ. A command must never
// reach the server before the connection has the user and database that it belongs to: sessions wait
// with theirs until the link is ready (awaitsLink), the proxy's own steps wait in backlog.
type link struct {
	id    uint64 // on the console
	w     *worker
	ident *identity
	setting
	process

	// Its role: one of lane, owner and side is set, or it is a pinned link at rest.
	lane  *lane      // shared links
	owner *session   // pinned links on loan
	side  *fenceLink // links of fences

	disguise

	admission
	handshake
	replies
	usage

	conn      *eventloop.Conn // nil while connecting
	closed    bool
	counted   bool // conn.Sent is exact: OnClose has come
	retiring  bool // to a replaced server: no new commands, see switch.go
	orphan    bool // its session has gone; close it once it is ready and has sent the rest
	dirty     bool // its state is unfit for a borrower: close it, do not lend it
	serverID  int64
	localAddr string
	stall     stall
	stalled   []*session // sessions that wait for room on this link, or for it to be ready
	sub       subState   // pinned links: subscriptions and the monitor
	debug     debugState
}

// setting is the connection's state on the server, as the proxy set it.
type setting struct {
	proto uint8
	db    int32
	name  string // set by the last CLIENT SETNAME; the library's is below
	lib   library
	// mayMute: the server has carried out a CLIENT REPLY of its user.
	mayMute bool
}

// process identifies the server process at the link's other end.
type process struct {
	up *upstream.Upstream
	durable.Origin
}

// admission is the link's place in linkRoom.
type admission struct {
	begun bool // it counts in linkRoom.begun
	// asShared: it counts among its user's shared links as well.
	asShared bool
	waits    int64 // loop time until which it waits there; 0: no wait
	// Dedicated links, for dialQueue:
	host      string // of the client that it is opened for; "": to keep one ready
	dialWaits bool
}

// usage is the link's activity so far.
type usage struct {
	opened     int64 // loop time
	lastActive int64 // loop time of the last reply or loan
	commands   uint64
}

const (
	// partialMax is how much of a reply is gathered before it is streamed. A reply that fits is
	// delivered whole or not at all, so that a broken link can still be answered with an error.
	partialMax = 64 << 10
	// linkRequests bounds the outstanding requests of a link; beyond it, sessions wait.
	linkRequests = 64 << 10
	// pinnedHigh is the unsent output of a client at which its pinned link is no longer read. Then
	// the server's own output limits decide, as without a proxy.
	pinnedHigh = 1 << 20
)

// callMax bounds the replies that the proxy reads itself or holds. Only tests change it.
var callMax = 256 << 20

// newLink opens a link; you can send on it at once.
func (w *worker) newLink(ident *identity, key laneKey) *link {
	l := w.makeLink(ident, key)
	w.room.open(l)
	return l
}

// makeLink makes a link without opening it.
func (w *worker) makeLink(ident *identity, key laneKey) *link {
	w.lastLink++
	l := &link{
		id: w.lastLink, w: w, ident: ident,
		process: process{up: w.up}, setting: setting{proto: key.proto, db: key.db, name: key.name},
	}
	l.opened, l.lastActive = w.loop.Now(), w.loop.Now()
	w.links[l] = struct{}{}
	return l
}

// dialOrFail dials a link, unless the last attempt has just failed.
func (w *worker) dialOrFail(l *link) {
	if l.isBarred() {
		return
	}
	if w.dialer.wait(w.loop.Now()) > 0 {
		w.failSoon(l) // do not queue: the address refused a moment ago
		return
	}
	w.dial(l)
}

// failSoon fails a link as the last attempt failed, on the loop's next iteration.
func (w *worker) failSoon(l *link) {
	cause := w.dialer.cause
	w.later(func() { l.fail(errDown{cause}) })
}

// errDown: no connection was tried, since the last attempt failed and the next is not due.
type errDown struct{ cause error }

func (e errDown) Error() string { return reason(e.cause) }

// connected takes over a connection dialled to up. It runs on the loop.
func (l *link) connected(up *upstream.Upstream, nc net.Conn, err error) {
	if l.closed || l.up != up {
		if err == nil {
			nc.Close()
		}
		return
	}
	if err == nil && l.w.stale(l) {
		nc.Close()
		l.w.dial(l)
		return
	}
	if errors.Is(err, upstream.ErrHandshake) && l.showsUser() {
		l.fail(err) // the server is there
		return
	}
	if err != nil {
		l.w.outage.failed(l, err)
		l.fail(errDown{err})
		return
	}
	c, err := l.w.loop.Add(nc, l, eventloop.PriorityLink)
	if err != nil {
		l.fail(err)
		return
	}
	l.w.counters.LinksOpened[l.kind()]++
	l.w.srv.linkCount.Add(1)
	l.w.open++
	l.conn, l.localAddr, l.ConnNo = c, c.LocalAddr(), l.w.dialSeq
	l.first(l.openSteps()...)
	l.prepare(l.takeLater())
}

// kind is the link's kind in metrics.
func (l *link) kind() telemetry.LinkKind {
	if l.lane != nil {
		return telemetry.LinkShared
	}
	return telemetry.LinkPinned
}

// send appends one command to the link; frame is copied.
func (l *link) send(frame []byte) {
	l.queued += uint64(len(frame))
	l.w.counters.UpstreamBytesOut += uint64(len(frame))
	if l.lane != nil {
		l.stall.log.add(frame, l.queued, l.answered)
	}
	if l.ready {
		l.conn.Write(frame)
		return
	}
	l.hold(frame)
}

// sendOwned is send without a copy: the caller gives the frame up.
func (l *link) sendOwned(frame []byte) {
	l.queued += uint64(len(frame))
	l.w.counters.UpstreamBytesOut += uint64(len(frame))
	l.stall.log.add(frame, l.queued, l.answered)
	if l.ready {
		l.conn.WriteOwned(frame)
		return
	}
	l.hold(frame)
}

// inject sends one of the proxy's own commands and drops its reply.
func (l *link) inject(args ...string) {
	l.send(resp.AppendCommandStrings(nil, args...))
	r := l.await(modeSwallow)
	r.start = l.w.loop.Now()
}

// ask sends one of the proxy's own commands and hands its reply to done.
func (l *link) ask(done func(reply []byte, broken bool), args ...string) {
	l.send(resp.AppendCommandStrings(nil, args...))
	r := l.await(modeCall)
	r.call, r.start = &call{done: done}, l.w.loop.Now()
}

// opening reports whether the link was never ready, as far as is known: where the user may not ask
// for its id, every preparation looks like the first.
func (l *link) opening() bool { return !l.ready && l.serverID == 0 }

// full reports whether sessions with more to send must wait.
func (l *link) full() bool {
	if l.reqs.len() == 0 {
		return l.unsent() // CLIENT REPLY OFF: nothing is answered
	}
	return l.queued-l.answered > l.w.limits.LinkQueue || l.reqs.len() >= linkRequests || l.isHeavy()
}

// unsent reports whether too much output waits for the connection or the kernel.
func (l *link) unsent() bool {
	limit := l.w.limits.LinkQueue
	if !l.ready {
		return uint64(len(l.backlog)) > limit
	}
	if uint64(l.conn.Buffered()) > limit {
		l.conn.Flush() // OnDrain is sure to follow for any rest
	}
	return uint64(l.conn.Buffered()) > limit
}

// OnEOF implements eventloop.Handler.
func (l *link) OnEOF(*eventloop.Conn) { l.fail(nil) }

// OnClose implements eventloop.Handler.
func (l *link) OnClose(_ *eventloop.Conn, err error) {
	l.counted = true
	l.fail(err)
}

// OnDrain implements eventloop.Handler.
func (l *link) OnDrain(*eventloop.Conn) {
	if len(l.stalled) > 0 && !l.full() {
		l.wakeStalled()
		l.w.resume()
	}
}

// close drops the connection and takes the link out of every list.
func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	l.delist()
}

// delist takes a link out of every list, as its connection closes.
func (l *link) delist() {
	l.closed, l.ready = true, false
	l.w.departed.add(l)
	if l.conn != nil {
		l.w.srv.linkCount.Add(-1)
		l.w.open--
	}
	if l.lane != nil {
		l.lane.remove(l)
	}
	if l.side != nil {
		l.side.Broken()
	}
	l.w.confirmed(l)
	l.tellReady(l)
	delete(l.w.links, l)
	l.ident.forget(l)
	l.w.room.closed(l)
}

// retire closes a link without outstanding requests.
func (l *link) retire() {
	if !l.closed {
		l.close()
	}
}

// wakeStalled resumes the sessions that waited for room.
func (l *link) wakeStalled() {
	n := l.wakeable()
	for _, s := range l.stalled[:n] {
		s.wake(waitRoom)
		s.wake(waitLink)
	}
	rest := copy(l.stalled, l.stalled[n:])
	clear(l.stalled[rest:])
	l.stalled = l.stalled[:rest]
}

// dialLink runs on its own goroutine and hands its result to the loop.
func (w *worker) dialLink(ctx context.Context, l *link, up *upstream.Upstream, cert *tls.Certificate,
	ended func()) {
	defer w.dials.Done()
	nc, err := up.DialAs(ctx, cert)
	done := func() {
		l.connected(up, nc, err)
		ended()
	}
	if !w.loop.Post(done) && nc != nil {
		nc.Close()
	}
}
