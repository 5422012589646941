package rdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrUnknown means that a file holds an entry of a kind that this package does not know. The rest
// cannot be read then; the file may be good.
var ErrUnknown = errors.New("unknown kind of entry")

// Contents is an RDB file's content, as far as it decides which servers can load it.
type Contents struct {
	Keys      map[int]int64   // by database
	Functions int             // libraries
	Modules   map[string]bool // the module types in it
}

// The opcodes (rdb.h).
const (
	opSlotInfo  = 0xF4
	opFunction  = 0xF5
	opModuleAux = 0xF7
	opIdle      = 0xF8
	opFreq      = 0xF9
	opResizeDB  = 0xFB
	opExpireMS  = 0xFC
	opExpire    = 0xFD
	opSelectDB  = 0xFE
	opEOF       = 0xFF
)

// Walk reads a file up to and with its EOF opcode and reports its content. Values are skipped, not
// decoded. The error is ErrFormat for bytes that are no RDB, ErrUnknown, or r's own.
func Walk(r io.Reader) (*Contents, error) {
	w, err := newWalker(r)
	if err != nil {
		return nil, err
	}
	err = w.run()
	return w.found, err
}

// newWalker reads the magic.
func newWalker(r io.Reader) (*walker, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	version, err := readMagic(br)
	if err != nil {
		return nil, err
	}
	return &walker{r: br, version: version,
		found: &Contents{Keys: make(map[int]int64), Modules: make(map[string]bool)}}, nil
}

// run reads up to and with the EOF opcode.
func (w *walker) run() error {
	for !w.ended && w.err == nil {
		w.entry()
	}
	return w.err
}

// walker reads one file. The first error is kept, and nothing is read after it.
type walker struct {
	r       *bufio.Reader
	version int
	db      int
	found   *Contents
	ended   bool
	err     error
}

func (w *walker) entry() {
	switch op := w.byte(); op {
	case opEOF:
		w.ended = w.err == nil
	case opSelectDB:
		w.db = int(w.length())
	case opResizeDB:
		w.lengths(2)
	case opSlotInfo:
		w.lengths(3)
	case opAux:
		w.strings(2)
	case opFunction:
		w.strings(1)
		w.found.Functions++
	case opExpire:
		w.skip(4)
	case opExpireMS:
		w.skip(8)
	case opFreq:
		w.skip(1)
	case opIdle:
		w.lengths(1)
	case opModuleAux:
		w.module()
	default:
		if w.err != nil {
			return
		}
		w.strings(1) // the key
		w.value(op)
		w.found.Keys[w.db]++
	}
}

// fail keeps the first error. An end within the file must not appear as io.EOF.
func (w *walker) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: it ends within an entry", ErrFormat)
	}
	if w.err == nil {
		w.err = err
	}
}

func (w *walker) byte() byte {
	if w.err != nil {
		return 0
	}
	b, err := w.r.ReadByte()
	if err != nil {
		w.fail(err)
	}
	return b
}

func (w *walker) skip(n uint64) {
	for n > 0 && w.err == nil {
		step := int(min(n, 1<<30))
		if _, err := w.r.Discard(step); err != nil {
			w.fail(err)
		}
		n -= uint64(step)
	}
}

// length reads a length as readLength does, and the 64-bit form.
func (w *walker) length() uint64 {
	n, encoding := w.lengthOrEncoding()
	if encoding >= 0 {
		w.fail(fmt.Errorf("%w: an encoding where a length should be", ErrFormat))
	}
	return n
}

func (w *walker) lengthOrEncoding() (n uint64, encoding int) {
	first := w.byte()
	switch {
	case first>>6 == 0:
		return uint64(first), -1
	case first>>6 == 1:
		return uint64(first&0x3F)<<8 | uint64(w.byte()), -1
	case first == 0x80:
		return uint64(binary.BigEndian.Uint32(w.bytes(4))), -1
	case first == 0x81:
		return binary.BigEndian.Uint64(w.bytes(8)), -1
	case first>>6 == 3 && first&0x3F <= encodingLZF:
		return 0, int(first & 0x3F)
	}
	w.fail(fmt.Errorf("%w: a length begins with %#x", ErrFormat, first))
	return 0, -1
}

// bytes returns the next n bytes, or zeros after an error.
func (w *walker) bytes(n int) []byte {
	b := make([]byte, n)
	if w.err == nil {
		if _, err := io.ReadFull(w.r, b); err != nil {
			w.fail(err)
		}
	}
	return b
}

func (w *walker) lengths(n int) {
	for range n {
		w.length()
	}
}

func (w *walker) strings(n uint64) {
	for ; n > 0 && w.err == nil; n-- {
		size, encoding := w.lengthOrEncoding()
		switch encoding {
		case -1:
			w.skip(size)
		case encodingLZF:
			size = w.length()
			w.length()
			w.skip(size)
		default:
			w.skip(1 << encoding)
		}
	}
}
