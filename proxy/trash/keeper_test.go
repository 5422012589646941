package trash

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A Keeper sweeps at once and in intervals, one sweep at a time, and goes on at once while there is
// more.
func TestSweeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.k.Sweep()
	q := w.next(scriptSweep)
	if q.args[4] != "80" {
		t.Errorf("the share of the memory is %q", q.args[4])
	}
	w.tick()
	if len(w.asked) != 0 {
		t.Fatal("a second sweep during the first")
	}
	q.text(`{"Expired":[7],"Pressed":[8],"Keys":3,"More":true,"Slots":1,"Free":0,"Next":1700000000000}`)
	for _, want := range []string{"kept long enough", "short of memory", "the trash is full", "2023-11-14T22:13:20Z"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, w.log.String())
		}
	}
	if len(w.room.Troubles()) != 1 || w.room.Metric().Databases != 1 {
		t.Errorf("%q, %+v", w.room.Troubles(), w.room.Metric())
	}
	w.next(scriptSweep).text(`{"Slots":1,"Free":1}`)
	if len(w.room.Troubles()) != 0 || !strings.Contains(w.log.String(), "room for flushes again") {
		t.Errorf("%q; %s", w.room.Troubles(), w.log.String())
	}
	w.tick()
	w.next(scriptSweep)
}

// A proxy that is about to end sweeps no more, and one without a trash has no room to report.
func TestSweepsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.k.Sweep()
	w.next(scriptSweep).text(`{"Slots":1,"Free":0}`)
	w.draining = true
	w.tick()
	if len(w.asked) != 0 {
		t.Error("a sweep of a proxy that ends")
	}
	w.draining, w.plan = false, newPlan(t)
	w.tick()
	if len(w.asked) != 0 || w.room.Metric() != nil || len(w.room.Troubles()) != 0 {
		t.Errorf("%d questions, %q", len(w.asked), w.room.Troubles())
	}
	w.plan = newPlan(t, trashRule)
	w.tick()
	w.next(scriptSweep)
}

// A sweep that fails is logged once until the error changes, or a sweep succeeds.
func TestSweepFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.k.Sweep()
	for _, tt := range []struct {
		reply string
		lines int
	}{
		{"-OOM a\r\n", 1}, {"-OOM a\r\n", 1}, {"-OOM b\r\n", 2}, {"$2\r\nno\r\n", 3}, {"$2\r\n{}\r\n", 3}, {"-OOM b\r\n", 4},
	} {
		w.next(scriptSweep).done([]byte(tt.reply), false)
		if n := strings.Count(w.log.String(), "could not be looked after"); n != tt.lines {
			t.Fatalf("%d lines after %q, want %d: %s", n, tt.reply, tt.lines, w.log.String())
		}
		w.tick()
	}
}

// A sweep that finds a merge completes it step by step, before the next sweep.
func TestSweepResumesMerge(t *testing.T) {
	t.Parallel()
	for found, script := range map[string]string{"Merging": scriptMerge, "Undoing": scriptUndoKeys} {
		w := newWorld(t)
		w.k.Sweep()
		w.next(scriptSweep).text(fmt.Sprintf(`{%q:[5],"Slots":1,"Free":0}`, found))
		for range 3 {
			w.tick()
			w.next(script).text(`{"Done":false}`)
		}
		w.next(script).text(`{"Done":true,"Moved":9}`)
		if len(w.asked) != 0 || !strings.Contains(w.log.String(), "a merge from the trash is complete") {
			t.Errorf("%s: %d questions; %s", found, len(w.asked), w.log.String())
		}
		w.tick()
		w.next(scriptSweep)
	}
}

// The ids come in parts of a size that a script may answer, and stay with their marks where a part
// is not known.
func TestIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	marks := make([]string, idsAsked+1)
	for i := range marks {
		marks[i] = fmt.Sprint(i)
	}
	var got []string
	w.k.IDs(marks, func(marks, ids []string) { got = append(got, fmt.Sprint(len(marks), ids)) })
	first := w.next(scriptTold)
	if len(first.args) != 4+idsAsked {
		t.Errorf("%d arguments", len(first.args))
	}
	first.done([]byte("-ERR\r\n"), false)
	w.next(scriptTold).done([]byte("*1\r\n$2\r\n17\r\n"), false)
	if len(got) != 2 || got[0] != "1000 []" || got[1] != "1 [17]" {
		t.Errorf("%q", got)
	}
}

// The console says whether a script may have been executed.
func TestConsoleErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reply  string
		broken bool
		want   string
	}{
		{"-ERR no entry\r\n", false, "no entry"},
		{"-UPSTREAM it may have been executed\r\n", true, errAmbiguous.Error()},
		{"-UPSTREAM it was not executed\r\n", true, "UPSTREAM it was not executed"},
	} {
		w := newWorld(t)
		w.answers = func(q question) { q.done([]byte(tt.reply), tt.broken) }
		c := &Console{Keeper: w.k}
		if _, err := c.Undo(t.Context(), 1, ""); err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, want %q", tt.reply, err, tt.want)
		}
	}
	w, closed := newWorld(t), errors.New("closed")
	w.ended = true
	if _, err := (&Console{Keeper: w.k, Closed: closed}).Trash(t.Context(), 0); !errors.Is(err, closed) {
		t.Errorf("after the end: %v", err)
	}
	w.ended, w.plan = false, newPlan(t)
	if err := (&Console{Keeper: w.k}).Purge(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "there is no trash") {
		t.Errorf("without a trash: %v", err)
	}
}

// The console reads page by page, oldest first, and counts the free databases.
func TestConsoleLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	total := pageSize + 5
	w.answers = func(q question) {
		var from, n int
		fmt.Sscan(q.args[4]+" "+q.args[5], &from, &n)
		var keyed []string
		for i := from; i < min(from+n, total); i++ {
			text := fmt.Sprintf(`{"id":%d,"at":1,"until":2}`, total-i)
			keyed = append(keyed, fmt.Sprintf("$%d\r\n%s\r\n", len(text), text))
		}
		flush := `{"id":999,"at":1,"until":3,"dbs":[{"db":0,"slot":14,"keys":8}]}`
		q.done(fmt.Appendf(nil, "*4\r\n:%d\r\n*%d\r\n%s*1\r\n$%d\r\n%s\r\n*0\r\n", total, len(keyed),
			strings.Join(keyed, ""), len(flush), flush), false)
	}
	got, err := (&Console{Keeper: w.k}).Trash(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Entries) != total+1 || got.Total != total+1 || got.Entries[0].ID != 999 || got.Entries[0].Keys != 8 ||
		got.Entries[1].ID != 1 || got.Entries[total].ID != uint64(total) {
		t.Errorf("%d entries of %d", len(got.Entries), got.Total)
	}
	if len(got.Databases) != 1 || got.Ledger != 15 || got.Free != 0 || got.RoomAt.UnixMilli() != 3 {
		t.Errorf("%v, ledger %d, %d free, room at %v", got.Databases, got.Ledger, got.Free, got.RoomAt)
	}
}
