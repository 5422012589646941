package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/journal/vfs"
)

// scrubName is the file with a scrub's progress, so that a scrub longer than the process's life
// finishes.
const scrubName = "scrub.json"

// scrubSave is the interval between its writes.
const scrubSave = 10 * time.Second

// scrubRound is one round of a scrub.
type scrubRound struct {
	Journal string    `json:"journal"` // its identity
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	Sound   []string  `json:"sound,omitempty"` // sound files; a file never changes
}

// lastRound is the last round begun; false if none was.
func (j *Journal) lastRound() (scrubRound, bool) {
	var r scrubRound
	ok, err := readFile(j.fs(), j.opts.Dir, scrubName, &r)
	j.logged("scrub", err)
	return r, ok && r.Journal == hex.EncodeToString(j.id[:])
}

// ScrubDue is the wait before the next round of a scrub, and whether to resume an interrupted one.
func (j *Journal) ScrubDue(every time.Duration) (wait time.Duration, begun bool) {
	r, ok := j.lastRound()
	if !ok || r.Ended.IsZero() {
		return 0, ok
	}
	return min(max(0, r.Ended.Add(every).Sub(j.opts.Now())), every), false
}

// Scrub reads all bases and sealed segments again, at a rate of bytes a second at most, and returns
// the files that have changed. A base that is damaged leads nowhere from then on. An interrupted
// round resumes: files found sound are not read again. The error is the context's.
func (j *Journal) Scrub(ctx context.Context, rate int64) ([]Problem, error) {
	v, err := j.View()
	if err != nil {
		return nil, err
	}
	round, ok := j.lastRound()
	if !ok || !round.Ended.IsZero() {
		round = scrubRound{Journal: hex.EncodeToString(j.id[:]), Began: j.opts.Now()}
	}
	saved := time.Now()
	disk := v.fs
	v.fs = &pacedFS{FS: disk, pace: &pace{ctx: ctx, rate: rate}}
	c := verifier{view: v, ctx: ctx, sealed: true,
		skip: func(file string) bool { return slices.Contains(round.Sound, file) },
		sound: func(file string) {
			round.Sound = append(round.Sound, file)
			if time.Since(saved) > scrubSave {
				saved = time.Now()
				j.logged("scrub", leaveFile(disk, j.opts.Dir, scrubName, &round))
			}
		}}
	problems, err := c.run()
	for _, p := range problems {
		if errors.Is(p.Err, ErrBase) {
			j.forsake(p.File)
		}
	}
	if err == nil {
		round.Ended, round.Sound = j.opts.Now(), nil
	}
	j.logged("scrub", leaveFile(disk, j.opts.Dir, scrubName, &round))
	return problems, err
}

// forsake stops counting a base.
func (j *Journal) forsake(file string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.catalog.bases, func(b Base) bool { return b.File == file })
	if i >= 0 {
		j.catalog.bases[i].Missing = true
	}
}

// pace bounds an average rate.
type pace struct {
	ctx  context.Context
	rate int64 // bytes a second; 0: no bound

	mu   sync.Mutex
	free time.Time // when the bytes taken are paid for
}

// take waits until n bytes may be read. The error is the context's.
func (p *pace) take(n int) error {
	if p.rate <= 0 {
		return p.ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	wait := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	return ctxtime.Sleep(p.ctx, wait)
}

// pacedFS is a disk whose files are read at a pace.
type pacedFS struct {
	vfs.FS
	pace *pace
}

// Open implements vfs.FS.
func (d *pacedFS) Open(path string) (vfs.File, error) {
	f, err := d.FS.Open(path)
	if err != nil {
		return nil, err
	}
	return &pacedFile{f, d.pace}, nil
}

type pacedFile struct {
	vfs.File
	pace *pace
}

// ReadAt implements io.ReaderAt.
func (f *pacedFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.pace.take(len(b)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}
