package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"holdfast/loadtest/harness"
)

// firstRequests is the length of a cell's first, unrecorded run, and the least of any whole run.
const firstRequests = 3000

// sample is the measurement of one run.
type sample struct {
	opsPerSecond float64
	proxyCPU     float64 // µs per command; 0 for direct
	serverCPU    float64 // µs per command
}

// key names a cell of a target.
type key struct {
	target string
	cell   cell
}

// bench holds the measurements so far.
type bench struct {
	program string // valkey-benchmark
	targets []*target
	cells   []cell
	seconds float64 // asked length of a run
	// marginal leaves the cost of connecting out of the processor times: each run of valkey-benchmark
	// opens its own connections, and a TLS handshake costs as much as a hundred commands.
	marginal bool

	rate    map[key]float64 // commands per second, of the last run
	samples map[key][]sample
}

func newBench(program string, targets []*target, cells []cell, seconds float64) *bench {
	return &bench{
		program: program, targets: targets, cells: cells, seconds: seconds,
		rate: map[key]float64{}, samples: map[key][]sample{},
	}
}

// rounds measures every cell of every target n times.
func (b *bench) rounds(ctx context.Context, n int) error {
	for round := range n {
		for _, c := range b.cells {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, n, c)
			for _, t := range b.order(round) {
				if err := b.measure(ctx, t, c); err != nil {
					return fmt.Errorf("%s: %s: %w", t.name, c, err)
				}
			}
		}
	}
	return nil
}

// order is the targets in the order of a round. Every second round reverses the one before it, and
// each pair begins with another target, so that none always follows the same one.
func (b *bench) order(round int) []*target {
	n := round / 2 % len(b.targets)
	all := slices.Concat(b.targets[n:], b.targets[:n])
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// measure runs one cell against one target and records it.
func (b *bench) measure(ctx context.Context, t *target, c cell) error {
	k := key{t.name, c}
	if b.rate[k] == 0 {
		if err := b.learnRate(ctx, t, c); err != nil {
			return err
		}
	}
	requests := max(firstRequests, int(b.rate[k]*b.seconds))
	whole, err := b.run(ctx, t, c, requests)
	if err != nil {
		return err
	}
	cost := whole
	if b.marginal {
		part, err := b.run(ctx, t, c, requests/4)
		if err != nil {
			return err
		}
		cost = whole.less(part)
	}
	b.rate[k] = whole.rate
	b.samples[k] = append(b.samples[k], sample{
		opsPerSecond: whole.rate,
		proxyCPU:     perCommand(cost.proxy, cost.requests),
		serverCPU:    perCommand(cost.server, cost.requests),
	})
	return nil
}

// learnRate finds the rate of a cell by runs that become longer, up to half of the asked time: short
// ones consist of connecting.
func (b *bench) learnRate(ctx context.Context, t *target, c cell) error {
	const most = 8 // as many times as many requests
	requests := firstRequests
	for range 4 {
		rate, err := b.load(ctx, t, c, requests)
		if err != nil {
			return err
		}
		b.rate[key{t.name, c}] = rate
		took := float64(requests) / rate
		if took >= b.seconds/2 {
			return nil
		}
		requests = int(float64(requests) * min(most, b.seconds/took))
	}
	return nil
}

// cost is the rate of a number of requests, and their processor time in proxy and server.
type cost struct {
	requests      int
	rate          float64 // commands per second
	proxy, server time.Duration
}

// less is the processor time of the requests beyond those of d.
func (c cost) less(d cost) cost {
	return cost{requests: c.requests - d.requests, proxy: c.proxy - d.proxy, server: c.server - d.server}
}

// run loads a target once.
func (b *bench) run(ctx context.Context, t *target, c cell, requests int) (cost, error) {
	proxy, server, err := cpuTimes(t)
	if err != nil {
		return cost{}, err
	}
	rate, err := b.load(ctx, t, c, requests)
	if err != nil {
		return cost{}, err
	}
	proxyAfter, serverAfter, err := cpuTimes(t)
	return cost{requests, rate, proxyAfter - proxy, serverAfter - server}, err
}

// cpuTimes returns the CPU times of the target's proxy, 0 if it has none, and of its server.
func cpuTimes(t *target) (proxy, server time.Duration, err error) {
	if t.proxy != nil {
		if proxy, err = harness.CPUTime(t.proxy.Pid); err != nil {
			return 0, 0, err
		}
	}
	server, err = harness.CPUTime(t.server.Pid)
	return proxy, server, err
}

func perCommand(d time.Duration, requests int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(requests)
}

// median returns the median of one figure over the samples of a cell.
func (b *bench) median(k key, figure func(sample) float64) float64 {
	samples := b.samples[k]
	if len(samples) == 0 {
		return 0
	}
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	return harness.Median(values)
}

// pairs are the ratios of a figure of one target to that of another, cell by cell and round by
// round: runs within seconds of each other are compared, so that other load on the machine meets
// both. With depth 0 they are of all depths.
func (b *bench) pairs(of, to string, depth int, figure func(sample) float64) (all []float64) {
	for _, c := range b.cells {
		if depth != 0 && depth != c.depth {
			continue
		}
		base := b.samples[key{to, c}]
		for i, s := range b.samples[key{of, c}] {
			if i < len(base) && figure(base[i]) > 0 {
				all = append(all, figure(s)/figure(base[i]))
			}
		}
	}
	return all
}

func opsPerSecond(s sample) float64 { return s.opsPerSecond }
func proxyCPU(s sample) float64     { return s.proxyCPU }
func serverCPU(s sample) float64    { return s.serverCPU }
