package upstream

import (
	"bytes"
	"fmt"
)

// refusalFacts are the facts of INFO and CONFIG GET that explain why a server refuses commands or
// lets them wait. It is comparable.
type refusalFacts struct {
	writable    bool   // a replica with replica-read-only no
	linkDown    bool   // a replica without a link to its primary
	noStale     bool   // replica-serve-stale-data no
	paused      string // "write", "all"; "": not paused. From Valkey 8.1 on
	failover    bool   // a failover to a replica is under way
	stopsOnSave bool   // stop-writes-on-bgsave-error
	minReplicas int    // min-replicas-to-write
	good        int    // replicas that count for it
	staleAOF    bool   // the last rewrite of the append-only file failed
	staleRDB    bool   // the last snapshot failed
}

func (r *refusalFacts) applyInfo(f map[string]string) {
	r.writable = f["slave_read_only"] == "0"
	r.linkDown = f["master_link_status"] == "down"
	if r.paused = f["paused_actions"]; r.paused == "none" {
		r.paused = ""
	}
	state := f["master_failover_state"]
	r.failover = state != "" && state != "no-failover"
	r.good = atoi(f["min_slaves_good_slaves"])
	r.staleAOF = f["aof_enabled"] == "1" && f["aof_last_bgrewrite_status"] == "err"
	r.staleRDB = f["rdb_last_bgsave_status"] == "err"
}

func (r *refusalFacts) applyConfig(c map[string]string) {
	r.stopsOnSave = c["stop-writes-on-bgsave-error"] == "yes"
	r.minReplicas = atoi(c["min-replicas-to-write"])
	r.noStale = c["replica-serve-stale-data"] == "no"
}

// Refuses lists the reasons why a server that is Up does not execute client commands, a text each,
// with the error that clients see. Reasons that the control user may not query are missing.
func (i *Info) Refuses() (out []string) {
	r := &i.refusals
	say := func(is bool, text string) {
		if is && i.Up {
			out = append(out, text)
		}
	}
	say(i.Sentinel, "it is a sentinel, not a server: set the address of the primary, which SENTINEL "+
		"GET-MASTER-ADDR-BY-NAME tells")
	say(i.Cluster, "it is part of a cluster, which is not supported: its redirections lead clients "+
		"past the proxy")
	say(i.Loading, "it is loading its data: commands are answered -LOADING")
	say(i.Role == "slave" && !r.writable, "it is a replica: writes are answered -READONLY")
	say(i.Role == "slave" && r.linkDown && r.noStale, "it is a replica without its primary, and "+
		"replica-serve-stale-data is off: commands are answered -MASTERDOWN")
	say(r.paused == "write", "it is paused: writes wait")
	say(r.paused == "all", "it is paused: commands wait")
	say(r.failover, "it hands over to a replica: writes wait")
	say(i.LastSave == "err" && r.stopsOnSave && i.Save != "", "its last snapshot failed: writes are "+
		"answered -MISCONF")
	say(i.AppendOnly && i.LastAOFWrite == "err", "it cannot write its append-only file: writes are "+
		"answered -MISCONF; with room again, run BGREWRITEAOF before any restart")
	say(r.minReplicas > r.good && i.Role == "master", fmt.Sprintf("%d of %d replicas are there that "+
		"min-replicas-to-write asks for: writes are answered -NOREPLICAS", r.good, r.minReplicas))
	return out
}

// stale lists the failed saves of a server that still accepts writes: the warning before -MISCONF.
func (i *Info) stale() (out []string) {
	if i.refusals.staleAOF {
		out = append(out, "its append-only file could not be rewritten and grows: look at its disk and "+
			"its log")
	}
	if i.refusals.staleRDB && i.Save != "" && !i.refusals.stopsOnSave {
		out = append(out, "its last snapshot failed, so that its RDB file is old: look at its disk and "+
			"its log")
	}
	return out
}

// ShowsRefusal reports whether an error reply is one of those that Refuses explains: Info may be
// out of date then.
func ShowsRefusal(reply []byte) bool {
	code, _, _ := bytes.Cut(reply, []byte(" "))
	switch string(code) {
	case "-LOADING", "-READONLY", "-MASTERDOWN", "-MISCONF", "-NOREPLICAS", "-CLUSTERDOWN", "-MOVED":
		return true
	}
	return false
}
