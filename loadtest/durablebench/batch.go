//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// work is the repeated load of one connection.
type work struct {
	command string // SET or GET
	prefix  string // of the keys
	depth   int
	wait    waiting
}

// waiting is where a client sends WAIT 1 0, whose reply acknowledges what precedes it.
type waiting int

const (
	waitNever waiting = iota
	waitBatch         // behind the batch
	waitEach          // behind each command
)

// replies is the number of replies to a batch.
func (w work) replies() int {
	switch w.wait {
	case waitBatch:
		return w.depth + 1
	case waitEach:
		return 2 * w.depth
	}
	return w.depth
}

const (
	keySpace  = 100_000
	keyDigits = 6
	valueSize = 16
)

// waitCommand has no time limit: a client that wants the proof has no use for less.
const waitCommand = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"

// batch is the bytes of depth commands, whose keys can be changed in place.
type batch struct {
	data []byte
	keys []int // where the digits of each key are
	rng  *rand.Rand
}

func newBatch(w work, seed uint64) *batch {
	b := &batch{rng: rand.New(rand.NewPCG(seed, 0))}
	key := w.prefix + string(bytes.Repeat([]byte{'0'}, keyDigits))
	for range w.depth {
		value, n := "", 2
		if w.command == "SET" {
			value, n = fmt.Sprintf("$%d\r\n%0*d\r\n", valueSize, valueSize, 0), 3
		}
		b.data = fmt.Appendf(b.data, "*%d\r\n$3\r\n%s\r\n$%d\r\n%s", n, w.command, len(key), key)
		b.keys = append(b.keys, len(b.data)-keyDigits)
		b.data = append(b.data, "\r\n"+value...)
		if w.wait == waitEach {
			b.data = append(b.data, waitCommand...)
		}
	}
	if w.wait == waitBatch {
		b.data = append(b.data, waitCommand...)
	}
	return b
}

// next returns the batch with other keys. The bytes are valid until the next call.
func (b *batch) next() []byte {
	for _, at := range b.keys {
		n := b.rng.IntN(keySpace)
		for i := keyDigits - 1; i >= 0; i-- {
			b.data[at+i] = byte('0' + n%10)
			n /= 10
		}
	}
	return b.data
}

// replies counts the replies in a stream of bytes that comes in pieces. It knows the types that
// SET, GET and WAIT return: simple strings, errors, integers and bulk strings.
type replies struct {
	line []byte // of an incomplete reply
	skip int    // bytes of a bulk string to come
}

// reply is one whole reply, of a bulk string the length.
type reply struct {
	kind byte
	text []byte // of the line, without kind and end; valid until the next call
}

// next takes the next whole reply from data. ok is false when there is none: all of data is used.
func (r *replies) next(data []byte) (one reply, rest []byte, ok bool) {
	if r.skip > 0 {
		n := min(r.skip, len(data))
		r.skip -= n
		data = data[n:]
	}
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		r.line = append(r.line, data...)
		return reply{}, nil, false
	}
	line := data[:end]
	if len(r.line) > 0 {
		line = append(r.line, line...)
		r.line = line[:0]
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == 0 {
		return reply{}, data[end+1:], true
	}
	one = reply{kind: line[0], text: line[1:]}
	if one.kind == '$' {
		if n, err := strconv.Atoi(string(one.text)); err == nil && n >= 0 {
			r.skip = n + 2
		}
	}
	return one, data[end+1:], true
}
