package takeover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
)

const (
	// releaseMargin is the time that the old process may take beyond its drain until it says "released".
	releaseMargin = 30 * time.Second
	// lockTime bounds the wait for the journal of an old process that has died, lockPause a look at it.
	lockTime  = 30 * time.Second
	lockPause = 5 * time.Millisecond
)

// ClaimOptions configure a Claim.
type ClaimOptions struct {
	Name    string // of the socket, as Name returns it
	Sockets *Sockets
	Version string // of the program
	Journal string // its folder; "": none
	Log     *slog.Logger
}

// A Claim takes over from a serving process. A nil Claim finds none.
type Claim struct {
	opts ClaimOptions
	c    *channel // nil: there is none
	pid  int
	went bool // "go" was said
}

// NewClaim makes a Claim. Close it.
func NewClaim(o ClaimOptions) *Claim { return &Claim{opts: o} }

// Find looks for a process to take over from. False without an error: none serves this configuration.
func (c *Claim) Find() (bool, error) {
	if c == nil {
		return false, nil
	}
	conn, err := dial(c.opts.Name)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("takeover: %w", err)
	}
	pid, uid, err := peerOf(conn)
	if err == nil && uid != os.Getuid() {
		err = fmt.Errorf("%w: it is user %d, this one user %d", ErrForeign, uid, os.Getuid())
	}
	if err != nil {
		conn.Close()
		return false, err
	}
	c.c, c.pid = &channel{conn}, pid
	return true, nil
}

// Take takes over from the process that Find has found: its sockets, once all addresses that it has not are
// bound, and then its journal. An error before the other process has begun to drain leaves it as it was; after
// that it serves again once Close, or the end of this process, has told it.
func (c *Claim) Take(ctx context.Context, addresses []string) error {
	defer context.AfterFunc(ctx, c.hangUp)()
	err := c.agree(addresses)
	if err == nil {
		c.went = true
		if err = c.c.send(packet{Go: true}); err != nil {
			err = c.refused(err)
		}
	}
	if err == nil {
		err = c.released()
	}
	if c.went && errors.Is(err, ErrGone) && ctx.Err() == nil {
		c.opts.Log.Warn("the process before has ended instead of handing over", "pid", c.pid)
		err = c.awaitLock(ctx)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !c.went && errors.Is(err, ErrGone):
		return fmt.Errorf("%w: it has ended, or another one takes over", err)
	}
	return err
}

// agree is the part up to "go".
func (c *Claim) agree(addresses []string) error {
	until := time.Now().Add(answerTime)
	if err := c.c.send(packet{Hello: &hello{protocol, c.opts.Version}}); err != nil {
		return c.refused(err)
	}
	p, files, err := c.c.receive(until)
	if err != nil {
		return err
	}
	if p.Sockets == nil || len(p.Sockets) != len(files) {
		closeFiles(files)
		return unexpected(p)
	}
	got := make([]handed, len(files))
	for i, file := range files {
		got[i] = handed{p.Sockets[i], file}
	}
	c.opts.Sockets.borrow(got)
	return c.opts.Sockets.bind(addresses)
}

// refused is the reason that the other side gave before it closed the connection, or the error of sending there.
func (c *Claim) refused(err error) error {
	var r *Refusal
	if _, _, why := c.c.receive(time.Now().Add(answerTime)); errors.As(why, &r) {
		return r
	}
	return err
}

// released waits until the other process has closed the journal.
func (c *Claim) released() error {
	p, _, err := c.c.receive(time.Now().Add(answerTime))
	if err != nil {
		return err
	}
	if p.Draining == 0 {
		return unexpected(p)
	}
	limit := time.Duration(p.Draining) * time.Millisecond
	c.opts.Log.Info("the process before drains", "pid", c.pid, "limit", limit)
	if p, _, err = c.c.receive(time.Now().Add(limit + releaseMargin)); err != nil {
		return err
	}
	if !p.Released {
		return unexpected(p)
	}
	return nil
}

// awaitLock waits until a process that has died has released its journal.
func (c *Claim) awaitLock(ctx context.Context) error {
	if c.opts.Journal == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		used, err := journal.InUse(nil, c.opts.Journal)
		if err != nil {
			return fmt.Errorf("takeover: the journal: %w", err)
		}
		if !used {
			return nil
		}
		if ctxtime.Sleep(ctx, lockPause) != nil {
			return fmt.Errorf("takeover: the journal in %s is still in use by process %d", c.opts.Journal, c.pid)
		}
	}
}

// Confirm is called when everything is ready to accept. An error means that the process before serves again, and
// this one has to end. It closes the sockets of addresses that are not in the configuration any more.
func (c *Claim) Confirm() error {
	if c == nil || !c.went {
		return nil
	}
	defer c.hangUp()
	err := c.c.send(packet{Serving: true})
	var p packet
	if err != nil {
		err = c.refused(err)
	} else {
		p, _, err = c.c.receive(time.Now().Add(answerTime))
	}
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal
	case err != nil:
		c.opts.Log.Warn("the process before has ended before it was told", "pid", c.pid, "error", err)
	case !p.Yours:
		return unexpected(p)
	}
	gone, err := c.opts.Sockets.own()
	if len(gone) > 0 || err != nil {
		c.opts.Log.Info("addresses that are not configured any more are closed", "addresses", gone, "error", err)
	}
	c.opts.Log.Info("taken over", "pid", c.pid)
	return nil
}

// Close ends the conversation. Unless Confirm has succeeded the process before serves on, or again.
func (c *Claim) Close() {
	if c != nil && c.c != nil {
		c.hangUp()
		c.opts.Sockets.giveBack()
	}
}

func (c *Claim) hangUp() { c.c.conn.Close() }
