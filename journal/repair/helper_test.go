package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/scratch"
	"holdfast/journal/stream"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

// serverArgs make full resyncs quick and backlogs long enough.
var serverArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
	"--enable-debug-command", "yes"}

var withAOF = []string{"--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes"}

// rig is a server that a journal records.
type rig struct {
	t    testing.TB
	srv  *proxytest.Server
	dir  string // of the journal
	tmp  string // of scratch servers: sockets have short paths
	cut  int64  // where the append-only file will end
	bare bool   // the next recording writes no mark

	j    *journal.Journal
	tap  *tap.Tap
	stop func() // ends the recording
}

func newRig(t testing.TB, kind string, args ...string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), tmp: proxytest.ShortDir(t),
		srv: proxytest.Spec{Kind: kind, Args: slices.Concat(serverArgs, args)}.Start(t)}
	r.record(r.srv.Addr)
	return r
}

// record begins to record a server.
func (r *rig) record(address string) {
	r.t.Helper()
	var err error
	proxytest.Poll(r.t, "the folder", func() bool { // a process that is being started holds the last lock for a moment
		r.j, err = journal.Open(journal.Options{Dir: r.dir, SegmentBytes: 512 << 10})
		return !errors.Is(err, journal.ErrLocked)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	o := tap.Options{Journal: r.j, Address: address, BackoffMin: 2 * time.Millisecond,
		BackoffMax: 20 * time.Millisecond, Sample: 20 * time.Millisecond, Mark: true}
	if r.bare {
		o.Sample = 0
	}
	r.tap, err = tap.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	j, tp := r.j, r.tap
	go func() { defer close(done); _ = tp.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := j.Close(); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(r.stop)
	r.attached()
}

// attached waits until the stream flows and a base leads to it.
func (r *rig) attached() {
	r.t.Helper()
	proxytest.Poll(r.t, "the tap to be attached and covered", func() bool {
		return r.tap.Attached() && r.tap.Confirmed().Timeline != 0
	})
}

// recorded waits until what the server has done is durable.
func (r *rig) recorded() {
	r.t.Helper()
	end, err := strconv.ParseInt(r.srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	proxytest.Poll(r.t, "the journal to catch up", func() bool { return r.tap.Confirmed().Offset >= end })
}

// marked writes something and waits until the server holds a mark behind it.
func (r *rig) marked() {
	r.t.Helper()
	r.recorded()
	at := r.tap.Confirmed().Offset
	r.do(15, "SET", "before the mark", at)
	proxytest.Poll(r.t, "a mark", func() bool { return r.tap.Stats().Marked > at })
	r.recorded()
}

// do runs a command in a database.
func (r *rig) do(db int, args ...any) any {
	r.t.Helper()
	return doIn(r.t, r.srv, db, args...)
}

func doIn(t testing.TB, srv *proxytest.Server, db int, args ...any) any {
	t.Helper()
	conn := srv.Client().Conn()
	defer conn.Close()
	if err := conn.Do(context.Background(), "SELECT", db).Err(); err != nil {
		t.Fatal(err)
	}
	v, err := conn.Do(context.Background(), args...).Result()
	conn.Do(context.Background(), "SELECT", 0)
	if err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// incident waits for an incident that is open, and returns its number.
func (r *rig) incident() int {
	r.t.Helper()
	n := 0
	proxytest.Poll(r.t, "an incident", func() bool {
		for _, i := range r.j.Incidents() {
			if i.Open() {
				n = i.N
			}
		}
		return n > 0
	})
	r.attached()
	r.recorded()
	return n
}

// options are those of a repair of the rig's server.
func (r *rig) options(n int) Options {
	return Options{Fresh: r.j.View, Incident: n, Live: keyspace.Endpoint{Address: r.srv.Addr},
		Scratch: scratch.Options{Program: r.srv.Binary.Path, Dir: r.tmp}, TempDir: r.tmp,
		Item: func(i Item) { r.t.Logf("%s %v: %s", i.What, i.Key, i.Why) }}
}

// repair runs a repair that must not fail.
func (r *rig) repair(o Options) *Report {
	r.t.Helper()
	rep, err := Run(context.Background(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Log(strings.Join(rep.Lines(), "\n"))
	return rep
}

// contents describes the keys of a server, without those of proxies, as "db name".
func contents(t testing.TB, srv *proxytest.Server) map[string]string {
	t.Helper()
	out := map[string]string{}
	conn := srv.Client().Conn()
	defer conn.Close()
	ctx := context.Background()
	for db := range 16 {
		if err := conn.Do(ctx, "SELECT", db).Err(); err != nil {
			t.Fatal(err)
		}
		names, err := conn.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		pipe := conn.Pipeline()
		for _, k := range names {
			pipe.Do(ctx, "DEBUG", "DIGEST-VALUE", k)
			pipe.Do(ctx, "PEXPIRETIME", k)
		}
		replies, err := pipe.Exec(ctx)
		if err != nil && len(names) > 0 {
			t.Fatal(err)
		}
		for i, k := range names {
			if !stream.IsOwn(k) && k != "before the mark" {
				out[fmt.Sprint(db, " ", k)] = fmt.Sprint(replies[2*i].(*redis.Cmd).Val(),
					replies[2*i+1].(*redis.Cmd).Val())
			}
		}
	}
	conn.Do(ctx, "SELECT", 0)
	return out
}

// differ lists the keys that are not the same, up to some.
func differ(got, want map[string]string) (out []string) {
	for k, v := range want {
		if got[k] != v {
			out = append(out, fmt.Sprintf("%q: %q, want %q", k, got[k], v))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			out = append(out, fmt.Sprintf("%q: should not be there", k))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 20)]
}

// aofFile is the append-only file that a server writes to.
func aofFile(t testing.TB, srv *proxytest.Server) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(srv.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	return files[len(files)-1]
}

func sizeOf(t testing.TB, name string) int64 {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}
