package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/loadtest/crash/history"
)

// A setting is shared by all rounds.
type setting struct {
	dir     string // for logs and data
	server  string // programs
	proxy   string
	workers int
	life    time.Duration // of a primary, on average
}

// A disk holds data and can lose power: unflushed sectors are then gone, or stay one by one as
// chance decides.
type disk interface {
	root() string
	cut(rng *rand.Rand)
	boot() error // again, with the rest of the data
	down()
}

// A round is one run of a scenario, on fresh machines.
type round struct {
	*scenario
	*setting
	ctx context.Context
	dir string
	rng *rand.Rand

	primary *server
	others  []*server
	gone    []*server
	ways    []*relay // of the replicas to their primaries
	front   *relay   // before the primary, for the proxies
	fronts  []*relay // former ones
	proxies []*proxy
	disk    disk // that can lose power; nil: the machine's own

	load     *load
	struck   time.Duration // start of the present or last turmoil
	first    time.Duration // start of the first one
	turmoils []history.Turmoil
	happened []string // faults
	log      *history.Log
	problems []history.Problem
}

// An account is the result of a round.
type account struct {
	acked, unconfirmed, unknown, refused, reads int
	lives, faults                               int
	problems                                    []history.Problem
	happened                                    []string
	dir                                         string
}

// play runs a scenario once. An error is the harness's own, not a finding.
func (set *setting) play(ctx context.Context, sc *scenario, name string, seed uint64) (*account, error) {
	r := &round{scenario: sc, setting: set, ctx: ctx, dir: filepath.Join(set.dir, name),
		rng: rand.New(rand.NewPCG(seed, 7))}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	defer r.down()
	err := r.up()
	if err == nil {
		err = r.run(seed)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w; see %s", sc.name, seed, err, r.dir)
	}
	return r.account(), nil
}

func (r *round) run(seed uint64) error {
	var addrs []string
	for _, p := range r.proxies {
		addrs = append(addrs, p.addr)
	}
	r.load = startLoad(addrs, r.workers, seed, r.manner)
	for life := range r.lives {
		err := r.disturb(r.life/2 + r.span(r.life))
		if err == nil && life < r.lives-1 {
			err = r.revive(r)
		}
		if err != nil {
			r.load.stop()
			return err
		}
	}
	if err := r.finish(r); err != nil {
		return err
	}
	r.problems = append(r.problems, history.Life(r.log.Ops, r.first)...)
	return nil
}

// up starts everything and waits until the proxy acknowledges a write, or could.
func (r *round) up() (err error) {
	args := []string{"--appendonly", "no"}
	if r.aof {
		args = []string{"--appendonly", "yes"}
	}
	args = append(args, r.manner.serverArgs()...)
	if r.power {
		if r.disk, err = newDisk(r.dir, r.falseDisk); err != nil {
			return err
		}
	}
	if r.primary, err = newServer(r.ctx, r.server, r.dir, r.data(), "primary",
		args...); err != nil {
		return err
	}
	if r.front, err = startRelay(r.primary.addr); err != nil {
		return err
	}
	r.front.tell(r.lie)
	var starting sync.WaitGroup
	var failed [2]error
	starting.Go(func() { failed[0] = r.addReplicas(args) })
	starting.Go(func() { failed[1] = r.addProxies() })
	starting.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	if err := r.attached(); err != nil {
		return err
	}
	if r.manner.functions {
		if _, err := r.primary.ask("FUNCTION", "LOAD", library); err != nil {
			return err
		}
	}
	if r.prepare != nil {
		return r.prepare(r)
	}
	return nil
}

func (r *round) addReplicas(args []string) error {
	for i := range r.replicas {
		follow := r.primary.addr
		if of, other := r.follow[i]; other {
			follow = r.others[of].addr
		}
		way, err := startRelay(follow)
		if err != nil {
			return err
		}
		r.ways = append(r.ways, way)
		host, port := split2(way.Addr)
		s, err := newServer(r.ctx, r.server, r.dir, r.dir, fmt.Sprint("replica", i+1),
			append([]string{"--replicaof", host, port}, args...)...)
		if err != nil {
			return err
		}
		r.others = append(r.others, s)
	}
	return nil
}

func (r *round) addProxies() error {
	for i := range r.scenario.proxies {
		name := fmt.Sprint("proxy", i+1)
		folder := filepath.Join(r.data(), name+"-journal")
		p, err := newProxy(r.dir, name, proxy{program: r.setting.proxy, upstream: r.front.Addr,
			journal: folder, settings: r.settings(folder), workers: 1 + r.rng.IntN(2)})
		if err != nil {
			return err
		}
		r.proxies = append(r.proxies, p)
	}
	return nil
}

// attached waits until replicas and journals follow, and the gates let writes through.
func (r *round) attached() error {
	follow := len(r.others) - len(r.follow)
	if r.journal {
		follow += len(r.proxies)
	}
	err := until(r.ctx, "replicas and journals follow", func() bool {
		for _, s := range r.others {
			if !s.linked() {
				return false
			}
		}
		return r.primary.online() >= follow
	})
	for _, p := range r.proxies {
		if err == nil && !r.idle {
			err = until(r.ctx, "a write is acknowledged", p.acknowledges)
		}
	}
	return err
}

// down ends everything, whatever state it is in.
func (r *round) down() {
	for _, p := range r.proxies {
		p.kill()
	}
	for _, s := range append(append(r.gone, r.others...), r.primary) {
		s.kill()
	}
	for _, way := range append(append(r.ways, r.fronts...), r.front) {
		if way != nil {
			way.stop()
		}
	}
	if r.disk != nil {
		r.disk.down()
	}
}

// account sums up.
func (r *round) account() *account {
	a := &account{lives: r.lives, faults: len(r.happened), problems: r.problems,
		happened: r.happened, dir: r.dir}
	count := func(o history.Outcome) {
		*[]*int{&a.unknown, &a.unconfirmed, &a.acked, &a.refused}[o]++
	}
	for _, w := range r.log.Writes {
		count(w.Outcome)
	}
	for _, op := range r.log.Ops {
		if op.Kind == history.Get {
			a.reads++
			continue
		}
		count(op.Outcome)
	}
	if r.idle && a.acked > 0 {
		a.problems = append(a.problems, history.Problem{What: history.Misbehaved,
			Text: fmt.Sprintf("%d writes were acknowledged", a.acked)})
	}
	return a
}

// data is the folder for data that must survive.
func (r *round) data() string {
	if r.disk != nil {
		return r.disk.root()
	}
	return r.dir
}
