package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/journal/vfs"
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
	mem  *vfs.Mem
	seed uint64

	mu     sync.Mutex
	j      *Journal
	noted  promise
	points int
	check  func(name string, clone *vfs.Mem, p promise)
}

func (c *crashSite) before(op vfs.Op) error {
	switch op.Kind {
	case vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpRemove, vfs.OpTruncate,
		vfs.OpCreate, vfs.OpPreallocate, vfs.OpClose:
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
	c.check(name+", nothing unsynced kept", c.mem.CrashClone(nil), p)
	c.check(name+", everything kept", c.mem.Clone(), p)
	for n := range uint64(2) {
		r := rand.New(rand.NewPCG(c.seed, uint64(c.points)<<8|n))
		c.check(fmt.Sprintf("%s, mixture %d of seed %d", name, n, c.seed), c.mem.CrashClone(r), p)
	}
	return nil
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
// each single write, sync and change of a name, and opens what is left: everything promised must
// be there, and nothing else than what was appended.
func TestCrashAnywhere(t *testing.T) {
	for seed := range uint64(3) {
		crashWorkload(t, seed+1)
	}
}

func crashWorkload(t *testing.T, seed uint64) {
	c := &crashSite{mem: vfs.NewMem(), seed: seed}
	c.check = func(name string, clone *vfs.Mem, p promise) { recovered(t, name, clone, p) }
	o := testOptions(vfs.WithFaults(c.mem, c.before))
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
	if c.points < 150 {
		t.Errorf("%d points only", c.points)
	}
}

// recovered opens what a crash left, without and with changing it, and compares it with what was
// promised.
func recovered(t *testing.T, name string, clone *vfs.Mem, p promise) {
	t.Helper()
	v, err := OpenView(clone, testDir)
	if err != nil {
		t.Fatalf("%s: view: %v", name, err)
	}
	wantPromised(t, name+", view", v, p)
	o := testOptions(clone)
	o.SegmentBytes = 6 << 10
	j, err := Open(o)
	if err != nil {
		t.Fatalf("%s: open: %v", name, err)
	}
	if v, err = j.View(); err != nil {
		t.Fatal(err)
	}
	wantPromised(t, name+", opened", v, p)
	problems, err := v.Verify(context.Background(), nil)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%s: verify: %v %v", name, problems, err)
	}
	if err := j.Close(); err != nil {
		t.Fatalf("%s: close: %v", name, err)
	}
	names, err := clone.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, tmpSuffix) {
			t.Fatalf("%s: %s is left", name, n)
		}
	}
}

func wantPromised(t *testing.T, name string, v *View, p promise) {
	t.Helper()
	got := promise{timelines: len(v.Timelines()), bases: len(v.Bases()), gaps: len(v.Gaps()),
		incidents: len(v.Incidents())}
	if got.timelines < p.timelines || got.bases < p.bases || got.gaps < p.gaps ||
		got.incidents < p.incidents {
		t.Fatalf("%s: have %+v, promised %+v", name, got, p)
	}
	for _, b := range v.Bases() {
		if b.Missing {
			t.Fatalf("%s: base %s is missing", name, b.File)
		}
	}
	if p.durable.Timeline == 0 {
		return
	}
	tl, ok := v.Timeline(p.durable.Timeline)
	if !ok || tl.End < p.durable.Offset {
		t.Fatalf("%s: timeline %+v, promised %+v", name, tl, p.durable)
	}
	wantPieces(t, name, v)
}

// wantPieces checks every byte between the gaps of every timeline.
func wantPieces(t *testing.T, name string, v *View) {
	t.Helper()
	for _, tl := range v.Timelines() {
		for at := tl.Start; at < tl.End; {
			got, err := readAll(v, tl.ID, at)
			if string(got) != string(contentOf(at, at+int64(len(got)))) {
				t.Fatalf("%s: other bytes behind %d", name, at)
			}
			at += int64(len(got))
			if err == nil {
				break
			}
			gap, ok := err.(*GapError)
			if !ok || gap.From != at {
				t.Fatalf("%s: at %d: %v", name, at, err)
			}
			at = gap.To
		}
	}
}

// A crash during recovery leaves something that the next recovery understands.
func TestCrashDuringRecovery(t *testing.T) {
	for seed := range uint64(15) {
		mem := vfs.NewMem()
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

		c := &crashSite{mem: torn, seed: seed, noted: p}
		c.check = func(name string, clone *vfs.Mem, p promise) {
			recovered(t, "recovery, "+name, clone, p)
		}
		j, err = Open(testOptions(vfs.WithFaults(torn, c.before)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		closeJournal(t, j)
		if c.points < 8 {
			t.Errorf("%d points only", c.points)
		}
	}
}

// tearLast is the disk with garbage or half a batch behind the last commit.
func tearLast(t *testing.T, mem *vfs.Mem, r *rand.Rand) *vfs.Mem {
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
