//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/loadtest/harness"
)

// series holds the measurements of one key over all rounds.
type series struct {
	rates     []float64 // commands a second
	proxyCPU  []float64 // µs per command
	serverCPU []float64
	times     harness.Times
	bad       int
	problem   string
}

// ms is a quantile of the times, in milliseconds.
func (s *series) ms(q float64) float64 { return s.times.Quantile(q).Seconds() * 1000 }

func (s *series) add(m measured, proxy, server time.Duration) {
	s.rates = append(s.rates, float64(m.good)/m.seconds)
	s.bad += m.bad
	if m.problem != "" {
		s.problem = m.problem
	}
	s.times.Merge(m.times)
	if m.good > 0 {
		per := float64(m.good) * float64(time.Microsecond)
		s.proxyCPU = append(s.proxyCPU, float64(proxy)/per)
		s.serverCPU = append(s.serverCPU, float64(server)/per)
	}
}

// bench holds the measurements so far.
type bench struct {
	programs programs
	dir      string // of logs
	opts     options

	series map[key]*series
	probes map[string]string // the time of fdatasync on each disk, or why the disk is missing
}

// of returns the measurements of k, to read.
func (b *bench) of(k key) *series {
	if s := b.series[k]; s != nil {
		return s
	}
	return &series{}
}

// record adds a run to the series of k.
func (b *bench) record(k key, m measured, proxy, server time.Duration) {
	if b.series[k] == nil {
		b.series[k] = &series{}
	}
	b.series[k].add(m, proxy, server)
}

// onDisk measures everything on one disk.
func (b *bench) onDisk(ctx context.Context, d disk) (err error) {
	folder, unmount, err := d.mount(b.dir)
	if errors.Is(err, errNoDisk) {
		b.probes[d.name] = "NOT MEASURED: " + err.Error()
		fmt.Fprintln(os.Stderr, d.title()+":", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	grow, over, err := probe(folder)
	if err != nil {
		return err
	}
	b.probes[d.name] = fmt.Sprintf("fdatasync of 4 KiB takes %s where the file grows, as an AOF"+
		" does, and %s over blocks that were written before, as in the journal",
		grow.Round(10*time.Microsecond), over.Round(10*time.Microsecond))
	fmt.Fprintf(os.Stderr, "%s: %s\n", d.title(), b.probes[d.name])
	var all []*contender
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	for _, design := range b.opts.designs {
		c, err := startContender(ctx, b.programs, design, b.dir+"/"+d.name, folder)
		all = append(all, c)
		if err != nil {
			return err
		}
	}
	for round := range b.opts.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", d.title(), round+1, b.opts.rounds)
		if err := b.round(ctx, d, all); err != nil {
			return err
		}
	}
	return nil
}

// round measures every cell and pair once. The order changes each time, so that none always follows
// the same.
func (b *bench) round(ctx context.Context, d disk, all []*contender) error {
	for _, cell := range b.opts.cells {
		for _, i := range rand.Perm(len(b.opts.ways)) {
			way := b.opts.ways[i]
			if !way.does(d, cell) {
				continue
			}
			if err := settle(ctx, d, all); err != nil {
				return err
			}
			if err := b.cell(ctx, d, find(all, way.design), way, cell); err != nil {
				return fmt.Errorf("%s, (%s), %s: %w", d.name, way.name, cell, err)
			}
		}
	}
	for _, i := range rand.Perm(len(pairs)) {
		p := pairs[i]
		c := find(all, p.name)
		if c == nil {
			continue
		}
		if err := settle(ctx, d, all); err != nil {
			return err
		}
		if err := b.pair(ctx, d, c, p); err != nil {
			return fmt.Errorf("%s, (%s), %s: %w", d.name, p.name, p, err)
		}
	}
	return nil
}

// find returns the contender of a design; nil: it takes no part.
func find(all []*contender, name string) *contender {
	for _, c := range all {
		if c.name == name {
			return c
		}
	}
	return nil
}

// window sets the measured interval of the loads.
func (b *bench) window(d disk, loads ...*load) (from, to time.Time) {
	from = time.Now().Add(d.warm)
	to = from.Add(time.Duration(b.opts.seconds * d.seconds * float64(time.Second)))
	for _, l := range loads {
		l.from, l.to = from, to
	}
	return from, to
}

func (b *bench) cell(ctx context.Context, d disk, c *contender, w way, what cell) error {
	l, err := newLoad(c.addr(), what.connections,
		work{command: "SET", prefix: w.prefix, depth: what.depth, wait: w.wait})
	if err != nil {
		return err
	}
	proxy, server, err := b.run(ctx, d, c, l)
	if err != nil {
		return err
	}
	b.record(key{d.name, w.name, what.String()}, l.result, proxy, server)
	return nil
}

// pair measures a reader together with writers. It records the reader and, under another name, the
// writers.
func (b *bench) pair(ctx context.Context, d disk, c *contender, p pair) error {
	writers, err := newLoad(c.addr(), pairWriters,
		work{command: "SET", prefix: p.prefix, depth: 1})
	if err != nil {
		return err
	}
	reader, err := newLoad(c.addr(), 1, work{command: "GET", prefix: plainPrefix, depth: 1})
	if err != nil {
		writers.close()
		return err
	}
	proxy, server, err := b.run(ctx, d, c, reader, writers)
	if err != nil {
		return err
	}
	b.record(key{d.name, c.name, p.String()}, reader.result, proxy, server)
	b.record(key{d.name, c.name, p.writers()}, writers.result, proxy, server)
	return nil
}

// run runs loads in parallel and returns the CPU times of the contender's processes meanwhile.
func (b *bench) run(
	ctx context.Context, d disk, c *contender, loads ...*load,
) (proxy, server time.Duration, err error) {
	from, to := b.window(d, loads...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a failed one ends the others
	ended := make(chan error, len(loads))
	for _, l := range loads {
		go l.runInto(ctx, cancel, ended)
	}
	time.Sleep(time.Until(from))
	proxy, server = c.cpu()
	time.Sleep(time.Until(to))
	proxyAfter, serverAfter := c.cpu()
	for range loads {
		if e := <-ended; e != nil && !errors.Is(err, context.Canceled) {
			err = errors.Join(err, e)
		}
	}
	return proxyAfter - proxy, serverAfter - server, err
}

// runInto is the goroutine of one load, joined by its send to ended.
func (l *load) runInto(ctx context.Context, cancel context.CancelFunc, ended chan<- error) {
	err := l.run(ctx)
	if err != nil {
		cancel()
	}
	ended <- err
}

// cpu returns the CPU times of the contender's proxy, 0 if it has none, and of its server.
func (c *contender) cpu() (proxy, server time.Duration) {
	if c.proxy != nil {
		proxy = cpuClock(c.proxy.Pid)
	}
	return proxy, cpuClock(c.server.Pid)
}

// cpuClock is the CPU clock of another process, all its threads: clock_getcpuclockid(3). 0 when the
// process is gone, which the load will have noticed.
func cpuClock(pid int) time.Duration {
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
