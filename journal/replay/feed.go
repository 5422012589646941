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
	started bool  // the goroutine that writes; from then on only it writes
	err     error // why writing ended; read after sending.Wait
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
		if _, err := io.WriteString(f.conn, greet(name, args)); err != nil {
			return err
		}
	}
}

// greet answers what a server says before PSYNC.
func greet(name string, args []string) string {
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

// note takes an acknowledgement.
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

// serve answers PSYNC and sends what follows.
func (f *feed) serve(ctx context.Context, args []string) error {
	p, plan := f.p, f.p.opts.Plan
	w := bufio.NewWriterSize(f.conn, 256<<10)
	from, ok := p.resume(args)
	if ok {
		fmt.Fprintf(w, "+CONTINUE %s\r\n", plan.ReplID)
	} else {
		from = plan.Base.Offset
		p.attempts.Add(1)
		if args[0] != "SYNC" {
			fmt.Fprintf(w, "+FULLRESYNC %s %d\r\n", plan.ReplID, from)
		}
		if err := f.sendBase(ctx, w); err != nil {
			return err
		}
	}
	p.streamSent.Store(plan.given(from) - plan.Base.Offset)
	err := writeStream(ctx, p.opts.View, plan, from, w, func(n int64) { p.streamSent.Add(n) })
	if err != nil {
		return err
	}
	return w.Flush()
}

// resume finds out whether a server can go on where it was. It must have the base from us.
func (p *Primary) resume(args []string) (from int64, ok bool) {
	plan := p.opts.Plan
	if len(args) < 3 || args[1] != plan.ReplID || !p.complete.Load() {
		return 0, false
	}
	next, err := strconv.ParseInt(args[2], 10, 64)
	given := next - 1
	if err != nil || given < plan.Base.Offset || given > plan.End() {
		return 0, false
	}
	from = given
	for _, d := range plan.Drops {
		if d.From > from {
			break
		}
		from += d.To - d.From
	}
	return from, true
}

func (f *feed) sendBase(ctx context.Context, w *bufio.Writer) error {
	p, base := f.p, f.p.opts.Plan.Base
	r, err := p.opts.View.OpenBase(base)
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
