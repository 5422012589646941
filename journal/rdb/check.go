package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
)

// jones is the table of the checksum at the end of a file (the server's crc64.c). Go's package
// inverts the sum before and after; servers do not.
var jones = crc64.MakeTable(0x95AC9329AC4BC9B5)

// Sum64 adds bytes to the checksum that servers put at the end of a file. It begins with 0.
func Sum64(sum uint64, p []byte) uint64 { return ^crc64.Update(^sum, jones, p) }

// ErrDamaged means that a file differs from the one written: cut short, changed, or with a trailer.
var ErrDamaged = errors.New("damaged RDB file")

// sumBytes is the length of the checksum behind the EOF opcode, since version 5 of the format.
const (
	sumBytes   = 8
	sumVersion = 5
)

// Report is the result of reading a file from its first byte to its last.
type Report struct {
	Header   *Header
	Size     int64     // bytes
	Summed   bool      // it carries a checksum, which matches its bytes
	Contents *Contents // nil: Unknown says why
	Unknown  error     // the structure has entries unknown to this package
}

// Proven reports whether the file provably has not changed since it was written. Without a checksum
// (rdbchecksum no) only the structure is known to be whole.
func (r *Report) Proven() bool { return r.Summed }

// Check reads a file to its end: its structure, its checksum, and that nothing follows. The error
// is ErrFormat for a file that is no RDB from the beginning, ErrDamaged, or r's own. A right
// checksum counts more than the structure: an unreadable structure then is a newer format.
func Check(r io.Reader) (*Report, error) {
	in := &checked{r: r}
	w, err := newWalker(in)
	if err != nil {
		return nil, first(in.err, err)
	}
	walkErr := w.run()
	end := in.size - int64(w.r.Buffered()) // of the structure
	if _, err := io.Copy(io.Discard, w.r); err != nil {
		return nil, err
	}
	if in.err != nil {
		return nil, in.err
	}
	rep := &Report{Size: in.size, Summed: in.summed(w.version)}
	if rep.Header, err = ReadHeader(bytes.NewReader(in.head)); err != nil {
		return nil, err
	}
	if walkErr == nil {
		rep.Contents = w.found
	} else {
		rep.Unknown = walkErr
	}
	return rep, in.verdict(w.version, walkErr, end)
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// verdict judges a file that was read to its end. end is where its structure ended.
func (c *checked) verdict(version int, walkErr error, end int64) error {
	want := end
	if version >= sumVersion {
		want += sumBytes
	}
	sum := binary.LittleEndian.Uint64(c.tail[:])
	switch {
	case walkErr == nil && c.size < want:
		return fmt.Errorf("%w: it is cut short within its checksum", ErrDamaged)
	case walkErr == nil && c.size > want:
		return fmt.Errorf("%w: %d bytes follow its end", ErrDamaged, c.size-want)
	case c.summed(version) && c.before == opEOF: // of a file twice in a row, too: see above
		return nil
	case walkErr == nil && version >= sumVersion && sum != 0:
		return fmt.Errorf("%w: its checksum is %016x, that of its bytes %016x", ErrDamaged, sum, c.sum)
	case errors.Is(walkErr, ErrUnknown) && (sum == 0 || version < sumVersion):
		return nil // no verdict is possible
	case walkErr != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, walkErr)
	}
	return nil
}

// checked passes a file on and keeps its beginning, its length, its last eight bytes, the one before
// them, and the checksum of all but those eight.
type checked struct {
	r      io.Reader
	head   []byte
	size   int64
	sum    uint64
	tail   [sumBytes]byte
	before byte // the byte before tail
	err    error
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.take(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *checked) take(p []byte) {
	if room := HeadBytes - len(c.head); room > 0 {
		c.head = append(c.head, p[:min(room, len(p))]...)
	}
	held := min(c.size, sumBytes)
	c.size += int64(len(p))
	all := p
	if len(p) < 2*sumBytes { // short: the tail and p together
		all = append(append(make([]byte, 0, 3*sumBytes), c.tail[sumBytes-held:]...), p...)
	} else {
		c.add(c.tail[sumBytes-held:])
	}
	cut := max(0, len(all)-sumBytes)
	c.add(all[:cut])
	rest := all[cut:]
	copy(c.tail[sumBytes-len(rest):], rest)
}

func (c *checked) add(p []byte) {
	if len(p) > 0 {
		c.sum, c.before = Sum64(c.sum, p), p[len(p)-1]
	}
}

func (c *checked) summed(version int) bool {
	sum := binary.LittleEndian.Uint64(c.tail[:])
	return version >= sumVersion && sum != 0 && sum == c.sum
}
