package trash

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/upstream"
)

// Settings configure the trash's place on the server.
type Settings struct {
	// Databases are reserved: the last one for the ledger, the others for kept data. Nil: the upper
	// half of the server's databases, and only while a rule has the action trash. All proxies of
	// one server must have the same value.
	Databases []int
	// Memory is the percentage of the server's maxmemory at which the trash is emptied early, the
	// oldest first. 0: never.
	Memory int
}

// Plan is the trash's layout on a server. Its zero value reserves nothing.
type Plan struct {
	Reserved []int // ascending; nil: there is no trash
	Count    int   // of the server's databases
	Hidden   []int // from clients: the reserved ones and that of the fences' watermark
	Mark     int32 // the database of the watermark
	// Off is why there is no trash, though a rule asks for it.
	Off error

	config string // for the scripts
	memory string
}

var (
	errUnknown = errors.New("the server was not reached so far")
	errCluster = errors.New("the server is in cluster mode, which has no SWAPDB")
	errCount   = errors.New("the number of the server's databases is unknown: " +
		"the control user may not run CONFIG GET")
)

// Reserve returns the databases reserved for the trash on a server like info, under the rules of p.
// The error says why there can be no trash; it is nil if no rule asks for one.
func Reserve(s Settings, p *policy.Policy, info *upstream.Info) (reserved []int, err error) {
	wanted := slices.ContainsFunc(p.Rules(), func(r *policy.Rule) bool {
		return r.Action == policy.Trash
	})
	if !wanted && len(s.Databases) == 0 {
		return nil, nil
	}
	switch {
	case info.Generation == 0:
		return nil, errUnknown
	case info.Cluster:
		return nil, errCluster
	case info.Databases == 0:
		return nil, errCount
	}
	list := slices.Sorted(slices.Values(s.Databases))
	if len(list) == 0 {
		for db := DefaultFirst(info.Databases); db < info.Databases; db++ {
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

// DefaultFirst is the first database of a trash without a setting: the upper half of the server's is
// its.
func DefaultFirst(databases int) int { return (databases + 1) / 2 }

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

// NewPlan plans the trash of a server like info, which has routes, too.
func NewPlan(s Settings, routes []policy.RouteSpec, p *policy.Policy, info *upstream.Info) *Plan {
	list, err := Reserve(s, p, info)
	if err != nil || list == nil {
		t := &Plan{Off: err, Count: info.Databases}
		if last, ok := durable.MarkDatabase(routes, info); ok {
			t.Hidden, t.Mark = []int{last}, int32(last)
		}
		return t
	}
	n := len(list) - 1
	config, err := json.Marshal(struct {
		Ledger    int   `json:"ledger"`
		Slots     []int `json:"slots"`
		Databases int   `json:"databases"`
	}{list[n], list[:n], info.Databases})
	return &Plan{Reserved: list, Hidden: list, Mark: int32(list[n]), Count: info.Databases,
		config: string(config), memory: fmt.Sprint(s.Memory), Off: err}
}

// Definitive reports whether the configuration does not fit the server; a server not seen yet may
// fit.
func (t *Plan) Definitive() bool { return t.Off != nil && t.Off != errUnknown }

// Hides reports whether a database is hidden from clients.
func (t *Plan) Hides(db int) bool { return slices.Contains(t.Hidden, db) }

// Same reports whether two plans lead to the same place.
func (t *Plan) Same(o *Plan) bool { return t.config == o.config }

// Lacking is why commands cannot go to the trash; nil: they can.
func (t *Plan) Lacking() error {
	switch {
	case t.Off != nil:
		return t.Off
	case t.Reserved == nil:
		return errNoRule
	}
	return nil
}

var errNoRule = errors.New("no rule has the action trash")

// purpose names the use of hidden databases.
func (t *Plan) purpose() string {
	if t.Reserved != nil {
		return "the trash"
	}
	return "the mark that proofs of replicas and append-only files write"
}

// eval is the command that runs a script of the trash.
func (t *Plan) eval(script string, args ...string) []string {
	return append([]string{"eVaL", script, "0", t.config}, args...)
}
