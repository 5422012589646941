package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/replay"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

const skipLedger = `{"id":7,"command":"FLUSHALL","dbs":[{"db":0,"slot":8,"keys":2}]}`

// What each way to skip leaves out. A line of the stream is a command; "!" before it: it is left out.
func TestWhatIsSkipped(t *testing.T) {
	t.Parallel()
	trash := "SELECT 15|!MULTI|!INCR holdfast:trash:sequence|!HSET holdfast:trash 7 " + skipLedger +
		"|!SWAPDB 0 8|!SELECT 1|!FLUSHDB|!EXEC|"
	for _, row := range []struct {
		name   string
		stream string
		skip   func(events []event.Event) replay.Skip
	}{
		{"a command by its name", "SELECT 0|SET a 1|!FLUSHALL|SET b 1|!flushall|SET c 1", byCommand("flushall")},
		{"a glob", "SELECT 0|SET a 1|!FLUSHALL|SET b 1|!FLUSHDB|SET c 1", byCommand("flush*")},
		{"in a client's transaction, the command alone", "SELECT 0|MULTI|SET a 1|!FLUSHALL|EXEC|SET b 1",
			byCommand("flushall")},
		{"the trash, by the name of what it stood in for", trash + "SET a 1", byCommand("FLUSHALL")},
		{"not the trash's own steps", strings.ReplaceAll(trash, "!", "") + "SET a 1|!SWAPDB 0 1",
			byCommand("swapdb")},
		{"an event", "SELECT 0|SET a 1|!FLUSHALL|SET b 1|!FLUSHALL|SET c 1|~|FLUSHALL", byEvent(1)},
		{"the second event", "SELECT 0|SET a 1|FLUSHALL|SET b 1|~|!FLUSHALL|SET c 1|!SWAPDB 0 1", byEvent(2)},
		{"an event in the trash", "SELECT 0|SET a 1|" + trash + "SET b 1|" + trash + "SET c 1", byEvent(1)},
		{"an event in a client's transaction", "SELECT 0|MULTI|SET a 1|!FLUSHALL|EXEC", byEvent(1)},
	} {
		disk, now := vfstest.NewMem(), proxytest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		j := handMade(t, journal.Options{FS: disk, Now: now.Now}, 0)
		var want []string
		for _, line := range strings.Split(row.stream, "|") {
			command, out := strings.CutPrefix(line, "!")
			if line == "~" {
				now.Add(time.Minute)
				continue
			}
			frame := strings.HasPrefix(command, "SELECT") || command == "MULTI" || command == "EXEC"
			if out && !frame {
				want = append(want, command)
			}
			write(t, j, proxytest.Command(strings.Fields(command)...))
		}
		view, err := journal.OpenView(disk, "j")
		if err != nil {
			t.Fatal(err)
		}
		events, err := view.Events(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		end, err := replay.Locate(context.Background(), view, replay.Selector{Kind: replay.AtEnd}, nil)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := replay.NewPlan(context.Background(), view, end, []replay.Skip{row.skip(events)})
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if got := words(plan.Skipped); got != cut(want) {
			t.Errorf("%s: left out\n%s\nwant\n%s", row.name, got, cut(want))
		}
	}
}

func byCommand(glob string) func([]event.Event) replay.Skip {
	return func([]event.Event) replay.Skip { return replay.Skip{Command: glob} }
}

func byEvent(n int) func([]event.Event) replay.Skip {
	return func(events []event.Event) replay.Skip { return replay.Skip{Event: &events[n-1]} }
}

// cut is commands as a plan shows them.
func cut(commands []string) string {
	for i, c := range commands {
		words := strings.Fields(c)
		for k, w := range words {
			words[k] = w[:min(len(w), 64)]
		}
		commands[i] = strings.Join(words, " ")
	}
	return strings.Join(commands, "; ")
}

// An offset anywhere in a transaction is the whole transaction.
func TestSkipFromWithinATransaction(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	j := handMade(t, journal.Options{FS: disk}, 0)
	var ends []int64
	for _, c := range []string{"SELECT 0", "SET a 1", "MULTI", "SET b 1", "FLUSHDB", "SET c 1", "EXEC",
		"SET d 1"} {
		ends = append(ends, write(t, j, proxytest.Command(strings.Fields(c)...)))
	}
	view, err := journal.OpenView(disk, "j")
	if err != nil {
		t.Fatal(err)
	}
	end, err := replay.Locate(context.Background(), view, replay.Selector{Kind: replay.AtEnd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{ends[1], ends[2], ends[3], ends[3] + 5, ends[5], ends[6] - 1} {
		plan, err := replay.NewPlan(context.Background(), view, end, []replay.Skip{{From: at}})
		if err != nil {
			t.Fatal(err)
		}
		if got := words(plan.Skipped); got != "SET b 1; FLUSHDB; SET c 1" {
			t.Errorf("offset %d leaves out %q", at, got)
		}
	}
	_, err = replay.NewPlan(context.Background(), view, end, []replay.Skip{{Command: "lpush"}})
	if !errors.Is(err, replay.ErrSkip) {
		t.Errorf("a command that is not there: %v, want ErrSkip", err)
	}
}

// A gap may hold what is looked for, and a branch that the server left holds events of its own.
func TestEventsBesideGapsAndBranches(t *testing.T) {
	t.Parallel()
	disk, now := vfstest.NewMem(), proxytest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	j := handMade(t, journal.Options{FS: disk, Now: now.Now}, 0)
	ctx := context.Background()
	write(t, j, proxytest.Command("SELECT", "0")+proxytest.Command("SET", "a", "1"))
	before := write(t, j, proxytest.Command("SET", "b", "1"))
	write(t, j, proxytest.Command("FLUSHALL"))
	now.Add(time.Minute)
	fork := write(t, j, proxytest.Command("SET", "c", "1"))
	write(t, j, proxytest.Command("FLUSHDB")) // which the server loses
	locate := func(sel replay.Selector) (*replay.Point, error) {
		t.Helper()
		view, err := journal.OpenView(disk, "j")
		if err != nil {
			t.Fatal(err)
		}
		return replay.Locate(ctx, view, sel, nil)
	}
	flushall := replay.Selector{Kind: replay.BeforeCommand, Command: "flushall"}
	if p, err := locate(flushall); err != nil || p.Offset != before || p.Note != "" {
		t.Errorf("%+v %v, want offset %d", p, err, before)
	}
	old := j.Received()
	if _, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("6b", 20),
		Start: fork, Parent: old.Timeline, Fork: fork}); err != nil {
		t.Fatal(err)
	}
	gap := journal.Gap{Timeline: j.Received().Timeline, From: fork, To: fork + 100}
	if err := j.AddGap(ctx, gap); err != nil {
		t.Fatal(err)
	}
	p, err := locate(flushall)
	if err != nil || p.Offset != before || !strings.Contains(p.Note, "one may lie in offsets") {
		t.Errorf("before a gap: %+v %v", p, err)
	}
	present := replay.Selector{Kind: replay.BeforeEvent, Event: 2, Current: true}
	if _, err := locate(present); !errors.Is(err, replay.ErrNoPoint) {
		t.Errorf("an event of the branch, on the present history: %v", err)
	}
	p, err = locate(replay.Selector{Kind: replay.BeforeEvent, Event: 2})
	if err != nil || p.Offset != fork || p.Event == nil || p.Timeline.ID != old.Timeline {
		t.Errorf("an event of the branch, as it was said: %+v %v, want offset %d", p, err, fork)
	}
	p, err = locate(replay.Selector{Kind: replay.BeforeEvent, Event: 2, Timeline: old.Timeline})
	if err != nil || p.Offset != fork {
		t.Errorf("an event of the branch, there: %+v %v, want offset %d", p, err, fork)
	}
	view, err := journal.OpenView(disk, "j")
	if err != nil {
		t.Fatal(err)
	}
	events, err := view.Events(ctx, nil)
	if err != nil || len(events) != 2 {
		t.Fatalf("%v %v", events, err)
	}
	for i, want := range []bool{true, false} {
		if present, err := replay.Way(view, &events[i]); present != want || err != nil {
			t.Errorf("the way to before event %d: %v %v", i+1, present, err)
		}
	}
}

// What is behind a point is counted, but a restore does not wait for it without end.
func TestSurveyHasPatience(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	j := handMade(t, journal.Options{FS: disk}, 0)
	ctx := context.Background()
	at := write(t, j, proxytest.Command("SELECT", "0")+proxytest.Command("SET", "a", "1"))
	const behind = 10_000
	write(t, j, strings.Repeat(proxytest.Command("INCR", "b"), behind))
	view, err := journal.OpenView(disk, "j")
	if err != nil {
		t.Fatal(err)
	}
	p, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset, Offset: at}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := replay.NewPlan(ctx, view, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for patience, more := range map[time.Duration]bool{0: false, time.Nanosecond: true} {
		s, err := replay.NewSurvey(ctx, view, plan, time.Now(), patience, nil)
		if err != nil || s.More != more || (s.After == behind) == more {
			t.Errorf("patience %v: %+v %v", patience, s, err)
		}
	}
}
