package repair

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/vfs"
	"holdfast/proxy/proxytest"
)

// TestNotMistakenForFed kills a feed before its first byte. Clients then write the very commands with
// which the lost branch begins: they are theirs, and were not fed.
func TestNotMistakenForFed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	r.stop()
	r.bare = true // a mark would come between
	r.record(r.srv.Addr)
	r.do(0, "SET", "counter", 5)
	fromRDB.keep(r)
	for range 3 {
		r.do(0, "INCR", "counter")
	}
	r.recorded()
	fromRDB.lose(r)
	n := r.incident()
	r.feedUntil("before the first byte", n)
	o := r.feeding(n)
	if ok, err := RestoreRole(context.Background(), nil, r.dir, o.Live); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for range 2 {
		r.srv.MustDo("INCR", "counter")
	}
	r.recorded()
	o.Conflicts = Skip
	rep := r.repair(o)
	if v := r.srv.MustDo("GET", "counter"); v != "7" || rep.Fed != 0 || rep.Conflicts != 1 {
		t.Errorf("counter %v, %+v", v, rep)
	}
}

// TestNotUnderstood feeds a server that holds something which no stream says, so that it answers a part
// with an error: the feed is no proof, also if it was killed before it looked.
func TestNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"", "all of it is applied"} {
		r := newRig(t, "valkey")
		fromRDB.keep(r)
		r.do(0, "RPUSH", "list:0", "a")
		r.do(0, "SET", "the last", 1)
		r.recorded()
		theirs := contents(t, r.srv)
		fromRDB.lose(r)
		n := r.incident()
		r.srv.MustDo("DEBUG", "POPULATE", 1, "list")
		if step != "" {
			r.feedUntil(step, n)
		}
		o := r.feeding(n)
		o.Conflicts = Replace
		rep := r.repair(o)
		if rep.Whole || rep.Fed != 0 || !strings.Contains(rep.NotFed, "understand") && step != "" || !rep.Done() {
			t.Errorf("%q: %+v", step, rep)
		}
		if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
			t.Errorf("%q: %q", step, d)
		}
		r.primary()
	}
}

// TestNotFedWhatItHas has the proxy follow a promoted replica, which lacks the tail, and then the old
// primary again, which has it.
func TestNotFedWhatItHas(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	other := proxytest.Spec{Kind: "valkey", Args: serverArgs}.Start(t)
	host, port, _ := strings.Cut(r.srv.Addr, ":")
	other.MustDo("REPLICAOF", host, port)
	r.do(0, "SET", "counter", 5)
	proxytest.Poll(t, "the replica", func() bool { v, _ := other.Do("GET", "counter"); return v == "5" })
	other.MustDo("REPLICAOF", "NO", "ONE")
	r.do(0, "INCR", "counter")
	r.recorded()
	r.stop()
	r.record(other.Addr)
	n := 0
	proxytest.Poll(t, "an incident", func() bool { n = len(r.j.Incidents()); return n > 0 })
	view, err := r.j.View()
	if err != nil {
		t.Fatal(err)
	}
	begun := run{Options: r.feeding(n)}
	if begun.branch, err = newLostBranch(t.Context(), view, n); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.record(r.srv.Addr)
	r.recorded()
	if view, err = r.j.View(); err != nil {
		t.Fatal(err)
	}
	// The journal may have the tail as the server's own history, or as a hole in it, which its backlog fills.
	cur, _ := view.Current()
	begun.view = view
	begun.branch.fill(t.Context(), view, begun.Live, cur.ReplID)
	if err := begun.unwritten(t.Context(), view); err == nil {
		t.Error("a repair that began on the replica would feed the old primary")
	}
	rep, err := Run(t.Context(), r.feeding(n))
	if v := r.srv.MustDo("GET", "counter"); v != "6" || rep.Fed != 0 || !errors.Is(err, ErrIncident) {
		t.Errorf("counter %v, %v, %+v", v, err, rep)
	}
}

// lateDisk has another repair leave a word just before a lock is taken.
type lateDisk struct {
	vfs.OS
	before func()
}

func (d lateDisk) Lock(name, what string) (io.Closer, error) {
	d.before()
	return d.OS.Lock(name, what)
}

// TestWordOfALaterFeed restores a role while a repair ends: what that left is not overwritten.
func TestWordOfALaterFeed(t *testing.T) {
	t.Parallel()
	srv, dir := proxytest.Spec{}.Start(t), t.TempDir()
	word := journal.Feeding{N: 1, RunID: "x", Address: "127.0.0.1:1"}
	if err := journal.LeaveFeeding(nil, dir, word); err != nil {
		t.Fatal(err)
	}
	word.Parts = []journal.FedPart{{At: 5}}
	disk := lateDisk{before: func() {
		if err := journal.LeaveFeeding(nil, dir, word); err != nil {
			t.Error(err)
		}
	}}
	if _, err := RestoreRole(context.Background(), disk, dir, keyspace.Endpoint{Address: srv.Addr}); err != nil {
		t.Fatal(err)
	}
	words, err := journal.Feedings(nil, dir)
	if err != nil || len(words) != 1 || words[0].Address != "" || len(words[0].Parts) != 1 {
		t.Errorf("%v %+v", err, words)
	}
}
