package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// fromRDB is the way of which the place where the histories part is known.
var fromRDB = ways[0]

// lose has a rig's server lose its tail, and returns the incident and what it held.
func (r *rig) lose() (n int, theirs map[string]string) {
	r.t.Helper()
	fillBase(r)
	r.srv.MustDo("DEBUG", "SET-ACTIVE-EXPIRE", 0)
	r.do(0, "SET", "expires unseen", 1, "PX", 100)
	r.do(2, "SET", "expires in both", 1, "PX", 100)
	fromRDB.keep(r)
	writeTail(r)
	proxytest.Poll(r.t, "a key to expire", func() bool { return r.do(2, "EXISTS", "expires in both") == int64(0) })
	for _, db := range []int{0, 3} { // else it may be in the next dump
		proxytest.Poll(r.t, "the key to expire", func() bool { return r.do(db, "EXISTS", "soon gone") == int64(0) })
	}
	r.do(3, "PUBLISH", "news", "once")
	r.do(9, "SET", "the last", 1)
	r.recorded()
	theirs = contents(r.t, r.srv)
	fromRDB.lose(r)
	return r.incident(), theirs
}

// feeding are the options of a repair that may feed.
func (r *rig) feeding(n int) Options {
	r.t.Helper()
	setPath.Do(func() { os.Setenv("PATH", serversPath(r.t)) }) // as one that is asked for is not fed
	o := r.options(n)
	o.Dir, o.Scratch.Program = r.dir, ""
	return o
}

var setPath sync.Once

// serversPath has servers that load whatever those of the tests write.
func serversPath(t testing.TB) string {
	var path []string
	for _, kind := range []string{"valkey9", "redis8new"} {
		path = append(path, filepath.Dir(proxytest.Find(t, kind).Path))
	}
	return strings.Join(append(path, "/usr/bin", "/bin"), ":")
}

// primary makes sure that a server serves.
func (r *rig) primary() {
	r.t.Helper()
	if role := r.srv.Info("replication")["role"]; role != "master" {
		r.t.Fatalf("it is a %s", role)
	}
}

// TestFeed feeds a server that lost its tail and was not written to: no scratch server, no comparison,
// nothing different, no message said twice, and the journal follows it through all of that.
func TestFeed(t *testing.T) {
	for _, bin := range append(proxytest.Binaries(t), proxytest.Find(t, "valkey9")) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, bin.Kind)
			n, theirs := r.lose()
			o := r.feeding(n)
			heard := r.srv.Client().Subscribe(context.Background(), "news")
			defer heard.Close()
			o.DryRun = true
			before := contents(t, r.srv)
			if rep := r.repair(o); rep.Fed == 0 || rep.NotFed != "" || rep.Restored == 0 || rep.Done() {
				t.Errorf("a dry run: %+v", rep)
			}
			if d := differ(contents(t, r.srv), before); len(d) > 0 {
				t.Errorf("a dry run: %q", d)
			}
			r.primary()
			o.DryRun = false
			rep := r.repair(o)
			if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
				t.Errorf("afterwards %q", d)
			}
			if rep.Fed == 0 || rep.NotFed != "" || rep.Scratch != "" || rep.Touched != 0 || !rep.Done() {
				t.Errorf("%+v", rep)
			}
			r.primary()
			r.srv.MustDo("SET", "afterwards", 1)
			r.recorded()
			view, err := r.j.View()
			if cur, ok := view.Current(); err != nil || !ok || len(view.Gaps()) > 1 || cur.Start != cur.Fork {
				t.Errorf("%v, %+v, gaps %+v", err, cur, view.Gaps()) // but for what expired at the start
			}
			if len(heard.Channel()) > 0 {
				t.Errorf("a message was said again")
			}
		})
	}
}

// TestNotFed writes into a server that lost its tail, before the repair and between its last look and
// the switch, and has it be what cannot be fed: nothing is fed, and everything is put back by keys.
func TestNotFed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	set := func(name, value string) { r.srv.MustDo("CONFIG", "SET", name, value) }
	for _, row := range []struct {
		name, want string
		do, undo   func()
		step       string
	}{
		{name: "written before", want: "clients have written since", do: func() { r.do(0, "SET", "since", 1) }},
		{name: "removed", want: "a key was removed since", do: func() { r.do(0, "DEL", "changed") }},
		{name: "written at the last moment", want: "clients have written since", step: "before the switch",
			do: func() { r.do(0, "SET", "since", 2) }},
		{name: "writable replicas", want: "replica-read-only is no", do: func() { set("replica-read-only", "no") },
			undo: func() { set("replica-read-only", "yes") }},
		{name: "a dump that failed", want: "rdb_last_bgsave_status", do: func() {
			set("dir", r.tmp)
			set("dbfilename", "x")
			if err := os.Mkdir(filepath.Join(r.tmp, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			proxytest.Poll(t, "a dump to fail", func() bool {
				_, _ = r.srv.Do("BGSAVE") // refused beside a dump that began before
				return r.srv.Info("persistence")["rdb_last_bgsave_status"] == "err"
			})
		}, undo: func() { set("dir", r.srv.Dir); set("dbfilename", "dump.rdb"); r.srv.Do("SAVE") }},
		{name: "sentinels", want: "sentinels watch", do: func() {
			s := r.srv.Client().Subscribe(context.Background(), "__sentinel__:hello")
			t.Cleanup(func() { s.Close() })
			proxytest.Poll(t, "the subscription", func() bool {
				v := r.srv.MustDo("PUBSUB", "NUMSUB", "__sentinel__:hello").([]any)
				return v[1] != int64(0)
			})
		}},
	} {
		n, theirs := r.lose()
		o := r.feeding(n)
		if row.step == "" {
			row.do()
		}
		o.step = func(step string) {
			if step == row.step {
				row.do()
			}
		}
		r.recorded()
		if v, _ := r.srv.Do("GET", "since"); v != nil {
			theirs["0 since"] = contents(t, r.srv)["0 since"]
		}
		o.Conflicts = Replace
		rep := r.repair(o)
		if row.step != "" {
			theirs["0 since"] = contents(t, r.srv)["0 since"]
		}
		if rep.Fed != 0 || !strings.Contains(rep.NotFed, row.want) || rep.Scratch == "" || !rep.Done() {
			t.Errorf("%s: %+v", row.name, rep)
		}
		if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
			t.Errorf("%s: %q", row.name, d)
		}
		r.primary()
		if row.undo != nil {
			row.undo()
		}
		if err := r.j.CloseIncident(context.Background(), rep.Incident, "repaired"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneFeedAtATime: two proxies that feed a server at once do not rename its history twice, behind the back of
// their journals.
func TestOneFeedAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	n, theirs := r.lose()
	o := r.feeding(n)
	o.FeedOnly = true
	history := func() string { return r.srv.Info("replication")["master_replid"] }

	other := r.srv.Client().Conn()
	if err := other.ClientSetName(t.Context(), "holdfast-feed").Err(); err != nil {
		t.Fatal(err)
	}
	before := history()
	if _, err := Run(t.Context(), o); !errors.Is(err, replay.ErrFeeding) || history() != before {
		t.Errorf("beside another feed: %v, the history is %s, was %s", err, history(), before)
	}
	if err := other.ClientSetName(t.Context(), "").Err(); err != nil {
		t.Fatal(err)
	}

	o.step = func(step string) {
		if step == "before the claim" && history() == before { // as another proxy does that has nothing to feed
			r.srv.MustDo("REPLICAOF", "127.0.0.1", "1")
			r.srv.MustDo("REPLICAOF", "NO", "ONE")
			before = history()
		}
	}
	_, err := Run(t.Context(), o)
	if !errors.Is(err, replay.ErrNotFed) || !errors.Is(err, replay.ErrTaken) || history() != before {
		t.Errorf("behind another feed: %v, the history is %s, was %s", err, history(), before)
	}

	o.step = nil
	if rep := r.repair(o); !rep.Done() || rep.Fed == 0 {
		t.Errorf("%+v", rep)
	}
	if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
		t.Errorf("afterwards %q", d)
	}
}

// feedSteps are where a repair that feeds may be killed.
var feedSteps = []string{phaseFeed, "before the word", "before the switch", "a replica",
	"before the first byte", "half of it is sent", "all of it is applied", "before the role is restored", "a primary"}

const childVar = "HOLDFAST_TEST_FEED"

// TestMain is also the repair that is killed.
func TestMain(m *testing.M) {
	if spec := os.Getenv(childVar); spec != "" {
		os.Exit(feedAndDie(strings.Split(spec, "|")))
	}
	if spec := os.Getenv(replicaChildVar); spec != "" {
		os.Exit(feedReplicaAndDie(strings.Split(spec, "|")))
	}
	os.Exit(m.Run())
}

func feedAndDie(spec []string) int {
	n, err := strconv.Atoi(spec[1])
	if err != nil {
		return 1
	}
	dir := spec[2]
	os.Setenv("PATH", spec[4]) // where scratch servers are found
	rep, err := Run(context.Background(), Options{Incident: n, Dir: dir, Conflicts: Skip,
		Fresh: func() (*journal.View, error) { return journal.Salvage(nil, dir) },
		Live:  keyspace.Endpoint{Address: spec[3]},
		step: func(step string) {
			if step == spec[0] {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	fmt.Printf("%+v, %v\n", rep, err)
	return 1
}

// feedUntil has another process repair, which is killed at a step.
func (r *rig) feedUntil(step string, n int) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+strings.Join([]string{step, strconv.Itoa(n), r.dir,
		r.srv.Addr, serversPath(r.t)}, "|"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		r.t.Fatalf("%s: it was not killed: %v %s", step, err, out)
	}
}

// TestFedBeyondTheJournal ends a repair after a feed of which the journal has nothing yet. From then on the journal
// has the server's new id, under which the fed bytes come: they are still the feed's.
func TestFedBeyondTheJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	n, theirs := r.lose()
	o := r.feeding(n)
	o.DryRun = true
	all := r.repair(o).Fed
	o.DryRun = false
	o.Fresh = func() (*journal.View, error) { return journal.OpenView(nil, r.dir) }
	o.step = func(step string) {
		switch step {
		case "before the first byte":
			r.stop()
		case "a primary":
			panic(step)
		}
	}
	func() {
		defer func() {
			if end := recover(); end != "a primary" {
				t.Fatalf("it ended with %v", end)
			}
		}()
		r.repair(o)
	}()
	r.record(r.srv.Addr)
	o.step = nil
	if rep := r.repair(o); !rep.Whole || rep.Fed != all || rep.Touched != 0 {
		t.Errorf("%+v, want %d commands", rep, all)
	}
	if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
		t.Errorf("%q", d)
	}
}

// TestKillTheFeed kills a repair at each step of a feed. The next one goes on from what the server was
// given; or what a proxy does comes first, and clients that write, and then what was lost is put back
// around that.
func TestKillTheFeed(t *testing.T) {
	for _, kind := range []string{"valkey", "redis"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kind)
			for i, step := range feedSteps {
				written := (i%2 == 1) == (kind == "valkey") // each step, both ways
				n, theirs := r.lose()
				o := r.feeding(n)
				o.DryRun = true
				all := r.repair(o).Fed
				o.DryRun = false
				r.feedUntil(step, n)
				if written {
					if _, err := RestoreRole(context.Background(), nil, r.dir, o.Live); err != nil {
						t.Fatal(err)
					}
					r.primary()
					r.do(9, "SET", "since", 1)
					r.do(0, "SET", "both", "since")
					r.recorded()
					now := contents(t, r.srv)
					theirs["9 since"], theirs["0 both"] = now["9 since"], now["0 both"]
				}
				o.Conflicts = Skip
				rep := r.repair(o)
				fed := rep.Whole && rep.Fed == all && rep.Touched == 0 && rep.Scratch == ""
				if late := i >= 6; fed == (written && !late) {
					t.Errorf("%s, written %t: %+v, want %d commands", step, written, rep, all)
				}
				if !rep.Done() {
					t.Errorf("%s: %+v", step, rep)
				}
				r.primary()
				r.recorded()
				if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
					t.Errorf("%s, written %t: %q", step, written, d)
				}
				if err := r.j.CloseIncident(context.Background(), rep.Incident, rep.how()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
