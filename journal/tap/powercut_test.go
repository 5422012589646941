package tap_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// TestPowerCut asks the primary with WAIT whether a write is confirmed, and cuts the power of the
// journal's disk at that moment: what was confirmed is there, and a base leads to it.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		disk := vfstest.NewMem()
		r := newRig(t, srv.Addr)
		r.journal.FS, r.journal.SegmentBytes = disk, 64<<10
		r.opts.FACK = true
		r.start()
		seed := uint64(time.Now().UnixNano())
		rnd := rand.New(rand.NewPCG(seed, 0))
		conn := srv.Client().Conn()
		defer conn.Close()
		ctx := context.Background()
		// Until then WAIT counts the journal for offset 0, to which no base leads.
		proxytest.Poll(t, "the first base", func() bool {
			return r.tap.Confirmed() != (journal.Position{})
		})
		for n := range 60 {
			if err := conn.Set(ctx, "k", make([]byte, rnd.IntN(8000)), 0).Err(); err != nil {
				t.Fatal(err)
			}
			end := offset(srv) // of nothing but this write: there are no PINGs
			switch n {
			case 20, 40:
				if _, err := r.tap.Snapshot(ctx); err != nil {
					t.Fatal(err)
				}
			case 30:
				srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
			}
			proxytest.Poll(t, "WAIT", func() bool {
				v, err := conn.Do(ctx, "WAIT", 1, 1000).Result()
				if err != nil {
					t.Fatal(err)
				}
				return v == int64(1)
			})
			checkClone(t, disk.CrashClone(rnd), r.journal, end, seed)
		}
	}, append([]string{"--repl-ping-replica-period", "3600"}, serverArgs...)...)
}

// checkClone recovers a journal from what a power cut left.
func checkClone(t *testing.T, disk vfs.FS, o journal.Options, end int64, seed uint64) {
	t.Helper()
	o.FS, o.Logger = disk, nil
	j, err := journal.Open(o)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer j.Close()
	view, err := j.View()
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	cur, _ := view.Current()
	if cur.End < end {
		t.Fatalf("seed %d: %d survived, %d was confirmed", seed, cur.End, end)
	}
	if base, err := view.BaseFor(cur.ID, end); err != nil {
		t.Fatalf("seed %d: offset %d was confirmed, and nothing leads there: %v (%+v)", seed, end, err,
			base)
	}
}
