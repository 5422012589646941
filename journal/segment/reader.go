package segment

import (
	"errors"
	"fmt"
	"io"

	"holdfast/journal/vfs"
)

// Reader reads the frames of a segment in order and checks each. It reads ahead in large pieces.
type Reader struct {
	file  vfs.File
	seq   uint32
	limit int64 // do not read beyond; 0: to the end of the file
	pos   int64 // of the next frame
	chain uint32

	buf   []byte // bytes of the file from start on
	start int64
}

// readAhead holds the largest frame several times over.
const readAhead = 4 * BlockSize

// ReadHeader reads and checks a segment's header. The first frame continues chain.
func ReadHeader(f vfs.File) (h Header, chain uint32, err error) {
	b := make([]byte, HeaderSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return Header{}, 0, err
	}
	return decodeHeader(b)
}

// NewReader reads the header of a segment and stands at its first frame. A limit above zero is the
// known end of the segment, in bytes.
func NewReader(f vfs.File, limit int64) (*Reader, Header, error) {
	h, chain, err := ReadHeader(f)
	if err != nil {
		return nil, h, err
	}
	r := &Reader{file: f, seq: uint32(h.Seq), limit: limit, pos: HeaderSize, chain: chain}
	return r, h, nil
}

// Extend moves the limit of a segment that has grown.
func (r *Reader) Extend(limit int64) {
	r.limit = limit
	r.forget()
}

// Position is the start of the next frame, and the chain before it.
func (r *Reader) Position() (int64, uint32) { return r.pos, r.chain }

// Next returns the next frame. The payload is valid until the next call. The error is io.EOF where
// the file ends or zeros begin, or at the limit; a *BadError for anything else there; or the disk's
// own. The reader stays in place after an error.
func (r *Reader) Next() (Frame, []byte, error) {
	f, payload, _, err := r.next()
	return f, payload, err
}

func (r *Reader) next() (Frame, []byte, int64, error) {
	if r.limit > 0 && r.pos >= r.limit {
		return Frame{}, nil, 0, io.EOF
	}
	b, err := r.bytes(FrameHeaderSize)
	if err != nil {
		return Frame{}, nil, 0, err
	}
	if len(b) < FrameHeaderSize || allZero(b) {
		return Frame{}, nil, 0, r.end(b)
	}
	h, why := getHeader(b, r.seq, r.pos)
	if why != "" {
		return Frame{}, nil, 0, &BadError{Offset: r.pos, Why: why, Newer: h.newer}
	}
	if b, err = r.bytes(int(h.size())); err != nil {
		return Frame{}, nil, 0, err
	}
	if int64(len(b)) < h.size() || r.limit > 0 && r.pos+h.size() > r.limit {
		return Frame{}, nil, 0, r.bad("the frame goes beyond the end of the segment")
	}
	chain := chainOf(b, r.chain)
	if chain != h.chain {
		return Frame{}, nil, 0, r.bad(fmt.Sprintf("chain %08x, want %08x", h.chain, chain))
	}
	r.pos, r.chain = r.pos+h.size(), chain
	return h.Frame, b[FrameHeaderSize : FrameHeaderSize+h.length], h.promise, nil
}

// end reports whether the rest of a file that is too short for a frame, or zeros, is a clean end.
func (r *Reader) end(b []byte) error {
	if r.limit > 0 {
		return r.bad(fmt.Sprintf("no frame, but the segment goes on to byte %d", r.limit))
	}
	if !allZero(b) {
		return r.bad("half a frame header")
	}
	return io.EOF
}

func (r *Reader) bad(why string) error { return &BadError{Offset: r.pos, Why: why} }

// bytes returns n bytes of the file from r.pos, or fewer at its end.
func (r *Reader) bytes(n int) ([]byte, error) {
	at := r.pos - r.start
	if at < 0 || at+int64(n) > int64(len(r.buf)) {
		if err := r.fill(n); err != nil {
			return nil, err
		}
		at = 0
	}
	return r.buf[at:min(at+int64(n), int64(len(r.buf)))], nil
}

// fill refills the buffer from r.pos: n bytes, and more where there are. Behind the limit of a segment that is being
// written, most of the file is room without data.
func (r *Reader) fill(n int) error {
	piece := cap(r.buf)
	if r.limit > 0 {
		piece = max(n, int(pieceFor(r.limit-r.pos)))
	} else if piece < n {
		size, err := r.file.Size()
		if err != nil {
			return err
		}
		piece = max(n, int(pieceFor(size-r.pos)))
	}
	if cap(r.buf) < piece {
		r.buf = make([]byte, piece)
	}
	got, err := r.file.ReadAt(r.buf[:piece], r.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		r.buf = r.buf[:0]
		return fmt.Errorf("read at byte %d: %w", r.pos, err)
	}
	r.buf, r.start = r.buf[:got], r.pos
	return nil
}

// pieceFor is the size of the next read of a file of which left bytes remain.
func pieceFor(left int64) int64 { return min(readAhead, max(left, 0)+align) }

// forget drops the read-ahead, for a file that another process writes.
func (r *Reader) forget() { r.buf = r.buf[:0] }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// NewSalvager reads a segment with an untrusted header. It stands behind the first frame that can
// be found; the error is io.EOF if there is none. A limit of 0 is the end of the file.
func NewSalvager(f vfs.File, seq uint64, limit int64) (*Reader, error) {
	r := &Reader{file: f, seq: uint32(seq), limit: limit, pos: HeaderSize}
	return r, r.Resync()
}

// Resync continues behind damage after Next has returned a *BadError, or io.EOF where zeros may
// stand for frames. The error is io.EOF if no frame follows.
//
// A frame's header has a check of its own, and the chain behind the frame. So if only a payload is
// damaged, that frame alone is skipped. If a header is damaged, the next intact one gives the
// chain, and its frame is skipped, too: its payload cannot be checked.
func (r *Reader) Resync() error {
	for at := r.pos; ; at += align {
		if r.limit > 0 && at >= r.limit {
			return io.EOF
		}
		r.pos = at
		b, err := r.bytes(FrameHeaderSize)
		if err != nil {
			return err
		}
		if len(b) < FrameHeaderSize {
			return io.EOF
		}
		if le.Uint32(b[44:]) == 0 && allZero(b) {
			continue
		}
		if h, why := getHeader(b, r.seq, at); why == "" {
			r.pos, r.chain = at+h.size(), h.chain
			return nil
		}
	}
}
