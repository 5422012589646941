package main

import (
	"slices"
	"time"

	"holdfast/loadtest/crash/history"
)

// split promotes the replica while the primary lives on: new connections are led to the one, old
// ones remain with the other. Neither gets the other's writes any longer, so that no command
// executed on the old one from then on may be acknowledged. Then the old one dies.
func split(r *round) error {
	r.calm()
	r.strike()
	old := r.primary
	if err := r.lead(); err != nil {
		return err
	}
	r.wander(3)
	old.kill()
	r.gone = append(r.gone, old)
	r.primary, r.others = r.others[0], r.others[1:]
	r.ways[0].stop()
	r.ways = r.ways[1:]
	r.settle()
	return r.followed()
}

// lead promotes the first replica and leads new connections there, in some order.
func (r *round) lead() error {
	next := r.others[0]
	steps := []func() error{next.promote, func() error { r.front.lead(next.addr); return nil }}
	if r.rng.IntN(2) == 0 {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		r.load.Pause(r.span(30 * time.Millisecond))
	}
	return nil
}

// wander moves connections to the target of new ones, some at a time.
func (r *round) wander(times int) {
	for range times {
		r.front.cut(func(*way) bool { return r.rng.IntN(3) == 0 })
		r.load.Pause(r.span(80 * time.Millisecond))
	}
}

// finishSplitBrain has two primaries go on, each with a replica of its own that is behind at times.
// Every acknowledged write is then on one of the replicas, if the server that executed it gave the
// proof; so both primaries die, and all of these writes must be found. Elements that were changed
// twice are left out, as each change may have been on another side.
func finishSplitBrain(r *round) error {
	r.calm()
	r.strike()
	if err := r.lead(); err != nil {
		return err
	}
	begin := r.load.Clock()
	for range 4 {
		way := r.ways[1+r.rng.IntN(2)] // to the replica of one of them
		way.stall(replication)
		r.wander(1)
		if r.rng.IntN(2) == 0 {
			way.calm()
		}
	}
	for _, way := range r.ways { // bytes in flight do not arrive
		way.cut(all)
	}
	r.end(append(r.victims(), r.others[0])...)
	r.settle()
	one, err := dump(r.others[1])
	if err != nil {
		return err
	}
	other, err := dump(r.others[2])
	if err != nil {
		return err
	}
	r.problems = append(r.problems, history.Somewhere(r.log.Writes, begin, one, other)...)
	return nil
}
