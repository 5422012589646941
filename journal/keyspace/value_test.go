package keyspace

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// TestEncodings compares equal values that servers encode differently, so that their DUMPs differ.
func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, one := range proxytest.Matrix(t) {
		t.Run(one.String(), func(t *testing.T) {
			t.Parallel()
			a := proxytest.Spec{Kind: one.Kind}.Start(t)
			b := proxytest.Spec{Kind: one.Kind, Args: []string{"--hash-max-listpack-entries", "0",
				"--set-max-intset-entries", "0", "--zset-max-listpack-entries", "0",
				"--list-max-listpack-size", "1", "--stream-node-max-entries", "1"}}.Start(t)
			for i, srv := range []*proxytest.Server{a, b} {
				fill(srv)
				srv.MustDo("SET", "s:appended", "1")
				srv.MustDo("APPEND", "s:appended", "2")
				if i == 1 {
					srv.MustDo("SET", "s:appended", "12")
				}
			}
			o := Options{Source: open(t, a), Target: open(t, b)}
			b.MustDo("DEL", "s:large", "s:text", "z:large", "h:fields", "h:large") // deadlines of another fill
			a.MustDo("DEL", "s:large", "s:text", "z:large", "h:fields", "h:large")
			for k, r := range outcomes(t, o, all(t, o.Source)) {
				if r.Relation != Same {
					t.Errorf("%v: %v in %s, %v", k, r.Relation, r.What, r.Err)
				}
			}
		})
	}
}

// TestDifferences changes one thing of a value, small and large.
func TestDifferences(t *testing.T) {
	t.Parallel()
	a, b := proxytest.StartServer(t), proxytest.StartServer(t)
	far := time.Now().Add(time.Hour).UnixMilli()
	changes := []struct {
		key, what string
		command   []any
	}{
		{"s:text", "value", []any{"SETRANGE", "s:text", 1, "x"}},
		{"s:int", "value", []any{"INCR", "s:int"}},
		{"s:empty", "value", []any{"APPEND", "s:empty", "x"}},
		{"s:large", "value", []any{"SETRANGE", "s:large", 500_000, "x"}},
		{"s:bits", "deadline", []any{"PEXPIREAT", "s:bits", far}},
		{"s:hll", "value", []any{"PFADD", "s:hll", "another"}},
		{"l:small", "value", []any{"LSET", "l:small", 2, "x"}},
		{"l:large", "value", []any{"LMOVE", "l:large", "l:large", "LEFT", "RIGHT"}},
		{"set:ints", "value", []any{"SREM", "set:ints", 3}},
		{"set:small", "type", []any{"SUNIONSTORE", "set:small", "none"}},
		{"set:large", "value", []any{"SADD", "set:large", "x"}},
		{"h:small", "value", []any{"HSET", "h:small", "f", "w"}},
		{"h:large", "value", []any{"HSET", "h:large", 7, "w"}},
		{"h:wide", "value", []any{"HSET", "h:wide", "two", strings.Repeat("z", 299_999) + "y"}},
		{"z:small", "value", []any{"ZADD", "z:small", "1.1000000000000003", "a"}},
		{"z:large", "value", []any{"ZINCRBY", "z:large", "1e-9", "7" + strings.Repeat("x", 200)}},
		{"x:small", "value", []any{"XACK", "x:small", "g", "3-0"}},
		{"x:large", "value", []any{"XADD", "x:large", "2000-8", "f", "v"}},
		{"x:made", "value", []any{"XGROUP", "CREATECONSUMER", "x:made", "g", "c"}},
		{"x:emptied", "value", []any{"XSETID", "x:emptied", "6-0"}},
	}
	fill(a)
	o := Options{Source: open(t, a), Target: open(t, b), Decide: always}
	keys := all(t, o.Source)
	outcomes(t, o, keys)
	b.MustDo("DEL", "set:small")
	b.MustDo("RPUSH", "set:small", 1)
	want := make(map[Key]string)
	for _, c := range changes {
		want[Key{0, c.key}] = c.what
		if c.what != "type" {
			b.MustDo(c.command...)
		}
	}
	o.Decide = nil
	for k, r := range outcomes(t, o, keys) {
		relation := Same
		if want[k] != "" {
			relation = Differs
		}
		if r.Relation != relation || r.What != want[k] {
			t.Errorf("%v: %v in %q (%v), want %v in %q", k, r.Relation, r.What, r.Err, relation, want[k])
		}
	}
}

// TestHundredMegabytes copies and compares a string of 100 MB and a set of many items with bounded
// memory, to a server that does not take the source's DUMP.
func TestHundredMegabytes(t *testing.T) {
	a := proxytest.Spec{Kind: "valkey"}.Start(t)
	b := proxytest.StartServer(t)
	for at := 100<<20 - 16; at > 0; at -= 999_983 {
		a.MustDo("SETRANGE", "s", at, "0123456789abcdef")
	}
	for i := range 300 {
		items := []any{"SADD", "set"}
		for j := range 1000 {
			items = append(items, fmt.Sprint(i, ":", j))
		}
		a.MustDo(items...)
	}
	o := Options{Source: open(t, a), Target: open(t, b), Decide: always, Verify: true}
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	for k, r := range outcomes(t, o, []Key{{0, "s"}, {0, "set"}}) {
		if r.Outcome != Written || !r.Verified {
			t.Errorf("%v: %v %v", k, r.Outcome, r.Reason)
		}
	}
	close(stop)
	if most := <-peak; most > 64<<20 {
		t.Errorf("it took %d bytes of memory", most)
	}
	if b.MustDo("STRLEN", "s") != int64(100<<20) || b.MustDo("SCARD", "set") != int64(300_000) {
		t.Error("not all of it is there")
	}
	if v := b.MustDo("GETRANGE", "s", 100<<20-16, -1); v != "0123456789abcdef" {
		t.Errorf("it ends with %q", v)
	}
}

// TestModuleTypes compares values that have no reads of their own: those of vector sets.
func TestModuleTypes(t *testing.T) {
	t.Parallel()
	for _, one := range proxytest.Matrix(t) {
		srv := proxytest.Spec{Kind: one.Kind}.Start(t)
		if _, err := srv.Do("VADD", "v", "VALUES", 3, 1, 2, 3, "a"); err != nil {
			continue
		}
		t.Run(one.String(), func(t *testing.T) {
			b := proxytest.Spec{Kind: one.Kind}.Start(t)
			srv.MustDoAll(func(do func(args ...any)) {
				for i := range 2000 {
					do("VADD", "v:large", "VALUES", 3, i, 2, 3, fmt.Sprint("element ", i, strings.Repeat("x", 200)))
				}
			})
			o := Options{Source: open(t, srv), Target: open(t, b), Decide: always, Verify: true}
			keys := []Key{{0, "v"}, {0, "v:large"}}
			for k, r := range outcomes(t, o, keys) {
				// A large graph is another after RESTORE, in what DUMP gives of it.
				if r.Outcome != Written || !r.Verified && k.Name == "v" || b.MustDo("VCARD", k.Name) !=
					srv.MustDo("VCARD", k.Name) {
					t.Errorf("%v: %v %v", k, r.Outcome, r.Reason)
				}
			}
			for i := range 2 {
				b.MustDo("VADD", []string{"v", "v:large"}[i], "VALUES", 3, 7, 7, 7, "another")
			}
			base := make(map[Key]Print)
			err := Prints(context.Background(), o.Source, KeysOf(keys), func(k Key, p Print) error {
				base[k] = p
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			o.Base = func(k Key) Print { return base[k] }
			for k, r := range outcomes(t, o, keys) {
				if r.Relation != Unknown || !errors.Is(r.Err, errNoReads) || r.SourceSince != Same ||
					r.TargetSince != Unknown {
					t.Errorf("%v: %v (since %v, %v) %v", k, r.Relation, r.SourceSince, r.TargetSince, r.Err)
				}
			}
			o.Base = nil
			c := proxytest.Spec{Kind: "valkey"}.Start(t)
			o.Target = open(t, c)
			for k, r := range outcomes(t, o, keys) {
				if r.Outcome != Failed || c.MustDo("EXISTS", k.Name) != int64(0) {
					t.Errorf("%v: %v %v", k, r.Outcome, r.Reason)
				}
			}
		})
	}
}

// TestDeadlinePasses compares keys whose deadline passes on one server before it does on the other.
func TestDeadlinePasses(t *testing.T) {
	t.Parallel()
	a, b, o := two(t)
	a.MustDo("SET", "k", 1, "PX", 1)
	b.MustDo("SET", "k", 2, "PXAT", time.Now().Add(time.Minute).UnixMilli())
	o.Source.skew = time.Hour // the source's clock is ahead
	r := outcomes(t, o, []Key{{0, "k"}})[Key{0, "k"}]
	if r.Relation != Same || r.Outcome != Left || b.MustDo("EXISTS", "k") != int64(1) {
		t.Errorf("%v %v", r.Relation, r.Outcome)
	}
}

// TestPace bounds the rate, and pauses while the server is slow.
func TestPace(t *testing.T) {
	t.Parallel()
	const delay = 200 * time.Millisecond // far above a busy machine's own
	ctx := context.Background()
	srv := proxytest.StartServer(t)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	p, err := NewPace(ctx, Endpoint{Address: relay.Addr}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if n := p.batch(64); n != 64 {
		t.Errorf("%d keys at once", n)
	}
	relay.Arm(proxytest.Fault{Op: proxytest.Delay, On: proxytest.Replies, Pause: delay})
	proxytest.Poll(t, "the slowness to be noticed", p.slow)
	if n := p.batch(64); n != 8 {
		t.Errorf("%d keys at once while it is slow", n)
	}
	if err := p.wait(ctx, 1); err != nil || p.Paused() == 0 {
		t.Errorf("paused for %v, %v", p.Paused(), err)
	}
	if p.slow() || p.baseline < delay {
		t.Errorf("after a pause without effect the baseline is %v", p.baseline)
	}
	relay.Clear()
	proxytest.Poll(t, "it to be fast again", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.baseline < delay
	})
	rated, err := NewPace(ctx, Endpoint{Address: srv.Addr}, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer rated.Close()
	began := time.Now()
	for range 4 {
		if err := rated.wait(ctx, 10); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("40 keys at 100 a second began within %v", took)
	}
}
