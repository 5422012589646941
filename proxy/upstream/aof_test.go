package upstream

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

func TestAOFProof(t *testing.T) {
	for _, row := range []struct {
		server, version string
		edit            func(*Info)
		want            string // part of the reason; "" is proof
	}{
		{"redis", "7.0.15", nil, "has no WAITAOF"},
		{"redis", "6.2.14", nil, "has no WAITAOF"},
		{"redis", "7.2.0", nil, ""},
		{"redis", "7.4.2", nil, ""},
		{"redis", "8.0.2", nil, ""},
		{"valkey", "7.2.5", nil, ""},
		{"valkey", "8.0.1", nil, ""},
		{"redis", "7.2.6", everysec, ""},
		{"redis", "7.4.0", everysec, "before the fsync: set appendfsync always"},
		{"redis", "8.0.1", everysec, "before the fsync"},
		{"redis", "8.0.2", everysec, ""},
		{"redis", "8.2.0", everysec, ""},
		{"valkey", "7.2.8", everysec, ""},
		{"valkey", "8.0.0", everysec, "WAITAOF of valkey 8.0.0 answers before the fsync"},
		{"valkey", "9.0.0", everysec, "before the fsync"},
		{"redis", "", nil, "let the control user run INFO"},
		{"redis", "8.0.2", func(i *Info) { i.AppendOnly = false }, "set appendonly yes"},
		{"redis", "8.0.2", func(i *Info) { i.AppendFsync = "no" }, "set appendfsync always"},
		{"redis", "8.0.2", func(i *Info) { i.AppendFsync = "" }, "run CONFIG GET"},
		{"redis", "8.0.2", func(i *Info) { i.AppendFsync = "often" }, "not known to be true"},
		{"redis", "8.0.2", func(i *Info) { i.LastAOFWrite = "err" }, "its disk"},
		{"valkey", "8.0.1", func(i *Info) { i.NoFsyncOnRewrite = true },
			"set no-appendfsync-on-rewrite no"},
	} {
		i := &Info{Server: row.server, Version: row.version, VersionNum: versionNum(row.version),
			AppendOnly: true, AppendFsync: "always", LastAOFWrite: "ok"}
		if row.edit != nil {
			row.edit(i)
		}
		ok, reason := i.AOFProof()
		if ok != (row.want == "") || !strings.Contains(reason, row.want) || ok != (reason == "") {
			t.Errorf("%s %s, fsync %q: got %v, %q, want %q", row.server, row.version,
				i.AppendFsync, ok, reason, row.want)
		}
	}
}

func everysec(i *Info) { i.AppendFsync = "everysec" }

func TestFsyncProof(t *testing.T) {
	i := &Info{Server: "valkey", Version: "8.0.1", VersionNum: 80001, LastAOFWrite: "ok"}
	for _, row := range []struct {
		appendOnly, fsync, onRewrite string
		want                         bool
	}{
		{"yes", "always", "no", true},
		{"no", "always", "no", false},
		{"yes", "everysec", "no", false},
		{"yes", "always", "yes", false},
		{"", "always", "no", false},
		{"yes", "", "no", false},
		{"yes", "always", "", false},
	} {
		only, fsync, rewrite := []byte(row.appendOnly), []byte(row.fsync), []byte(row.onRewrite)
		if got, reason := i.FsyncProof(only, fsync, rewrite); got != row.want {
			t.Errorf("%+v: got %v, %q", row, got, reason)
		}
	}
	only, fsync, rewrite := []byte("yes"), []byte("always"), []byte("no")
	if n := testing.AllocsPerRun(100, func() { i.FsyncProof(only, fsync, rewrite) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What acknowledgements are worth may change at any time, under full load, too.
func TestWatchClosely(t *testing.T) {
	srv := proxytest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	opts := testOptions(t, srv.Addr)
	opts.Refresh = 1 << 40 // never, as it were
	u, seen := watch(t, opts)
	first := await(t, u, "up", isUp)
	if ok, reason := first.AOFProof(); !ok {
		t.Fatalf("no proof: %s", reason)
	}
	u.WatchClosely(true)
	settle := func(what string, cond func(*Info) bool) {
		t.Helper()
		await(t, u, what, func(i *Info) bool { u.Seen(); return cond(i) })
		proxytest.Poll(t, what+", told", func() bool {
			all := seen.list()
			return cond(all[len(all)-1])
		})
	}
	for _, set := range [][2]string{
		{"appendfsync", "everysec"}, {"appendfsync", "always"},
		{"no-appendfsync-on-rewrite", "yes"}, {"no-appendfsync-on-rewrite", "no"},
		{"appendonly", "no"}, {"appendonly", "yes"},
	} {
		srv.MustDo("CONFIG", "SET", set[0], set[1])
		proven := slices.Contains([]string{"always", "no"}, set[1]) != (set[0] == "appendonly")
		settle(strings.Join(set[:], " "), func(i *Info) bool {
			ok, _ := i.AOFProof()
			return ok == proven
		})
	}
	replica := proxytest.StartServer(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(srv.Port))
	settle("a replica", func(i *Info) bool { return i.OnlineReplicas() == 1 })
	replica.Kill()
	settle("no replica", func(i *Info) bool { return i.OnlineReplicas() == 0 })
	srv.MustDo("REPLICAOF", "127.0.0.1", "1")
	settle("another role", func(i *Info) bool { return i.Role == "slave" })
	srv.MustDo("REPLICAOF", "NO", "ONE")
	settle("its own role again", func(i *Info) bool { return i.Role == "master" })
}

// A journal is attached as a replica without a port, and does not count.
func TestReplicasOfInfo(t *testing.T) {
	var i Info
	i.applyInfo(parseInfo(strings.ReplaceAll(replicationText, "connected_slaves:5",
		"connected_slaves:12")))
	if len(i.Replicas) != 4 || i.OnlineReplicas() != 2 {
		t.Errorf("got %d online of %+v", i.OnlineReplicas(), i.Replicas)
	}
	want := Replica{Addr: "::1", Port: 6381, State: "online", Offset: 99, Lag: 1}
	if i.Replicas[1] != want {
		t.Errorf("got %+v, want %+v", i.Replicas[1], want)
	}
	j := i
	j.Replicas = slices.Clone(i.Replicas)
	j.Replicas[0].Offset++
	j.Replicas[1].Lag--
	if !i.sameAs(&j) {
		t.Error("an offset is a change of substance")
	}
	j.Replicas[1].Lag = ackedWithin
	if i.sameAs(&j) {
		t.Error("a replica that has fallen silent is no change of substance")
	}
	k := j
	k.Replicas = slices.Clone(j.Replicas)
	k.Replicas[1].Lag++
	if !j.sameAs(&k) {
		t.Error("a replica that stays silent is a change of substance")
	}
	j.Replicas[1].Lag = 0
	j.Replicas[1].State = "wait_bgsave"
	if i.sameAs(&j) {
		t.Error("a replica that is online no more is no change of substance")
	}
}
