package main

import (
	"math/rand/v2"
	"time"

	"holdfast/loadtest/fusedisk"
)

// diskSize is small enough to be copied each round.
const diskSize = 64 << 20

// flushTime is short, and long enough that a cut most often meets a flush in the middle of it.
const flushTime = 2 * time.Millisecond

// powered is a disk of package fusedisk with a file system.
type powered struct {
	dir     string
	opts    fusedisk.Options
	machine *fusedisk.Machine
	image   []byte
}

// diskAvailable is the reason why there can be no such disk.
func diskAvailable() error { return fusedisk.Available() }

func newDisk(dir string, lie bool) (disk, error) {
	d := &powered{dir: dir, opts: fusedisk.Options{Flush: flushTime, PowerCuts: true}}
	if err := d.boot(); err != nil {
		return nil, err
	}
	d.machine.Disk.SetLie(lie)
	return d, nil
}

func (d *powered) root() string { return d.machine.Root }

// cut keeps a random share of the unflushed sectors, most often none.
func (d *powered) cut(rng *rand.Rand) {
	share := max(0, 2*rng.Float64()-1)
	d.image, _ = d.machine.Disk.Cut(func() bool { return rng.Float64() < share })
}

func (d *powered) boot() error {
	d.down()
	m, err := fusedisk.Boot(d.dir, d.image, diskSize, d.opts)
	if err == nil {
		d.machine = m
	}
	return err
}

func (d *powered) down() {
	if d.machine != nil {
		_ = d.machine.Down() // unmounting a disk without power fails in many meaningless ways
		d.machine = nil
	}
}
