package journal

import (
	"cmp"
	"slices"
	"time"
)

// Verdict is the finding whether a primary lost part of a history that the journal holds.
type Verdict string

// The verdicts. Folders of older versions have incidents without one.
const (
	NothingLost Verdict = "nothing lost" // proven
	Lost        Verdict = "lost"         // proven
	InQuestion  Verdict = "in question"  // neither: From and To are the bounds
)

// Verdicts lists them.
var Verdicts = []Verdict{NothingLost, Lost, InQuestion}

// Incident is the end of a history at the primary before the end of the journal's record of it, or
// without evidence of how the next one is related to it. [From, To) is the range that may be lost.
type Incident struct {
	N        int        `json:"n,omitempty"` // from 1 on, in the order of the journal
	Timeline TimelineID `json:"timeline"`
	From     int64      `json:"from"`
	To       int64      `json:"to"`
	// Least is the start of the certain loss; 0, as in older folders: From.
	Least     int64     `json:"least,omitempty"`
	FirstTime time.Time `json:"first"` // arrival of the first lost byte
	LastTime  time.Time `json:"last"`
	Commands  int64     `json:"commands"`       // lost for certain; -1: not counted
	Most      int64     `json:"most,omitempty"` // all commands from From on
	Keys      int64     `json:"keys,omitempty"` // touched by these commands; -1: not counted
	Why       string    `json:"why,omitempty"`
	Time      time.Time `json:"time"` // of the discovery
	// Replaced: the primary came with a history unknown to the journal.
	Replaced bool `json:"replaced,omitempty"`
	// Untouched: when it was judged, the server had executed nothing since its start that could
	// have changed a key. Empty: it had no key then. Whole: it was started from data older than the
	// timeline, or is another server, so From says nothing about its data.
	Untouched bool `json:"untouched,omitempty"`
	// Early are the other commands that it had executed, as INFO commandstats names them; nil:
	// unknown.
	Early   []string  `json:"early,omitempty"`
	Empty   bool      `json:"empty,omitempty"`
	Whole   bool      `json:"whole,omitempty"`
	Verdict Verdict   `json:"verdict,omitempty"`
	Hold    bool      `json:"hold,omitempty"`  // promises are refused while it is open
	Closed  time.Time `json:"closed,omitzero"` // zero: it is open
	How     string    `json:"how,omitempty"`   // how it was closed
}

// Open reports that the incident is not settled yet.
func (i *Incident) Open() bool { return i.Closed.IsZero() }

// IsLoss reports that writes were lost for certain.
func (i *Incident) IsLoss() bool {
	return i.Verdict == Lost || i.Verdict == "" && !i.Replaced
}

// State words the verdict and whether it still stands.
func (i *Incident) State() string {
	verdict := string(i.Verdict)
	switch {
	case verdict == "" && i.Replaced:
		verdict = "not judged"
	case verdict == "":
		verdict = string(Lost)
	}
	switch {
	case !i.Open():
		return verdict + ", " + i.How
	case i.Hold:
		return verdict + ", open, routes wait"
	}
	return verdict + ", open"
}

// addIncident enters an incident, in place of its earlier version. A loss that is still open may come twice: its
// first record was on its way to the disk when the connection that showed it ended, and the next one shows it, too.
func (c *catalog) addIncident(i Incident) {
	at := slices.IndexFunc(c.incidents, func(o Incident) bool {
		return o.Timeline == i.Timeline && o.Time.Equal(i.Time) && !i.Time.IsZero()
	})
	if at < 0 && i.Open() && i.From < i.To {
		at = slices.IndexFunc(c.incidents, func(o Incident) bool {
			return o.Open() && o.Timeline == i.Timeline && o.From == i.From && o.To == i.To
		})
	}
	if at >= 0 {
		i.N = cmp.Or(c.incidents[at].N, i.N)
	}
	taken := func(o Incident) bool { return o.N == i.N }
	if i.N == 0 || at < 0 && slices.ContainsFunc(c.incidents, taken) { // a folder without numbers; one on its way, too
		i.N = c.nextIncident()
	}
	if at >= 0 {
		c.incidents[at] = i
		return
	}
	c.incidents = append(c.incidents, i)
}

// nextIncident is the number of the next incident.
func (c *catalog) nextIncident() (n int) {
	for _, i := range c.incidents {
		n = max(n, i.N)
	}
	return n + 1
}

// Incident returns the incident of a number; false if there is none.
func (v *View) Incident(n int) (Incident, bool) {
	for _, i := range v.catalog.incidents {
		if i.N == n {
			return i, true
		}
	}
	return Incident{}, false
}

// Lineage returns the timelines of the current history, each with the offset below which it belongs
// to it.
func (v *View) Lineage() map[TimelineID]int64 {
	out := map[TimelineID]int64{}
	if cur, ok := v.Current(); ok {
		for _, s := range v.catalog.lineage(cur.ID) {
			out[s.id] = s.to
		}
	}
	return out
}

// Recovered reports that the current history contains the incident's range: a restore, or a
// failover back, has brought it home.
func (v *View) Recovered(i Incident) bool {
	cur, ok := v.Current()
	if !ok || i.From >= i.To {
		return false
	}
	for _, s := range v.catalog.lineage(cur.ID) {
		if s.id == i.Timeline && s.to >= i.To {
			return true
		}
	}
	return false
}

// Held is the newest open incident for which promises are refused; nil: none. It never blocks.
func (j *Journal) Held() *Incident { return j.held.Load() }

// holdLocked determines that incident, after the incidents have changed.
func (j *Journal) holdLocked() {
	j.held.Store(nil)
	for _, i := range j.catalog.incidents {
		if i.Open() && i.Hold {
			j.held.Store(&i)
		}
	}
}

// Judged counts incidents by verdict.
type Judged map[Verdict]struct{ All, Open int }

func (s *Stats) count(i *Incident) {
	if i.Replaced {
		s.Replaced++
	}
	if i.IsLoss() {
		s.Incidents++
	}
	if s.Verdicts == nil {
		s.Verdicts = Judged{}
	}
	v := s.Verdicts[i.Verdict]
	v.All++
	if i.Open() {
		v.Open++
	}
	s.Verdicts[i.Verdict] = v
}
