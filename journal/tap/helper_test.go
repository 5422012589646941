package tap_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// serverArgs make full resyncs quick and backlogs long enough.
var serverArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb"}

// rig is a journal and the tap that fills it. Fields may be set between start and stop.
type rig struct {
	t       testing.TB
	opts    tap.Options     // Journal is set by start
	journal journal.Options // likewise
	log     logBuffer

	j    *journal.Journal
	tap  *tap.Tap
	stop func() error // ends the tap, then the journal; the tap's error
}

// newRig makes a rig for a server; nothing runs yet.
func newRig(t testing.TB, address string) *rig {
	r := &rig{t: t}
	logger := slog.New(slog.NewTextHandler(&r.log, nil))
	r.journal = journal.Options{Dir: t.TempDir(), SegmentBytes: 512 << 10, Logger: logger}
	r.opts = tap.Options{Address: address, Logger: logger, BackoffMin: 2 * time.Millisecond,
		BackoffMax: 20 * time.Millisecond}
	return r
}

// start opens the journal and runs the tap.
func (r *rig) start() *rig {
	r.t.Helper()
	var err error
	if r.j, err = journal.Open(r.journal); err != nil {
		r.t.Fatal(err)
	}
	r.opts.Journal = r.j
	if r.tap, err = tap.New(r.opts); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.tap.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		if cerr := r.j.Close(); cerr != nil && err == nil {
			r.t.Errorf("Close: %v", cerr)
		}
		return err
	})
	stop := r.stop
	r.t.Cleanup(func() { stop() })
	return r
}

// attached waits until the stream flows and a base leads to it.
func (r *rig) attached() *rig {
	r.t.Helper()
	proxytest.Poll(r.t, "the tap to be attached and covered", func() bool {
		return r.tap.Attached() && r.tap.Confirmed().Timeline != 0
	})
	return r
}

// caughtUp waits until what the server has done is durable, and returns its offset.
func (r *rig) caughtUp(srv *proxytest.Server) int64 {
	r.t.Helper()
	end := offset(srv)
	proxytest.Poll(r.t, "the journal to catch up", func() bool {
		return r.tap.Confirmed().Offset >= end
	})
	return end
}

func (r *rig) view() *journal.View {
	r.t.Helper()
	v, err := journal.OpenView(r.journal.FS, r.journal.Dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r *rig) current() journal.Timeline {
	r.t.Helper()
	tl, ok := r.j.Current()
	if !ok {
		r.t.Fatal("the journal is empty")
	}
	return tl
}

// fill writes n bytes, and something.
func fill(srv *proxytest.Server, n int) {
	for n > 0 {
		size := min(n, 64<<10)
		srv.MustDo("SET", "fill", strings.Repeat("x", size))
		n -= size
	}
}

func offset(srv *proxytest.Server) int64 {
	n, err := strconv.ParseInt(srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// logBuffer keeps the log; with HOLDFAST_TEST_LOG set it goes to stderr as well.
type logBuffer struct{ proxytest.Log }

func (b *logBuffer) Write(p []byte) (int, error) {
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		os.Stderr.Write(p)
	}
	return b.Log.Write(p)
}

func (b *logBuffer) contains(s string) bool {
	return strings.Contains(b.String(), s)
}

// slowDisk is a disk whose syncs wait while it is held.
type slowDisk struct {
	mu   sync.Mutex
	gate chan struct{} // nil: open
}

func (d *slowDisk) fs() vfs.FS {
	return vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
		if op.Kind != vfstest.OpSync {
			return nil
		}
		d.mu.Lock()
		gate := d.gate
		d.mu.Unlock()
		if gate != nil {
			<-gate
		}
		return nil
	})
}

func (d *slowDisk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

func (d *slowDisk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		close(d.gate)
	}
	d.gate = nil
}

func removeBase(r *rig, b journal.Base) error {
	return os.Remove(filepath.Join(r.journal.Dir, b.File))
}

// setUser makes the user journal with the password secret.
func setUser(srv *proxytest.Server, rules string) {
	args := []any{"ACL", "SETUSER", "journal", "reset", "on", ">secret"}
	for _, rule := range strings.Fields(rules) {
		args = append(args, rule)
	}
	srv.MustDo(args...)
}
