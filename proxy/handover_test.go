package proxy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// wrongWords is the reply of a sentinel that does not know COORDINATED.
const wrongWords = "-ERR wrong number of arguments for 'sentinel|failover' command\r\n"

// startPlanned is a handover whose sentinels answer SENTINEL FAILOVER by do, which may promote.
func startPlanned(t *testing.T, do func(h *handover, words []string) (reply string), mods ...func(*proxy.Options)) *handover {
	t.Helper()
	h := startHandover(t, true, mods...)
	for _, s := range h.all {
		s.Replicas(h.new.Addr)
		s.OnFailover(func(words []string) string { return do(h, words) })
	}
	return h
}

// follow makes the new server the primary, as sentinels do.
func (h *handover) follow() string {
	if _, err := h.new.Do("REPLICAOF", "NO", "ONE"); err != nil {
		return "-ERR " + err.Error() + "\r\n"
	}
	named(h.new.Addr, h.all...)
	return "+OK\r\n"
}

// failover asks for it until it ends with an error that has want; "": until it succeeds. On a busy machine
// its limits may be over before.
func (h *handover) failover(t *testing.T, want string) (how string) {
	t.Helper()
	proxytest.Poll(t, "the end of the failover: "+want, func() bool {
		f, err := h.srv.Failover(t.Context())
		if err != nil {
			return want != "" && strings.Contains(err.Error(), want)
		}
		how = f.How
		return want == ""
	})
	return how
}

// By the proxy: the old primary takes no write once the sentinels are asked, and the new one has all.
func TestAnOperatorsFailover(t *testing.T) {
	t.Parallel()
	h := startPlanned(t, func(h *handover, words []string) string {
		if len(words) > 0 {
			return wrongWords
		}
		if h.old.Info("commandstats")["cmdstat_client|pause"] == "" {
			return "-ERR the primary is not paused\r\n"
		}
		if at := h.new.Info("replication")["slave_repl_offset"]; at != h.old.Info("replication")["master_repl_offset"] {
			return "-ERR the replica lacks something\r\n"
		}
		if _, err := h.new.Do("REPLICAOF", "NO", "ONE"); err != nil {
			return "-ERR " + err.Error() + "\r\n"
		}
		return "+OK\r\n" // no sentinel names the new one: the old one's word and its own are enough
	})
	c := dial(t, h.addr)
	var done sync.WaitGroup
	stop := make(chan struct{})
	written := 0
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := c.do("INCR n"); !strings.HasPrefix(got, ":") {
				t.Errorf("a write got %q", got)
				return
			}
			written++
		}
	})
	if how := h.failover(t, ""); !strings.Contains(how, "held back by the proxy") {
		t.Errorf("got %q", how)
	}
	h.awaitOld(t, "it is a replica already")
	if got := dial(t, h.addr).do("INCR n"); !strings.HasPrefix(got, ":") {
		t.Errorf("afterwards a write got %q", got)
	}
	close(stop)
	done.Wait()
	if got := dial(t, h.addr).do("INCRBY n 0"); got != fmt.Sprintf(":%d\r\n", written+1) {
		t.Errorf("%d writes were acknowledged, and the new primary has %q", written, got)
	}
}

func TestAnOperatorsFailoverByTheServers(t *testing.T) {
	t.Parallel()
	h := startPlanned(t, func(h *handover, words []string) string {
		if len(words) != 1 || words[0] != "COORDINATED" {
			return wrongWords
		}
		return h.follow()
	}, func(o *proxy.Options) { o.Fence = false })
	if how := h.failover(t, ""); how != "coordinated by the servers" {
		t.Errorf("got %q", how)
	}
}

// A server that is not the old one's replica is not taken at the old one's word.
func TestAHandoverToAServerOfOtherData(t *testing.T) {
	t.Parallel()
	h := startHandover(t, false)
	for _, s := range h.all {
		s.Replicas(h.new.Addr)
	}
	h.old.MustDo("REPLICAOF", "127.0.0.1", h.new.Port)
	proxytest.Poll(t, "the doubt", func() bool { return sentinelsOf(t, h.srv).Certain })
	proxytest.Poll(t, "the old one has the other's data", func() bool {
		return h.old.Info("replication")["master_link_status"] == "up"
	})
	asked(t, h.new)
	if s := sentinelsOf(t, h.srv); s.Total != 0 {
		t.Errorf("it moved: %+v", s.Moves)
	}
}

// A write of another proxy that waits at the paused primary was not executed: it goes to the new one.
func TestAnotherProxysWritesInAnOperatorsFailover(t *testing.T) {
	t.Parallel()
	var c *conn
	var once sync.Once
	h := startPlanned(t, func(h *handover, words []string) string {
		if len(words) > 0 {
			return wrongWords
		}
		once.Do(func() {
			c.send("INCR n\r\n")
			for !heldBack(h.old, "incr") {
				time.Sleep(time.Millisecond)
			}
		})
		if _, err := h.new.Do("REPLICAOF", "NO", "ONE"); err != nil {
			return "-ERR " + err.Error() + "\r\n"
		}
		return "+OK\r\n"
	})
	var addresses []string
	for _, s := range h.all {
		addresses = append(addresses, s.Addr)
	}
	addr, srv := serveServer(t, "", bySentinels(addresses...), func(o *proxy.Options) { o.Hold = time.Minute })
	c = dial(t, addr)
	eventually(t, c)
	h.failover(t, "")
	c.expect(":1\r\n")
	awaitMoves(t, srv, 1)
	if got := h.new.MustDo("GET", "n"); got != "1" {
		t.Errorf("the new primary has %v", got)
	}
}

// heldBack reports whether a command waits at a paused server.
func heldBack(s *proxytest.Server, name string) bool {
	list, err := s.Do("CLIENT", "LIST")
	for line := range strings.Lines(fmt.Sprint(list)) {
		if strings.Contains(line, " flags=b") && strings.Contains(line, " cmd="+name) {
			return true
		}
	}
	return err != nil
}

// The old primary has another address of the new one than the sentinels, which announce nothing.
func TestAHandoverByName(t *testing.T) {
	t.Parallel()
	h := startHandover(t, true)
	for _, s := range h.all {
		s.Replicas(h.new.Addr)
	}
	h.new.MustDo("REPLICAOF", "NO", "ONE")
	h.old.MustDo("REPLICAOF", "localhost", h.new.Port)
	if m := awaitMoves(t, h.srv, 1)[0]; m.To != h.new.Addr {
		t.Errorf("got %+v", m)
	}
}

// What fails before the sentinels begin is undone: writes go on.
func TestAFailoverThatCannotBegin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		prepare    func(*testing.T, *handover)
		mod        func(*proxy.Options)
	}{
		{name: "the sentinels refuse", want: "nothing was done: the sentinels refuse: NOGOODSLAVE"},
		{name: "the replica does not answer", want: "nothing was done: the replica ", prepare: func(t *testing.T, h *handover) {
			h.new.Pause()
			t.Cleanup(h.new.Resume)
		}},
		{name: "no permission", want: "nothing was done: CLIENT: NOPERM", prepare: func(_ *testing.T, h *handover) {
			h.old.MustDo("ACL", "SETUSER", "default", "-client|pause")
		}},
		{name: "writes cannot wait", want: "nothing was done: upstream.hold is 0", mod: func(o *proxy.Options) { o.Hold = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.mod == nil {
				tt.mod = func(*proxy.Options) {}
			}
			h := startPlanned(t, func(_ *handover, words []string) string {
				if len(words) > 0 {
					return wrongWords
				}
				return "-NOGOODSLAVE No suitable replica to promote\r\n"
			}, tt.mod)
			if tt.prepare != nil {
				tt.prepare(t, h)
			}
			began := time.Now()
			h.failover(t, tt.want)
			if got := dial(t, h.addr).do("SET where still"); got != "+OK\r\n" {
				t.Errorf("%v later a write got %q", time.Since(began), got)
			}
			if s := sentinelsOf(t, h.srv); s.Total != 0 {
				t.Errorf("it moved: %+v", s.Moves)
			}
		})
	}
}
