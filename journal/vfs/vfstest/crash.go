package vfstest

import (
	"math/rand/v2"
	"slices"
)

// CrashClone is the file system as a power cut at this moment could leave it. Synced state
// survives. For the rest, r chooses: each unsynced write may be there, or not, or torn at any byte,
// or in part by sectors; each change of a name may have happened or not, in any combination. With a
// nil r no unsynced state survives. The clone shares nothing with m.
func (m *Mem) CrashClone(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[string]*node{}
	for path, n := range m.durable {
		names[path] = n
	}
	for _, c := range m.pending {
		if r != nil && r.IntN(2) == 0 {
			c.apply(names)
		}
	}
	return m.copyOf(names, func(n *node) []byte { return n.afterCrash(r) })
}

// Clone is the file system as it is seen now, all of it durable.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copyOf(m.names, func(n *node) []byte { return n.data })
}

// Forget treats a file as systems do after an fsync that failed: unsynced bytes can still be read,
// but no later Sync makes them durable, only writing them again.
func (m *Mem) Forget(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[path]; n != nil {
		n.pending = nil
	}
}

func (m *Mem) copyOf(names map[string]*node, contents func(*node) []byte) *Mem {
	clone := NewMem()
	clone.total = m.total
	copies := map[*node]*node{}
	for path, n := range names {
		if copies[n] == nil {
			data := contents(n)
			copies[n] = &node{data: data, durable: data, lent: true}
			n.lent = true
		}
		clone.names[path] = copies[n]
		clone.durable[path] = copies[n]
	}
	return clone
}

// afterCrash returns one possible content of n after a crash.
func (n *node) afterCrash(r *rand.Rand) []byte {
	if r == nil || len(n.pending) == 0 {
		return n.durable
	}
	data := slices.Clone(n.durable)
	for _, c := range n.pending {
		for _, part := range c.torn(r) {
			data = part.on(data)
		}
	}
	return data
}

// sector is what disks write at once; a torn write may lack any of them.
const sector = 512

// torn is what could be left of a change.
func (c change) torn(r *rand.Rand) []change {
	if c.data == nil {
		if r.IntN(2) == 0 {
			return nil
		}
		return []change{c}
	}
	cut := r.IntN(len(c.data) + 1)
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		return []change{c}
	case 2:
		return []change{{offset: c.offset, data: c.data[:cut:cut]}}
	case 3:
		return []change{{offset: c.offset + int64(cut), data: c.data[cut:]}}
	default:
		return c.bySectors(r)
	}
}

func (c change) bySectors(r *rand.Rand) []change {
	var parts []change
	for at := 0; at < len(c.data); {
		// Sectors are counted from the start of the file, not of the write.
		n := min(sector-int((c.offset+int64(at))%sector), len(c.data)-at)
		if r.IntN(2) == 0 {
			parts = append(parts, change{offset: c.offset + int64(at), data: c.data[at : at+n : at+n]})
		}
		at += n
	}
	return parts
}
