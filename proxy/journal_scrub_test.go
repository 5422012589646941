package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/recorder"
)

// A base that rots is found, named at /readyz, and a fresh one is taken at once.
func TestJournalScrub(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	addr, srv := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		o.Journal.Scrub = recorder.ScrubOptions{Every: 20 * time.Millisecond}
	})
	dial(t, addr).do("SET a 1")
	recorded(t, srv, server)
	bases := func() []journal.Base {
		view, err := journal.OpenView(nil, dir)
		if err != nil {
			t.Fatal(err)
		}
		return view.Bases()
	}
	first := bases()[0]
	path := filepath.Join(dir, first.File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "readiness to name the damage", func() bool {
		return strings.Contains(strings.Join(srv.Degraded(), "\n"), "files are damaged, such as "+
			first.File)
	})
	proxytest.Poll(t, "a fresh base", func() bool { return len(bases()) > 1 })
}
