package upstream

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The oldest servers with everything that the proxy builds on.
const (
	minRedis  = 70000
	minValkey = 70200
)

// Info is what is known of the server at one moment. It is immutable. While the server is down,
// all but Up, Err, Since and Checked stay as they were last seen. A field that the control user may
// not read has its zero value, and Missing names the command.
type Info struct {
	// Up says that the server answers on new connections, with an error or with data. Connections
	// that exist may work or not, whatever it says.
	Up bool
	// Err is why the server is not Up. With Up it wraps ErrLogin or is nil.
	Err     error
	Since   time.Time // when Up last changed
	Checked time.Time // when the server was last asked

	// Generation counts the servers seen: 1 for the first, then one more whenever the run id, the
	// role or the version is another. 0 means that none was reached so far.
	Generation uint64

	Server     string // "redis" or "valkey"
	Version    string // "8.0.1"; for Valkey its own version, not the Redis one that it claims
	VersionNum int    // major·10000 + minor·100 + patch: 80001
	RunID      string // differs after each start of the server
	Role       string // in INFO's words: "master" or "slave"
	ReplID     string // replication id
	ReplID2    string // of the history before this one; all zeros: there was none
	Loading    bool   // it is loading its data and answers most commands -LOADING
	Cluster    bool   // cluster mode is on
	Sentinel   bool   // it is a sentinel, which holds no data

	Databases       int    // 0: unknown
	ProtoMaxBulk    int64  // proto-max-bulk-len in bytes; 0: unknown
	Maxclients      int    // 0: unknown
	MaxMemory       int64  // bytes; 0: no limit or unknown
	MaxMemoryPolicy string // "noeviction", …
	AppendOnly      bool
	AppendFsync     string // "always", "everysec", "no"
	Save            string // save points as CONFIG GET shows them: "3600 1 300 100"; "" for none
	LastSave        string // "ok" or "err": the last RDB save
	LastAOFWrite    string // "ok" or "err": the last write to the append-only file, or its fsync
	// NoFsyncOnRewrite is no-appendfsync-on-rewrite. See AOFProof.
	NoFsyncOnRewrite bool

	// Replicas are those that are attached, in the order of INFO.
	Replicas []Replica

	// AuthRequired says that a connection that has not logged in is answered -NOAUTH.
	AuthRequired bool

	// CommandReply is the reply to COMMAND, in RESP2 shape, for policy.NewTable; nil: unknown.
	CommandReply any

	// Missing names, sorted, what the control user may not run: "info", "config|get", "command".
	Missing []string
}

// Troubles is what keeps a server that is Up from being what a proxy needs behind it, a text each.
func (i *Info) Troubles() []string {
	var out []string
	if !i.Up {
		return nil
	}
	if i.Err != nil {
		out = append(out, strings.TrimSuffix(i.Err.Error(), ".")+
			"; set upstream.username and upstream.password")
	}
	if err := i.Supported(); err != nil {
		out = append(out, err.Error())
	}
	if i.Role == "slave" {
		out = append(out, "it is a replica: writes are answered -READONLY, unless it is set up otherwise")
	}
	if i.Sentinel {
		out = append(out, "it is a sentinel, not a server: set the address of the primary, which SENTINEL "+
			"GET-MASTER-ADDR-BY-NAME tells")
	}
	if i.Cluster {
		out = append(out, "it is part of a cluster, which is not supported: its redirections lead clients "+
			"past the proxy")
	}
	return out
}

// Supported returns nil for Redis 7.0 or newer and Valkey 7.2 or newer, and for a version that is
// unknown; for others an error that wraps ErrUnsupported.
func (i *Info) Supported() error {
	oldest, name := minRedis, "Redis 7.0"
	if i.Server == "valkey" {
		oldest, name = minValkey, "Valkey 7.2"
	}
	if i.VersionNum == 0 || i.VersionNum >= oldest {
		return nil
	}
	return fmt.Errorf("%w: got %s %s, want %s or newer", ErrUnsupported, i.Server, i.Version, name)
}

// sameAs reports whether nothing of substance lies between two states: moments do not count, nor
// does the text of an error while down, which names a port of its own each time.
func (i *Info) sameAs(o *Info) bool {
	a, b := i.substance(), o.substance()
	return reflect.DeepEqual(a, b) && SameReply(i.CommandReply, o.CommandReply)
}

// Replica is one that is attached to the server, as INFO shows it.
type Replica struct {
	// Addr is the address that it connects from, or announces, without the port.
	Addr string
	// Port is where it can be reached. It is 0 for what cannot, as a journal.
	Port  int
	State string // "online", "send_bulk", "wait_bgsave"

	Offset int64 // that it has acknowledged
	Lag    int   // seconds since it last did

	// Fsyncs says that it has an append-only file, and that what it tells the primary of its
	// fsyncs is to be believed. Doubt is why not. They are known with WatchReplicas.
	Fsyncs bool
	Doubt  string
	Said   Persistence // what it said of itself; zero: nothing
	silent bool        // it has no append-only file, and tells nothing
}

// Online reports that it follows the stream and can take over: it is not a journal.
func (r *Replica) Online() bool { return r.Port != 0 && r.State == "online" }

// OnlineReplicas counts the replicas that follow the stream, journals left out.
func (i *Info) OnlineReplicas() (n int) {
	for k := range i.Replicas {
		if i.Replicas[k].Online() {
			n++
		}
	}
	return n
}

// substance is a copy without what may differ from check to check.
func (i *Info) substance() Info {
	s := *i
	s.Replicas = slices.Clone(i.Replicas)
	for k := range s.Replicas {
		s.Replicas[k].Offset, s.Replicas[k].Lag = 0, 0
	}
	s.Since, s.Checked, s.CommandReply = time.Time{}, time.Time{}, nil
	if !s.Up {
		s.Err = nil
	} else if s.Err != nil {
		s.Err = fmt.Errorf("%v", s.Err) // by text: the types of wrapped errors do not matter
	}
	return s
}

// SameReply compares two COMMAND replies by identity: each reading makes a new one, and is made
// for a reason.
func SameReply(a, b any) bool {
	x, _ := a.([]any)
	y, _ := b.([]any)
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}

// applyInfo sets what INFO says.
func (i *Info) applyInfo(f map[string]string) {
	i.Server, i.Version = "redis", f["redis_version"]
	if v := f["valkey_version"]; v != "" || f["server_name"] == "valkey" {
		i.Server = "valkey"
		if v != "" {
			i.Version = v
		}
	}
	i.VersionNum = versionNum(i.Version)
	i.RunID, i.Role, i.ReplID = f["run_id"], f["role"], f["master_replid"]
	i.Loading = f["loading"] == "1" || f["async_loading"] == "1"
	i.Cluster = f["cluster_enabled"] == "1" || f["redis_mode"] == "cluster"
	i.Sentinel = f["redis_mode"] == "sentinel" || f["server_mode"] == "sentinel"
	i.LastSave, i.LastAOFWrite = f["rdb_last_bgsave_status"], f["aof_last_write_status"]
	i.Maxclients = atoi(f["maxclients"])
	i.MaxMemory, i.MaxMemoryPolicy = atoi64(f["maxmemory"]), f["maxmemory_policy"]
	i.AppendOnly = f["aof_enabled"] == "1"
	i.ReplID2 = f["master_replid2"]
	i.applyReplicas(f)
}

// applyReplicas takes the replicas from the fields slave0, slave1 and so on. Valkey shows a replica
// that gets its snapshot on a connection beside as two; that connection is left out.
func (i *Info) applyReplicas(f map[string]string) {
	i.Replicas = nil
	for k := range atoi(f["connected_slaves"]) {
		name := "slave" + strconv.Itoa(k)
		if s, ok := parseReplica([]byte(name + ":" + f[name])); ok && f[name] != "" && !s.channel {
			i.Replicas = append(i.Replicas, Replica{
				Addr: string(s.IP), Port: int(s.Port), State: string(s.State),
				Offset: s.Offset, Lag: int(s.Lag),
			})
		}
	}
}

// configNames are the parameters that applyConfig reads.
var configNames = []any{
	"databases", "proto-max-bulk-len", "appendfsync", "no-appendfsync-on-rewrite", "save",
}

// applyConfig sets what CONFIG GET says.
func (i *Info) applyConfig(c map[string]string) {
	i.Databases = atoi(c["databases"])
	i.ProtoMaxBulk = atoi64(c["proto-max-bulk-len"])
	i.AppendFsync, i.Save = c["appendfsync"], c["save"]
	i.NoFsyncOnRewrite = c["no-appendfsync-on-rewrite"] == "yes"
}

// parseInfo reads the "name:value" lines of an INFO reply.
func parseInfo(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// versionNum turns "8.0.1" (or "7.2", or "255.255.255-dev") into 80001. It is 0 for anything else.
func versionNum(version string) int {
	version, _, _ = strings.Cut(version, "-")
	num := 0
	parts := strings.Split(version, ".")
	for place := range 3 {
		num *= 100
		if place >= len(parts) {
			continue
		}
		n, err := strconv.ParseUint(parts[place], 10, 16)
		if err != nil {
			return 0
		}
		if place > 0 {
			n = min(n, 99)
		}
		num += int(n)
	}
	return num
}

// atoi64 reads a number of the server's; what is no number counts as unknown.
func atoi64(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func atoi(s string) int { return int(atoi64(s)) }
