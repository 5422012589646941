package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/accept"
	"holdfast/proxy/certs"
	"holdfast/proxy/durable"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/guard"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// worker is one event loop and the state that it owns. Only the loop's goroutine may use it, except
// for methods that say otherwise.
type worker struct {
	srv   *Server
	id    int
	loop  *eventloop.Loop
	log   *slog.Logger
	again seldom.Log // for events that many clients can cause
	rules
	bounds
	buffers
	population
	linkPool
	counters *telemetry.Counters
	answered bool // the server has answered in this iteration
	sources  sourceReader
	desk     desk
	pausing
	assurance
	guard      *guard.User // user for scripts of the user default; nil: itself
	spareFrame *frame      // see takeFrame
	toldTLS    seldom.Pace // of clients that speak TLS on plain listeners
	epoch      int64       // Unix milliseconds at loop time 0
	sampling
	serverWay
	draining bool
	keeper   *trash.Keeper
}

// bounds are the limits in force.
type bounds struct {
	limits     *Limits
	frames     resp.Limits // of commands, for clients that have logged in
	anonFrames resp.Limits // and for those that have not
}

// buffers are a loop's buffers for reading and encoding, and the sums of its sessions' buffers.
type buffers struct {
	scratch    resp.Scratch
	encode     []byte   // reused for re-encoded frames
	spare      [][]byte // input buffers at rest
	spareMade  int      // their number, in use or at rest
	inputBytes int64    // in all input buffers
	outBytes   int64    // unread output of the clients that hold much of it
	gathered   int64    // in answers that the proxy assembles
	tight      bool     // their sum is near the limit; see memory.go
}

// population is the sessions, and where some of them wait.
type population struct {
	sessions map[uint64]*session
	ready    []*session // woken, to go on at the end of the current work
	door     door
	back     backseat
	subs     subscribing
	taker    censusTaker
}

// linkPool holds the links and their identities on the server.
type linkPool struct {
	links      map[*link]struct{}
	departed   departed
	lastLink   uint64
	identities map[identityKey]*identity
	users      map[string]int // number of each user's identities
	stranger   *identity      // of sessions that are not logged in
	control    *identity      // the control user's; nil before its first use
	vouched    *certs.Users   // for whom client certificates stand
	room       linkRoom
	pins       pinPool
	watch      progress // of links that are not answered
}

// pausing is a CLIENT PAUSE in force.
type pausing struct {
	paused, pausedAll bool
	pausedUntil       int64
}

// assurance proves writes on durable routes.
type assurance struct {
	durable  *durable.Pipeline
	awaiting proofWait // sessions whose write waits for an available proof
	passes   passes    // writes that go without one
}

// sampling chooses the commands that have a span.
type sampling struct {
	tel                      *telemetry.Telemetry
	sampleEvery, untilSample uint64
}

// serverWay is the way to the server.
type serverWay struct {
	up       *upstream.Upstream // where new links lead
	dialer   dialer
	dialling dialQueue
	dialSeq  uint64 // counts dials
	dials    sync.WaitGroup
	ctx      context.Context // ends when dials should be abandoned
	outage   outage
	recheck  recheck
	open     int // links that are connected
}

func newWorker(srv *Server, id int, r *rules) (*worker, error) {
	w := &worker{
		srv: srv, id: id, log: srv.log, rules: *r, counters: telemetry.NewCounters(r.labels),
		population: population{sessions: map[uint64]*session{}},
		linkPool: linkPool{links: map[*link]struct{}{}, identities: map[identityKey]*identity{},
			users: map[string]int{}, vouched: srv.opts.Users},
	}
	w.ctx, w.up = srv.dialCtx, srv.up.Load()
	w.stranger = w.identity(identityKey{})
	w.stranger.refs++ // it never goes away
	w.door.w, w.room.w, w.taker.w = w, w, w
	w.outage = outage{w: w, hold: int64(srv.opts.Hold)}
	w.durable, w.passes.w = newPipeline(w), w
	w.keeper = trash.NewKeeper(trashEnv{w}, srv.trashRoom, srv.log)
	w.setLimits(srv.opts.Limits)
	w.sources.start = w.startReading
	w.desk.free = make(chan struct{}, 1)
	w.dialer.backoff.Max = srv.opts.Upstream.MaxBackoff
	w.setTelemetry(srv.exporter.tel)
	loop, err := eventloop.New(eventloop.Options{
		Driver: srv.opts.Driver, ReadBuffer: readBuffer, Logger: srv.log, BeforeFlush: w.endTurn,
	})
	w.loop = loop
	w.sources.after = func(d time.Duration, f func()) { w.loop.AfterFunc(d, f) }
	return w, err
}

const (
	readBuffer = 64 << 10
	// lingerTime is how long a client that has got its last reply may take to read it.
	lingerTime = 5 * time.Second
	// sweepEvery is the interval of checks for links and sessions that are idle for too long.
	sweepEvery = time.Second
	// linkIdle is how long a spare shared link may be unused before it is closed, and pinIdle how
	// long a pinned link may be at rest. Idle connections cost the server: its housekeeping visits
	// a few clients at a time.
	linkIdle = int64(10 * time.Second)
	pinIdle  = int64(2 * time.Second)
	// spareBuffers of spareSize bytes are kept for clients' half frames.
	spareBuffers = 64
	spareSize    = 64 << 10
)

// run is the worker's goroutine.
func (w *worker) run() {
	w.loop.AfterFunc(sweepEvery, w.sweep)
	w.loop.AfterFunc(0, w.setClock)
	w.setRoutes()
	if w.id == 0 {
		w.loop.AfterFunc(0, w.keeper.Sweep) // finish the work of an earlier proxy
	}
	if err := w.loop.Run(); err != nil {
		w.log.Error("an event loop ended", "worker", w.id, "error", err)
		w.srv.fail(err)
	}
	w.passes.tell(true)
	w.dials.Wait()
}

// accept makes a session of a new connection.
func (w *worker) accept(nc net.Conn, ln *listener) {
	w.srv.sessionCount.Add(1)
	s := &session{
		w: w, id: w.srv.nextID.Add(1), listener: ln,
		connState: connState{ident: w.stranger, proto: 2},
		activity:  activity{accepted: w.loop.Now(), active: w.loop.Now()},
	}
	remote := ""
	if p, ok := nc.(*accept.Proxied); ok {
		nc, remote = p.Conn, p.Remote
	}
	certified, stands := ln.certified(nc, w.vouched)
	s.certified = certified
	c, err := w.loop.Add(nc, s, eventloop.PrioritySession)
	if err != nil {
		w.srv.sessionCount.Add(-1)
		w.again.Tell(w.log, slog.LevelWarn, "a connection was lost while it was accepted", err)
		return
	}
	s.conn = c
	if remote != "" {
		c.SetRemoteAddr(remote)
	}
	s.refused = w.back.isAway(c.RemoteAddr(), w.loop.Now())
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
	case stands != nil:
		s.refuseCertificate(stands, textCertificateNoUser)
	default:
		s.w.door.knock(s)
	}
}

// forget removes a closed session from the worker's lists.
func (w *worker) forget(s *session, reason telemetry.CloseReason) {
	delete(w.sessions, s.id)
	w.counters.SessionsClosed[reason]++
	w.srv.sessionCount.Add(-1)
	w.release(s.ident)
}

// identity returns key's identity, and makes it if necessary.
func (w *worker) identity(key identityKey) *identity {
	i := w.identities[key]
	if i == nil {
		i = &identity{key: key, w: w, lanes: map[laneKey]*lane{}}
		w.identities[key] = i
		w.users[key.user]++
	}
	return i
}

// release is called when a session gives up an identity. An identity without sessions keeps its
// links for pinIdle: clients that connect for one command each come back, and dialling the same
// links for each of them would cost the server more connections than the clients themselves. Later
// sessions with that identity have proved its credential like the earlier ones.
func (w *worker) release(i *identity) {
	if i.refs--; i.refs == 0 {
		i.leftAt = w.loop.Now()
	}
}

// changeIdentity gives a session another identity, after the server has accepted the login.
func (w *worker) changeIdentity(s *session, key identityKey) {
	next := w.identity(key)
	next.refs++
	w.release(s.ident)
	s.setIdentity(next)
	s.expect()
}

// wakeUp resumes a session at the end of the current work.
func (w *worker) wakeUp(s *session) {
	if !s.queued && !s.closed {
		s.queued = true
		w.ready = append(w.ready, s)
	}
}

// resume resumes the woken sessions. They may wake others.
func (w *worker) resume() {
	for i := 0; i < len(w.ready); i++ {
		s := w.ready[i]
		w.ready[i] = nil
		s.queued = false
		s.proceed()
	}
	w.ready = w.ready[:0]
}

// endTurn runs after the events of a loop iteration and before its output is written.
func (w *worker) endTurn() {
	if len(w.back.queue) > 0 {
		w.serveBackseat()
	}
	if len(w.ready) > 0 {
		w.resume()
	}
	w.durable.Turn()
	w.resume()
	if len(w.back.queue) > 0 {
		w.comeBack()
	}
	w.door.ask()
	if w.answered {
		w.answered = false
		w.up.Seen()
	}
	w.holdMemory()
}

// later runs f on the loop, outside of the current work.
func (w *worker) later(f func()) { w.loop.Post(f) }

// inputBuffer returns an empty buffer for n bytes. A client's announcement alone reserves no memory
// before its bytes have come, and ten thousand half frames must not cost a large buffer each.
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

// linkBroke logs and counts a link that ended against the proxy's will.
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

// pauseClients follows an accepted CLIENT PAUSE or UNPAUSE of any session.
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
