package tap_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// failing is a server that writes its snapshots to a folder which is removed on request.
func failing(t *testing.T) (srv *proxytest.Server, breakIt, mend func()) {
	dir := filepath.Join(t.TempDir(), "data")
	mend = func() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Error(err)
		}
		if srv != nil {
			srv.MustDo("CONFIG", "SET", "dir", dir)
		}
	}
	mend()
	args := append([]string{"--repl-diskless-sync", "no", "--dir", dir, "--logfile",
		filepath.Join(t.TempDir(), "log"), "--enable-protected-configs", "yes"}, serverArgs...)
	srv = proxytest.StartServer(t, args...)
	return srv, func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}, mend
}

// TestBaseFails: a base that does not come says why, in the server's own words, until one comes.
func TestBaseFails(t *testing.T) {
	t.Parallel()
	srv, breakIt, mend := failing(t)
	r := newRig(t, srv.Addr)
	r.start().attached()
	breakIt()
	for n := range 2 {
		_, err := r.tap.Snapshot(context.Background())
		s := r.tap.Stats()
		if err == nil || !strings.Contains(err.Error(), "the server's log: ") ||
			!strings.Contains(err.Error(), "No such file or directory") {
			t.Errorf("without the server's words: %v", err)
		}
		if s.BaseErr == nil || s.BaseFailing < int64(n+1) ||
			s.BaseSince.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	mend()
	proxytest.Poll(t, "a base by itself", func() bool { return r.tap.Stats().BaseErr == nil })
	if s := r.tap.Stats(); s.BaseErr != nil || s.BaseFailing != 0 || !s.BaseSince.IsZero() {
		t.Errorf("after one that came: %+v", s)
	}
}

// TestFirstBaseFails: the same for the snapshot that the replication connection begins with.
func TestFirstBaseFails(t *testing.T) {
	t.Parallel()
	srv, breakIt, mend := failing(t)
	breakIt()
	r := newRig(t, srv.Addr).start()
	proxytest.Poll(t, "the failure", func() bool {
		err := r.tap.Stats().BaseErr
		return err != nil && strings.Contains(err.Error(), "No such file or directory")
	})
	mend()
	r.attached()
	proxytest.Poll(t, "no failure", func() bool { return r.tap.Stats().BaseErr == nil })
}

// TestForksBackOff: the pause after snapshots that failed grows, whatever else fails quickly.
func TestForksBackOff(t *testing.T) {
	t.Parallel()
	got := tap.ForkPauses(9)
	want := "1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestEarlyBase: from disk.warn on a base is taken before its time where the stream since the last one
// is long, so that retention has something to drop; not before, and not where there is no room for it.
func TestEarlyBase(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	disk := vfstest.NewMem()
	r := newRig(t, srv.Addr)
	r.journal.FS, r.journal.Disk = disk, journal.DiskLimits{Warn: 50, Stop: 90}
	r.journal.Poll, r.journal.SegmentBytes = time.Millisecond, 8<<20
	r.start().attached()
	first := r.view().Bases()[0]
	fill(srv, 66<<20)
	end := r.caughtUp(srv)
	used := func() int64 {
		s := r.j.Stats()
		return s.SegmentBytes + s.BaseBytes
	}
	if r.tap.BaseDue() {
		t.Error("a base is due on an empty disk")
	}
	disk.SetCapacity(used() + 100) // warned of, and no room
	proxytest.Poll(t, "the disk's end", func() bool { return r.j.State() != journal.StateOK })
	if r.tap.BaseDue() {
		t.Error("a base is due where none fits")
	}
	disk.SetCapacity(used() * 3 / 2)
	proxytest.Poll(t, "a base by itself", func() bool {
		bases := r.view().Bases()
		return bases[len(bases)-1].Offset >= end && bases[len(bases)-1].File != first.File
	})
	if r.j.State() != journal.StateWarn || r.tap.BaseDue() {
		t.Errorf("state %s, another base is due: %t", r.j.State(), r.tap.BaseDue())
	}
}
