package proxy_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A handover is a server that a proxy with the fence follows away from, and the one that it follows to.
type handover struct {
	old, new *proxytest.Server
	all      []*proxytest.FakeSentinel
	srv      *proxy.Served
	addr     string
}

// startHandover starts it; related: the new server is a replica of the old one.
func startHandover(t *testing.T, related bool, mods ...func(*proxy.Options)) *handover {
	t.Helper()
	h := &handover{old: proxytest.StartServer(t), new: proxytest.StartServer(t)}
	h.old.MustDo("SET", "where", "old")
	if related {
		h.new.MustDo("REPLICAOF", "127.0.0.1", h.old.Port)
		proxytest.Poll(t, "the replica to follow", func() bool { return h.new.Info("replication")["master_link_status"] == "up" })
	}
	var addresses []string
	h.all, addresses = fakeTrio(t, h.old.Addr)
	h.addr, h.srv = serveServer(t, "", append([]func(*proxy.Options){bySentinels(addresses...), func(o *proxy.Options) {
		o.Hold, o.Fence = time.Minute, true
	}}, mods...)...)
	if got := dial(t, h.addr).do("GET where"); got != "$3\r\nold\r\n" {
		t.Fatalf("got %q", got)
	}
	proxytest.Poll(t, "the server is known", func() bool {
		st, err := h.srv.Stats(t.Context())
		return err == nil && st.Upstream.RunID != ""
	})
	return h
}

// promote makes the new server the primary.
func (h *handover) promote(t *testing.T) {
	t.Helper()
	h.new.MustDo("REPLICAOF", "NO", "ONE")
	named(h.new.Addr, h.all...)
	awaitMoves(t, h.srv, 1)
}

// awaitOld waits until the console says what became of the old server.
func (h *handover) awaitOld(t *testing.T, want string) {
	t.Helper()
	last := ""
	proxytest.Poll(t, "the old server: "+want, func() bool {
		last = sentinelsOf(t, h.srv).Moves[0].Old
		return strings.Contains(last, want)
	})
}

// untouched fails if the old server is not the primary that it was.
func (h *handover) untouched(t *testing.T) {
	t.Helper()
	if info := h.old.Info("replication"); info["role"] != "master" {
		t.Errorf("the old server is a %s", info["role"])
	}
	if got := h.old.MustDo("SET", "where", "untouched"); got != "OK" {
		t.Errorf("a write got %v", got)
	}
}

func TestTheOldPrimaryIsDemoted(t *testing.T) {
	t.Parallel()
	h := startHandover(t, true)
	around := dial(t, h.old.Addr)
	around.do("PING")
	h.promote(t)
	h.awaitOld(t, "demoted by the proxy; ")
	info := h.old.Info("replication")
	if got := net.JoinHostPort(info["master_host"], info["master_port"]); got != h.new.Addr {
		t.Errorf("it follows %s", got)
	}
	around.expectEOF()
	expectCode(t, "READONLY", dial(t, h.old.Addr).do("SET where around"))
	if got := dial(t, h.addr).do("SET where new"); got != "+OK\r\n" {
		t.Errorf("through the proxy: %q", got)
	}
	proxytest.Poll(t, "the old one to follow", func() bool { return h.old.MustDo("GET", "where") == "new" })
}

// A server that goes on after its failover is demoted then.
func TestAStoppedPrimaryIsDemotedLater(t *testing.T) {
	t.Parallel()
	h := startHandover(t, true)
	h.old.Pause()
	t.Cleanup(h.old.Resume)
	h.promote(t)
	h.old.Resume()
	h.awaitOld(t, "demoted by the proxy; ")
	if role := h.old.Info("replication")["role"]; role != "slave" {
		t.Errorf("it is a %s", role)
	}
}

// REPLICAOF replaces a server's data: it must reach no other server, and lead to no stranger.
func TestOnlyTheOldPrimaryIsDemoted(t *testing.T) {
	t.Parallel()
	t.Run("the new primary is a stranger", func(t *testing.T) {
		t.Parallel()
		h := startHandover(t, false)
		h.promote(t)
		h.awaitOld(t, "not demoted: the new primary does not continue its history")
		h.untouched(t)
	})
	t.Run("one server at two addresses", func(t *testing.T) {
		t.Parallel()
		h := startHandover(t, true)
		named(proxytest.StartFaultProxy(t, h.old.Addr).Addr, h.all...)
		awaitMoves(t, h.srv, 1)
		h.awaitOld(t, "not demoted: the new primary does not continue its history")
		h.untouched(t)
	})
	t.Run("another process at the address", func(t *testing.T) {
		t.Parallel()
		h := startHandover(t, true)
		h.old.Pause() // the proxy must not meet the other process before
		t.Cleanup(h.old.Resume)
		h.promote(t)
		h.old.Kill()
		h.old.Restart()
		h.awaitOld(t, "not demoted: another server, or the same one after a restart, is at its address")
		h.untouched(t)
	})
	t.Run("it is a replica already", func(t *testing.T) {
		t.Parallel()
		h := startHandover(t, true)
		h.new.MustDo("REPLICAOF", "NO", "ONE")
		h.old.MustDo("REPLICAOF", "127.0.0.1", h.new.Port)
		named(h.new.Addr, h.all...)
		awaitMoves(t, h.srv, 1)
		h.awaitOld(t, "it is a replica already")
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		h := startHandover(t, true, func(o *proxy.Options) { o.Fence = false })
		h.promote(t)
		expectLeft(t, h.old)
		h.untouched(t)
	})
}

// Without the permission the old primary is paused: it takes no writes until the sentinels demote it.
func TestTheOldPrimaryIsPausedWithoutPermission(t *testing.T) {
	t.Parallel()
	h := startHandover(t, true)
	for _, s := range []*proxytest.Server{h.old, h.new} {
		s.MustDo("ACL", "SETUSER", "default", "-replicaof")
	}
	h.new.MustDo("ACL", "SETUSER", "admin", "on", "nopass", "~*", "+@all")
	boss := dial(t, h.new.Addr)
	boss.do("AUTH admin any")
	boss.do("REPLICAOF NO ONE")
	named(h.new.Addr, h.all...)
	awaitMoves(t, h.srv, 1)
	h.awaitOld(t, "not demoted: REPLICAOF: NOPERM")
	calls := h.old.Info("commandstats")
	if calls["cmdstat_client|pause"] == "" || calls["cmdstat_client|unpause"] != "" {
		t.Errorf("it is not paused: %v", calls)
	}
}
