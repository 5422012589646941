package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// worker is one event loop and everything that belongs to it. But for its methods that say
// otherwise, it is touched by the loop's goroutine alone.
type worker struct {
	srv  *Server
	id   int
	loop *eventloop.Loop
	log  *slog.Logger
	rules

	limits     *Limits
	frames     resp.Limits  // of commands, for clients that have logged in
	anonFrames *resp.Limits // and for those that have not
	scratch    resp.Scratch
	encode     []byte   // reused for frames that are encoded anew
	spare      [][]byte // input buffers at rest
	spareMade  int      // how many there are, in use or at rest
	inputBytes int64    // in all input buffers
	answered   bool     // the server has answered in this turn

	sessions   map[uint64]*session
	links      map[*link]struct{}
	identities map[identityKey]*identity
	anonymous  *identity
	control    *identity // the control user's; nil before its first use
	counters   *telemetry.Counters
	ready      []*session // woken, to go on at the end of the current work
	back       backseat

	lastLink   uint64
	outBytes   int64 // unread output of the clients that hold much of it
	gathered   int64 // in answers that the proxy puts together
	pinned     int   // pinned links, lent or at rest
	pinWaiters []*session

	paused, pausedAll bool // CLIENT PAUSE is in force
	pausedUntil       int64

	durable  *durability  // from the first route on; see fence.go
	recorder journalProof // nil without a journal
	// journalWaits: a fence waits for the journal's position. Any goroutine.
	journalWaits atomic.Bool
	onJournal    func() // journalMoved
	dialSeq      uint64 // counts dials

	guard *guardUser // whom scripts of the user default run as; nil: themselves

	asked policy.Request // the newest that was put to the policy
	epoch int64          // Unix milliseconds at loop time 0

	tel                      *telemetry.Telemetry
	sampleEvery, untilSample uint64

	up       *upstream.Upstream // where new links lead
	dialer   dialer
	dials    sync.WaitGroup
	ctx      context.Context // ends when dials are to be given up
	draining bool

	sweeping   bool   // a sweep of the trash is under way
	sweepError string // the last one's, if it failed
}

func newWorker(srv *Server, id int, r *rules) (*worker, error) {
	w := &worker{
		srv: srv, id: id, log: srv.log, rules: *r,
		sessions: map[uint64]*session{}, links: map[*link]struct{}{},
		identities: map[identityKey]*identity{}, ctx: srv.dialCtx, up: srv.up.Load(),
		counters: telemetry.NewCounters(r.labels),
	}
	w.anonymous = w.identity(identityKey{})
	w.anonymous.refs++ // it never goes away
	w.anonFrames = &resp.Limits{}
	w.setLimits(srv.opts.Limits)
	w.dialer.backoff.Max = srv.opts.Upstream.MaxBackoff
	w.setTelemetry(srv.exporter.tel)
	loop, err := eventloop.New(eventloop.Options{
		Driver: srv.opts.Driver, ReadBuffer: readBuffer, Logger: srv.log, BeforeFlush: w.endTurn,
	})
	w.loop, w.onJournal = loop, w.journalMoved
	if w.routes != nil {
		w.durable = newDurability(w)
	}
	return w, err
}

const (
	readBuffer = 64 << 10
	// lingerTime is how long a client that has got its last reply may take to read it.
	lingerTime = 5 * time.Second
	// sweepEvery is the pace of looking for links and sessions that are idle for too long.
	sweepEvery = time.Second
	// linkIdle is how long a shared link that is one too many may be unused before it is closed,
	// and pinIdle how long a pinned link may be at rest. Connections that idle cost the server:
	// its housekeeping visits a few clients at a time.
	linkIdle = int64(10 * time.Second)
	pinIdle  = int64(2 * time.Second)
	// spareBuffers of spareSize bytes are kept for clients' half frames.
	spareBuffers = 64
	spareSize    = 64 << 10
)

// run is the worker's goroutine.
func (w *worker) run() {
	defer w.srv.running.Done()
	w.loop.AfterFunc(sweepEvery, w.sweep)
	w.loop.AfterFunc(0, w.setClock)
	w.routesChanged()
	if w.id == 0 {
		w.loop.AfterFunc(0, w.sweepTrash) // what a proxy before this one has not finished
	}
	if err := w.loop.Run(); err != nil {
		w.log.Error("an event loop ended", "worker", w.id, "error", err)
		w.srv.fail(err)
	}
	if w.durable != nil {
		w.durable.passes.tell(true)
	}
	w.dials.Wait()
}

// accept makes a session of a new connection.
func (w *worker) accept(nc net.Conn, ln *listener) {
	w.srv.sessionCount.Add(1)
	s := &session{
		w: w, id: w.srv.nextID.Add(1), listener: ln, ident: w.anonymous, proto: 2,
		accepted: w.loop.Now(), active: w.loop.Now(),
	}
	c, err := w.loop.Add(nc, s, eventloop.PrioritySession)
	if err != nil {
		w.srv.sessionCount.Add(-1)
		w.log.Warn("a connection was lost while it was accepted", "error", err)
		return
	}
	s.conn = c
	s.client.SetIdentity(identityOf(s))
	s.ident.refs++
	w.sessions[s.id] = s
	w.counters.SessionsAccepted++
	switch {
	case w.draining:
		s.reason = telemetry.CloseDrain
		s.refuse(textDraining)
	case w.srv.sessionCount.Load() > int64(w.limits.MaxClients):
		s.reason = telemetry.CloseMaxClients
		s.refuse(textMaxClients)
	}
}

// refuse ends a session at once with an error.
func (s *session) refuse(text string) {
	s.reply(resp.AppendError(nil, text))
	s.closeAfterFlush()
}

// forget takes a closed session out of the worker's lists.
func (w *worker) forget(s *session, reason telemetry.CloseReason) {
	delete(w.sessions, s.id)
	w.counters.SessionsClosed[reason]++
	w.srv.sessionCount.Add(-1)
	w.release(s.ident)
}

// identity returns who key is, new or known.
func (w *worker) identity(key identityKey) *identity {
	i := w.identities[key]
	if i == nil {
		i = &identity{key: key, w: w, lanes: map[laneKey]*lane{}}
		w.identities[key] = i
	}
	return i
}

// release is called when a session lets go of an identity.
func (w *worker) release(i *identity) {
	if i.refs--; i.refs > 0 {
		return
	}
	// Nobody is left who proved this credential: links opened with it are closed when idle.
	for len(i.idle) > 0 {
		i.idle[0].retire()
	}
}

// changeIdentity makes a session somebody else, after the server accepted the credential.
func (w *worker) changeIdentity(s *session, key identityKey) {
	next := w.identity(key)
	next.refs++
	w.release(s.ident)
	s.ident = next
	s.client.SetUser(next.userName())
	s.forgetLanes()
}

// wakeUp lets a session go on at the end of the current work.
func (w *worker) wakeUp(s *session) {
	if !s.queued && !s.closed {
		s.queued = true
		w.ready = append(w.ready, s)
	}
}

// resume lets the woken sessions go on. They may wake others.
func (w *worker) resume() {
	for i := 0; i < len(w.ready); i++ {
		s := w.ready[i]
		w.ready[i] = nil
		s.queued = false
		s.proceed()
	}
	w.ready = w.ready[:0]
}

// endTurn runs after the events of a turn and before its output is written.
func (w *worker) endTurn() {
	if len(w.back.queue) > 0 {
		w.serveBackseat()
	}
	if len(w.ready) > 0 {
		w.resume()
	}
	if w.durable != nil {
		w.durable.turn()
		w.resume()
	}
	if len(w.back.queue) > 0 {
		w.comeBack()
	}
	if w.answered {
		w.answered = false
		w.up.Seen()
	}
	w.holdMemory()
}

// later runs f on the loop, outside of the current work.
func (w *worker) later(f func()) { w.loop.Post(f) }

// wakePinWaiter lets one session try again to borrow a pinned link.
func (w *worker) wakePinWaiter() {
	for len(w.pinWaiters) > 0 {
		s := w.pinWaiters[0]
		w.pinWaiters = w.pinWaiters[1:]
		if !s.closed && s.wait == waitPin {
			w.wakeUp(s)
			return
		}
	}
}

// retireIdlePin closes one pinned link at rest, of whatever identity or protocol, to make room.
func (w *worker) retireIdlePin() {
	for _, i := range w.identities {
		if len(i.idle) > 0 {
			i.idle[0].retire()
			return
		}
	}
}

// inputBuffer returns an empty buffer for n bytes. Nothing is set aside on the word of a client
// before its bytes have come, and ten thousand half frames are not to cost a large buffer each.
func (w *worker) inputBuffer(n int) []byte {
	if k := len(w.spare); k > 0 {
		b := w.spare[k-1]
		w.spare = w.spare[:k-1]
		return b
	}
	if w.spareMade < spareBuffers {
		w.spareMade++
		return make([]byte, 0, spareSize)
	}
	return make([]byte, 0, max(n, smallInput))
}

// smallInput is the least size of an input buffer.
const smallInput = 512

func (w *worker) recycle(b []byte) {
	if cap(b) == spareSize && len(w.spare) < spareBuffers {
		w.spare = append(w.spare, b[:0])
	}
}

// linkBroke logs and counts a link that ended without the proxy wanting it.
func (w *worker) linkBroke(l *link, cause error) {
	kind := l.kind()
	if _, down := cause.(errDown); down || l.conn == nil {
		w.counters.LinksFailed++
		return
	}
	w.counters.LinksBroken[kind]++
	w.up.Recheck()
	w.log.Debug("a link broke", "kind", kind.String(), "user", l.ident.userName(),
		"reason", reason(cause))
}

// pauseClients follows a CLIENT PAUSE or UNPAUSE that some session got an OK for.
func (w *worker) pauseClients(until int64, all, on bool) {
	if !on {
		w.paused, w.pausedAll = false, false
		return
	}
	if !w.paused {
		w.pausedUntil = 0
	}
	w.paused = true
	w.pausedAll = w.pausedAll || all
	w.pausedUntil = max(w.pausedUntil, until)
}
