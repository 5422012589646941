package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"time"

	"holdfast/loadtest/crash/history"
)

// strike begins a turmoil: from here on the primary may be gone.
func (r *round) strike() {
	r.load.struck.Store(true)
	r.struck = r.load.Clock()
	if r.first == 0 {
		r.first = r.struck
	}
}

// settle ends the turmoil: one primary is there, alone.
func (r *round) settle() {
	r.load.struck.Store(false)
	r.turmoils = append(r.turmoils, history.Turmoil{From: r.struck, To: r.load.Clock()})
}

// aftermath is the time for which clients see the effects of a kill.
const aftermath = 20 * time.Millisecond

// end kills the last primary and the caller's other victims, and stops the load.
func (r *round) end(victims ...interface{ kill() }) {
	if r.disk == nil {
		r.strike()
	}
	for _, v := range victims {
		v.kill()
	}
	r.load.Pause(aftermath)
	log, strange := r.load.stop()
	r.log, r.problems = log, append(r.problems, strange...)
	r.calm()
}

// victims are the primary and perhaps the proxies, in some order.
func (r *round) victims() (list []interface{ kill() }) {
	order := r.rng.IntN(3)
	if order != 0 {
		list = append(list, r.primary)
	}
	if order != 1 {
		for _, p := range r.proxies {
			list = append(list, p)
		}
	}
	if order == 0 {
		list = append(list, r.primary)
	}
	return list
}

// judge compares a server's contents with a part of the log.
func (r *round) judge(what string, s *server, log *history.Log, registers bool) error {
	state, err := dump(s)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	found := history.CheckLedger(log.Writes, state)
	if registers {
		ops := slices.Clone(log.Ops)
		now := r.load.Clock()
		for n := range registerKeys * databases {
			key := inDatabase(registerKey(n%registerKeys), n/registerKeys)
			ops = append(ops, history.Op{Key: key, Kind: history.Get, Saw: state.Registers[key],
				Span: history.Span{Client: -1, Call: now, Return: now, Outcome: history.Acked}})
		}
		found = append(found, history.Across(ops, r.turmoils)...)
	}
	for _, p := range found {
		p.Text = what + ": " + p.Text
		r.problems = append(r.problems, p)
	}
	return nil
}

// finishJournal kills the primary, the proxies, or both in some order, and restores from the journals.
func finishJournal(r *round) error {
	r.end(r.victims()...)
	r.settle()
	return r.fromJournals()
}

func (r *round) fromJournals() error {
	for i, p := range r.proxies {
		p.kill()
		log := r.log
		if len(r.proxies) > 1 {
			log = log.Through(i)
		}
		if err := r.fromJournal(p, log, 0, len(r.proxies) == 1); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) fromJournal(p *proxy, log *history.Log, timeline int, registers bool) error {
	s, err := newServer(r.ctx, r.server, r.dir, r.dir, fmt.Sprint("restored", len(r.gone)))
	if err != nil {
		return err
	}
	r.gone = append(r.gone, s)
	defer s.kill()
	if err := p.restore(r.ctx, s, timeline); err != nil {
		return r.gaveNothing("journal", err, log)
	}
	return r.judge("journal", s, log, registers)
}

// gaveNothing accepts a failed recovery if nothing was acknowledged: then there need not be
// anything to recover.
func (r *round) gaveNothing(what string, err error, log *history.Log) error {
	for _, w := range log.Writes {
		if w.Outcome == history.Acked {
			r.problems = append(r.problems, history.Problem{What: history.Lost,
				Text: fmt.Sprintf("%s: everything, such as %s: %v", what, &w, err)})
			return nil
		}
	}
	return r.ctx.Err()
}

// finishTimelines restores both histories. Commands in flight between them may be in either.
func finishTimelines(r *round) error {
	r.end(r.primary)
	r.settle()
	p := r.proxies[0]
	p.kill()
	ids, err := p.timelines()
	if err != nil {
		return err
	}
	first, second := r.turmoils[0], r.turmoils[1]
	defer func() { r.turmoils = []history.Turmoil{first, second} }()
	r.turmoils = []history.Turmoil{first}
	if err := r.fromJournal(p, r.log.Within(history.Turmoil{}, first), ids[0], true); err != nil {
		return err
	}
	if len(ids) > 1 {
		r.turmoils = []history.Turmoil{second}
		return r.fromJournal(p, r.log.Within(first, second), ids[len(ids)-1], true)
	}
	for _, w := range r.log.Writes {
		if w.Outcome == history.Acked && w.Call > first.To {
			r.problems = append(r.problems, history.Problem{What: history.Lost,
				Text: "the journal has no timeline of the second server: " + w.String()})
			break
		}
	}
	return nil
}

// finishPower cuts the power of the machine with the journal or the append-only file: server and
// proxy die, and unflushed data is gone.
func finishPower(r *round) error {
	r.strike()
	r.disk.cut(r.rng)
	r.end(r.victims()...)
	for _, p := range r.proxies {
		p.kill()
	}
	if err := r.disk.boot(); err != nil {
		r.settle()
		return r.gaveNothing("file system", err, r.log)
	}
	if r.journal {
		r.settle()
		return r.fromJournals()
	}
	if err := r.primary.start(r.ctx); err != nil {
		return r.gaveNothing("aof", err, r.log)
	}
	r.settle()
	return r.judge("aof", r.primary, r.log, true)
}

// restartPrimary kills the primary and starts it again from its files.
func restartPrimary(r *round) error {
	r.strike()
	r.primary.kill()
	r.load.Pause(r.span(20 * time.Millisecond))
	r.calm()
	err := r.primary.start(r.ctx)
	r.settle()
	return err
}

func finishAOF(r *round) error {
	r.end(r.victims()...)
	if err := r.primary.start(r.ctx); err != nil {
		return err
	}
	r.settle()
	return r.judge("aof", r.primary, r.log, true)
}

// failOver kills the primary, promotes the replica that is ahead, and has the others follow it. The
// next kill waits for them, as each promise covers the loss of one machine.
func failOver(r *round) error {
	r.strike()
	r.primary.kill()
	r.load.Pause(r.span(20 * time.Millisecond))
	r.calm()
	if err := r.promote(); err != nil {
		return err
	}
	if err := r.move(); err != nil {
		return err
	}
	r.settle()
	return r.followed()
}

// followed waits until every replica has everything that the primary has now. A returning replica
// may be linked at once, with the whole history still to come.
func (r *round) followed() error {
	target, err := r.primary.written()
	if err != nil {
		return err
	}
	return until(r.ctx, "the replicas follow", func() bool {
		for _, s := range r.others {
			if !s.linked() || s.offset() < target {
				return false
			}
		}
		return true
	})
}

// promote makes a primary of the replica that is ahead.
func (r *round) promote() error {
	best := slices.MaxFunc(r.others, func(a, b *server) int {
		return cmp.Compare(a.offset(), b.offset())
	})
	if err := best.promote(); err != nil {
		return err
	}
	r.gone = append(r.gone, r.primary)
	r.primary = best
	r.others = slices.DeleteFunc(r.others, func(s *server) bool { return s == best })
	host, port := split2(best.addr)
	for _, s := range r.others {
		if _, err := s.ask("REPLICAOF", host, port); err != nil {
			return err
		}
		s.args = append([]string{"--replicaof", host, port}, s.args[3:]...)
	}
	return nil
}

// move brings the proxies to the new primary: by its address, or by a reload.
func (r *round) move() error {
	if r.rng.IntN(2) == 0 {
		r.front.lead(r.primary.addr)
		return nil
	}
	r.fronts = append(r.fronts, r.front)
	var err error
	if r.front, err = startRelay(r.primary.addr); err != nil {
		return err
	}
	for _, p := range r.proxies {
		if err := p.reload(r.front.Addr); err != nil {
			return err
		}
	}
	return nil
}

func finishPromote(r *round) error {
	r.end(r.victims()...)
	if err := r.promote(); err != nil {
		return err
	}
	r.settle()
	return r.judge("replica", r.primary, r.log, true)
}

// finishReplicaAOF kills primary and replica, and starts the replica from its append-only file.
func finishReplicaAOF(r *round) error {
	s := r.others[0]
	r.end(append(r.victims(), s)...)
	if err := r.restartReplica(s); err != nil {
		return err
	}
	r.settle()
	return r.judge("aof of the replica", s, r.log, true)
}

// restartReplica starts a replica from its own file. Its primary is dead, so that it keeps the
// file's data.
func (r *round) restartReplica(s *server) error {
	s.kill()
	s.args = s.args[3:] // no primary any more
	return s.start(r.ctx)
}

// finishAll kills everything, and checks each place that must hold all of it. At times it spares
// the replica, and promotes it as it is.
func finishAll(r *round) error {
	s := r.others[0]
	victims, spared := r.victims(), r.rng.IntN(3) == 0
	if !spared {
		victims = append(victims, s)
	}
	r.end(victims...)
	r.settle()
	if spared {
		if err := s.promote(); err != nil {
			return err
		}
		if err := r.judge("replica", s, r.log, true); err != nil {
			return err
		}
	}
	if err := r.fromJournals(); err != nil {
		return err
	}
	if err := r.primary.start(r.ctx); err != nil {
		return err
	}
	if err := r.judge("aof", r.primary, r.log, true); err != nil {
		return err
	}
	r.primary.kill()
	if err := r.restartReplica(s); err != nil {
		return err
	}
	return r.judge("aof of the replica", s, r.log, true)
}

func split2(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}
