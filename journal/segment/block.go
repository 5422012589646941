package segment

import "slices"

// Block collects frames in memory as they will stand in the file, except for the fields that only
// the writer knows: place, promise and checksums. They are filled in when the block is written, and
// can be filled in again for another segment after the first failed.
//
// A block belongs to one goroutine at a time. The zero value is an empty block that grows; NewBlock makes one that
// never has to.
type Block struct {
	buf    []byte
	frames []blockFrame
}

type blockFrame struct {
	Frame
	start  int // in buf
	length int // of the payload
}

// mergeSpan is the time between two appends up to which they share a frame, and so a time.
const mergeSpan = int64(1e6)

// NewBlock makes an empty block of full capacity.
func NewBlock() *Block { return &Block{buf: make([]byte, 0, BlockSize)} }

// Reset empties the block, keeping its memory.
func (b *Block) Reset() { b.buf, b.frames = b.buf[:0], b.frames[:0] }

// Len is the block's size in the file, in bytes.
func (b *Block) Len() int { return len(b.buf) }

// Frames is the number of frames.
func (b *Block) Frames() int { return len(b.frames) }

// Frame returns the i-th frame and its payload, which is valid until Reset.
func (b *Block) Frame(i int) (Frame, []byte) {
	f := b.frames[i]
	at := f.start + FrameHeaderSize
	return f.Frame, b.buf[at : at+f.length]
}

// Add appends a frame if there is room for it and for a Commit after it. It copies the payload.
func (b *Block) Add(f Frame, payload []byte) bool {
	if len(b.buf)+int(frameSize(len(payload)))+commitSize > BlockSize {
		return false
	}
	b.add(f, payload)
	return true
}

func (b *Block) add(f Frame, payload []byte) {
	start := len(b.buf)
	b.frames = append(b.frames, blockFrame{f, start, len(payload)})
	b.buf = slices.Grow(b.buf, int(frameSize(len(payload))))[:start+FrameHeaderSize]
	b.buf = append(b.buf, payload...)
	b.pad()
}

// AddStream appends as much of p as fits and returns its length. Bytes that continue the last frame
// at about the same time go into it.
func (b *Block) AddStream(f Frame, p []byte) int {
	if n := b.extend(f, p); n > 0 {
		return n
	}
	room := BlockSize - commitSize - FrameHeaderSize - len(b.buf)
	if room < align || len(p) == 0 {
		return 0
	}
	n := min(len(p), room&^(align-1))
	b.add(f, p[:n])
	return n
}

func (b *Block) extend(f Frame, p []byte) int {
	if len(b.frames) == 0 {
		return 0
	}
	last := &b.frames[len(b.frames)-1]
	if last.Type != f.Type || last.Timeline != f.Timeline ||
		last.Offset+int64(last.length) != f.Offset ||
		f.Time-last.Time > mergeSpan || f.Time < last.Time {
		return 0
	}
	end := last.start + FrameHeaderSize + last.length
	n := min(len(p), BlockSize-commitSize-end)
	if n <= 0 {
		return 0
	}
	b.buf = append(b.buf[:end], p[:n]...)
	last.length += n
	b.pad()
	return n
}

func (b *Block) pad() {
	for len(b.buf)%align != 0 {
		b.buf = append(b.buf, 0)
	}
}

// addCommit ends a batch. There is always room for it.
func (b *Block) addCommit(now, batchStart int64) {
	b.add(Frame{Type: Commit, Time: now}, le.AppendUint64(nil, uint64(batchStart)))
}

// dropCommit removes the Commit, for the block to be written elsewhere.
func (b *Block) dropCommit() {
	if n := len(b.frames); n > 0 && b.frames[n-1].Type == Commit {
		b.buf = b.buf[:b.frames[n-1].start]
		b.frames = b.frames[:n-1]
	}
}
