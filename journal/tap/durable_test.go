package tap_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// acked is the offset that the server knows of its only replica.
func acked(srv *proxytest.Server) int64 {
	for field := range strings.SplitSeq(srv.Info("replication")["slave0"], ",") {
		if text, ok := strings.CutPrefix(field, "offset="); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				panic(err)
			}
			return n
		}
	}
	return -1
}

// TestAcknowledgesOnlyWhatIsDurable holds the disk back: the socket is read, nothing is
// acknowledged; WAIT, which asks with GETACK, does not count us either.
func TestAcknowledgesOnlyWhatIsDurable(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		disk := &slowDisk{}
		r := newRig(t, srv.Addr)
		r.journal.FS = disk.fs()
		r.start().attached()
		r.caughtUp(srv)
		defer disk.release()
		conn := srv.Client().Conn()
		defer conn.Close()
		ctx := context.Background()
		wait := func(ms int) any {
			v, err := conn.Do(ctx, "WAIT", 1, ms).Result()
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		disk.hold()
		durable := offset(srv)
		if err := conn.Do(ctx, "SET", "k", strings.Repeat("x", 5<<20)).Err(); err != nil {
			t.Fatal(err)
		}
		end := offset(srv)
		proxytest.Poll(t, "the socket to be read while the disk stands", func() bool {
			return r.j.Received().Offset >= end
		})
		if n := wait(300); n != int64(0) {
			t.Errorf("WAIT says %v while the disk stands", n)
		}
		if n := acked(srv); n > durable || r.tap.Confirmed().Offset > durable {
			t.Errorf("acknowledged %d, confirmed %d; durable is %d", n, r.tap.Confirmed().Offset,
				durable)
		}
		disk.release()
		if n := wait(20_000); n != int64(1) {
			t.Errorf("WAIT says %v once the disk goes on", n)
		}
	}, serverArgs...)
}

// TestStopsReadingAtTheLimit fills the journal's memory: then, and only then, the tap stops
// reading, and goes on by itself.
func TestStopsReadingAtTheLimit(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	disk := &slowDisk{}
	r := newRig(t, srv.Addr)
	r.journal.FS, r.journal.MaxPending = disk.fs(), 1<<20
	r.start().attached()
	r.caughtUp(srv)
	defer disk.release()
	disk.hold()
	before := r.tap.Stats().BytesRead
	fill(srv, 12<<20)
	proxytest.Poll(t, "the memory to be full", func() bool {
		return r.tap.Stats().BytesRead-before >= 1<<20-256<<10 // less than one read is left
	})
	if n := r.tap.Stats().BytesRead - before; n > 2<<20 {
		t.Errorf("%d bytes were read with a limit of %d", n, 1<<20)
	}
	disk.release()
	r.caughtUp(srv)
	if s := r.tap.Stats(); s.FullResyncs != 1 || s.Connects != 1 {
		t.Errorf("stats %+v, want one connection", s)
	}
}

// TestBaseCountsOnceDurable holds the disk back while the snapshot is to be synced.
func TestBaseCountsOnceDurable(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	fill(srv, 100_000)
	disk := &slowDisk{}
	r := newRig(t, srv.Addr)
	var held atomic.Bool
	r.journal.FS = vfstest.WithFaults(disk.fs(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpCreate && strings.Contains(op.Path, "base") {
			disk.hold()
			held.Store(true)
		}
		return nil
	})
	r.start()
	defer disk.release()
	proxytest.Poll(t, "the snapshot to be there", func() bool {
		return held.Load() && srv.Info("replication")["slave0"] != "" && r.tap.Stats().FullResyncs == 1
	})
	if n := acked(srv); n > 0 || r.tap.Confirmed() != (journal.Position{}) {
		t.Errorf("acknowledged %d, confirmed %+v before the base is durable", n, r.tap.Confirmed())
	}
	disk.release()
	r.attached()
	srv.MustDo("SET", "k", 1)
	r.caughtUp(srv)
	proxytest.Poll(t, "the acknowledgement", func() bool { return acked(srv) == offset(srv) })
}

func TestFACK(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"valkey", "redis"} {
		for _, fack := range []bool{true, false} {
			srv := proxytest.Spec{Kind: kind, Args: serverArgs}.Start(t)
			r := newRig(t, srv.Addr)
			r.opts.FACK = fack
			r.start().attached()
			conn := srv.Client().Conn()
			defer conn.Close()
			ctx := context.Background()
			if err := conn.Do(ctx, "SET", "k", 1).Err(); err != nil {
				t.Fatal(err)
			}
			timeout, want := 10_000, int64(1)
			if !fack {
				timeout, want = 300, 0
			}
			v, err := conn.Do(ctx, "WAITAOF", 0, 1, timeout).Slice()
			if err != nil || v[1] != want {
				t.Errorf("%s, FACK %v: WAITAOF says %v (%v), want %d replicas", kind, fack, v, err, want)
			}
		}
	}
}

func TestJournalFails(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := newRig(t, srv.Addr)
	broken := make(chan struct{})
	r.journal.FS = vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
		select {
		case <-broken:
			if op.Kind == vfstest.OpSync || op.Kind == vfstest.OpCreate {
				return syscall.EIO
			}
		default:
		}
		return nil
	})
	r.start().attached()
	close(broken)
	srv.MustDo("SET", "k", 1)
	<-r.j.Failed()
	proxytest.Poll(t, "the tap to stop", func() bool { return r.tap.Stats().State == tap.Stopped })
	if err := r.stop(); !errors.Is(err, journal.ErrFailed) {
		t.Errorf("Run returned %v, want ErrFailed", err)
	}
	proxytest.Poll(t, "the server to notice", func() bool {
		return srv.Info("replication")["connected_slaves"] == "0"
	})
}

func TestBaseByBytesAndAge(t *testing.T) {
	t.Parallel()
	for _, policy := range []tap.BasePolicy{{Bytes: 300_000}, {Every: 50 * time.Millisecond}} {
		srv := proxytest.StartServer(t, serverArgs...)
		r := newRig(t, srv.Addr)
		r.opts.Base = policy
		r.start().attached()
		srv.MustDo("SELECT", 0)
		fill(srv, 400_000)
		proxytest.Poll(t, "a base", func() bool { return r.tap.Stats().Bases >= 1 })
		r.caughtUp(srv)
		bases := r.view().Bases()
		if last := bases[len(bases)-1]; len(bases) < 2 || last.Timeline != 1 ||
			last.Offset <= bases[0].Offset && policy.Bytes > 0 {
			t.Errorf("%+v: bases %+v", policy, bases)
		}
		if s := r.tap.Stats(); s.FullResyncs != 1 || s.Connects != 1 {
			t.Errorf("%+v: stats %+v; the replication connection must not notice", policy, s)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := newRig(t, srv.Addr).start().attached()
		srv.MustDo("SET", "k", 1)
		at := offset(srv)
		base, err := r.tap.Snapshot(context.Background())
		if err != nil || base.Offset < at || base.Timeline != 1 {
			t.Errorf("Snapshot = %+v, %v; want one at %d or later", base, err, at)
		}
		srv.Kill()
		proxytest.Poll(t, "the end", func() bool { return !r.tap.Attached() })
		if _, err := r.tap.Snapshot(context.Background()); err == nil {
			t.Error("Snapshot succeeded without a primary")
		}
	}, serverArgs...)
}

// fullDisk is a disk that says how much room it has left.
type fullDisk struct {
	vfs.FS
	free atomic.Int64
}

func (d *fullDisk) Usage(string) (vfs.Usage, error) {
	return vfs.Usage{Total: 1 << 30, Free: d.free.Load()}, nil
}

// TestSnapshotWithoutRoom is not begun, unless nothing goes without it.
func TestSnapshotWithoutRoom(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	disk := &fullDisk{FS: vfs.OS{}}
	disk.free.Store(50)
	r := newRig(t, srv.Addr)
	r.journal.FS = disk
	r.start().attached()
	if _, err := r.tap.Snapshot(context.Background()); !errors.Is(err, journal.ErrSpace) {
		t.Errorf("got %v, want %v", err, journal.ErrSpace)
	}
	disk.free.Store(1 << 20)
	if _, err := r.tap.Snapshot(context.Background()); err != nil {
		t.Error(err)
	}
}
