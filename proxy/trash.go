package proxy

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// The trash. A rule with this action has data moved aside on the server instead of destroyed, and
// the console can restore it.
//
// Some of the server's databases are reserved for it. The last of them holds the ledger, a hash of
// one JSON text per entry; the others are slots. A flush swaps each database with an empty slot
// (SWAPDB), in constant time. The clients see empty databases, and get the reply of a flush.
//
// Every step is one script, so that the server carries out all of it or nothing, even if the proxy
// dies. Two proxies take turns without coordination: one script finds the free slots, decides, and
// records the result in the ledger. The proxy keeps no state. The rejected design uses several
// steps under WATCH: a proxy can die in its intermediate states.
//
// The scripts go by the control user's links (privileged.go), after the server has confirmed that
// the client's own user may run the command. Inside MULTI the script takes the command's place in
// the client's transaction, as the client's user, because only there does it run at EXEC.

// Trash configures the trash's place on the server.
type Trash struct {
	// Databases are reserved: the last one for the ledger, the others for kept data. Nil: the upper
	// half of the server's databases, and only while a rule has the action trash. All proxies of
	// one server must have the same value.
	Databases []int
	// Memory is the percentage of the server's maxmemory at which the trash is emptied early, the
	// oldest first. 0: never.
	Memory int
}

// trashPlan is the trash's layout for workers. It is immutable. Its zero value reserves nothing.
type trashPlan struct {
	reserved []int  // ascending
	count    int    // of the server's databases
	hidden   []int  // from clients: the reserved ones and that of the fences' watermark
	mark     int32  // the database of the watermark
	config   string // for the scripts
	memory   string
	// off is why there is no trash, though a rule asks for it.
	off error
}

var (
	errTrashUnknown = errors.New("the server was not reached so far")
	errTrashMoved   = errors.New("the configuration has just changed: send it again")
	errTrashCluster = errors.New("the server is in cluster mode, which has no SWAPDB")
	errTrashCount   = errors.New("the number of the server's databases is unknown: " +
		"the control user may not run CONFIG GET")
)

// PlanTrash returns the databases reserved for the trash on a server like info, under the rules of
// p. The error says why there can be no trash; it is nil if no rule asks for one.
func PlanTrash(t Trash, p *policy.Policy, info *upstream.Info) (reserved []int, err error) {
	wanted := slices.ContainsFunc(p.Rules(), func(r *policy.Rule) bool {
		return r.Action == policy.Trash
	})
	if !wanted && len(t.Databases) == 0 {
		return nil, nil
	}
	switch {
	case info.Generation == 0:
		return nil, errTrashUnknown
	case info.Cluster:
		return nil, errTrashCluster
	case info.Databases == 0:
		return nil, errTrashCount
	}
	list := slices.Sorted(slices.Values(t.Databases))
	if len(list) == 0 {
		for db := DefaultTrash(info.Databases); db < info.Databases; db++ {
			list = append(list, db)
		}
	}
	if len(list) < 2 {
		return nil, fmt.Errorf("the server has %d databases, and the trash needs two of its own at "+
			"the least", info.Databases)
	}
	if last := list[len(list)-1]; list[0] < 1 || last >= info.Databases {
		return nil, fmt.Errorf("the server has %d databases, from which databases %v cannot be "+
			"reserved for the trash", info.Databases, list)
	}
	return list, nil
}

// DefaultTrash is the first database of a trash without a setting: the upper half of the server's is its.
func DefaultTrash(databases int) int { return (databases + 1) / 2 }

// EvictsAll is Evicts's result for the allkeys policies.
const EvictsAll = "keys of any kind"

// Evicts names the keys that the server evicts when its memory is full; "": none.
func Evicts(info *upstream.Info) string {
	switch {
	case info.MaxMemory == 0 || info.MaxMemoryPolicy == "noeviction":
		return ""
	case strings.HasPrefix(info.MaxMemoryPolicy, "allkeys-"):
		return EvictsAll
	case strings.HasPrefix(info.MaxMemoryPolicy, "volatile-"):
		return "keys with a time to live"
	}
	return ""
}

// planTrash makes the plan for the workers.
func planTrash(o *Options, p *policy.Policy, info *upstream.Info) *trashPlan {
	list, err := PlanTrash(o.Trash, p, info)
	if err != nil || list == nil {
		t := &trashPlan{off: err, count: info.Databases}
		if last, ok := durable.MarkDatabase(o.Routes, info); ok {
			t.hidden, t.mark = []int{last}, int32(last)
		}
		return t
	}
	n := len(list) - 1
	config, err := json.Marshal(struct {
		Ledger    int   `json:"ledger"`
		Slots     []int `json:"slots"`
		Databases int   `json:"databases"`
	}{list[n], list[:n], info.Databases})
	return &trashPlan{reserved: list, hidden: list, mark: int32(list[n]), count: info.Databases,
		config: string(config), memory: fmt.Sprint(o.Trash.Memory), off: err}
}

// definitive reports whether the configuration does not fit the server; a server not seen yet may
// fit.
func (t *trashPlan) definitive() bool { return t.off != nil && t.off != errTrashUnknown }

// hides reports whether a database is hidden from clients.
func (t *trashPlan) hides(db int) bool { return slices.Contains(t.hidden, db) }

//go:embed trash/*.lua
var trashFiles embed.FS

// trashScript assembles one of the scripts, behind the parts that it shares with others. Each
// request carries the whole script, so that it works in a transaction and after SCRIPT FLUSH, too.
func trashScript(head string, names ...string) string {
	var b strings.Builder
	b.WriteString(head)
	for _, file := range append([]string{"ledger"}, names...) {
		text, err := trashFiles.ReadFile("trash/" + file + ".lua")
		if err != nil {
			panic(err) // the files are part of the program
		}
		b.Write(text)
	}
	return ownCall.ReplaceAllStringFunc(stripLua(b.String()), spellCall)
}

// ownCall is a call with a fixed command name.
var ownCall = regexp.MustCompile(`redis\.p?call\('[A-Z]+'`)

// spellCall spells the command of a call as the proxy's own: the slow log shows calls of scripts.
func spellCall(call string) string {
	before, name, _ := strings.Cut(strings.TrimSuffix(call, "'"), "'")
	return before + "'" + resp.Spell(name) + "'"
}

const (
	// anyMemory: when memory is full, moving aside must work, like the deletion that it replaces.
	anyMemory = "#!lua flags=allow-oom\n"
	// someMemory is for scripts that the server refuses then.
	someMemory = "#!lua\n"
)

// stripLua removes comments and indentation from a script: it is sent often.
func stripLua(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

var (
	scriptFlush    = trashScript(anyMemory, "flush")
	scriptKeys     = trashScript(anyMemory, "keylist", "keys")
	scriptValues   = trashScript(someMemory, "keylist", "keys")
	scriptUndo     = trashScript(anyMemory, "keylist", "undo")
	scriptUndoKeys = trashScript(anyMemory, "keylist", "undokeys")
	scriptMerge    = trashScript(anyMemory, "merge")
	scriptPurge    = trashScript(anyMemory, "keylist", "purge")
	scriptSweep    = trashScript(anyMemory, "keylist", "sweep")
	scriptList     = trashScript(anyMemory, "keylist", "list")
	scriptTold     = trashScript(anyMemory, "told")
)

// eval is the command that runs a script of the trash.
func (t *trashPlan) eval(script string, args ...string) []string {
	return append([]string{"eVaL", script, "0", t.config}, args...)
}
