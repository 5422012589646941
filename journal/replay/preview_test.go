package replay_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// tallied are places of a recording with the server's own number of keys.
type tallied struct {
	at     time.Time
	offset int64
	keys   [2]int64 // of databases 0 and 1, without the proxy's own
}

// talliesOf records writes of all kinds that change the number of keys, over several segments.
func talliesOf(t *testing.T, r *recording, srv *proxytest.Server) (out []tallied) {
	conn := srv.Client().Conn()
	t.Cleanup(func() { conn.Close() })
	w := &workload{t: t, srv: srv}
	big := strings.Repeat("x", 240<<10)
	keysOf := func(db int) int64 {
		w.doOn(conn, "SELECT", db)
		n := int64(0)
		for _, k := range w.doOn(conn, "KEYS", "*").([]any) {
			if !strings.HasPrefix(k.(string), "holdfast:") {
				n++
			}
		}
		return n
	}
	for i := range 20 {
		w.doOn(conn, "SELECT", i%2)
		w.doOn(conn, "SET", fmt.Sprint("k", i), big)
		switch i % 6 {
		case 1:
			w.doOn(conn, "DEL", fmt.Sprint("k", i), "missing")
		case 3:
			w.doOn(conn, "RPUSH", "list", i)
			w.doOn(conn, "MULTI")
			w.doOn(conn, "SET", fmt.Sprint("tx", i), i)
			w.doOn(conn, "LPOP", "list")
			w.doOn(conn, "EXEC")
		case 5:
			w.doOn(conn, "FLUSHDB")
		}
		if i == 14 {
			if _, err := r.tap.Snapshot(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		end := r.caughtUp()
		out = append(out, tallied{time.Now(), end, [2]int64{keysOf(0), keysOf(1)}})
		later := srv.Info("stats")["instantaneous_input_kbps"] // another millisecond
		proxytest.Poll(t, "the clock to go on "+later, func() bool { return time.Since(out[i].at) > 2*time.Millisecond })
	}
	w.doOn(conn, "SET", "last", 1)
	r.caughtUp()
	return out
}

// holds reports whether counts allow the number of keys.
func holds(c event.Counts, keys [2]int64) bool {
	for db, n := range keys {
		low, high := int64(0), int64(0)
		for _, d := range c.DBs {
			if d.DB == db {
				low, high = d.Low, d.High
			}
		}
		if n < low || n > high {
			return false
		}
	}
	return c.Known()
}

// A preview cuts where a restore does, and counts as a dry run does, by the end of the moment's segment.
func TestPreview(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := &recording{t: t, srv: srv, dir: t.TempDir(), mark: 10 * time.Millisecond}
	r.again()
	list := talliesOf(t, r, srv)
	ctx, view := context.Background(), r.view()
	if n := len(view.Segments()); n < 3 {
		t.Fatalf("%d segments: the test shows nothing", n)
	}
	exact := 0
	for i, m := range list {
		sel := replay.Selector{Kind: replay.AtTime, Time: m.at}
		if i%2 == 1 {
			sel = replay.Selector{Kind: replay.AtOffset, Offset: m.offset}
		}
		p, err := replay.NewPreview(ctx, view, replay.PreviewOptions{Selector: sel, BaseBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if !holds(p.Keys, m.keys) || !p.Since.Keys.Known() || p.Short != "" || p.Since.Short != "" {
			t.Errorf("%d, %+v: %+v, want %v", i, sel, p, m.keys)
		}
		if p.Keys.Exact() {
			exact++
		}
		if i%5 != 0 {
			continue
		}
		point := r.locate(sel)
		plan, err := replay.NewPlan(ctx, view, point, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := replay.NewSurvey(ctx, view, plan, time.Now(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Offset != point.Offset || p.Left || p.Since.Commands != s.After ||
			p.Since.Bytes != view.Timelines()[0].End-point.Offset || p.Since.Read != p.Since.Bytes {
			t.Errorf("%d, %+v: %+v; want offset %d and %d commands, %s", i, sel, p, point.Offset, s.After, s.Keys)
		}
	}
	if exact == 0 {
		t.Error("no count is exact") // how many are depends on when the marks came
	}
}

// The limits hold: the reading ends early, says so, and its numbers are of the place that it reached.
func TestPreviewIsBounded(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := &recording{t: t, srv: srv, dir: t.TempDir(), mark: 10 * time.Millisecond}
	r.again()
	list := talliesOf(t, r, srv)
	ctx, view := context.Background(), r.view()
	first, last := list[0], list[len(list)-1]
	begun, err := view.BaseFor(1, first.offset)
	if err != nil {
		t.Fatal(err)
	}
	o := replay.PreviewOptions{Selector: replay.Selector{Kind: replay.AtTime, Time: first.at}, BaseBytes: 1 << 20,
		Bytes: first.offset - begun.Offset + 1<<20}
	p, err := replay.NewPreview(ctx, view, o)
	if err != nil || p.Short != "" || !holds(p.Keys, first.keys) || p.Since.Short == "" || p.Since.Read == 0 ||
		p.Since.Read > 2<<20 || p.Since.Read >= p.Since.Bytes {
		t.Errorf("%d bytes: %+v, %v", o.Bytes, p, err)
	}
	o.Bytes = 1
	o.Time = last.at
	p, err = replay.NewPreview(ctx, view, o)
	if err != nil || p.Short == "" || p.Offset >= last.offset || p.Since.Commands != 0 {
		t.Errorf("one byte: %+v, %v", p, err)
	}
	o.Bytes, o.Patience = 0, 1
	if p, err = replay.NewPreview(ctx, view, o); err != nil || p.Short == "" {
		t.Errorf("no time: %+v, %v", p, err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := replay.NewPreview(ended, view, o); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller has left: %v", err)
	}
}

// A part of a history has its own end: the commands that an incident names, and the keys behind them.
func TestPreviewOfARange(t *testing.T) {
	t.Parallel()
	r, srv := previewed(t)
	srv.MustDo("SETNX", "a", 1)
	from := r.caughtUp()
	srv.MustDo("SETNX", "b", 1)
	srv.MustDo("setnx", "c", 1)
	srv.MustDo("LPUSH", "d", 1)
	to := r.caughtUp()
	srv.MustDo("SETNX", "e", 1)
	r.caughtUp()
	p, err := replay.NewPreview(context.Background(), r.view(), replay.PreviewOptions{BaseBytes: 1 << 20, To: to,
		Selector: replay.Selector{Kind: replay.AtOffset, Offset: from, Timeline: 1}})
	want := []replay.CommandCount{{Name: "SETNX", Count: 2}, {Name: "LPUSH", Count: 1}}
	if err != nil || p.Keys.String() != "db0 1" || p.Since.Keys.String() != "db0 3 to 4" || p.Since.Commands != 3 ||
		!reflect.DeepEqual(p.Since.Names, want) || p.Since.Bytes != to-from {
		t.Errorf("%+v, %v", p, err)
	}
}

// The keys before and after an event are the journal's own, also where nothing may be read for them.
func TestPreviewOfAnEvent(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := &recording{t: t, srv: srv, dir: t.TempDir(), mark: 10 * time.Millisecond}
	r.again()
	srv.MustDo("SETNX", "a", 1)
	proxytest.Poll(t, "the count of the keys", func() bool { return r.journal.Keys().String() == "db0 1" })
	before := r.caughtUp()
	srv.MustDo("FLUSHDB")
	r.caughtUp()
	srv.MustDo("SETNX", "b", 1)
	r.caughtUp()
	var e []event.Event
	proxytest.Poll(t, "the event of the FLUSHDB", func() bool {
		e = r.journal.Events()
		return len(e) > 0 && e[len(e)-1].To > before
	})
	e = e[len(e)-1:]
	p, err := replay.NewPreview(context.Background(), r.view(), replay.PreviewOptions{To: e[0].To, Bytes: 1, Events: e,
		Selector: replay.Selector{Kind: replay.AtOffset, Offset: e[0].From, Timeline: 1}})
	if err != nil || p.Short != "" || !reflect.DeepEqual(p.Keys, e[0].Before) || !reflect.DeepEqual(p.Since.Keys, e[0].After) ||
		p.Keys.String() != "db0 1" {
		t.Errorf("%+v, %v; the event: %+v", p, err, e[0])
	}
}

// A transaction that is not over at the moment has no part in it.
func TestPreviewCutsNoTransaction(t *testing.T) {
	t.Parallel()
	r, srv := previewed(t)
	srv.MustDo("SETNX", "a", 1)
	from := r.caughtUp()
	pipe := srv.Client().TxPipeline()
	for _, key := range []string{"b", "c", "d"} {
		pipe.Do(context.Background(), "SETNX", key, 1)
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		t.Fatal(err)
	}
	to, view := r.caughtUp(), r.view()
	for at := from; at <= to; at++ {
		p, err := replay.NewPreview(context.Background(), view, replay.PreviewOptions{BaseBytes: 1 << 20,
			Selector: replay.Selector{Kind: replay.AtOffset, Offset: at}})
		offset, keys, after := from, "db0 1", int64(3)
		if at == to {
			offset, keys, after = to, "db0 4", 0
		}
		if err != nil || p.Offset != offset || p.Keys.String() != keys || p.Since.Keys.String() != "db0 4" ||
			p.Since.Commands != after {
			t.Fatalf("offset %d of %d to %d: %+v, %v", at, from, to, p, err)
		}
	}
}

// Without a count of any kind the keys are unknown; a moment that no base leads to is an error.
func TestPreviewOfTheUnknown(t *testing.T) {
	t.Parallel()
	r, srv := previewed(t)
	srv.MustDo("SETNX", "a", 1)
	end := r.caughtUp()
	p, err := replay.NewPreview(context.Background(), r.view(), replay.PreviewOptions{})
	if err != nil || p.Keys.Known() || p.Offset != end || p.Since.Bytes != 0 {
		t.Errorf("the end: %+v, %v", p, err)
	}
	for _, sel := range []replay.Selector{{Kind: replay.AtTime, Time: time.Now().Add(-time.Hour)},
		{Kind: replay.AtOffset, Timeline: 1, Offset: 1 << 40}} {
		if p, err := replay.NewPreview(context.Background(), r.view(), replay.PreviewOptions{Selector: sel}); !errors.Is(err,
			journal.ErrNoBase) {
			t.Errorf("%+v: %+v, %v", sel, p, err)
		}
	}
	if _, err := replay.NewPreview(context.Background(), r.view(), replay.PreviewOptions{
		Selector: replay.Selector{Kind: replay.AtOffset, Timeline: 9, Offset: 5}}); !errors.Is(err, replay.ErrNoPoint) {
		t.Errorf("no timeline 9: %v", err)
	}
}

func previewed(t *testing.T) (*recording, *proxytest.Server) {
	srv := proxytest.StartServer(t, serverArgs...)
	return record(t, srv), srv
}
