package repair

import (
	"maps"
	"os"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// A way is how a server comes back without its last writes.
type way struct {
	name string
	args []string
	// keep is called where the histories will part, and lose when the server has gone on from there;
	// it comes back then.
	keep, lose func(r *rig)
}

var ways = []way{
	{name: "from an RDB file", keep: func(r *rig) {
		r.srv.Save()
	}, lose: func(r *rig) { r.srv.Kill(); r.srv.Restart() }},
	{name: "from a cut append-only file", args: withAOF, keep: (*rig).marked,
		lose: func(r *rig) {
			cut := r.cut
			r.srv.Kill()
			if err := os.Truncate(aofFile(r.t, r.srv), cut); err != nil {
				r.t.Fatal(err)
			}
			r.srv.Restart()
		}},
	{name: "empty", lose: func(r *rig) { r.srv.Kill(); r.srv.Restart() }},
}

// fillBase writes the keys from before the histories part.
func fillBase(r *rig) {
	far := time.Now().Add(time.Hour).UnixMilli()
	for _, db := range []int{0, 3} {
		r.do(db, "SET", "untouched", "1")
		r.do(db, "SET", "changed", "old", "PXAT", far)
		r.do(db, "SET", "deleted", "old")
		r.do(db, "SET", "counter", 5)
		r.do(db, "RPUSH", "list", "a", "b")
		r.do(db, "HSET", "hash", "f", 1, "g", 2)
		r.do(db, "SET", "back and forth", 1)
		r.do(db, "SET", "only since", 1)
		r.do(db, "SET", "both", 1)
		r.do(db, "SET", "both the same", 1)
		r.do(db, "SET", "deleted since", 1)
		r.do(db, "SET", "renamed", "name")
	}
	r.do(7, "SET", "flushed", 1)
	r.do(5, "SET", "swapped", 5)
	r.do(6, "SET", "swapped", 6)
	r.do(6, "SET", "the same", 6)
	r.do(5, "SET", "the same", 6)
}

// writeTail writes the tail, which is lost.
func writeTail(r *rig) {
	far := time.Now().Add(2 * time.Hour).UnixMilli()
	for _, db := range []int{0, 3} {
		r.do(db, "SET", "changed", "new", "PXAT", far)
		r.do(db, "DEL", "deleted")
		r.do(db, "SET", "made", "new")
		r.do(db, "RPUSH", "list", "c")
		r.do(db, "HDEL", "hash", "f")
		r.do(db, "INCR", "counter")
		r.do(db, "SET", "back and forth", 2)
		r.do(db, "SET", "back and forth", 1)
		r.do(db, "SET", "both", "lost")
		r.do(db, "SET", "both the same", 3)
		r.do(db, "APPEND", "deleted since", "x")
		r.do(db, "RENAME", "renamed", "new name")
		r.do(db, "SET", "soon gone", 1, "PX", 1)
		r.do(db, "EVAL", "redis.call('SET', KEYS[1], 1) redis.call('INCR', KEYS[1])", 1, "by a script")
	}
	r.do(0, "COPY", "hash", "copied", "DB", 4)
	r.do(0, "MOVE", "made", 8)
	r.do(7, "FLUSHDB")
	r.do(7, "SET", "behind the flush", 1)
	r.do(0, "SWAPDB", 5, 6)
}

// writeSince is what clients write when it is back.
func writeSince(r *rig) {
	for _, db := range []int{0, 3} {
		r.do(db, "SET", "only since", 2)
		r.do(db, "SET", "both", "since")
		r.do(db, "SET", "both the same", 3)
		r.do(db, "DEL", "deleted since")
		r.do(db, "SET", "new since", 1)
		r.do(db, "INCR", "counter")
	}
}

// conflicting are the keys that both histories change.
var conflicting = []string{"0 both", "3 both", "0 deleted since", "3 deleted since", "0 counter",
	"3 counter"}

// TestWays brings a server back in each way, repairs it in each mode, and compares all of its keys
// with what they should be.
func TestWays(t *testing.T) {
	for _, bin := range proxytest.Binaries(t) {
		for _, w := range ways {
			for _, mode := range []Conflicts{List, Skip, Replace} {
				t.Run(bin.String()+"/"+w.name+"/"+mode.String(), func(t *testing.T) {
					t.Parallel()
					playWay(t, bin.Kind, w, mode)
				})
			}
		}
	}
}

func playWay(t *testing.T, kind string, w way, mode Conflicts) {
	r := newRig(t, kind, w.args...)
	fillBase(r)
	if w.keep != nil {
		w.keep(r)
	}
	if w.args != nil {
		r.cut = sizeOf(t, aofFile(t, r.srv))
	}
	writeTail(r)
	proxytest.Poll(t, "the key to expire", func() bool { return r.do(0, "EXISTS", "soon gone") == int64(0) })
	r.recorded()
	theirs := contents(t, r.srv)
	w.lose(r)
	n := r.incident()
	base := contents(t, r.srv)
	writeSince(r)
	r.recorded()
	ours := contents(t, r.srv)

	want := maps.Clone(theirs)
	for k := range ours {
		if _, ok := theirs[k]; !ok && base[k] != ours[k] {
			want[k] = ours[k] // new since
		}
	}
	for _, db := range []string{"0", "3"} {
		if w.name != "empty" {
			want[db+" only since"] = ours[db+" only since"]
		}
	}
	conflicts := conflicting
	if w.name == "empty" { // deleting what is not there changes nothing
		conflicts = []string{"0 both", "3 both", "0 only since", "3 only since", "0 counter", "3 counter"}
	}
	if mode != Replace {
		for _, k := range conflicts {
			if want[k] = ours[k]; want[k] == "" {
				delete(want, k)
			}
		}
	}

	o := r.options(n)
	o.Conflicts, o.DryRun = mode, true
	rehearsed := r.repair(o)
	if d := differ(contents(t, r.srv), ours); len(d) > 0 || rehearsed.Done() {
		t.Errorf("a dry run: %q, done %t", d, rehearsed.Done())
	}
	o.DryRun = false
	rep := r.repair(o)
	if d := differ(contents(t, r.srv), want); len(d) > 0 {
		t.Errorf("afterwards %q", d)
	}
	if int(rep.Conflicts) != len(conflicts) || rep.Done() != (mode != List) || rep.Incomplete != "" ||
		rep.Restored != rehearsed.Restored || rep.Deleted != rehearsed.Deleted {
		t.Errorf("%+v\nrehearsed: %+v", rep, rehearsed)
	}
	r.do(0, "RPUSH", "list", "since") // on top of what was put back
	r.do(0, "APPEND", "by a script", "since")
	later := contents(t, r.srv)
	again := r.repair(o)
	if d := differ(contents(t, r.srv), later); len(d) > 0 || again.Restored+again.Deleted > 0 ||
		again.Settled == 0 {
		t.Errorf("once more: %q, %+v", d, again)
	}
}
