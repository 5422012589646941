package journal

import "time"

// On a slow disk, writers that wait for their acknowledgements fall into two groups: while the
// writes of one are being synced those of the other come in, and each waits for the other's fsync
// and then for its own. Left alone they stay like that:
//
//	fsync   |---- A ----|---- B ----|---- A ----|---- B ----|     two fsyncs for each write
//	gather  |---- A ----|-|-- A and B --|-|-- A and B --|-|       little more than one
//
// So before a batch is written the writer waits a little for the clients whose writes the last one
// made durable, as long as that pays: in each step, a gatherPart of an fsync, at least that part of
// the waiting bytes must have come. With random arrivals that is just break-even. A write that
// comes alone, or after a pause, does not wait. The design that was rejected, several fsyncs at
// once, is in README.md with figures.

const (
	// gatherAbove is the fsync time below which the writer does not wait: waking up costs more than
	// a larger batch gains.
	gatherAbove = 2 * time.Millisecond
	// gatherPart of an fsync is one step of waiting.
	gatherPart = 32
	// gatherGrace is the number of steps after the last fsync within which the first writes may
	// come, and gatherMost the most steps there are.
	gatherGrace, gatherMost = gatherPart / 8, gatherPart / 2
	// gatherMemory is the number of batches for which the writer remembers that more than one
	// client writes.
	gatherMemory = 8
)

// gathering holds the writer's statistics of the batches so far. The Journal's mutex guards it.
type gathering struct {
	fsync   time.Duration // smoothed
	ended   time.Time     // end of the last fsync
	bytes   int64         // of stream, since the last batch was taken
	calls   int           // appends since then
	last    int64         // bytes of the last batch
	all     int64         // expected: about those of the last batch and of the next
	several int           // above 0: the last batches came from more than one client
}

// came records an append.
func (g *gathering) came(bytes int) {
	g.bytes += int64(bytes)
	g.calls++
}

// taken records the start of a batch.
func (g *gathering) taken() {
	if g.calls > 1 {
		g.several = gatherMemory
	}
	g.several = max(0, g.several-1)
	g.last, g.bytes, g.calls = g.bytes, 0, 0
}

// synced records that a batch is durable, and the time of its fsync.
func (g *gathering) synced(took time.Duration, now time.Time) {
	if g.fsync == 0 {
		g.fsync = took
	}
	g.fsync += (took - g.fsync) / 8
	g.ended = now
	if g.bytes > 0 {
		g.several = gatherMemory
	}
	g.all = (g.bytes + g.last) / 16 * 15
}

// pays reports whether to wait for one more step, where recent bytes came in the last one.
func (g *gathering) pays(step int, recent int64) bool {
	switch {
	case g.bytes >= g.all || step >= gatherMost:
		return false
	case step < gatherGrace:
		return true
	}
	return recent*gatherPart >= g.bytes
}

// gatherLocked waits for more to come into the batch that is about to be taken. It releases the
// mutex meanwhile.
func (j *Journal) gatherLocked() {
	g := &j.gather
	if g.fsync < gatherAbove || g.several == 0 {
		return
	}
	length, before := g.fsync/gatherPart, int64(0)
	for step := int(time.Since(g.ended) / length); !j.closing; step++ {
		if !g.pays(step, g.bytes-before) {
			return
		}
		before = g.bytes
		j.mu.Unlock()
		nap(length)
		j.mu.Lock()
	}
}
