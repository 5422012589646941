package tap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// comeback is one way in which a primary comes back, and what is true then.
type comeback struct {
	name  string
	args  []string // of persistence
	first [][]any  // is written before the last mark
	// marked: the last mark stands behind the last write. Otherwise tail is written behind it.
	tail [][]any
	back func(t *testing.T, r *rig, srv *proxytest.Server)
	want journal.Verdict // "": no incident at all
	hold bool
	keys int64 // that an incident of loss names; 0: not looked at
	bare bool  // no mark is written
}

var (
	noFiles  = []string{"--save", "", "--appendonly", "no"}
	rdbFile  = []string{"--save", "3600 1", "--appendonly", "no", "--dbfilename", "dump.rdb"}
	always   = []string{"--save", "", "--appendonly", "yes", "--appendfsync", "always"}
	everysec = []string{"--save", "", "--appendonly", "yes", "--appendfsync", "everysec"}
	both     = []string{"--save", "3600 1", "--appendonly", "yes", "--appendfsync", "everysec"}
)

func clean(_ *testing.T, _ *rig, srv *proxytest.Server)  { srv.Stop(); srv.Restart() }
func killed(_ *testing.T, _ *rig, srv *proxytest.Server) { srv.Kill(); srv.Restart() }

func wiped(t *testing.T, _ *rig, srv *proxytest.Server) {
	srv.Kill()
	removeData(t, srv)
	srv.Restart()
}

func removeData(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	for _, name := range []string{"dump.rdb", "appendonlydir"} {
		if err := os.RemoveAll(filepath.Join(srv.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// cut takes bytes off the end of the append-only file.
func cut(bytes int64) func(*testing.T, *rig, *proxytest.Server) {
	return func(t *testing.T, _ *rig, srv *proxytest.Server) {
		srv.Stop()
		files, err := filepath.Glob(filepath.Join(srv.Dir, "appendonlydir", "*.incr.aof"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		slices.Sort(files)
		name := files[len(files)-1]
		st, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, st.Size()-bytes)
		}
		if err != nil {
			t.Fatal(err)
		}
		srv.Restart()
	}
}

// older starts the server from a dump of before the journal.
func older(t *testing.T, _ *rig, srv *proxytest.Server) {
	srv.Kill()
	text, err := os.ReadFile(filepath.Join(srv.Dir, "old.rdb"))
	if err == nil {
		err = os.WriteFile(filepath.Join(srv.Dir, "dump.rdb"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	srv.Restart()
}

func anotherServer(t *testing.T, r *rig, srv *proxytest.Server) {
	other := proxytest.Spec{Kind: srv.Binary.Kind, Args: serverArgs}.Start(t)
	setUser(other, "+@all ~* &*")
	other.MustDo("MSET", "x", 1, "y", 2)
	r.tap.Redirect(other.Addr)
}

// demoted makes the server a replica of one that was promoted without its last writes.
func demoted(t *testing.T, r *rig, srv *proxytest.Server) {
	other := proxytest.Spec{Kind: srv.Binary.Kind, Args: serverArgs}.Start(t)
	follow(t, other, srv)
	proxytest.Poll(t, "the replica", func() bool { return offset(other) == offset(srv) })
	setUser(other, "+@all ~* &*")
	other.MustDo("REPLICAOF", "NO", "ONE")
	srv.MustDo("SET", "only:here", 1)
	r.caughtUp(srv)
	follow(t, srv, other)
}

func reconnected(_ *testing.T, _ *rig, srv *proxytest.Server) {
	srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
}

// plain says what it leaves behind; sums depends on what was there.
var (
	plain = [][]any{{"SET", "t1", "a"}, {"HSET", "h", "f", "1", "g", "2"}, {"SADD", "s", "m"},
		{"ZADD", "z", 7, "m"}, {"XADD", "x", "*", "f", "v"}, {"DEL", "k1"}, {"SET", "t2", "b", "EX", 900},
		{"SREM", "s", "m"}, {"EXPIRE", "k2", 900}, {"MSET", "t3", "c", "t4", "d"}}
	sums = [][]any{{"SET", "t1", "a"}, {"INCR", "n"}}
)

// many says little of what it leaves behind, in several databases, beside what no file has.
var many = slices.Concat(sums, in(3, "INCR", "n"), [][]any{{"PUBLISH", "c", "m"}, {"LPUSH", "l", 1, 2}},
	in(4, "PUBLISH", "c", "m"), [][]any{{"APPEND", "t1", "b"}, {"EVAL",
		"redis.call('INCR', 'a') redis.call('SELECT', 3) redis.call('LPUSH', 'b', 1)", 0}, {"INCR", "n"}})

// What is done to a server before the last mark.
var (
	rewritten = [][]any{{"INCR", "n"}, {"BGREWRITEAOF"}, {"wait for the rewrite"}, {"INCR", "n"}}
	restarted = [][]any{{"INCR", "n"}, {"restart"}, {"INCR", "n"}}
	stamped   = [][]any{{"INCR", "n"}, {"wait for the next second"}, {"INCR", "n"}}
	slowLoad  = slices.Concat(always, []string{"--key-load-delay", "200",
		"--loading-process-events-interval-bytes", "1024", "--user", "journal", "on", ">secret", "~*", "&*",
		"+@all", "-psync"})
	thousands = slices.Repeat([][]any{{"EVAL", "for i = 1, 800 do redis.call('INCR', 'i') end", 0}}, 10)
)

// act does one thing to a server: a command, or what a test means by a word.
func (r *rig) act(t *testing.T, srv *proxytest.Server, args []any) {
	t.Helper()
	switch args[0] {
	case "wait for the rewrite":
		proxytest.Poll(t, "the rewrite", func() bool {
			f := srv.Info("persistence")
			return f["aof_rewrite_in_progress"] == "0" && f["aof_rewrite_scheduled"] == "0" &&
				f["aof_rewrites"] != "0"
		})
	case "wait for the next second":
		now := time.Now().Unix()
		proxytest.Poll(t, "the next second", func() bool { return time.Now().Unix() > now })
	case "restart":
		syncs := r.tap.Stats().FullResyncs
		srv.Stop()
		srv.Restart()
		setUser(srv, "+@all ~* &*")
		proxytest.Poll(t, "the journal comes back", func() bool { return r.tap.Stats().FullResyncs > syncs })
		r.attached()
	default:
		srv.MustDo(args...)
	}
}

// after lets a client do something on the server before the journal sees it.
func after(commands ...[]any) func(*testing.T, *rig, *proxytest.Server) {
	return func(t *testing.T, r *rig, srv *proxytest.Server) { comesLate(t, r, srv, commands) }
}

func comesLate(t *testing.T, r *rig, srv *proxytest.Server, commands [][]any) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	srv.Stop()
	srv.Restart()
	setUser(srv, "+@all ~* &*")
	for _, args := range commands {
		srv.MustDo(args...)
	}
	r.start()
}

// seenLoading does the same, but the journal has seen how much the server loads. It may not attach
// until it is given the right.
func seenLoading(_ *testing.T, _ *rig, srv *proxytest.Server) {
	srv.Stop()
	srv.Restart()
	srv.MustDo("INCR", "other")
}

// seenFirst does the same, but the journal was there before the first write.
func seenFirst(t *testing.T, r *rig, srv *proxytest.Server) {
	srv.Stop()
	srv.Restart()
	proxytest.Poll(t, "the journal's first look", func() bool {
		return srv.Info("commandstats")["cmdstat_psync"] != ""
	})
	srv.MustDo("INCR", "other")
	srv.MustDo("SET", "short", 1, "PX", 1)
	proxytest.Poll(t, "an expired key", func() bool { return srv.Info("stats")["expired_keys"] != "0" })
}

// in is a command in another database.
func in(db int, args ...any) [][]any {
	const script = "redis.call('SELECT', ARGV[1]) return redis.call(unpack(ARGV, 2))"
	return [][]any{slices.Concat([]any{"EVAL", script, 0, db}, args)}
}

var comebacks = []comeback{
	{name: "none, clean", args: noFiles, back: clean, want: journal.Lost, hold: true, keys: 10},
	{name: "none, killed", args: noFiles, back: killed, want: journal.Lost, hold: true, keys: 10},
	{name: "rdb, clean", args: rdbFile, back: clean},
	{name: "rdb, killed", args: rdbFile, back: killed, want: journal.Lost, hold: true},
	{name: "rdb, older than the journal", args: rdbFile, back: older, want: journal.Lost, hold: true},
	{name: "rdb, wiped", args: rdbFile, back: wiped, want: journal.Lost, hold: true, keys: 10},
	{name: "always, clean", args: always, back: clean, want: journal.NothingLost},
	{name: "always, killed", args: always, back: killed, want: journal.NothingLost},
	{name: "always, wiped", args: always, back: wiped, want: journal.Lost, hold: true, keys: 10},
	{name: "always, cut", args: always, back: cut(200), want: journal.Lost, hold: true},
	{name: "everysec, clean", args: everysec, back: clean, want: journal.NothingLost},
	{name: "everysec, the mark is cut", args: everysec, back: cut(1), want: journal.NothingLost},
	{name: "both, clean", args: both, back: clean, want: journal.NothingLost},
	{name: "always, clean, behind the mark", args: always, tail: plain, back: clean,
		want: journal.NothingLost},
	{name: "always, killed, behind the mark", args: always, tail: plain, back: killed,
		want: journal.NothingLost},
	{name: "always, cut behind the mark", args: always, tail: plain, back: cut(1),
		want: journal.Lost, hold: true, keys: 2},
	{name: "always, another value behind the mark is cut off", args: always,
		tail: [][]any{{"SET", "k1", "new"}}, back: cut(1), want: journal.Lost, hold: true, keys: 1},
	{name: "always, sums behind the mark", args: always, tail: sums, back: clean,
		want: journal.NothingLost},
	{name: "everysec, sums behind the mark, killed", args: everysec, tail: sums, back: killed,
		want: journal.NothingLost},
	{name: "everysec, sums in several databases and messages", args: everysec, tail: many, back: clean,
		want: journal.NothingLost},
	{name: "both, sums behind the mark", args: both, tail: sums, back: clean, want: journal.NothingLost},
	{name: "always, sums behind the mark are cut off", args: always, tail: sums, back: cut(1),
		want: journal.InQuestion},
	{name: "always, the last of many is cut off", args: always, tail: many, back: cut(30),
		want: journal.InQuestion},
	{name: "always, sums behind the mark, written to since", args: always, tail: sums,
		back: after([]any{"INCR", "other"}), want: journal.InQuestion},
	{name: "always, sums behind the mark, written to by a script", args: always, tail: sums,
		back: after([]any{"EVAL", "redis.call('INCR', 'n')", 0}), want: journal.InQuestion},
	{name: "always, sums behind the mark, only read since", args: always, tail: sums,
		back: after([]any{"GET", "k1"}, []any{"EVAL", "redis.call('GET', 'n')", 0}), want: journal.NothingLost},
	{name: "always, sums behind the mark, seen while it loads", args: slowLoad, first: thousands,
		tail: sums, back: seenLoading, want: journal.NothingLost},
	{name: "everysec, sums behind the mark, seen before the first write", args: slices.Concat(everysec,
		[]string{"--user", "journal", "on", ">secret", "~*", "&*", "+@all", "-psync"}), tail: many,
		back: seenFirst, want: journal.NothingLost},
	{name: "always, sums behind the mark, rewritten before", args: always, first: rewritten, tail: sums,
		back: clean, want: journal.NothingLost},
	{name: "always, sums behind the mark, restarted before", args: always, first: restarted, tail: many,
		back: clean, want: journal.NothingLost},
	// What is missing is as long as a timestamp.
	{name: "always, sums with timestamps are cut off", args: slices.Concat(always,
		[]string{"--aof-timestamp-enabled", "yes"}), tail: stamped, back: cut(16), want: journal.InQuestion},
	{name: "always, flushed behind the mark", args: always,
		tail: [][]any{{"FLUSHALL"}, {"SET", "t", 1}}, back: clean, want: journal.NothingLost},
	{name: "always, flushed and moved behind the mark", args: always,
		tail: [][]any{{"FLUSHALL"}, {"SET", "t", 1}, {"MOVE", "t", 3}, {"SET", "u", 1}}, back: clean,
		want: journal.NothingLost},
	{name: "always, flushed and moved behind the mark, cut off", args: always,
		tail: [][]any{{"FLUSHALL"}, {"SET", "t", 1}, {"MOVE", "t", 3}, {"SET", "u", 1}}, back: cut(1),
		want: journal.InQuestion, hold: true},
	{name: "always, a flush behind the mark is cut off", args: always,
		tail: [][]any{{"FLUSHALL"}}, back: cut(1), want: journal.Lost, hold: true},
	{name: "always, another database flushed, wiped", args: always, tail: in(3, "FLUSHDB"),
		back: wiped, want: journal.Lost, hold: true, keys: 10},
	{name: "always, the mark deleted, wiped", args: always, tail: in(15, "DEL", "holdfast:mark"),
		back: wiped, want: journal.Lost, hold: true, keys: 10},
	{name: "always, all flushed one by one", args: always,
		tail: slices.Concat(in(15, "FLUSHDB"), in(0, "FLUSHDB")), back: wiped, want: journal.NothingLost},
	{name: "rdb, the mark deleted, older than the journal", args: rdbFile,
		tail: in(15, "DEL", "holdfast:mark"), back: older, want: journal.InQuestion, hold: true},
	{name: "rdb, the mark flushed, older than the journal", args: rdbFile, tail: in(15, "FLUSHDB"),
		back: older, want: journal.InQuestion, hold: true},
	{name: "always, a hash made again is cut off", args: always,
		first: [][]any{{"HSET", "h", "f", "1", "g", "2"}},
		tail:  [][]any{{"DEL", "h"}, {"HSET", "h", "f", "1"}}, back: cut(50), want: journal.Lost, hold: true,
		keys: 1},
	{name: "always, a stream made again is cut off", args: always,
		first: [][]any{{"XADD", "x", "1-1", "f", "1"}},
		tail:  [][]any{{"DEL", "x"}, {"XADD", "x", "1-1", "f", "2"}}, back: cut(50), want: journal.Lost,
		hold: true, keys: 1},
	{name: "always, the end of a deadline is cut off", args: always,
		first: [][]any{{"SET", "t", "1", "EX", "900"}}, tail: [][]any{{"SET", "t", "1"}}, back: cut(1),
		want: journal.Lost, hold: true, keys: 1},
	{name: "always, parts made again, clean", args: always, tail: [][]any{{"DEL", "h"},
		{"HSET", "h", "f", "1"}, {"DEL", "s"}, {"SADD", "s", "a", "b"}, {"DEL", "z"}, {"ZADD", "z", 1, "a"},
		{"DEL", "x"}, {"XADD", "x", "1-1", "f", "1"}, {"SET", "k1", "1", "EX", "900"}, {"PERSIST", "k1"}},
		back: clean, want: journal.NothingLost},
	{name: "always, scores of more than one form, clean", args: always,
		tail: [][]any{{"ZADD", "z", "1", "a", "1.50", "b"}}, back: clean, want: journal.NothingLost},
	{name: "always, a deadline with a condition, clean", args: always, tail: [][]any{
		{"SET", "t", "1", "EX", "900"}, {"EXPIRE", "t", "950", "GT"}, {"SET", "t", "2", "KEEPTTL"}},
		back: clean, want: journal.NothingLost},
	{name: "without a mark, read to the end, clean", args: always, back: clean, bare: true,
		tail: [][]any{{"DEL", "from before", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"}},
		want: journal.InQuestion, hold: true},
	{name: "without a mark, clean", args: always, back: clean, want: journal.InQuestion, hold: true,
		bare: true},
	{name: "without a mark, wiped", args: always, back: wiped, want: journal.Lost, hold: true, keys: 10,
		bare: true},
	{name: "another server", args: always, back: anotherServer, want: journal.Lost, hold: true},
	{name: "replica", args: noFiles, back: demoted, want: journal.Lost, hold: true, keys: 1},
	{name: "reconnected", args: always, back: reconnected},
}

// TestVerdicts plays each way of coming back on a server of each kind.
func TestVerdicts(t *testing.T) {
	for _, b := range proxytest.Binaries(t) {
		for _, row := range comebacks {
			t.Run(b.String()+"/"+row.name, func(t *testing.T) { row.play(t, b.Kind) })
		}
	}
}

// The length of a file with timestamps proves that nothing is lost, too: where the last command comes
// right behind the beginning of a second, that second may be one too many, which proves nothing.
func TestVerdictWithTimestamps(t *testing.T) {
	t.Parallel()
	for _, tail := range [][][]any{sums, stamped} {
		row := comeback{args: slices.Concat(always, []string{"--aof-timestamp-enabled", "yes"}), tail: tail,
			back: clean}
		proven := func() bool {
			i := row.record(t, "").j.Incidents()[0]
			if i.Verdict == journal.Lost {
				t.Fatalf("%+v", i)
			}
			return i.Verdict == journal.NothingLost
		}
		tries := 0
		for tries < 20 && !proven() {
			tries++
		}
		if tries == 20 {
			t.Errorf("%v: in question each time", tail)
		}
	}
}

// TestVerdictsOfVersions plays those for which versions could differ on all.
func TestVerdictsOfVersions(t *testing.T) {
	names := []string{"none, killed", "rdb, killed", "always, clean, behind the mark", "always, cut",
		"always, cut behind the mark", "replica", "everysec, sums in several databases and messages",
		"always, the last of many is cut off", "always, sums behind the mark, seen while it loads",
		"always, sums behind the mark, rewritten before"}
	for _, b := range proxytest.Matrix(t) {
		if slices.ContainsFunc(proxytest.Binaries(t), func(o proxytest.Binary) bool { return o == b }) {
			continue
		}
		for _, row := range comebacks {
			if slices.Contains(names, row.name) {
				t.Run(b.String()+"/"+row.name, func(t *testing.T) { row.play(t, b.Kind) })
			}
		}
	}
}

func (row comeback) play(t *testing.T, kind string) { row.check(t, row.record(t, kind)) }

// record plays up to the server's return, and gives the journal that has judged it.
func (row comeback) record(t *testing.T, kind string) *rig {
	t.Helper()
	srv := proxytest.Spec{Kind: kind, Args: slices.Concat(serverArgs, row.args)}.Start(t)
	srv.MustDo("SET", "from before", 1)
	if slices.Equal(row.args, rdbFile) {
		srv.Save()
		os.Rename(filepath.Join(srv.Dir, "dump.rdb"), filepath.Join(srv.Dir, "old.rdb"))
	}
	setUser(srv, "+@all ~* &*")
	r := newRig(t, srv.Addr)
	r.opts.Username, r.opts.Password = "journal", "secret"
	r.opts.Sample, r.opts.Mark = 10*time.Millisecond, !row.bare
	r.start().attached()
	if slices.Equal(row.args, rdbFile) {
		srv.Save()
	}
	first := offset(srv)
	for i := range 8 {
		srv.MustDo("SET", "k"+strconv.Itoa(i), i)
	}
	for _, args := range row.first {
		if r.act(t, srv, args); args[0] == "restart" {
			first = 0
		}
	}
	if !row.bare {
		marked(t, r, srv, first) // the last mark is not the only one
	}
	before := offset(srv)
	srv.MustDo("SET", "k8", 8)
	if row.bare {
		proxytest.Poll(t, "the keys to be counted", func() bool {
			c := r.current().Counts
			return c != nil && c.Total() == 10
		})
	} else {
		marked(t, r, srv, before)
	}
	if row.tail != nil {
		srv.MustDo("ACL", "SETUSER", "journal", "-set", "-info")
		for _, args := range row.tail {
			r.act(t, srv, args)
		}
		r.caughtUp(srv)
	}
	attached, was := r.tap.Stats(), r.tap
	r.opts.Username = ""
	// The server forgets its users when it is started again.
	row.back(t, r, srv)
	setUser(srv, "+@all ~* &*")
	proxytest.Poll(t, "the journal comes back", func() bool {
		s := r.tap.Stats()
		if r.tap != was {
			return r.tap.Attached()
		}
		return s.Continues+s.FullResyncs > attached.Continues+attached.FullResyncs && r.tap.Attached()
	})
	return r.attached()
}

func (row comeback) check(t *testing.T, r *rig) {
	t.Helper()
	in := r.j.Incidents()
	if row.want == "" {
		if len(in) != 0 {
			t.Errorf("incidents %+v, want none", in)
		}
		return
	}
	n := 1
	for _, args := range row.first {
		if args[0] == "restart" {
			n++
		}
	}
	if len(in) != n {
		t.Fatalf("incidents %+v, want %d", in, n)
	}
	i := in[n-1]
	if i.Verdict != row.want || i.Hold != row.hold || i.Open() != (row.want != journal.NothingLost) ||
		row.keys != 0 && i.Keys != row.keys {
		t.Errorf("%+v, want %q, hold %t, keys %d", i, row.want, row.hold, row.keys)
	}
	if held := r.j.Held() != nil; held != row.hold {
		t.Errorf("held %t", held)
	}
	if i.Verdict == journal.Lost && (i.Least < i.From || i.Commands == 0 && i.Keys == 0) {
		t.Errorf("bounds %+v", i)
	}
}

// marked waits until a mark stands behind the last write, which began at an offset or behind it. The
// offset in the mark is above that one then: a mark alone brings about none.
func marked(t *testing.T, r *rig, srv *proxytest.Server, last int64) {
	t.Helper()
	proxytest.Poll(t, "a mark in the journal", func() bool {
		c := r.current().Counts
		return c != nil && c.Mark > last && r.tap.Confirmed().Offset > c.Mark &&
			strings.HasPrefix(fmt.Sprint(markOf(srv)), srv.Info("replication")["master_replid"])
	})
}

// markOf is the value of the mark on a server.
func markOf(srv *proxytest.Server) any {
	v, err := srv.Do("EVAL", "redis.call('SELECT', 15) return redis.call('GET', KEYS[1])", 1,
		"holdfast:mark")
	if err != nil {
		return err
	}
	return v
}

// TestVerdictOfABranch is an old primary that comes back under a new history: its mark is of a branch
// that came further, as offsets go, than the history that it lacks.
func TestVerdictOfABranch(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Args: slices.Concat(serverArgs, always)}.Start(t)
	r := newRig(t, srv.Addr)
	r.opts.Sample, r.opts.Mark = 10*time.Millisecond, true
	r.start().attached()
	srv.MustDo("SET", "k", 1)
	other := proxytest.Spec{Kind: srv.Binary.Kind, Args: serverArgs}.Start(t)
	follow(t, other, srv)
	proxytest.Poll(t, "the replica", func() bool { return offset(other) == offset(srv) })
	other.MustDo("REPLICAOF", "NO", "ONE")
	fill(srv, 100_000)
	before := offset(srv)
	srv.MustDo("SET", "only:here", 1)
	marked(t, r, srv, before)
	r.caughtUp(srv)
	before = int64(len(r.view().Timelines()))
	r.tap.Redirect(other.Addr)
	proxytest.Poll(t, "the promoted one", func() bool { return int64(len(r.view().Timelines())) > before })
	r.attached()
	before = offset(other)
	other.MustDo("SET", "only:there", 1)
	marked(t, r, other, before)
	r.caughtUp(other)
	srv.Restart()
	syncs := r.tap.Stats().FullResyncs
	r.tap.Redirect(srv.Addr)
	proxytest.Poll(t, "the old one", func() bool { return r.tap.Stats().FullResyncs > syncs })
	r.attached()
	in := r.j.Incidents()
	if len(in) != 2 || in[1].Verdict != journal.Lost || !in[1].Hold || in[1].Commands == 0 {
		t.Errorf("%+v, want two of loss", in)
	}
}

// TestVerdictAfterAnUpgrade: the proxy and the server are started again at once, and the proxy is of a
// version that marks servers for the first time. No route waits, unless the server is empty.
func TestVerdictAfterAnUpgrade(t *testing.T) {
	for name, row := range map[string]struct {
		back func(t *testing.T, r *rig, srv *proxytest.Server)
		hold bool
	}{"clean": {clean, false}, "wiped": {wiped, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Args: slices.Concat(serverArgs, always)}.Start(t)
			r := newRig(t, srv.Addr).start().attached()
			srv.MustDo("SET", "k", 1)
			r.caughtUp(srv)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			row.back(t, r, srv)
			r.opts.Sample, r.opts.Mark = 10*time.Millisecond, true
			r.start().attached()
			in := r.j.Incidents()
			if len(in) != 1 || in[0].Verdict != journal.InQuestion || in[0].Hold != row.hold {
				t.Errorf("%+v, want one in question, hold %t", in, row.hold)
			}
		})
	}
}
