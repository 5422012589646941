package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// think is the pause of a client between two commands.
const think = 2 * time.Millisecond

// traffic is clients that read and write through the proxy, and how long each of their commands took.
type traffic struct {
	running sync.WaitGroup

	mu    sync.Mutex
	took  []time.Duration // since the last call of lap
	total int
	err   error
}

// start runs n clients until ctx ends.
func (t *traffic) start(ctx context.Context, addr string, n int) {
	for i := range n {
		t.running.Go(func() {
			if err := t.client(ctx, addr, i); err != nil {
				t.mu.Lock()
				t.err = errors.Join(t.err, err)
				t.mu.Unlock()
			}
		})
	}
}

func (t *traffic) client(ctx context.Context, addr string, i int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	pause := time.NewTicker(think)
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		key := loadPrefix + strconv.Itoa(i) + ":" + strconv.Itoa(n%500)
		args := []string{"SET", key, "written in round " + strconv.Itoa(n)}
		if n%2 == 1 {
			args = []string{"GET", key}
		}
		begin := time.Now()
		if _, err := c.must(args...); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
		t.note(time.Since(begin))
	}
}

func (t *traffic) note(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = append(t.took, d)
	t.total++
}

// lap returns the median and the 99th percentile since the last call, and of how many commands.
func (t *traffic) lap() (p50, p99 time.Duration, n int) {
	t.mu.Lock()
	took := t.took
	t.took = nil
	t.mu.Unlock()
	if len(took) == 0 {
		return 0, 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], len(took)
}

// stop waits for the clients, whose context has ended.
func (t *traffic) stop() error {
	t.running.Wait()
	return t.err
}
