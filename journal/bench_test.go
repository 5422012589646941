package journal

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/journal/vfs"
)

// The figures in README.md come from these:
//
//	go test -run xxx -bench . -benchtime 2s ./journal

// benchFile makes the file that a way of writing begins with.
var benchFiles = []struct {
	name string
	make func(f vfs.File, size int64) error
}{
	{"append", func(vfs.File, int64) error { return nil }},
	{"preallocated", func(f vfs.File, size int64) error { return f.Preallocate(size) }},
	{"zeros", func(f vfs.File, size int64) error { return fillZeros(f, size, nil) }},
	{"recycled", func(f vfs.File, size int64) error {
		old := contentOf(0, zeroPiece)
		for at := int64(0); at < size; at += zeroPiece {
			if _, err := f.WriteAt(old, at); err != nil {
				return err
			}
		}
		return f.Sync()
	}},
}

// BenchmarkDisk is the disk's own limit: write and fsync, again and again, into files that were
// made in different ways.
func BenchmarkDisk(b *testing.B) {
	for _, size := range []int64{512, 4 << 10, 64 << 10, 1 << 20, 4 << 20} {
		for _, kind := range benchFiles {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				benchmarkDisk(b, size, kind.make)
			})
		}
	}
}

func benchmarkDisk(b *testing.B, size int64, begin func(vfs.File, int64) error) {
	const fileSize = 64 << 20
	path := b.TempDir() + "/f"
	p := contentOf(0, size)
	var f vfs.File
	at := int64(fileSize)
	var took []time.Duration
	b.SetBytes(size)
	for b.Loop() {
		if at+size > fileSize {
			b.StopTimer()
			f, at = nextFile(b, f, path, begin, fileSize), 0
			b.StartTimer()
		}
		start := time.Now()
		if _, err := f.WriteAt(p, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		at += size
	}
	reportLatency(b, took)
}

func nextFile(b *testing.B, old vfs.File, path string, begin func(vfs.File, int64) error,
	size int64) vfs.File {
	b.Helper()
	if old != nil {
		if err := old.Close(); err != nil {
			b.Fatal(err)
		}
		if err := (vfs.OS{}).Remove(path); err != nil {
			b.Fatal(err)
		}
	}
	f, err := vfs.OS{}.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := begin(f, size); err != nil {
		b.Fatal(err)
	}
	return f
}

func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkJournalLatency is one append at a time, waited for.
func BenchmarkJournalLatency(b *testing.B) {
	for _, size := range []int64{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, tl := benchJournal(b)
			p := contentOf(0, size)
			at := int64(0)
			var took []time.Duration
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if err := j.Append(context.Background(), tl, at, p); err != nil {
					b.Fatal(err)
				}
				at += size
				if err := j.WaitDurable(context.Background(), Position{tl, at}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			reportLatency(b, took)
		})
	}
}

// BenchmarkJournalThroughput is appending as fast as it goes, in pieces as a socket gives them.
func BenchmarkJournalThroughput(b *testing.B) {
	for _, size := range []int64{100, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, tl := benchJournal(b)
			p := contentOf(0, size)
			at := int64(0)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := j.Append(context.Background(), tl, at, p); err != nil {
					b.Fatal(err)
				}
				at += size
			}
			if err := j.WaitDurable(context.Background(), Position{tl, at}); err != nil {
				b.Fatal(err)
			}
			s := j.Stats()
			b.ReportMetric(float64(s.StreamBytes)/float64(s.Batches), "B/batch")
		})
	}
}

// BenchmarkWatch is appending as fast as it goes: commands, in which events are looked for, and bytes
// that are none, in which they are not.
func BenchmarkWatch(b *testing.B) {
	command := written("SET key:000000012345 " + strings.Repeat("x", 100))
	for name, piece := range map[string][]byte{"commands": command, "none": append([]byte("*x"), command...)} {
		p := bytes.Repeat(piece, 2000)
		b.Run(name, func(b *testing.B) {
			j, tl := benchJournal(b)
			at := int64(0)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if err := j.Append(context.Background(), tl, at, p); err != nil {
					b.Fatal(err)
				}
				at += int64(len(p))
			}
			if err := j.WaitDurable(context.Background(), Position{tl, at}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRead reads a history with all checks.
func BenchmarkRead(b *testing.B) {
	j, tl := benchJournal(b)
	const total = 128 << 20
	p := contentOf(0, 1<<20)
	for at := int64(0); at < total; at += int64(len(p)) {
		if err := j.Append(context.Background(), tl, at, p); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.WaitDurable(context.Background(), Position{tl, total}); err != nil {
		b.Fatal(err)
	}
	v, err := j.View()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(total)
	for b.Loop() {
		r, err := v.Reader(tl, 0)
		if err != nil {
			b.Fatal(err)
		}
		for r.Offset() < total {
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchJournal(b *testing.B) (*Journal, TimelineID) {
	b.Helper()
	j, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	tl, err := j.StartTimeline(context.Background(), TimelineStart{ReplID: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return j, tl.ID
}
