// Package rdb reads the head of an RDB file: the server that wrote it, and its position in the
// replication history. [Walk] reads all of it and counts its content, without decoding a value.
//
// The fields are those that servers write when a replication backlog existed (rdbSaveInfo in the
// server's rdb.c). A Header is a value; nothing here is shared between goroutines.
package rdb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// HeadBytes is more than the fields at the start of a file take, so that a caller who streams a
// file keeps only that part of it for [ReadHeader].
const HeadBytes = 64 << 10

const (
	opAux     = 0xFA // a pair of strings follows
	maxString = 16 << 10
	maxFields = 256
)

// ErrFormat means that the bytes are not the start of an RDB file.
var ErrFormat = errors.New("not an RDB file")

// Header is an RDB file's own description.
type Header struct {
	Version  int    // of the format: 11 is Redis 7.2 and Valkey 8
	Server   string // "8.0.1"; empty if unknown
	Valkey   bool   // written by Valkey
	ReplID   string // replication id; empty: no backlog existed
	Offset   int64  // replication offset; -1: no backlog existed
	StreamDB int    // selected there in the stream; -1: unknown
	Created  time.Time
	AOFBase  bool // the base of an append-only file
	Aux      map[string]string
}

// Placed reports whether the file gives its place in a history.
func (h *Header) Placed() bool { return h.ReplID != "" && h.Offset >= 0 }

// ReadHeader reads the fields at the start of a file, as far as they stand in its first HeadBytes.
// Fields longer than maxString are dropped. It reads ahead.
func ReadHeader(r io.Reader) (*Header, error) {
	head := &io.LimitedReader{R: r, N: HeadBytes}
	br := bufio.NewReader(head)
	version, err := readMagic(br)
	if err != nil {
		return nil, err
	}
	h := &Header{Version: version, Offset: -1, StreamDB: -1, Aux: make(map[string]string)}
	if err := h.readFields(br); err != nil && head.N > 0 {
		return nil, err // not for lack of bytes: more stand behind the head
	}
	return h, h.interpret()
}

// readFields reads up to the first opcode that is no field.
func (h *Header) readFields(r *bufio.Reader) error {
	for {
		op, err := r.ReadByte()
		if err != nil {
			return fmt.Errorf("%w: it ends within its head", ErrFormat)
		}
		if op != opAux {
			return nil
		}
		key, err := readString(r)
		if err != nil {
			return err
		}
		value, err := readString(r)
		if err != nil {
			return err
		}
		if len(h.Aux) < maxFields {
			h.Aux[key] = value
		}
	}
}

// readMagic accepts "REDIS0011" and "VALKEY080".
func readMagic(r io.Reader) (int, error) {
	var b [9]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("%w: shorter than its magic", ErrFormat)
	}
	digits := ""
	switch {
	case string(b[:5]) == "REDIS":
		digits = string(b[5:])
	case string(b[:6]) == "VALKEY":
		digits = string(b[6:])
	}
	version, err := strconv.Atoi(digits)
	if err != nil || version < 1 {
		return 0, fmt.Errorf("%w: it begins with %q", ErrFormat, b[:])
	}
	return version, nil
}

func (h *Header) interpret() error {
	h.ReplID = h.Aux["repl-id"]
	h.Server = h.Aux["redis-ver"]
	if v, ok := h.Aux["valkey-ver"]; ok {
		h.Server, h.Valkey = v, true
	}
	h.AOFBase = h.Aux["aof-base"] == "1" || h.Aux["aof-preamble"] == "1"
	for _, f := range []struct {
		name string
		set  func(n int64)
	}{
		{"repl-offset", func(n int64) { h.Offset = n }},
		{"repl-stream-db", func(n int64) { h.StreamDB = int(n) }},
		{"ctime", func(n int64) { h.Created = time.Unix(n, 0) }},
	} {
		text, ok := h.Aux[f.name]
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %s is %q", ErrFormat, f.name, text)
		}
		f.set(n)
	}
	return nil
}

// encodingLZF is the string encoding of compressed bytes.
const encodingLZF = 3

// readString reads a length-prefixed string, or one of its encodings:
//
//	11000000 + 1 byte, 11000001 + 2 bytes, 11000010 + 4 bytes: an integer, little endian
//	11000011 + compressed length + length + compressed bytes
func readString(r *bufio.Reader) (string, error) {
	n, encoding, err := readLength(r)
	if err != nil {
		return "", err
	}
	switch {
	case encoding == encodingLZF:
		return readCompressed(r)
	case encoding >= 0:
		return readInteger(r, encoding)
	case n > maxString:
		return "", skipBytes(r, n)
	}
	s, err := readBytes(r, n)
	return string(s), err
}

// skipBytes reads past a field that is too long to be of use.
func skipBytes(r *bufio.Reader, n uint64) error {
	for n > 0 {
		step, err := r.Discard(int(min(n, 1<<30)))
		if n -= uint64(step); err != nil {
			return fmt.Errorf("%w: it ends within a field", ErrFormat)
		}
	}
	return nil
}

// readLength reads a length, or the encoding that stands instead of one; encoding is -1 with a
// length.
//
//	00xxxxxx                 length in 6 bits
//	01xxxxxx xxxxxxxx        length in 14 bits
//	10000000 + 4 bytes       length, big endian
//	10000001 + 8 bytes       length, big endian
//	11xxxxxx                 encoding
func readLength(r *bufio.Reader) (n uint64, encoding int, err error) {
	first, err := readBytes(r, 1)
	if err != nil {
		return 0, 0, err
	}
	low := uint64(first[0] & 0x3F)
	switch {
	case first[0]>>6 == 0:
		return low, -1, nil
	case first[0]>>6 == 1:
		b, err := readBytes(r, 1)
		if err != nil {
			return 0, 0, err
		}
		return low<<8 | uint64(b[0]), -1, nil
	case first[0] == 0x80:
		b, err := readBytes(r, 4)
		if err != nil {
			return 0, 0, err
		}
		return uint64(binary.BigEndian.Uint32(b)), -1, nil
	case first[0] == 0x81:
		b, err := readBytes(r, 8)
		if err != nil {
			return 0, 0, err
		}
		return binary.BigEndian.Uint64(b), -1, nil
	case first[0]>>6 == 3 && low <= encodingLZF:
		return 0, int(low), nil
	}
	return 0, 0, fmt.Errorf("%w: a field's length begins with %#x", ErrFormat, first[0])
}

// readBytes reads at most maxString.
func readBytes(r io.Reader, n uint64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%w: it ends within a field", ErrFormat)
	}
	return b, nil
}

func readInteger(r *bufio.Reader, encoding int) (string, error) {
	b, err := readBytes(r, uint64(1)<<encoding)
	if err != nil {
		return "", err
	}
	var n int64
	switch encoding {
	case 0:
		n = int64(int8(b[0]))
	case 1:
		n = int64(int16(binary.LittleEndian.Uint16(b)))
	case 2:
		n = int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return strconv.FormatInt(n, 10), nil
}

func readCompressed(r *bufio.Reader) (string, error) {
	size, e1, err := readLength(r)
	if err != nil {
		return "", err
	}
	length, e2, err := readLength(r)
	if err != nil {
		return "", err
	}
	if e1 >= 0 || e2 >= 0 {
		return "", fmt.Errorf("%w: an encoding where a length should be", ErrFormat)
	}
	if size > maxString || length > maxString {
		return "", skipBytes(r, size)
	}
	b, err := readBytes(r, size)
	if err != nil {
		return "", err
	}
	return expand(b, int(length))
}

// expand decompresses LZF: a control byte below 32 is the number of literal bytes that follow, less
// one; any other is a copy of earlier output, its length in the upper 3 bits (7: a further byte
// adds to it) and its distance in the lower 5 bits and the next byte.
func expand(b []byte, length int) (string, error) {
	bad := fmt.Errorf("%w: a compressed field is broken", ErrFormat)
	out := make([]byte, 0, length)
	for i := 0; i < len(b); {
		control := int(b[i])
		i++
		if control < 32 {
			if i+control+1 > len(b) {
				return "", bad
			}
			out = append(out, b[i:i+control+1]...)
			i += control + 1
			continue
		}
		n := control >> 5
		if n == 7 && i < len(b) {
			n += int(b[i])
			i++
		}
		if i >= len(b) {
			return "", bad
		}
		from := len(out) - (control&0x1F)<<8 - int(b[i]) - 1
		i++
		if from < 0 || len(out)+n+2 > length {
			return "", bad
		}
		for range n + 2 {
			out = append(out, out[from])
			from++
		}
	}
	if len(out) != length {
		return "", bad
	}
	return string(out), nil
}
