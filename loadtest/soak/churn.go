package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loadtest/harness"
)

// visits are the ways to connect and disconnect. Each gets a fresh connection, which is closed
// afterwards.
var visits = []struct {
	name string
	f    func(c *client) error
}{
	{"one command", func(c *client) error {
		return errors.Join(c.send("PING"), c.expect("+PONG"))
	}},
	{"nothing at all", func(*client) error { return nil }},
	{"half a command", func(c *client) error {
		_, err := io.WriteString(c, "*3\r\n$3\r\nSET\r\n$5\r\nsoak:")
		return err
	}},
	{"half a large value", func(c *client) error {
		_, err := io.WriteString(c, "*3\r\n$3\r\nSET\r\n$4\r\nsoak\r\n$1000000\r\n"+largeHalf)
		return err
	}},
	{"a pipeline, replies unread", func(c *client) error {
		return c.send("SET soak:key value", "GET soak:key", "INFO", "INFO", "GET soak:key")
	}},
	{"a pipeline, reset", func(c *client) error {
		return errors.Join(c.send("INFO", "INFO"), c.tcp.SetLinger(0))
	}},
	{"inside a transaction", func(c *client) error {
		return errors.Join(c.send("WATCH soak:key", "MULTI", "INCR soak:count"),
			c.expect("+OK"), c.expect("+OK"), c.expect("+QUEUED"))
	}},
	{"a whole transaction", func(c *client) error {
		return errors.Join(c.send("MULTI", "PING", "EXEC"),
			c.expect("+OK"), c.expect("+QUEUED"), c.expect("*1"), c.expect("+PONG"))
	}},
	{"blocked", func(c *client) error { return c.send("BLPOP soak:never 0") }},
	{"subscribed", func(c *client) error {
		return errors.Join(c.send("SUBSCRIBE soak:channel"), c.expect("*3"))
	}},
	{"another database, a name, RESP3", func(c *client) error {
		return errors.Join(c.send("SELECT 3", "CLIENT SETNAME soak", "HELLO 3"),
			c.expect("+OK"), c.expect("+OK"))
	}},
	{"a protocol error", func(c *client) error {
		if _, err := io.WriteString(c, "*1\r\n$-5\r\n"); err != nil {
			return err
		}
		return c.expect("-ERR Protocol error: invalid bulk length")
	}},
	{"QUIT", func(c *client) error { return errors.Join(c.send("QUIT"), c.expect("+OK")) }},
}

// largeHalf is the part of the large value that arrives.
var largeHalf = string(make([]byte, 100_000))

// churnResult holds the remains of the churn.
type churnResult struct {
	connections            int
	took                   time.Duration
	rssFirst, rssLast      int64 // bytes, after the first third and after the last connection
	filesBefore, files     int
	clientsBefore, clients int // by the server's count
}

func (r churnResult) String() string {
	return fmt.Sprintf("- churn of %d connections in %s: resident memory %.1f MiB after a third, "+
		"%.1f MiB at the end; open files %d before, %d after; the server's clients %d before, "+
		"%d after\n", r.connections, r.took.Round(time.Second), mib(r.rssFirst), mib(r.rssLast),
		r.filesBefore, r.files, r.clientsBefore, r.clients)
}

// kept bounds the links, each with a descriptor, that the proxy may keep ready.
const kept = 16

// check judges the result: memory may grow by a tenth and 4 MiB (a larger heap that the garbage
// collector is about to shrink), descriptors and links by kept.
func (r churnResult) check() error {
	var errs []error
	if r.rssLast > r.rssFirst+r.rssFirst/10+4<<20 {
		errs = append(errs, fmt.Errorf("memory grew from %.1f to %.1f MiB",
			mib(r.rssFirst), mib(r.rssLast)))
	}
	if r.files > r.filesBefore+kept {
		errs = append(errs, fmt.Errorf("open files grew from %d to %d", r.filesBefore, r.files))
	}
	if r.clients > r.clientsBefore+kept {
		errs = append(errs, fmt.Errorf("the server's clients grew from %d to %d",
			r.clientsBefore, r.clients))
	}
	return errors.Join(errs...)
}

// churn opens and closes n connections, workers at a time, each visiting in another way.
func churn(ctx context.Context, s *stack, n, workers int) (churnResult, error) {
	started := time.Now()
	r := churnResult{connections: n}
	// A first client makes the proxy open its lasting connections.
	if err := visit(s.proxy.Addr, 0); err != nil {
		return r, err
	}
	var err error
	if r.filesBefore, r.clientsBefore, err = s.counts(); err != nil {
		return r, err
	}
	if err := visitAll(ctx, s.proxy.Addr, 0, n/3, workers); err != nil {
		return r, err
	}
	if r.rssFirst, err = harness.RSS(s.proxy.Pid); err != nil {
		return r, err
	}
	if err := visitAll(ctx, s.proxy.Addr, n/3, n, workers); err != nil {
		return r, err
	}
	if r.rssLast, err = harness.RSS(s.proxy.Pid); err != nil {
		return r, err
	}
	r.took = time.Since(started)
	r.files, r.clients, err = s.settled(r.filesBefore+kept, r.clientsBefore+kept)
	return r, err
}

// visitAll makes the visits from up to and without to.
func visitAll(ctx context.Context, addr string, from, to, workers int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= to {
					return
				}
				if err := visit(addr, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// visit opens one connection, uses it in the i-th way and closes it.
func visit(addr string, i int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	v := visits[i%len(visits)]
	if err := v.f(c); err != nil {
		return fmt.Errorf("visit %d, %s: %w", i, v.name, err)
	}
	return nil
}

// counts returns the proxy's open files and the server's clients.
func (s *stack) counts() (files, clients int, err error) {
	if files, err = harness.OpenFiles(s.proxy.Pid); err != nil {
		return 0, 0, err
	}
	clients, err = s.serverClients()
	return files, clients, err
}

// settled polls the counts until both are at or below the given ones, or for ten seconds, and
// returns the last ones: closing takes a moment.
func (s *stack) settled(wantFiles, wantClients int) (files, clients int, err error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		files, clients, err = s.counts()
		if err != nil || (files <= wantFiles && clients <= wantClients) ||
			time.Now().After(deadline) {
			return files, clients, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
