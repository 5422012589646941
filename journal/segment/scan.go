package segment

import (
	"errors"
	"io"

	"holdfast/journal/vfs"
)

// ScanResult is how a segment that was being written ends.
type ScanResult struct {
	Header Header
	End    int64  // behind the last Commit: everything below is whole
	Chain  uint32 // there
	Sealed bool   // the last frame before that Commit is a Seal
	// TornEnd, where it is above End, is the end of what is not zero: a batch that was never
	// acknowledged. Why is what is wrong with it.
	TornEnd int64
	Why     string
	// Bad is where the frames stop. A promise above it, by any frame in the file, means that
	// acknowledged bytes are damaged.
	Bad      int64
	Promised int64
}

// Torn answers whether something follows the last Commit that was never acknowledged.
func (s ScanResult) Torn() bool { return s.TornEnd > s.End }

// Damaged answers whether acknowledged bytes are damaged.
func (s ScanResult) Damaged() bool { return s.Promised > s.Bad }

// Visit is given a frame of a finished batch. size is the payload's length; the payload itself is
// given for every type but Stream, and is valid during the call only.
type Visit func(f Frame, size int, payload []byte) error

// Scan reads a whole segment and tells apart how it ends: clean, torn above what it promises, or
// damaged below. visit, if not nil, is given each frame up to the last Commit. The error is
// visit's or the disk's, or a *BadError for a header that is none.
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
		if s.result.Damaged() && s.result.Bad == before {
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

// frames goes through the frames until there is none, and says where that is.
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
		s.result.Why = bad.Why
	case errors.Is(err, io.EOF):
		s.result.Why = "no frame"
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

// tail looks at everything behind the last whole frame: for the end of what is not zero, and for
// frames whose promise reaches above the place where the chain broke.
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

// look searches a piece of the file, which begins at a multiple of 8.
func (s *scan) look(b []byte, start int64) {
	for i := 0; i < len(b); i += align {
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

// ReadSeal gives the payload of the Seal of a segment that ends at end with this chain, and false
// if it was not sealed. A *BadError says that the segment does not end like that.
func ReadSeal(f vfs.File, end int64, chain uint32) ([]byte, bool, error) {
	h, _, err := ReadHeader(f)
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
	return r.seal(int64(le.Uint64(b[FrameHeaderSize:])))
}

// seal reads the first frame of the last batch. Its chain cannot be checked without reading all
// before it; the caller trusts it for an overview only.
func (r *Reader) seal(at int64) ([]byte, bool, error) {
	if at < HeaderSize || at >= r.pos {
		return nil, false, r.bad("the last batch begins outside the segment")
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
	return b[FrameHeaderSize : FrameHeaderSize+h.length], true, nil
}
