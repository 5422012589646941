package upstream

import "fmt"

// What an answer of WAITAOF is worth depends on the server that gives it, or that stands behind
// the acknowledgement which it counts. It was looked at with strace, and in the servers' source:
//
//	                                  appendfsync always   everysec            no
//	Redis 7.0                         there is no WAITAOF
//	Redis 7.2, Valkey 7.2             true                 true, up to 1 s     never confirms
//	Redis 7.4 to 8.0.1, Valkey 8.0-   true                 before the fsync    never confirms
//	Redis 8.0.2-                      true                 true, up to 1 s     never confirms
//
// Redis pull request 12622 made the fourth cell what it is (7.4.0, and Valkey, which began with
// it), and 13793 mended it in Redis: with nothing to write at the moment, the server takes what it
// has written for what it has fsynced.

const (
	minWaitAOF = 70200 // of both servers

	earlyRedis  = 70400 // the first Redis that answers early under everysec
	mendedRedis = 80002 // the first Redis in which it was seen mended
	earlyValkey = 80000 // the first Valkey; none was seen mended
)

// Persistence is what decides whether WAITAOF tells the truth, of a primary or of a replica.
type Persistence struct {
	Server     string // "redis" or "valkey"
	Version    string
	VersionNum int // as in Info; 0: unknown

	AppendOnly       bool
	AppendFsync      string // "always", "everysec", "no"; "": unknown
	NoFsyncOnRewrite bool   // no-appendfsync-on-rewrite
	LastAOFWrite     string // "ok" or "err"; "": unknown
}

// Proof says whether WAITAOF proves that what it counts is fsynced to this server's append-only
// file and, if not, why and what to set. It is strict: what is not known proves nothing.
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

// answersEarly reports that under everysec WAITAOF does not wait for the fsync.
func (p *Persistence) answersEarly() bool {
	if p.Server == "valkey" {
		return p.VersionNum >= earlyValkey
	}
	return p.VersionNum >= earlyRedis && p.VersionNum < mendedRedis
}

// Persistence is the server's own.
func (i *Info) Persistence() Persistence {
	return Persistence{
		Server: i.Server, Version: i.Version, VersionNum: i.VersionNum, AppendOnly: i.AppendOnly,
		AppendFsync: i.AppendFsync, NoFsyncOnRewrite: i.NoFsyncOnRewrite,
		LastAOFWrite: i.LastAOFWrite,
	}
}

// AOFProof says whether WAITAOF proves that a write is fsynced to the server's own append-only
// file (`aof: {local: true}`) and, if not, why and what to set. Whether the server is up and a
// primary is another question.
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

// AOFReplicas counts the online replicas whose acknowledgement of an fsync can be believed, which
// takes WatchReplicas. doubt says why another one's cannot, and what to set; "" if there is none.
func (i *Info) AOFReplicas() (n int, doubt string) {
	if i.VersionNum < minWaitAOF { // unknown, or one that counts nobody's fsyncs
		_, doubt = i.AOFProof()
		return 0, doubt
	}
	for k := range i.Replicas {
		switch r := &i.Replicas[k]; {
		case !r.Online():
		case r.Fsyncs:
			n++
		case doubt == "":
			doubt = r.address() + ": " + r.Doubt
			if r.Doubt == "" {
				doubt += errNotAsked.Error()
			}
		}
	}
	return n, doubt
}

// AOFDoubtful counts the online replicas whose acknowledgement of an fsync WAITAOF counts although
// it cannot be believed: so many more have to be asked for.
func (i *Info) AOFDoubtful() (n int) {
	for k := range i.Replicas {
		if r := &i.Replicas[k]; r.Online() && !r.Fsyncs && !r.silent {
			n++
		}
	}
	return n
}
