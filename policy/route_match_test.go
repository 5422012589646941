package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMatchIsTheStrictestOfAll(t *testing.T) {
	r := mustRoutes(t, parseRoutes(t, `
		a: keys=a,b replicas=2 timeout=2s pass
		b: keys=b,c journal aof timeout=1s close
		c: keys=c,d replicas=1 aof=3 pass`))
	a, b, c := r.All()[0], r.All()[1], r.All()[2]
	const s = time.Second
	for line, want := range map[string]Match{
		"SET x v":    {},
		"SET a v":    {a, Demand{Replicas: 2}, 2 * s, false, true},
		"SET b v":    {a, Demand{Journal: true, Replicas: 2, AOFLocal: true}, s, true, false},
		"SET c v":    {b, Demand{true, 1, true, 3}, s, true, false},
		"SET d v":    {c, Demand{Replicas: 1, AOFReplicas: 3}, DefaultRouteTimeout, false, true},
		"DEL d a":    {a, Demand{Replicas: 2, AOFReplicas: 3}, s, false, true},
		"DEL d a x":  {a, Demand{Replicas: 2, AOFReplicas: 3}, s, false, true},
		"FLUSHALL":   {a, Demand{true, 2, true, 3}, s, true, false},
		"DEL a c b":  {a, Demand{true, 2, true, 3}, s, true, false},
		"MGET a b c": {},
	} {
		if got := r.Match(routeRequest(t, r, line)); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	ma, mb := r.Match(routeRequest(t, r, "SET a v")), r.Match(routeRequest(t, r, "SET d v"))
	both := r.Match(routeRequest(t, r, "DEL d a"))
	if ma.With(mb) != both || mb.With(ma) != both || ma.With(Match{}) != ma ||
		(Match{}).With(ma) != ma {
		t.Errorf("merged: %+v, %+v", ma.With(mb), mb.With(ma))
	}
}

func TestNoRoutes(t *testing.T) {
	none := mustRoutes(t, nil)
	req := Request{Cmd: Builtin().ByName("set"), Args: split("set k v")}
	if none != nil || none.Match(&req) != (Match{}) || len(none.All()) != 0 {
		t.Error("no routes are some")
	}
}

func TestDemand(t *testing.T) {
	for d, want := range map[Demand]string{
		{}:                               "nothing",
		{Journal: true}:                  "journal",
		{Replicas: 2}:                    "replicas 2",
		{AOFLocal: true, AOFReplicas: 1}: "aof local, aof replicas 1",
		{Demand{}.Journal, 0, true, 0}:   "aof local",
		{true, 1, true, 1}:               "journal, replicas 1, aof local, aof replicas 1",
	} {
		if got := d.String(); got != want || d.IsZero() != (want == "nothing") {
			t.Errorf("%+v: %q, %v", d, got, d.IsZero())
		}
	}
}

func TestRouteErrors(t *testing.T) {
	ok := Demand{Journal: true}
	_, err := NewRoutes(nil, []RouteSpec{
		{Demand: ok},
		{Name: "a", Demand: ok},
		{Name: "a", Demand: ok, Users: []string{"x", ""}, Listeners: []string{""},
			Databases: []int{0, -1}, Timeout: -1, Scripts: true},
		{Name: "b"},
		{Name: "c", Demand: Demand{Replicas: -1, AOFReplicas: -1}},
	})
	want := strings.TrimSpace(`
route #1: name: must not be empty
route "a": name: route #2 has the same name
route "a": timeout: must not be negative, got -1ns
route "a": scripts: says which scripts meet the condition on keys, and there is none
route "a": users: must not be empty
route "a": listeners: must not be empty
route "a": databases: must not be negative, got -1
route "b": ack: must ask for something: journal, replicas or aof
route "c": ack.replicas: must not be negative, got -1
route "c": ack.aof.replicas: must not be negative, got -1`)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var e *RouteError
	if !errors.As(err, &e) || e.Index != 0 || e.Field != "name" || e.Item != -1 {
		t.Errorf("got %+v", e)
	}
}

// TestRoutesOfEveryCommand goes through the table: commands that the server flags as writes are on
// a route for all, unless they are known to read with these arguments, and of the others only code
// is.
func TestRoutesOfEveryCommand(t *testing.T) {
	r := mustRoutes(t, parseRoutes(t, "all: journal"))
	code := map[string]bool{"eval": true, "evalsha": true, "fcall": true}
	containers := map[string]bool{"function": true, "xgroup": true, "cluster": true}
	for _, cmd := range r.table.All()[1:] {
		want := cmd.Flags.Has(FlagWrite) || code[cmd.Name] || containers[cmd.Name]
		args := split(strings.Replace(cmd.Name, "|", " ", 1) + " 1 2 3 4 5 6 7 8")
		if got := r.Match(&Request{Cmd: cmd, Args: args}).Route != nil; got != want {
			t.Errorf("%s: on the route: %v", cmd.Name, got)
		} else if got && !r.Concerns(cmd) {
			t.Errorf("%s: is said to be on no route", cmd.Name)
		}
		if cmd.Flags.Has(FlagWrite | FlagReadonly) {
			t.Errorf("%s: is flagged as both", cmd.Name)
		}
	}
}

// TestRouteOneKey: the short cut for commands of one key finds what their key specifications do.
func TestRouteOneKey(t *testing.T) {
	short := 0
	for _, cmd := range Builtin().All() {
		w := newWriter(cmd)
		if w.key == 0 {
			continue
		}
		short++
		for n := 1; n < 8; n++ {
			args := split(strings.Replace(cmd.Name, "|", " ", 1) + strings.Repeat(" x", n))
			keys, complete := cmd.Keys(args, nil)
			if len(args) > w.key && cmd.AcceptsArgs(len(args)) &&
				(!complete || len(keys) != 1 || keys[0].Pos != w.key) {
				t.Errorf("%q: %s, want one at %d", args, showKeys(keys, complete), w.key)
			}
		}
	}
	if short < 60 || newWriter(Builtin().ByName("set")).key != 1 {
		t.Errorf("only %d commands take the short cut", short)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector empties pools at will")
		return
	}
	r := mustRoutes(t, append(tenantRoutes(100), parseRoutes(t,
		"bob: users=bob\ndb: dbs=0 keys=a*\ncode: keys=x scripts")...))
	for _, line := range []string{"GET tenant:1:x", "SET tenant:1:x v", "SET k v", "FLUSHALL",
		"MSET a 1 tenant:2:y 2 c 3", "EVAL s 1 tenant:3:x", "SORT a STORE x", "NOSUCH x",
		"user=bob BITFIELD k SET u8 0 1", "XREADGROUP GROUP g c STREAMS a b > >"} {
		req := routeRequest(t, r, line)
		r.Match(req)
		if n := testing.AllocsPerRun(100, func() { r.Match(req) }); n != 0 {
			t.Errorf("%s: %v allocations", line, n)
		}
	}
}

func TestRoutesKeepTheirSpecs(t *testing.T) {
	specs := parseRoutes(t, "a: keys=a replicas=1 timeout=3s\nb: journal")
	r := mustRoutes(t, specs)
	for i, route := range r.All() {
		want := specs[i]
		if i == 1 {
			want.Timeout = DefaultRouteTimeout
		}
		if route.Index != i || !reflect.DeepEqual(route.Spec, want) {
			t.Errorf("%+v, want %+v", route.Spec, want)
		}
	}
}
