package keyspace

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
)

// digest stands for a value. Equal values of one type have equal digests on every server.
type digest [sha256.Size]byte

// appendItem appends a reply so that different ones never look alike.
func appendItem(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 'n')
	case int64:
		return binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v))
	case string:
		b = binary.LittleEndian.AppendUint64(append(b, 's'), uint64(len(v)))
		return append(b, v...)
	case sum:
		b = binary.LittleEndian.AppendUint64(append(b, 'h'), uint64(v.size))
		return append(b, v.hash[:]...)
	case []any:
		b = binary.LittleEndian.AppendUint64(append(b, 'l'), uint64(len(v)))
		for _, one := range v {
			b = appendItem(b, one)
		}
	}
	return b
}

// ordered is the digest of a sequence.
type ordered struct {
	hash hash.Hash
	buf  []byte
}

func newOrdered() *ordered { return &ordered{hash: sha256.New()} }

func (o *ordered) add(items ...any) {
	o.buf = o.buf[:0]
	for _, v := range items {
		o.buf = appendItem(o.buf, v)
	}
	o.hash.Write(o.buf)
}

func (o *ordered) sum() digest { return digest(o.hash.Sum(nil)) }

// unordered is the digest of a set, whose items come in any order: the sum of their digests.
type unordered struct {
	total [4]uint64
	count int64
	buf   []byte
}

func (u *unordered) add(items ...any) {
	u.buf = u.buf[:0]
	for _, v := range items {
		u.buf = appendItem(u.buf, v)
	}
	one := sha256.Sum256(u.buf)
	var carry uint64
	for i := range u.total {
		u.total[i], carry = bits.Add64(u.total[i], binary.LittleEndian.Uint64(one[i*8:]), carry)
	}
	u.count++
}

func (u *unordered) sum() digest {
	b := binary.LittleEndian.AppendUint64(nil, uint64(u.count))
	for _, n := range u.total {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(b)
}
