package policy

import (
	"fmt"
	"strings"
)

// Action is a verdict's instruction for a request. The values are in order of strictness.
type Action uint8

// The actions.
const (
	Allow   Action = iota // forward it
	Rewrite               // carry it out in a way that does not stall the server; see RewriteOf
	Trash                 // carry it out so that it can be undone; see Trashable
	Confirm               // hold it until a person approves
	Deny                  // refuse it
)

var actionNames = [...]string{
	Allow: "allow", Rewrite: "rewrite", Trash: "trash", Confirm: "confirm", Deny: "deny",
}

// String is the action's name in the configuration file.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

func parseAction(name string) (Action, bool) {
	for a, n := range actionNames {
		if strings.EqualFold(name, n) {
			return Action(a), true
		}
	}
	return 0, false
}

// restricts reports whether the action takes something away from a client, or its effect from the
// request. In doubt, a restricting rule matches and any other rule does not.
func (a Action) restricts() bool { return a > Rewrite }

// Rewriting is how a rule with the action rewrite has a command carried out.
type Rewriting uint8

// The rewritings.
const (
	NotRewritable Rewriting = iota
	RewriteScan             // KEYS: gather the reply with SCAN
	RewriteAsync            // FLUSHALL, FLUSHDB: ASYNC whatever the request says
	RewriteUnlink           // DEL: UNLINK
	RewriteBgsave           // SAVE: BGSAVE
)

var rewritingOf = map[string]Rewriting{
	"keys": RewriteScan, "flushall": RewriteAsync, "flushdb": RewriteAsync,
	"del": RewriteUnlink, "save": RewriteBgsave,
}

// RewriteOf returns the command's rewriting.
func RewriteOf(cmd *Command) Rewriting { return rewritingOf[cmd.Name] }

// spares reports whether the rewriting avoids a stall that the command itself would cause. Such a
// command must not run inside a script, where nothing can be rewritten.
func (r Rewriting) spares() bool { return r == RewriteScan || r == RewriteBgsave }

// trashable holds the commands whose old values can move aside.
var trashable = map[string]bool{
	"flushall": true, "flushdb": true,
	"del": true, "unlink": true, "getdel": true, "delifeq": true, "delex": true,
	"rename": true, "restore": true, "restore-asking": true, "copy": true,
	"expire": true, "pexpire": true, "expireat": true, "pexpireat": true,
	"getex": true,
}

// Trashable reports whether a rule may have the action trash for the command. RENAME, RESTORE and
// COPY destroy data only by overwriting a key (Command.Replaces); EXPIRE, its kin and GETEX only by
// a time in the past (Command.DeletesByTime). Their other requests are forwarded. A SET with a time
// in the past comes to the trash by a rule about DEL, and by no rule about SET.
func Trashable(cmd *Command) bool { return trashable[cmd.Name] }
