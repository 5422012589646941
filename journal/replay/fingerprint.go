package replay

import (
	"encoding/binary"
	"hash/maphash"

	"holdfast/journal/stream"
)

// An append-only file does not give its place in a history. Its commands do: a server writes the
// same bytes to it and to its replicas, except SELECT and replica-only commands. A fingerprint
// consists of the other commands: the end of the file is found in the journal by it, and then all
// of it is compared.

// wholeArg is above any argument's length.
const wholeArg = 1 << 30

const (
	fingerWindow = 16   // commands that identify a place
	fingerHeld   = 4096 // commands at the end of a file that are kept singly
	fingerPrime  = 0x9E3779B97F4A7C15
)

var fingerSeed = maphash.MakeSeed()

// fingerprint is a sequence of commands: all of them in one sum, the last ones singly.
type fingerprint struct {
	count  int64
	sum    uint64   // of all, in order
	recent []uint64 // ring of the last ones
	marked bool     // a proxy's mark is among the recent ones; no two marks are alike
	buf    []byte
}

func newFingerprint(held int) *fingerprint { return &fingerprint{recent: make([]uint64, held)} }

// counts reports whether a command belongs into a fingerprint.
func counts(c *stream.Command) bool {
	return len(c.Args) > 0 && !replicaOnly(c) && !c.Is("SELECT")
}

// take adds a command and reports whether it counts.
func (f *fingerprint) take(c *stream.Command) bool {
	if !counts(c) {
		return false
	}
	h := f.hash(c)
	f.recent[f.count%int64(len(f.recent))] = h
	f.sum = f.sum*fingerPrime + h
	f.count++
	f.marked = f.marked || c.IsMark()
	return true
}

func (f *fingerprint) hash(c *stream.Command) uint64 {
	f.buf = f.buf[:0]
	for _, a := range c.Args {
		f.buf = binary.AppendUvarint(f.buf, uint64(len(a)))
		f.buf = append(f.buf, a...)
	}
	return maphash.Bytes(fingerSeed, f.buf)
}

// held is the number of last commands kept singly.
func (f *fingerprint) held() int64 { return min(f.count, int64(len(f.recent))) }

// at returns the hash of the n-th command, from 1 on. It must be held.
func (f *fingerprint) at(n int64) uint64 { return f.recent[(n-1)%int64(len(f.recent))] }

// window is the sum of the size commands up to the n-th.
func (f *fingerprint) window(n, size int64) (sum uint64) {
	for i := n - size + 1; i <= n; i++ {
		sum = sum*fingerPrime + f.at(i)
	}
	return sum
}

// windows returns the places of the windows that occur once, by their sums, and their size. There
// are none if the commands are too few to identify a place.
func (f *fingerprint) windows() (places map[uint64]int64, size int64) {
	size = min(f.count, fingerWindow)
	if size == 0 || size < fingerWindow && !f.marked {
		return nil, 0
	}
	places = make(map[uint64]int64)
	for n := f.count; n-size >= f.count-f.held(); n-- {
		sum := f.window(n, size)
		if _, twice := places[sum]; twice {
			places[sum] = 0
		} else {
			places[sum] = n
		}
	}
	return places, size
}

// continues reports whether the commands equal another sequence, plus ahead more.
func (f *fingerprint) continues(other *fingerprint, ahead int64) bool {
	if ahead > f.held() || other.count+ahead != f.count {
		return false
	}
	sum := other.sum
	for n := f.count - ahead + 1; n <= f.count; n++ {
		sum = sum*fingerPrime + f.at(n)
	}
	return sum == f.sum
}
