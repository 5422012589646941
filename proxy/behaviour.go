package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// behaviour is a command's dependence on its connection. It is computed once per command when a
// table arrives, and looked up by Command.ID.
type behaviour uint8

const (
	// plain commands do not depend on their connection: the shared data link.
	plain behaviour = iota
	// otherDB commands are plain, but name another database.
	otherDB
	// script commands may run long while the server answers others: the script lane.
	script
	// aside commands must reach the server while other commands block it (SCRIPT KILL, CLIENT
	// UNBLOCK), and have no state: the lobby.
	aside
	// blocking commands block only their own connection: a pinned link for one command.
	blocking
	// maybeBlocking commands block if they have a BLOCK argument.
	maybeBlocking
	// waitAcks is WAIT and WAITAOF, which refer to the connection's own last write.
	waitAcks
	// named commands leave the client's name in the slow log: a pinned link with that name, for one
	// command.
	named
	// stateful commands leave state on the connection that the proxy does not keep: a pinned
	// link for the rest of the session.
	stateful
	multi
	exec
	discard
	watch
	unwatch
	selectDB
	auth
	hello
	resetConn
	quit
	subscribe // and its kin, unsubscribing included
	monitor
	rawStream // SYNC, PSYNC
	replconf
	scriptDebug
	publish
	clientID
	clientName // SETNAME, SETINFO, GETNAME
	clientInfo
	clientList
	clientKill
	clientUnblock
	clientTracking
	clientRedirect // GETREDIR, TRACKINGINFO
	clientReply
	clientPause
	info
	commandLog // SLOWLOG and COMMANDLOG
	login      // commands that can change whether clients must log in

	behaviourCount = iota
)

// behaviours names the commands that are not plain. The table's flags decide the rest.
var behaviours = map[string]behaviour{
	"eval": script, "evalsha": script, "eval_ro": script, "evalsha_ro": script,
	"fcall": script, "fcall_ro": script,
	"move": otherDB, "copy": otherDB, "swapdb": otherDB, "migrate": otherDB,
	"script|kill": aside, "function|kill": aside, "client|no-touch": stateful,
	"client|no-evict": stateful, "client|caching": stateful, "client|trackinginfo": clientRedirect,
	"readonly": stateful, "readwrite": stateful, "asking": stateful,
	"xread": maybeBlocking, "xreadgroup": maybeBlocking,
	"debug": named, "wait": waitAcks, "waitaof": waitAcks, "script|debug": scriptDebug,
	"cluster|setslot": blocking, "cluster|syncslots": stateful,
	"flushall": blocking, "flushdb": blocking, "shutdown": blocking, "failover": blocking,
	"multi": multi, "exec": exec, "discard": discard, "watch": watch, "unwatch": unwatch,
	"select": selectDB, "auth": auth, "hello": hello, "reset": resetConn, "quit": quit,
	"subscribe": subscribe, "psubscribe": subscribe, "ssubscribe": subscribe,
	"publish": publish, "spublish": publish,
	"unsubscribe": subscribe, "punsubscribe": subscribe, "sunsubscribe": subscribe,
	"monitor": monitor, "sync": rawStream, "psync": rawStream, "replconf": replconf,
	"client|id": clientID, "client|setname": clientName, "client|setinfo": clientName,
	"client|getname": clientName, "client|info": clientInfo, "client|list": clientList,
	"client|kill": clientKill, "client|unblock": clientUnblock,
	"client|tracking": clientTracking, "client|getredir": clientRedirect,
	"client|reply": clientReply, "client|pause": clientPause, "client|unpause": clientPause,
	"client|capa": stateful, "client|import-source": stateful, "info": info,
	"slowlog|get": commandLog, "slowlog|len": commandLog, "slowlog|reset": commandLog,
	"commandlog|get": commandLog, "commandlog|len": commandLog, "commandlog|reset": commandLog,
	"config|set": login, "acl|setuser": login, "acl|load": login, "acl|deluser": login,
}

// behaviourOf classifies one command.
func behaviourOf(c *policy.Command) behaviour {
	if b, ok := behaviours[c.Name]; ok {
		return b
	}
	if c.Parent != nil && c.Parent.Name == "debug" {
		return named
	}
	return shapeOf(c)
}

// behavioursOf classifies a whole table.
func behavioursOf(t *policy.Table) []behaviour {
	out := make([]behaviour, t.Len())
	for _, c := range t.All() {
		out[c.ID] = behaviourOf(c)
	}
	return out
}

// mayBlock reports whether the server may take its time for the reply on purpose.
func (b behaviour) mayBlock() bool { return b == blocking || b == maybeBlocking || b == waitAcks }

// classOf returns the latency histogram of a command.
func classOf(c *policy.Command, b behaviour) telemetry.Class {
	switch {
	case b.mayBlock():
		return telemetry.ClassBlocking
	case b == subscribe || c.Flags.Has(policy.FlagPubSub):
		return telemetry.ClassPubSub
	case c.Categories.Has(policy.CatTransaction):
		return telemetry.ClassTransaction
	case c.Categories.Has(policy.CatConnection):
		return telemetry.ClassConnection
	case c.Flags.Has(policy.FlagAdmin) || c.Categories.Has(policy.CatAdmin) || b == info:
		return telemetry.ClassAdmin
	case c.Flags.Has(policy.FlagWrite) || c.Flags.Has(policy.FlagMayReplicate):
		return telemetry.ClassWrite
	case c.Flags.Has(policy.FlagReadonly):
		return telemetry.ClassRead
	}
	return telemetry.ClassOther
}

// hasBlock reports whether XREAD or XREADGROUP may carry a BLOCK option. The word counts in any
// position, even as the name of a key, a group or a consumer: a false positive costs a link for the
// command's duration, a false negative blocks every session of a shared link.
func hasBlock(args [][]byte) bool {
	for _, a := range args[1:] {
		if resp.EqualFold(a, "block") {
			return true
		}
	}
	return false
}
