package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// With sentinels or candidates, topology keeps the upstream at the primary. A source finds it
// (source.go); here are the consequences:
//
//  1. At the start, the address comes from the source. While it has none, there is a placeholder: an
//     upstream that cannot be reached.
//  2. While the primary is in doubt, every worker has commands that may write wait (suspicion.go).
//  3. When there is another primary, it is put in force like a reload of upstream.address
//     (reload.go, switch.go): it is probed, workers send it what has not been sent, and the
//     journal judges what the new one lacks. What the old one owes is no OK any more (switch.go).
//  4. By sentinels, the old one takes no more writes (demote.go), and servers are fed (feeder.go). By
//     candidates neither: REPLICAOF replaces a server's data, and here no third party confirms which of two
//     primaries is the right one.
//
// Each data connection checks the role of its server by the reply to HELLO (handshake.go), which
// covers the time between a demotion and its discovery.
//
// The rejected design moves on the first event of one sentinel. A sentinel that is wrong would then
// move all clients to a server that a later full synchronization empties.
type topology struct {
	srv  *Server
	wake chan struct{} // one token: look at the View
	done chan struct{} // closed when run has ended; nil before
	feed *feeder

	handing sync.Mutex // held by a handover (handover.go)

	mu      sync.Mutex
	source  source       // nil: upstream.address names the server
	told    suspicion    // as the workers have it
	planned string       // the doubt of a handover; "": none
	refusal time.Time    // until when a refused write is a doubt; zero: none was refused
	began   time.Time    // of the doubt, or of the move; zero: neither
	why     string       // its first reason
	moves   []admin.Move // the last ones, oldest first
	total   uint64       // all of them
}

// announcedFor is how long a primary that was handed over by others waits for the announcement of the sentinels. Where
// they have a failover coordinated by the servers, they disconnect all clients of the new primary before it, and commands
// that it had not answered would get -UPSTREAM. In a failover of the proxy's own they have done so by then (handover.go).
const announcedFor = 2 * time.Second

// refusedFor is how long a refused write is a doubt before the source knows why it was refused.
const refusedFor = 2 * time.Second

// keptMoves bounds the history of moves.
const keptMoves = 32

// noPrimary is the dialer of the placeholder. why is the error of every connection.
type noPrimary struct{ why error }

// DialContext implements upstream.Dialer.
func (n noPrimary) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, n.why
}

// isPlaceholder reports whether an upstream stands in for a primary that is not known.
func isPlaceholder(o *upstream.Options) bool {
	_, is := o.Dialer.(noPrimary)
	return is
}

func newTopology(srv *Server) *topology {
	return &topology{srv: srv, wake: make(chan struct{}, 1), feed: newFeeder(srv)}
}

// located completes the upstream of options with a source: address is the primary's; "": there is
// none yet.
func located(o *Options, address string) upstream.Options {
	up := o.Upstream
	up.PrimaryOnly = true
	if isPlaceholder(&up) {
		up.Dialer = nil
	}
	if up.Address = address; address == "" {
		up.Address, up.Dialer = o.placeholder()
	}
	return up
}

// watch makes a source for options, starts it, and waits for a primary, as long as for a connection.
// After an error the source goes on.
func (t *topology) watch(ctx context.Context, o *Options) (w source, address string, err error) {
	w = t.newSource(o)
	w.Start(t.srv.dialCtx)
	ctx, cancel := context.WithTimeout(ctx, o.Upstream.ConnectTimeout)
	defer cancel()
	address, err = w.Await(ctx)
	return w, address, err
}

// standing is the role and the history of the server at an address. The one in force is watched anyway, while it is a
// primary.
func (t *topology) standing(ctx context.Context, o upstream.Options, address string) (upstream.Standing, error) {
	if up := t.srv.up.Load(); up.Address() == address {
		up.Recheck()
		if info := up.Info(); info.Up && info.Role == "master" {
			return upstream.Standing{Role: info.Role, ReplID: info.ReplID, ReplID2: info.ReplID2}, nil
		}
	}
	o.Address, o.Dialer = address, nil
	return upstream.AskStanding(ctx, o)
}

// serverChanged follows a change of the server in force. Its role is a sign that no sentinel may give: one
// who demotes the server by hand gives none. A refused write has the server checked (recheck.go).
func (t *topology) serverChanged() {
	if w := t.current(); w != nil {
		w.Look()
	}
}

// deaf says that who names the primary is not heard.
func (t *topology) deaf() string {
	if w := t.current(); w != nil {
		return w.belief().deaf
	}
	return ""
}

func (t *topology) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// begin finds the primary for the start, before anything else has begun.
func (t *topology) begin(ctx context.Context) {
	srv := t.srv
	o := srv.options()
	if !o.hasSource() {
		return
	}
	w, address, err := t.watch(ctx, &o)
	if err != nil {
		srv.log.Warn("there is no primary; serving errors until there is one", "error", err)
	}
	o.Upstream = located(&o, address)
	srv.up.Swap(srv.newUpstream(o.Upstream)).Stop()
	srv.mu.Lock()
	srv.current.Upstream = o.Upstream
	srv.mu.Unlock()
	t.mu.Lock()
	t.source = w
	t.mu.Unlock()
}

// start follows the source, that of later reloads as well.
func (t *topology) start() {
	t.done = make(chan struct{})
	go t.run()
	t.feed.start()
	t.poke()
}

// stop ends the following and waits for it. srv.serving has ended.
func (t *topology) stop() {
	if t.done != nil {
		<-t.done
		t.feed.joined.Wait()
	}
	w := t.adopt(nil)
	if w == nil {
		return
	}
	w.Stop()
	if by, is := w.(byCandidates); is {
		t.srv.mu.Lock()
		defer t.srv.mu.Unlock()
		o := *t.srv.current.Candidates
		o.Known = by.Known()
		t.srv.current.Candidates = &o
	}
}

// current returns the source in force; nil: there is none.
func (t *topology) current() source {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source
}

// adopt puts another source in force, or none, and returns the old one if it is another.
func (t *topology) adopt(w source) (old source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source == w {
		return nil
	}
	old, t.source = t.source, w
	t.poke()
	return old
}

// run is topology's goroutine.
func (t *topology) run() {
	defer close(t.done)
	ctx := t.srv.serving
	retry, backoff := time.NewTimer(0), upstream.Backoff{Max: time.Second}
	defer retry.Stop()
	var again seldom.Log
	for {
		select {
		case <-t.wake:
		case <-retry.C:
		case <-ctx.Done():
			return
		}
		err := t.look(ctx)
		if err == nil {
			backoff.Reset()
			continue
		}
		if ctx.Err() == nil {
			again.Tell(t.srv.log, slog.LevelWarn, "the new primary cannot be put in force yet", err)
		}
		retry.Reset(backoff.Next())
	}
}

// look compares the belief with the upstream in force, and moves if necessary.
func (t *topology) look(ctx context.Context) error {
	w := t.current()
	if t.deaf() != t.srv.proofs.Now().Deaf {
		t.srv.lookAtProofs()
	}
	if w == nil {
		t.suspect(suspicion{})
		return nil
	}
	v := w.belief()
	from := t.srv.up.Load().Address()
	if v.primary == "" || v.primary == from {
		planned := t.plannedDoubt()
		t.suspect(suspicion{why: cmp.Or(v.doubt, planned, t.refusedDoubt()), certain: v.certain,
			planned: v.doubt == "" && planned != ""})
		t.feed.stay(from, w)
		return nil
	}
	planned := t.plannedDoubt() != ""
	if wait := announcedFor - time.Since(v.handed); !v.handed.IsZero() && !planned && wait > 0 {
		t.suspect(suspicion{why: from + " has handed over to " + v.primary, certain: true})
		time.AfterFunc(wait, t.poke)
		return nil
	}
	o := t.srv.options()
	placeholder := isPlaceholder(&o.Upstream)
	t.suspect(suspicion{why: cmp.Or(v.why, "the primary is "+v.primary+" now"), certain: true})
	m := admin.Move{From: from, To: v.primary, Votes: v.votes, Of: v.of, Paused: t.outageSoFar(ctx)}
	defer t.feed.pause(ctx)()
	if !placeholder {
		t.feed.follow(ctx, v.primary, w)
	}
	m.Held = t.held(ctx)
	c, err := t.srv.moveTo(ctx, w, v.primary)
	if c != nil {
		if m := t.moved(m); !placeholder {
			t.record(m)
		}
		t.demote(c)
	}
	return err
}

// suspect passes a doubt on to the workers, once.
func (t *topology) suspect(s suspicion) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s == t.told {
		return
	}
	switch {
	case s.why == "":
		t.began, t.why = time.Time{}, ""
	case t.began.IsZero():
		t.began, t.why = time.Now(), s.why
	}
	t.told = s
	t.srv.loops.each(func(w *worker) { w.outage.suspect(s) })
}

// plan has commands that may write wait for a handover; "": no more.
func (t *topology) plan(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.planned = why
	t.poke()
}

// plannedDoubt is the doubt of a handover.
func (t *topology) plannedDoubt() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.planned
}

// refused has commands that may write wait, since the server has refused one (recall.go). A loop may call it.
func (t *topology) refused() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusal = time.Now().Add(refusedFor)
	t.poke()
	time.AfterFunc(refusedFor, t.poke)
}

// refusedDoubt is the doubt of a refused write.
func (t *topology) refusedDoubt() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.refusal) {
		return refusedSign
	}
	return ""
}

// move is the n-th move; false: there was none so far, or it is forgotten.
func (t *topology) move(n uint64) (admin.Move, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if back := t.total - n; n > 0 && n <= t.total && back < uint64(len(t.moves)) {
		return t.moves[len(t.moves)-1-int(back)], true
	}
	return admin.Move{}, false
}

// outageSoFar is for how long workers have had no connection.
func (t *topology) outageSoFar(ctx context.Context) time.Duration {
	if o, err := outageOf(ctx, t.srv.loops); err == nil && o != nil {
		return o.For
	}
	return 0
}

// held counts the commands that wait.
func (t *topology) held(ctx context.Context) (n int64) {
	parts, err := gather(ctx, t.srv.loops, func(w *worker) int64 { return w.outage.held() })
	if err != nil {
		t.srv.log.Debug("the waiting commands are not counted", "error", err)
	}
	for _, part := range parts {
		n += part
	}
	return n
}

// moved completes a move that is in force, and ends the doubt; switchTo has ended the workers'.
func (t *topology) moved(m admin.Move) admin.Move {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.At, m.Why, m.Fed, m.Paused = time.Now(), t.why, t.feed.total(m.To), max(time.Since(t.began), m.Paused)
	t.began, t.why, t.planned, t.refusal = time.Time{}, "", "", time.Time{}
	t.told = suspicion{since: -1} // like no other, so that look ends the doubt of a worker by itself, too
	t.poke()
	return m
}

// record adds a move to the history, the log and the traces.
func (t *topology) record(m admin.Move) {
	t.mu.Lock()
	t.total++
	t.moves = append(t.moves, m)
	t.moves = slices.Delete(t.moves, 0, max(0, len(t.moves)-keptMoves))
	t.mu.Unlock()
	t.srv.log.Info("the proxy follows a failover", "from", m.From, "to", m.To, "reason", m.Why,
		"paused", m.Paused.Round(time.Millisecond).String(), "held", m.Held, "fed", m.Fed)
	t.srv.recordFailover(telemetry.FailoverRecord{
		Start: m.At.Add(-m.Paused), End: m.At, From: m.From, To: m.To, Reason: m.Why, Held: m.Held, Fed: m.Fed,
	})
}

// demote has the old primary of a change take no more writes (demote.go).
func (t *topology) demote(c *change) {
	if !c.opts.Fence || c.opts.Sentinels == nil || c.gone == nil || c.oldRunID == "" {
		return
	}
	t.mu.Lock()
	n := t.total // the number of this move
	t.mu.Unlock()
	d := &demotion{log: t.srv.log, old: c.old.Upstream, new: c.opts.Upstream, runID: c.oldRunID, gone: c.gone}
	d.stands = func() bool {
		w := t.current()
		if w == nil || t.srv.up.Load().Address() != d.new.Address {
			return false
		}
		v := w.belief()
		return v.primary == d.new.Address && !v.certain
	}
	d.told = func(text string) { t.note(n, text) }
	t.srv.retired.Go(func() { d.run(t.srv.serving) })
}

// note records the end of the old primary of the n-th move.
func (t *topology) note(n uint64, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if back := t.total - n; back < uint64(len(t.moves)) {
		t.moves[len(t.moves)-1-int(back)].Old = text
	}
}

// resolve completes the options of a reload: with a source, it finds the primary. next is the source to
// adopt once the options are in force; started: it is a new one.
func (t *topology) resolve(ctx context.Context, o *Options) (next source, started bool, err error) {
	if !o.hasSource() {
		return nil, false, nil
	}
	srv := t.srv
	old := srv.options()
	if w := t.current(); w != nil && sameSource(o, &old) {
		address := old.Upstream.Address
		if isPlaceholder(&old.Upstream) {
			address = ""
		}
		o.Upstream = located(o, address)
		return w, false, nil
	}
	w, address, err := t.watch(ctx, o)
	if err != nil {
		w.Stop()
		return nil, false, fmt.Errorf("%s: %w", o.sourceKey(), err)
	}
	o.Upstream = located(o, address)
	return w, true, nil
}

// moveTo puts the primary at another address in force, if w is still the source. Without a change it
// returns nil.
func (srv *Server) moveTo(ctx context.Context, w source, address string) (*change, error) {
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	if srv.topology.current() != w {
		return nil, nil
	}
	o := srv.options()
	o.Upstream = located(&o, address)
	o.InForce = nil // nothing else changes
	c := &change{srv: srv, opts: o, failover: true}
	if err := c.carryOut(ctx); err != nil {
		return nil, err
	}
	return c, nil
}
