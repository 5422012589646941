package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"

	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// link is one upstream connection. It is shared (lane is set) or pinned (owner is set while it is
// lent to a session). All of it belongs to its worker's loop.
//
// A link passes through: connecting → preparing → ready → closed, and a pinned one goes back to
// preparing when it is lent to a session whose database or name differ. Requests may be sent from
// the first moment on: until the link is ready they wait in backlog, because a command must never
// reach the server before the connection has the user and database that it belongs to.
type link struct {
	id    uint64 // on the console
	w     *worker
	ident *identity
	up    *upstream.Upstream // where it leads
	proto uint8
	db    int32
	name  string // what CLIENT SETNAME last set on this connection, and the library's below
	lib   library

	lane  *lane      // shared links
	guard *guardUser // as whom it has logged in instead of its identity; nil: as that
	owner *session   // pinned links on loan
	side  *sideLink  // links of fences: neither of the two

	// Which server process it leads to, see lineage.go.
	runID  string // that was known when it was dialled
	dialNo uint64 // of the dial
	connNo uint64 // dials begun until it was connected; 0: it is not

	conn       *eventloop.Conn // nil while connecting
	scan       resp.ReplyScanner
	ready      bool
	closed     bool
	counted    bool // conn.Sent is exact: OnClose has come
	retiring   bool // to a server that was replaced: no new commands, see switch.go
	orphan     bool // its session has gone; to be closed once it is ready and has sent the rest
	dirty      bool // its state is not what a borrower may find: to be closed, not lent
	raw        bool // SYNC: what comes is passed through unread
	streams    bool // with raw: something has come, or been said by the replica
	serverID   int64
	localAddr  string
	opened     int64 // loop time
	lastActive int64 // loop time of the last reply or loan
	commands   uint64
	onReady    []func(*link)

	prep    []prepStep
	later   []prepStep // steps to follow prep before the link is ready
	backlog []byte     // requests that wait for ready

	reqs     ring
	locals   int    // requests of modeLocal in reqs
	queued   uint64 // request bytes ever sent or put into the backlog
	answered uint64 // end of the newest request that was answered
	injected uint64 // bytes of preparation, which conn counts and queued does not

	partial   []byte // the beginning of a reply whose end has not come
	streaming bool   // the head's reply is too large to gather: parts of it are with the client

	stalled []*session // sessions that wait for room on this link
	sub     subState   // pinned links: subscriptions and the monitor
}

// library is what CLIENT SETINFO set.
type library struct{ name, version string }

// prepStep is one command that makes the connection what the session expects.
type prepStep struct {
	args []string
	// must: a refusal makes the link useless.
	must bool
	// instead is tried after the steps in hand when a step that must succeed was refused.
	instead func(l *link) []prepStep
	done    func(l *link, reply []byte)
}

const (
	// partialMax is how much of a reply is gathered before it is streamed. A reply that fits is
	// delivered whole or not at all, so that a broken link can still be answered with an error.
	partialMax = 64 << 10
	// linkRequests is how many requests may be outstanding on a link before the sessions that
	// send more have to wait.
	linkRequests = 64 << 10
	// pinnedHigh is how much unsent output a client may have before its pinned link is no
	// longer read: the server's own output limits then decide, as they do without a proxy.
	pinnedHigh = 1 << 20
)

// callMax bounds the replies that the proxy reads itself, or holds. Only tests change it.
var callMax = 256 << 20

// newLink opens a link; it can be used at once.
func (w *worker) newLink(ident *identity, key laneKey) *link {
	w.lastLink++
	l := &link{id: w.lastLink, w: w, ident: ident, up: w.up, proto: key.proto, db: key.db, name: key.name}
	l.opened, l.lastActive = w.loop.Now(), w.loop.Now()
	w.links[l] = struct{}{}
	if wait := w.dialer.wait(w.loop.Now()); wait > 0 {
		// Failing at once rather than queueing: the address refused a moment ago.
		w.later(func() { l.fail(errDown{w.dialer.cause, wait}) })
		return l
	}
	w.dial(l)
	return l
}

// errDown is why no connection was tried: the last attempt failed and the next is not due.
type errDown struct {
	cause error
	wait  int64 // nanoseconds
}

func (e errDown) Error() string { return reason(e.cause) }

// connected takes over a connection dialled to up. Runs on the loop.
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
	if err != nil {
		wait := l.w.dialer.failed(l.w.loop.Now(), err)
		l.fail(errDown{err, int64(wait)})
		return
	}
	c, err := l.w.loop.Add(nc, l, eventloop.PriorityLink)
	if err != nil {
		l.fail(err)
		return
	}
	l.w.dialer.succeeded()
	l.w.counters.LinksOpened[l.kind()]++
	l.w.srv.linkCount.Add(1)
	l.conn, l.localAddr, l.connNo = c, c.LocalAddr(), l.w.dialSeq
	steps := append(l.openSteps(), l.later...)
	l.later = nil
	l.prepare(steps)
}

// openSteps are the commands of a new connection. They are spelled in mixed case so that the
// proxy's own commands can be told from the clients' in a MONITOR stream (pubsub.go).
func (l *link) openSteps() []prepStep {
	var steps []prepStep
	auth := l.ident.authArgs()
	if g := l.w.guard; g != nil && g.of == l.up && l.w.guards(l) {
		l.guard = g
		steps = append(steps, prepStep{args: l.guardAuth(), must: true, instead: (*link).guardMissing})
	} else if auth != nil {
		steps = append(steps, prepStep{args: auth, must: true})
	}
	if l.proto == 3 {
		steps = append(steps, prepStep{args: []string{"hElLo", "3"}, must: l.ident.key.authed})
	}
	if l.db != 0 {
		steps = append(steps, l.selectStep())
	}
	if l.name != "" {
		steps = append(steps, prepStep{args: []string{"cLiEnT", "sEtNaMe", l.name}})
	}
	return append(steps, prepStep{args: []string{"cLiEnT", "iD"}, done: (*link).gotID})
}

// selectStep makes the link's database current.
func (l *link) selectStep() prepStep {
	st := prepStep{args: selectArgs(l.db), must: true}
	if l.ident.key.authed {
		st.instead = (*link).selectFirst
	}
	return st
}

// selectFirst is how a user without permission for SELECT comes to a database: as clients do who
// select it first and log in then.
func (l *link) selectFirst() []prepStep {
	steps := []prepStep{
		{args: []string{"rEsEt"}, must: true},
		{args: selectArgs(l.db), must: true},
		{args: l.ident.authArgs(), must: true},
	}
	if l.guard != nil {
		steps[2].args = l.guardAuth()
	}
	if l.proto == 3 {
		steps = append(steps, prepStep{args: []string{"hElLo", "3"}, must: true})
	}
	return steps
}

func (l *link) gotID(reply []byte) {
	if v, _, err := resp.Parse(reply); err == nil && v.Type == ':' {
		l.serverID = v.Int
	}
}

// prepare sends steps and holds back requests until all were answered.
func (l *link) prepare(steps []prepStep) {
	if len(steps) == 0 {
		l.becomeReady()
		return
	}
	l.ready = false
	l.prep = steps
	var b []byte
	for _, st := range steps {
		b = resp.AppendCommandStrings(b, st.args...)
	}
	l.injected += uint64(len(b))
	l.conn.Write(b)
}

func (l *link) becomeReady() {
	l.ready = true
	l.prep = nil
	if len(l.backlog) > 0 {
		l.conn.WriteOwned(l.backlog)
		l.backlog = nil
	}
	for _, f := range l.onReady {
		f(l)
	}
	l.onReady = nil
	if l.orphan {
		l.abandon()
		return
	}
	if len(l.stalled) > 0 && !l.full() {
		l.wakeStalled()
	}
}

// whenReady runs f once the link is ready, or has failed.
func (l *link) whenReady(f func(*link)) {
	if l.ready || l.closed {
		f(l)
		return
	}
	l.onReady = append(l.onReady, f)
}

// kind is how metrics call the link.
func (l *link) kind() telemetry.LinkKind {
	if l.lane != nil {
		return telemetry.LinkShared
	}
	return telemetry.LinkPinned
}

// prepared handles the reply to the first step that is outstanding.
func (l *link) prepared(reply []byte) {
	st := l.prep[0]
	l.prep = l.prep[1:]
	switch {
	case reply[0] != '-' || !st.must:
	case st.instead != nil:
		l.later = append(st.instead(l), l.later...)
		if l.closed {
			return
		}
	default:
		l.refused(reply)
		return
	}
	if st.done != nil && reply[0] != '-' {
		st.done(l, reply)
	}
	if len(l.prep) == 0 {
		steps := l.later
		l.later = nil
		l.prepare(steps)
	}
}

// errRefused is the server's refusal to make a connection what a session had on it before: the
// user is gone, the password changed, or the database is no longer allowed.
var errRefused = errors.New("proxy: the server refused the connection's user or database")

// errNotNow is a refusal of the server's that will pass; it is what the client is told.
type errNotNow string

func (e errNotNow) Error() string { return string(e) }

// refused ends a link whose preparation the server turned down. A client that had its own
// connection would have lost it; the sessions that wait on this link lose theirs.
func (l *link) refused(reply []byte) {
	if bytes.HasPrefix(reply, []byte("-BUSY")) || bytes.HasPrefix(reply, []byte("-LOADING")) {
		l.fail(errNotNow(trimCRLF(reply[1:]))) // for now; the connection's user is as welcome as ever
		return
	}
	l.w.log.Warn("the server refused a link", "user", l.ident.userName(), "db", l.db,
		"reply", string(trimCRLF(reply)))
	for i := 0; i < l.reqs.len() && !l.ident.key.control; i++ {
		if s := l.reqs.at(i).s; s != nil {
			s.endLater(telemetry.CloseUpstream)
		}
	}
	for _, s := range l.stalled {
		s.endLater(telemetry.CloseUpstream)
	}
	if l.owner != nil {
		l.owner.endLater(telemetry.CloseUpstream)
	}
	l.fail(errRefused)
}

// send appends one command to the link; frame is copied.
func (l *link) send(frame []byte) {
	l.queued += uint64(len(frame))
	l.w.counters.UpstreamBytesOut += uint64(len(frame))
	if l.ready {
		l.conn.Write(frame)
		return
	}
	l.backlog = append(l.backlog, frame...)
}

// sendOwned is send without a copy: the caller gives the frame up.
func (l *link) sendOwned(frame []byte) {
	l.queued += uint64(len(frame))
	l.w.counters.UpstreamBytesOut += uint64(len(frame))
	if l.ready {
		l.conn.WriteOwned(frame)
		return
	}
	l.backlog = append(l.backlog, frame...)
}

// inject sends a command of the proxy's own behind what was sent; its reply is dropped.
func (l *link) inject(args ...string) {
	l.send(resp.AppendCommandStrings(nil, args...))
	r := l.reqs.push()
	r.mode, r.end, r.start = modeSwallow, l.queued, l.w.loop.Now()
}

// full reports that sessions with more to send have to wait.
func (l *link) full() bool {
	if l.reqs.len() == 0 {
		return l.unsent() // CLIENT REPLY OFF: nothing is answered
	}
	return l.queued-l.answered > l.w.limits.LinkQueue || l.reqs.len() >= linkRequests
}

// unsent reports that too much waits for the connection or the kernel.
func (l *link) unsent() bool {
	limit := l.w.limits.LinkQueue
	if !l.ready {
		return uint64(len(l.backlog)) > limit
	}
	if uint64(l.conn.Buffered()) > limit {
		l.conn.Flush() // what is left then is sure to be followed by OnDrain
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

// delist takes a link, whose connection is on its way out, out of every list.
func (l *link) delist() {
	l.closed, l.ready = true, false
	if l.conn != nil {
		l.w.srv.linkCount.Add(-1)
	}
	if l.lane != nil {
		l.lane.remove(l)
	}
	if l.side != nil {
		l.side.broke()
	}
	for _, f := range l.onReady {
		f(l)
	}
	l.onReady = nil
	delete(l.w.links, l)
	l.ident.forget(l)
}

// retire closes a link on which nothing is outstanding.
func (l *link) retire() {
	if !l.closed {
		l.close()
	}
}

// wakeStalled lets the sessions that waited for room go on.
func (l *link) wakeStalled() {
	for i, s := range l.stalled {
		l.stalled[i] = nil
		s.wake(waitRoom)
	}
	l.stalled = l.stalled[:0]
}

// dialLink runs on a goroutine of its own and hands its result to the loop.
func (w *worker) dialLink(ctx context.Context, l *link, up *upstream.Upstream) {
	defer w.dials.Done()
	nc, err := up.Dial(ctx)
	if !w.loop.Post(func() { l.connected(up, nc, err) }) && nc != nil {
		nc.Close()
	}
}
