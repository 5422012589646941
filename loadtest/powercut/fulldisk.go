//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/journal"
	"holdfast/loadtest/harness"
)

// fullDisk runs a journal on a full tmpfs, and gives it room again: it must report that it is full,
// promise nothing that is not there, and go on by itself.
func fullDisk(ctx context.Context, dir string) (err error) {
	root := filepath.Join(dir, "tmpfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("powercut", root, "tmpfs", 0, "size=8m"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(root, unix.MNT_DETACH)) }()
	folder, filler := filepath.Join(root, "journal"), filepath.Join(root, "filler")
	j, err := journal.Open(journal.Options{Dir: folder, SegmentBytes: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("f", 40)})
	if err != nil {
		return err
	}
	if err := fillUp(filler); err != nil {
		return err
	}
	const end = 3 << 20
	for at := int64(0); at < end; at += 1 << 16 {
		if err := j.Append(ctx, tl.ID, at, content(at, at+1<<16)); err != nil {
			return fmt.Errorf("append on a full disk: %w", err)
		}
	}
	full := func(context.Context) bool { return j.Stats().State == journal.StateFull }
	if err := harness.Await(ctx, "a full disk", patience, 10*time.Millisecond, full); err != nil {
		return fmt.Errorf("it never said that the disk is full: %w", err)
	}
	if p := j.Durable(); p.Offset >= end {
		return fmt.Errorf("%d is promised, on a disk without room", p.Offset)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: end}); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	view, err := j.View()
	if err != nil {
		return err
	}
	problems, err := view.Verify(ctx, nil)
	for _, p := range problems {
		err = errors.Join(err, fmt.Errorf("verify: %s: %w", p.File, p.Err))
	}
	now, _ := view.Current()
	return errors.Join(err, compare(view, now))
}

// patience bounds the wait for expected events.
const patience = 30 * time.Second

// fillUp takes all free space.
func fillUp(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // the last bytes, too
		}
	}
	return f.Close()
}
