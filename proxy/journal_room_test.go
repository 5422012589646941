package proxy_test

import (
	"log/slog"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// What does not fit on the disk, or into what the server buffers for a replica, is said once the journal
// follows a server, and again when it has been mended and comes back.
func TestRoomAtTheStart(t *testing.T) {
	t.Parallel()
	server := journalServer(t)
	server.MustDo("SET", "large", strings.Repeat("x", 5<<20)) // small as a snapshot
	disk, log := vfstest.NewMem(), &proxytest.Log{}
	disk.SetCapacity(1345 << 20) // 67 MiB until disk.stop, of which a segment reserves 64
	_, srv := serveServer(t, server.Addr, withJournal("journal"), func(o *proxy.Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		o.Journal.Segment = 64 << 20
		o.Journal.FS, o.Journal.Disk = disk, journal.DiskLimits{Warn: 4, Stop: 5}
		o.Journal.Retention.Bytes, o.Journal.Largest = 1<<30, 512<<20
	})
	proxytest.Poll(t, "the findings", func() bool {
		return log.Count("no base may fit") == 1 && log.Count("a larger one than the former detaches") == 1 &&
			strings.Contains(strings.Join(srv.Degraded(), "\n"), "no base may fit")
	})
	disk.SetCapacity(4 << 30)
	proxytest.Poll(t, "room", func() bool {
		return !strings.Contains(strings.Join(srv.Degraded(), "\n"), "no base may fit")
	})
}
