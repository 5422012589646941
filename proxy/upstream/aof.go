package upstream

import "fmt"

// The worth of a WAITAOF reply depends on the server that sends it, and on the replicas whose
// acknowledgements it counts. Observed with strace and in the servers' source:
//
//	                                  appendfsync always   everysec            no
//	Redis 7.0                         there is no WAITAOF
//	Redis 7.2, Valkey 7.2             true                 true, up to 1 s     never confirms
//	Redis 7.4 to 8.0.1, Valkey 8.0-   true                 before the fsync    never confirms
//	Redis 8.0.2-                      true                 true, up to 1 s     never confirms
//
// Redis pull request 12622 introduced the answer before the fsync (7.4.0, and Valkey 8.0, which has
// it from the start); 13793 fixed it in Redis. An affected server with nothing to write at the
// moment takes the written offset for the fsynced one.

const (
	minWaitAOF = 70200 // of both servers

	earlyRedis  = 70400 // the first Redis with early answers under everysec
	mendedRedis = 80002 // the first Redis seen fixed
	earlyValkey = 80000 // the first such Valkey; none was seen fixed
)

// Persistence is the settings of a primary or a replica on which the truth of WAITAOF depends.
type Persistence struct {
	Server     string // "redis" or "valkey"
	Version    string
	VersionNum int // as in Info; 0: unknown

	AppendOnly       bool
	AppendFsync      string // "always", "everysec", "no"; "": unknown
	NoFsyncOnRewrite bool   // no-appendfsync-on-rewrite
	LastAOFWrite     string // "ok" or "err"; "": unknown
}

// Proof reports whether WAITAOF proves an fsync to this server's append-only file and, if not, the
// reason and the setting to change. It is strict: an unknown setting proves nothing.
func (p *Persistence) Proof() (ok bool, reason string) {
	switch {
	case p.VersionNum == 0:
		return false, "the server's version is not known: let the control user run INFO"
	case p.VersionNum < minWaitAOF:
		return false, fmt.Sprintf("%s %s has no WAITAOF: use 7.2 or newer", p.Server, p.Version)
	case !p.AppendOnly:
		return false, "the append-only file is off: set appendonly yes"
	case p.LastAOFWrite != "ok" && p.LastAOFWrite != "":
		return false, "the last write or fsync of the append-only file failed: " +
			"see the server's log and its disk"
	}
	return p.fsyncs()
}

// fsyncs is the part of Proof that CONFIG GET answers.
func (p *Persistence) fsyncs() (ok bool, reason string) {
	switch {
	case p.AppendFsync == "":
		return false, "appendfsync is not known: let the control user run CONFIG GET"
	case p.AppendFsync == "no":
		return false, "appendfsync no never fsyncs: set appendfsync always"
	case p.AppendFsync == "everysec" && p.answersEarly():
		return false, fmt.Sprintf("under appendfsync everysec, WAITAOF of %s %s answers before "+
			"the fsync: set appendfsync always", p.Server, p.Version)
	case p.AppendFsync != "everysec" && p.AppendFsync != "always":
		return false, fmt.Sprintf("appendfsync %q is not known to be true: set appendfsync always",
			p.AppendFsync)
	case p.NoFsyncOnRewrite:
		return false, "during a rewrite nothing is fsynced: set no-appendfsync-on-rewrite no"
	}
	return true, ""
}

// answersEarly reports whether WAITAOF under everysec does not wait for the fsync.
func (p *Persistence) answersEarly() bool {
	if p.Server == "valkey" {
		return p.VersionNum >= earlyValkey
	}
	return p.VersionNum >= earlyRedis && p.VersionNum < mendedRedis
}

// Persistence returns the server's own settings.
func (i *Info) Persistence() Persistence {
	return Persistence{
		Server: i.Server, Version: i.Version, VersionNum: i.VersionNum, AppendOnly: i.AppendOnly,
		AppendFsync: i.AppendFsync, NoFsyncOnRewrite: i.NoFsyncOnRewrite,
		LastAOFWrite: i.LastAOFWrite,
	}
}

// AOFProof reports whether WAITAOF proves that a write is fsynced to the server's own append-only
// file (`aof: {local: true}`) and, if not, the reason and the setting to change. It does not check
// that the server is up and a primary.
func (i *Info) AOFProof() (ok bool, reason string) {
	p := i.Persistence()
	return p.Proof()
}

// FsyncProof is AOFProof for settings that were read just now, with CONFIG GET on another
// connection: appendonly, appendfsync and no-appendfsync-on-rewrite in the server's words. It
// allocates nothing if the answer is yes.
func (i *Info) FsyncProof(appendOnly, appendFsync, noFsyncOnRewrite []byte) (
	ok bool, reason string,
) {
	p := i.Persistence()
	p.AppendOnly = string(appendOnly) == "yes"
	p.NoFsyncOnRewrite = string(noFsyncOnRewrite) != "no"
	switch {
	case string(appendFsync) == "always":
		p.AppendFsync = "always"
	case string(appendFsync) == "everysec":
		p.AppendFsync = "everysec"
	default:
		p.AppendFsync = string(appendFsync)
	}
	return p.Proof()
}

// AOFReplicas counts the online replicas whose acknowledgement of an fsync is reliable, which takes
// WatchReplicas. doubt gives the reason for one that is not, and the setting to change; "": no such
// replica.
func (i *Info) AOFReplicas() (n int, doubt string) {
	if i.VersionNum < minWaitAOF { // unknown, or a version without WAITAOF
		_, doubt = i.AOFProof()
		return 0, doubt
	}
	for k := range i.Replicas {
		switch r := &i.Replicas[k]; {
		case !r.Online():
		case r.Fsyncs:
			n++
		case doubt == "":
			doubt = r.Address() + ": " + r.Doubt
			if r.Doubt == "" {
				doubt += errNotAsked.Error()
			}
		}
	}
	return n, doubt
}

// AOFUnfit counts the online replicas whose settings make their acknowledgement of an fsync
// unreliable.
func (i *Info) AOFUnfit() (n int) {
	for k := range i.Replicas {
		if r := &i.Replicas[k]; r.Online() && r.unfit {
			n++
		}
	}
	return n
}

// AOFDoubtful counts the online replicas whose acknowledgement of an fsync WAITAOF counts although
// it is unreliable: ask WAITAOF for that many more.
func (i *Info) AOFDoubtful() (n int) {
	for k := range i.Replicas {
		if r := &i.Replicas[k]; r.Online() && !r.Fsyncs && !r.silent {
			n++
		}
	}
	return n
}
