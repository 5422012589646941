package recorder

import (
	"log/slog"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// TestRecorderProves goes through what a durable route asks of a journal. Nothing here looks twice
// unless the watcher said so: a change that is not told of ends in the test's deadline.
func TestRecorderProves(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb")
	var broken atomic.Bool
	disk := vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
		if broken.Load() && (op.Kind == vfstest.OpSync || op.Kind == vfstest.OpCreate) {
			return syscall.EIO
		}
		return nil
	})
	o := Options{Dir: t.TempDir(), FS: disk, Retry: time.Millisecond}
	r, err := Open(o, upstream.Options{Address: server.Addr}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	told := make(chan struct{}, 1)
	r.Watch(func() {
		select {
		case told <- struct{}{}:
		default:
		}
	})
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(time.Minute)
		for !ok() {
			select {
			case <-told:
			case <-deadline:
				t.Fatalf("waited in vain for %s; unavailable %q", what, r.unavailable().Why)
			}
		}
	}
	because := func(reason string) func() bool {
		return func() bool { return r.unavailable().Why == reason }
	}
	until("the journal to be available", because(""))
	server.MustDo("SET", "a", 1)
	r.Hurry()
	info := server.Info("replication")
	end, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	until("the offset", func() bool {
		id, offset := r.Confirmed()
		return id == info["master_replid"] && offset >= end
	})
	broken.Store(true)
	server.MustDo("SET", "a", 2)
	until("the failure", because("the journal has failed"))
	if id, offset := r.Confirmed(); id != info["master_replid"] || offset < end {
		t.Errorf("a failed journal confirms %d of %s, no more what it has", offset, id)
	}
	broken.Store(false)
	until("the journal to be open again", because(""))
	server.Kill()
	until("the end of the server", because("the journal does not follow the server"))
}
