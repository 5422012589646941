package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// Primary serves a plan to servers that replicate from it.
//
//  1. A server sends PING, AUTH, REPLCONF and so on, and gets the answers it hopes for.
//  2. It sends PSYNC. The first time it gets +FULLRESYNC with the base and then the stream. If it
//     comes again with an offset that it has reached before, it gets +CONTINUE.
//  3. At the point the stream stops. The connection stays, so that the server stays a replica,
//     until it leaves or Serve ends.
//
// Nothing outside of the stream is sent, not even a PING: it would count as an offset. A server
// that receives nothing for longer than its repl-timeout reconnects and gets +CONTINUE with nothing
// behind it.
type Primary struct {
	opts PrimaryOptions
	log  *slog.Logger

	served atomic.Pointer[served] // never nil

	// Any goroutine.
	baseSent   atomic.Int64
	streamSent atomic.Int64 // of the connection that was served last
	acked      atomic.Int64 // of the last connection served
	attempts   atomic.Int64 // highest offset acknowledged by a server, as the server counts
	complete   atomic.Bool  // a base was sent whole
	lastErr    atomic.Pointer[error]
	broken     atomic.Pointer[error] // the journal cannot be read: no server gets further

	strangers sync.Map // connections that do not replicate, already reported

	gate chan struct{} // closed when the stream goes on behind the halt

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open ones
}

// PrimaryOptions configure a Primary. View and Plan are required.
type PrimaryOptions struct {
	View *journal.View
	Plan *Plan
	// Allow decides which machines may connect: each of them is given everything. nil: all.
	Allow func(remote net.Addr) bool
	// Resume accepts a server that has the base and a part of the stream from elsewhere, by its own
	// account, and not only one that has them from this Primary.
	Resume bool
	// Halt, if not nil, is the place where the stream stops until Primary.goOn. Its Inspect is
	// Restore's.
	Halt   *Halt
	Logger *slog.Logger // nil: discard
}

// haltsAt reports whether a server's offset is that of a halt in force.
func (p *Primary) haltsAt(offset int64) bool {
	if p.opts.Halt == nil || p.opts.Plan.given(p.opts.Halt.Offset) != offset {
		return false
	}
	select {
	case <-p.gate:
		return false
	default:
		return true
	}
}

// goOn resumes the stream behind the halt.
func (p *Primary) goOn() { close(p.gate) }

// NewPrimary prepares a primary.
func NewPrimary(o PrimaryOptions) *Primary {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Primary{opts: o, log: o.Logger, conns: make(map[net.Conn]struct{}),
		gate: make(chan struct{})}
	p.served.Store(&served{view: o.View, plan: o.Plan, replaced: make(chan struct{})})
	p.complete.Store(o.Resume)
	return p
}

// served is the plan being served.
type served struct {
	view     *journal.View
	plan     *Plan
	replaced chan struct{} // closed when another plan is served
}

func (p *Primary) plan() *Plan { return p.served.Load().plan }

// Extend serves a plan that goes on from the end of the present one (see [Plan.Extend]), also to
// servers that have come to its end. It is for one goroutine.
func (p *Primary) Extend(view *journal.View, plan *Plan) {
	old := p.served.Swap(&served{view: view, plan: plan, replaced: make(chan struct{})})
	close(old.replaced)
}

// Progress is the state of a replay. Counts are bytes.
type Progress struct {
	BaseSent, BaseSize     int64
	StreamSent, StreamSize int64
	Acked                  int64  // offset that the target has applied, by its own account
	End                    int64  // the target's offset at the point
	Attempts               int64  // full resyncs requested by the target
	Address                string // where the target was sent; empty: not yet
	Loading                string // the target's own account of its loading, in percent; empty: none
	LastErr                error  // why the last connection ended early
}

// Progress may be called at any time.
func (p *Primary) Progress() Progress {
	plan := p.plan()
	out := Progress{BaseSent: p.baseSent.Load(), BaseSize: plan.Base.Size,
		StreamSent: p.streamSent.Load(), StreamSize: plan.End() - plan.Base.Offset,
		Acked: p.acked.Load(), End: plan.End(), Attempts: p.attempts.Load()}
	if err := p.lastErr.Load(); err != nil {
		out.LastErr = *err
	}
	return out
}

// Serve accepts servers until the context ends, the listener breaks, or the journal cannot be read.
// It closes the listener.
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
			if err := p.broken.Load(); err != nil {
				return *err
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
		all.Go(func() {
			if p.handle(ctx, conn); p.broken.Load() != nil {
				cancel()
			}
		})
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

// handle serves one connection. Its goroutine reads; after PSYNC another one writes.
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
		level := slog.LevelInfo
		if errors.Is(err, ErrRejected) {
			level = slog.LevelWarn
		}
		p.log.Log(ctx, level, "restore: connection ended", "remote", nc.RemoteAddr(), "error", err)
	}
	p.reportStranger(f, nc.RemoteAddr(), err)
}

// reportStranger reports a connection of something other than a server: a stray client, or the
// target with TLS. Each is reported once.
func (p *Primary) reportStranger(f *feed, remote net.Addr, err error) {
	if f.started || f.greeted || f.said == "" && !errors.Is(err, wire.ErrProtocol) {
		return
	}
	text := fmt.Sprintf("%q is no command of a replica", f.said)
	if f.said == "" {
		text = err.Error()
	}
	if strings.HasPrefix(f.said, "\x16\x03") {
		text = "it speaks TLS, and there is no certificate to serve it with"
	}
	if _, known := p.strangers.LoadOrStore(text, true); !known {
		p.log.Warn("restore: a connection came that does not replicate: "+text, "remote", remote)
	}
}
