package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/journal/repair"
	"holdfast/journal/replay"
	"holdfast/journal/seldom"
	"holdfast/journal/tap"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/upstream"
)

// feeder gives the replicas of a primary that is gone the writes that only the journal has, before the
// sentinels promote one of them (journal/replay/feedreplica.go). The primary is gone when
//
//   - the journal's connection to it broke and a new one is refused, for the replicas whose own connection
//     is down, too; or
//   - most sentinels hold it to be down, for all replicas.
//
// Both can be wrong, and then the feed is harmless: the primary continues the replicas from where they are.
// Several proxies may feed at once: each makes a replica its own in turn, and a replica takes the bytes of
// one history, at their own offsets, from whichever comes. The journal that is furthest decides where
// it ends.
type feeder struct {
	srv    *Server
	wake   chan struct{} // one token: look whether the primary is gone
	round  chan struct{} // one token: held by a round, and by a move to another primary
	joined sync.WaitGroup

	away bool // the journal follows another server than the workers; topology's goroutine's own

	mu  sync.Mutex
	fed map[string]int64 // commands, by replica, since the last move
}

// The pace of the feeder.
const (
	feedLook     = 20 * time.Millisecond  // between looks while the journal's connection is broken
	feedLooks    = 500 * time.Millisecond // the same after feedMost
	feedMost     = 5 * time.Second        // the longest pause between rounds
	feedPoll     = 5 * time.Millisecond   // between looks whether the journal is attached
	feedAgain    = 200 * time.Millisecond
	feedRound    = 15 * time.Second // the longest round
	feedPatience = 5 * time.Second  // of a move: for a round to end, and for a feed
)

func newFeeder(srv *Server) *feeder {
	return &feeder{srv: srv, wake: make(chan struct{}, 1), round: make(chan struct{}, 1), fed: map[string]int64{}}
}

func (f *feeder) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// start begins the feeder's goroutine, which ends with srv.serving.
func (f *feeder) start() {
	r := f.srv.recorder
	if r == nil {
		return
	}
	r.Watch(func() {
		if !r.Attached() {
			f.poke()
		}
	})
	f.joined.Go(func() { f.run(f.srv.serving) })
}

// run is the feeder's goroutine.
func (f *feeder) run(ctx context.Context) {
	var said seldom.Log
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		backoff := upstream.Backoff{Max: feedMost}
		for ctx.Err() == nil {
			v, linked, wait := f.gone()
			if wait > 0 {
				_ = ctxtime.Sleep(ctx, wait)
				continue
			}
			if v == nil {
				break
			}
			again, err := f.feed(ctx, v, linked)
			if err != nil && ctx.Err() == nil {
				said.Tell(f.srv.log, slog.LevelWarn, "a replica of the lost primary is not fed", err)
			}
			if !again {
				break
			}
			_ = ctxtime.Sleep(ctx, backoff.Next())
		}
	}
}

// gone returns the View by which the primary that the journal follows is gone; nil: it is not. linked:
// replicas that believe to be connected to it are concerned, too. A wait asks for another look.
func (f *feeder) gone() (v *sentinel.View, linked bool, wait time.Duration) {
	w, o := f.srv.topology.sentinels(), f.srv.options()
	if w == nil || !o.Feed {
		return nil, false, 0
	}
	v = w.View()
	followed, st := f.srv.recorder.Following()
	if v.Primary == "" || v.Candidate != "" || v.Primary != followed {
		return nil, false, 0
	}
	if v.Down {
		return v, true, 0
	}
	switch {
	case st.State != tap.Connecting:
		return nil, false, 0
	case errors.Is(st.LastErr, syscall.ECONNREFUSED):
		return v, false, 0
	}
	if time.Since(st.Since) > feedMost {
		return nil, false, feedLooks
	}
	return nil, false, feedLook
}

// feed is a round: each replica gets its missing writes. again: another round is worth while.
func (f *feeder) feed(ctx context.Context, v *sentinel.View, linked bool) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, feedRound)
	defer cancel()
	select {
	case f.round <- struct{}{}:
		defer func() { <-f.round }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if now, _, _ := f.gone(); now == nil {
		return false, nil
	}
	replicas := make([]string, len(v.Replicas))
	for i, replica := range v.Replicas {
		replicas[i] = replica.Address
	}
	all, err := f.srv.recorder.FeedReplicas(ctx, v.Primary, replicas, linked)
	if err != nil {
		return errors.Is(err, repair.ErrRunning), err
	}
	var failed []error
	for i := range all {
		again = f.took(&all[i]) || again
		err := all[i].Err
		usual := errors.Is(err, replay.ErrNoNeed) || errors.Is(err, replay.ErrLinked) || errors.Is(err, replay.ErrElsewhere)
		if err != nil && !usual {
			failed = append(failed, errors.New(all[i].Server+": "+err.Error()))
		}
	}
	return again, errors.Join(failed...)
}

// took notes the outcome for a replica. again: it may lack something still.
func (f *feeder) took(fed *repair.ReplicaFed) (again bool) {
	if fed.To > fed.From {
		f.srv.log.Info("a replica of the lost primary was fed the writes that only the journal has", "replica", fed.Server,
			"commands", fed.Commands, "from", fed.From, "to", fed.To)
		f.mu.Lock()
		f.fed[fed.Server] += fed.Commands
		f.mu.Unlock()
	}
	return fed.Err != nil && !errors.Is(fed.Err, replay.ErrNoNeed)
}

// pause waits for the end of a round, within bounds, and lets none begin until the returned function is
// called.
func (f *feeder) pause(ctx context.Context) (goOn func()) {
	ctx, cancel := context.WithTimeout(ctx, feedPatience)
	defer cancel()
	select {
	case f.round <- struct{}{}:
		return func() { <-f.round }
	case <-ctx.Done():
		return func() {}
	}
}

// total returns the commands fed to a server since the last move, and forgets all of them.
func (f *feeder) total(server string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.fed[server]
	clear(f.fed)
	return n
}

// A server that was promoted before it was fed lacks the writes that only the journal has. It can still be
// given these while no client has written to it, and the proxy's own clients wait. So with FeedPromoted a move
// to another primary goes like this:
//
//  1. The journal follows the new primary, and records the missing writes as an incident.
//  2. If there is one, the new primary is fed (package repair), which closes the incident. If a client has
//     written to it by another way, or anything else is in the way, the incident stays.
//  3. The new primary is put in force, and the waiting commands go to it.
//
// Two proxies may be at step 2 at once. One of them claims the new primary first (replay.ErrFeeding); the other then
// sees the writes that the first has fed, and leaves its incident open: proxy repair finds each key as it should
// be, or changed since.
//
// Being a replica for a moment gives the new primary another replication id, so that its second one is no longer
// the old primary's, and demotion leaves that one to the sentinels.

// follow is steps 1 and 2, within feedPatience.
func (f *feeder) follow(ctx context.Context, address string, w source) {
	r, log, o := f.srv.recorder, f.srv.log.With("primary", address), f.srv.options()
	if r == nil || !o.FeedPromoted || o.Sentinels == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, feedPatience)
	defer cancel()
	last := r.LastIncident()
	if !f.record(address, w) {
		return
	}
	f.away = true
	for !r.Attached() {
		if ctxtime.Sleep(ctx, feedPoll) != nil {
			log.Warn("the new primary is not fed: the journal does not follow it yet")
			return
		}
	}
	for _, incident := range r.LossesAfter(last) {
		f.feedPromoted(ctx, log, address, incident)
	}
}

// feedPromoted feeds the new primary the lost branch of an incident.
func (f *feeder) feedPromoted(ctx context.Context, log *slog.Logger, address string, incident int) {
	for {
		n, err := f.srv.recorder.FeedLost(ctx, incident)
		if err == nil {
			log.Info("the new primary was fed the writes that only the journal has", "commands", n, "incident", incident)
			f.mu.Lock()
			f.fed[address] += n
			f.mu.Unlock()
			return
		}
		busy := errors.Is(err, repair.ErrRunning) || errors.Is(err, repair.ErrLive) || // another proxy may be feeding it,
			errors.Is(err, replay.ErrFeeding) || errors.Is(err, replay.ErrTaken) // or has just fed it
		if !busy || ctxtime.Sleep(ctx, feedAgain) != nil {
			log.Warn("the new primary is not fed, and the incident stays", "incident", incident, "error", err)
			return
		}
	}
}

// record has the journal follow a server, if w is still the source.
func (f *feeder) record(address string, w source) bool {
	f.srv.reloading.Lock()
	defer f.srv.reloading.Unlock()
	if f.srv.topology.current() != w {
		return false
	}
	o := f.srv.options()
	f.srv.recorder.Change(o.Journal, located(&o, address))
	return true
}

// stay has the journal follow the primary in force again, after a move that did not come about.
func (f *feeder) stay(address string, w source) {
	if f.away && f.record(address, w) {
		f.away = false
	}
}
