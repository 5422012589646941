package putback_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal/keyspace"
	"holdfast/journal/putback"
	"holdfast/proxy/proxytest"
)

// kinds runs a test with a recorded server of each version.
func kinds(t *testing.T, fn func(t *testing.T, r *recording)) {
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			fn(t, record(t, b.Kind))
		})
	}
}

// breakKeys is a script that went wrong.
const breakKeys = `for i = 0, 99 do redis.call('SET', 'u:' .. i, 'broken') end
for i = 100, 109 do redis.call('DEL', 'u:' .. i) end
redis.call('RENAME', 'h', 'h:renamed')
redis.call('SADD', 'made', 1)`

// TestSpan undoes what a script did to some keys, while others have gone on.
func TestSpan(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, r *recording) {
		for i := range 120 {
			r.MustDo("SET", fmt.Sprint("u:", i), i)
		}
		r.MustDo("HSET", "h", "f", "v")
		from := r.now()
		r.MustDo("EVAL", breakKeys, 0)
		r.MustDo("SET", "u:expires", 1, "PX", 1)
		to := r.now()
		r.MustDo("SET", "u:0", "a client's")
		r.MustDo("DEL", "u:1")
		r.MustDo("SET", "u:100", "a client's")
		r.MustDo("SET", "u:110", "a client's")
		r.MustDo("SET", "other", 1)
		proxytest.Poll(t, "a key to expire", func() bool { return r.MustDo("EXISTS", "u:expires") == int64(0) })
		r.now()
		want := map[string]putback.Action{"h": putback.PutBack, "h:renamed": putback.Removed,
			"made": putback.Removed, "u:0": putback.Conflicted, "u:1": putback.Conflicted,
			"u:100": putback.Conflicted}
		for i := 2; i < 100; i++ {
			want[fmt.Sprint("u:", i)] = putback.Replaced
		}
		for i := 101; i < 110; i++ {
			want[fmt.Sprint("u:", i)] = putback.PutBack
		}
		o := r.options(from)
		o.Span = &putback.Span{From: from, To: to}
		for _, dry := range []bool{true, false} {
			o.DryRun = dry
			got, sum, err := items(t, o)
			if err != nil || !sum.Recorded {
				t.Fatalf("%v, %+v", err, sum)
			}
			expect(t, got, want)
			if v := r.MustDo("GET", "u:5"); v != map[bool]string{true: "broken", false: "5"}[dry] {
				t.Errorf("dry %v: u:5 is %v", dry, v)
			}
		}
		for key, v := range map[string]any{"u:0": "a client's", "u:100": "a client's", "u:105": "105",
			"u:110": "a client's", "other": "1"} {
			if got := r.MustDo("GET", key); got != v {
				t.Errorf("%s is %v, want %v", key, got, v)
			}
		}
		got, _, err := items(t, o)
		if err != nil || len(got) != 3 {
			t.Errorf("again: %v, %v", got, err)
		}
		o.Conflicts = putback.List
		if _, _, err := items(t, o); !errors.Is(err, putback.ErrConflicts) {
			t.Errorf("list: %v", err)
		}
		o.Conflicts = putback.Replace
		if got, _, err = items(t, o); err != nil {
			t.Error(err)
		}
		expect(t, got, map[string]putback.Action{"u:0": putback.Replaced, "u:1": putback.PutBack,
			"u:100": putback.Replaced})
	})
}

// TestWholeDatabase undoes a FLUSHDB, after which clients have written.
func TestWholeDatabase(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	for i := range 50 {
		r.MustDo("SET", fmt.Sprint("k:", i), i)
	}
	from := r.now()
	r.MustDo("FLUSHDB")
	to := r.now()
	r.MustDo("SET", "k:7", "new")
	r.MustDo("SET", "k:new", "new")
	r.now()
	o := r.options(from)
	o.Span = &putback.Span{From: from, To: to}
	got, sum, err := items(t, o)
	if err != nil || got[`db0 "k:7"`] != putback.Conflicted || got[`db0 "k:new"`] != putback.Conflicted ||
		sum.Count[putback.PutBack] != 49 {
		t.Errorf("%v %+v %v", got, sum, err)
	}
	if r.MustDo("GET", "k:7") != "new" || r.MustDo("DBSIZE") != int64(51) {
		t.Error("what came after the flush was touched")
	}
}

// TestSpanBy undoes the commands of one name in a stretch, among the writes of others.
func TestSpanBy(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	for i := range 10 {
		r.MustDo("SET", fmt.Sprint("u:", i), i)
	}
	from := r.now()
	for i := range 10 {
		r.MustDo("RENAME", fmt.Sprint("u:", i), fmt.Sprint("c:", i))
		r.MustDo("SET", fmt.Sprint("other:", i), i)
	}
	r.MustDo("SET", "c:3", "a client's")
	r.MustDo("SET", "u:4", "a client's")
	to := r.now()
	r.MustDo("SET", "c:5", "a client's")
	r.now()
	want := map[string]putback.Action{}
	for i := range 10 {
		want[fmt.Sprint("u:", i)], want[fmt.Sprint("c:", i)] = putback.PutBack, putback.Removed
	}
	want["c:3"], want["u:4"], want["c:5"] = putback.Conflicted, putback.Conflicted, putback.Conflicted
	o := r.options(from)
	o.Span = &putback.Span{From: from, To: to}
	o.By = func(name string) bool { return name == "rename" }
	got, sum, err := items(t, o)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, want)
	if sum.Names["rename"] != 10 || sum.Names["set"] != 12 || len(sum.Names) != 2 {
		t.Errorf("the stretch has %v", sum.Names)
	}
	if r.MustDo("GET", "other:9") != "9" || r.MustDo("GET", "c:3") != "a client's" || r.MustDo("GET", "u:9") != "9" {
		t.Error("the keys are not what they should be")
	}
}

// TestKeys puts back keys by their names.
func TestKeys(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	r.MustDo("SET", "a:same", 1)
	r.MustDo("SET", "a:gone", 1)
	r.MustDo("SET", "a:other", 1)
	r.MustDo("SET", "b:gone", 1)
	at := r.now()
	r.MustDo("DEL", "a:gone", "b:gone")
	r.MustDo("SET", "a:other", 2)
	r.MustDo("SET", "a:since", 2)
	r.now()
	o := r.options(at)
	o.Patterns = []string{"a:*"}
	got, _, err := items(t, o)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, map[string]putback.Action{"a:gone": putback.PutBack, "a:other": putback.Conflicted})
	o.Conflicts = putback.List
	got, _, err = items(t, o)
	if !errors.Is(err, putback.ErrConflicts) {
		t.Error(err)
	}
	expect(t, got, map[string]putback.Action{"a:other": putback.Conflicted, "a:since": putback.Conflicted})
	o.Conflicts = putback.Replace
	if got, _, err = items(t, o); err != nil {
		t.Error(err)
	}
	expect(t, got, map[string]putback.Action{"a:other": putback.Replaced, "a:since": putback.Removed})
	if r.MustDo("EXISTS", "b:gone") != int64(0) || r.MustDo("EXISTS", "a:same", "a:gone") != int64(2) {
		t.Error("other keys")
	}
}

// TestDeadlines puts back keys whose deadlines have passed, into another server.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, r *recording) {
		_, err := r.Do("HPEXPIRETIME", "none", "FIELDS", 1, "f")
		fields := err == nil
		began := time.Now().UnixMilli()
		r.MustDo("SET", "short", 1, "PX", 300)
		r.MustDo("SET", "long", 1, "PX", 3600_000)
		r.MustDo("SET", "never", 1)
		r.MustDo("HSET", "h", "f", 1, "g", 2)
		if fields {
			r.MustDo("HPEXPIRE", "h", 300, "FIELDS", 1, "f")
		}
		long, _ := strconv.ParseInt(fmt.Sprint(r.MustDo("PEXPIRETIME", "long")), 10, 64)
		at := r.now()
		proxytest.Poll(t, "the short deadline to pass", func() bool {
			return r.MustDo("EXISTS", "short") == int64(0) && (!fields || r.MustDo("HLEN", "h") == int64(1))
		})
		r.now()
		for _, shift := range []bool{false, true} {
			dst := proxytest.Spec{Kind: r.Binary.Kind}.Start(t)
			o := r.options(at)
			o.Now = time.Now().Add(time.Hour) // so that what is short does not pass during the test
			o.Into, o.Shift, o.Patterns = keyspace.Endpoint{Address: dst.Addr}, shift, []string{"*"}
			got2, sum, err := items(t, o)
			wantKeys, wantFields := int64(3), int64(2)
			if shift {
				wantKeys = 4
			} else if fields {
				wantFields = 1
			}
			if strings.HasPrefix(r.Binary.Kind, "redis") && fields && shift { // which cannot be known there
				if !errors.Is(err, putback.ErrIncomplete) || got2[`db0 "h"`] != putback.Unknown {
					t.Errorf("shift %v: %v, %v", shift, got2, err)
				}
				wantKeys, wantFields, err = 3, 0, nil
			}
			if err != nil || sum.Count[putback.PutBack] != wantKeys || sum.Recorded {
				t.Errorf("shift %v: %+v, %v", shift, sum, err)
			}
			got, _ := strconv.ParseInt(fmt.Sprint(dst.MustDo("PEXPIRETIME", "long")), 10, 64)
			most := long + time.Hour.Milliseconds() + time.Now().UnixMilli() - began
			if !shift && got != long || shift && (got <= long || got > most) {
				t.Errorf("shift %v: deadline %d, was %d", shift, got, long)
			}
			proxytest.Poll(t, fmt.Sprintf("%d fields with shift %v", wantFields, shift), func() bool {
				return dst.MustDo("HLEN", "h") == wantFields // which counts fields that have just expired
			})
			if dst.MustDo("PEXPIRETIME", "never") != int64(-1) {
				t.Error("a deadline where there was none")
			}
		}
	})
}

// TestClientsGoOn undoes a script while clients write to the same keys: what a client has written
// stays, and everything else is what it was.
func TestClientsGoOn(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	const keys = 2000
	for i := range keys {
		r.MustDo("SET", fmt.Sprint("u:", i), i)
	}
	from := r.now()
	r.MustDo("EVAL", "for i = 0, ARGV[1] - 1 do redis.call('SET', 'u:' .. i, 'broken') end", 0, keys)
	to := r.now()
	o := r.options(from)
	o.Span, o.Rate = &putback.Span{From: from, To: to}, 4000
	stop, stopped := make(chan struct{}), make(chan map[int]string)
	for w := range 3 {
		go func() {
			last := make(map[int]string) // of this writer's own keys
			defer func() { stopped <- last }()
			for n := 0; ; n++ {
				i := (n*7919+w)%(keys/6)*3 + w // half of the keys at most, each by one writer
				last[i] = fmt.Sprint("client ", n)
				if _, err := r.Do("SET", fmt.Sprint("u:", i), last[i]); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
	}
	got, sum, err := items(t, o)
	close(stop)
	written := make(map[int]string)
	for range 3 {
		for i, v := range <-stopped {
			written[i] = v
		}
	}
	if err != nil && !errors.Is(err, putback.ErrIncomplete) { // a client wrote before it was compared again
		t.Fatal(err)
	}
	if sum.Written() == 0 || sum.Count[putback.Conflicted] == 0 {
		t.Errorf("%+v", sum)
	}
	for i := range keys {
		want, touched := written[i], written[i] != ""
		if !touched {
			want = strconv.Itoa(i)
		}
		if v := r.MustDo("GET", fmt.Sprint("u:", i)); v != want {
			t.Errorf("u:%d is %v, want %v; it was %v", i, v, want, got[fmt.Sprintf("db0 %q", fmt.Sprint("u:", i))])
		}
	}
}

// TestTargets refuses what cannot be put back into, and says what stands in the way.
func TestTargets(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	r.MustDo("SET", "k", 1)
	from := r.now()
	r.MustDo("SET", "k", 2)
	to := r.now()
	o := r.options(from)
	o.Span = &putback.Span{From: from, To: to}
	replica := proxytest.StartServer(t)
	replica.MustDo("REPLICAOF", "127.0.0.1", fmt.Sprint(r.Port))
	bad := o
	bad.Into.Address = replica.Addr
	if _, _, err := items(t, bad); !errors.Is(err, putback.ErrTarget) {
		t.Errorf("a replica: %v", err)
	}
	bad = o
	bad.Span = &putback.Span{From: from - 1, To: to}
	if _, _, err := items(t, bad); !errors.Is(err, putback.ErrSpan) {
		t.Errorf("a span before the point: %v", err)
	}
	if _, _, err := items(t, o); err != nil || r.MustDo("GET", "k") != "1" {
		t.Errorf("%v", err)
	}
}

// TestJournalAway refuses to guess about conflicts while nothing records the server.
func TestJournalAway(t *testing.T) {
	t.Parallel()
	r := record(t, "")
	r.MustDo("SET", "k", 1)
	from := r.now()
	r.MustDo("SET", "k", 2)
	to := r.now()
	o := r.options(from)
	o.Span, o.Patience = &putback.Span{From: from, To: to}, 200*time.Millisecond
	r.end()
	r.MustDo("SET", "k", "nobody saw it")
	proxytest.Poll(t, "the journal to be away", func() bool {
		return r.Info("replication")["connected_slaves"] == "0"
	})
	if got, _, err := items(t, o); !errors.Is(err, putback.ErrBehind) {
		t.Errorf("%v, %v", got, err)
	}
	if v := r.MustDo("GET", "k"); v != "nobody saw it" {
		t.Errorf("it was written: %v", v)
	}
}
