package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"holdfast/journal/vfs"
)

// ScanResult describes the end of a segment that was being written.
type ScanResult struct {
	Header Header
	End    int64  // behind the last Commit: everything below is intact
	Chain  uint32 // there
	Sealed bool   // the last frame before that Commit is a Seal
	// TornEnd, where it is above End, is the end of the last bytes that are not zero: a batch that
	// was never acknowledged. Why is its fault.
	TornEnd int64
	Why     string
	// Bad is the end of the chain of frames. A promise above it, by any frame in the file, means
	// that acknowledged bytes are damaged.
	Bad      int64
	Promised int64
	// Newer says that a whole frame stands there, of a type that only newer versions know: it is
	// neither torn nor damaged, and its meaning is unknown.
	Newer bool
}

// Torn reports whether unacknowledged bytes follow the last Commit.
func (s ScanResult) Torn() bool { return s.TornEnd > s.End }

// Damaged reports whether acknowledged bytes are damaged.
func (s ScanResult) Damaged() bool { return s.Promised > s.Bad }

// Visit is called with a frame of a finished batch. size is the payload's length; the payload
// itself is passed for every type but Stream, and is valid during the call only.
type Visit func(f Frame, size int, payload []byte) error

// Scan reads a whole segment and classifies its end: clean, torn above the last promise, or damaged
// below it. visit, if not nil, is called with each frame up to the last Commit. The error is
// visit's or the disk's, or a *BadError for a bad header.
//
// A segment may be scanned while it is written:
//
//	scan                                   writer
//	reads to the end of batch 7
//	finds zeros
//	                                       writes and syncs batch 8, writes batch 9
//	looks behind the zeros, finds
//	batch 9, which promises batch 8
//
// That looks like damage and is none, so damage counts only once a second look at the same place,
// after the promise was seen, still finds nothing there.
func Scan(f vfs.File, visit Visit) (ScanResult, error) {
	r, h, err := NewReader(f, 0)
	if err != nil {
		return ScanResult{Header: h}, err
	}
	s := scan{Reader: r, visit: visit, result: ScanResult{Header: h, Bad: -1}}
	s.result.End, s.result.Chain = r.Position()
	for {
		before := s.result.Bad
		r.forget()
		if err := s.frames(); err != nil {
			return s.result, err
		}
		if s.result.Newer || s.result.Damaged() && s.result.Bad == before {
			return s.result, nil
		}
		if err := s.tail(); err != nil {
			return s.result, err
		}
		if !s.result.Damaged() {
			return s.result, nil
		}
	}
}

// ScanOn continues a scan of a segment that is being written. It reads only whole batches: more is
// false if anything but zeros or the end of the file stands behind them, which a whole scan must
// judge.
func ScanOn(f vfs.File, from ScanResult, visit Visit) (result ScanResult, more bool, err error) {
	s := scan{Reader: &Reader{file: f, seq: uint32(from.Header.Seq), pos: from.End, chain: from.Chain,
		buf: make([]byte, 0, followAhead)}, visit: visit,
		result: ScanResult{Header: from.Header, End: from.End, Chain: from.Chain, Sealed: from.Sealed, Bad: -1}}
	if from.Sealed {
		s.last = Seal
	}
	err = s.frames()
	return s.result, s.result.Why == cleanEnd, err
}

// followAhead is the size of a read where little is expected, in bytes.
const followAhead = 64 << 10

// cleanEnd is the reason for the end of frames where nothing follows.
const cleanEnd = "no frame"

type scan struct {
	*Reader
	visit  Visit
	result ScanResult
	batch  []visited
	last   Type
}

type visited struct {
	Frame
	size    int
	payload []byte
}

// frames reads the frames to their end, and returns it.
func (s *scan) frames() error {
	for {
		f, payload, promise, err := s.next()
		if err != nil {
			return s.stop(err)
		}
		s.result.Promised = max(s.result.Promised, promise)
		if f.Type != Commit {
			s.add(f, payload)
			continue
		}
		if err := s.flush(); err != nil {
			return err
		}
		s.result.End, s.result.Chain = s.Position()
	}
}

func (s *scan) stop(err error) error {
	s.result.Bad, _ = s.Position()
	var bad *BadError
	switch {
	case errors.As(err, &bad):
		s.result.Why, s.result.Newer = bad.Why, bad.Newer
	case errors.Is(err, io.EOF):
		s.result.Why = cleanEnd
	default:
		return err
	}
	return nil
}

// add keeps a frame until the batch's Commit shows that it counts.
func (s *scan) add(f Frame, payload []byte) {
	s.last = f.Type
	if s.visit == nil {
		return
	}
	v := visited{Frame: f, size: len(payload)}
	if f.Type != Stream {
		v.payload = append([]byte{}, payload...)
	}
	s.batch = append(s.batch, v)
}

func (s *scan) flush() error {
	for _, v := range s.batch {
		if err := s.visit(v.Frame, v.size, v.payload); err != nil {
			return err
		}
	}
	s.batch = s.batch[:0]
	s.result.Sealed = s.last == Seal
	return nil
}

// tail looks at everything behind the last whole frame: for the last byte that is not zero, and for
// frames whose promise reaches above the break in the chain.
func (s *scan) tail() error {
	s.result.TornEnd = s.result.Bad
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, max(pieceFor(size-s.result.Bad), 2*FrameHeaderSize))
	for at := s.result.Bad; ; {
		n, err := s.file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		s.look(buf[:n], at)
		if n < len(buf) {
			return nil
		}
		at += int64(n) - FrameHeaderSize // so that a header across two pieces is seen whole
	}
}

// look searches a piece of the file, which begins at a multiple of 8. Most of it is room that was
// prepared and never written: zeros, which it skips a block at a time.
func (s *scan) look(b []byte, start int64) {
	for i := 0; i < len(b); i += len(zeroBlock) {
		end := min(i+len(zeroBlock), len(b))
		if !bytes.Equal(b[i:end], zeroBlock[:end-i]) {
			s.lookAt(b, i, end, start)
		}
	}
}

// zeroBlock is a block without data.
var zeroBlock [4096]byte

// lookAt searches from one index of a piece to another.
func (s *scan) lookAt(b []byte, from, to int, start int64) {
	for i := from; i < to; i += align {
		word := b[i:min(i+align, len(b))]
		if allZero(word) {
			continue
		}
		s.result.TornEnd = max(s.result.TornEnd, start+int64(i+len(word)))
		if i+FrameHeaderSize > len(b) || le.Uint32(b[i+4:]) > MaxPayload {
			continue
		}
		if h, why := getHeader(b[i:], s.seq, start+int64(i)); why == "" {
			s.result.Promised = max(s.result.Promised, h.promise)
		}
	}
}

// ReadSeal returns the payload of the Seal of a segment that ends at end with this chain, and false
// if it was not sealed. A *BadError says that the segment has another end.
func ReadSeal(f vfs.File, end int64, chain uint32) ([]byte, bool, error) {
	h, first, err := ReadHeader(f)
	if err != nil {
		return nil, false, err
	}
	r := &Reader{file: f, seq: uint32(h.Seq), limit: end, pos: end - commitSize}
	if end < HeaderSize+commitSize {
		return nil, false, r.bad("the segment is too short")
	}
	b, err := r.bytes(commitSize)
	if err != nil {
		return nil, false, err
	}
	if len(b) < commitSize {
		return nil, false, r.bad("the file ends early")
	}
	commit, why := getHeader(b, r.seq, r.pos)
	if why == "" && (commit.Type != Commit || commit.chain != chain) {
		why = "the segment does not end as the next one says"
	}
	if why != "" {
		return nil, false, r.bad(why)
	}
	return r.seal(int64(le.Uint64(b[FrameHeaderSize:])), first)
}

// seal reads the first frame of the last batch. The Commit before it, or the header, has the chain
// that it continues.
func (r *Reader) seal(at int64, first uint32) ([]byte, bool, error) {
	if at < HeaderSize || at >= r.pos {
		return nil, false, r.bad("the last batch begins outside the segment")
	}
	before, err := r.chainBefore(at, first)
	if err != nil {
		return nil, false, err
	}
	r.pos = at
	b, err := r.bytes(FrameHeaderSize)
	if err != nil {
		return nil, false, err
	}
	if len(b) < FrameHeaderSize {
		return nil, false, r.bad("the file ends early")
	}
	h, why := getHeader(b, r.seq, r.pos)
	if why != "" {
		return nil, false, r.bad(why)
	}
	if h.Type != Seal {
		return nil, false, nil
	}
	if b, err = r.bytes(int(h.size())); err != nil {
		return nil, false, err
	}
	if int64(len(b)) < h.size() {
		return nil, false, r.bad("the file ends early")
	}
	if got := chainOf(b, before); got != h.chain {
		return nil, false, r.bad(fmt.Sprintf("chain %08x, want %08x", h.chain, got))
	}
	return b[FrameHeaderSize : FrameHeaderSize+h.length], true, nil
}

// chainBefore is the chain at the beginning of a batch.
func (r *Reader) chainBefore(at int64, first uint32) (uint32, error) {
	if at == HeaderSize {
		return first, nil
	}
	if r.pos = at - commitSize; r.pos < HeaderSize {
		return 0, r.bad("the last batch begins within another")
	}
	b, err := r.bytes(FrameHeaderSize)
	if err != nil {
		return 0, err
	}
	if len(b) < FrameHeaderSize {
		return 0, r.bad("the file ends early")
	}
	h, why := getHeader(b, r.seq, r.pos)
	if why == "" && h.Type != Commit {
		why = "no commit before the last batch"
	}
	if why != "" {
		return 0, r.bad(why)
	}
	return h.chain, nil
}
