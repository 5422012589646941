package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"holdfast/loadtest/harness"
)

const (
	clientCount = 4
	clientEvery = 2 * time.Millisecond // from one command of a client to its next, at least
)

// clients send commands through the proxy until they are stopped.
type clients struct {
	cancel context.CancelFunc
	joined sync.WaitGroup

	mu      sync.Mutex
	took    []time.Duration // of the answers since the last lap
	refused time.Duration   // the longest time between two writes that succeed, of a client that was refused one
	errs    []error         // of the connections
}

// startClients connects clients; command is the n-th command of one.
func (s *stack) startClients(ctx context.Context, command func(client, n int) []string) (*clients, error) {
	c := &clients{}
	ctx, c.cancel = context.WithCancel(ctx)
	for i := range clientCount {
		conn, err := harness.DialClient(s.proxy.Addr, stepTimeout)
		if err != nil {
			return nil, errors.Join(err, c.stop())
		}
		c.joined.Go(func() {
			defer conn.Close()
			if err := c.send(ctx, conn, func(n int) []string { return command(i, n) }); err != nil {
				c.mu.Lock()
				c.errs = append(c.errs, err)
				c.mu.Unlock()
			}
		})
	}
	return c, nil
}

// send is one client. Its own lateness does not count: the time is that from a command to its answer.
func (c *clients) send(ctx context.Context, conn *harness.Client, command func(n int) []string) error {
	good, refused := time.Now(), false
	for n := 0; ctx.Err() == nil; n++ {
		args := command(n)
		began := time.Now()
		v, err := conn.Do(args...)
		now := time.Now()
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.took = append(c.took, now.Sub(began))
		switch _, no := v.(harness.ErrReply); {
		case no:
			refused = true
		case args[0] != "GET": // which a replica answers, too
			if refused {
				c.refused = max(c.refused, now.Sub(good))
			}
			good, refused = now, false
		}
		c.mu.Unlock()
		time.Sleep(clientEvery - now.Sub(began))
	}
	return nil
}

// stop ends the clients. An error is one of their connections.
func (c *clients) stop() error {
	c.cancel()
	c.joined.Wait()
	return errors.Join(c.errs...)
}

// A lap has the latencies of some time.
type lap struct {
	n                      int
	p50, p99, max, refused time.Duration
}

// lap returns those since the last one.
func (c *clients) lap() (l lap) {
	c.mu.Lock()
	took := c.took
	l.refused, c.took, c.refused = c.refused, nil, 0
	c.mu.Unlock()
	if l.n = len(took); l.n == 0 {
		return l
	}
	slices.Sort(took)
	l.p50, l.p99, l.max = took[l.n/2], took[l.n*99/100], took[l.n-1]
	return l
}

// readAndWrite is a client's n-th command: a GET of a key that is there, or a SET of one of its own.
func (b *bench) readAndWrite(client, n int) []string {
	if n%2 == 0 {
		return []string{"GET", "key:" + strconv.Itoa((n*7919+client)%b.keys)}
	}
	return []string{"SET", fmt.Sprintf("client:%d:%d", client, n/2%500), "written in round " + strconv.Itoa(n)}
}

// readAndProbe is one that writes nothing: each DEL names a missing key, and a replica refuses it.
func (b *bench) readAndProbe(client, n int) []string {
	if n%2 == 0 {
		return b.readAndWrite(client, n)
	}
	return []string{"DEL", "missing"}
}
