package journal

import (
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
)

func TestSetLimits(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	good := Retention{Age: time.Hour, Bytes: 1 << 30}
	if err := j.SetLimits(good, DiskLimits{Warn: 50, Stop: 60}); err != nil {
		t.Fatal(err)
	}
	if err := j.SetLimits(Retention{Age: -1}, DiskLimits{}); err == nil {
		t.Error("a negative age was taken")
	}
	if err := j.SetLimits(good, DiskLimits{Warn: 70, Stop: 60}); err == nil {
		t.Error("warn above stop was taken")
	}
	if j.opts.Retention != good || j.opts.Disk != (DiskLimits{Warn: 50, Stop: 60}) {
		t.Errorf("in force: %+v, %+v", j.opts.Retention, j.opts.Disk)
	}
}
