package keyspace

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// open connects to a server.
func open(t testing.TB, srv *proxytest.Server) *Server {
	t.Helper()
	s, err := Open(context.Background(), Endpoint{Address: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// outcomes runs Sync over keys and gives the results by key.
func outcomes(t testing.TB, o Options, keys []Key) map[Key]Result {
	t.Helper()
	out := make(map[Key]Result)
	err := Sync(context.Background(), o, KeysOf(keys), func(r Result) error {
		out[r.Key] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(keys) {
		t.Fatalf("%d results of %d keys", len(out), len(keys))
	}
	return out
}

func always(Comparison) Action { return Write }

// all lists the keys of a server.
func all(t testing.TB, s *Server) (keys []Key) {
	t.Helper()
	for k, err := range s.Keys(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

// largeItems is the number of items of a large value: they fill several windows, and more than SmallBytes.
const largeItems = 1600

// fill writes keys of every type, small and large ones.
func fill(srv *proxytest.Server) {
	fields := withFieldDeadlines(srv)
	srv.MustDoAll(func(do func(args ...any)) {
		fillTypes(do, fields)
		fillStreams(do)
	})
	srv.MustDo("HSET", "h:large", "last", 1)
}

func fillTypes(do func(args ...any), fields bool) {
	far := time.Now().Add(time.Hour).UnixMilli()
	do("SET", "s:int", 12345)
	do("SET", "s:text", "text", "PXAT", far)
	do("SET", "s:empty", "")
	do("SET", "bin\x00\r\n\xff key", "\x00\xff\r\n$5\r\n")
	do("SET", "", "the empty name")
	do("SET", "s:large", strings.Repeat("0123456789abcdef", 40_000))
	do("PEXPIREAT", "s:large", far+1)
	do("SETBIT", "s:bits", 77, 1)
	do("PFADD", "s:hll", "a", "b", "c")
	do("RPUSH", "l:small", "a", "", "b", 7, "a")
	do("SADD", "set:ints", 3, 1, 2)
	do("SADD", "set:small", "b", "a", "")
	do("HSET", "h:small", "f", "v", "", "", "n", 1)
	do("ZADD", "z:small", "1.1", "a", "-inf", "b", "inf", "c", "3", "d", "3", "e", "1e-300", "f")
	do("GEOADD", "z:geo", "13.361389", "38.115556", "Palermo")
	for i := range largeItems {
		v := fmt.Sprint(i, strings.Repeat("x", 200))
		do("RPUSH", "l:large", v)
		do("SADD", "set:large", v)
		do("HSET", "h:large", i, v)
		do("ZADD", "z:large", float64(i)/3, v)
	}
	do("HSET", "h:wide", "one", strings.Repeat("y", 300_000), "two", strings.Repeat("z", 300_000))
	do("PEXPIREAT", "z:large", far+2)
	if fields {
		do("HSET", "h:fields", "a", 1, "b", 2, "c", 3)
		do("HPEXPIREAT", "h:fields", far, "FIELDS", 2, "a", "b")
		do("HPEXPIREAT", "h:fields", far+5, "FIELDS", 1, "b")
		do("HPEXPIREAT", "h:large", far+9, "FIELDS", 3, "1", "2", largeItems-1)
	}
}

func withFieldDeadlines(srv *proxytest.Server) bool {
	_, err := srv.Do("HPEXPIRETIME", "none", "FIELDS", "1", "f")
	return err == nil
}

func fillStreams(do func(args ...any)) {
	do("XGROUP", "CREATE", "x:made", "g", "$", "MKSTREAM")
	do("XADD", "x:emptied", "5-1", "f", "v")
	do("XDEL", "x:emptied", "5-1")
	for i := range 5 {
		do("XADD", "x:small", fmt.Sprintf("%d-0", i+1), "f", i, "", "")
	}
	do("XGROUP", "CREATE", "x:small", "g", "0")
	do("XGROUP", "CREATE", "x:small", "later", "3-0")
	do("XGROUP", "CREATECONSUMER", "x:small", "g", "idle one")
	do("XREADGROUP", "GROUP", "g", "c1", "COUNT", 3, "STREAMS", "x:small", ">")
	do("XREADGROUP", "GROUP", "g", "c2", "COUNT", 1, "STREAMS", "x:small", ">")
	do("XREADGROUP", "GROUP", "later", "c\xff", "STREAMS", "x:small", ">")
	do("XACK", "x:small", "g", "1-0")
	do("XCLAIM", "x:small", "g", "c2", 0, "3-0")
	do("XDEL", "x:small", "2-0", "5-0") // pending and gone
	for i := range largeItems {
		do("XADD", "x:large", fmt.Sprintf("%d-7", i+1), "f", strings.Repeat("x", 300), "i", i)
	}
	do("XGROUP", "CREATE", "x:large", "g", "0")
	do("XREADGROUP", "GROUP", "g", "c", "COUNT", largeItems-300, "STREAMS", "x:large", ">")
	do("XTRIM", "x:large", "MAXLEN", largeItems-100)
}

// TestTypes copies keys of every type from each version to each, and compares them. A source is filled once: each target
// takes its copies from one source after the other. A large value is read by the commands of the one server and built by
// those of the other: of each version twice, it goes to its own and to the next.
func TestTypes(t *testing.T) {
	t.Parallel()
	kinds := proxytest.Matrix(t)
	sources := make([]*proxytest.Server, len(kinds))
	for i, one := range kinds {
		sources[i] = proxytest.Spec{Kind: one.Kind}.Start(t)
		fill(sources[i])
	}
	for i, two := range kinds {
		t.Run(two.String(), func(t *testing.T) {
			t.Parallel()
			b := proxytest.Spec{Kind: two.Kind}.Start(t)
			for j, a := range sources {
				t.Run("from "+a.Binary.String(), func(t *testing.T) {
					b.MustDo("FLUSHALL")
					copied(t, a, b, i == j || i == (j+1)%len(kinds))
				})
			}
		})
	}
}

// copied copies keys from a to b, which has values of its own under some of the names.
func copied(t *testing.T, a, b *proxytest.Server, large bool) {
	b.MustDo("SET", "extra", 1)
	b.MustDo("SET", "l:large", "of another type")
	b.MustDo("SET", "untouched", 1)
	items := []any{"SADD", "s:int"}
	for i := range largeItems {
		items = append(items, i)
	}
	b.MustDo(items...)
	o := Options{Source: open(t, a), Target: open(t, b), Decide: always, Verify: true}
	keys := append(all(t, o.Source), Key{0, "extra"}, Key{0, "nowhere"})
	if !large {
		keys = slices.DeleteFunc(keys, func(k Key) bool {
			return strings.HasSuffix(k.Name, ":large") || k.Name == "h:wide"
		})
	}
	fields := withFieldDeadlines(b) || !withFieldDeadlines(a)
	for k, r := range outcomes(t, o, keys) {
		want := Written
		switch {
		case k.Name == "extra":
			want = Deleted
		case k.Name == "nowhere":
			want = Left
		case !fields && (k.Name == "h:fields" || k.Name == "h:large"):
			want = Failed
		}
		if r.Outcome != want || r.Verified != (want == Written || want == Deleted) {
			t.Errorf("%v: %v %v (%v, %v), want %v", k, r.Outcome, r.Relation, r.Err, r.Reason, want)
		}
	}
	compared(t, o, keys, fields)
	if a.Binary == b.Binary {
		b.MustDo("DEL", "untouched")
		if x, y := a.MustDo("DEBUG", "DIGEST"), b.MustDo("DEBUG", "DIGEST"); x != y {
			t.Errorf("digests %v and %v", x, y)
		}
	}
}

// compared makes sure that keys are the same on both servers, and that the target holds no others.
func compared(t *testing.T, o Options, keys []Key, fields bool) {
	t.Helper()
	o.Decide = nil
	for k, r := range outcomes(t, o, keys) {
		if !fields && (k.Name == "h:fields" || k.Name == "h:large") {
			continue
		}
		if r.Relation != Same || r.Outcome != Left {
			t.Errorf("%v: %v in %s %v: %+v, %+v", k, r.Relation, r.What, r.Err, r.Source, r.Target)
		}
	}
	for _, k := range all(t, o.Target) {
		if strings.Contains(k.Name, TempMark) {
			t.Errorf("%v was left", k)
		}
	}
}

// calls is the number of calls of a command on a server.
func calls(t *testing.T, srv *proxytest.Server, command string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(srv.Info("commandstats")["cmdstat_"+command], "calls=%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyBytes writes values that are large together: no transaction writes more than SmallBytes.
func TestManyBytes(t *testing.T) {
	t.Parallel()
	a, b, o := two(t)
	o.Verify = true
	const each, many = 60_000, 40
	var keys []Key
	for i := range many {
		keys = append(keys, Key{0, fmt.Sprint(i)})
		a.MustDo("SET", i, strings.Repeat(fmt.Sprint(i), each)[:each])
	}
	for _, decide := range []func(Comparison) Action{always, nil} { // write, then compare
		o.Decide = decide
		for k, r := range outcomes(t, o, keys) {
			if decide != nil && !r.Verified || decide == nil && r.Relation != Same {
				t.Errorf("%v: %v %v", k, r.Relation, r.Outcome)
			}
		}
	}
	if n := calls(t, b, "restore"); n < many || n > many+1 { // one is a trial
		t.Errorf("%d RESTOREs of %d keys", n, many)
	}
	if n, least := calls(t, b, "exec"), many*each/SmallBytes; n < least {
		t.Errorf("%d transactions, want %d at least", n, least)
	}
}
