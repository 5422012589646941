//go:build linux

// Command powercut runs a journal on a disk that loses power, again and again: a FUSE file in this
// process's memory, under a loop device, under ext4. Data that the file system did not flush is
// gone, or stays sector by sector as chance decides. Then the file system is mounted again, the
// journal recovers, and every byte that it had reported durable must be there.
//
// At the end it does the same on a disk that is full for a while (fulldisk.go).
//
// Killing the process proves nothing of the kind: the page cache survives it.
//
// It needs Linux, root, /dev/fuse, losetup and mkfs.ext4. Seeds make the writer and the choice of
// sectors repeatable, not the moment of the cut.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/journal"
	"holdfast/loadtest/fusedisk"
	"holdfast/loadtest/harness"
)

// diskSize is small enough to be copied each round.
const diskSize = 96 << 20

// disk is slow enough for a cut to meet most often the middle of a flush.
var disk = fusedisk.Options{Flush: 3 * time.Millisecond, PowerCuts: true}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "write" {
		var seed uint64
		_, _ = fmt.Sscan(os.Args[3], &seed) // given by this program itself
		fmt.Fprintln(os.Stderr, "writer:", write(os.Args[2], seed))
		os.Exit(1)
	}
	harness.Main("powercut", func(ctx context.Context) error { return run(ctx, os.Args[1:]) })
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("powercut", flag.ContinueOnError)
	rounds := fs.Int("rounds", 20, "power cuts")
	lie := fs.Bool("lie", false, "let the disk not do what a flush asks: the run must then fail")
	seed := fs.Uint64("seed", uint64(time.Now().UnixNano()), "of the random choices")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "powercut")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("seed %d\n", *seed)
	t := &trial{dir: dir, lie: *lie, rng: rand.New(rand.NewPCG(*seed, 0))}
	for round := range *rounds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := t.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	fmt.Printf("ok: %d power cuts, %d bytes promised, none lost\n", *rounds, t.total)
	if err := fullDisk(ctx, dir); err != nil {
		return fmt.Errorf("full disk: %w", err)
	}
	fmt.Println("ok: a full disk")
	return nil
}

// A trial is a run of power cuts on one disk. Every few rounds it begins with a new one.
type trial struct {
	dir      string
	lie      bool
	rng      *rand.Rand
	image    []byte
	promised int64 // end of the bytes reported durable
	total    int64
}

// roundsPerDisk keeps the journal within the disk.
const roundsPerDisk = 5

func (t *trial) round(ctx context.Context, n int) error {
	if n%roundsPerDisk == 0 {
		t.image, t.promised = nil, 0
	}
	m, err := fusedisk.Boot(t.dir, t.image, diskSize, disk)
	if err != nil {
		return err
	}
	m.Disk.SetLie(t.lie)
	before := t.promised
	lost, err := t.cutWhileWriting(ctx, m)
	if err = errors.Join(err, m.Down()); err != nil {
		return err
	}
	if m, err = fusedisk.Boot(t.dir, append([]byte(nil), t.image...), 0, disk); err != nil {
		return fmt.Errorf("after the cut: %w", err)
	}
	held, err := t.recover(ctx, filepath.Join(m.Root, "journal"))
	if err == nil {
		// Recovery syncs its own writes; this syncs the rest of the file system.
		syscall.Sync()
		t.image, _ = m.Disk.Cut(func() bool { return true })
	}
	if err = errors.Join(err, m.Down()); err != nil {
		return err
	}
	t.total += t.promised - before
	fmt.Printf("round %d: promised %d, held %d; %d sectors lost\n", n, t.promised, held, lost)
	t.promised = max(t.promised, held)
	return nil
}

// cutWhileWriting runs a writer and cuts the power at some moment.
func (t *trial) cutWhileWriting(ctx context.Context, m *fusedisk.Machine) (lost int, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	w := exec.CommandContext(ctx, program, "write", filepath.Join(m.Root, "journal"),
		fmt.Sprint(t.rng.Uint64()))
	w.Stderr = os.Stderr
	out, err := w.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := w.Start(); err != nil {
		return 0, err
	}
	done := make(chan struct{})
	cut := time.AfterFunc(time.Duration(50+t.rng.IntN(600))*time.Millisecond, func() {
		defer close(done)
		share := t.rng.Float64() // of the unflushed sectors
		if t.rng.IntN(3) == 0 {
			share = 0
		}
		t.image, lost = m.Disk.Cut(func() bool { return t.rng.Float64() < share })
		_ = w.Process.Kill() // it may have ended by itself, of EIO
	})
	err = t.readPromises(out)
	_ = w.Wait() // killed, or ended by the disk: both are meant
	if cut.Stop() {
		return 0, errors.Join(errors.New("the writer ended before the cut"), err)
	}
	<-done
	return lost, err
}

func (t *trial) readPromises(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var tl, offset int64
		if _, err := fmt.Sscanf(lines.Text(), "promised %d %d", &tl, &offset); err != nil {
			continue // a line that the kill cut off
		}
		t.promised = max(t.promised, offset)
	}
	return lines.Err()
}

// recover opens the journal and compares all of it.
func (t *trial) recover(ctx context.Context, dir string) (held int64, err error) {
	j, err := journal.Open(journal.Options{Dir: dir, SegmentBytes: 1 << 20})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	view, err := j.View()
	if err != nil {
		return 0, err
	}
	problems, err := view.Verify(ctx, nil)
	if err != nil {
		return 0, err
	}
	for _, p := range problems {
		return 0, fmt.Errorf("verify: %s: %w", p.File, p.Err)
	}
	tl, ok := view.Current()
	if !ok {
		if t.promised > 0 {
			return 0, fmt.Errorf("%d bytes were promised, and the journal is empty", t.promised)
		}
		return 0, nil
	}
	if tl.End < t.promised {
		return tl.End, fmt.Errorf("promised %d, held %d", t.promised, tl.End)
	}
	return tl.End, compare(view, tl)
}

func compare(view *journal.View, tl journal.Timeline) error {
	r, err := view.Reader(tl.ID, 0)
	if err != nil {
		return err
	}
	defer r.Close() // read-only
	at := int64(0)
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			if at != tl.End {
				return fmt.Errorf("the reader ends at %d, the timeline at %d", at, tl.End)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if c.Offset != at || !bytes.Equal(c.Data, content(at, at+int64(len(c.Data)))) {
			return fmt.Errorf("other bytes than were written at offset %d", c.Offset)
		}
		at += int64(len(c.Data))
	}
}
