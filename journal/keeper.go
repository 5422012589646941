package journal

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"holdfast/journal/vfs"
)

// diskState is the keeper's view of the disk, guarded by the Journal's mutex.
type diskState struct {
	percent    float64
	free       int64
	known      bool    // the file system reports its size
	rate       float64 // bytes of stream a second, over about a minute
	recent     float64 // likewise, since the last look
	timeToFull time.Duration
	warned     bool
	stopped    bool // above Disk.Stop
	full       bool // ENOSPC
}

// runKeeper is the goroutine that watches the disk, keeps a spare segment and applies retention.
func (j *Journal) runKeeper() {
	defer j.stopped.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t := time.NewTicker(j.opts.Poll)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-j.stop:
			return
		case <-j.failed:
			return
		case <-t.C:
		}
		j.noteRate()
		j.lookAtDisk()
		if n%retentionEvery == 0 || j.tight() || j.swollen() {
			j.each("retention", j.Retain(ctx))
			j.lookAtDisk()
		}
		j.each("spare segment", j.keepSpare())
	}
}

func (j *Journal) logged(what string, err error) {
	if err != nil {
		j.again.Tell(j.opts.Logger, slog.LevelWarn, "journal: "+what, err)
	}
}

// each logs the failures of a repeated job; a success ends the condition.
func (j *Journal) each(what string, err error) {
	if err == nil {
		j.again.Over(j.opts.Logger, "journal: "+what)
	}
	j.logged(what, err)
}

// tight reports whether the disk calls for early removal.
func (j *Journal) tight() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tightLocked()
}

func (j *Journal) tightLocked() bool { return j.disk.stopped || j.disk.full }

// noteRate averages the write rate over about a minute.
func (j *Journal) noteRate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	seconds := j.opts.Poll.Seconds()
	now := float64(j.stats.streamBytes-j.rateBytes) / seconds
	j.rateBytes = j.stats.streamBytes
	j.disk.recent = now
	weight := min(1, seconds/60)
	j.disk.rate += (now - j.disk.rate) * weight
}

// lookAtDisk compares the disk with the limits.
func (j *Journal) lookAtDisk() {
	u, err := j.fs().Usage(j.opts.Dir)
	if j.each("disk usage", err); err != nil {
		return
	}
	j.mu.Lock()
	d, limits := &j.disk, j.opts.Disk
	d.percent, d.free, d.known = u.UsedPercent(), u.Free, u.Total > 0
	d.timeToFull = timeToFull(u, limits.Stop, d.rate)
	j.crossed(&d.warned, limits.Warn, "warn")
	j.crossed(&d.stopped, limits.Stop, "stop")
	j.mu.Unlock()
	j.noteState()
}

// crossed records and logs the crossing of a limit, in either direction.
func (j *Journal) crossed(state *bool, limit int, name string) {
	above := limit > 0 && j.disk.percent >= float64(limit)
	if above == *state {
		return
	}
	*state = above
	text := "journal: disk is below its limit again"
	if above {
		text = "journal: disk is above its limit"
	}
	j.opts.Logger.Warn(text, "limit", name, "percent", fmt.Sprintf("%.1f", j.disk.percent),
		"limit_percent", limit, "free_bytes", j.disk.free, "time_to_full", j.disk.timeToFull)
}

// timeToFull is the time until stop percent are used at the present rate.
func timeToFull(u vfs.Usage, stop int, rate float64) time.Duration {
	if stop == 0 {
		stop = 100
	}
	left := float64(u.Free) - float64(u.Total)*float64(100-stop)/100
	if rate < 1 || u.Total == 0 {
		return 0
	}
	const most = 100 * 365 * 24 * time.Hour
	seconds := min(max(0, left)/rate, most.Seconds())
	return time.Duration(seconds * float64(time.Second))
}

// spareTime is how long a segment must last for a spare to be worth its writing: filling it with
// zeros doubles the bytes that the disk writes, and a fast stream writes large batches, which gain
// little from it. That holds from a burst's first second on.
const spareTime = 10 // seconds

// keepSpare makes the next segment's file ahead of time, filled with zeros: an fsync is about a
// third cheaper where the file does not grow (README.md has the figures).
func (j *Journal) keepSpare() error {
	j.mu.Lock()
	wanted := j.spare == "" && !j.disk.warned && !j.disk.full && j.disk.ample(j.opts.SegmentBytes) &&
		max(j.disk.rate, j.disk.recent)*spareTime < float64(j.opts.SegmentBytes)
	j.spares++
	name := fmt.Sprintf("spare-%d%s", j.spares, tmpSuffix)
	j.mu.Unlock()
	if !wanted {
		return nil
	}
	f, err := j.fs().Create(j.path(name))
	if err != nil {
		return err
	}
	err = fillZeros(f, j.opts.SegmentBytes, j.closingErr)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = j.fs().Remove(j.path(name)) // otherwise Open removes it
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spare = name
	return nil
}

// ample reports whether a spare leaves room for the log and the bases.
func (d *diskState) ample(spare int64) bool {
	return !d.known || d.free > 8*spare
}

// closingErr ends the keeper's long work.
func (j *Journal) closingErr() error {
	select {
	case <-j.stop:
		return ErrClosed
	default:
		return nil
	}
}
