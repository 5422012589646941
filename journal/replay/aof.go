package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/stream"
	"holdfast/journal/vfs"
)

// A multi-part append-only file as servers since 7.0 read it (aof.c):
//
//	appendonly.aof.manifest         file appendonly.aof.1.base.rdb seq 1 type b
//	                                file appendonly.aof.1.incr.aof seq 1 type i
//	appendonly.aof.1.base.rdb       the base, as it is
//	appendonly.aof.1.incr.aof       SELECT, then the stream without its replica-only commands
//
// A server does not expire keys while it loads an append-only file, so the stream means the same
// there as to a replica. Lines "#TS:<seconds>" give the arrival of commands; servers skip them, and
// redis-check-aof --truncate-to-timestamp uses them.
const (
	baseName = AOFName + ".1.base.rdb"
	incrName = AOFName + ".1.incr.aof"
	manifest = "file " + baseName + " seq 1 type b\nfile " + incrName + " seq 1 type i\n"
)

// AOFName is the prefix of an export's files: a server's appendfilename.
const AOFName = "appendonly.aof"

// ExportOptions configure an export. View, Plan and Dir are required.
type ExportOptions struct {
	View *journal.View
	Plan *Plan
	Dir  string // the server's appenddirname; made if missing, and must be empty
	FS   vfs.FS // nil: the real one
	// Progress, if not nil, is called with bytes.
	Progress func(done, total int64)
}

// Export writes a plan as an append-only file that a server with appendonly yes and appendfilename
// appendonly.aof starts from. Everything is durable when it returns; the manifest comes last, so
// that a folder without one is an unfinished export.
func Export(ctx context.Context, o ExportOptions) error {
	o.FS = vfs.OrOS(o.FS)
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return err
	}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: %s", ErrExists, o.Dir)
	}
	e := &exporter{ExportOptions: o, total: o.Plan.Base.Size + o.Plan.End() - o.Plan.Base.Offset}
	for _, file := range []struct {
		name string
		fill func(ctx context.Context, w io.Writer) error
	}{
		{baseName, e.writeBase},
		{incrName, e.writeIncr},
		{AOFName + ".manifest", func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, manifest)
			return err
		}},
	} {
		if err := e.file(ctx, file.name, file.fill); err != nil {
			return err
		}
	}
	return nil
}

// exporter is one export.
type exporter struct {
	ExportOptions
	done, total int64
}

// file writes one file and makes it durable.
func (e *exporter) file(ctx context.Context, name string,
	fill func(context.Context, io.Writer) error,
) (err error) {
	f, err := e.FS.Create(filepath.Join(e.Dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := newFileWriter(f)
	if err := fill(ctx, w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return e.FS.SyncDir(e.Dir)
}

func (e *exporter) writeBase(ctx context.Context, w io.Writer) error {
	r, err := e.View.OpenBase(e.Plan.Base)
	if err != nil {
		return err
	}
	defer r.Close() // read-only
	_, err = io.Copy(io.MultiWriter(w, &counter{ctx: ctx, e: e}), r)
	return err
}

func (e *exporter) writeIncr(ctx context.Context, w io.Writer) error {
	if db := e.Plan.Base.DB; db > 0 {
		if _, err := w.Write(wire.Append(nil, "SELECT", strconv.Itoa(db))); err != nil {
			return err
		}
	}
	x := &extract{w: w, end: e.Plan.Base.Offset, drops: e.Plan.Drops}
	x.scanner = stream.NewScanner(stream.Options{Offset: x.end, DB: e.Plan.Base.DB, MaxArg: 16})
	progress := &counter{ctx: ctx, e: e}
	err := eachChunk(ctx, e.View, e.Plan.Point.Timeline.ID, x.end, e.Plan.Point.Offset,
		func(c journal.Chunk) error {
			c.Data = c.Data[:min(int64(len(c.Data)), e.Plan.Point.Offset-c.Offset)]
			if err := x.take(c); err != nil {
				return err
			}
			_, err := progress.Write(c.Data)
			return err
		})
	return err
}

// counter reports progress, and ends a copy with its context.
type counter struct {
	ctx context.Context
	e   *exporter
}

func (c *counter) Write(b []byte) (int, error) {
	c.e.done += int64(len(b))
	if c.e.Progress != nil {
		c.e.Progress(c.e.done, c.e.total)
	}
	return len(b), c.ctx.Err()
}

// extract copies the commands of a stream that belong into an append-only file. Bytes are held back
// until their command is complete: its kind is known only then.
type extract struct {
	w       io.Writer
	scanner *stream.Scanner
	held    []byte // [end, scanner.Offset())
	end     int64  // of the last complete command
	second  int64  // of the last timestamp
	drops   []journal.Range
}

func (x *extract) take(c journal.Chunk) error {
	x.held = append(x.held, c.Data...)
	used := 0
	err := x.scanner.Feed(c.Time, c.Data, func(cmd *stream.Command) error {
		raw := x.held[used : used+int(cmd.End-x.end)]
		used += len(raw)
		x.end = cmd.End
		return x.command(cmd, raw)
	})
	if used > 0 { // not for each piece of a command of hundreds of megabytes
		x.held = append(x.held[:0], x.held[used:]...)
	}
	return err
}

func (x *extract) command(c *stream.Command, raw []byte) error {
	for len(x.drops) > 0 && x.drops[0].To <= c.Start {
		x.drops = x.drops[1:]
	}
	dropped := len(x.drops) > 0 && x.drops[0].From <= c.Start
	if dropped || len(c.Args) == 0 || replicaOnly(c) {
		return nil
	}
	if s := c.Time.Unix(); s > x.second && (c.Tx == stream.TxNone || c.Tx == stream.TxBegin) {
		x.second = s
		if _, err := fmt.Fprintf(x.w, "#TS:%d\r\n", s); err != nil {
			return err
		}
	}
	_, err := x.w.Write(raw)
	return err
}

// replicaOnly reports whether a command changes no data.
func replicaOnly(c *stream.Command) bool {
	for _, name := range []string{"PING", "REPLCONF", "PUBLISH", "SPUBLISH"} {
		if c.Is(name) {
			return true
		}
	}
	return false
}

// fileWriter writes a file from its beginning, in large pieces.
type fileWriter struct {
	f   vfs.File
	at  int64
	buf []byte
}

const fileBuffer = 1 << 20

func newFileWriter(f vfs.File) *fileWriter {
	return &fileWriter{f: f, buf: make([]byte, 0, fileBuffer)}
}

func (w *fileWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if len(w.buf) < fileBuffer {
		return len(b), nil
	}
	return len(b), w.flush()
}

func (w *fileWriter) flush() error {
	n, err := w.f.WriteAt(w.buf, w.at)
	w.at += int64(n)
	w.buf = w.buf[:0]
	return err
}
