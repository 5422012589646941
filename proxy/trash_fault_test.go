package proxy_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// cuts are the places of a conversation at which the proxy's link ends: in the question about the
// user, in the script, and in its reply. For the server that is the death of the proxy.
func cuts() []proxytest.Fault {
	var out []proxytest.Fault
	for _, trigger := range []string{"dRyRuN", "eVaL"} {
		for _, n := range []int{0, 1, 20, 500, 2000} {
			out = append(out, proxytest.Fault{Op: proxytest.Cut, On: proxytest.Requests,
				Trigger: trigger, After: n})
		}
		for n := range 6 {
			out = append(out, proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies,
				Trigger: trigger, After: n})
		}
	}
	return out
}

// A proxy that dies at any step of a flush leaves nothing done or all of it, and says which.
func TestTrashCutAtEveryStep(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	fill(t, srv)
	db0, db3 := digest(t, srv, 0), digest(t, srv, 3)
	for _, fault := range cuts() {
		relay := proxytest.StartFaultProxy(t, srv.Addr)
		addr, p := serveServer(t, relay.Addr, withTrash)
		c := dial(t, addr)
		relay.Arm(fault)
		got := c.do("FLUSHALL")
		relay.Clear()
		list := theTrash(t, dialConsole(t, srv.Addr))
		switch {
		case len(list) == 0:
			if got == "+OK\r\n" {
				t.Errorf("%+v: OK, and nothing is in the trash", fault)
			}
		case len(list) == 1 && list[0].Keys == int64(len(db0)+len(db3)):
			sameDigest(t, srv, 0, nil)
			sameDigest(t, srv, 3, nil)
			if !strings.HasPrefix(got, "+OK") && !strings.HasSuffix(got, maybe) {
				t.Errorf("%+v: moved, and the answer is %q", fault, got)
			}
			undo(t, p, list[0].ID)
		default:
			t.Fatalf("%+v: half done: %+v", fault, list)
		}
		sameDigest(t, srv, 0, db0)
		sameDigest(t, srv, 3, db3)
	}
}

// undo takes an entry back, on a link that may still have to find out that it was cut.
func undo(t *testing.T, p *proxy.Served, id uint64) {
	t.Helper()
	proxytest.Poll(t, "UNDO gets through", func() bool {
		_, err := p.Undo(context.Background(), id, "")
		return err == nil || strings.Contains(err.Error(), "no such entry")
	})
}

// dialConsole is another proxy, straight in front of the server.
func dialConsole(t *testing.T, upstreamAddr string) *proxy.Served {
	t.Helper()
	_, p := serveServer(t, upstreamAddr, withTrash)
	return p
}

func TestUndoCutAtEveryStep(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	fill(t, srv)
	before := digest(t, srv, 3)
	straight := dialConsole(t, srv.Addr)
	for _, fault := range cuts()[11:] { // those of scripts
		relay := proxytest.StartFaultProxy(t, srv.Addr)
		addr, p := serveServer(t, relay.Addr, withTrash)
		c := dial(t, addr)
		c.do("SELECT 3")
		if got := c.do("FLUSHDB"); got != "+OK\r\n" {
			t.Fatalf("FLUSHDB: %q", got)
		}
		c.do("SET since v")
		since := digest(t, srv, 3)
		id := theTrash(t, straight)[0].ID
		relay.Arm(fault)
		u, err := p.Undo(context.Background(), id, "REPLACE")
		relay.Clear()
		list := theTrash(t, straight)
		if len(list) != 1 {
			t.Fatalf("%+v: the trash has %+v", fault, list)
		}
		if list[0].ID == id { // nothing was done
			if err == nil {
				t.Errorf("%+v: %+v, and nothing was done", fault, u)
			}
			sameDigest(t, srv, 3, since)
			if _, err := straight.Undo(context.Background(), id, "REPLACE"); err != nil {
				t.Fatal(err)
			}
		}
		sameDigest(t, srv, 3, before)
		if err := straight.Purge(context.Background(), theTrash(t, straight)[0].ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A merge whose proxy dies in the middle is taken to its end by another one.
func TestMergeGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, srv.Addr)
	for i := range 3000 {
		c.send(fmt.Sprintf("SET key:%d %d EX 5000\r\n", i, i))
	}
	for range 3000 {
		c.reply()
	}
	before := digest(t, srv, 0)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	addr, p := serveServer(t, relay.Addr, withTrash)
	through := dial(t, addr)
	through.do("FLUSHALL")
	through.do("SET key:7 since")
	through.do("SET new since")
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Requests,
		Trigger: "no merge of this entry", After: 6000})
	if u, err := p.Undo(context.Background(), 1, "MERGE"); err == nil {
		t.Fatalf("the merge was not cut: %+v", u)
	}
	relay.Refuse()
	straight := dialConsole(t, srv.Addr)
	proxytest.Poll(t, "the merge ends", func() bool { return !theTrash(t, straight)[0].Merging })
	list := theTrash(t, straight)
	if len(list) != 1 || list[0].Keys != 1 {
		t.Errorf("the trash has %+v", list)
	}
	want := maps.Clone(before)
	maps.Copy(want, map[string]string{
		"key:7": digestOf(c, "key:7"), "new": digestOf(c, "new"),
	})
	sameDigest(t, srv, 0, want)
	if len(want) != 3001 {
		t.Errorf("%d keys", len(want))
	}
}

// What an UNDO has begun to put back is not emptied before its end, though its time has come.
func TestUndoOutlastsKeep(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, srv.Addr)
	line := "DEL"
	for i := range 2000 {
		c.do(fmt.Sprintf("SET key:%d %d", i, i))
		line += fmt.Sprintf(" key:%d", i)
	}
	before := digest(t, srv, 0)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	addr, p := serveServer(t, relay.Addr, withKeyTrash)
	if got := dial(t, addr).do(line); got != ":2000\r\n" {
		t.Fatalf("DEL: %q", got)
	}
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Requests,
		Trigger: "it has ended", After: 9000})
	if u, err := p.Undo(context.Background(), 1, ""); err == nil {
		t.Fatalf("the undo was not cut: %+v", u)
	}
	relay.Refuse()
	if n := len(digest(t, srv, 0)); n == 0 || n == 2000 {
		t.Fatalf("%d keys are back", n)
	}
	c.do("SELECT 15")
	c.do("ZADD holdfast:trash:due 1 1")
	c.do("CONFIG SET maxmemory 100mb")
	_, straight := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) { o.Trash.Memory = 1 })
	proxytest.Poll(t, "the undo ends", func() bool { return len(theTrash(t, straight)) == 0 })
	sameDigest(t, srv, 0, before)
}

// digestOf is what digest says of one key.
func digestOf(c *conn, key string) string {
	return c.do("DEBUG DIGEST-VALUE "+key) + c.do("PEXPIRETIME "+key)
}

// Two proxies flush at the same time: no slot is used twice, and no key is lost.
func TestTwoProxiesShareTheTrash(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--databases", "64")
	a, p := serveServer(t, srv.Addr, withTrash)
	b, _ := serveServer(t, srv.Addr, withTrash)
	var running sync.WaitGroup
	var mu sync.Mutex
	moved, full := 0, 0
	for i, addr := range []string{a, b, a, b, a, b} {
		c := dial(t, addr)
		running.Go(func() {
			c.do(fmt.Sprintf("SELECT %d", i))
			for n := range 8 {
				c.do(fmt.Sprintf("SET k:%d:%d v", i, n))
				got := c.do("FLUSHDB")
				mu.Lock()
				if got == "+OK\r\n" {
					moved++
				} else {
					full++
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	keys := int64(0)
	list := theTrash(t, p)
	for _, e := range list {
		keys += e.Keys
	}
	if len(list) != 31 || moved != 31 || full != 17 {
		t.Errorf("%d entries, %d moved, %d refused", len(list), moved, full)
	}
	left := int64(0)
	for i := range 6 {
		left += int64(len(digest(t, srv, i)))
	}
	if keys+left != 48 {
		t.Errorf("%d keys in the trash and %d left, want 48 in all", keys, left)
	}
}

func TestTrashIsEmptiedInTime(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		rule := trashRule
		rule.Keep = 10 * time.Millisecond
		o.Rules = []policy.RuleSpec{rule}
	})
	c := dial(t, addr)
	c.do("SET k v")
	c.do("FLUSHALL")
	proxytest.Poll(t, "the trash is emptied", func() bool { return len(theTrash(t, p)) == 0 })
	if n := srv.Info("keyspace")["db8"]; n != "" {
		t.Errorf("the slot has %q", n)
	}
}

// A slot whose keys have all expired is not free as long as its entry stands.
func TestTrashKeepsEmptySlots(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash)
	c := dial(t, addr)
	c.do("SET brief v PX 50")
	c.do("FLUSHALL")
	proxytest.Poll(t, "the key expires in the trash", func() bool {
		return srv.Info("keyspace")["db8"] == ""
	})
	c.do("SET k v")
	c.do("FLUSHALL")
	list := theTrash(t, p)
	if len(list) == 0 || list[len(list)-1].Keys != 1 {
		t.Fatalf("the trash has %+v", list)
	}
	for _, e := range list {
		u, err := p.Undo(context.Background(), e.ID, "")
		if err != nil || u.Keys != e.Keys {
			t.Errorf("UNDO %d: %+v, %v", e.ID, u, err)
		}
	}
	if got := c.do("KEYS *"); got != "*1\r\n$1\r\nk\r\n" {
		t.Errorf("KEYS: %q", got)
	}
}

// Under a full memory a flush still works, and the oldest entry goes first.
func TestTrashUnderMemoryPressure(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash, func(o *proxy.Options) { o.Trash.Memory = 80 })
	c := dial(t, addr)
	c.do("SET k v")
	c.do("FLUSHALL")
	c.do("SET k w")
	srv.MustDo("CONFIG", "SET", "maxmemory", "1")
	if got := c.do("SET k x"); !strings.HasPrefix(got, "-OOM") {
		t.Errorf("SET: %q", got)
	}
	if got := c.do("FLUSHALL"); got != "+OK\r\n" {
		t.Errorf("FLUSHALL: %q", got)
	}
	proxytest.Poll(t, "the oldest is emptied", func() bool {
		list := theTrash(t, p)
		return len(list) == 1 && list[0].ID == 2
	})
	proxytest.Poll(t, "the other one, too", func() bool { return len(theTrash(t, p)) == 0 })
}

// sameMoment is a script that gives all entries of the trash one time.
const sameMoment = `
redis.call('SELECT', 15)
for _, id in ipairs(redis.call('HKEYS', 'holdfast:trash')) do
  local e = cjson.decode(redis.call('HGET', 'holdfast:trash', id))
  e.at = 1
  redis.call('HSET', 'holdfast:trash', id, cjson.encode(e))
end
local e = cjson.decode(redis.call('GET', 'holdfast:trash:keys:2'))
e.at = 1
redis.call('SET', 'holdfast:trash:keys:2', cjson.encode(e))
`

// Of a flush and of single keys the older entry goes first, also within a millisecond.
func TestOldestGoesFirstUnderPressure(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) { o.Trash.Memory = 80 })
	c := dial(t, addr)
	for _, line := range []string{"SET k v", "FLUSHALL", "SET k v", "DEL k", "SET k v", "FLUSHALL"} {
		c.do(line)
	}
	srv.MustDo("EVAL", sameMoment, 0)
	srv.MustDo("CONFIG", "SET", "maxmemory", "1")
	for left := 2; left >= 0; left-- {
		var ids []uint64
		proxytest.Poll(t, "the oldest is emptied", func() bool {
			ids = ids[:0]
			for _, e := range theTrash(t, p) {
				ids = append(ids, e.ID)
			}
			return len(ids) <= left
		})
		if slices.Sort(ids); !slices.Equal(ids, []uint64{2, 3}[2-len(ids):]) {
			t.Fatalf("what is left is %v", ids)
		}
	}
}

// Clients that cache are told, as by a flush.
func TestTrashInvalidates(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, withTrash)
	c, other := dial(t, addr), dial(t, addr)
	c.do("HELLO 3")
	c.do("CLIENT TRACKING ON")
	c.do("SET k v")
	c.do("GET k")
	other.do("FLUSHALL")
	c.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n")
	c.do("GET k")
	if _, err := p.Undo(context.Background(), 1, ""); err != nil {
		t.Fatal(err)
	}
	c.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n")
}
