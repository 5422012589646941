package resp

const (
	maxKeptArgs  = 64 << 10 // larger argument arrays are dropped after use
	maxKeptText  = 64 << 10 // and so is larger memory for unescaped words, in bytes
	maxKeptHalf  = 1024     // half-read frames in the free list
	maxKeptSizes = 1024     // argument sizes that such a frame may have room for
)

// Scratch is the reusable memory of [CommandScanner.Scan]: one per event loop, shared by all its
// scanners. The zero value is ready. A Command's Args are valid until the next Scan with the same
// Scratch.
type Scratch struct {
	words splitter // args is also where the arguments of multibulk commands are put
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

// put takes h back.
func (sc *Scratch) put(h *half) {
	if len(sc.free) >= maxKeptHalf || cap(h.sizes) > maxKeptSizes {
		return
	}
	*h = half{sizes: h.sizes[:0], bulk: unknown}
	sc.free = append(sc.free, h)
}
