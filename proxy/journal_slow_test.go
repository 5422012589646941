package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// stuckDisk is a disk whose fsyncs do not come back before they are released.
type stuckDisk struct {
	mu   sync.Mutex
	gate chan struct{} // nil: open
}

func (d *stuckDisk) fs() vfs.FS {
	return vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
		d.mu.Lock()
		gate := d.gate
		d.mu.Unlock()
		if gate != nil && op.Kind == vfstest.OpSync {
			<-gate
		}
		return nil
	})
}

func (d *stuckDisk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

func (d *stuckDisk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		close(d.gate)
	}
	d.gate = nil
}

// Nothing of the data path waits for the journal's disk: while an fsync does not come back at all,
// clients are answered, also when more has been written than the journal keeps in memory.
func TestNothingWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	server, disk := journalServer(t), &stuckDisk{}
	defer disk.release() // also before the proxy is stopped
	addr, srv := serveServer(t, server.Addr, withJournal(t.TempDir()), func(o *proxy.Options) {
		o.Journal.FS = disk.fs()
	})
	t.Cleanup(disk.release)
	c := dial(t, addr)
	before := recorded(t, srv, server)
	disk.hold()
	value := strings.Repeat("x", 1<<20)
	for i := range 80 { // the journal keeps 64 MiB
		key := fmt.Sprint("k", i%4)
		if got := c.do(proxytest.Command("SET", key, value)); got != "+OK\r\n" {
			t.Fatalf("SET %d: %.40q", i, got)
		}
		if got := c.do("STRLEN " + key); got != ":1048576\r\n" {
			t.Fatalf("STRLEN %d: %.40q", i, got)
		}
	}
	j, err := srv.Journal(context.Background())
	if err != nil || j.Durable != before.Durable {
		t.Errorf("%d is durable, %d was before: %v", j.Durable, before.Durable, err)
	}
	disk.release()
	if j := recorded(t, srv, server); j.Gaps != 0 || j.FullResyncs != 1 {
		t.Errorf("%+v", j)
	}
}
