package repair

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// keySteps are where a repair by keys may be killed, but for its conversation with the live server.
var keySteps = []string{phaseTail, phaseRebuild, phaseBase, phaseSince, phaseMerge, phaseVerify}

// TestKillBySteps kills a repair by keys at each of its steps. The next one puts back what is missing, and
// what clients have written on top of the first stays.
func TestKillBySteps(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	for _, step := range keySteps {
		n, theirs := r.lose()
		r.do(9, "SET", "since", step) // so that it is not fed
		r.recorded()
		r.feedUntil(step, n)
		r.primary()
		r.do(3, "SET", "made", "on top of "+step) // which the lost branch made, and the merge put back
		r.recorded()
		o := r.feeding(n)
		o.Conflicts = Skip
		rep := r.repair(o)
		now := contents(t, r.srv)
		theirs["9 since"], theirs["3 made"] = now["9 since"], now["3 made"]
		if v := r.do(3, "GET", "made"); v != "on top of "+step || rep.Fed != 0 || !rep.Done() {
			t.Errorf("%s: %v, %+v", step, v, rep)
		}
		if (rep.Settled > 0) != (step == phaseVerify) {
			t.Errorf("%s: %d keys are known to have been put back", step, rep.Settled)
		}
		if d := differ(now, theirs); len(d) > 0 {
			t.Errorf("%s: %q", step, d)
		}
		if err := r.j.CloseIncident(t.Context(), rep.Incident, rep.how()); err != nil {
			t.Fatal(err)
		}
	}
}

// largeVar is the size of the large values in MB, in the place of 8.
const largeVar = "HOLDFAST_TEST_LARGE_MB"

// TestLargeValuesAndFields repairs fields with deadlines, where the server has them, and large values of
// several types, by keys.
func TestLargeValuesAndFields(t *testing.T) {
	t.Parallel()
	mb := 8
	if text := os.Getenv(largeVar); text != "" {
		if _, err := fmt.Sscan(text, &mb); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"valkey9", "redis"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kind)
			far, later := time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(2*time.Hour).UnixMilli()
			for _, k := range []string{"changed", "removed", "kept"} {
				r.do(0, "HSET", k, "a", 1, "b", 2, "c", 3)
				r.do(0, "HPEXPIREAT", k, far, "FIELDS", 2, "a", "b")
			}
			fromRDB.keep(r)
			r.do(0, "HPEXPIREAT", "changed", later, "FIELDS", 1, "a")
			r.do(0, "HPERSIST", "changed", "FIELDS", 1, "b")
			r.do(0, "HSET", "changed", "c", 4)
			r.do(0, "HPEXPIREAT", "changed", far, "FIELDS", 1, "c")
			r.do(0, "HDEL", "removed", "a", "b", "c")
			r.do(0, "HSET", "made", "a", 1, "b", 2)
			r.do(0, "HPEXPIREAT", "made", later, "FIELDS", 1, "b")
			value := strings.Repeat("0123456789abcdef", 1<<16) // 1 MB
			for i := range mb {
				r.do(0, "APPEND", "large string", value)
				r.do(0, "RPUSH", "large list", value, i)
				r.do(0, "HSET", "large hash", fmt.Sprint(i), value)
			}
			r.do(0, "HPEXPIREAT", "large hash", far, "FIELDS", 1, "0")
			r.recorded()
			theirs, fields := contents(t, r.srv), deadlines(r)
			fromRDB.lose(r)
			n := r.incident()
			o := r.options(n)
			rep := r.repair(o)
			if rep.Conflicts+rep.Failed > 0 || rep.Restored != 5 || rep.Deleted != 1 || !rep.Done() {
				t.Errorf("%+v", rep)
			}
			if d := differ(contents(t, r.srv), theirs); len(d) > 0 {
				t.Errorf("%q", d)
			}
			if now := deadlines(r); now != fields {
				t.Errorf("the fields' deadlines are %s, want %s", now, fields)
			}
		})
	}
}

// deadlines are those of the fields.
func deadlines(r *rig) string {
	var out []string
	for _, k := range []string{"changed", "kept", "made"} {
		out = append(out, fmt.Sprint(k, r.do(0, "HPEXPIRETIME", k, "FIELDS", 3, "a", "b", "c")))
	}
	return strings.Join(append(out, fmt.Sprint(r.do(0, "HPEXPIRETIME", "large hash", "FIELDS", 2, "0", "1"))), " ")
}
