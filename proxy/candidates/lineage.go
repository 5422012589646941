package candidates

import "slices"

// lineage is the history of one server that is, or may be, the primary. Its exported fields are for package json.
type lineage struct {
	// Own are the ids that its history has had while it was the primary: a server that still has one of
	// them is older, and one that was promoted from one of them is newer.
	Own []string `json:"own,omitempty"`
	// File are the ids that it continues without having been a replica (its own before it was started
	// again, or those of a primary whose file it has), and those that its replicas receive from it. A server
	// that was promoted from one is newer.
	File []string `json:"file,omitempty"`
	// Left are the ids of the histories that it was promoted from: a server that still has one is older.
	Left  []string `json:"left,omitempty"`
	RunID string   `json:"run_id,omitempty"` // of its process, as last seen
}

// keptIDs bounds each list: a server that is started again every minute gets a new id each time.
const keptIDs = 64

// lineageOf is the lineage of a server by one account.
func lineageOf(a *account) *lineage {
	l := &lineage{}
	l.learn(a)
	return l
}

// learn takes an account of a primary.
func (l *lineage) learn(a *account) {
	l.RunID = a.runID
	note(&l.Own, a.replid)
	if a.replica {
		note(&l.Left, a.replid2)
	} else {
		note(&l.File, a.replid2)
	}
}

func (l *lineage) clone() *lineage {
	return &lineage{Own: slices.Clone(l.Own), File: slices.Clone(l.File), Left: slices.Clone(l.Left), RunID: l.RunID}
}

func note(ids *[]string, id string) {
	if id == "" || slices.Contains(*ids, id) {
		return
	}
	*ids = append(*ids, id)
	*ids = slices.Delete(*ids, 0, max(0, len(*ids)-keptIDs))
}

// order is how the history of another server compares.
type order int

const (
	unrelated order = iota
	older
	newer
	// restarted: the server was started as a primary, and not promoted.
	restarted
)

// compare compares the history of another server that says that it is a primary. Older comes first: a
// server that was a primary, a replica and a primary again has both ids of its own between.
func (l *lineage) compare(a *account) order {
	switch {
	case slices.Contains(l.Left, a.replid), slices.Contains(l.Own, a.replid):
		return older
	case !a.replica:
		return restarted
	case a.replid2 != "" && (slices.Contains(l.Own, a.replid2) || slices.Contains(l.File, a.replid2)):
		return newer
	}
	return unrelated
}
