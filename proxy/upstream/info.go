package upstream

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The oldest supported servers: older ones lack commands that the proxy needs.
const (
	minRedis  = 70000
	minValkey = 70200
)

// Info is the state of the server as of one check. It is immutable. While the server is down, all
// fields but Up, Err, Since and Checked keep their last values. A field that the control user may
// not read has its zero value, and Missing names the command.
type Info struct {
	// Up: the server answers on new connections, with an error or with data. It says nothing about
	// existing connections.
	Up bool
	// Err is the reason why the server is not Up. With Up it wraps ErrLogin or is nil.
	Err     error
	Since   time.Time // when Up last changed
	Checked time.Time // when the server was last asked

	// Generation counts the servers seen: 1 for the first, one more whenever the run id, the role
	// or the version changes. 0: none reached so far.
	Generation uint64

	Server     string // "redis" or "valkey"
	Version    string // "8.0.1"; for Valkey its own version, not the Redis one that it claims
	VersionNum int    // major·10000 + minor·100 + patch: 80001
	RunID      string // changes with each start of the server
	Role       string // in INFO's words: "master" or "slave"
	ReplID     string // replication id
	ReplID2    string // of the history that it continues
	Loading    bool   // the server is loading its data and answers most commands -LOADING
	Cluster    bool   // cluster mode is on
	Sentinel   bool   // the server is a sentinel, which holds no data

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
	refusals        refusalFacts
	// LogSlower is the slow log's threshold in microseconds; LogRequests and LogReplies are the
	// thresholds in bytes of Valkey's other logs. -1: off, or unknown.
	LogSlower, LogRequests, LogReplies int64
	// NoFsyncOnRewrite is no-appendfsync-on-rewrite. See AOFProof.
	NoFsyncOnRewrite bool

	// Replicas are the attached replicas, in the order of INFO.
	Replicas []Replica

	// AuthRequired: the server answers -NOAUTH before a login.
	AuthRequired bool

	// CommandReply is the reply to COMMAND, in RESP2 shape, for policy.NewTable; nil: unknown.
	CommandReply any

	// Missing names, sorted, the commands that the control user may not run: "info", "config|get",
	// "command".
	Missing []string
}

// Troubles lists a text for each problem of a server that is Up: first those of Refuses, then those
// that keep no traffic away.
func (i *Info) Troubles() []string { return append(i.Refuses(), i.Shortcomings()...) }

// Shortcomings lists a text for each problem of a server that is Up and still serves clients.
func (i *Info) Shortcomings() []string {
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
	if i.Role == "slave" && i.refusals.writable {
		out = append(out, "it is a replica that takes writes: its primary does not get them, and the next "+
			"full synchronization drops them")
	}
	return append(out, i.stale()...)
}

// Supported returns nil for Redis 7.0 or newer, Valkey 7.2 or newer, and an unknown version; for
// others an error that wraps ErrUnsupported.
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

// sameAs reports whether two states are equal in substance: times do not count, nor does the error
// text while the server is down, which names another port each time.
func (i *Info) sameAs(o *Info) bool {
	a, b := i.substance(), o.substance()
	return reflect.DeepEqual(a, b) && SameReply(i.CommandReply, o.CommandReply)
}

// Replica is a replica attached to the server, as INFO shows it.
type Replica struct {
	// Addr is the address that it connects from or announces, without the port.
	Addr string
	// Port is the port on which it listens; 0 for a follower that cannot be reached, such as a
	// journal.
	Port  int
	State string // "online", "send_bulk", "wait_bgsave"

	Offset int64 // acknowledged by the replica
	Lag    int   // seconds since its last acknowledgement

	// Fsyncs: it has an append-only file, and its acknowledgements of fsyncs are reliable. Doubt is
	// the reason if not. Both require WatchReplicas.
	Fsyncs bool
	Doubt  string
	Said   Persistence // from its own answers; zero: no answer
	unfit  bool        // its settings are known, and prevent a proof
	silent bool        // it has no append-only file, and acknowledges no fsync
}

// Online reports whether it follows the stream and can take over, which a journal cannot.
func (r *Replica) Online() bool { return r.Port != 0 && r.State == "online" }

// ackedWithin bounds the lag of a replica that hears its primary: it acknowledges once a second, and the server counts in
// whole seconds.
const ackedWithin = 2

// Hears reports whether it is online and has acknowledged something a moment ago.
func (r *Replica) Hears() bool { return r.Online() && r.Lag < ackedWithin }

// Heard reports whether any replica hears the server.
func (i *Info) Heard() bool {
	return slices.ContainsFunc(i.Replicas, func(r Replica) bool { return r.Hears() })
}

// OnlineReplicas counts the replicas that follow the stream, journals left out.
func (i *Info) OnlineReplicas() (n int) {
	for k := range i.Replicas {
		if i.Replicas[k].Online() {
			n++
		}
	}
	return n
}

// substance returns a copy without the fields that may differ from check to check.
func (i *Info) substance() Info {
	s := *i
	s.Replicas = slices.Clone(i.Replicas)
	for k := range s.Replicas {
		r := &s.Replicas[k]
		if r.Offset = 0; r.Hears() || !r.Online() {
			r.Lag = 0
		} else {
			r.Lag = ackedWithin
		}
	}
	s.Since, s.Checked, s.CommandReply = time.Time{}, time.Time{}, nil
	if !s.Up {
		s.Err = nil
	} else if s.Err != nil {
		s.Err = errors.New(s.Err.Error()) // by text: the types of wrapped errors do not matter
	}
	return s
}

// SameReply compares two COMMAND replies by identity: the table is read again only after a change,
// so a new reply is a new table.
func SameReply(a, b any) bool {
	x, _ := a.([]any)
	y, _ := b.([]any)
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}

// applyInfo sets the fields that INFO has.
func (i *Info) applyInfo(f map[string]string) {
	i.Server, i.Version = "redis", f["redis_version"]
	if v := f["valkey_version"]; v != "" || f["server_name"] == "valkey" {
		i.Server = "valkey"
		if v != "" {
			i.Version = v
		}
	}
	i.VersionNum = versionNum(i.Version)
	i.RunID, i.Role, i.ReplID, i.ReplID2 = f["run_id"], f["role"], f["master_replid"], f["master_replid2"]
	i.Loading = f["loading"] == "1" || f["async_loading"] == "1"
	i.Cluster = f["cluster_enabled"] == "1" || f["redis_mode"] == "cluster"
	i.Sentinel = f["redis_mode"] == "sentinel" || f["server_mode"] == "sentinel"
	i.LastSave, i.LastAOFWrite = f["rdb_last_bgsave_status"], f["aof_last_write_status"]
	i.Maxclients = atoi(f["maxclients"])
	i.MaxMemory, i.MaxMemoryPolicy = atoi64(f["maxmemory"]), f["maxmemory_policy"]
	i.AppendOnly = f["aof_enabled"] == "1"
	i.refusals.applyInfo(f)
	i.applyReplicas(f)
}

// applyReplicas takes the replicas from the fields slave0, slave1 and so on. Valkey lists a replica
// that gets its snapshot on a second connection twice; the second entry is left out.
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
	"stop-writes-on-bgsave-error", "min-replicas-to-write", "replica-serve-stale-data",
	"slowlog-log-slower-than", "commandlog-request-larger-than", "commandlog-reply-larger-than",
}

// applyConfig sets the fields that CONFIG GET has.
func (i *Info) applyConfig(c map[string]string) {
	i.Databases = atoi(c["databases"])
	i.ProtoMaxBulk = atoi64(c["proto-max-bulk-len"])
	i.AppendFsync, i.Save = c["appendfsync"], c["save"]
	i.refusals.applyConfig(c)
	i.LogSlower = logThreshold(c, "slowlog-log-slower-than")
	i.LogRequests = logThreshold(c, "commandlog-request-larger-than")
	i.LogReplies = logThreshold(c, "commandlog-reply-larger-than")
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

// atoi64 reads the server's number; 0, unknown, for any other text.
func atoi64(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func atoi(s string) int { return int(atoi64(s)) }

// logThreshold returns a command log's setting; -1: unknown.
func logThreshold(config map[string]string, name string) int64 {
	if config[name] == "" {
		return -1
	}
	return atoi64(config[name])
}
