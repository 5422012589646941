package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/loadtest/harness"
)

const (
	// diskBlock is the data that the bare loops write between two fdatasyncs.
	diskBlock = 4 << 20
	// segmentMegas is the size of the journal's segments, by default, in MiB.
	segmentMegas = 64
)

// measureDisk compares bytes a second with two bare loops. One appends to a growing file, as a
// continuous log does: it is the limit. The other writes over a file that was filled with zeros
// before, and so written twice: the disk's speed if nothing had to be prepared. The journal begins
// with one segment of zeros and makes all further ones while it is measured.
func measureDisk(ctx context.Context, o *options, _, dir string) (string, error) {
	var grow, over, through []float64
	data := make([]byte, diskBlock)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(data) // it never fails
	for range o.rounds {
		g, err := bareDisk(filepath.Join(dir, "bare"), data, o.megas, false)
		if err != nil {
			return "", err
		}
		z, err := bareDisk(filepath.Join(dir, "bare"), data, o.megas, true)
		if err != nil {
			return "", err
		}
		j, err := journalDisk(ctx, filepath.Join(dir, "disk"), data, o.megas)
		if err != nil {
			return "", err
		}
		grow, over, through = append(grow, g), append(over, z), append(through, j)
	}
	share := medianRatio(through, grow)
	return fmt.Sprintf("### Disk: %d MiB, 4 MiB between two fdatasyncs\n\n"+
		"| what | MiB/s |\n|---|---|\n"+
		"| append, fdatasync, and again | %.0f |\n"+
		"| the same over a file that was filled with zeros before the clock started | %.0f |\n"+
		"| the journal, %d segments, all but the first made in the time measured | %.0f |\n"+
		"| share of appending | %.2f (%s) |\n| share of writing over zeros | %.2f |\n\n",
		o.megas, harness.Median(grow), harness.Median(over), (o.megas+segmentMegas-1)/segmentMegas,
		harness.Median(through), share, goal(share >= 0.8, "at least 0.8"), medianRatio(through, over)), nil
}

// goal says whether the goal was reached.
func goal(ok bool, text string) string {
	if ok {
		return "asked for: " + text
	}
	return "MISSED: " + text
}

// bareDisk returns MiB a second, of a loop over zeros or into a new file.
func bareDisk(file string, data []byte, megas int, zeros bool) (float64, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	defer f.Close()
	if zeros {
		if err := writeAll(f, make([]byte, len(data)), megas, func() error { return nil }); err != nil {
			return 0, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	if err := syncData(f); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := writeAll(f, data, megas, func() error { return syncData(f) }); err != nil {
		return 0, err
	}
	return float64(megas) / time.Since(began).Seconds(), nil
}

// writeAll writes a block again and again, and calls then after each.
func writeAll(f *os.File, block []byte, megas int, then func() error) error {
	for written := 0; written < megas<<20; written += len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
		if err := then(); err != nil {
			return err
		}
	}
	return nil
}

// journalDisk appends in pieces as a socket gives them and waits for the last byte to be durable.
func journalDisk(ctx context.Context, dir string, data []byte, megas int) (float64, error) {
	const piece = 64 << 10
	j, err := journal.Open(journal.Options{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	defer j.Close()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("0", 40)})
	if err != nil {
		return 0, err
	}
	began, end := time.Now(), int64(megas)<<20
	for at := int64(0); at < end; at += piece {
		from := int(at) % len(data)
		if err := j.Append(ctx, tl.ID, at, data[from:from+piece]); err != nil {
			return 0, err
		}
	}
	if err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: end}); err != nil {
		return 0, err
	}
	return float64(megas) / time.Since(began).Seconds(), nil
}

// medianRatio is the median of the rounds' ratios.
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return harness.Median(ratios)
}
