package repair

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/place"
	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// flock is a rig with a replica of its server.
type flock struct {
	*rig
	replica *proxytest.Server
}

func newFlock(t *testing.T, kind string) *flock {
	f := &flock{rig: newRig(t, kind), replica: proxytest.Spec{Kind: kind, Args: serverArgs}.Start(t)}
	f.stop()
	f.bare = true // a mark could come after the tail
	f.again()
	host, port, _ := net.SplitHostPort(f.srv.Addr)
	f.replica.MustDo("REPLICAOF", host, port)
	f.linked()
	return f
}

// linked waits until the replica is connected to its primary.
func (f *flock) linked() {
	f.t.Helper()
	proxytest.Poll(f.t, "the replica to be connected", func() bool {
		return f.replica.Info("replication")["master_link_status"] == "up"
	})
}

// cut ends the replica's connection, and has its next ones fail.
func (f *flock) cut() {
	f.t.Helper()
	f.replica.MustDo("CONFIG", "SET", "masterauth", "wrong")
	f.replica.MustDo("CLIENT", "KILL", "TYPE", "master")
	proxytest.Poll(f.t, "the link to be down", func() bool {
		return f.replica.Info("replication")["master_link_status"] == "down"
	})
}

func (f *flock) mend() { f.replica.MustDo("CONFIG", "SET", "masterauth", "") }

// tail writes commands that the replica lacks, and returns the primary's digest then.
func (f *flock) tail(n int) string {
	f.t.Helper()
	for i := range n {
		f.do(i%4, "INCR", "n")
		f.do(3, "RPUSH", "list", i, strings.Repeat("x", 1000))
	}
	pipe := f.srv.Client().TxPipeline()
	pipe.Do(context.Background(), "INCR", "n")
	pipe.Do(context.Background(), "SET", "tx", n)
	if _, err := pipe.Exec(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	f.recorded()
	f.stop()
	return digest(f.srv)
}

// again records the server again.
func (f *flock) again() { f.record(f.srv.Addr) }

// lose kills the primary while the replica lacks a tail, and returns the digest with it.
func (f *flock) lose() string {
	f.t.Helper()
	f.cut()
	want := f.tail(20)
	f.srv.Kill()
	return want
}

func digest(s *proxytest.Server) string { return fmt.Sprint(s.MustDo("DEBUG", "DIGEST")) }

func (f *flock) options() ReplicaOptions {
	f.t.Helper()
	view, err := journal.OpenView(nil, f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return ReplicaOptions{Dir: f.dir, View: view, Primary: f.srv.Addr, Places: &place.Book{},
		Replicas: []keyspace.Endpoint{{Address: f.replica.Addr}}}
}

func (f *flock) feed(o ReplicaOptions) ReplicaFed {
	f.t.Helper()
	var all []ReplicaFed
	var err error
	proxytest.Poll(f.t, "the lock", func() bool { // a process that is being started holds the last one for a moment
		all, err = FeedReplicas(context.Background(), o)
		return !errors.Is(err, ErrRunning)
	})
	if err != nil || len(all) != 1 {
		f.t.Fatal(all, err)
	}
	return all[0]
}

// expectPrimary requires the address of the replica's primary; "": it is one itself.
func (f *flock) expectPrimary(what, want string) {
	f.t.Helper()
	r, got := f.replica.Info("replication"), ""
	if r["role"] == "slave" {
		got = net.JoinHostPort(r["master_host"], r["master_port"])
	}
	if got != want {
		f.t.Errorf("%s: its primary is %q, want %q", what, got, want)
	}
	if notes, err := journal.BorrowedIn(nil, f.dir); len(notes) > 0 && want == f.srv.Addr || err != nil {
		f.t.Errorf("%s: notes are left: %+v, %v", what, notes, err)
	}
}

// The replica of a primary that is gone gets exactly its missing writes, and is its primary's again.
func TestFeedReplicas(t *testing.T) {
	for _, kind := range []string{"valkey", "valkey9", "redis", "redis8new"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFlock(t, kind)
			f.do(2, "SET", "before", 1)
			f.cut()
			want := f.tail(200)
			f.srv.Kill()
			got := f.feed(f.options())
			if got.Err != nil || got.Commands < 400 || got.To <= got.From || digest(f.replica) != want {
				t.Errorf("%+v; the digest is equal: %t", got, digest(f.replica) == want)
			}
			f.expectPrimary("fed", f.srv.Addr)
			if got := f.feed(f.options()); got.Err != nil || got.To != got.From {
				t.Errorf("once more: %+v", got)
			}
			f.replica.MustDo("REPLICAOF", "NO", "ONE")
			if got := f.feed(f.options()); !errors.Is(got.Err, replay.ErrNoNeed) {
				t.Errorf("a primary: %+v", got)
			}
			f.expectPrimary("promoted", "")
		})
	}
}

// The replica, the proxy and DNS have several addresses of the primary.
func TestFeedReplicasByName(t *testing.T) {
	t.Parallel()
	f := newFlock(t, "valkey")
	want := f.lose()
	o := f.options()
	_, port, _ := net.SplitHostPort(f.srv.Addr)
	resolves := "10.0.0.9"
	o.Places.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		if resolves == "" {
			return nil, errors.New("no answer")
		}
		return []netip.Addr{netip.MustParseAddr(resolves)}, nil
	}
	o.Primary = "another.example:" + port
	if got := f.feed(o); !errors.Is(got.Err, replay.ErrElsewhere) {
		t.Errorf("the replica of another server: %+v", got)
	}
	resolves, o.Primary = "", "unknown.example:"+port
	if got := f.feed(o); !errors.Is(got.Err, replay.ErrTarget) || !strings.Contains(got.Err.Error(), "no answer") {
		t.Errorf("an unknown name: %+v", got)
	}
	if f.replica.MustDo("EXISTS", "n") != int64(0) {
		t.Error("it was fed")
	}
	resolves, o.Primary = "127.0.0.1", "its.example:"+port
	if got := f.feed(o); got.Err != nil || digest(f.replica) != want {
		t.Errorf("%+v; the digest is equal: %t", got, digest(f.replica) == want)
	}
	f.expectPrimary("fed", f.srv.Addr)
}

// A primary that was not gone continues the replica that was fed, without a full resynchronization.
func TestFeedReplicasOfALivePrimary(t *testing.T) {
	t.Parallel()
	f := newFlock(t, "valkey")
	if got := f.feed(f.options()); !errors.Is(got.Err, replay.ErrLinked) {
		t.Errorf("a connected replica: %+v", got)
	}
	f.cut()
	f.tail(50)
	full := f.srv.Info("stats")["sync_full"]
	f.do(1, "SET", "later", 1) // the journal lacks it
	o := f.options()
	o.step = func(step string) {
		if step == "ours" {
			f.do(1, "SET", "still later", 1)
		}
	}
	if got := f.feed(o); got.Err != nil || got.Commands < 100 {
		t.Errorf("%+v", got)
	}
	f.expectPrimary("fed", f.srv.Addr)
	f.mend()
	f.linked()
	proxytest.Poll(t, "the replica to catch up", func() bool { return digest(f.replica) == digest(f.srv) })
	f.again()
	f.do(1, "SET", "last", 1)
	proxytest.Poll(t, "the replica to follow", func() bool { return digest(f.replica) == digest(f.srv) })
	f.recorded()
	if got := f.srv.Info("stats")["sync_full"]; got != full {
		t.Errorf("%s full resynchronizations, want %s", got, full)
	}
	o = f.options()
	o.Linked = true
	if got := f.feed(o); got.Err != nil || got.To != got.From {
		t.Errorf("nothing lacks: %+v", got)
	}
}

// Sentinels promote the replica, or give it another primary, between any two steps of a feed: that stands.
func TestFeedReplicasTakenAway(t *testing.T) {
	for _, step := range []string{"before the switch", "ours", "half of it is sent", "before it is given back"} {
		for _, to := range []string{"127.0.0.1:1", ""} {
			t.Run(step+" "+to, func(t *testing.T) {
				t.Parallel()
				f := newFlock(t, "valkey")
				want := f.lose()
				o := f.options()
				o.step = func(now string) {
					if now == step && to == "" {
						f.replica.MustDo("REPLICAOF", "NO", "ONE")
					} else if now == step {
						f.replica.MustDo("REPLICAOF", "127.0.0.1", "1")
					}
				}
				got := f.feed(o)
				f.expectPrimary(step, to)
				fed := digest(f.replica) == want
				all, some := step == "before it is given back", step == "half of it is sent"
				if !some && (all != (got.Err == nil) || all != fed) {
					t.Errorf("%+v; the digest is equal: %t", got, fed)
				}
				if n := f.replica.MustDo("EXISTS", "n"); step == "before the switch" && n != int64(0) {
					t.Error("it was fed after it had been taken away")
				}
			})
		}
	}
}

// replicaSteps are where a feed of a replica may be killed.
var replicaSteps = []string{"before the note", "before the switch", "ours", "half of it is sent",
	"before it is given back", "given back"}

const replicaChildVar = "HOLDFAST_TEST_FEED_REPLICA"

// feedReplicaAndDie is the process that is killed.
func feedReplicaAndDie(spec []string) int {
	view, err := journal.OpenView(nil, spec[1])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	all, err := FeedReplicas(context.Background(), ReplicaOptions{Dir: spec[1], View: view, Primary: spec[2], Places: &place.Book{},
		Replicas: []keyspace.Endpoint{{Address: spec[3]}}, step: func(step string) {
			if step == spec[0] {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	fmt.Printf("%+v, %v\n", all, err)
	return 1
}

// A replica whose feed was killed is given back by the next proxy, and the next feed goes on from where it is.
func TestKillTheFeedOfAReplica(t *testing.T) {
	t.Parallel()
	f := newFlock(t, "valkey")
	for _, step := range replicaSteps {
		f.cut()
		want := f.tail(20)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), replicaChildVar+"="+strings.Join([]string{step, f.dir, f.srv.Addr,
			f.replica.Addr}, "|"))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: it was not killed: %v %s", step, err, out)
		}
		back, err := GiveBack(context.Background(), nil, f.dir, keyspace.Endpoint{})
		lent := slices.Index(replicaSteps, step)
		if err != nil || (len(back) > 0) != (lent >= 2 && lent <= 4) {
			t.Errorf("%s: given back %q, %v", step, back, err)
		}
		f.expectPrimary(step, f.srv.Addr)
		if got := f.feed(f.options()); got.Err != nil || digest(f.replica) != want {
			t.Errorf("%s: %+v; the digest is equal: %t", step, got, digest(f.replica) == want)
		}
		f.mend()
		f.linked()
		f.again()
	}
}
