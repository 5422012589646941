package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

/*
A segment is a header and then frames, each padded with zeros to a multiple of 8 bytes. Numbers
are little-endian. What follows the last frame is zeros or the end of the file.

Header, HeaderSize = 96 bytes:

	 0        1        2        3        4        5        6        7
	+--------+--------+--------+--------+--------+--------+--------+--------+
	| "HFJOURN1"                                                            |  0
	| sequence number of this segment, from 1                               |  8
	| where the segment before ends: its last durable byte + 1; 0: none     | 16
	| chain at that end                 | flags: 1 = it was left suspect    | 24
	| when this segment was begun, Unix nanoseconds                         | 32
	| identity of the journal, 16 random bytes                              | 40
	|                                                                       | 48
	| reserved, zero                                          (32 bytes)    | 56
	| reserved, zero                    | CRC32C of the 92 bytes before     | 88
	+--------+--------+--------+--------+--------+--------+--------+--------+

Frame, FrameHeaderSize = 48 bytes and the payload:

	+--------+--------+--------+--------+--------+--------+--------+--------+
	| type   | flags  | reserved, 0     | payload length, bytes             |  0
	| timeline                          | low half of the segment's number  |  8
	| replication offset of the payload's first byte                        | 16
	| wall clock, Unix nanoseconds                                          | 24
	| promise: this segment was durable below here when the frame was made  | 32
	| chain                             | header check                      | 40
	+--------+--------+--------+--------+--------+--------+--------+--------+
	| payload, then zeros to a multiple of 8                                | 48

The chain is CRC32C over the chain of the frame before (of the segment's header, for the first)
and over this frame: bytes 0-39, payload, padding. The header's chain is its own CRC, which covers
the chain of the segment before. So no frame can be lost, doubled, moved or altered anywhere below
an end that is known, in any segment, without the chain there being another.

The header check is CRC32C over bytes 0-43 and the frame's position in the file. It lets a reader
trust the length before it reads the payload, and it lets recovery find frames behind a damaged
one, for the sake of their promises.

# Promises

A batch is what one fsync makes durable. It ends with a Commit frame, and the next batch is
written only after the fsync returned. So a batch without its Commit was never acknowledged and
may be cut off. And any frame that follows damage and carries a promise above it proves that the
damaged bytes were acknowledged once: that is no torn write, and nothing may be cut.
*/

// Sizes in bytes.
const (
	HeaderSize      = 96
	FrameHeaderSize = 48
	// BlockSize bounds a single write. A frame lies within one block.
	BlockSize = 256 << 10
	// MaxPayload is the largest payload, so that a block always has room for a Commit frame too.
	MaxPayload = BlockSize - FrameHeaderSize - commitSize

	align         = 8
	commitPayload = 8
	commitSize    = FrameHeaderSize + commitPayload
	magic         = "HFJOURN1"
)

// Type is the kind of a frame's payload. Zero is no type, so that zeros are never a frame.
type Type uint8

// The frame types. The payloads of all but Stream and Commit are JSON, written by package journal.
const (
	Stream   Type = 1 + iota // raw bytes of the replication stream
	Timeline                 // a history begins, or is carried over from the segment before
	Gap                      // bytes that are missing
	Incident                 // a tail that the primary lost
	Base                     // a snapshot is complete
	BaseDrop                 // a snapshot is about to be removed
	Commit                   // the end of a batch; payload: where the batch began, 8 bytes
	Seal                     // the segment's content; only a Commit follows
	Counts                   // the primary's number of keys at an offset
	Event                    // commands that destroyed data: it began, or has ended
	Watch                    // the end of the search for events; carried only
	types                    // one above the last
)

// String is the name that tools print.
func (t Type) String() string {
	names := [...]string{"invalid", "stream", "timeline", "gap", "incident", "base", "basedrop",
		"commit", "seal", "counts", "event", "watch"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// FlagCarried marks a Timeline, Gap, Incident, Base, Event or Watch frame that repeats an earlier
// segment's, so that each segment can be read without those before it.
const FlagCarried = 1

// Frame describes its payload.
type Frame struct {
	Type     Type
	Flags    uint8
	Timeline uint32
	Offset   int64 // replication offset of the payload's first byte
	Time     int64 // Unix nanoseconds
}

// Header describes its segment.
type Header struct {
	Seq         uint64
	PrevEnd     int64  // the end of the segment before, bytes; 0: there was none
	PrevChain   uint32 // the chain there
	PrevSuspect bool   // the part beyond PrevEnd was given up after an error of the disk
	Created     int64  // Unix nanoseconds
	Journal     [16]byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// encode returns the header's bytes and the chain that the first frame continues.
func (h Header) encode() ([]byte, uint32) {
	b := make([]byte, HeaderSize)
	copy(b, magic)
	le.PutUint64(b[8:], h.Seq)
	le.PutUint64(b[16:], uint64(h.PrevEnd))
	le.PutUint32(b[24:], h.PrevChain)
	if h.PrevSuspect {
		le.PutUint32(b[28:], 1)
	}
	le.PutUint64(b[32:], uint64(h.Created))
	copy(b[40:56], h.Journal[:])
	crc := crc32.Checksum(b[:HeaderSize-4], castagnoli)
	le.PutUint32(b[HeaderSize-4:], crc)
	return b, crc
}

// decodeHeader is the inverse of encode.
func decodeHeader(b []byte) (Header, uint32, error) {
	if len(b) < HeaderSize || string(b[:len(magic)]) != magic {
		return Header{}, 0, &BadError{Why: "no segment header"}
	}
	crc := crc32.Checksum(b[:HeaderSize-4], castagnoli)
	if got := le.Uint32(b[HeaderSize-4:]); got != crc {
		why := fmt.Sprintf("header checksum %08x, want %08x", got, crc)
		return Header{}, 0, &BadError{Why: why}
	}
	h := Header{
		Seq:         le.Uint64(b[8:]),
		PrevEnd:     int64(le.Uint64(b[16:])),
		PrevChain:   le.Uint32(b[24:]),
		PrevSuspect: le.Uint32(b[28:])&1 != 0,
		Created:     int64(le.Uint64(b[32:])),
	}
	copy(h.Journal[:], b[40:56])
	return h, crc, nil
}

// frameHeader is a frame's header as it stands in the file.
type frameHeader struct {
	Frame
	length  int // of the payload
	promise int64
	chain   uint32
	newer   bool // the type is of a newer version
}

// size is the frame's size in the file, in bytes.
func (h frameHeader) size() int64 { return frameSize(h.length) }

func frameSize(payload int) int64 {
	return int64(FrameHeaderSize+payload+align-1) &^ (align - 1)
}

// putFrame fills in the header of the frame that b holds whole: its payload and padding are in
// place. It returns the new chain.
func putFrame(b []byte, h frameHeader, seq uint32, position int64, chain uint32) uint32 {
	b[0], b[1], b[2], b[3] = byte(h.Type), h.Flags, 0, 0
	le.PutUint32(b[4:], uint32(h.length))
	le.PutUint32(b[8:], h.Timeline)
	le.PutUint32(b[12:], seq)
	le.PutUint64(b[16:], uint64(h.Offset))
	le.PutUint64(b[24:], uint64(h.Time))
	le.PutUint64(b[32:], uint64(h.promise))
	chain = chainOf(b, chain)
	le.PutUint32(b[40:], chain)
	le.PutUint32(b[44:], headerCheck(b, position))
	return chain
}

// getHeader decodes a frame header, or says why b is none. It trusts only the check.
func getHeader(b []byte, seq uint32, position int64) (frameHeader, string) {
	if got, want := le.Uint32(b[44:]), headerCheck(b, position); got != want {
		return frameHeader{}, fmt.Sprintf("frame header check %08x, want %08x", got, want)
	}
	h := frameHeader{
		Frame: Frame{
			Type:     Type(b[0]),
			Flags:    b[1],
			Timeline: le.Uint32(b[8:]),
			Offset:   int64(le.Uint64(b[16:])),
			Time:     int64(le.Uint64(b[24:])),
		},
		length:  int(le.Uint32(b[4:])),
		promise: int64(le.Uint64(b[32:])),
		chain:   le.Uint32(b[40:]),
	}
	switch {
	case le.Uint32(b[12:]) != seq:
		return h, fmt.Sprintf("frame of segment %d", le.Uint32(b[12:]))
	case h.Type >= types:
		h.newer = true
		return h, fmt.Sprintf("unknown frame %v, %v", h.Type, ErrNewer)
	case h.Type == 0:
		return h, fmt.Sprintf("unknown frame %v", h.Type)
	case h.length > MaxPayload:
		return h, fmt.Sprintf("payload of %d bytes, at most %d", h.length, MaxPayload)
	case h.promise < HeaderSize && h.promise != 0, h.promise > position:
		return h, fmt.Sprintf("promise of %d at %d", h.promise, position)
	}
	return h, ""
}

// chainOf continues a chain over a whole frame, leaving out the two checksums.
func chainOf(frame []byte, chain uint32) uint32 {
	var before [4]byte
	le.PutUint32(before[:], chain)
	c := crc32.Update(0, castagnoli, before[:])
	c = crc32.Update(c, castagnoli, frame[:40])
	return crc32.Update(c, castagnoli, frame[FrameHeaderSize:])
}

func headerCheck(b []byte, position int64) uint32 {
	var at [8]byte
	le.PutUint64(at[:], uint64(position))
	return crc32.Update(crc32.Checksum(b[:44], castagnoli), castagnoli, at[:])
}
