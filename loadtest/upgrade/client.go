package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// replyTimeout bounds the wait for one reply.
	replyTimeout = 30 * time.Second
	// shortStay is the number of writes of a connection that does not stay.
	shortStay = 10
	// retryPause is a refused client's pause: it would call without end.
	retryPause = 10 * time.Millisecond
)

// place is an address of the proxy.
type place struct {
	network, addr string
	tls           *tls.Config // nil: plain
}

func (p *place) connect() (net.Conn, error) {
	if p.tls == nil {
		return net.DialTimeout(p.network, p.addr, replyTimeout)
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: replyTimeout}, p.network, p.addr, p.tls)
}

// class is the clients of one kind, with what they have met. Its clients share it.
type class struct {
	prefix string // of their keys: the durable route has one of its own

	mu      sync.Mutex
	writes  int            // answered OK
	refused map[string]int // connections, by the error
	unheard int            // connections that ended before their first answer
	ended   int            // connections that ended later
	wrong   map[string]int // answers that are errors
	last    time.Time      // when a write was answered
	silence time.Duration  // the longest time between two such moments, since the round began
	slowest time.Duration  // the longest time from the first try to connect to the first answer, since the round began
}

func newClass(prefix string) *class {
	return &class{prefix: prefix, refused: map[string]int{}, wrong: map[string]int{}}
}

// begin begins a round.
func (c *class) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence, c.slowest, c.last = 0, 0, time.Now()
}

// times are the figures of the round.
func (c *class) times() (silence, slowest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.silence, time.Since(c.last)), c.slowest
}

func (c *class) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func (c *class) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.writes++
	c.silence, c.last = max(c.silence, now.Sub(c.last)), now
}

func (c *class) note(count map[string]int, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	count[why]++
}

// client is one of them, a goroutine of its own.
type client struct {
	id    int
	place *place
	class *class
	stays bool
	acked []int // numbers of the writes that were answered OK
	next  int
}

func (c *client) key(n int) string { return fmt.Sprintf("%s:%d:%d", c.class.prefix, c.id, n) }

// run connects again and again until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		nc, err := c.place.connect()
		for err != nil && ctx.Err() == nil {
			c.class.note(c.class.refused, plain(err))
			time.Sleep(retryPause)
			nc, err = c.place.connect()
		}
		if err == nil {
			c.converse(ctx, nc, began)
			nc.Close()
		}
	}
}

// plain is an error without its addresses.
func plain(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Sprint(op.Op, ": ", op.Err)
	}
	return err.Error()
}

// converse is one connection.
func (c *client) converse(ctx context.Context, nc net.Conn, began time.Time) {
	in := bufio.NewReader(nc)
	for i := 0; ctx.Err() == nil && (c.stays || i < shortStay); i++ {
		n := c.next
		c.next++
		fmt.Fprintf(nc, "SET %s %d\r\n", c.key(n), n) // an error shows below
		_ = nc.SetReadDeadline(time.Now().Add(replyTimeout))
		line, err := in.ReadString('\n')
		if err != nil {
			c.over(i, err)
			return
		}
		if i == 0 {
			c.met(time.Since(began))
		}
		if line == "+OK\r\n" {
			c.acked = append(c.acked, n)
			c.class.answered()
			continue
		}
		c.class.note(c.class.wrong, strings.TrimSpace(line))
	}
}

// met notes the time until the first answer.
func (c *client) met(d time.Duration) {
	c.class.mu.Lock()
	defer c.class.mu.Unlock()
	c.class.slowest = max(c.class.slowest, d)
}

// over notes the end of a connection after a number of answers.
func (c *client) over(answers int, err error) {
	c.class.mu.Lock()
	defer c.class.mu.Unlock()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.class.wrong["no answer"]++
	case answers == 0:
		c.class.unheard++
	default:
		c.class.ended++
	}
}
