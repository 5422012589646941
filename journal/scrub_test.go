package journal

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// TestScrub finds damage in bases and sealed segments, and a damaged base leads nowhere any more.
func TestScrub(t *testing.T) {
	mem := vfstest.NewMem()
	j := open(t, testOptions(mem))
	defer closeJournal(t, j)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	for at := int64(0); at < 40_000; at += 500 {
		add(t, j, tl.ID, at, at+500)
	}
	newest := addBase(t, j, tl.ID, 40_000, time.Now())
	if problems, err := j.Scrub(t.Context(), 0); err != nil || len(problems) != 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	v, err := j.View()
	check(t, err)
	s := site{disk: mem}
	s.edit(t, v.Segments()[1].File, func(f vfs.File) { flip(t, f, 700) })
	s.edit(t, newest.File, func(f vfs.File) { flip(t, f, 12) })
	problems, err := j.Scrub(t.Context(), 0)
	if err != nil || len(problems) != 2 || problems[0].File != v.Segments()[1].File ||
		!errors.Is(problems[0].Err, ErrDamaged) || !errors.Is(problems[1].Err, ErrBase) {
		t.Errorf("%v, %v", problems, err)
	}
	if v, err = j.View(); err != nil {
		t.Fatal(err)
	}
	if b, err := v.BaseFor(tl.ID, 40_000); err != nil || b.Offset != 0 {
		t.Errorf("the base is at %d (%v), want 0", b.Offset, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Scrub(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestScrubGoesOn: a round that is interrupted again and again comes to its end, reads each file once,
// and finds damage again that it had found before.
func TestScrubGoesOn(t *testing.T) {
	mem := vfstest.NewMem()
	reads := map[string]int{}
	var stop context.CancelFunc
	var mu sync.Mutex // the journal reads on goroutines of its own, too
	faulty := vfstest.WithFaults(mem, func(op vfstest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == vfstest.OpRead && stop != nil {
			if reads[op.Path]++; len(reads) > 4 { // after a few files
				stop()
			}
		}
		return nil
	})
	o := testOptions(faulty)
	j := open(t, o)
	tl := start(t, j, "a", 0)
	for at := int64(0); at < 100_000; at += 500 {
		add(t, j, tl.ID, at, at+500)
	}
	newest := addBase(t, j, tl.ID, 100_000, time.Now())
	s := site{disk: mem}
	s.edit(t, newest.File, func(f vfs.File) { flip(t, f, 12) })
	total := map[string]int{}
	for round := 0; ; round++ {
		proxytest.Poll(t, "the search for events to have read the log", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.watch.live // from here on only the scrub reads files
		})
		ctx, cancel := context.WithCancel(t.Context())
		mu.Lock()
		stop = cancel
		clear(reads)
		mu.Unlock()
		problems, err := j.Scrub(ctx, 0)
		mu.Lock()
		for path := range reads {
			total[path]++
		}
		stop = nil
		mu.Unlock()
		cancel()
		if err == nil {
			if len(problems) != 1 || problems[0].File != newest.File {
				t.Errorf("%v", problems)
			}
			break
		}
		if round > 40 {
			t.Fatal("it does not come to an end")
		}
		if _, begun := j.ScrubDue(time.Hour); !begun {
			t.Error("a round that is not begun")
		}
		closeJournal(t, j)
		j = open(t, o)
	}
	if len(total) < 5 {
		t.Errorf("%d files were read", len(total))
	}
	if wait, begun := j.ScrubDue(time.Hour); begun || wait < time.Hour-time.Minute {
		t.Errorf("due in %v, begun %t", wait, begun)
	}
	closeJournal(t, j)
}

// TestPace takes as long as the rate says, on a clock that nothing else moves.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := &pace{ctx: t.Context(), rate: 1000}, time.Now()
		for range 11 {
			check(t, p.take(500))
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("5,000 bytes at 1,000 a second took %v", took)
		}
	})
}
