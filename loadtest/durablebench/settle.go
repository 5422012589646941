//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

const (
	settlePoll = 20 * time.Millisecond
	settleMost = 5 * time.Second
)

// settle waits until no contender writes to the disk any more, so that work left over from one run
// (a journal makes its next file ahead of time) does not disturb the next.
func settle(ctx context.Context, d disk, all []*contender) error {
	quiet := max(3*settlePoll, d.flush*5/2) // longer than a flush, during which nothing is written
	last, since, began := int64(-1), time.Now(), time.Now()
	for time.Since(since) < quiet && time.Since(began) < settleMost {
		sum := int64(0)
		for _, c := range all {
			for _, p := range []*harness.Process{c.server, c.replica, c.proxy} {
				if p != nil {
					sum += writtenBytes(p.Pid)
				}
			}
		}
		if sum != last {
			last, since = sum, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePoll):
		}
	}
	return nil
}

// writtenBytes is the number of bytes that a process has sent towards disks, by write_bytes of
// /proc/PID/io (proc(5)); 0 when that cannot be read.
func writtenBytes(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
