package takeover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
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
	Record  *Record // has the outcome; nil: none
}

// A Claim takes over from a serving process. A nil Claim finds none.
type Claim struct {
	opts ClaimOptions
	c    *channel // nil: there is none
	pid  int
	went bool // "go" was said
	done bool // the outcome is noted

	patience time.Duration // answerTime; a test has another
}

// NewClaim makes a Claim. Close it.
func NewClaim(o ClaimOptions) *Claim { return &Claim{opts: o, patience: answerTime} }

// Find looks for a process to take over from. False without an error: none of this user serves this configuration.
func (c *Claim) Find() (bool, error) {
	if c == nil {
		return false, nil
	}
	var failed error
	for _, address := range candidates(c.opts.Name) {
		conn, err := dial(address)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			continue // none, or one that has gone
		case err != nil:
			failed = fmt.Errorf("takeover: %w", err)
			continue
		}
		pid, uid, err := peerOf(conn)
		if err == nil && uid == os.Getuid() {
			c.c, c.pid = &channel{conn}, pid
			return true, nil
		}
		conn.Close()
		if err != nil {
			failed = err
			continue
		}
		c.opts.Log.Warn("another user's process answers for this configuration; it is left alone", "pid", pid, "user", uid,
			"own user", os.Getuid())
	}
	return false, failed
}

// Upstream asks the process that Find would find for its knowledge of the upstream, in a conversation of its own; nil: there
// is no such process, or it has none.
func (c *Claim) Upstream() ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	ask := &Claim{opts: c.opts, patience: c.patience}
	found, err := ask.Find()
	if !found {
		return nil, err
	}
	defer ask.hangUp()
	if err := ask.c.send(packet{Ask: true}); err != nil {
		return nil, err
	}
	p, files, err := ask.c.receive(time.Now().Add(c.patience))
	closeFiles(files)
	return p.Upstream, err
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
	until := time.Now().Add(c.patience)
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
		got[i] = handed{p.Sockets[i], file, slices.Contains(p.Kept, p.Sockets[i])}
	}
	c.opts.Sockets.borrow(got)
	return c.opts.Sockets.bind(addresses)
}

// refused is the reason that the other side gave before it closed the connection, or the error of sending there.
func (c *Claim) refused(err error) error {
	var r *Refusal
	if _, _, why := c.c.receive(time.Now().Add(c.patience)); errors.As(why, &r) {
		return r
	}
	return err
}

// released waits until the other process has closed the journal.
func (c *Claim) released() error {
	p, _, err := c.c.receive(time.Now().Add(c.patience))
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
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	return AwaitJournal(ctx, c.opts.Journal, c.opts.Log)
}

// AwaitJournal waits until no process has the journal of a folder open; "": there is none. The error is about the
// folder, or wraps that of ctx.
func AwaitJournal(ctx context.Context, dir string, log *slog.Logger) error {
	if dir == "" {
		return nil
	}
	for told := false; ; {
		used, err := journal.InUse(nil, dir)
		if err != nil {
			return fmt.Errorf("takeover: the journal: %w", err)
		}
		if !used {
			return nil
		}
		if !told {
			log.Warn("waiting for the other process to close the journal", "dir", dir)
			told = true
		}
		if err := ctxtime.Sleep(ctx, lockPause); err != nil {
			return fmt.Errorf("takeover: the journal in %s is still in use: %w", dir, err)
		}
	}
}

// Confirm is called when everything is ready to accept. An error means that the process before serves again, and
// this one has to end, or that ctx has ended. It closes the sockets of addresses that are not in the configuration
// any more.
func (c *Claim) Confirm(ctx context.Context) error {
	if c == nil || !c.went {
		return nil
	}
	defer c.hangUp()
	defer context.AfterFunc(ctx, c.hangUp)()
	p, err := c.verdict()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrGone):
		c.opts.Log.Warn("the process before has ended before it was told", "pid", c.pid, "error", err)
	case err != nil:
		return err
	case !p.Yours:
		return unexpected(p)
	}
	c.opts.Sockets.Own(c.opts.Log)
	c.opts.Log.Info("taken over", "pid", c.pid)
	c.note(Outcome{Side: New, Outcome: Done, PID: c.pid})
	return nil
}

// Abandon notes why nothing was taken over from the process that Find has found, if it has found one.
func (c *Claim) Abandon(why error) {
	if c == nil || c.c == nil {
		return
	}
	is := Failed
	if !c.went {
		is = reasoned(why)
	}
	c.note(Outcome{Side: New, Outcome: is, PID: c.pid, Why: why.Error()})
}

// note notes the outcome, once.
func (c *Claim) note(o Outcome) {
	if !c.done {
		c.done = true
		c.opts.Record.note(o)
	}
}

// verdict is the other process's answer to "serving". Only its end frees this process from waiting: a process that
// stood still for longer than its patience serves again when it goes on.
func (c *Claim) verdict() (packet, error) {
	if err := c.c.send(packet{Serving: true}); err != nil {
		return packet{}, c.refused(err)
	}
	p, _, err := c.c.receive(time.Now().Add(c.patience))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.opts.Log.Warn("the process before does not answer; it may serve again, so this one waits", "pid", c.pid)
		p, _, err = c.c.receive(time.Time{})
	}
	return p, err
}

// Close ends the conversation. Unless Confirm has succeeded the process before serves on, or again.
func (c *Claim) Close() {
	if c != nil && c.c != nil {
		c.hangUp()
		c.opts.Sockets.giveBack()
	}
}

func (c *Claim) hangUp() { c.c.conn.Close() }
