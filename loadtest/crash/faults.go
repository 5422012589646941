package main

import (
	"strings"
	"time"
)

// A fault is a temporary failure. Faults happen one after the other; some may last until the
// primary is killed.
type fault struct {
	name string
	do   func(*round) error
}

// span is a random time from a millisecond up.
func (r *round) span(most time.Duration) time.Duration {
	return time.Millisecond + time.Duration(r.rng.Int64N(int64(most)))
}

// some chooses about half of them.
func (r *round) some(*way) bool { return r.rng.IntN(2) == 0 }

func all(*way) bool { return true }

// lasts decides whether a condition goes on to the end of the life.
func (r *round) lasts() bool { return r.lasting || r.rng.IntN(4) == 0 }

// The network between the proxies and the server.
var (
	cutLinks = fault{"links are cut", func(r *round) error {
		which := []func(*way) bool{all, r.some}[r.rng.IntN(2)]
		r.front.cut(func(w *way) bool { return w.sort() == ordinary && which(w) })
		return nil
	}}
	stallLinks = fault{"links stall", func(r *round) error {
		r.front.stall(ordinary)
		r.load.Pause(r.span(200 * time.Millisecond))
		if r.rng.IntN(2) == 0 { // bytes in flight do not arrive
			r.front.cut(func(w *way) bool { return w.sort() == ordinary })
		}
		r.front.calm()
		return nil
	}}
	freezePrimary = fault{"the primary stops for a while", func(r *round) error {
		r.primary.freeze()
		r.load.Pause(r.span(150 * time.Millisecond))
		r.primary.thaw()
		return nil
	}}
	killClients = fault{"the server closes its clients", func(r *round) error {
		_, err := r.primary.ask("CLIENT", "KILL", "TYPE", "normal")
		return err
	}}
)

// The proxies.
var (
	killProxy = fault{"a proxy is killed and restarted", func(r *round) error {
		p := r.proxies[r.rng.IntN(len(r.proxies))]
		p.kill()
		r.load.Pause(r.span(30 * time.Millisecond))
		return p.start()
	}}
	freezeProxy = fault{"a proxy stops for a while", func(r *round) error {
		p := r.proxies[r.rng.IntN(len(r.proxies))]
		p.freeze()
		r.load.Pause(r.span(100 * time.Millisecond))
		p.thaw()
		return nil
	}}
)

// Operations on proxies.
var (
	restartProxy = fault{"a proxy is restarted in an orderly way", func(r *round) error {
		p := r.proxies[r.rng.IntN(len(r.proxies))]
		p.proc.Stop()
		return p.start()
	}}
	changeRoute = fault{"a reload changes the route", func(r *round) error {
		p := r.proxies[r.rng.IntN(len(r.proxies))]
		from, to := timeout, otherTimeout
		if strings.Contains(p.settings, otherTimeout) {
			from, to = to, from
		}
		p.settings = strings.Replace(p.settings, from, to, 1)
		return p.reload(p.upstream)
	}}
)

// The stream's connection to the journal.
var (
	cutTap = fault{"the journal is cut off", func(r *round) error {
		r.front.cut(func(w *way) bool { return w.sort() == replication })
		return nil
	}}
	stallTap = fault{"the journal's stream stalls", func(r *round) error {
		r.front.stall(replication)
		r.load.Pause(r.span(200 * time.Millisecond))
		if !r.lasts() {
			r.front.calm()
		}
		return nil
	}}
	slowTap = fault{"the journal's stream is late", func(r *round) error {
		r.front.slow(r.span(20 * time.Millisecond))
		return nil
	}}
)

// Replicas. A killed replica has lost its memory, and writes acknowledged meanwhile may be on the
// primary alone until the replica has caught up: to lose both at once is more than one replica
// promises. So the next fault waits for it.
var (
	freezeReplica = fault{"a replica stops", func(r *round) error {
		s := r.anyReplica()
		s.freeze()
		r.load.Pause(r.span(200 * time.Millisecond))
		if !r.lasts() {
			s.thaw()
		}
		return nil
	}}
	cutReplica = fault{"a replica is cut off", func(r *round) error {
		r.anyWay().cut(all)
		return nil
	}}
	stallReplica = fault{"a replica's stream stalls", func(r *round) error {
		way := r.anyWay()
		way.stall(replication)
		r.load.Pause(r.span(200 * time.Millisecond))
		if !r.lasts() {
			way.calm()
		}
		return nil
	}}
	// loseReplica lasts as long as a route's timeout, and until the proxy sees that the replica is
	// gone.
	loseReplica = fault{"a replica stays away", func(r *round) error {
		way := r.anyWay()
		way.stall(replication)
		way.cut(all)
		r.load.Pause(500*time.Millisecond + r.span(time.Second))
		if r.rng.IntN(2) == 0 {
			way.calm()
		}
		return nil
	}}
	killReplica = fault{"a replica is killed and restarted", func(r *round) error {
		r.calm() // it cannot come back through a stalled network
		s := r.anyReplica()
		s.kill()
		r.load.Pause(r.span(30 * time.Millisecond))
		if err := s.start(r.ctx); err != nil {
			return err
		}
		return r.followed()
	}}
)

// The append-only file.
var (
	switchAOF = fault{"the AOF is switched off and on", func(r *round) error {
		if _, err := r.primary.ask("CONFIG", "SET", "appendonly", "no"); err != nil {
			return err
		}
		r.load.Pause(r.span(100 * time.Millisecond))
		if r.lasts() {
			return nil
		}
		_, err := r.primary.ask("CONFIG", "SET", "appendonly", "yes")
		return err
	}}
	rewriteAOF = fault{"the AOF is rewritten", func(r *round) error {
		// A rewrite may be in progress.
		_, _ = r.primary.ask("BGREWRITEAOF")
		return nil
	}}
)

func (r *round) anyReplica() *server { return r.others[r.rng.IntN(len(r.others))] }
func (r *round) anyWay() *relay      { return r.ways[r.rng.IntN(len(r.ways))] }

// calm ends lasting faults, except for dead processes.
func (r *round) calm() {
	r.front.calm()
	for _, way := range r.ways {
		way.calm()
	}
	for _, s := range r.others {
		s.thaw()
	}
	for _, p := range r.proxies {
		p.thaw()
	}
}

// disturb lets faults happen for a while.
func (r *round) disturb(span time.Duration) error {
	deadline := time.Now().Add(span)
	for time.Now().Before(deadline) && r.ctx.Err() == nil {
		r.load.Pause(min(r.span(120*time.Millisecond), time.Until(deadline)))
		if len(r.faults) == 0 || time.Now().After(deadline) {
			continue
		}
		f := r.faults[r.rng.IntN(len(r.faults))]
		r.happened = append(r.happened, f.name)
		if err := f.do(r); err != nil {
			return err
		}
	}
	return r.ctx.Err()
}
