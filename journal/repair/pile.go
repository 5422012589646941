package repair

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"

	"holdfast/journal/keyspace"
)

// A pile holds keys and their evidence on disk: their number is not bounded. It is split by the
// hash of the key into parts, and a part that is still too large is loaded in several passes, so
// that memory is bounded however long a tail is. Evidence is appended as it is found, in any order,
// and brought together when its part is loaded.
//
// It belongs to one goroutine.
type pile struct {
	dir   string
	seed  maphash.Seed
	parts [pileParts]pilePart
	seen  *bloom       // touched keys; a few false positives
	last  [4096]uint64 // hashes of keys just recorded as touched, each in its place
	added [4096]uint64 // likewise of keys added to
	buf   []byte
}

type pilePart struct {
	file    *os.File // nil: no record yet
	w       *bufio.Writer
	records int64
}

const (
	pileParts = 64
	// passRecords bounds the records loaded at once.
	passRecords = 1 << 18
	partBuffer  = 16 << 10
)

// The kinds of records.
const (
	noteTouched byte = iota + 1 // the lost tail touched it
	noteBase                    // its state where the histories part; a print follows
	noteWritten                 // the live history touched it since
	noteSettled                 // a repair of this incident wrote it
	noteDone                    // this run wrote it
	noteAdded                   // the lost tail added to it (stream.Command.Relative)
	noteAddedTo                 // the live history did
)

// entry is the evidence about a key.
type entry struct {
	base    keyspace.Print
	touched bool
	written bool // by the live history since, before a repair settled it
	settled bool
	done    bool
	again   bool // written since it was settled
	added   bool // to, or taken from, by the lost tail
	addedTo bool // and by the live history since
}

// newPile makes a pile whose files are in an existing folder; "" is the system's temporary folder.
func newPile(dir string) *pile { return &pile{dir: dir, seed: maphash.MakeSeed(), seen: newBloom()} }

// part returns the part of a hash. Its file is made with its first record: most tails touch few keys. It is open, and
// has no name any more: it lasts as long as the process, so a killed one leaves no names of keys.
func (p *pile) part(hash uint64) (*pilePart, error) {
	part := &p.parts[hash%pileParts]
	if part.file != nil {
		return part, nil
	}
	f, err := os.CreateTemp(p.dir, "holdfast-repair-")
	if err != nil {
		return nil, err
	}
	part.file, part.w = f, bufio.NewWriterSize(f, partBuffer)
	return part, os.Remove(f.Name())
}

func (p *pile) close() error {
	var all error
	for i := range p.parts {
		if f := p.parts[i].file; f != nil {
			all = errors.Join(all, f.Close())
		}
	}
	return all
}

func (p *pile) hash(db int, name []byte) uint64 {
	return maphash.Bytes(p.seed, name) ^ uint64(db+1)*0x9e3779b97f4a7c15
}

// touch records that the tail touched a key.
func (p *pile) touch(db int, name []byte) error {
	h := p.hash(db, name)
	if last := &p.last[h%uint64(len(p.last))]; *last != h {
		*last = h
		p.seen.add(h)
		return p.put(noteTouched, h, db, name, nil)
	}
	return nil
}

// add records that the tail added to a key, or took from it.
func (p *pile) add(db int, name []byte) error {
	h := p.hash(db, name)
	if added := &p.added[h%uint64(len(p.added))]; *added != h {
		*added = h
		return p.put(noteAdded, h, db, name, nil)
	}
	return nil
}

// note records evidence about a key, if the tail may have touched it.
func (p *pile) note(kind byte, db int, name []byte) error {
	h := p.hash(db, name)
	if !p.seen.has(h) {
		return nil
	}
	return p.put(kind, h, db, name, nil)
}

// put appends a record.
func (p *pile) put(kind byte, hash uint64, db int, name []byte, print *keyspace.Print) error {
	part, err := p.part(hash)
	if err != nil {
		return err
	}
	part.records++
	b := append(p.buf[:0], kind)
	b = binary.AppendUvarint(b, uint64(db))
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	if kind == noteBase {
		form := print.Append(nil)
		b = binary.AppendUvarint(b, uint64(len(form)))
		b = append(b, form...)
	}
	p.buf = b
	_, err = part.w.Write(b)
	return err
}

// each calls fn with the entries of the pile, a bounded number at a time; each key comes once. fn
// may record more about these keys, for the next call.
func (p *pile) each(fn func(map[keyspace.Key]*entry) error) error {
	for i := range p.parts {
		part := &p.parts[i]
		if part.file == nil {
			continue
		}
		if err := part.w.Flush(); err != nil {
			return err
		}
		end, err := part.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		passes := uint64(part.records/passRecords) + 1
		for pass := range passes {
			entries, err := p.load(part.file, end, func(hash uint64) bool {
				return hash/pileParts%passes == pass
			})
			if err == nil && len(entries) > 0 {
				err = fn(entries)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads the records of a part up to an end, if wants selects them.
func (p *pile) load(f *os.File, end int64, wants func(hash uint64) bool) (
	map[keyspace.Key]*entry, error) {
	out := make(map[keyspace.Key]*entry)
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, end), int(min(end, 256<<10)))
	var name, form []byte
	for {
		kind, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		db, err2 := binary.ReadUvarint(r)
		name, err = readBytes(r, name, errors.Join(err, err2))
		if kind == noteBase {
			form, err = readBytes(r, form, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		if !wants(p.hash(int(db), name)) {
			continue
		}
		key := keyspace.Key{DB: int(db), Name: string(name)}
		e := out[key]
		if e == nil {
			e = &entry{}
			out[key] = e
		}
		if err := e.take(kind, form); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
}

func (e *entry) take(kind byte, form []byte) (err error) {
	switch kind {
	case noteTouched:
		e.touched = true
	case noteBase:
		e.base, _, err = keyspace.ReadPrint(form)
	case noteWritten:
		e.again = e.settled
		e.written = true
	case noteSettled:
		e.settled, e.again = true, false
	case noteDone:
		e.done = true
	case noteAdded:
		e.added = true
	case noteAddedTo:
		e.addedTo = true
	}
	return err
}

func readBytes(r *bufio.Reader, into []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > 1<<30 {
		return nil, errors.Join(err, errors.New("not a pile of keys"))
	}
	if uint64(cap(into)) < n {
		into = make([]byte, n)
	}
	_, err = io.ReadFull(r, into[:n])
	return into[:n], err
}

// bloom is a Bloom filter of hashes: it may report one that it was never given.
type bloom struct{ bits []uint64 }

const bloomBits = 1 << 26 // 8 MiB

func newBloom() *bloom { return &bloom{bits: make([]uint64, bloomBits/64)} }

func (b *bloom) add(h uint64) {
	for range 4 {
		at := h % bloomBits
		b.bits[at/64] |= 1 << (at % 64)
		h = h>>16 | h<<48
	}
}

func (b *bloom) has(h uint64) bool {
	for range 4 {
		at := h % bloomBits
		if b.bits[at/64]&(1<<(at%64)) == 0 {
			return false
		}
		h = h>>16 | h<<48
	}
	return true
}
