package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/internal/wire"
	"holdfast/journal/rdb"
)

const (
	markLen     = 40 // of the end mark (CONFIG_RUN_ID_SIZE)
	chunkBytes  = 256 << 10
	chunksAhead = 8 // between the socket and the disk: 2 MiB
)

// Snapshots come in one of two ways (replication.c, readSyncBulkPayload):
//
//	$<length>\r\n     <length bytes>           from a file
//	$EOF:<mark>\r\n   <bytes> <mark>           straight from the child; the mark is 40 random bytes
//
// Newlines may come before either. In the second form the length is not known, so the last 40 bytes
// are held back until the next ones show that they are not the mark.

// readSnapshot reads exactly one snapshot from a connection into dst. It returns the head of the
// file. Socket and disk work at the same time, chunksAhead apart.
func readSnapshot(c *wire.Conn, timeout time.Duration, dst io.Writer) (*rdb.Header, error) {
	header, err := patientLine(c, timeout)
	if err != nil {
		return nil, err
	}
	var src io.Reader
	in := &patientReader{conn: c, timeout: timeout}
	mark, eof := strings.CutPrefix(header, "$EOF:")
	n, err := strconv.ParseInt(strings.TrimPrefix(header, "$"), 10, 64)
	switch {
	case header[0] == '-':
		return nil, fmt.Errorf("%w: %s", ErrRefused, header[1:])
	case eof && len(mark) == markLen:
		src = &markedReader{src: in, mark: []byte(mark)}
	case !eof && header[0] == '$' && err == nil && n > 0:
		src = &exactReader{src: in, left: n}
		if e, ok := dst.(interface{ Expect(size int64) error }); ok {
			if err := e.Expect(n); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("%w: instead of a snapshot: %q", ErrHandshake, header)
	}
	head := &headKeeper{dst: dst}
	if err := pump(head, src); err != nil {
		return nil, err
	}
	h, err := rdb.ReadHeader(bytes.NewReader(head.kept))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return h, nil
}

// patientReader reads from a connection that must send something within the timeout.
type patientReader struct {
	conn    *wire.Conn
	timeout time.Duration
}

func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.conn.R.Read(b)
}

// exactReader ends after a number of bytes; an end before that is an error.
type exactReader struct {
	src  io.Reader
	left int64
}

func (e *exactReader) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.src.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	if err != nil && e.left > 0 {
		return n, cutShort(err)
	}
	return n, nil
}

// markedReader ends before the mark, wherever reads split it. Nothing may follow the mark: the
// primary goes on only when we acknowledge the snapshot.
type markedReader struct {
	src  io.Reader
	mark []byte
	held []byte // not returned yet, because it may be the mark; shorter than the mark
	done bool
}

// Read needs room for more than a mark, which pump provides.
func (m *markedReader) Read(b []byte) (int, error) {
	if m.done {
		return 0, io.EOF
	}
	h := copy(b, m.held)
	n, err := m.src.Read(b[h:])
	all := b[:h+n]
	if bytes.HasSuffix(all, m.mark) {
		m.done = true
		return len(all) - len(m.mark), nil
	}
	if err != nil {
		return 0, cutShort(err)
	}
	keep := min(len(all), len(m.mark))
	m.held = append(m.held[:0], all[len(all)-keep:]...)
	return len(all) - keep, nil
}

// cutShort words the end of a connection in the middle of a snapshot.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: the primary stopped in the middle of it: %w", ErrSnapshot, err)
}

// headKeeper passes everything on and keeps the first bytes.
type headKeeper struct {
	dst  io.Writer
	kept []byte
}

func (h *headKeeper) Write(b []byte) (int, error) {
	if room := rdb.HeadBytes - len(h.kept); room > 0 {
		h.kept = append(h.kept, b[:min(room, len(b))]...)
	}
	return h.dst.Write(b)
}

// pump copies src to dst with a goroutine of its own for dst, so that neither waits for the other
// unless chunksAhead chunks lie between them. It returns when both are done.
func pump(dst io.Writer, src io.Reader) error {
	p := &pumping{full: make(chan []byte, chunksAhead), free: make(chan []byte, chunksAhead+2),
		failed: make(chan struct{}), finished: make(chan struct{})}
	for range chunksAhead + 2 {
		p.free <- nil
	}
	go p.write(dst)
	err := p.read(src)
	close(p.full)
	<-p.finished
	if p.err != nil {
		return p.err
	}
	return err
}

// pumping is one pump. err belongs to the writing goroutine until finished is closed.
type pumping struct {
	full, free       chan []byte
	failed, finished chan struct{}
	err              error
}

func (p *pumping) read(src io.Reader) error {
	for {
		b := <-p.free
		if b == nil {
			b = make([]byte, chunkBytes)
		}
		n, err := fill(src, b[:chunkBytes])
		if n > 0 {
			select {
			case p.full <- b[:n]:
			case <-p.failed:
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until b is at least half full: small reads would waste chunks.
func fill(src io.Reader, b []byte) (n int, err error) {
	for n < len(b)/2 && err == nil {
		var m int
		m, err = src.Read(b[n:])
		n += m
	}
	return n, err
}

func (p *pumping) write(dst io.Writer) {
	defer close(p.finished)
	for b := range p.full {
		if p.err == nil {
			if _, p.err = dst.Write(b); p.err != nil {
				close(p.failed)
			}
		}
		p.free <- b
	}
}
