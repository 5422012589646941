package upstream

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestVersionNum(t *testing.T) {
	for version, want := range map[string]int{
		"8.0.1": 80001, "7.0.15": 70015, "7.2": 70200, "10.11.12": 101112, "8.1.0-rc1": 80100,
		"255.255.255": 2559999, "": 0, "x": 0, "8.x": 0, "-1.0": 0, "99999999.0.0": 0,
	} {
		if got := versionNum(version); got != want {
			t.Errorf("versionNum(%q): got %d, want %d", version, got, want)
		}
	}
}

func TestApplyInfo(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		want Info
	}{
		"redis": {
			"# Server\r\nredis_version:7.4.2\r\nredis_mode:standalone\r\nrun_id:abc\r\n" +
				"# Clients\r\nmaxclients:10000\r\n# Memory\r\nmaxmemory:1073741824\r\n" +
				"maxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\n" +
				"aof_enabled:1\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n" +
				"# Replication\r\nrole:master\r\nmaster_replid:def\r\n",
			Info{Server: "redis", Version: "7.4.2", VersionNum: 70402, RunID: "abc",
				Role: "master", ReplID: "def", Maxclients: 10000, MaxMemory: 1 << 30,
				MaxMemoryPolicy: "noeviction", AppendOnly: true,
				LastSave: "ok", LastAOFWrite: "err"},
		},
		"valkey": {
			"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n" +
				"server_mode:cluster\r\ncluster_enabled:1\r\nloading:1\r\nrole:slave\r\n",
			Info{Server: "valkey", Version: "8.0.1", VersionNum: 80001, Cluster: true,
				Loading: true, Role: "slave"},
		},
		"valkey that hides its version": {
			"redis_version:7.2.4\nserver_name:valkey\n",
			Info{Server: "valkey", Version: "7.2.4", VersionNum: 70204},
		},
		"noise": {
			"no colon\r\n:\r\nmaxclients:many\r\n",
			Info{Server: "redis"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got Info
			got.applyInfo(parseInfo(row.text))
			if !got.sameAs(&row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

func TestSupported(t *testing.T) {
	for _, row := range []struct {
		server, version string
		want            error
	}{
		{"redis", "7.0.0", nil},
		{"redis", "8.0.2", nil},
		{"redis", "6.2.14", ErrUnsupported},
		{"valkey", "7.2.5", nil},
		{"valkey", "8.0.1", nil},
		{"valkey", "7.1.0", ErrUnsupported},
		{"redis", "", nil},
	} {
		i := Info{Server: row.server, Version: row.version, VersionNum: versionNum(row.version)}
		if err := i.Supported(); !errors.Is(err, row.want) {
			t.Errorf("%s %s: got %v, want %v", row.server, row.version, err, row.want)
		}
	}
}

func TestTroubles(t *testing.T) {
	for name, row := range map[string]struct {
		info Info
		want string
	}{
		"a primary":        {Info{Up: true, Role: "master"}, ""},
		"down":             {Info{Role: "slave"}, ""},
		"a wrong password": {Info{Up: true, Err: ErrLogin}, "set upstream.username"},
		"too old": {Info{Up: true, Server: "redis", Version: "6.2.0", VersionNum: 60200},
			"want Redis 7.0 or newer"},
		"a replica":  {Info{Up: true, Role: "slave"}, "it is a replica"},
		"a sentinel": {Info{Up: true, Sentinel: true}, "it is a sentinel"},
		"a cluster":  {Info{Up: true, Role: "master", Cluster: true}, "it is part of a cluster"},
	} {
		got := strings.Join(row.info.Troubles(), "; ")
		if !strings.Contains(got, row.want) || (row.want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
}

// The conditions that keep clients' commands away, and those that do not.
func TestRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		info   map[string]string
		config map[string]string
		want   string
	}{
		"a primary":      {map[string]string{"role": "master", "slave_read_only": "1"}, nil, ""},
		"it loads":       {map[string]string{"role": "master", "loading": "1"}, nil, "-LOADING"},
		"it loads aside": {map[string]string{"role": "master", "async_loading": "1"}, nil, "-LOADING"},
		"a replica":      {map[string]string{"role": "slave", "slave_read_only": "1"}, nil, "-READONLY"},
		"a writable one": {map[string]string{"role": "slave", "slave_read_only": "0"}, nil, ""},
		"one alone": {map[string]string{"role": "slave", "slave_read_only": "0",
			"master_link_status": "down"}, map[string]string{"replica-serve-stale-data": "no"}, "-MASTERDOWN"},
		"one alone that serves": {map[string]string{"role": "slave", "slave_read_only": "0",
			"master_link_status": "down"}, map[string]string{"replica-serve-stale-data": "yes"}, ""},
		"a pause":        {map[string]string{"paused_actions": "write"}, nil, "writes wait"},
		"a longer pause": {map[string]string{"paused_actions": "all"}, nil, "commands wait"},
		"no pause":       {map[string]string{"paused_actions": "none"}, nil, ""},
		"a failover": {map[string]string{"master_failover_state": "failover-in-progress"}, nil,
			"hands over"},
		"no failover": {map[string]string{"master_failover_state": "no-failover"}, nil, ""},
		"a failed snapshot": {map[string]string{"rdb_last_bgsave_status": "err"},
			map[string]string{"save": "3600 1", "stop-writes-on-bgsave-error": "yes"}, "-MISCONF"},
		"one that stops nothing": {map[string]string{"rdb_last_bgsave_status": "err"},
			map[string]string{"save": "3600 1", "stop-writes-on-bgsave-error": "no"}, ""},
		"one without save points": {map[string]string{"rdb_last_bgsave_status": "err"},
			map[string]string{"save": "", "stop-writes-on-bgsave-error": "yes"}, ""},
		"an append-only file": {map[string]string{"aof_enabled": "1", "aof_last_write_status": "err"},
			nil, "-MISCONF"},
		"too few replicas": {map[string]string{"role": "master", "min_slaves_good_slaves": "1"},
			map[string]string{"min-replicas-to-write": "2"}, "-NOREPLICAS"},
		"enough replicas": {map[string]string{"role": "master", "min_slaves_good_slaves": "2"},
			map[string]string{"min-replicas-to-write": "2"}, ""},
		"a sentinel": {map[string]string{"redis_mode": "sentinel"}, nil, "sentinel"},
		"a cluster":  {map[string]string{"cluster_enabled": "1"}, nil, "cluster"},
	} {
		i := Info{Up: true}
		i.applyInfo(row.info)
		i.applyConfig(row.config)
		got := strings.Join(i.Refuses(), "; ")
		if !strings.Contains(got, row.want) || (row.want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
		if i.Up = false; len(i.Refuses()) > 0 {
			t.Errorf("%s: a server that is down refuses, too", name)
		}
	}
}

// What its disk does not take is known before clients are refused.
func TestStaleFiles(t *testing.T) {
	stops := map[string]string{"save": "3600 1", "stop-writes-on-bgsave-error": "yes"}
	goesOn := map[string]string{"save": "3600 1", "stop-writes-on-bgsave-error": "no"}
	for name, row := range map[string]struct {
		info, config map[string]string
		want         string
	}{
		"all well": {map[string]string{"aof_enabled": "1", "aof_last_bgrewrite_status": "ok",
			"rdb_last_bgsave_status": "ok"}, goesOn, ""},
		"a rewrite": {map[string]string{"aof_enabled": "1", "aof_last_bgrewrite_status": "err"}, nil,
			"could not be rewritten"},
		"a rewrite of long ago": {map[string]string{"aof_enabled": "0",
			"aof_last_bgrewrite_status": "err"}, nil, ""},
		"a snapshot":              {map[string]string{"rdb_last_bgsave_status": "err"}, goesOn, "RDB file is old"},
		"one that is refused for": {map[string]string{"rdb_last_bgsave_status": "err"}, stops, ""},
		"one without a request":   {map[string]string{"rdb_last_bgsave_status": "err"}, nil, ""},
	} {
		i := Info{Up: true, VersionNum: 80000}
		i.applyInfo(row.info)
		i.applyConfig(row.config)
		got := strings.Join(i.Shortcomings(), "; ")
		if !strings.Contains(got, row.want) || (row.want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
		if i.Up = false; len(i.Shortcomings()) > 0 {
			t.Errorf("%s: a server that is down is judged, too", name)
		}
	}
}

func TestSameAsIgnoresMomentsAndErrorTexts(t *testing.T) {
	base := Info{Up: true, RunID: "a", CommandReply: []any{"x"}, Missing: []string{"info"}}
	down := Info{Err: errors.New("port 1")}
	for name, row := range map[string]struct {
		a    Info
		edit func(*Info)
		want bool
	}{
		"nothing":       {base, func(*Info) {}, true},
		"moments":       {base, func(i *Info) { i.Checked, i.Since = time.Now(), time.Now() }, true},
		"run id":        {base, func(i *Info) { i.RunID = "b" }, false},
		"down":          {base, func(i *Info) { i.Up = false }, false},
		"missing":       {base, func(i *Info) { i.Missing = nil }, false},
		"commands read": {base, func(i *Info) { i.CommandReply = []any{"x"} }, false},
		"login lost":    {base, func(i *Info) { i.Err = ErrLogin }, false},
		"another error": {down, func(i *Info) { i.Err = errors.New("port 2") }, true},
	} {
		b := row.a
		row.edit(&b)
		if got := row.a.sameAs(&b); got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}
