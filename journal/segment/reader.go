package segment

import (
	"errors"
	"fmt"
	"io"

	"holdfast/journal/vfs"
)

// Reader gives the frames of a segment in order and checks each. It reads ahead in large pieces.
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

// ReadHeader reads and checks a segment's header. chain is what the first frame continues.
func ReadHeader(f vfs.File) (h Header, chain uint32, err error) {
	b := make([]byte, HeaderSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return Header{}, 0, err
	}
	return decodeHeader(b)
}

// NewReader reads the header of a segment and stands at its first frame. A limit above zero is
// where the segment is known to end, in bytes.
func NewReader(f vfs.File, limit int64) (*Reader, Header, error) {
	h, chain, err := ReadHeader(f)
	if err != nil {
		return nil, h, err
	}
	r := &Reader{file: f, seq: uint32(h.Seq), limit: limit, pos: HeaderSize, chain: chain}
	return r, h, nil
}

// Position is where the next frame begins, and the chain before it.
func (r *Reader) Position() (int64, uint32) { return r.pos, r.chain }

// Next gives the next frame. The payload is valid until the next call. The error is io.EOF where
// the file ends or zeros begin, or at the limit; a *BadError where something else stands there;
// or the disk's own. The reader stays where it is after an error.
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
		return Frame{}, nil, 0, r.bad(why)
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

// end says whether the rest of a file that is too short for a frame, or zeros, is a clean end.
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

// bytes gives n bytes of the file from r.pos, or fewer where it ends.
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

// fill reads the buffer anew from r.pos: n bytes, and more where there are.
func (r *Reader) fill(n int) error {
	if cap(r.buf) < n {
		size, err := r.file.Size()
		if err != nil {
			return err
		}
		r.buf = make([]byte, max(int64(n), pieceFor(size-r.pos)))
	}
	got, err := r.file.ReadAt(r.buf[:cap(r.buf)], r.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		r.buf = r.buf[:0]
		return fmt.Errorf("read at byte %d: %w", r.pos, err)
	}
	r.buf, r.start = r.buf[:got], r.pos
	return nil
}

// pieceFor is how much to read at once of a file of which left bytes remain.
func pieceFor(left int64) int64 { return min(readAhead, max(left, 0)+align) }

// forget drops what was read ahead, for a file that another process writes.
func (r *Reader) forget() { r.buf = r.buf[:0] }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
