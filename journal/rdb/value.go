package rdb

import "fmt"

// The kinds of values (rdb.h).
const (
	kindString     = 0
	kindList       = 1
	kindSet        = 2
	kindZset       = 3
	kindHash       = 4
	kindZset2      = 5
	kindModule     = 7
	kindZipmap     = 9
	kindZiplists   = 10 // to 13: one string
	kindQuicklist  = 14
	kindStream     = 15
	kindListpacks  = 16 // and 17: one string
	kindQuicklist2 = 18
	kindStream2    = 19
	kindSetPack    = 20
	kindStream3    = 21
	kindHash2      = 22 // Valkey 9: with field deadlines
	kindHashTTL    = 24 // Redis 7.4: with field deadlines
	kindHashTTLEx  = 25 // the same, as one string
)

// valkeyFormat is the first of Valkey's own format numbers ("VALKEY080").
const valkeyFormat = 80

// value skips the value of a key.
func (w *walker) value(kind byte) {
	switch {
	case kind == kindString, kind >= kindZipmap && kind < kindQuicklist,
		kind == kindListpacks, kind == kindListpacks+1, kind == kindSetPack:
		w.strings(1)
	case kind == kindList, kind == kindSet, kind == kindQuicklist:
		w.strings(w.length())
	case kind == kindHash:
		w.strings(2 * w.length())
	case kind == kindModule:
		w.module()
	case kind == kindStream, kind == kindStream2, kind == kindStream3:
		w.stream(kind)
	case kind == kindHashTTLEx && w.version < valkeyFormat:
		w.skip(8)
		w.strings(1)
	default:
		w.pairs(kind)
	}
}

// pairs skips values whose elements are more than strings.
func (w *walker) pairs(kind byte) {
	var element func()
	switch {
	case kind == kindZset:
		element = func() { w.strings(1); w.score() }
	case kind == kindZset2:
		element = func() { w.strings(1); w.skip(8) }
	case kind == kindQuicklist2:
		element = func() { w.length(); w.strings(1) }
	case kind == kindHash2 && w.version >= valkeyFormat:
		element = func() { w.strings(2); w.skip(8) }
	case kind == kindHashTTL && w.version < valkeyFormat:
		w.skip(8)
		element = func() { w.length(); w.strings(2) }
	default:
		w.fail(fmt.Errorf("%w: a value of type %d in format %d", ErrUnknown, kind, w.version))
		return
	}
	for n := w.length(); n > 0 && w.err == nil; n-- {
		element()
	}
}

// score skips a score of the oldest sorted sets: text behind its length; three lengths are numbers
// without text.
func (w *walker) score() {
	if n := w.byte(); n < 253 {
		w.skip(uint64(n))
	}
}

// stream skips the entries and the groups of a stream. rdbSaveObject has the order.
func (w *walker) stream(kind byte) {
	const idBytes = 16
	w.strings(2 * w.length())
	w.lengths(3) // entries, last id
	if kind >= kindStream2 {
		w.lengths(5) // first id, greatest deleted id, entries ever added
	}
	for groups := w.length(); groups > 0 && w.err == nil; groups-- {
		w.strings(1)
		w.lengths(2)
		if kind >= kindStream2 {
			w.lengths(1) // entries read
		}
		for n := w.length(); n > 0 && w.err == nil; n-- { // pending entries
			w.skip(idBytes + 8)
			w.length()
		}
		for n := w.length(); n > 0 && w.err == nil; n-- { // consumers
			w.strings(1)
			w.skip(8)
			if kind >= kindStream3 {
				w.skip(8)
			}
			for pending := w.length(); pending > 0 && w.err == nil; pending-- {
				w.skip(idBytes)
			}
		}
	}
}

// The parts of a module's value.
const (
	partEnd    = 0
	partSigned = 1
	partUnsign = 2
	partFloat  = 3
	partDouble = 4
	partString = 5
)

// module skips a module's own data and notes its type. The data around its keys has the same form:
// the time of writing stands in front as an unsigned number.
func (w *walker) module() {
	w.found.Modules[moduleName(w.length())] = true
	for w.err == nil {
		switch part := w.length(); part {
		case partEnd:
			return
		case partSigned, partUnsign:
			w.length()
		case partFloat:
			w.skip(4)
		case partDouble:
			w.skip(8)
		case partString:
			w.strings(1)
		default:
			w.fail(fmt.Errorf("%w: a module's part of kind %d", ErrFormat, part))
		}
	}
}

// moduleName is the name in a module type's id: nine characters of six bits above ten bits of
// version.
func moduleName(id uint64) string {
	const set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var name [9]byte
	for i := range name {
		name[i] = set[id>>(64-6*(i+1))&63]
	}
	return string(name[:])
}
