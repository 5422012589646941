package policy

import (
	"fmt"
	"strings"
)

// Demand is the proof that a write needs before it is acknowledged. The zero Demand asks for
// nothing.
type Demand struct {
	Journal     bool // it is in the proxy's journal, fsynced
	Replicas    int  // that many replicas, journals not counted, have it in memory
	AOFLocal    bool // it is in the primary's append-only file, fsynced
	AOFReplicas int  // it is in the append-only files of that many replicas, fsynced
}

// IsZero reports an empty demand.
func (d Demand) IsZero() bool { return d == Demand{} }

// With is the strictest of each of two demands.
func (d Demand) With(o Demand) Demand {
	return Demand{
		Journal:     d.Journal || o.Journal,
		Replicas:    max(d.Replicas, o.Replicas),
		AOFLocal:    d.AOFLocal || o.AOFLocal,
		AOFReplicas: max(d.AOFReplicas, o.AOFReplicas),
	}
}

// String formats the demand as the configuration file does: "journal, replicas 1, aof local, aof
// replicas 1"; "nothing" for the zero Demand.
func (d Demand) String() string {
	var words []string
	if d.Journal {
		words = append(words, "journal")
	}
	if d.Replicas > 0 {
		words = append(words, fmt.Sprintf("replicas %d", d.Replicas))
	}
	if d.AOFLocal {
		words = append(words, "aof local")
	}
	if d.AOFReplicas > 0 {
		words = append(words, fmt.Sprintf("aof replicas %d", d.AOFReplicas))
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}
