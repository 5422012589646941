package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
)

// promise is what a journal had promised at the moment of a crash.
type promise struct {
	durable   Position
	timelines int
	bases     int
	gaps      int
	incidents int
}

// crashSite is a disk on which a workload runs and which is cloned before each operation that
// changes it.
type crashSite struct {
	mem  *vfstest.Mem
	seed uint64

	mu     sync.Mutex
	j      *Journal
	noted  promise
	points int
	check  func(clone *vfstest.Mem, p promise) error
	failed error // of the first check that did
}

func (c *crashSite) before(op vfstest.Op) error {
	switch op.Kind {
	case vfstest.OpWrite, vfstest.OpSync, vfstest.OpSyncDir, vfstest.OpRename, vfstest.OpRemove, vfstest.OpTruncate,
		vfstest.OpCreate, vfstest.OpPreallocate, vfstest.OpClose:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.noted
	if c.j != nil {
		p.durable = c.j.Durable()
	}
	c.points++
	name := fmt.Sprintf("point %d, before %s of %s at %d", c.points, op.Kind, op.Path, op.Offset)
	c.checked(name+", nothing unsynced kept", c.mem.CrashClone(nil), p)
	c.checked(name+", everything kept", c.mem.Clone(), p)
	for n := range uint64(2) {
		r := rand.New(rand.NewPCG(c.seed, uint64(c.points)<<8|n))
		c.checked(fmt.Sprintf("%s, mixture %d of seed %d", name, n, c.seed), c.mem.CrashClone(r), p)
	}
	return nil
}

// checked runs the check. It is on the goroutine of whoever uses the disk, so a failure is kept
// for the test to find.
func (c *crashSite) checked(name string, clone *vfstest.Mem, p promise) {
	if c.failed != nil {
		return
	}
	if err := c.check(clone, p); err != nil {
		c.failed = fmt.Errorf("%s: %w", name, err)
	}
}

// done gives the number of points and fails the test if a check did.
func (c *crashSite) done(t *testing.T) int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		t.Fatal(c.failed)
	}
	return c.points
}

// promised notes what a call that returned has promised.
func (c *crashSite) promised(change func(*promise)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.noted)
}

func (c *crashSite) set(j *Journal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.j = j
	if j == nil {
		return
	}
	c.noted.durable = j.Durable()
}

// TestCrashAnywhere runs a workload of everything that the journal does, stops the machine before
// each single write, sync and change of a name, and opens the rest: everything promised must
// be there, and nothing else than what was appended.
func TestCrashAnywhere(t *testing.T) {
	for seed := range uint64(3) {
		crashWorkload(t, seed+1)
	}
}

func crashWorkload(t *testing.T, seed uint64) {
	c := &crashSite{mem: vfstest.NewMem(), seed: seed, check: recovered}
	o := testOptions(vfstest.WithFaults(c.mem, c.before))
	o.SegmentBytes = 6 << 10
	r := rand.New(rand.NewPCG(seed, 7))
	ctx := context.Background()
	at := int64(0)
	for round := range 3 {
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		c.set(j)
		tl, err := j.StartTimeline(ctx, TimelineStart{ReplID: "a", Start: at, Parent: TimelineID(round),
			Fork: at})
		if err != nil {
			t.Fatal(err)
		}
		c.promised(func(p *promise) { p.timelines++ })
		for step := range 12 {
			n := r.Int64N(900) + 1
			add(t, j, tl.ID, at, at+n)
			at += n
			if step == 6 {
				addBase(t, j, tl.ID, at, time.Now())
				c.promised(func(p *promise) { p.bases++ })
			}
		}
		if err := j.AddGap(ctx, Gap{Timeline: tl.ID, From: at, To: at + 10}); err != nil {
			t.Fatal(err)
		}
		at += 10
		c.promised(func(p *promise) { p.gaps++ })
		if err := j.AddIncident(ctx, Incident{Timeline: tl.ID, From: at - 20, To: at}); err != nil {
			t.Fatal(err)
		}
		c.promised(func(p *promise) { p.incidents++ })
		closeJournal(t, j)
		c.set(nil)
	}
	if n := c.done(t); n < 150 {
		t.Errorf("%d points only", n)
	}
}

// recovered opens what a crash left, without and with changing it, and compares it with what was
// promised.
func recovered(clone *vfstest.Mem, p promise) error {
	v, err := OpenView(clone, testDir)
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	if err := keepsPromise(v, p); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	o := testOptions(clone)
	o.SegmentBytes = 6 << 10
	j, err := Open(o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if v, err = j.View(); err != nil {
		return err
	}
	if err := keepsPromise(v, p); err != nil {
		return fmt.Errorf("opened: %w", err)
	}
	problems, err := v.Verify(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if len(problems) > 0 {
		return fmt.Errorf("verify: %v", problems)
	}
	if err := j.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	names, err := clone.List(testDir)
	for _, n := range names {
		if strings.HasSuffix(n, tmpSuffix) {
			return fmt.Errorf("%s is left", n)
		}
	}
	return err
}

func keepsPromise(v *View, p promise) error {
	got := promise{timelines: len(v.Timelines()), bases: len(v.Bases()), gaps: len(v.Gaps()),
		incidents: len(v.Incidents())}
	if got.timelines < p.timelines || got.bases < p.bases || got.gaps < p.gaps ||
		got.incidents < p.incidents {
		return fmt.Errorf("have %+v, promised %+v", got, p)
	}
	for _, b := range v.Bases() {
		if b.Missing {
			return fmt.Errorf("base %s is missing", b.File)
		}
	}
	if p.durable.Timeline == 0 {
		return nil
	}
	tl, ok := v.Timeline(p.durable.Timeline)
	if !ok || tl.End < p.durable.Offset {
		return fmt.Errorf("timeline %+v, promised %+v", tl, p.durable)
	}
	for _, tl := range v.Timelines() {
		if err := wholePieces(v, tl); err != nil {
			return err
		}
	}
	return nil
}

// wholePieces checks every byte between the gaps of a timeline.
func wholePieces(v *View, tl Timeline) error {
	for at := tl.Start; at < tl.End; {
		got, err := readAll(v, tl.ID, at)
		if string(got) != string(contentOf(at, at+int64(len(got)))) {
			return fmt.Errorf("other bytes behind %d", at)
		}
		at += int64(len(got))
		if err == nil {
			return nil
		}
		var gap *GapError
		if !errors.As(err, &gap) || gap.From != at {
			return fmt.Errorf("at %d: %w", at, err)
		}
		at = gap.To
	}
	return nil
}

// A crash while an error of the disk is stepped round: at each moment what was promised is in the
// old segment or in the new one, and never is anything there twice.
func TestCrashAroundAnError(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.OpWrite, vfstest.OpSync, vfstest.OpTruncate, vfstest.OpRename} {
		for nth := range 4 {
			c := &crashSite{mem: vfstest.NewMem(), seed: uint64(nth), check: recovered}
			var left countdown
			left.Store(-1)
			disk := vfstest.WithFaults(vfstest.WithFaults(c.mem, c.before), func(op vfstest.Op) error {
				if op.Kind == kind && left.strikes() {
					return syscall.EIO
				}
				return nil
			})
			o := testOptions(disk)
			o.SegmentBytes = 6 << 10
			j := open(t, o)
			c.set(j)
			tl := start(t, j, "a", 0)
			add(t, j, tl.ID, 0, 3000)
			left.Store(int64(nth))
			for at := int64(3000); at < 9000; at += 750 {
				add(t, j, tl.ID, at, at+750)
			}
			if left.Load() == -1 && j.Stats().DiskErrors != 1 {
				t.Errorf("%s %d: %+v", kind, nth, j.Stats())
			}
			c.done(t)
			c.set(nil)
			left.Store(-1)
			closeJournal(t, j)
		}
	}
}

// A crash during recovery leaves something that the next recovery understands.
func TestCrashDuringRecovery(t *testing.T) {
	for seed := range uint64(15) {
		mem := vfstest.NewMem()
		j, err := Open(testOptions(mem))
		if err != nil {
			t.Fatal(err)
		}
		tl := start(t, j, "a", 0)
		add(t, j, tl.ID, 0, 5000)
		addBase(t, j, tl.ID, 0, time.Now())
		p := promise{durable: j.Durable(), timelines: 1, bases: 1}
		// A torn batch behind the promise.
		r := rand.New(rand.NewPCG(seed, 1))
		torn := tearLast(t, mem, r)
		closeJournal(t, j)

		c := &crashSite{mem: torn, seed: seed, noted: p, check: recovered}
		j, err = Open(testOptions(vfstest.WithFaults(torn, c.before)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		closeJournal(t, j)
		if n := c.done(t); n < 8 {
			t.Errorf("%d points only", n)
		}
	}
}

// What recovery cuts off is somewhere at any moment: in the segment, or whole in the copy.
func TestCrashKeepsWhatIsCutOff(t *testing.T) {
	mem := vfstest.NewMem()
	j := open(t, testOptions(mem))
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 5000)
	last := view(t, mem).Segments()[0]
	torn := tearLast(t, mem, rand.New(rand.NewPCG(1, 1)))
	closeJournal(t, j)
	read := func(disk *vfstest.Mem, name string, from int64) string {
		f, err := disk.Open(testDir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, max(0, size-from))
		_, _ = f.ReadAt(b, from) // at the end of the file there may be nothing
		return strings.TrimRight(string(b), "\x00")
	}
	want := read(torn, last.File, last.Bytes)
	check := func(disk *vfstest.Mem) {
		names, err := disk.List(testDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, brokenSuffix) && read(disk, n, 0) == want {
				return
			}
		}
		if read(disk, last.File, last.Bytes) != want {
			t.Fatal("what was cut off is gone")
		}
	}
	points := 0
	j, err := Open(testOptions(vfstest.WithFaults(torn, func(vfstest.Op) error {
		points++
		check(torn.CrashClone(nil))
		check(torn.CrashClone(rand.New(rand.NewPCG(1, uint64(points)))))
		return nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	check(torn.CrashClone(nil))
	closeJournal(t, j)
}

// tearLast is the disk with garbage or half a batch behind the last commit.
func tearLast(t *testing.T, mem *vfstest.Mem, r *rand.Rand) *vfstest.Mem {
	t.Helper()
	v := view(t, mem)
	segments := v.Segments()
	last := segments[len(segments)-1]
	clone := mem.Clone()
	f, err := clone.OpenReadWrite(testDir + "/" + last.File)
	if err != nil {
		t.Fatal(err)
	}
	garbage := make([]byte, r.IntN(2000)+1)
	for i := range garbage {
		garbage[i] = byte(r.Uint32())
	}
	garbage[len(garbage)-1] |= 1
	if _, err := f.WriteAt(garbage, last.Bytes); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return clone
}
