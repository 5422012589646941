package keyspace

import (
	"context"
	"slices"
	"sync"
	"time"

	"holdfast/journal/ctxtime"
)

// Pace bounds the load that Sync puts on a server: keys per second, and pauses while the server
// answers more slowly than it did at first. A nil Pace bounds nothing. It may be shared.
type Pace struct {
	rate float64 // keys per second; 0: any number

	mu       sync.Mutex
	next     time.Time     // when the next key is due
	baseline time.Duration // of a PING, without load from Sync
	first    time.Duration // the first baseline
	recent   []time.Duration
	paused   time.Duration

	cancel context.CancelFunc
	joined sync.WaitGroup
}

const (
	probeEvery  = 50 * time.Millisecond
	probeFirst  = 9 // PINGs for the baseline
	probeRecent = 5
	// A server is slow while PINGs take slowTimes as long as at first, and slowMore longer.
	slowTimes = 3
	slowMore  = 2 * time.Millisecond
	// maxPause bounds a batch's wait for a slow server. A server that is as slow after a pause is
	// slow for other reasons than Sync: that is the new baseline.
	maxPause   = time.Second
	pauseEvery = 20 * time.Millisecond
)

// NewPace begins to measure a server's latency, on a connection of its own. rate is keys per
// second; 0: any number. Close ends it.
func NewPace(ctx context.Context, e Endpoint, rate float64) (*Pace, error) {
	s, err := Open(ctx, e)
	if err != nil {
		return nil, err
	}
	p := &Pace{rate: rate}
	var first []time.Duration
	for range probeFirst {
		took, err := s.ping(ctx)
		if err != nil {
			s.Close()
			return nil, err
		}
		first = append(first, took)
	}
	p.first = median(first)
	p.baseline = p.first
	ctx, p.cancel = context.WithCancel(ctx)
	p.joined.Go(func() { p.probe(ctx, s) })
	return p, nil
}

// Close ends the measuring.
func (p *Pace) Close() {
	if p != nil {
		p.cancel()
		p.joined.Wait()
	}
}

// Paused is the time that Sync has waited for the server so far, without the waits for the rate.
func (p *Pace) Paused() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

// ping measures one exchange.
func (s *Server) ping(ctx context.Context) (time.Duration, error) {
	stop, err := within(ctx, s)
	if err != nil {
		return 0, err
	}
	defer stop()
	began := time.Now()
	_, _, err = s.do("PING")
	return time.Since(began), err
}

// probe measures until ctx ends. Sync notices a broken connection itself.
func (p *Pace) probe(ctx context.Context, s *Server) {
	defer s.Close()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		took, err := s.ping(ctx)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.recent = append(p.recent, took)
		if len(p.recent) > probeRecent {
			p.recent = p.recent[1:]
		}
		p.baseline = max(p.first, min(p.baseline, median(p.recent)))
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// slow reports whether the server answers more slowly than at first.
func (p *Pace) slow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.recent) > 0 && median(p.recent) > max(slowTimes*p.baseline, p.baseline+slowMore)
}

// batch is the number of keys per batch.
func (p *Pace) batch(most int) int {
	switch {
	case p == nil:
		return most
	case p.slow():
		return max(1, most/8)
	case p.rate > 0:
		return int(max(1, min(float64(most), p.rate/10)))
	}
	return most
}

// wait waits until n keys are due and the server is not slow.
func (p *Pace) wait(ctx context.Context, n int) error {
	if p == nil {
		return ctx.Err()
	}
	for began := time.Now(); p.slow(); {
		if time.Since(began) > maxPause {
			p.settle()
			break
		}
		if err := ctxtime.Sleep(ctx, pauseEvery); err != nil {
			return err
		}
		p.mu.Lock()
		p.paused += pauseEvery
		p.mu.Unlock()
	}
	if p.rate <= 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	due := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	p.mu.Unlock()
	return ctxtime.Sleep(ctx, due)
}

// settle makes the present latency the baseline.
func (p *Pace) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.baseline = max(p.baseline, median(p.recent))
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
