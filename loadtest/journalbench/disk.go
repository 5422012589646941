package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/journal"
)

// diskBlock is what the bare loop writes between two fdatasyncs: the journal's largest batch.
const diskBlock = 4 << 20

// measureDisk compares bytes a second.
func measureDisk(ctx context.Context, o *options, _, dir string) (string, error) {
	var bare, through []float64
	data := make([]byte, diskBlock)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(data) // it never fails
	for range o.rounds {
		b, err := bareDisk(filepath.Join(dir, "bare"), data, o.megas)
		if err != nil {
			return "", err
		}
		j, err := journalDisk(ctx, filepath.Join(dir, "disk"), data, o.megas)
		if err != nil {
			return "", err
		}
		bare, through = append(bare, b), append(through, j)
	}
	b, j, share := median(bare), median(through), medianRatio(through, bare)
	return fmt.Sprintf("### Disk\n\n| what | MiB/s |\n|---|---|\n"+
		"| write 4 MiB, fdatasync, and again | %.0f |\n| the journal | %.0f |\n"+
		"| share | %.2f (%s) |\n\n", b, j, share, goal(share >= 0.8, "at least 0.8")), nil
}

// goal says whether what was asked for was reached.
func goal(ok bool, text string) string {
	if ok {
		return "asked for: " + text
	}
	return "MISSED: " + text
}

// bareDisk returns MiB a second.
func bareDisk(file string, data []byte, megas int) (float64, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	defer f.Close()
	began := time.Now()
	for written := 0; written < megas<<20; written += len(data) {
		if _, err := f.Write(data); err != nil {
			return 0, err
		}
		if err := syncData(f); err != nil {
			return 0, err
		}
	}
	return float64(megas) / time.Since(began).Seconds(), nil
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
	return median(ratios)
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
