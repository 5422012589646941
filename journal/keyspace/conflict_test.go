package keyspace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// two starts a source and a target of the default kind.
func two(t *testing.T) (a, b *proxytest.Server, o Options) {
	t.Helper()
	a, b = proxytest.StartServer(t), proxytest.StartServer(t)
	return a, b, Options{Source: open(t, a), Target: open(t, b), Decide: always, Verify: true}
}

// TestConflict changes keys of the target after they were compared: small ones among others, a large
// one, one that was not there, and one to delete.
func TestConflict(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", SmallBytes*3)
	for _, row := range []struct {
		name   string
		before []any // on the target
		change []any
	}{
		{"changed", []any{"SET", "k", "old"}, []any{"SET", "k", "a client's"}},
		{"to a large one", []any{"SET", "k", "old"}, []any{"SET", "k", large}},
		{"from a large one", []any{"SET", "k", large}, []any{"SET", "k", "a client's"}},
		{"of another type", []any{"RPUSH", "k", 1}, []any{"RPUSH", "k", 2}},
		{"made", nil, []any{"SET", "k", "a client's"}},
		{"deleted", []any{"SET", "k", "old"}, []any{"DEL", "k"}},
		{"given a deadline", []any{"SET", "k", "old"}, []any{"EXPIRE", "k", 1000}},
		{"written the same again", []any{"SET", "k", "old"}, []any{"SET", "k", "old"}},
	} {
		for _, source := range [][]any{{"SET", "k", "wanted"}, {"SET", "k", large + "wanted"}, nil} {
			if row.before == nil && source == nil {
				continue
			}
			t.Run(fmt.Sprintf("%s, source %.20v", row.name, source), func(t *testing.T) {
				t.Parallel()
				a, b, o := two(t)
				for i := range 20 {
					a.MustDo("SET", fmt.Sprint("other:", i), i)
				}
				if source != nil {
					a.MustDo(source...)
				}
				if row.before != nil {
					b.MustDo(row.before...)
				}
				changed := false
				o.Decide = func(c Comparison) Action {
					if c.Key.Name == "k" && !changed {
						changed = true
						b.MustDo(row.change...)
					}
					return Write
				}
				was := ""
				keys := []Key{{0, "k"}}
				for i := range 20 {
					keys = append(keys, Key{0, fmt.Sprint("other:", i)})
				}
				got := outcomes(t, o, keys)
				for _, k := range keys[1:] {
					if r := got[k]; r.Outcome != Written || !r.Verified {
						t.Errorf("%v: %v %v", k, r.Outcome, r.Reason)
					}
				}
				r := got[keys[0]]
				was = fmt.Sprint(b.MustDo("EXISTS", "k"), b.MustDo("TYPE", "k"))
				switch {
				case r.Outcome == Left && r.Relation == Same && source == nil && row.name == "deleted":
				case row.name == "written the same again" && r.Outcome != Conflict && r.Outcome != Written &&
					r.Outcome != Deleted:
					t.Errorf("%v %v", r.Outcome, r.Reason)
				case row.name != "written the same again" && r.Outcome != Conflict:
					t.Errorf("%v %v, now %s", r.Outcome, r.Reason, was)
				}
				if v, _ := b.Do("GET", "k"); r.Outcome == Conflict && (v == "wanted" || v == large+"wanted") {
					t.Error("the client's write is gone")
				}
				for _, k := range all(t, o.Target) {
					if strings.Contains(k.Name, TempMark) {
						t.Errorf("%v was left", k)
					}
				}
			})
		}
	}
}

// TestSourceMoves compares a key that always changes.
func TestSourceMoves(t *testing.T) {
	t.Parallel()
	a, b, o := two(t)
	a.MustDo("SET", "still", 1)
	a.MustDo("SET", "k", 0)
	b.MustDo("SET", "k", "old")
	o.Decide = func(c Comparison) Action {
		a.MustDo("INCR", "k")
		return Write
	}
	got := outcomes(t, o, []Key{{0, "still"}, {0, "k"}})
	if r := got[Key{0, "k"}]; r.Outcome != Left || r.Relation != Unknown || !errors.Is(r.Err, errMoved) {
		t.Errorf("%v %v %v", r.Outcome, r.Relation, r.Err)
	}
	if b.MustDo("GET", "k") != "old" {
		t.Error("it was written")
	}
}

// TestErrorsEnd looks at what ends a Sync: errors of keys, of the report, of Compared, and the
// context.
func TestErrorsEnd(t *testing.T) {
	t.Parallel()
	a, b, o := two(t)
	for i := range 300 {
		a.MustDo("SET", fmt.Sprint(i), i)
	}
	stop := errors.New("stop")
	keys := func(yield func(Key, error) bool) {
		for i := range 300 {
			err := error(nil)
			if i == 200 {
				err = stop
			}
			if !yield(Key{0, fmt.Sprint(i)}, err) {
				return
			}
		}
	}
	n := 0
	count := func(Result) error { n++; return nil }
	if err := Sync(context.Background(), o, keys, count); !errors.Is(err, stop) {
		t.Error(err)
	}
	if size := b.MustDo("DBSIZE"); size != int64(n) {
		t.Errorf("%d results, %v keys", n, size)
	}
	o2 := o
	o2.Compared = func(context.Context) error { return stop }
	b.MustDo("FLUSHALL")
	if err := Sync(context.Background(), o2, keys, count); !errors.Is(err, stop) ||
		b.MustDo("DBSIZE") != int64(0) {
		t.Error(err)
	}
	err := Sync(context.Background(), o, keys, func(Result) error { return stop })
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Sync(ctx, o, keys, count); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestConfirm says of keys that were written which are not what they should be.
func TestConfirm(t *testing.T) {
	t.Parallel()
	a, b, o := two(t)
	for _, srv := range []*proxytest.Server{a, b} {
		srv.MustDo("SET", "same", 1)
		srv.MustDo("SET", "another", srv.Port)
	}
	a.MustDo("SET", "missing", 1)
	y := &syncing{Options: o, ctx: context.Background()}
	var jobs []*job
	for _, name := range []string{"same", "another", "missing"} {
		jobs = append(jobs, &job{Comparison: Comparison{Key: Key{0, name}}})
	}
	reasons, err := y.confirm(jobs)
	if err != nil || !jobs[0].verified || jobs[1].verified || jobs[2].verified || len(reasons) != 2 {
		t.Errorf("%v, %v", reasons, err)
	}
}
