package proxy

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// The trash. What a rule with this action would not have destroyed is moved aside on the server,
// and can be put back from the console.
//
// Some of the server's databases are reserved for it. The last of them holds the ledger, a hash of
// one JSON text per entry; the others are slots. A flush lets each database change places with an
// empty slot (SWAPDB), which costs the same for one key and for a billion. The clients see empty
// databases, and get the reply that a flush has.
//
// Every step is one script, so the server carries out all of it or nothing, whatever becomes of the
// proxy, and two proxies take turns without knowing of each other: what is free and what is whose
// is found out, decided and written down in the same script. Nothing is kept in the proxy. The
// design that was rejected goes step by step under WATCH: it has states in between, in which a
// proxy can die.
//
// The scripts go by the control user's links (privileged.go), after the server was asked whether
// the client's own user may run the command. Inside MULTI the script takes the command's place in
// the client's transaction, as the client's user, because only there does it happen at EXEC.

// Trash says where on the server the trash is.
type Trash struct {
	// Databases are reserved: the last one for the ledger, the others for what is kept. Nil is
	// the upper half of the server's databases, and only while a rule has the action trash.
	// All proxies of one server must have the same.
	Databases []int
	// Memory is the percentage of the server's maxmemory from which on the trash is emptied
	// early, the oldest first. 0: never.
	Memory int
}

// trashPlan is what a worker knows of the trash. It is immutable. Its zero value reserves nothing.
type trashPlan struct {
	reserved []int  // ascending
	count    int    // of the server's databases
	hidden   []int  // from clients: reserved, and where the watermark of fences is
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

// PlanTrash says which databases are reserved for the trash on a server like info, by the rules of
// p. The error says why there can be no trash; it is nil where none is asked for.
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
		for db := (info.Databases + 1) / 2; db < info.Databases; db++ {
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

// EvictsAll is what Evicts says of the policies for all keys.
const EvictsAll = "keys of any kind"

// Evicts says which keys the server deletes by itself when its memory is full; "" if none.
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

// warnEviction tells of an eviction that empties the trash, once until it is another.
func (srv *Server) warnEviction(t *trashPlan, info *upstream.Info) {
	what := ""
	if t.reserved != nil && info != nil {
		what = Evicts(info)
	}
	if what != "" && what != srv.evicts {
		srv.log.Warn("the server's eviction reaches what is in the trash", "evicts", what,
			"policy", info.MaxMemoryPolicy)
	}
	srv.evicts = what
}

// planTrash prepares what the workers need.
func planTrash(o *Options, p *policy.Policy, info *upstream.Info) *trashPlan {
	list, err := PlanTrash(o.Trash, p, info)
	if err != nil || list == nil {
		t := &trashPlan{off: err, count: info.Databases}
		if last, ok := MarkDatabase(o.Routes, info); ok {
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

// definitive reports that the configuration and the server do not go together; a server that was
// not seen yet may do.
func (t *trashPlan) definitive() bool { return t.off != nil && t.off != errTrashUnknown }

// hides reports whether a database is not for clients.
func (t *trashPlan) hides(db int) bool { return slices.Contains(t.hidden, db) }

//go:embed trash/*.lua
var trashFiles embed.FS

// trashScript is one of the scripts, with the parts that it has in common with others in front.
// Being whole in each request, it works in a transaction and after SCRIPT FLUSH, too.
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
	return stripLua(b.String())
}

const (
	// anyMemory: under a full memory, moving aside must work like the deletion that it takes the
	// place of.
	anyMemory = "#!lua flags=allow-oom\n"
	// someMemory is for what the server itself refuses then.
	someMemory = "#!lua\n"
)

// stripLua takes comments and indentation out of a script: it is sent often.
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
