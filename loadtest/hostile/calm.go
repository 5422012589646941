package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	calmClients = 4
	calmEvery   = 2 * time.Millisecond
	// calmPatience bounds the wait for one reply.
	calmPatience = 30 * time.Second
)

// calm are the well-behaved clients.
type calm struct {
	conns []net.Conn
}

// startCalm connects them.
func startCalm(to target) (*calm, error) {
	c := &calm{}
	for range calmClients {
		nc, err := to.dial()
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, nc)
		first := command("PING")
		if to.password != "" {
			first = command("AUTH", to.password)
		}
		if err := say(nc, bufio.NewReader(nc), 1, first); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *calm) close() {
	for _, nc := range c.conns {
		nc.Close()
	}
}

// measure has each send GETs for d and returns all latencies, sorted.
func (c *calm) measure(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		out  []time.Duration
		fail error
	)
	for _, nc := range c.conns {
		all.Go(func() {
			times, err := paced(ctx, nc, d)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, times...)
			if err != nil {
				fail = err
			}
		})
	}
	all.Wait()
	slices.Sort(out)
	return out, fail
}

// paced sends a GET at each due time, or as soon as the last one is answered.
func paced(ctx context.Context, nc net.Conn, d time.Duration) (times []time.Duration, err error) {
	const want = "$1\r\nv\r\n"
	get, reply := []byte(command("GET", "calm")), make([]byte, len(want))
	begin := time.Now()
	for due := begin; due.Sub(begin) < d && ctx.Err() == nil; due = due.Add(calmEvery) {
		if wait := time.Until(due); wait > 0 {
			pause(ctx, wait)
			// The lateness of this process's own timer is not the proxy's.
			if late := time.Since(due); late < calmEvery {
				due = due.Add(late)
			}
		}
		_ = nc.SetDeadline(time.Now().Add(calmPatience)) // the next call fails if this does
		if _, err := nc.Write(get); err != nil {
			return times, err
		}
		if _, err := io.ReadFull(nc, reply); err != nil {
			return times, fmt.Errorf("a well-behaved client: %w", err)
		}
		if string(reply) != want {
			return times, fmt.Errorf("a well-behaved client got %q", reply)
		}
		times = append(times, time.Since(due))
	}
	return times, ctx.Err()
}
