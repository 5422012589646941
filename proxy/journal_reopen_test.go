package proxy_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// brokenDisk is a disk that fails while it is told to, in everything that a journal begins with:
// each attempt to open one ends before it has looked at a file.
type brokenDisk struct{ broken atomic.Bool }

func (d *brokenDisk) fs() vfs.FS {
	return vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
		switch op.Kind {
		case vfstest.OpLock, vfstest.OpCreate, vfstest.OpWrite, vfstest.OpTruncate, vfstest.OpSync:
			if d.broken.Load() {
				return syscall.EIO
			}
		}
		return nil
	})
}

// A journal that failed goes on by itself when the disk works again, without a gap: what it had not
// made durable comes from the server's backlog.
func TestJournalComesBack(t *testing.T) {
	t.Parallel()
	server, dir, disk := journalServer(t), t.TempDir(), &brokenDisk{}
	addr, srv := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		o.Journal.FS, o.Journal.Retry = disk.fs(), time.Millisecond
		o.Journal.Required = true
	})
	c := dial(t, addr)
	recorded(t, srv, server)
	for round := range 3 {
		disk.broken.Store(true)
		c.do("SET lost-and-found 1")
		proxytest.Poll(t, "the journal to fail, and readiness to say so", func() bool {
			return strings.Contains(strings.Join(srv.NotReady(), "\n"), "journal: journal has failed") ||
				strings.Contains(strings.Join(srv.NotReady(), "\n"), "input/output error")
		})
		if got := c.do("SET meanwhile 1"); got != "+OK\r\n" {
			t.Errorf("a client is answered %q", got)
		}
		disk.broken.Store(false)
		proxytest.Poll(t, "the journal to be open again", func() bool {
			j, err := srv.Journal(context.Background())
			return err == nil && j.Error == "" && j.Reopens == int64(round+1)
		})
		j := recorded(t, srv, server)
		if j.Gaps != 0 || j.Timeline != 1 || j.FullResyncs != 0 || j.Continues != 1 {
			t.Errorf("round %d: %+v", round, j)
		}
	}
	view, err := journal.OpenView(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := view.Verify(t.Context(), nil); err != nil || len(problems) != 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
	if got := srv.NotReady(); len(got) != 0 {
		t.Errorf("not ready: %q", got)
	}
}

// A journal that turns out to be damaged is left alone where it is required, and the proxy serves
// on.
func TestJournalDamagedStaysClosed(t *testing.T) {
	t.Parallel()
	server, dir, disk := journalServer(t), t.TempDir(), &brokenDisk{}
	addr, srv := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		o.Journal.FS, o.Journal.Retry = disk.fs(), time.Millisecond
		o.Journal.Required = true
	})
	c := dial(t, addr)
	c.do("SET a 1")
	recorded(t, srv, server)
	disk.broken.Store(true)
	c.do("SET a 2")
	proxytest.Poll(t, "an attempt to open the journal again", func() bool { // behind what the failure leaves to tidy up
		j, err := srv.Journal(context.Background())
		return err == nil && strings.Contains(j.Error, "since then")
	})
	spoil(t, dir)
	before := contentsOf(t, dir)
	disk.broken.Store(false)
	proxytest.Poll(t, "the damage to be found", func() bool {
		j, err := srv.Journal(context.Background())
		return err == nil && strings.Contains(j.Error, "damaged")
	})
	if got := contentsOf(t, dir); got != before {
		t.Errorf("the folder was changed from\n%s\nto\n%s", before, got)
	}
	if j, err := srv.Journal(context.Background()); err != nil || j.Reopens != 0 ||
		!strings.Contains(j.Error, "move the folder aside") {
		t.Errorf("%+v, %v", j, err)
	}
	if got := c.do("PING"); got != "+PONG\r\n" {
		t.Errorf("a client is answered %q", got)
	}
}

// A damaged journal that is not required is moved aside as it is, while the proxy runs and when it
// starts, and a new one begins. Readiness says so.
func TestJournalDamagedMovesAside(t *testing.T) {
	t.Parallel()
	server, disk := journalServer(t), &brokenDisk{}
	dir := filepath.Join(t.TempDir(), "j")
	addr, srv := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		o.Journal.FS, o.Journal.Retry = disk.fs(), time.Millisecond
	})
	c := dial(t, addr)
	c.do("SET a 1")
	recorded(t, srv, server)
	disk.broken.Store(true)
	c.do("SET a 2")
	proxytest.Poll(t, "the journal to fail", func() bool {
		j, err := srv.Journal(context.Background())
		return err == nil && j.Error != ""
	})
	spoil(t, dir)
	before := contentsOf(t, dir)
	disk.broken.Store(false)
	moved := wantAside(t, srv, dir, 1)
	if got := contentsOf(t, moved[0]); got != before {
		t.Errorf("the folder was changed from\n%s\nto\n%s", before, got)
	}
	if j := recorded(t, srv, server); j.Timeline != 1 || j.FullResyncs != 1 || j.Error != "" {
		t.Errorf("%+v", j)
	}
}

// wantAside waits until a folder was moved aside, and answers all that were.
func wantAside(t *testing.T, srv *proxy.Served, dir string, n int) []string {
	t.Helper()
	var moved []string
	proxytest.Poll(t, "the folder to be moved aside, and readiness to say so", func() bool {
		moved, _ = filepath.Glob(dir + ".damaged-*")
		return len(moved) == n &&
			strings.Contains(strings.Join(srv.Degraded(), "\n"), "was moved to "+moved[n-1])
	})
	return moved
}

func TestJournalDamagedAtStart(t *testing.T) {
	t.Parallel()
	server := journalServer(t)
	dir := filepath.Join(t.TempDir(), "j")
	func() {
		_, srv := serveServer(t, server.Addr, withJournal(dir))
		recorded(t, srv, server)
	}()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	spoil(t, copied)
	began := time.Now().Add(-time.Millisecond) // the folder's name has milliseconds
	t.Run("the damaged folder", func(t *testing.T) {
		_, srv := serveServer(t, server.Addr, withJournal(copied))
		wantAside(t, srv, copied, 1)
		recorded(t, srv, server)
	})
	// A restart does not forget it.
	_, srv := serveServer(t, server.Addr, withJournal(copied))
	moved := wantAside(t, srv, copied, 1)[0]
	j, err := srv.Journal(context.Background())
	if err != nil || j.Aside == nil || j.Aside.Dir != moved || j.Aside.Why == "" {
		t.Fatalf("%+v, %v", j, err)
	}
	snap, err := srv.Snapshot(context.Background())
	if err != nil || snap.Journal.Aside.Before(began) || snap.Journal.Aside.After(time.Now()) {
		t.Errorf("the metric says %v, %v", snap.Journal.Aside, err)
	}
	// It is settled when the folder is gone.
	if err := os.RemoveAll(moved); err != nil {
		t.Fatal(err)
	}
	if j, err := srv.Journal(context.Background()); err != nil || j.Aside != nil {
		t.Errorf("%+v, %v", j.Aside, err)
	}
	if text := strings.Join(srv.Degraded(), "\n"); strings.Contains(text, moved) {
		t.Error(text)
	}
}

// spoil flips a bit below the promise of the first segment.
func spoil(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "0000000001.seg")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// One byte and nothing else: the proxy looks at the file again all the time.
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 200); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, 200); err != nil {
		t.Fatal(err)
	}
}

// contentsOf lists a journal's files with the times of their last changes.
func contentsOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if d.Name() == "LOCK" {
			return err
		}
		out.WriteString(path + " " + info.ModTime().String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
