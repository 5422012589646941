package replay_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestSkip leaves commands out and compares with a server that never got them.
func TestSkip(t *testing.T) {
	t.Parallel()
	type step struct {
		args []any // several commands in a list: a transaction
		skip bool
	}
	tx := func(commands ...[]any) []any {
		out := []any{"MULTI"}
		for _, c := range commands {
			out = append(out, c)
		}
		return out
	}
	for _, row := range []struct {
		name   string
		steps  []step
		ranges bool // skip [start, end) instead of one offset
	}{
		{"one", []step{{args: []any{"SET", "a", 1}}, {args: []any{"FLUSHALL"}, skip: true},
			{args: []any{"SET", "b", 1}}}, false},
		{"one, as a range", []step{{args: []any{"SET", "a", 1}}, {args: []any{"FLUSHALL"}, skip: true},
			{args: []any{"SET", "b", 1}}}, true},
		{"several", []step{{args: []any{"RPUSH", "l", 1}}, {args: []any{"RPUSH", "l", 2}, skip: true},
			{args: []any{"RPUSH", "l", 3}, skip: true}, {args: []any{"RPUSH", "l", 4}},
			{args: []any{"RPUSH", "l", 5}, skip: true}}, false},
		{"with its SELECT", []step{{args: []any{"SET", "a", 1}}, {args: []any{"SELECT", 3}},
			{args: []any{"SET", "b", 1}, skip: true}, {args: []any{"SET", "c", 1}}}, true},
		{"a transaction", []step{{args: []any{"SET", "a", 1}}, {args: tx([]any{"SET", "a", 2},
			[]any{"DEL", "a"}), skip: true}, {args: []any{"SET", "b", 1}}}, false},
		{"a transaction, as a range", []step{{args: []any{"SET", "a", 1}}, {args: tx(
			[]any{"SET", "a", 2}, []any{"DEL", "a"}), skip: true}, {args: []any{"SET", "b", 1}}}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := proxytest.StartServer(t, serverArgs...)
			without := proxytest.StartServer(t, serverArgs...)
			r := record(t, srv)
			conn, ref := srv.Client().Conn(), without.Client().Conn()
			defer conn.Close()
			defer ref.Close()
			w := &workload{t: t, srv: srv}
			var skips []replay.Skip
			for _, s := range row.steps {
				from := offset(srv)
				commands := [][]any{s.args}
				if s.args[0] == "MULTI" {
					commands = [][]any{{"MULTI"}}
					for _, c := range s.args[1:] {
						commands = append(commands, c.([]any))
					}
					commands = append(commands, []any{"EXEC"})
				}
				for _, c := range commands {
					w.doOn(conn, c...)
					if !s.skip {
						w.doOn(ref, c...)
					}
				}
				if s.skip && row.ranges {
					skips = append(skips, replay.Skip{From: from, To: offset(srv)})
				} else if s.skip {
					skips = append(skips, replay.Skip{From: r.begins(from, s.args[0].(string))})
				}
			}
			// A base that already has the effect of what is skipped cannot be used.
			if _, err := r.tap.Snapshot(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.caughtUp()
			p := r.locate(replay.Selector{})
			if got, want := r.restore(r.fresh(), p, skips...), digest(without); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			plan := r.plan(skips...)
			if !plan.Edited || plan.ReplID == r.srv.Info("replication")["master_replid"] {
				t.Errorf("plan %+v: want it marked as edited, with a history of its own", plan)
			}
		})
	}
}

// begins is the offset of the first command of a name at or after an offset.
func (r *recording) begins(from int64, name string) int64 {
	r.t.Helper()
	r.caughtUp()
	p := r.locate(replay.Selector{Kind: replay.AtOffset, Offset: from})
	for _, l := range p.After {
		if string(l.Args[0]) == name {
			return l.Start
		}
	}
	r.t.Fatalf("no %s after %d: %s", name, from, words(p.After))
	return 0
}

func TestSkipNothing(t *testing.T) {
	t.Parallel()
	r := small(t)
	p := r.locate(replay.Selector{})
	for _, s := range []replay.Skip{{From: p.Offset}, {From: p.Offset + 5, To: p.Offset + 9}} {
		_, err := replay.NewPlan(context.Background(), r.view(), p, []replay.Skip{s})
		if err == nil {
			t.Errorf("%+v was accepted beyond the point", s)
		}
	}
	_, err := replay.NewPlan(context.Background(), r.view(), p, []replay.Skip{
		{From: p.Base.Offset, To: p.Base.Offset}, {From: p.Offset, To: p.Offset + 9}})
	if !errors.Is(err, replay.ErrSkip) {
		t.Errorf("got %v, want ErrSkip", err)
	}
}
