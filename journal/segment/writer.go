package segment

import (
	"fmt"

	"holdfast/journal/vfs"
)

// Writer appends batches to one segment. The order is always the same:
//
//	Write(batch)  the frames and a Commit, by WriteAt
//	Sync          fsync; only now is the batch durable, and may the next be written
//
// After an error of either the writer is of no more use: the content of the file beyond Synced is
// unknown, and a second fsync would prove nothing. The caller continues with the same blocks in a
// new segment, whose header says where this one ends.
//
// A design that was rejected: to fill in each block as it is appended, which would save a pass over
// the frames; a block could then not be written again elsewhere, since place and chain belong to
// one file.
type Writer struct {
	file   vfs.File
	seq    uint32
	limit  int64 // the segment should not grow beyond it
	end    int64 // of the written bytes
	chain  uint32
	synced int64 // of the durable bytes
	anchor uint32
	failed bool
}

// NewWriter writes a segment's header into a file that is empty or all zeros. limit is the intended
// size of the segment, in bytes. Nothing is durable before Sync.
func NewWriter(f vfs.File, h Header, limit int64) (*Writer, error) {
	b, chain := h.encode()
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return &Writer{file: f, seq: uint32(h.Seq), limit: limit, end: HeaderSize, chain: chain}, nil
}

// Resume continues a segment behind the part that a Scan found good. The rest must have been cut
// off.
func Resume(f vfs.File, h Header, s ScanResult, limit int64) *Writer {
	return &Writer{file: f, seq: uint32(h.Seq), limit: limit, end: s.End, chain: s.Chain,
		synced: s.End, anchor: s.Chain}
}

// Synced is the end of the durable bytes, and the chain there.
func (w *Writer) Synced() (int64, uint32) { return w.synced, w.anchor }

// End is the end of the written bytes.
func (w *Writer) End() int64 { return w.end }

// Fits reports whether a batch of n bytes keeps to the limit with a seal of up to sealRoom bytes
// behind it.
func (w *Writer) Fits(n int, sealRoom int64) bool {
	return w.end+int64(n)+commitSize+sealRoom <= w.limit
}

// Write writes blocks as one batch and ends it with a Commit frame, which it adds to the last
// block. The caller keeps the blocks. now is the Commit's time, Unix nanoseconds.
func (w *Writer) Write(blocks []*Block, now int64) error {
	if w.failed {
		return fmt.Errorf("segment %d: write after an error", w.seq)
	}
	if len(blocks) == 0 {
		return nil
	}
	last := blocks[len(blocks)-1]
	last.dropCommit()
	last.addCommit(now, w.end)
	started := w.end
	for _, b := range blocks {
		w.fill(b)
		n, err := w.file.WriteAt(b.buf, w.end)
		if err != nil {
			w.failed = true
			return fmt.Errorf("segment %d: write of %d bytes at %d stopped after %d: %w",
				w.seq, len(b.buf), w.end, n, err)
		}
		w.end += int64(len(b.buf))
		if n := w.end - started; n >= startBytes && b != last {
			w.file.Start(started, n)
			started = w.end
		}
	}
	return nil
}

// startBytes is the part of a large batch that is given to the disk at once, while the checksums of
// the rest are computed.
const startBytes = 1 << 20

// fill completes the frames of a block for this place in this segment.
func (w *Writer) fill(b *Block) {
	at := w.end
	for _, f := range b.frames {
		size := frameSize(f.length)
		h := frameHeader{Frame: f.Frame, length: f.length, promise: w.synced}
		w.chain = putFrame(b.buf[f.start:f.start+int(size)], h, w.seq, at, w.chain)
		at += size
	}
}

// Sync makes everything written durable.
func (w *Writer) Sync() error {
	if w.failed {
		return fmt.Errorf("segment %d: fsync after an error", w.seq)
	}
	if err := w.file.Sync(); err != nil {
		w.failed = true
		return fmt.Errorf("segment %d: fsync of bytes %d to %d: %w", w.seq, w.synced, w.end, err)
	}
	w.synced, w.anchor = w.end, w.chain
	return nil
}

// Finish writes a Seal with its payload, cuts the file to its content and syncs it. The caller
// still closes it.
func (w *Writer) Finish(seal []byte, now int64) error {
	b := new(Block)
	if !b.Add(Frame{Type: Seal, Time: now}, seal) {
		return fmt.Errorf("segment %d: seal of %d bytes: %w", w.seq, len(seal), ErrFull)
	}
	if err := w.Write([]*Block{b}, now); err != nil {
		return err
	}
	if err := w.file.Truncate(w.end); err != nil {
		w.failed = true
		return fmt.Errorf("segment %d: cut to %d bytes: %w", w.seq, w.end, err)
	}
	return w.Sync()
}

// Close closes the file. It syncs nothing.
func (w *Writer) Close() error { return w.file.Close() }
