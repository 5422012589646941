package repair

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"holdfast/journal/keyspace"
)

// TestFunctions loses what was done to libraries of functions: one was loaded, one replaced, one deleted, and one
// changed on both sides, which is a conflict. A server that comes back empty gets all of them.
func TestFunctions(t *testing.T) {
	for _, w := range []way{fromRDB, ways[2]} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "valkey")
			load := func(name string, n int) {
				r.do(0, "FUNCTION", "LOAD", "REPLACE", fmt.Sprintf("#!lua name=%s\nserver.register_function('%s', function() "+
					"return %d end)", name, name, n))
			}
			have := func() map[string]string {
				libs, err := libraries(context.Background(), keyspace.Endpoint{Address: r.srv.Addr})
				if err != nil {
					t.Fatal(err)
				}
				return libs
			}
			for _, name := range []string{"changed", "deleted", "both", "kept"} {
				load(name, 1)
			}
			r.do(0, "SET", "a", 1)
			if w.keep != nil {
				w.keep(r)
			}
			load("made", 1)
			load("changed", 2)
			load("both", 2)
			r.do(0, "FUNCTION", "DELETE", "deleted")
			r.do(0, "SET", "a", 2)
			r.recorded()
			want := have()
			w.lose(r)
			n := r.incident()
			load("both", 3)
			r.recorded()
			o := r.options(n)
			o.Conflicts = Skip
			rep := r.repair(o)
			want["both"] = have()["both"]
			if got := have(); !maps.Equal(got, want) || !rep.Done() || rep.Conflicts != 1 || r.do(0, "FCALL", "both", 0) != int64(3) {
				t.Errorf("%q, want %q; %+v", got, want, rep)
			}
			o.Conflicts = Replace
			if rep := r.repair(o); r.do(0, "FCALL", "both", 0) != int64(2) || !rep.Done() || rep.Libraries != 1 {
				t.Errorf("replaced: %+v", rep)
			}
		})
	}
}

// TestFunctionsMeanwhile puts back libraries that a client has loaded or deleted since the look at them.
func TestFunctionsMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "valkey")
	code := func(name string, n int) string {
		return fmt.Sprintf("#!lua name=%s\nserver.register_function('%s', function() return %d end)", name, name, n)
	}
	looked, now, lost := code("f", 1), code("f", 2), code("f", 3)
	for _, row := range []struct {
		now, lost string
		mode      Conflicts
		want      string
	}{
		{looked, lost, Skip, lost}, {looked, "", Skip, ""}, {now, lost, Skip, now}, {now, "", Skip, now}, {"", lost, Skip, ""},
		{"", "", Skip, ""}, {lost, lost, Skip, lost}, {now, lost, Replace, lost},
	} {
		r.do(0, "FUNCTION", "FLUSH")
		if row.now != "" {
			r.do(0, "FUNCTION", "LOAD", row.now)
		}
		m := &merging{run: &run{Options: Options{Live: keyspace.Endpoint{Address: r.srv.Addr}, Conflicts: row.mode}}}
		met, err := m.exchange(t.Context(), "f", looked, row.lost)
		if err != nil || met != row.now {
			t.Errorf("%+v: met %q, %v", row, met, err)
		}
		if libs, err := libraries(t.Context(), m.Live); err != nil || libs["f"] != row.want {
			t.Errorf("%+v: now %q, %v", row, libs, err)
		}
	}
	m := &merging{run: &run{Options: Options{Live: keyspace.Endpoint{Address: r.srv.Addr}}}}
	if _, err := m.exchange(t.Context(), "f", looked, "no code"); err == nil {
		t.Error("a server that refuses the code")
	}
}
