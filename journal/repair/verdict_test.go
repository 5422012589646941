package repair

import (
	"os"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// A question is an incident that the journal alone cannot decide: counters behind the last mark, and
// no length of the append-only file that proves anything.
type question struct {
	name  string
	cut   bool    // the file lacks the last two commands
	early [][]any // what clients run before the journal is there
	want  journal.Verdict
	keys  int64  // lost
	open  int64  // keys that stay in question
	why   string // of one of them
}

var questions = []question{
	{name: "whole, and another key was set", early: [][]any{{"SET", "other", 1}}, want: journal.NothingLost},
	{name: "whole, and another was added to", early: [][]any{{"INCR", "other"}}, open: 2,
		why: "perhaps by chance: the lost branch has added to it, or taken from it, and so may incr"},
	{name: "cut", cut: true, want: journal.Lost, keys: 1},
	{name: "cut, and another key was set", cut: true, early: [][]any{{"SET", "other", 1}}, open: 1},
	{name: "cut, and added to until it is equal", cut: true, early: [][]any{{"INCR", "n"}, {"INCR", "n"}},
		open: 2, why: "perhaps by chance"},
}

// TestVerdict has the comparison decide what was in question, by a dry run: the server keeps what it
// has, and the journal the verdict.
func TestVerdict(t *testing.T) {
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			q.play(t)
		})
	}
}

func (q *question) play(t *testing.T) {
	r := newRig(t, "", withAOF...)
	r.do(0, "SET", "n", 7)
	r.marked()
	r.stop()
	r.bare = true
	r.record(r.srv.Addr)
	r.do(0, "RPUSH", "list", "a") // in the cut file, too
	r.do(0, "INCR", "n")
	r.recorded()
	cut := sizeOf(t, aofFile(t, r.srv))
	r.do(0, "INCR", "n")
	r.do(0, "INCR", "n")
	r.recorded()
	r.stop()
	r.srv.Kill()
	if q.cut {
		if err := os.Truncate(aofFile(t, r.srv), cut); err != nil {
			t.Fatal(err)
		}
	}
	r.srv.Restart()
	for _, args := range q.early {
		r.srv.MustDo(args...)
	}
	r.bare = false
	r.record(r.srv.Addr)
	n := r.incident()
	in, _ := mustView(t, r).Incident(n)
	if in.Verdict != journal.InQuestion {
		t.Fatalf("the journal alone says %+v", in)
	}
	before := contents(t, r.srv)
	o, named := r.options(n), []string{}
	o.DryRun = true
	o.Item = func(i Item) { named = append(named, i.What+" "+i.Key.Name+" "+i.Why) }
	rep := r.repair(o)
	if d := differ(contents(t, r.srv), before); len(d) > 0 {
		t.Errorf("a dry run has changed %v", d)
	}
	if rep.Verdict != q.want || rep.Verdict == journal.Lost && rep.Settlement().Keys != q.keys {
		t.Errorf("%q, %+v; want %q, %d keys", rep.Verdict, rep.Settlement(), q.want, q.keys)
	}
	if text := strings.Join(named, "\n"); rep.Verdict == "" && int64(len(named)) != q.open ||
		!strings.Contains(text, q.why) {
		t.Errorf("named:\n%s\nwant %d with %q", text, q.open, q.why)
	}
	if rep.Settlement() == (journal.Settlement{}) {
		return
	}
	if err := journal.LeaveWord(nil, r.dir, in, rep.Settlement()); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the verdict in the journal", func() bool {
		in, _ = mustView(t, r).Incident(n)
		return in.Verdict == q.want
	})
	if in.Open() != (q.want == journal.Lost) || in.Hold != in.Open() || in.Why != rep.Why {
		t.Errorf("%+v", in)
	}
	if !in.Open() {
		return
	}
	if rep := r.repair(r.options(n)); !rep.Done() || r.do(0, "GET", "n") != "10" {
		t.Errorf("%+v; n is %v", rep, r.do(0, "GET", "n"))
	}
}
