package trash

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// world is the loop and the server of one Keeper, moved by the test.
type world struct {
	t    testing.TB
	k    *Keeper
	room Room
	plan *Plan
	log  bytes.Buffer

	asked    []question
	answers  func(question) // at once; nil: the test does
	timers   []func()
	draining bool
	ended    bool
}

// question is a command to the server that has no reply yet.
type question struct {
	args []string
	done func(reply []byte, broken bool)
}

var trashRule = policy.RuleSpec{Name: "r", Commands: []string{"flushall", "del"}, Action: "trash", Keep: time.Hour}

// newWorld has a server of 16 databases, of which 14 and 15 are reserved.
func newWorld(t testing.TB) *world {
	w := &world{t: t, plan: newPlan(t, trashRule)}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.room.Log = log
	w.k = NewKeeper(w, &w.room, log)
	return w
}

// newPlan plans the trash on that server, for rules.
func newPlan(t testing.TB, rules ...policy.RuleSpec) *Plan {
	s := Settings{Memory: 80}
	if len(rules) > 0 {
		s.Databases = []int{15, 14}
	}
	return NewPlan(s, nil, compile(t, rules...), &upstream.Info{Generation: 1, Databases: 16})
}

func compile(t testing.TB, rules ...policy.RuleSpec) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) Plan() *Plan                     { return w.plan }
func (w *world) After(_ time.Duration, f func()) { w.timers = append(w.timers, f) }
func (w *world) Draining() bool                  { return w.draining }

func (w *world) Ask(args []string, done func(reply []byte, broken bool)) {
	q := question{args, done}
	if w.answers != nil {
		w.answers(q)
		return
	}
	w.asked = append(w.asked, q)
}

// Post runs f at once: the test is the loop.
func (w *world) Post(f func()) bool {
	if !w.ended {
		f()
	}
	return !w.ended
}

// tick fires the timers.
func (w *world) tick() {
	timers := w.timers
	w.timers = nil
	for _, f := range timers {
		f()
	}
}

// next takes the oldest question, which must run script by the plan.
func (w *world) next(script string) question {
	w.t.Helper()
	if len(w.asked) == 0 {
		w.t.Fatal("nothing is asked")
	}
	q := w.asked[0]
	w.asked = w.asked[1:]
	if q.args[1] != script || q.args[3] != w.plan.config {
		w.t.Fatalf("asked for another script: %.200q", q.args)
	}
	return q
}

// text answers with a bulk string.
func (q question) text(s string) {
	q.done(fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s), s), false)
}
