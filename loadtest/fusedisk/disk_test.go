//go:build linux

package fusedisk

import (
	"bytes"
	"testing"
)

// newDisk is a disk that is not mounted, of four sectors.
func newDisk() *Disk {
	return &Disk{
		opts: Options{PowerCuts: true}, current: make([]byte, 4*sector),
		durable: make([]byte, 4*sector), dirty: map[int]struct{}{},
	}
}

// fill writes b over a whole sector.
func (d *Disk) fill(s int, b byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(s*sector, bytes.Repeat([]byte{b}, sector))
}

// left is the first byte of each sector after a cut that keeps nothing it need not keep.
func (d *Disk) left() string {
	image, _ := d.Cut(func() bool { return false })
	var out []byte
	for s := range 4 {
		out = append(out, image[s*sector]|'0')
	}
	return string(out)
}

func TestWhatACutLeaves(t *testing.T) {
	tests := []struct {
		name string
		do   func(d *Disk)
		want string
	}{
		{"not flushed", func(d *Disk) { d.fill(0, 1) }, "0000"},
		{"flushed", func(d *Disk) { d.fill(0, 1); d.endFlush(d.beginFlush()) }, "1000"},
		{"flush in the middle", func(d *Disk) { d.fill(0, 1); d.beginFlush() }, "0000"},
		{"written while it was flushed", func(d *Disk) {
			d.fill(0, 1)
			f := d.beginFlush()
			d.fill(0, 2)
			d.fill(1, 2)
			d.endFlush(f)
		}, "1000"},
		{"a later flush ends first", func(d *Disk) {
			d.fill(0, 1)
			d.beginFlush()
			d.fill(1, 2)
			d.endFlush(d.beginFlush())
		}, "1200"},
		{"and the earlier one after it", func(d *Disk) {
			d.fill(0, 1)
			early := d.beginFlush()
			d.fill(0, 2)
			d.endFlush(d.beginFlush())
			d.endFlush(early)
		}, "2000"},
		{"a lie", func(d *Disk) { d.SetLie(true); d.fill(0, 1); d.endFlush(d.beginFlush()) }, "0000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk()
			tt.do(d)
			if got := d.left(); got != tt.want {
				t.Errorf("sectors after the cut: %s, want %s", got, tt.want)
			}
		})
	}
}

func TestACutKeepsWhatChanceSays(t *testing.T) {
	d := newDisk()
	d.fill(0, 1)
	d.beginFlush()
	d.fill(0, 2)
	d.fill(1, 3)
	image, lost := d.Cut(func() bool { return true })
	if image[0] != 2 || image[sector] != 3 || lost != 0 {
		t.Errorf("kept %d and %d, lost %d; want 2, 3 and 0", image[0], image[sector], lost)
	}
}

func TestOffMeansEIO(t *testing.T) {
	d := newDisk()
	f := d.beginFlush()
	d.left()
	if errno := d.endFlush(f); errno == 0 {
		t.Error("a flush that the cut met was answered as done")
	}
	if _, errno := d.answer(opRead, diskNode, make([]byte, 40)); errno == 0 {
		t.Error("a disk without power was read")
	}
}
