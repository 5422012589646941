package policy

import (
	"strings"
	"testing"
	"time"
)

// parseRoutes reads routes as these tests write them, one a line:
//
//	NAME: [journal] [replicas=N] [aof=[N]] [close] [pass] [scripts] [timeout=D] [FIELD=VALUE[,…] …]
//
// The fields are keys, users, listeners and dbs. A route that demands nothing demands the journal.
func parseRoutes(t testing.TB, text string) []RouteSpec {
	t.Helper()
	var specs []RouteSpec
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		s := RouteSpec{Name: name}
		for _, word := range strings.Fields(rest) {
			field, value, _ := strings.Cut(word, "=")
			setRouteField(t, &s, field, value)
		}
		if s.Demand.IsZero() {
			s.Demand.Journal = true
		}
		specs = append(specs, s)
	}
	return specs
}

func setRouteField(t testing.TB, s *RouteSpec, field, value string) {
	t.Helper()
	switch field {
	case "journal":
		s.Demand.Journal = true
	case "replicas":
		s.Demand.Replicas = number(t, value)
	case "aof":
		if value == "" {
			s.Demand.AOFLocal = true
		} else {
			s.Demand.AOFReplicas = number(t, value)
		}
	case "close":
		s.CloseOnTimeout = true
	case "pass":
		s.PassUnavailable = true
	case "scripts":
		s.Scripts = true
	case "timeout":
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		s.Timeout = d
	case "keys":
		s.Keys = strings.Split(value, ",")
	case "users":
		s.Users = strings.Split(value, ",")
	case "listeners":
		s.Listeners = strings.Split(value, ",")
	case "dbs":
		for _, v := range strings.Split(value, ",") {
			s.Databases = append(s.Databases, number(t, v))
		}
	default:
		t.Fatalf("field %q", field)
	}
}

func mustRoutes(t testing.TB, specs []RouteSpec) *Routes {
	t.Helper()
	r, err := NewRoutes(nil, specs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// routeRequest reads a request as parseRequest does, and a DB of -1 as one that is not known. The
// command is of the routes' table.
func routeRequest(t testing.TB, r *Routes, line string) *Request {
	t.Helper()
	req := parseRequest(t, mustNew(t, Options{Table: r.table}), line)
	req.AnyDB = req.DB < 0
	return req
}

// on names the routes that a request is on: each route is compiled alone.
func on(t testing.TB, specs []RouteSpec, line string) string {
	t.Helper()
	var names []string
	for _, spec := range specs {
		r := mustRoutes(t, []RouteSpec{spec})
		if r.Match(routeRequest(t, r, line)).Route != nil {
			names = append(names, spec.Name)
		}
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, " ")
}

// runRoutes checks rows of "request -> routes", on routes compiled one by one and together.
func runRoutes(t *testing.T, routes string, rows string) {
	t.Helper()
	specs := parseRoutes(t, routes)
	for i := range specs { // so that which routes a match is of can be read off its demand
		specs[i].Demand = Demand{Replicas: 1 + i}
	}
	all := mustRoutes(t, specs)
	for row := range strings.Lines(rows) {
		line, want, ok := strings.Cut(strings.TrimSpace(row), " -> ")
		if !ok {
			continue
		}
		got := on(t, specs, line)
		if got != want {
			t.Errorf("%s: on %s, want %s", line, got, want)
			continue
		}
		var first, last string
		if m := all.Match(routeRequest(t, all, line)); m.Route != nil {
			first, last = m.Route.Spec.Name, specs[m.Demand.Replicas-1].Name
		}
		names := strings.Fields(strings.TrimPrefix(want, "-") + " ")
		if len(names) > 0 && (first != names[0] || last != names[len(names)-1]) ||
			len(names) == 0 && first != "" {
			t.Errorf("%s: of all routes, on %q to %q, want %s", line, first, last, want)
		}
	}
}

// TestRoutesByKey has every way in which a write can meet a key.
func TestRoutesByKey(t *testing.T) {
	runRoutes(t, "pay: keys=pay:*\nodd: keys=*:odd,[xy]?z", `
		SET pay:1 v -> pay
		set pay:1 v -> pay
		Set PAY:1 v -> -
		SET pay: v -> pay
		SET pay v -> -
		SET xpay:1 v -> -
		SET a:odd v -> odd
		SET pay:odd v -> pay odd
		SET xyz v -> odd
		SET xyzz v -> -
		SET "" v -> -
		SET other pay:1 -> -
		SET pay:1 -> pay
		SET -> pay odd
		GET pay:1 -> -
		get pay:1 -> -
		MGET pay:1 pay:2 -> -
		MSET a 1 b 2 -> -
		MSET a 1 pay:2 2 -> pay
		MSET pay:1 1 b:odd 2 -> pay odd
		MSETNX a pay:1 b pay:2 -> -
		DEL a b pay:3 -> pay
		UNLINK a:odd pay:3 -> pay odd
		RENAME a pay:1 -> pay
		RENAME pay:1 a -> pay
		RENAMENX a b -> -
		COPY pay:1 b -> pay
		COPY a pay:1 REPLACE -> pay
		MOVE pay:1 3 -> pay
		EXPIRE pay:1 10 -> pay
		PERSIST pay:1 -> pay
		TOUCH pay:1 -> -
		INCRBY pay:1 5 -> pay
		HSET pay:1 f v -> pay
		HGETALL pay:1 -> -
		XADD pay:1 * f v -> pay
		XREADGROUP GROUP pay:1 c STREAMS s > -> -
		XREADGROUP GROUP g c COUNT 1 STREAMS s pay:2 > > -> pay
		XREAD STREAMS pay:1 0 -> -
		XGROUP CREATE pay:1 g $ -> pay
		XGROUP HELP -> -
		XGROUP NOSUCH pay:1 -> pay odd
		BLPOP a pay:1 0 -> pay
		BLMOVE a pay:1 LEFT RIGHT 0 -> pay
		SINTERSTORE pay:1 a b -> pay
		ZUNIONSTORE a 2 b pay:1 -> pay
		BITOP AND d pay:1 -> pay
		GEOSEARCHSTORE pay:1 s FROMMEMBER m BYRADIUS 1 m -> pay
		RESTORE pay:1 0 x -> pay
		RESTORE-ASKING pay:1 0 x -> pay
		MIGRATE h 1 pay:1 0 100 -> pay
		MIGRATE h 1 "" 0 100 KEYS a pay:1 -> pay
		PFADD pay:1 a -> pay
		PFCOUNT pay:1 -> -
		PFMERGE a pay:1 -> pay
		PFDEBUG ENCODING pay:1 -> pay
		PFSELFTEST -> -
		OBJECT FREQ pay:1 -> -
		DUMP pay:1 -> -
	`)
}

// TestRoutesReadsThatMayWrite has the commands that the server flags as writes and that mostly read.
func TestRoutesReadsThatMayWrite(t *testing.T) {
	runRoutes(t, "pay: keys=pay:*\nodd: keys=*:odd", `
		SORT pay:1 -> -
		sort pay:1 by w_* get # desc limit 0 10 -> -
		SORT_RO pay:1 BY w_* -> -
		SORT a STORE pay:1 -> pay
		SORT pay:1 STORE a -> pay
		SORT a BY pay:* GET # STORE b -> -
		SORT a STORE pay:1 STORE b -> -
		SORT a NOSUCH -> pay odd
		GEORADIUS pay:1 0 0 1 m -> -
		GEORADIUS a 0 0 1 m COUNT 1 STORE pay:1 -> pay
		GEORADIUS a 0 0 1 m NOSUCH -> pay odd
		GEORADIUSBYMEMBER pay:1 m 1 m WITHDIST -> -
		GEORADIUSBYMEMBER a m 1 m storedist x:odd -> odd
		GEORADIUS_RO pay:1 0 0 1 m -> -
		BITFIELD pay:1 GET u8 0 -> -
		BITFIELD pay:1 GET u8 0 SET u8 0 1 -> pay
		BITFIELD pay:1 OVERFLOW SAT INCRBY u8 0 1 -> pay
		BITFIELD_RO pay:1 GET u8 0 -> -
		GETEX pay:1 -> -
		GETEX pay:1 PERSIST -> pay
		GETEX pay:1 EX 10 -> pay
		GETDEL pay:1 -> pay
		GETSET pay:1 v -> pay
	`)
}

// The built-in table has no HGETEX.
func TestHGetExReadsWithoutAnOption(t *testing.T) {
	for line, want := range map[string]bool{
		"HGETEX pay:1 FIELDS 1 f": true, "hgetex pay:1 fields 2 f g": true,
		"HGETEX pay:1 EX 5 FIELDS 1 f": false, "HGETEX pay:1 PERSIST FIELDS 1 f": false,
		"HGETEX pay:1 FIELDS 1 f EX 5": false, "HGETEX pay:1 FIELDS x f": false, "HGETEX pay:1": false,
		"HGETEX pay:1 FIELDS 3 f EX 5": true, // fields of these names
	} {
		if reads, _ := mayReads["hgetex"](nil, split(line)); reads != want {
			t.Errorf("%s: reads is %v, want %v", line, reads, want)
		}
	}
}

// TestRoutesOfWritesWithoutKeys: they touch all keys.
func TestRoutesOfWritesWithoutKeys(t *testing.T) {
	runRoutes(t, "pay: keys=pay:*\nbob: users=bob\nall: replicas=1\nthree: keys=a,b dbs=3", `
		FLUSHALL -> pay all three
		user=bob FLUSHDB -> pay bob all
		user=bob db=3 flushdb ASYNC -> pay bob all three
		SWAPDB 0 3 -> pay all three
		SWAPDB 0 1 -> pay all
		FUNCTION LOAD x -> pay all
		FUNCTION DELETE x -> pay all
		FUNCTION FLUSH -> pay all
		function restore x -> pay all
		FUNCTION NOSUCH x -> pay all
		FUNCTION DUMP -> -
		FUNCTION STATS -> -
		FUNCTION|LOAD x -> pay all three
		SCRIPT LOAD x -> -
		SCRIPT FLUSH -> -
		PUBLISH pay:1 x -> -
		SPUBLISH pay:1 x -> -
		SUBSCRIBE pay:1 -> -
		MULTI -> -
		EXEC -> -
		WATCH pay:1 -> -
		SELECT 3 -> -
		PING -> -
		CONFIG SET appendonly yes -> -
		DEBUG OBJECT pay:1 -> -
		WAIT 1 0 -> -
		BGREWRITEAOF -> -
	`)
}

// TestRoutesOfCode has scripts and functions, whose declared keys count.
func TestRoutesOfCode(t *testing.T) {
	runRoutes(t, "pay: keys=pay:*\ncode: keys=pay:* scripts\nbob: users=bob\nthree: dbs=3", `
		db=0 code=clean EVAL s 0 -> code
		code=clean EVAL s 1 a -> code
		code=clean EVAL s 1 pay:1 -> pay code
		code=clean EVAL s 1 a pay:1 -> code
		code=clean eval s 2 a pay:1 -> pay code
		code=clean EVAL s x pay:1 -> pay code
		code=clean EVAL s 9 a -> pay code
		code=clean EVALSHA x 1 pay:1 -> pay code
		code=clean FCALL f 1 pay:1 -> pay code
		user=bob code=clean FCALL f 0 -> code bob
		db=3 code=clean FCALL f 0 -> code three
		db=-1 code=clean FCALL f 0 -> code three
		code=opaque FCALL f 0 -> code three
		code=unseen EVALSHA x 1 pay:1 -> pay code three
		EVAL_RO s 1 pay:1 -> -
		EVALSHA_RO s 1 pay:1 -> -
		FCALL_RO f 1 pay:1 -> -
	`)
	r := mustRoutes(t, parseRoutes(t, "three: dbs=3"))
	req := routeRequest(t, r, "EVAL s 0")
	for code, want := range map[string]bool{
		"return redis.call('get', KEYS[1])":                      false,
		"redis.call('select', 3) return redis.call('set','a',1)": true,
		"return redis.call(ARGV[1])":                             true,
	} {
		req.Script = Scan([]byte(code))
		if got := r.Match(req).Route != nil; got != want {
			t.Errorf("%s: on the route: %v, want %v", code, got, want)
		}
	}
}

// TestRoutesByDatabase: a command that names another database is about that as well.
func TestRoutesByDatabase(t *testing.T) {
	runRoutes(t, "three: dbs=3\nlow: dbs=0,1\npay: keys=pay:* dbs=3", `
		SET k v -> low
		db=3 SET k v -> three
		db=3 SET pay:1 v -> three pay
		db=2 SET pay:1 v -> -
		db=-1 SET k v -> three low
		db=-1 SET pay:1 v -> three low pay
		db=2 MOVE k 3 -> three
		db=2 MOVE pay:1 3 -> three pay
		db=3 MOVE k 2 -> three
		db=2 MOVE k x -> three low
		db=2 COPY k l DB 1 -> low
		db=2 COPY k l REPLACE DB 3 -> three
		db=2 COPY k l DB 2 -> -
		db=1 COPY k pay:2 db 3 -> three low pay
		db=2 SWAPDB 3 4 -> three pay
		db=3 SWAPDB 4 5 -> -
		db=2 FLUSHDB -> -
		db=2 FLUSHALL -> three low pay
		db=1 FLUSHDB -> low
	`)
}

// TestRoutesByClient: an unknown client may be any.
func TestRoutesByClient(t *testing.T) {
	runRoutes(t, "apps: users=app*,cron\nweb: listeners=web\nboth: users=app1 listeners=web "+
		"keys=k*", `
		user=app1 SET k v -> apps
		user=cron SET k v -> apps
		user=dev SET k v -> -
		user=dev listener=web SET k v -> web
		user=app1 listener=web SET k v -> apps web both
		user=app1 listener=web SET x v -> apps web
		user=app2 listener=web SET k v -> apps web
	`)
	r := mustRoutes(t, parseRoutes(t, "apps: users=app*\nweb: listeners=web keys=k"))
	args := split("SET k v")
	req := Request{Cmd: r.table.Lookup(args), Args: args}
	if m := r.Match(&req); m.Route != r.All()[0] {
		t.Errorf("an unknown client is on %v", m)
	}
	// One client changes, and the routes change under it.
	req.Client = NewClient(Identity{User: "dev"})
	for _, step := range []struct{ user, listener, want string }{
		{"dev", "", ""}, {"app", "", "apps"}, {"dev", "web", "web"}, {"dev", "", ""},
	} {
		req.Client.SetIdentity(Identity{User: step.user, Listener: step.listener})
		got := ""
		if m := r.Match(&req); m.Route != nil {
			got = m.Route.Spec.Name
		}
		if got != step.want {
			t.Errorf("%+v: on %q", step, got)
		}
	}
	other := mustRoutes(t, parseRoutes(t, "dev: users=dev"))
	if other.Match(&req).Route == nil || r.Match(&req).Route != nil {
		t.Error("what is known of a client is taken for what other routes know")
	}
}

// TestRoutesOfUnknownCommands: they may write, and any key.
func TestRoutesOfUnknownCommands(t *testing.T) {
	runRoutes(t, "pay: keys=pay:*\nthree: dbs=3", `
		NOSUCH a -> pay three
		"" -> pay three
		db=2 NOSUCH a -> pay three
		nosuch|sub a -> pay three
	`)
	module := func(name string, flags ...any) []any {
		return []any{name, int64(-2), append([]any{"module"}, flags...), int64(0), int64(0), int64(0),
			[]any{}, []any{}, []any{}, []any{}}
	}
	keyed := module("mod.key", "write")
	keyed[8] = []any{[]any{"flags", []any{"RW", "update"},
		"begin_search", []any{"type", "index", "spec", []any{"index", int64(1)}},
		"find_keys", []any{"type", "range", "spec",
			[]any{"lastkey", int64(0), "keystep", int64(1), "limit", int64(0)}}}}
	table, err := NewTable([]any{module("mod.get", "readonly"), module("mod.set", "write"),
		module("mod.odd", "fast"), module("mod.movable", "write", "movablekeys"), keyed})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRoutes(table, parseRoutes(t, "pay: keys=pay:*"))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		"MOD.GET pay:1": false, "MOD.SET a": true, "mod.odd a": true, "mod.movable a": true,
		"mod.key a": false, "mod.key pay:1": true, "mod.nosuch": true,
	} {
		if got := r.Match(routeRequest(t, r, line)).Route != nil; got != want {
			t.Errorf("%s: on the route: %v", line, got)
		}
	}
}

// TestRoutesOfAnotherTable: a command of a table that was replaced is found again by its name.
func TestRoutesOfAnotherTable(t *testing.T) {
	table, err := NewTable([]any{[]any{"zzz", int64(-1), []any{"write"}, int64(0), int64(0), int64(0)}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRoutes(table, parseRoutes(t, "all: journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cmd  *Command
		want bool
	}{
		{nil, true}, {Builtin().Unknown(), true}, {Builtin().ByName("get"), true},
		{Builtin().ByName("config|set"), true}, {table.ByName("zzz"), true},
	} {
		if got := r.Match(&Request{Cmd: c.cmd, Args: split("x")}).Route != nil; got != c.want {
			t.Errorf("%v: %v", c.cmd, got)
		}
	}
	own := mustRoutes(t, parseRoutes(t, "all: journal"))
	get := *Builtin().ByName("get")
	if own.Match(&Request{Cmd: &get, Args: split("get k")}).Route != nil {
		t.Error("a read of another table is taken for a write")
	}
}
