package replay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// Primary serves a plan to servers that replicate from it.
//
//  1. A server says PING, AUTH, REPLCONF and so on, and is answered what it hopes for.
//  2. It says PSYNC. The first time it is given +FULLRESYNC with the base and then the stream. When
//     it comes again with an offset that it was given before, it is given +CONTINUE.
//  3. At the point the stream stops. The connection stays, so that the server stays what it is,
//     until it leaves or Serve ends.
//
// Nothing is sent that is not in the stream, not even a PING: it would count as an offset. A
// server that is left alone for longer than its repl-timeout comes again and is given +CONTINUE
// with nothing behind it.
type Primary struct {
	opts PrimaryOptions
	log  *slog.Logger

	// Any goroutine.
	baseSent   atomic.Int64
	streamSent atomic.Int64 // of the connection that was served last
	acked      atomic.Int64 // highest offset that a server acknowledged, as the server counts
	attempts   atomic.Int64 // full resyncs
	complete   atomic.Bool  // a base was sent whole
	lastErr    atomic.Pointer[error]

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open ones
}

// PrimaryOptions says what to serve. View and Plan are required.
type PrimaryOptions struct {
	View *journal.View
	Plan *Plan
	// Allow decides who may connect: whoever does is given everything. nil: everyone.
	Allow  func(remote net.Addr) bool
	Logger *slog.Logger // nil: discard
}

// NewPrimary prepares a primary.
func NewPrimary(o PrimaryOptions) *Primary {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Primary{opts: o, log: o.Logger, conns: make(map[net.Conn]struct{})}
}

// Progress is how far a replay has come. Counts are bytes.
type Progress struct {
	BaseSent, BaseSize     int64
	StreamSent, StreamSize int64
	Acked                  int64  // offset that the target says it has applied
	End                    int64  // the target's offset at the point
	Attempts               int64  // full resyncs that the target asked for
	Address                string // where the target was told to come; empty: it was not told
	Loading                string // what the target says of its loading, in percent; empty: nothing
	LastErr                error  // why the last connection ended early
}

// Progress may be called at any time.
func (p *Primary) Progress() Progress {
	plan := p.opts.Plan
	out := Progress{BaseSent: p.baseSent.Load(), BaseSize: plan.Base.Size,
		StreamSent: p.streamSent.Load(), StreamSize: plan.End() - plan.Base.Offset,
		Acked: p.acked.Load(), End: plan.End(), Attempts: p.attempts.Load()}
	if err := p.lastErr.Load(); err != nil {
		out.LastErr = *err
	}
	return out
}

// Serve accepts servers until the context ends or the listener breaks. It closes the listener.
func (p *Primary) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	var all sync.WaitGroup
	defer all.Wait()
	defer p.closeAll()
	defer cancel()
	defer stop()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return err
		}
		if p.opts.Allow != nil && !p.opts.Allow(conn.RemoteAddr()) {
			p.log.Warn("restore: connection from elsewhere refused", "remote", conn.RemoteAddr())
			conn.Close()
			continue
		}
		p.track(conn, true)
		all.Go(func() { p.handle(ctx, conn) })
	}
}

func (p *Primary) track(conn net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.conns[conn] = struct{}{}
	} else {
		delete(p.conns, conn)
	}
}

func (p *Primary) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}

// handle is one connection. Its goroutine reads; once PSYNC has come another one writes.
func (p *Primary) handle(ctx context.Context, nc net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	sendOurselves(nc)
	f := &feed{p: p, conn: wire.NewConn(nc)}
	err := f.converse(ctx, cancel)
	cancel()
	nc.Close()
	f.sending.Wait()
	p.track(nc, false)
	if f.err != nil {
		err = f.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.lastErr.Store(&err)
		p.log.Info("restore: connection ended", "remote", nc.RemoteAddr(), "error", err)
	}
}
