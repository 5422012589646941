package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/journal/internal/wire"
)

// continuation gives a server that has become our replica the bytes behind its own offset, under its own
// replication id. It serves exactly from the offset that the server asks for, or refuses: the server then
// keeps its data and retries later.
type continuation struct {
	t     *target
	bytes interface {
		Size() int64
		writeTo(ctx context.Context, w io.Writer, skip int64) error
	}
	step  func(string)  // tests end the process there
	at    int64         // the server's offset at which the bytes begin
	ready chan struct{} // closed when at is known, and may be served
	came  chan struct{} // closed when the server has asked
	once  sync.Once
	fed   atomic.Bool // something was sent
}

func newContinuation(t *target, bytes interface {
	Size() int64
	writeTo(ctx context.Context, w io.Writer, skip int64) error
}, step func(string)) *continuation {
	return &continuation{t: t, bytes: bytes, step: step, ready: make(chan struct{}), came: make(chan struct{})}
}

// listen begins to serve, and returns the address for the server. stop ends it and waits for that.
func (c *continuation) listen(ctx context.Context) (advertise string, stop func(), err error) {
	ln, advertise, err := c.t.listen(ctx)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { c.serve(ctx, ln) })
	return advertise, func() { cancel(); all.Wait() }, nil
}

// arrival waits for the server to come for the bytes.
func (c *continuation) arrival(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for until := time.Now().Add(comeTimeout); time.Now().Before(until); {
		select {
		case <-c.came:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := c.t.lookAtOurs(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: it did not come to %s for the data within %v", ErrTarget, c.t.advertised, comeTimeout)
}

// applied waits until the server has applied all of the bytes.
func (c *continuation) applied(ctx context.Context) (look, error) {
	end, last, moved := c.at+c.bytes.Size(), c.at, time.Now()
	for {
		now, err := c.t.lookAtOurs(ctx)
		switch {
		case err != nil || now.offset == end:
			return now, err
		case now.offset < c.at || now.offset > end:
			return now, fmt.Errorf("%w: it is at offset %d, and was fed %d to %d", ErrTaken, now.offset, c.at, end)
		case now.offset != last:
			last, moved = now.offset, time.Now()
		case time.Since(moved) > standstill:
			return now, fmt.Errorf("%w: it has not gone on from offset %d for %v", ErrTarget, last, standstill)
		}
		if err := ctxtime.Sleep(ctx, pollAtEnd); err != nil {
			return now, err
		}
	}
}

// serve accepts connections until the context ends.
func (c *continuation) serve(ctx context.Context, ln net.Listener) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil { // closed; a broken listener shows as a server that does not come
			return
		}
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer conn.Close()
			if c.t.isTarget(conn.RemoteAddr()) {
				err = c.converse(ctx, wire.NewConn(conn))
				c.t.opts.Logger.Debug("feed: the server's connection ended", "error", err)
			}
		})
	}
}

// converse answers a server until it has been fed and leaves.
func (c *continuation) converse(ctx context.Context, conn *wire.Conn) error {
	for {
		args, err := conn.Command()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			continue
		}
		switch name := strings.ToUpper(args[0]); name {
		case "PSYNC", "SYNC":
			if err := c.send(ctx, conn, args); err != nil {
				return err
			}
		default:
			if _, err := io.WriteString(conn, answerTo(name, args)); err != nil {
				return err
			}
		}
	}
}

// send serves exactly from the server's offset, or refuses.
func (c *continuation) send(ctx context.Context, conn *wire.Conn, args []string) error {
	c.once.Do(func() { close(c.came) })
	select {
	case <-c.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	skip := int64(-1)
	if len(args) == 3 && args[1] == c.t.before.replID {
		next, err := strconv.ParseInt(args[2], 10, 64)
		if err == nil {
			skip = next - 1 - c.at
		}
	}
	w := bufio.NewWriterSize(conn, 256<<10)
	if skip < 0 || skip > c.bytes.Size() {
		// After this error a server retries later, and keeps its data.
		fmt.Fprintf(w, "-NOMASTERLINK this is a journal: it continues %s from offset %d only\r\n",
			c.t.before.replID, c.at)
		return errors.Join(fmt.Errorf("%w: it asks for %q", ErrRejected, args), w.Flush())
	}
	c.fed.Store(true)
	fmt.Fprintf(w, "+CONTINUE %s\r\n", c.t.before.replID)
	if err := c.bytes.writeTo(ctx, &halfway{w, (c.bytes.Size() - skip) / 2, c.step}, skip); err != nil {
		return err
	}
	return w.Flush()
}

// halfway signals when half of the server's request has been sent.
type halfway struct {
	*bufio.Writer
	left int64
	step func(string)
}

// Write implements io.Writer.
func (h *halfway) Write(p []byte) (int, error) {
	n, err := h.Writer.Write(p)
	if h.left -= int64(n); err == nil && h.left <= 0 && h.left+int64(n) > 0 {
		err = h.Flush()
		h.step("half of it is sent")
	}
	return n, err
}
