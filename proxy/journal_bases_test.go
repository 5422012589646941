package proxy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// A base that does not come makes the proxy degraded, with the server's words, and stops nothing: what
// is written goes on to be confirmed, for an older base leads there.
func TestNoFreshBase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server := proxytest.StartServer(t, "--repl-diskless-sync", "no", "--dir", dir, "--logfile",
		filepath.Join(t.TempDir(), "log"), "--enable-protected-configs", "yes")
	addr, srv := serveServer(t, server.Addr, route(journaled), withJournal(t.TempDir()))
	c := dial(t, addr)
	eventually(t, c)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := srv.TakeBase(ctx); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("SNAPSHOT: %v", err)
	}
	if got := strings.Join(srv.Degraded(), "\n"); !strings.Contains(got, "no fresh base since ") ||
		!strings.Contains(got, "No such file or directory") {
		t.Errorf("%q", got)
	}
	if got := c.do("SET pay:1 1"); got != "+OK\r\n" {
		t.Errorf("a durable write: %q", got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server.MustDo("CONFIG", "SET", "dir", dir)
	proxytest.Poll(t, "a base by itself", func() bool { return len(srv.Degraded()) == 0 })
}
