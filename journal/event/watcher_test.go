package event

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal/stream"
)

// written has each command as resp wrote it: the tests repeat some of them a million times.
var written = map[string]string{}

// resp writes commands as a primary does.
func resp(commands ...string) string {
	var all strings.Builder
	for _, c := range commands {
		text, ok := written[c]
		if !ok {
			words := strings.Fields(c)
			text = fmt.Sprintf("*%d\r\n", len(words))
			for _, w := range words {
				text += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
			}
			written[c] = text
		}
		all.WriteString(text)
	}
	return all.String()
}

// A feeder gives a watcher a stream, with a clock of its own.
type feeder struct {
	w     *Watcher
	at    int64
	now   time.Time
	found []Event
}

func feed() *feeder {
	f := &feeder{w: NewWatcher(State{}), now: time.Unix(1_000_000, 0)}
	f.w.Found = func(e Event) { f.found = append(f.found, e) }
	f.w.Timeline(1, 0, 0, 0)
	return f
}

func (f *feeder) give(commands ...string) {
	p := resp(commands...)
	f.w.Stream(1, f.at, f.now, []byte(p))
	f.at += int64(len(p))
}

func (f *feeder) sleep(d time.Duration) { f.now = f.now.Add(d) }

// closed gives the events that have ended.
func (f *feeder) closed() []Event {
	var out []Event
	for _, e := range f.found {
		if !e.Open {
			out = append(out, e)
		}
	}
	return out
}

const ledgerEntry = `{"id":7,"at":1,"until":2,"command":"FLUSHALL","dbs":[{"db":0,"slot":8,"keys":1005}]}`

// trashed is a FLUSHALL that went to the trash.
const trashed = "SELECT 15|MULTI|INCR holdfast:trash:sequence|HSET holdfast:trash 7 " + ledgerEntry +
	"|SWAPDB 0 8|SELECT 0|FLUSHDB|EXEC"

// What is an event, what is one event, and what is none. A line is a step: a pause, or commands
// that come together.
func TestEvents(t *testing.T) {
	for _, row := range []struct {
		name  string
		steps string
		want  []string
	}{
		{"a flush", "SELECT 0|SET a 1|FLUSHALL|SET b 1", []string{"1 FLUSHALL"}},
		{"upper and lower case", "SELECT 0|flushall|FlushDB", []string{"1 FLUSHALL, 1 FLUSHDB in db0"}},
		{"closely after each other", "SELECT 0|FLUSHALL|4s|SET a 1|FLUSHALL|4s|FLUSHALL",
			[]string{"3 FLUSHALL"}},
		{"far apart", "SELECT 0|FLUSHALL|6s|FLUSHALL", []string{"1 FLUSHALL", "1 FLUSHALL"}},
		{"the clock is set back", "SELECT 0|FLUSHALL|-1h|FLUSHALL", []string{"1 FLUSHALL", "1 FLUSHALL"}},
		{"a swap", "SWAPDB 0 3", []string{"1 SWAPDB in db0,3"}},
		{"a database with itself", "SWAPDB 3 3", nil},
		{"databases are counted up", "SELECT 1|FLUSHDB|SELECT 2|FLUSHDB", []string{"2 FLUSHDB in db1,2"}},
		{"in a transaction", "SELECT 0|MULTI|SET a 1|FLUSHALL|EXEC", []string{"1 FLUSHALL"}},
		{"few deletes", "SELECT 0|DEL a|UNLINK b c", nil},
		{"the trash", "SELECT 15|MULTI|INCR holdfast:trash:sequence|HSET holdfast:trash 7 " + ledgerEntry +
			"|SWAPDB 0 8|FLUSHDB|EXEC", []string{"1 FLUSHALL in db0 (to the trash: UNDO 7)"}},
		{"an undo", "SELECT 15|MULTI|HSET holdfast:trash 7 " + ledgerEntry +
			"|HDEL holdfast:trash 7|SWAPDB 0 8|FLUSHDB|EXEC", nil},
		{"a sweep", trashed + "|1m|SELECT 15|MULTI|HDEL holdfast:trash 7|SELECT 8|FLUSHDB|EXEC",
			[]string{"1 FLUSHALL in db0 (to the trash: UNDO 7)"}},
		{"a sweep of what was there before", "SELECT 15|MULTI|HDEL holdfast:trash 7|SELECT 8|FLUSHDB|EXEC",
			[]string{"1 FLUSHDB in db8"}},
		{"a flush beside an undo", "SELECT 15|MULTI|HSET holdfast:trash 7 " + ledgerEntry +
			"|HDEL holdfast:trash 7|SWAPDB 0 8|FLUSHALL|EXEC", []string{"1 FLUSHALL"}},
		{"a flush beside a sweep", trashed + "|1m|SELECT 15|MULTI|HDEL holdfast:trash 7|SELECT 8|FLUSHDB|" +
			"SELECT 0|FLUSHDB|EXEC",
			[]string{"1 FLUSHALL in db0 (to the trash: UNDO 7)", "1 FLUSHDB in db0"}},
		{"a flush that an entry is taken out for", "SELECT 15|MULTI|HDEL holdfast:trash 1|SELECT 3|FLUSHDB|EXEC",
			[]string{"1 FLUSHDB in db3"}},
		{"a flush in the clothes of an undo", "SELECT 0|FLUSHALL|1m|SET a 1|SELECT 15|MULTI|HSET holdfast:trash 7 " +
			ledgerEntry + "|HDEL holdfast:trash 7|SWAPDB 0 8|SELECT 8|FLUSHDB|EXEC",
			[]string{"1 FLUSHALL", "1 FLUSHDB in db8"}},
		{"a swap beside an undo", "SELECT 15|MULTI|HSET holdfast:trash 7 " + ledgerEntry +
			"|HDEL holdfast:trash 7|SWAPDB 0 8|SWAPDB 0 3|EXEC", []string{"1 SWAPDB in db0,3"}},
		{"a key of that name is no ledger", "SELECT 0|HDEL holdfast:trash 7|FLUSHALL",
			[]string{"1 FLUSHALL"}},
		{"a flush in a value", "SELECT 0|SET FLUSHALL *1\r\n$8\r\nFLUSHALL", nil},
	} {
		f := feed()
		for _, step := range strings.Split(row.steps, "|") {
			if d, err := time.ParseDuration(step); err == nil {
				f.sleep(d)
				continue
			}
			f.give(step)
		}
		f.sleep(time.Hour)
		f.give("PING")
		var got []string
		for _, e := range f.closed() {
			got = append(got, e.Text())
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// 100,000 FLUSHALLs are one event, from before the first to behind the last.
func TestManyFlushesAreOneEvent(t *testing.T) {
	f := feed()
	f.give("SELECT 0", "SET a 1", "SET b 1")
	from := f.at
	for range 100 {
		for range 1000 {
			f.give("FLUSHALL")
		}
		f.sleep(20 * time.Millisecond)
	}
	to := f.at
	f.give("SET a 1")
	f.sleep(Quiet + time.Second)
	f.give("PING")
	got := f.closed()
	if len(got) != 1 || got[0].From != from || got[0].To != to || got[0].What[0].Count != 100_000 ||
		!got[0].After.Empty() {
		t.Errorf("%+v, want one event from %d to %d", got, from, to)
	}
	if len(f.found) != 2 || !f.found[0].Open || f.found[0].N != 1 {
		t.Errorf("want one report at its begin, and one at its end: %+v", f.found)
	}
}

// One flush every few seconds is no event that begins a week ago.
func TestAnEventHasABound(t *testing.T) {
	f := feed()
	for range 1000 {
		f.give("SELECT 3", "FLUSHDB")
		f.sleep(Quiet - time.Second)
	}
	got := f.closed()
	if len(got) < 5 {
		t.Fatalf("%d events in %v", len(got), 1000*(Quiet-time.Second))
	}
	for _, e := range got {
		if e.Last.Sub(e.First) > Longest {
			t.Errorf("event %d lasts %v", e.N, e.Last.Sub(e.First))
		}
	}
}

// Many deletes are an event from the first of them on, to the last.
func TestDeletes(t *testing.T) {
	f := feed()
	f.give("SELECT 0")
	from := f.at
	for i := range Deletes + 500 {
		f.give("DEL key" + strconv.Itoa(i))
		if i%2000 == 0 {
			f.sleep(time.Second)
		}
	}
	to := f.at
	f.sleep(time.Minute)
	f.give("DEL one")
	got := f.closed()
	if len(got) != 1 || got[0].From != from || got[0].To != to ||
		got[0].What[0].Keys != Deletes+500 {
		t.Errorf("%+v, want one from %d to %d", got, from, to)
	}
	slow := feed()
	slow.give("SELECT 0")
	for i := range 3 * Deletes {
		slow.give("DEL key" + strconv.Itoa(i))
		slow.sleep(Window / (Deletes / 2))
	}
	if len(slow.found) != 0 {
		t.Errorf("deletes at half the rate: %+v", slow.found)
	}
}

// Keys that the trash moved aside one by one count as the deletes that it stood in for; putting them
// back does not.
func TestDeletesInTheTrash(t *testing.T) {
	const keyed = `{"id":9,"count":3,"command":"UNLINK"}`
	moves := func(from, to int) (out []string) {
		out = []string{"SELECT 15", "MULTI", "SET holdfast:trash:keys:9 " + keyed,
			"SELECT " + strconv.Itoa(from)}
		for range Deletes {
			out = append(out, "MOVE k "+strconv.Itoa(to))
		}
		return append(out, "SELECT 15", "SET holdfast:trash:keys:9 "+keyed, "EXEC")
	}
	f := feed()
	f.give(moves(0, 15)...)
	f.sleep(time.Minute)
	f.give(moves(15, 0)...)
	f.sleep(time.Minute)
	f.give("SELECT 15", "MULTI", "SET holdfast:trash:keys:9 "+keyed, "UNLINK a b", "EXEC", "PING")
	got := f.closed()
	if len(got) != 1 || got[0].Text() != "1 UNLINK in db0 of up to 10000 keys" {
		t.Errorf("%+v, want one event of UNLINK in the keys' database", got)
	}
}

// What a repair removes, the lost history had removed: it is no event, and its own key is not counted.
func TestARepairIsNoEvent(t *testing.T) {
	f := feed()
	f.give("SELECT 0", "FLUSHALL")
	f.sleep(time.Minute)
	f.give("MULTI", "SET holdfast:repair 1")
	for i := range 2 * Deletes {
		f.give("UNLINK k" + strconv.Itoa(i))
	}
	f.give("RESTORE a 0 x REPLACE ABSTTL", "DEL holdfast:repair", "EXEC", "SET b 1")
	if got := f.w.Keys(); got.DBs[0].High > 2 || !got.MayBeEmpty() {
		t.Errorf("%v", got)
	}
	f.sleep(time.Minute)
	f.give("UNLINK a", "PING")
	if got := f.closed(); len(got) != 1 || got[0].What[0].Name != "FLUSHALL" {
		t.Errorf("%+v, want the FLUSHALL alone", got)
	}
	p := &Picker{Deletes: true}
	s := stream.NewScanner(stream.Options{})
	_ = s.Feed(time.Time{}, []byte(resp("MULTI", "SET holdfast:repair 1", "DEL k", "EXEC", "DEL j")),
		func(c *stream.Command) error { p.Take(c); return nil })
	if len(p.Spans()) != 1 {
		t.Errorf("%v are an event's own, want the DEL of a client", p.Spans())
	}
}

// How many keys there are, as far as the stream says it.
func TestKeys(t *testing.T) {
	f := feed()
	at := func(want string) {
		t.Helper()
		if got := f.w.Keys().String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f.give("SELECT 0", "SET a 1")
	at("unknown")
	place := f.at
	f.give("SET b 1", "DEL a", "INCR c")
	f.w.Sample(1, Sample{Offset: place, Keys: map[int]int64{0: 100, 3: 5}})
	at("db0 99 to 101, db3 5") // what came behind the sample counts
	f.give("SWAPDB 0 3")
	at("db0 5, db3 99 to 101")
	f.w.Sample(1, Sample{Offset: place, Keys: map[int]int64{0: 7}})
	at("db0 5, db3 99 to 101") // a sample from before the swap says nothing
	f.give("MOVE k 4")
	at("db0 4, db3 99 to 101, db4 1")
	f.give("FLUSHDB")
	at("db3 99 to 101, db4 1")
	f.give("FLUSHALL")
	at("no keys")
	f.give("MSET a 1 b 2", "SET holdfast:mark 77", "DEL a b", "MODULE.COMMAND x y")
	at("db0 0 to 3")
	f.w.Sample(1, Sample{Offset: f.at, Keys: map[int]int64{0: 3}})
	at("db0 3") // the mark is the proxy's own, and not among them
	f.give("DEL holdfast:mark")
	at("db0 3")
	f.give("DEL g holdfast:mark", "SET holdfast:fence 1", "UNLINK holdfast:fence", "UNLINK h")
	at("db0 1 to 2")
	f.w.Sample(1, Sample{Offset: f.at, Keys: map[int]int64{0: 2}})
	f.w.Sample(1, Sample{Offset: f.at + int64(len(resp("SET d 1"))), Keys: map[int]int64{0: 9}})
	at("db0 2") // it is ahead of what has arrived
	f.give("SET d 1", "SET e 1")
	at("db0 9 to 10")
	f.w.Gap(1, f.at, f.at+100)
	at("unknown")
}

// However a stream is cut into pieces, and wherever a watcher is replaced by one that goes on from
// its State, the events are the same.
func TestStateGoesOnAnywhere(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		stream := randomStream(r)
		want := watchAll(stream, func(int) bool { return false }, 1<<30)
		got := watchAll(stream, func(int) bool { return r.IntN(8) == 0 }, 1+r.IntN(300))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d:\n%s\nwant\n%s", seed, text(got), text(want))
		}
		if len(want) == 0 {
			t.Fatalf("seed %d: no events", seed)
		}
	}
}

func text(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type piece struct {
	at   time.Time
	data string
}

func randomStream(r *rand.Rand) []piece {
	now := time.Unix(1_000_000, 0)
	var out []piece
	for range 120 {
		var commands []string
		switch r.IntN(12) {
		case 0:
			commands = []string{"FLUSHALL"}
		case 1:
			commands = []string{"MULTI", "SELECT 2", "SET a 1", "FLUSHDB", "EXEC", "SELECT 0"}
		case 2:
			now = now.Add(time.Duration(r.IntN(10)) * time.Second)
			continue
		case 3:
			commands = []string{"SELECT 15", "MULTI", "HSET holdfast:trash 7 " + ledgerEntry, "SWAPDB 0 8",
				"EXEC", "SELECT 0"}
			if r.IntN(2) == 0 {
				commands = append(commands, "SELECT 15", "MULTI", "HDEL holdfast:trash 7", "SELECT 8", "FLUSHDB",
					"EXEC", "SELECT 0")
			}
		case 4:
			for range Deletes / 3 {
				commands = append(commands, "DEL x y")
			}
		default:
			commands = []string{"SET a 1", "DEL a", "LPOP l"}
		}
		out = append(out, piece{now, resp(commands...)})
	}
	return out
}

// watchAll gives the events, of pieces of at most so many bytes, with a new watcher where again says
// so: it is given everything from where a segment began, which is before its place.
func watchAll(stream []piece, again func(i int) bool, most int) []Event {
	found := map[int]Event{}
	w := NewWatcher(State{})
	w.Timeline(1, 0, 0, 0)
	w.Found = func(e Event) { found[e.N] = e }
	type given struct {
		offset int64
		at     time.Time
		data   string
	}
	var all []given
	at := int64(0)
	for i, p := range stream {
		for rest := p.data; len(rest) > 0; {
			n := min(len(rest), most)
			all = append(all, given{at, p.at, rest[:n]})
			w.Stream(1, at, p.at, []byte(rest[:n]))
			at, rest = at+int64(n), rest[n:]
		}
		if !again(i) {
			continue
		}
		kept, err := json.Marshal(w.State())
		var s State
		if err != nil || json.Unmarshal(kept, &s) != nil {
			panic(err)
		}
		next := NewWatcher(s)
		next.Found = w.Found
		next.Timeline(1, 0, 0, 0)
		for _, g := range all {
			next.Stream(1, g.offset, g.at, []byte(g.data))
		}
		w = next
	}
	if e, ok := w.Event(); ok {
		found[e.N] = e
	}
	var out []Event
	for n := 1; n <= len(found); n++ {
		e := found[n]
		e.First, e.Last = e.First.UTC(), e.Last.UTC()
		e.Before, e.After = Counts{}, Counts{} // a sample is not carried over; TestKeys has them
		out = append(out, e)
	}
	return out
}

// Any bytes, however they are cut: the same events, and no harm.
func FuzzWatcher(f *testing.F) {
	f.Add([]byte(resp("SELECT 0", "MULTI", "FLUSHALL", "EXEC", "DEL a b", "SWAPDB 0 1")), 3)
	f.Add([]byte(resp("SELECT 15", "MULTI", "HSET holdfast:trash 7 "+ledgerEntry, "SWAPDB 0 8", "EXEC")), 9)
	f.Add([]byte("*1\r\n$8\r\nFLUSHALL\r\nnonsense*2\r\n"), 1)
	f.Add([]byte(resp("SWAPDB 9999999999999999999 1", "MOVE a -1", "COPY a b DB x", "FLUSHDB")), 7)
	f.Fuzz(func(t *testing.T, p []byte, most int) {
		half := len(p) / 2
		stream := []piece{{time.Unix(1000, 0), string(p[:half])}, {time.Unix(1003, 0), string(p[half:])},
			{time.Unix(1004, 0), resp("FLUSHALL")}}
		want := watchAll(stream, func(int) bool { return false }, 1<<30)
		got := watchAll(stream, func(int) bool { return true }, max(1, most))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nwant\n%s", text(got), text(want))
		}
	})
}

// BenchmarkWatcher is a stream of SETs in pieces of a socket's reads.
func BenchmarkWatcher(b *testing.B) {
	one := "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n"
	const n = 20_000
	all := []byte(resp("SELECT 0", "FLUSHALL") + strings.Repeat(one, n))
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		w := NewWatcher(State{})
		w.Timeline(1, 0, 0, 0)
		for at := 0; at < len(all); at += 64 << 10 {
			w.Stream(1, int64(at), time.Unix(int64(at), 0), all[at:min(at+64<<10, len(all))])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/command")
}
