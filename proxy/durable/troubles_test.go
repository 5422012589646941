package durable

import (
	"reflect"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// primaryOf is a server that can prove everything, after edit.
func primaryOf(edit func(*upstream.Info)) *upstream.Info {
	i := &upstream.Info{Up: true, Role: "master", Server: "valkey", Version: "8.0.1",
		VersionNum: 80001, AppendOnly: true, AppendFsync: "always", LastAOFWrite: "ok",
		Replicas: []upstream.Replica{{Port: 0, State: "online"}}}
	for _, port := range []int{7001, 7002} {
		i.Replicas = append(i.Replicas, upstream.Replica{Addr: "r", Port: port, State: "online",
			Fsyncs: true, Said: i.Persistence()})
	}
	if edit != nil {
		edit(i)
	}
	return i
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	all := policy.Demand{Journal: true, Replicas: 2, AOFLocal: true, AOFReplicas: 2}
	aof := policy.Demand{AOFLocal: true}
	for name, row := range map[string]struct {
		demand policy.Demand
		edit   func(*upstream.Info)
		want   []string // part: why > what to do; ! where waiting does not help
	}{
		"all is well": {all, nil, nil},
		"cluster mode": {all, func(i *upstream.Info) { i.Cluster = true }, []string{
			"! replicas 2, aof local, aof replicas 2: the server is in cluster mode, where proofs of " +
				"replicas and of append-only files cannot write their mark"}},
		"one replica too few": {all, func(i *upstream.Info) { i.Replicas = i.Replicas[:2] }, []string{
			"replicas 2: 1 of 2 replicas are online > start one more replica, with REPLICAOF h 7000",
			"aof replicas 2: 1 of 2 replicas have an append-only file to believe > " +
				"start one more replica, with REPLICAOF h 7000"}},
		"only a journal": {policy.Demand{Replicas: 2},
			func(i *upstream.Info) { i.Replicas = i.Replicas[:1] },
			[]string{"replicas 2: 0 of 2 replicas are online > " +
				"start 2 more replicas, each with REPLICAOF h 7000"}},
		"everysec": {all, func(i *upstream.Info) { i.AppendFsync = "everysec" },
			[]string{"! aof local: under appendfsync everysec, WAITAOF of valkey 8.0.1 answers " +
				"before the fsync: set appendfsync always > CONFIG SET appendfsync always"}},
		"everything off": {aof, func(i *upstream.Info) {
			i.AppendOnly, i.AppendFsync, i.NoFsyncOnRewrite = false, "no", true
		}, []string{"! aof local: the append-only file is off: set appendonly yes > " +
			"CONFIG SET appendonly yes > CONFIG SET appendfsync always > " +
			"CONFIG SET no-appendfsync-on-rewrite no"}},
		"off, where everysec is true": {aof, func(i *upstream.Info) {
			i.Server, i.Version, i.VersionNum = "redis", "7.2.4", 70204
			i.AppendOnly, i.AppendFsync = false, "everysec"
		}, []string{"! aof local: the append-only file is off: set appendonly yes > " +
			"CONFIG SET appendonly yes"}},
		"off, and its disk": {aof, func(i *upstream.Info) { i.LastAOFWrite = "err" },
			[]string{"aof local: the last write or fsync of the append-only file failed: " +
				"see the server's log and its disk"}},
		"its disk, and everysec": {aof, func(i *upstream.Info) {
			i.LastAOFWrite, i.AppendFsync = "err", "everysec"
		}, []string{"! aof local: the last write or fsync of the append-only file failed: " +
			"see the server's log and its disk > CONFIG SET appendfsync always"}},
		"settings unknown": {aof, func(i *upstream.Info) { i.AppendFsync = "" },
			[]string{"! aof local: appendfsync is not known: let the control user run CONFIG GET"}},
		"too old": {policy.Demand{Replicas: 1, AOFLocal: true, AOFReplicas: 1},
			func(i *upstream.Info) { i.Server, i.Version, i.VersionNum = "redis", "7.0.15", 70015 },
			[]string{"! aof local: redis 7.0.15 has no WAITAOF: use 7.2 or newer",
				"! aof replicas 1: redis 7.0.15 has no WAITAOF: use 7.2 or newer"}},
		"a replica that fsyncs too late": {all, func(i *upstream.Info) {
			r := &i.Replicas[1]
			r.Said.AppendFsync, r.Said.NoFsyncOnRewrite = "everysec", true
			r.Fsyncs, r.Doubt = r.Said.Proof()
		}, []string{"! aof replicas 2: 1 of 2 replicas have an append-only file to believe (r:7001: " +
			"under appendfsync everysec, WAITAOF of valkey 8.0.1 answers before the fsync: set " +
			"appendfsync always) > on r:7001: CONFIG SET appendfsync always > " +
			"on r:7001: CONFIG SET no-appendfsync-on-rewrite no"}},
		"a replica that says nothing": {all, func(i *upstream.Info) {
			r := &i.Replicas[1]
			r.Fsyncs, r.Doubt, r.Said = false, "it does not answer", upstream.Persistence{}
		}, []string{"aof replicas 2: 1 of 2 replicas have an append-only file to believe " +
			"(r:7001: it does not answer)"}},
		"one too few, and no good": {all, func(i *upstream.Info) {
			i.Replicas = i.Replicas[:2]
			r := &i.Replicas[1]
			r.Said.AppendOnly = false
			r.Fsyncs, r.Doubt = r.Said.Proof()
		}, []string{
			"replicas 2: 1 of 2 replicas are online > start one more replica, with REPLICAOF h 7000",
			"aof replicas 2: 0 of 2 replicas have an append-only file to believe (r:7001: the " +
				"append-only file is off: set appendonly yes) > on r:7001: CONFIG SET appendonly yes > " +
				"start one more replica, with REPLICAOF h 7000"}},
		"a replica": {all, func(i *upstream.Info) { i.Role = "slave" },
			[]string{all.String() + ": the server is a replica"}},
		"role unknown": {aof, func(i *upstream.Info) { i.Role = "" }, []string{
			"! aof local: the server's role is not known: let the control user run INFO"}},
		"down": {aof, func(i *upstream.Info) { i.Up, i.Role = false, "" },
			[]string{"aof local: the server does not answer"}},
	} {
		routes := []*policy.Route{{Spec: policy.RouteSpec{Demand: row.demand}}}
		var got []string
		for _, tr := range Troubles(routes, primaryOf(row.edit), true, "h:7000") {
			if tr.Route != routes[0] {
				t.Errorf("%s: about %v", name, tr.Route)
			}
			text := strings.Join(append([]string{tr.Part.String() + ": " + tr.Why}, tr.Do...), " > ")
			if tr.Never {
				text = "! " + text
			}
			got = append(got, text)
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, row.want)
		}
	}
	routes := []*policy.Route{{Spec: policy.RouteSpec{Demand: all}}}
	got := Troubles(routes, primaryOf(nil), false, "unix:/s")
	if len(got) != 1 || !got[0].Never || !strings.Contains(got[0].Why, "journal.dir") {
		t.Errorf("without a Journal: %+v", got)
	}
}

// TestTroublesAgree: what check says of a server is what the gate goes by.
func TestTroublesAgree(t *testing.T) {
	t.Parallel()
	demands := []policy.Demand{{Replicas: 1}, {Replicas: 3}, {AOFLocal: true}, {AOFReplicas: 1},
		{AOFReplicas: 3}, {Replicas: 2, AOFLocal: true, AOFReplicas: 2}}
	for _, edit := range []func(*upstream.Info){nil,
		func(i *upstream.Info) { i.Replicas = nil },
		func(i *upstream.Info) { i.AppendOnly = false },
		func(i *upstream.Info) { i.AppendFsync = "everysec" },
		func(i *upstream.Info) { i.LastAOFWrite = "err" },
		func(i *upstream.Info) { i.Loading = true },
		func(i *upstream.Info) { i.Up = false },
		func(i *upstream.Info) { i.Server, i.Version, i.VersionNum = "redis", "7.0.15", 70015 },
	} {
		info := primaryOf(edit)
		now := Available(info, NoJournal, "")
		for _, d := range demands {
			var parts policy.Demand
			for _, tr := range demandTroubles(d, info, false, "") {
				parts = parts.With(tr.Part)
			}
			if lacks := now.Lacks(d); lacks != parts {
				t.Errorf("%v of %+v: lacks %v, in trouble %v", d, info, lacks, parts)
			}
		}
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for d, want := range map[policy.Demand]string{
		{Journal: true}:  "INFO PSYNC REPLCONF",
		{Replicas: 1}:    "INFO SELECT SET PEXPIREAT WAIT",
		{AOFLocal: true}: "INFO SELECT SET PEXPIREAT WAITAOF CONFIG",
		{Journal: true, Replicas: 1, AOFReplicas: 1}: "INFO PSYNC REPLCONF SELECT SET PEXPIREAT WAIT " +
			"WAITAOF CONFIG",
	} {
		var names []string
		for _, words := range Needs(d) {
			names = append(names, words[0])
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
