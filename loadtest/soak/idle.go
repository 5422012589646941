package main

import (
	"context"
	"fmt"

	"holdfast/loadtest/harness"
)

// idleResult is the cost of idle connections.
type idleResult struct {
	connections        int
	kind               string // "TLS ", or empty
	rssBefore, rssHeld int64  // bytes
}

func (r idleResult) String() string {
	each := float64(r.rssHeld-r.rssBefore) / float64(max(1, r.connections))
	return fmt.Sprintf("- %d idle %sconnections, each after one command: resident memory %.1f MiB "+
		"(%.1f MiB before, %.0f bytes each)\n", r.connections, r.kind, mib(r.rssHeld), mib(r.rssBefore),
		each)
}

// check compares the memory with the limit in MiB.
func (r idleResult) check(limit int64) error {
	if r.rssHeld > limit<<20 {
		return fmt.Errorf("%d idle connections take %.1f MiB, allowed are %d",
			r.connections, mib(r.rssHeld), limit)
	}
	return nil
}

// idle opens n connections, has each do one command and reads the proxy's memory while they are
// all open, then checks that every one of them still works.
func idle(ctx context.Context, s *stack, n int) (idleResult, error) {
	r := idleResult{connections: n}
	if s.tls != nil {
		r.kind = "TLS "
	}
	var err error
	if r.rssBefore, err = harness.RSS(s.proxy.Pid); err != nil {
		return r, err
	}
	clients := make([]*client, 0, n)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	for range n {
		c, err := s.dial()
		if err != nil {
			return r, fmt.Errorf("connection %d: %w", len(clients)+1, err)
		}
		clients = append(clients, c)
	}
	if err := pingAll(ctx, clients); err != nil {
		return r, err
	}
	if r.rssHeld, err = harness.RSS(s.proxy.Pid); err != nil {
		return r, err
	}
	if err := pingAll(ctx, clients); err != nil {
		return r, err
	}
	return r, nil
}

func pingAll(ctx context.Context, clients []*client) error {
	for i, c := range clients {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.send("PING"); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		if err := c.expect("+PONG"); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	return nil
}
