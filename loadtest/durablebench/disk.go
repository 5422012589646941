//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/loadtest/fusedisk"
	"holdfast/loadtest/harness"
)

// disk is the disk of a whole round.
type disk struct {
	name    string
	flush   time.Duration // 0: the machine's own disk
	seconds float64       // of one run, in units of --seconds: few flushes need more time
	warm    time.Duration // of a run, and not measured
}

var disks = []disk{
	{"own", 0, 1, 100 * time.Millisecond},
	{"5ms", 5 * time.Millisecond, 1.2, 100 * time.Millisecond},
	{"50ms", 50 * time.Millisecond, 2, 200 * time.Millisecond},
}

func (d disk) title() string {
	if d.flush == 0 {
		return "The machine's own disk"
	}
	return fmt.Sprintf("A disk whose flush takes %v", d.flush)
}

// diskSize holds the files of a whole run. It takes memory only as it is written.
const diskSize = 6 << 30

// mount makes the disk ready below dir and returns a folder on it.
func (d disk) mount(dir string) (folder string, unmount func() error, err error) {
	if d.flush == 0 {
		folder, err = os.MkdirTemp(dir, "data")
		return folder, func() error { return os.RemoveAll(folder) }, err
	}
	if err := fusedisk.Available(); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errNoDisk, err)
	}
	dir, err = os.MkdirTemp("", "durablebench") // RemoveAll must not meet a mounted disk
	if err != nil {
		return "", nil, err
	}
	m, err := fusedisk.Boot(dir, nil, diskSize, fusedisk.Options{Flush: d.flush})
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errNoDisk, errors.Join(err, os.RemoveAll(dir)))
	}
	return m.Root, func() error {
		if err := m.Down(); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}, nil
}

// errNoDisk: this machine cannot make such a disk.
var errNoDisk = errors.New("not available here")

// probe measures fdatasync of 4 KiB in folder, medians: of a file that grows, as an append-only
// file does, and of blocks written before, as the journal's are.
func probe(folder string) (grow, over time.Duration, err error) {
	const n, block = 20, 4096
	path := filepath.Join(folder, "probe")
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	pass := func() (time.Duration, error) {
		var times harness.Times
		for i := range n {
			if _, err := f.WriteAt(make([]byte, block), int64(i*block)); err != nil {
				return 0, err
			}
			began := time.Now()
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return 0, err
			}
			times.Add(time.Since(began), 1)
		}
		return times.Quantile(0.5), nil
	}
	if grow, err = pass(); err != nil {
		return 0, 0, err
	}
	over, err = pass()
	return grow, over, err
}
