package policy

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"
)

func newBudget(t testing.TB, spec BudgetSpec, size int) *Budget {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "b"
	}
	budgets, err := NewBudgets([]BudgetSpec{spec}, size)
	if err != nil {
		t.Fatal(err)
	}
	return budgets[0]
}

const second = int64(time.Second)

func TestBudget(t *testing.T) {
	b := newBudget(t, BudgetSpec{Keys: 100, Window: 16 * time.Second, Open: time.Minute}, 0)
	for i, step := range []struct {
		at, n  int64 // seconds; n 0: only ask
		opened bool
		retry  int64 // what Check says before, in seconds
	}{
		{0, 60, false, 0}, {1, 40, false, 0}, {2, 0, false, 0}, {2, 1, true, 0}, {2, 0, false, 60},
		{3, 1000, false, 59}, {61, 0, false, 1}, {62, 100, false, 0}, {63, 0, false, 0},
		{78, 1, true, 0},     // the hundred of second 62 is still within the window and a step
		{138, 100, false, 0}, // open until here
		{155, 100, false, 0}, // and here the window has left them behind
		{155, 1, true, 0},
	} {
		retry, ok := b.Check(nil, step.at*second)
		if ok != (step.retry == 0) || retry != time.Duration(step.retry*second) {
			t.Errorf("step %d: Check %v, %v", i, retry, ok)
		}
		if opened := b.Count(nil, step.n, step.at*second); opened != step.opened {
			t.Errorf("step %d: opened %v", i, opened)
		}
	}
	if n := b.Reset("", 156*second); n != 1 {
		t.Errorf("%d breakers were open", n)
	}
	if _, ok := b.Check(nil, 156*second); !ok || b.Count(nil, 100, 156*second) {
		t.Error("a reset does not give a fresh budget")
	}
	if got := fmt.Sprint(b.States(156 * second)); got != "[{ 100 0s 3}]" {
		t.Errorf("states: %s", got)
	}
}

func TestBudgetScopes(t *testing.T) {
	b := newBudget(t, BudgetSpec{Keys: 1, Window: time.Minute, Per: "user", Users: []string{"a*"}}, 0)
	a1, a2, c := NewClient(Identity{User: "a1"}), NewClient(Identity{User: "a2"}), NewClient(Identity{User: "c"})
	if !b.Count(a1, 2, 0) || b.Count(a2, 1, 0) || b.Count(c, 1000, 0) {
		t.Error("not per user")
	}
	_, ok1 := b.Check(a1, 1)
	_, ok2 := b.Check(a2, 1)
	_, ok3 := b.Check(c, 1)
	if ok1 || !ok2 || !ok3 {
		t.Error("a breaker stops others")
	}
	if got := fmt.Sprint(b.States(1)); got != "[{a2 1 0s 0} {a1 0 59.999999999s 1}]" {
		t.Errorf("states: %s", got)
	}
	if b.Reset("a2", 1) != 0 {
		t.Error("resets another user")
	}
	if _, ok := b.Check(a1, 1); ok || b.Reset("a1", 1) != 1 {
		t.Error("not reset")
	}
	per := newBudget(t, BudgetSpec{Keys: 1, Window: time.Minute, Per: "address"}, 0)
	per.Count(NewClient(Identity{Addr: netip.MustParseAddr("::ffff:10.0.0.1")}), 1, 0)
	per.Count(NewClient(Identity{}), 1, 0)
	if got := fmt.Sprint(per.States(0)); got != "[{unix 1 0s 0} {10.0.0.1 1 0s 0}]" {
		t.Errorf("states: %s", got)
	}
	if s := newBudget(t, BudgetSpec{Keys: 1, Window: time.Hour, Per: "session"}, 0); s.Count(
		NewClient(Identity{Session: 7}), 1, 0) || s.States(0)[0].Who != "7" {
		t.Error("per session")
	}
}

// TestBudgetForgetsNothing pushes breakers out: neither an open one nor its count is lost.
func TestBudgetForgetsNothing(t *testing.T) {
	b := newBudget(t, BudgetSpec{Keys: 10, Window: time.Hour, Per: "session"}, 2)
	b.Count(NewClient(Identity{Session: 1}), 11, 0)
	b.Count(NewClient(Identity{Session: 2}), 7, 0)
	for id := range uint64(5) {
		b.Count(NewClient(Identity{Session: 10 + id}), 1, 1)
	}
	if _, ok := b.Check(NewClient(Identity{Session: 1}), 2); ok {
		t.Error("an open breaker is forgotten")
	}
	b = newBudget(t, BudgetSpec{Keys: 10, Window: time.Hour, Per: "session"}, 1)
	b.Count(NewClient(Identity{Session: 1}), 9, 0)
	b.Count(NewClient(Identity{Session: 2}), 1, 1)
	if !b.Count(NewClient(Identity{Session: 1}), 2, 2) {
		t.Error("a count is forgotten")
	}
}

func TestBudgetExtremes(t *testing.T) {
	b := newBudget(t, BudgetSpec{Keys: math.MaxInt64, Window: time.Hour}, 0)
	for range 3 {
		if b.Count(nil, math.MaxInt64, 0) {
			t.Error("opens below its limit")
		}
	}
	b = newBudget(t, BudgetSpec{Keys: 1, Window: time.Second}, 0)
	b.Count(nil, 1, -5*second) // clocks may begin anywhere, and step back
	if !b.Count(nil, 1, -6*second) {
		t.Error("time that goes back forgets")
	}
	if b.Count(nil, -1, 0) {
		t.Error("a negative count")
	}
}

func TestBudgetErrors(t *testing.T) {
	_, err := NewBudgets([]BudgetSpec{{Per: "x"}, {Name: "a", Keys: 1, Window: time.Second},
		{Name: "a", Keys: 1, Window: time.Second}}, 0)
	want := `budget "#1": per: want global, user, address or session, got "x"
budget "#1": name: must not be empty
budget "#1": keys: want 1 or more, got 0
budget "#1": window: want a millisecond or more, got 0s, open for 0s
budget "a": name: another budget has the same name`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

// FuzzBudget compares with a list of all deletes: a breaker opens no later than when the last
// window alone is over the budget, and no earlier than when it and one step are.
func FuzzBudget(f *testing.F) {
	f.Add(uint8(10), []byte{1, 1, 2, 9, 0, 5, 200, 4, 3, 3, 3, 3})
	f.Fuzz(func(t *testing.T, keys uint8, steps []byte) {
		const window = 160
		b := newBudget(t, BudgetSpec{Keys: int64(keys) + 1, Window: time.Millisecond, Open: 1}, 0)
		b.Window = window
		type del struct{ at, n int64 }
		var since []del
		now := int64(-1000)
		for i := 0; i+1 < len(steps); i += 2 {
			now += int64(steps[i]) + 1
			n := int64(steps[i+1])
			if n == 0 {
				continue
			}
			since = append(since, del{now, n})
			var least, most int64
			for _, d := range since {
				if now-d.at < window {
					least += d.n
				}
				if now-d.at < window+window/16 {
					most += d.n
				}
			}
			opened := b.Count(nil, n, now)
			if opened && most <= b.Keys || !opened && least > b.Keys {
				t.Fatalf("at %d: opened %v with %d to %d of %d", now, opened, least, most, b.Keys)
			}
			if opened {
				since = nil
				now++
			}
		}
	})
}

func TestMayDelete(t *testing.T) {
	for _, tt := range []struct {
		line  string
		may   bool
		n     int64
		null  bool
		count int64
	}{
		{"DEL a b", true, 2, false, 2}, {"UNLINK a", true, 0, false, 0},
		{"GETDEL a", true, 0, true, 0}, {"GETDEL a", true, 0, false, 1},
		{"EXPIRE a -1", true, 1, false, 1}, {"EXPIRE a 1", false, 0, false, 0},
		{"PEXPIREAT a 1", true, 0, false, 0}, {"GETEX a EXAT 1", true, 0, false, 1},
		{"GETEX a", false, 0, false, 1}, {"MIGRATE h 1 k 0 9", true, 0, false, 1},
		{`MIGRATE h 1 "" 0 9 KEYS a b`, true, 0, false, 2},
		{"MIGRATE h 1 k 0 9 COPY", false, 0, false, 1}, {"FLUSHALL", true, 0, false, 0},
		{"FLUSHDB", true, 0, false, 0}, {"GET a", false, 0, false, 0}, {"SET a b", false, 0, false, 0},
		{"LPOP a", false, 0, false, 0}, {"RENAME a b", false, 0, false, 0},
	} {
		args := split(tt.line)
		cmd := Builtin().Lookup(args)
		if got := cmd.MayDelete(args, testNow); got != tt.may {
			t.Errorf("%s: may delete %v", tt.line, got)
		}
		if got := cmd.Deleted(args, tt.n, tt.null); tt.may && got != tt.count {
			t.Errorf("%s: deleted %d, want %d", tt.line, got, tt.count)
		}
	}
}

func BenchmarkBudget(b *testing.B) {
	budget := newBudget(b, BudgetSpec{Keys: math.MaxInt64, Window: time.Minute, Per: "user"}, 0)
	client := NewClient(Identity{User: "app"})
	b.ReportAllocs()
	for b.Loop() {
		budget.Check(client, 5)
		budget.Count(client, 1, 5)
	}
}
