package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

var testHeader = Header{Seq: 7, PrevEnd: 4096, PrevChain: 0xdeadbeef, Created: 1e18,
	Journal: [16]byte{1, 2, 3}}

// newSegment makes an empty segment in memory.
func newSegment(t testing.TB, h Header) (*vfstest.Mem, vfs.File, *Writer) {
	t.Helper()
	mem := vfstest.NewMem()
	f, err := mem.Create("s")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(f, h, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return mem, f, w
}

func write(t testing.TB, w *Writer, payloads ...string) {
	t.Helper()
	b := NewBlock()
	for i, p := range payloads {
		if !b.Add(Frame{Type: Incident, Timeline: 3, Offset: int64(i), Time: 5}, []byte(p)) {
			t.Fatalf("no room for %d bytes", len(p))
		}
	}
	if err := w.Write([]*Block{b}, 9); err != nil {
		t.Fatal(err)
	}
}

func sync(t testing.TB, w *Writer) {
	t.Helper()
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
}

// frames reads a segment as text, one frame a word.
func frames(f vfs.File, limit int64) (string, error) {
	r, _, err := NewReader(f, limit)
	if err != nil {
		return "", err
	}
	var all []string
	for {
		frame, payload, err := r.Next()
		if err != nil {
			return strings.Join(all, " "), err
		}
		if frame.Type == Commit {
			payload = nil
		}
		all = append(all, fmt.Sprintf("%v:%s", frame.Type, payload))
	}
}

func TestHeader(t *testing.T) {
	for _, h := range []Header{testHeader, {Seq: 1}, {Seq: 1 << 40, PrevSuspect: true}} {
		_, f, _ := newSegment(t, h)
		got, _, err := ReadHeader(f)
		if err != nil || got != h {
			t.Errorf("%+v, %v; want %+v", got, err, h)
		}
	}
	_, f, _ := newSegment(t, testHeader)
	for at := range int64(HeaderSize) {
		b := []byte{0}
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte{b[0] ^ 1}, at)
		var bad *BadError
		if _, _, err := ReadHeader(f); !errors.As(err, &bad) {
			t.Errorf("byte %d: %v", at, err)
		}
		f.WriteAt(b, at)
	}
}

func TestWriteAndRead(t *testing.T) {
	_, f, w := newSegment(t, testHeader)
	write(t, w, "a", "", "12345678", "123456789")
	sync(t, w)
	write(t, w, strings.Repeat("x", MaxPayload))
	sync(t, w)
	got, err := frames(f, 0)
	want := "incident:a incident: incident:12345678 incident:123456789 commit: incident:" +
		strings.Repeat("x", MaxPayload) + " commit:"
	if got != want || !errors.Is(err, io.EOF) {
		t.Errorf("%.100s, %v", got, err)
	}
	end, _ := w.Synced()
	if _, err := frames(f, end); !errors.Is(err, io.EOF) {
		t.Errorf("up to the end: %v", err)
	}
	var bad *BadError
	if _, err := frames(f, end-8); !errors.As(err, &bad) {
		t.Errorf("up to the middle of a frame: %v", err)
	}
	if _, err := frames(f, end+8); !errors.As(err, &bad) {
		t.Errorf("beyond the end: %v", err)
	}
	if b := NewBlock(); b.Add(Frame{Type: Gap}, make([]byte, MaxPayload+1)) {
		t.Error("a payload above the limit was taken")
	}
}

// Bytes that continue each other share a frame, up to a millisecond and a block.
func TestAddStream(t *testing.T) {
	at := func(offset, ns int64) Frame {
		return Frame{Type: Stream, Timeline: 1, Offset: offset, Time: ns}
	}
	b := NewBlock()
	b.AddStream(at(0, 0), []byte("abc"))
	b.AddStream(at(3, mergeSpan), []byte("de"))      // shares
	b.AddStream(at(5, mergeSpan+1), []byte("f"))     // too late
	b.AddStream(at(7, mergeSpan+1), []byte("g"))     // does not continue
	b.AddStream(at(8, mergeSpan), []byte("h"))       // the clock went back
	b.Add(Frame{Type: Gap, Timeline: 1}, []byte("")) // in between
	b.AddStream(at(9, mergeSpan), []byte("i"))
	var got []string
	for i := range b.Frames() {
		f, p := b.Frame(i)
		got = append(got, fmt.Sprintf("%v@%d:%s", f.Type, f.Offset, p))
	}
	want := "stream@0:abcde stream@5:f stream@7:g stream@8:h gap@0: stream@9:i"
	if strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, " "), want)
	}
	b.Reset()
	big := bytes.Repeat([]byte("x"), 2*BlockSize)
	n := b.AddStream(at(0, 0), big)
	if n != MaxPayload || b.AddStream(at(int64(n), 0), big[n:]) != 0 {
		t.Errorf("%d bytes taken, want %d and then none", n, MaxPayload)
	}
	_, f, w := newSegment(t, testHeader)
	if err := w.Write([]*Block{b}, 0); err != nil {
		t.Fatal(err)
	}
	if b.Len() != BlockSize {
		t.Errorf("a full block has %d bytes", b.Len())
	}
	if _, err := frames(f, 0); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Blocks that were written once can be written again elsewhere.
func TestBlocksAreWrittenTwice(t *testing.T) {
	a, b := NewBlock(), NewBlock()
	a.Add(Frame{Type: Incident}, []byte("a"))
	b.Add(Frame{Type: Incident}, []byte("b"))
	for seq := range uint64(3) {
		_, f, w := newSegment(t, Header{Seq: seq + 1})
		if err := w.Write([]*Block{a, b}, 0); err != nil {
			t.Fatal(err)
		}
		if got, err := frames(f, 0); got != "incident:a incident:b commit:" || !errors.Is(err, io.EOF) {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestWriterAfterAnError(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.OpWrite, vfstest.OpSync, vfstest.OpTruncate} {
		fail := false
		disk := vfstest.WithFaults(vfstest.NewMem(), func(op vfstest.Op) error {
			if fail && op.Kind == kind {
				return io.ErrClosedPipe
			}
			return nil
		})
		f, err := disk.Create("s")
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(f, testHeader, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, "kept")
		sync(t, w)
		end, chain := w.Synced()
		fail = true
		if err := w.Finish([]byte("seal"), 0); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("%s: %v", kind, err)
		}
		fail = false
		b := NewBlock()
		b.Add(Frame{Type: Gap}, nil)
		if w.Write([]*Block{b}, 0) == nil || w.Sync() == nil {
			t.Errorf("%s: the writer goes on", kind)
		}
		if e, c := w.Synced(); e != end || c != chain {
			t.Errorf("%s: synced %d, want %d", kind, e, end)
		}
	}
}

func TestSeal(t *testing.T) {
	_, f, w := newSegment(t, testHeader)
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	write(t, w, "x")
	sync(t, w)
	unsealed, unsealedChain := w.Synced()
	if err := w.Finish([]byte("what it holds"), 3); err != nil {
		t.Fatal(err)
	}
	end, chain := w.Synced()
	if size, _ := f.Size(); size != end {
		t.Errorf("the file has %d bytes, want %d", size, end)
	}
	got, ok, err := ReadSeal(f, end, chain)
	if string(got) != "what it holds" || !ok || err != nil {
		t.Errorf("%q %v %v", got, ok, err)
	}
	if _, ok, err := ReadSeal(f, unsealed, unsealedChain); ok || err != nil {
		t.Errorf("without a seal: %v %v", ok, err)
	}
	var bad *BadError
	for _, end := range []int64{0, HeaderSize, end - 8, end + 8} {
		if _, _, err := ReadSeal(f, end, chain); !errors.As(err, &bad) {
			t.Errorf("end %d: %v", end, err)
		}
	}
	if _, _, err := ReadSeal(f, end, chain+1); !errors.As(err, &bad) {
		t.Errorf("another chain: %v", err)
	}
	s, err := Scan(f, nil)
	if err != nil || !s.Sealed || s.Torn() || s.Damaged() || s.End != end || s.Chain != chain {
		t.Errorf("%+v %v", s, err)
	}
}

// TestScanEveryByte changes each byte of a segment in turn. Below the last promise that is damage,
// above it a torn batch, and never is a frame given that was not written.
func TestScanEveryByte(t *testing.T) {
	_, f, w := newSegment(t, testHeader)
	var promised int64
	for _, p := range []string{"one", "two", "three"} {
		promised, _ = w.Synced()
		write(t, w, p, p)
		sync(t, w)
	}
	end := w.End()
	for at := int64(HeaderSize); at < end+64; at++ {
		b := []byte{0}
		_, _ = f.ReadAt(b, at)
		f.WriteAt([]byte{b[0] ^ 0x10}, at)
		n := 0
		s, err := Scan(f, func(Frame, int, []byte) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case at < promised && !s.Damaged():
			t.Errorf("byte %d: no damage below %d: %+v", at, promised, s)
		case at >= promised && (s.Damaged() || !s.Torn()):
			t.Errorf("byte %d: want torn: %+v", at, s)
		case at >= promised && at < end && (s.End != promised || n != 4):
			t.Errorf("byte %d: end %d with %d frames, want %d with 4", at, s.End, n, promised)
		case at >= end && (s.End != end || n != 6):
			t.Errorf("byte %d: end %d with %d frames, want %d with 6", at, s.End, n, end)
		}
		f.WriteAt(b, at)
	}
}

// A scan beside a writer sees a prefix of batches, never damage.
func TestScanWhileWriting(t *testing.T) {
	_, f, w := newSegment(t, testHeader)
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go appendUntilFull(t, w, done)
	last := int64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s, err := Scan(f, nil)
		if err != nil || s.Damaged() {
			t.Fatalf("%+v %v", s, err)
		}
		if s.End < last {
			t.Fatalf("the end went back from %d to %d", last, s.End)
		}
		last = s.End
	}
	if last != w.End() {
		t.Errorf("end %d, want %d", last, w.End())
	}
}

func appendUntilFull(t *testing.T, w *Writer, done chan struct{}) {
	defer close(done)
	for n := 0; w.Fits(1000, 0); n++ {
		b := NewBlock()
		b.Add(Frame{Type: Incident}, bytes.Repeat([]byte{byte(n)}, n%900))
		if err := w.Write([]*Block{b}, 0); err != nil {
			t.Error(err)
			return
		}
		if err := w.Sync(); err != nil {
			t.Error(err)
			return
		}
	}
}

// A torn write of the last batch, in whatever mixture, never reaches below the promise.
func TestScanAfterCrash(t *testing.T) {
	for seed := range uint64(500) {
		mem, _, w := newSegment(t, testHeader)
		if err := mem.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		write(t, w, "one", strings.Repeat("1", 700))
		sync(t, w)
		write(t, w, "two", strings.Repeat("2", 1500))
		sync(t, w)
		end := w.End()
		a, b := NewBlock(), NewBlock() // a batch of several writes: the later promise no more
		a.Add(Frame{Type: Incident}, bytes.Repeat([]byte("3"), 2500))
		b.Add(Frame{Type: Incident}, bytes.Repeat([]byte("4"), 700))
		b.Add(Frame{Type: Incident}, []byte("5"))
		if err := w.Write([]*Block{a, b}, 9); err != nil {
			t.Fatal(err)
		}
		clone := mem.CrashClone(rand.New(rand.NewPCG(seed, 0)))
		f, err := clone.Open("s")
		if err != nil {
			t.Fatal(err)
		}
		s, err := Scan(f, nil)
		if err != nil || s.Damaged() || s.End != end && s.End != w.End() {
			t.Fatalf("seed %d: %+v, %v", seed, s, err)
		}
	}
}

// FuzzScan: whatever a file holds, the scan ends, reads nothing that its checks do not cover, and
// stays inside the file.
func FuzzScan(f *testing.F) {
	_, file, w := newSegment(f, testHeader)
	write(f, w, "one", "two")
	sync(f, w)
	write(f, w, "three")
	data := make([]byte, w.End())
	if _, err := file.ReadAt(data, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(data, 0, byte(0))
	f.Add(data[:len(data)-5], 100, byte(1))
	f.Add(data[:HeaderSize], 0, byte(255))
	f.Add([]byte{}, 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, x byte) {
		data = bytes.Clone(data)
		if at >= 0 && at < len(data) {
			data[at] ^= x
		}
		file, err := vfstest.NewMem().Create("s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		s, err := Scan(file, func(fr Frame, size int, payload []byte) error {
			if fr.Type == Stream && payload != nil || size > MaxPayload {
				t.Errorf("%v of %d bytes, %d of them given", fr.Type, size, len(payload))
			}
			return nil
		})
		var bad *BadError
		if err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
		if err == nil && (s.End > int64(len(data)) || s.TornEnd > int64(len(data)+align)) {
			t.Fatalf("%+v of %d bytes", s, len(data))
		}
		if _, _, err := ReadSeal(file, int64(len(data)), 0); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
	})
}

// FuzzFrames builds frames whose checksums are right and whose fields are anything: the scan must
// cope with what only a bug or an attacker could have written.
func FuzzFrames(f *testing.F) {
	f.Add(byte(Stream), byte(0), uint32(5), uint32(7), uint64(0), []byte("hello"))
	f.Add(byte(Commit), byte(0), uint32(8), uint32(7), uint64(HeaderSize), []byte("12345678"))
	f.Add(byte(Commit), byte(0), uint32(0), uint32(7), uint64(0), []byte(""))
	f.Add(byte(Seal), byte(1), uint32(1<<31), uint32(7), uint64(1<<63), []byte("{}"))
	f.Add(byte(99), byte(9), uint32(3), uint32(8), uint64(1), []byte("abc"))
	f.Fuzz(func(t *testing.T, typ, flags byte, length, seq uint32, promise uint64, body []byte) {
		if len(body) > 1000 {
			return
		}
		_, file, w := newSegment(t, testHeader)
		write(t, w, "before")
		sync(t, w)
		end, chain := w.Synced()
		frame := make([]byte, frameSize(len(body)))
		copy(frame[FrameHeaderSize:], body)
		h := frameHeader{Frame: Frame{Type: Type(typ), Flags: flags}, length: int(length),
			promise: int64(promise)}
		chain = putFrame(frame, h, seq, end, chain)
		if _, err := file.WriteAt(frame, end); err != nil {
			t.Fatal(err)
		}
		s, err := Scan(file, func(Frame, int, []byte) error { return nil })
		size, _ := file.Size()
		if err != nil || s.End > size || s.End < end {
			t.Fatalf("%+v of %d bytes, %v", s, size, err)
		}
		var bad *BadError
		if _, _, err := ReadSeal(file, size, chain); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
	})
}

// startNoter notes what Start and Sync were called for.
type startNoter struct {
	vfs.File
	calls []string
}

func (f *startNoter) Start(at, n int64) {
	f.calls = append(f.calls, fmt.Sprintf("start %d+%d", at, n))
}

func (f *startNoter) Sync() error {
	f.calls = append(f.calls, "sync")
	return f.File.Sync()
}

// TestLargeBatchIsStarted: the disk begins with a large batch while the rest of it is prepared, each
// byte once and in order; a small one is left to the fsync.
func TestLargeBatchIsStarted(t *testing.T) {
	mem := vfstest.NewMem()
	file, err := mem.Create("s")
	if err != nil {
		t.Fatal(err)
	}
	f := &startNoter{File: file}
	w, err := NewWriter(f, testHeader, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, "small")
	sync(t, w)
	from := w.End()
	var blocks []*Block
	for range 12 {
		b := NewBlock()
		b.AddStream(Frame{Type: Stream, Timeline: 1}, make([]byte, BlockSize))
		blocks = append(blocks, b)
	}
	if err := w.Write(blocks, 9); err != nil {
		t.Fatal(err)
	}
	sync(t, w)
	full := int64(len(blocks[0].buf))
	n := (startBytes + full - 1) / full * full // whole blocks
	want := []string{"sync", fmt.Sprintf("start %d+%d", from, n),
		fmt.Sprintf("start %d+%d", from+n, n), "sync"}
	if fmt.Sprint(f.calls) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", f.calls, want)
	}
}

// A farReader notes how far reads go.
type farReader struct {
	vfs.File
	most int64
}

func (f *farReader) ReadAt(p []byte, at int64) (int, error) {
	f.most = max(f.most, at+int64(len(p)))
	return f.File.ReadAt(p, at)
}

// Behind its limit a segment is room without data, up to 64 MiB of it: it is not read.
func TestReaderStaysWithinItsLimit(t *testing.T) {
	_, file, w := newSegment(t, testHeader)
	if err := file.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	write(t, w, "one", "two")
	limit := w.End()
	f := &farReader{File: file}
	r, _, err := NewReader(f, limit)
	if err != nil {
		t.Fatal(err)
	}
	read := func(want string) {
		t.Helper()
		for {
			_, payload, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if string(payload) == want {
				want = ""
			}
		}
		if want != "" {
			t.Errorf("%q was not read", want)
		}
		if f.most > limit+align {
			t.Errorf("read to byte %d of a segment that ends at %d", f.most, limit)
		}
	}
	read("two")
	write(t, w, strings.Repeat("three", 1000))
	limit = w.End()
	r.Extend(limit)
	read(strings.Repeat("three", 1000))
}
