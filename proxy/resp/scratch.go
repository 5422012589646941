package resp

const (
	maxKeptArgs  = 64 << 10 // elements; a larger argument array is dropped after use
	maxKeptText  = 64 << 10 // bytes; a larger buffer for unescaped words is dropped, too
	maxKeptHalf  = 1024     // half-read frames in the free list
	maxKeptSizes = 1024     // capacity for argument sizes of a frame in the free list
)

// Scratch is the reusable memory of [CommandScanner.Scan]: one per event loop, shared by all its
// scanners. The zero value is ready. A Command is valid until the next Scan with the same Scratch.
type Scratch struct {
	words splitter // args also holds the arguments of multibulk commands
	cmd   Command  // the result of the last Scan
	free  []*half
}

// reset prepares the argument array for the next frame.
func (sc *Scratch) reset() {
	if cap(sc.words.args) > maxKeptArgs {
		sc.words.args = nil
	}
	if cap(sc.words.text) > maxKeptText {
		sc.words.text = nil
	}
	sc.words.args = sc.words.args[:0]
}

// take returns an empty half.
func (sc *Scratch) take() *half {
	n := len(sc.free)
	if n == 0 {
		return &half{sizes: make([]int, 0, 8), bulk: unknown}
	}
	h := sc.free[n-1]
	sc.free[n-1] = nil
	sc.free = sc.free[:n-1]
	return h
}

// put returns h to the free list.
func (sc *Scratch) put(h *half) {
	if len(sc.free) >= maxKeptHalf || cap(h.sizes) > maxKeptSizes {
		return
	}
	*h = half{sizes: h.sizes[:0], bulk: unknown}
	sc.free = append(sc.free, h)
}
