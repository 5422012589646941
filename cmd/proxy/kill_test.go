package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/guard"
	"holdfast/proxy/proxytest"
)

// killRules send everything that can go there to the trash, and some of it for a moment only.
const killRules = `rules:
- {name: briefly, commands: [unlink, flushdb], action: trash, keep: 1ms}
- {name: trash, commands: [flushall, del, getdel, rename, copy], action: trash, keep: 1h}
trash: {databases: [8, 9, 10, 11, 15]}
`

// A killCase is something at each step of which the proxy is killed.
type killCase struct {
	name    string
	prepare func(p *process) // through the proxy, after fill
	act     func(p *process, srv *proxytest.Server)
	steps   bool // it takes several scripts: the next proxy finishes those begun

	// ready, where the proxy begins by itself, is false if it may have begun before.
	ready func(t *testing.T, srv *proxytest.Server) bool
}

var killCases = []killCase{
	{name: "FLUSHALL", act: func(p *process, _ *proxytest.Server) { _ = p.do("FLUSHALL") }},
	{name: "DEL",
		act: func(p *process, _ *proxytest.Server) { _ = p.do("DEL", "s", "t", "none", "l", "key:1") }},
	{name: "RENAME", act: func(p *process, _ *proxytest.Server) { _ = p.do("RENAME", "s", "t") }},
	{name: "MULTI", act: func(p *process, _ *proxytest.Server) {
		p.send("MULTI\r\nDEL t key:1\r\nFLUSHALL\r\nEXEC\r\n", 4)
	}},
	{name: "UNDO REPLACE", prepare: flushAndWrite,
		act: func(p *process, _ *proxytest.Server) { p.operate("UNDO", "1", "REPLACE") }},
	{name: "UNDO MERGE", prepare: flushAndWrite, steps: true,
		act: func(p *process, _ *proxytest.Server) { p.operate("UNDO", "1", "MERGE") }},
	{name: "UNDO of keys", prepare: deleteMany, steps: true,
		act: func(p *process, _ *proxytest.Server) { p.operate("UNDO", "1", "REPLACE") }},
	{name: "PURGE", prepare: flushAndWrite,
		act: func(p *process, _ *proxytest.Server) { p.operate("PURGE", "1") }},
	{name: "PURGE of keys", prepare: deleteMany, steps: true,
		act: func(p *process, _ *proxytest.Server) { p.operate("PURGE", "1") }},
	{name: "sweep", prepare: expireSome, steps: true, ready: unswept, act: awaitSweep},
}

// killKeys is the number of string keys: more than steps take at once.
const killKeys = 1500

func flushAndWrite(p *process) {
	p.must("FLUSHALL")
	p.must("MSET", "s", "since", "key:700", "since", "new", "since")
}

func deleteMany(p *process) {
	args := []any{"DEL"}
	for i := range killKeys {
		args = append(args, fmt.Sprint("key:", i))
	}
	p.must(args...)
	p.must("SET", "key:7", "since")
}

func expireSome(p *process) {
	p.must("UNLINK", "s", "t", "key:1", "key:2")
	p.must("FLUSHDB")
}

// unswept is whether both entries of expireSome are in the ledger.
func unswept(t *testing.T, srv *proxytest.Server) bool {
	return dues(t, srv) == 2
}

// dues counts the entries in the ledger.
func dues(t *testing.T, srv *proxytest.Server) int64 {
	t.Helper()
	conn := srv.Client().Conn()
	defer conn.Close()
	k := &stocktaker{t: t, conn: conn}
	defer k.do("SELECT", 0)
	k.do("SELECT", 15)
	return k.do("HLEN", "holdfast:trash").(int64) + k.do("ZCARD", "holdfast:trash:due").(int64)
}

// awaitSweep waits until the trash has been emptied, without a question to the proxy: that would be
// more to kill it at.
func awaitSweep(p *process, srv *proxytest.Server) {
	proxytest.Poll(p.t, "the sweep", func() bool { return dues(p.t, srv) == 0 || p.hasExited() })
}

// TestKilledAtEveryStep kills the proxy with SIGKILL before each piece of the conversation about
// the trash, and in the middle of each. When another one has started, all is done or nothing is, each
// key is in one place with its deadline, and the ledger knows of it.
func TestKilledAtEveryStep(t *testing.T) {
	for _, c := range killCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t)
			relay := startKillRelay(t, srv.Addr)
			p := startProxyAt(t, relay.Addr, killRules)
			before, after := c.rehearse(p, srv)
			kills := 0
			for at := (point{}); ; at = at.next() {
				if !c.killedAt(at, p, srv, relay) {
					break
				}
				kills++
				relay.settle(t, srv)
				p = startProxyAt(t, relay.Addr, killRules)
				c.verify(t, p, srv, at, before, after)
			}
			if kills < 4 {
				t.Errorf("killed %d times", kills)
			}
			expectOneGuard(t, srv)
		})
	}
}

// expectOneGuard waits until the user of the living proxy is the only one of its kind.
func expectOneGuard(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	proxytest.Poll(t, "the dead proxies' users are deleted", func() bool {
		return strings.Count(fmt.Sprint(srv.MustDo("ACL", "USERS")), guard.Prefix) == 1
	})
}

// killedAt runs the case with a kill at a point. It is false when the case has fewer points.
func (c *killCase) killedAt(at point, p *process, srv *proxytest.Server, relay *killRelay) bool {
	for {
		c.setUp(p, srv)
		relay.arm(at, p.kill)
		fromTheStart := c.isReady(p.t, srv)
		c.act(p, srv)
		proxytest.Poll(p.t, "the server's answers pass", func() bool { return relay.answered() || p.hasExited() })
		if killed := relay.disarm(); killed || fromTheStart {
			return killed
		}
	}
}

func (c *killCase) isReady(t *testing.T, srv *proxytest.Server) bool {
	return c.ready == nil || c.ready(t, srv)
}

// rehearse runs the case without a kill, and returns the inventories before and afterwards.
func (c *killCase) rehearse(p *process, srv *proxytest.Server) (before, after inventory) {
	for {
		c.setUp(p, srv)
		before = takeInventory(p.t, srv)
		if c.isReady(p.t, srv) {
			break
		}
	}
	c.act(p, srv)
	after = takeInventory(p.t, srv)
	if slices.Equal(before, after) {
		p.t.Fatal("it does nothing")
	}
	return before, after
}

func (c *killCase) setUp(p *process, srv *proxytest.Server) {
	fillServer(p.t, srv)
	if c.prepare != nil {
		c.prepare(p)
	}
}

// verify checks the state that the next proxy finds, and its result.
func (c *killCase) verify(t *testing.T, p *process, srv *proxytest.Server, at point,
	before, after inventory) {
	t.Helper()
	found := takeInventory(t, srv)
	if c.steps && !slices.Equal(found, before) {
		deadline := time.Now().Add(proxytest.PollTimeout)
		for !slices.Equal(found, after) && time.Now().Before(deadline) {
			found = takeInventory(t, srv)
		}
	}
	if !slices.Equal(found, before) && !slices.Equal(found, after) {
		t.Fatalf("%+v: half done: %v", at, found.differs(before, after))
	}
	list, ok := p.trash()
	if !ok {
		t.Fatalf("%+v: SHOW TRASH: %s", at, p.operate("SHOW", "TRASH"))
	}
	keys := 0
	for _, e := range list {
		keys += int(e.Keys)
	}
	if want := found.inTrash(); keys != want {
		t.Fatalf("%+v: SHOW TRASH tells of %d keys, and there are %d: %+v", at, keys, want, list)
	}
	if c.prepare != nil || len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b trashItem) int { return cmp.Compare(b.ID, a.ID) })
	for _, e := range list { // the latest first
		p.operate("UNDO", fmt.Sprint(e.ID), "REPLACE")
	}
	if back := takeInventory(t, srv); c.name != "RENAME" && !slices.Equal(back, before) {
		t.Fatalf("%+v: UNDO left %v", at, back.differs(before, before))
	}
}

// trashItem is what SHOW TRASH JSON has of an entry.
type trashItem struct {
	ID   uint64
	Keys int64
}

// trash is what SHOW TRASH shows; false when there is no answer.
func (p *process) trash() (list []trashItem, ok bool) {
	var v struct{ Entries []trashItem }
	err := json.Unmarshal([]byte(p.operate("SHOW", "TRASH", "JSON")), &v)
	return v.Entries, err == nil
}

// operate runs a command on the console.
func (p *process) operate(args ...any) string {
	c := proxytest.NewClient("tcp", p.console, "")
	defer c.Close()
	text, err := c.Do(context.Background(), args...).Text()
	if err != nil {
		return err.Error()
	}
	return text
}

func (p *process) must(args ...any) {
	p.t.Helper()
	if err := p.do(args...); err != nil {
		p.t.Fatalf("%v: %v", args[0], err)
	}
}

// send writes bytes and waits for so many lines, or for the end of the connection.
func (p *process) send(text string, lines int) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(proxytest.PollTimeout))
	if _, err := conn.Write([]byte(text)); err != nil {
		return
	}
	buf := make([]byte, 4096)
	for lines > 0 {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		lines -= strings.Count(string(buf[:n]), "\n")
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// fillServer empties the server, ledger and all, and puts the same data into three databases.
func fillServer(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	ctx := context.Background()
	pipe := srv.Client().Pipeline()
	pipe.FlushAll(ctx)
	for _, db := range []int{0, 3, 5} {
		pipe.Do(ctx, "SELECT", db)
		pipe.Do(ctx, "SET", "s", db)
		pipe.Do(ctx, "SET", "t", "v", "PXAT", 4102444800123)
		pipe.Do(ctx, "RPUSH", "l", "a", "b")
		pipe.Do(ctx, "HSET", "h", "f", "v")
		for i := range killKeys {
			pipe.Do(ctx, "SET", fmt.Sprint("key:", i), i, "PXAT", 4102444800000+i)
			if db != 0 {
				break
			}
		}
	}
	pipe.Do(ctx, "SELECT", 0)
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
}

// An inventory is everything that the server holds, sorted: a line for each key, with where it is, of
// which database, its name, its value's digest and its deadline; and a line "odd …" for each thing in
// the reserved databases that is not in the ledger, or the other way round.
type inventory []string

func (v *inventory) odd(format string, args ...any) {
	*v = append(*v, "odd: "+fmt.Sprintf(format, args...))
}

func (v inventory) inTrash() (n int) {
	for _, line := range v {
		if strings.HasPrefix(line, "trash ") {
			n++
		}
	}
	return n
}

// differs is some lines that are in v alone, and the sizes.
func (v inventory) differs(before, after inventory) string {
	var odd []string
	for _, line := range v {
		if _, a := slices.BinarySearch(before, line); !a {
			if _, b := slices.BinarySearch(after, line); !b && len(odd) < 5 {
				odd = append(odd, line)
			}
		}
	}
	return fmt.Sprintf("%d keys, %d of them in the trash; before %d and %d, after %d and %d; odd: %q",
		len(v), v.inTrash(), len(before), before.inTrash(), len(after), after.inTrash(), odd)
}

// ledgerEntry is an entry as the scripts write it.
type ledgerEntry struct {
	DBs []struct{ DB, Slot int }

	Prefix string // of single keys
	DB     int
	Count  int
}

// takeInventory lists the server's keys.
func takeInventory(t *testing.T, srv *proxytest.Server) (out inventory) {
	t.Helper()
	conn := srv.Client().Conn()
	defer conn.Close()
	k := &stocktaker{t: t, conn: conn}
	defer k.do("SELECT", 0)
	for db := range 8 {
		for name, value := range k.database(db) {
			out = append(out, fmt.Sprintf("visible %d:%s=%s", db, name, value))
		}
	}
	out = append(out, k.slots()...)
	out = append(out, k.keys()...)
	slices.Sort(out)
	return out
}

type stocktaker struct {
	t    *testing.T
	conn *redis.Conn
}

func (k *stocktaker) do(args ...any) any {
	k.t.Helper()
	v, err := k.conn.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		k.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// database is the keys of one database with their values.
func (k *stocktaker) database(db int) map[string]string {
	k.t.Helper()
	k.do("SELECT", db)
	names, _ := k.do("KEYS", "*").([]any)
	pipe := k.conn.Pipeline()
	ctx := context.Background()
	for _, name := range names {
		pipe.Do(ctx, "DEBUG", "DIGEST-VALUE", name)
		pipe.Do(ctx, "PEXPIRETIME", name)
	}
	replies, err := pipe.Exec(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	out := map[string]string{}
	for i, name := range names {
		digest, _ := replies[2*i].(*redis.Cmd).Result()
		deadline, _ := replies[2*i+1].(*redis.Cmd).Result()
		out[name.(string)] = fmt.Sprint(digest, " ", deadline)
	}
	return out
}

// slots is the data moved aside by whole databases.
func (k *stocktaker) slots() (out inventory) {
	k.t.Helper()
	k.do("SELECT", 15)
	ledger, _ := k.do("HGETALL", "holdfast:trash").(map[any]any)
	from := map[int]int{}
	for _, text := range ledger {
		for _, d := range k.entry(text).DBs {
			if _, twice := from[d.Slot]; twice {
				out.odd("database %d is in two entries", d.Slot)
			}
			from[d.Slot] = d.DB
		}
	}
	for _, slot := range []int{8, 9, 10, 11} {
		held := k.database(slot)
		db, known := from[slot]
		if known != (len(held) > 0) {
			out.odd("database %d holds %d keys; in the ledger: %v", slot, len(held), known)
		}
		for name, value := range held {
			out = append(out, fmt.Sprintf("trash %d:%s=%s", db, name, value))
		}
	}
	for db := 12; db < 15; db++ {
		if n := len(k.database(db)); n > 0 {
			out.odd("database %d holds %d keys", db, n)
		}
	}
	return out
}

func (k *stocktaker) entry(text any) (e ledgerEntry) {
	k.t.Helper()
	if err := json.Unmarshal([]byte(text.(string)), &e); err != nil {
		k.t.Fatalf("the ledger has %q: %v", text, err)
	}
	return e
}

// keys is the data moved aside key by key.
func (k *stocktaker) keys() (out inventory) {
	k.t.Helper()
	held := k.database(15)
	delete(held, "holdfast:trash")
	delete(held, "holdfast:trash:sequence")
	delete(held, "holdfast:trash:undoing")
	due, _ := k.do("ZRANGE", "holdfast:trash:due", 0, -1).([]any)
	delete(held, "holdfast:trash:due")
	for _, id := range due {
		entry, names := "holdfast:trash:keys:"+id.(string), "holdfast:trash:names:"+id.(string)
		text := k.do("GET", entry)
		if text == nil {
			out.odd("entry %v is not there", id)
			continue
		}
		e := k.entry(text)
		known, _ := k.do("HGETALL", names).(map[any]any)
		delete(held, entry)
		delete(held, names)
		for n, name := range known {
			at := e.Prefix + n.(string)
			if held[at] == "" {
				out.odd("entry %v tells of %v, which is not there", id, name)
			}
			out = append(out, fmt.Sprintf("trash %d:%s=%s", e.DB, name, held[at]))
			delete(held, at)
		}
	}
	for name, value := range held {
		if strings.HasPrefix(name, "holdfast:trash:mark:") && !strings.HasSuffix(value, " -1") {
			continue // for the audit log; it goes by itself
		}
		out.odd("%q in the ledger's database is in no entry", name)
	}
	return out
}
