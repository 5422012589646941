package journal

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/journal/vfs/vfstest"
)

const testFlush = 100 * time.Millisecond

// rounds lets clients write on a disk whose flush takes a time, each waiting for its write to be
// durable and then for think, and answers how many writes each got through per flush time.
func rounds(t *testing.T, clients int, flush, length time.Duration,
	think func(client int) time.Duration) (perFlush float64, longest time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.WithFaults(vfstest.NewMem(), func(op vfstest.Op) error {
			if op.Kind == vfstest.OpSync {
				time.Sleep(flush)
			}
			return nil
		})
		o := testOptions(disk)
		o.SegmentBytes = 64 << 20
		j := open(t, o)
		defer closeJournal(t, j)
		tl := start(t, j, "a", 0)
		s := &shared{j: j, tl: tl.ID}
		began := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for c := range clients {
			all.Go(func() {
				time.Sleep(think(c))
				for time.Since(began) < length {
					took := s.write(t)
					mu.Lock()
					done++
					longest = max(longest, took)
					mu.Unlock()
					time.Sleep(think(c))
				}
			})
		}
		all.Wait()
		perFlush = float64(done) / float64(clients) * float64(flush) / float64(length)
	})
	return perFlush, longest
}

// shared is the stream that several write to.
type shared struct {
	mu sync.Mutex
	j  *Journal
	tl TimelineID
	at int64
}

// write appends a little and waits until it is durable.
func (s *shared) write(t *testing.T) time.Duration {
	began := time.Now()
	s.mu.Lock()
	err := s.j.Append(t.Context(), s.tl, s.at, contentOf(s.at, s.at+100))
	s.at += 100
	p := Position{s.tl, s.at}
	s.mu.Unlock()
	if err == nil {
		err = s.j.WaitDurable(t.Context(), p)
	}
	if err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

// Those who write again as soon as they were acknowledged come into one batch. Without gathering
// it is 0.5: the time is a fake one, and the figures are exact.
func TestGatherTogether(t *testing.T) {
	for _, clients := range []int{2, 50, 200} {
		n, longest := rounds(t, clients, testFlush, 8*time.Second, func(c int) time.Duration {
			return time.Millisecond + time.Duration(c*c%37)*100*time.Microsecond
		})
		if n < 0.9 {
			t.Errorf("%d clients: %.2f writes of each per flush, the longest took %v", clients, n,
				longest)
		}
	}
}

// Writes that come at random lose next to nothing: it is 0.087 without gathering.
func TestGatherRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	n, longest := rounds(t, 200, testFlush, time.Minute, func(int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rng.ExpFloat64() * float64(time.Second))
	})
	if n < 0.084 || longest > 3*testFlush {
		t.Errorf("%.3f writes of each per flush, the longest took %v", n, longest)
	}
}

// Who writes alone never waits for others.
func TestGatherAlone(t *testing.T) {
	n, longest := rounds(t, 1, testFlush, 20*time.Second, func(int) time.Duration {
		return time.Millisecond
	})
	if n < 0.99 || longest > testFlush {
		t.Errorf("%.3f writes per flush, the longest took %v", n, longest)
	}
}

// A fast disk is not waited for, whoever comes.
func TestGatherFastDisk(t *testing.T) {
	const flush = gatherAbove / 2
	_, longest := rounds(t, 50, flush, time.Second, func(c int) time.Duration {
		return time.Duration(c*c%37) * 10 * time.Microsecond
	})
	if longest > 2*flush {
		t.Errorf("the longest took %v with a flush of %v", longest, flush)
	}
}
