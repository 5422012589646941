package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
)

// respWriter writes commands byte for byte, as a server takes them, with a SELECT wherever the
// database changes, so that any choice of commands goes to the right databases.
type respWriter struct {
	ctx    context.Context
	out    *bufio.Writer
	raw    *replay.Raw
	frames bool // MULTI and EXEC are kept: nothing between them is left out
	open   bool // a MULTI was written, and no EXEC yet
	db     int  // the selected one; -1: none yet
}

func newRespWriter(ctx context.Context, out *bufio.Writer, view *journal.View, w *replay.Walk,
	s *sieve) (*respWriter, error) {
	raw, err := replay.NewRaw(view, w.Timeline)
	return &respWriter{ctx: ctx, out: out, raw: raw, db: -1,
		frames: !s.byName && !s.byKey && !s.destructive}, err
}

func (r *respWriter) write(c *stream.Command) error {
	switch c.Tx {
	case stream.TxBegin:
		if !r.frames {
			return nil
		}
		r.open = true
	case stream.TxEnd:
		if !r.open {
			return nil // its MULTI is not shown
		}
		r.open = false
	}
	if c.DB < 0 {
		return fmt.Errorf("the database of the command at offset %d is not known: the journal begins "+
			"before the first SELECT; begin at a base, --from OFFSET (proxy journal ls)", c.Start)
	}
	if c.DB != r.db {
		db := strconv.Itoa(c.DB)
		fmt.Fprintf(r.out, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", len(db), db)
		r.db = c.DB
	}
	return r.raw.Copy(r.ctx, r.out, c.Start, c.End)
}

// close ends a transaction whose rest is not shown, or the server would discard it.
func (r *respWriter) close() error {
	r.raw.Close()
	if !r.open {
		return nil
	}
	_, err := r.out.WriteString("*1\r\n$4\r\nEXEC\r\n")
	return err
}
