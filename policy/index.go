package policy

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// index finds commands by name without regard to case. It is an open-addressed hash table, at
// most a quarter full, whose entries hold the first and last eight bytes of the name in lower
// case: for names up to 16 bytes, which is nearly all of them, these words are the name, and one
// comparison settles it. A Go map would need the folded name as a string first.
//
// The table never changes and a probe ends at the first empty slot, so nothing that a client
// sends makes a look-up slow.
type index struct {
	slots []slot
	names []string // by slot, in lower case
	shift uint
}

// slot is 32 bytes: two of them fill a cache line.
type slot struct {
	head, tail uint64 // the first and last eight bytes; see words
	cmd        *Command
	size       int
}

func newIndex(names []string, cmds []*Command) *index {
	width := uint(4)
	for 1<<width < 4*len(names) {
		width++
	}
	x := &index{make([]slot, 1<<width), make([]string, 1<<width), 64 - width}
	for i, name := range names {
		head, tail := words([]byte(name))
		at := x.hash(head, tail, len(name))
		for x.slots[at].cmd != nil {
			at = (at + 1) & (len(x.slots) - 1)
		}
		x.slots[at], x.names[at] = slot{head, tail, cmds[i], len(name)}, name
	}
	return x
}

// find returns the command of that name in any case, or nil.
func (x *index) find(name []byte) *Command {
	head, tail := words(name)
	for at := x.hash(head, tail, len(name)); ; at++ {
		at &= len(x.slots) - 1
		s := &x.slots[at]
		if s.cmd == nil {
			return nil
		}
		if s.head == head && s.tail == tail && s.size == len(name) &&
			(len(name) <= 16 || equalFold(name, x.names[at])) {
			return s.cmd
		}
	}
}

// findC is find as the server's C strings have it: a NUL byte ends the name.
func (x *index) findC(name []byte) *Command {
	if cmd := x.find(name); cmd != nil {
		return cmd
	}
	if end := bytes.IndexByte(name, 0); end >= 0 {
		return x.find(name[:end])
	}
	return nil
}

func (x *index) hash(head, tail uint64, size int) int {
	h := (head ^ bits.RotateLeft64(tail, 23) ^ uint64(size)) * 0x9e3779b97f4a7c15
	return int(h >> x.shift)
}

// words returns the first and last eight bytes of name in lower case. Shorter names are taken in
// overlapping halves; together with the length, the words determine a name of up to 16 bytes.
func words(name []byte) (head, tail uint64) {
	switch n := len(name); {
	case n >= 8:
		head = binary.LittleEndian.Uint64(name)
		tail = binary.LittleEndian.Uint64(name[n-8:])
	case n >= 4:
		head = uint64(binary.LittleEndian.Uint32(name))
		tail = uint64(binary.LittleEndian.Uint32(name[n-4:]))
	case n > 0:
		head = uint64(name[0])<<16 | uint64(name[n/2])<<8 | uint64(name[n-1])
	}
	return lower8(head), lower8(tail)
}

// lower8 folds eight bytes to lower case at once, exactly: only A to Z change.
func lower8(x uint64) uint64 {
	const ones = 0x0101010101010101
	low := x & (0x7f * ones)
	aboveZ := low + (0x7f-'Z')*ones
	fromA := low + (0x80-'A')*ones
	upper := ^x & (aboveZ ^ fromA) & (0x80 * ones)
	return x | upper>>2
}

// equalFold reports whether b is word, which is in lower case, in any case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if lower(b[i]) != word[i] {
			return false
		}
	}
	return true
}

// isWord is equalFold as the server's strcasecmp has it: a NUL byte ends the argument, so that
// "STORE\x00" is the option STORE.
func isWord(arg []byte, word string) bool {
	if len(arg) > len(word) && arg[len(word)] == 0 {
		arg = arg[:len(word)]
	}
	return equalFold(arg, word)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
