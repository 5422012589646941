package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"holdfast/journal/internal/wire"
)

// feed is one server that replicates from us.
type feed struct {
	p       *Primary
	conn    *wire.Conn
	sending sync.WaitGroup
	started bool   // the writing goroutine runs; from then on only it writes
	greeted bool   // it sent a command that only a replica sends
	version string // its announced version: Valkey 8 and later announce it
	said    string // the beginning of the first command that no replica sends
	err     error  // why writing ended; read after sending.Wait
}

func (f *feed) converse(ctx context.Context, cancel func()) error {
	for {
		args, err := f.conn.Command()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			continue
		}
		name := strings.ToUpper(args[0])
		if f.started {
			f.note(name, args)
			continue
		}
		if name == "PSYNC" && len(args) >= 3 || name == "SYNC" {
			f.started = true
			f.sending.Go(func() {
				if f.err = f.serve(ctx, args); f.err != nil {
					cancel()
					f.conn.Close() // wakes the reader
				}
			})
			continue
		}
		answer := answerTo(name, args)
		f.greet(name, args)
		if answer[:min(1, len(answer))] == "-" && f.said == "" {
			f.said = fmt.Sprintf("%.40s", args[0])
		}
		if _, err := io.WriteString(f.conn, answer); err != nil {
			return err
		}
	}
}

// greet notes the capabilities that a server announces.
func (f *feed) greet(name string, args []string) {
	if name != "REPLCONF" {
		return
	}
	f.greeted = true
	for i := 1; i+1 < len(args); i += 2 {
		if strings.EqualFold(args[i], "version") {
			f.version = args[i+1]
		}
	}
}

// cannotLoad says why a server must not be given the base, as far as it is known: only Valkey
// announces its version. The server would empty itself first.
func (f *feed) cannotLoad() string {
	format := f.p.plan().Needs.Format
	r := parseRelease(true, f.version)
	if f.version == "" && format.Version == formatOfValkey || f.version != "" && !r.loads(format) {
		return "the base has " + describe(format) + ", which a replica of this version does not load"
	}
	return ""
}

// answerTo answers a server's commands before PSYNC.
func answerTo(name string, args []string) string {
	switch name {
	case "PING":
		return "+PONG\r\n"
	case "AUTH", "SELECT", "CLIENT":
		return "+OK\r\n"
	case "REPLCONF":
		if len(args) > 1 && strings.EqualFold(args[1], "ACK") {
			return ""
		}
		return "+OK\r\n"
	}
	return fmt.Sprintf("-ERR this is a journal being restored from, not a database: '%.40q'\r\n", name)
}

// note records an acknowledgement.
func (f *feed) note(name string, args []string) {
	if name != "REPLCONF" || len(args) < 3 || !strings.EqualFold(args[1], "ACK") {
		return
	}
	n, err := strconv.ParseInt(args[2], 10, 64)
	for old := f.p.acked.Load(); err == nil && n > old; old = f.p.acked.Load() {
		if f.p.acked.CompareAndSwap(old, n) {
			return
		}
	}
}

// serve answers PSYNC and sends the stream.
func (f *feed) serve(ctx context.Context, args []string) error {
	p, now := f.p, f.p.served.Load()
	plan := now.plan
	w := bufio.NewWriterSize(f.conn, 256<<10)
	from, ok := p.resume(args)
	if ok {
		fmt.Fprintf(w, "+CONTINUE %s\r\n", plan.ReplID)
	} else {
		if why := f.cannotLoad(); why != "" {
			fmt.Fprintf(w, "-NOMASTERLINK %s\r\n", why) // a reason for the server to retry
			return errors.Join(fmt.Errorf("%w: %s", ErrRejected, why), w.Flush())
		}
		from = plan.Base.Offset
		p.attempts.Add(1)
		if !strings.EqualFold(args[0], "SYNC") {
			fmt.Fprintf(w, "+FULLRESYNC %s %d\r\n", plan.ReplID, from)
		}
		if err := f.sendBase(ctx, w); err != nil {
			return f.blame(ctx, w, err)
		}
	}
	p.streamSent.Store(plan.given(from) - plan.Base.Offset)
	if halt := p.opts.Halt; halt != nil && from <= halt.Offset {
		if err := f.send(ctx, w, now, from, halt.Offset); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.gate:
			from = halt.Offset
		}
	}
	for {
		if err := f.send(ctx, w, now, from, now.plan.Point.Offset); err != nil {
			return err
		}
		if err := f.sendSuffix(w, now.plan, from); err != nil {
			return err
		}
		from = max(from, now.plan.Point.Offset)
		select {
		case <-ctx.Done():
			return nil
		case <-now.replaced:
			now = p.served.Load()
		}
	}
}

// send sends the stream from one offset to another.
func (f *feed) send(ctx context.Context, w *bufio.Writer, now *served, from, to int64) error {
	p := f.p
	err := writeStream(ctx, now.view, now.plan, from, to, w, func(n int64) { p.streamSent.Add(n) })
	if err != nil {
		return f.blame(ctx, w, err)
	}
	return w.Flush()
}

// sendSuffix sends a plan's commands behind the point, to a server that had received everything
// below an offset.
func (f *feed) sendSuffix(w *bufio.Writer, plan *Plan, from int64) error {
	had := min(max(0, from-plan.Point.Offset), int64(len(plan.Suffix)))
	n, err := w.Write(plan.Suffix[had:])
	f.p.streamSent.Add(int64(n))
	if err != nil {
		return err
	}
	return w.Flush()
}

// blame keeps an error that is not the connection's: a server that reconnects meets it again.
func (f *feed) blame(ctx context.Context, w *bufio.Writer, err error) error {
	if _, werr := w.Write(nil); werr == nil && ctx.Err() == nil {
		f.p.broken.Store(&err)
	}
	return err
}

// resume reports whether a server can continue from its offset. Its base must be ours.
func (p *Primary) resume(args []string) (from int64, ok bool) {
	plan := p.plan()
	if len(args) < 3 || args[1] != plan.ReplID || !p.complete.Load() {
		return 0, false
	}
	next, err := strconv.ParseInt(args[2], 10, 64)
	given := next - 1
	if err != nil || given < plan.Base.Offset || given > plan.End() {
		return 0, false
	}
	return withDropped(plan.Drops, given), true
}

func (f *feed) sendBase(ctx context.Context, w *bufio.Writer) error {
	p, now := f.p, f.p.served.Load()
	base := now.plan.Base
	r, err := now.view.OpenBase(base)
	if err != nil {
		return err
	}
	defer r.Close() // read-only
	p.baseSent.Store(0)
	fmt.Fprintf(w, "$%d\r\n", base.Size)
	buf := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			p.baseSent.Add(int64(n))
		}
		if errors.Is(err, io.EOF) {
			p.complete.Store(true)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
