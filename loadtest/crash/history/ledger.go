package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A State is a server's contents.
type State struct {
	Places    map[Elem][]string // the keys that hold an element
	Counters  map[string]int64
	Registers map[string]string
}

// NewState returns an empty state.
func NewState() *State {
	return &State{Places: map[Elem][]string{}, Counters: map[string]int64{},
		Registers: map[string]string{}}
}

// Add puts an element into a key.
func (s *State) Add(key, tag string) {
	e := Elem{Family(key), tag}
	s.Places[e] = append(s.Places[e], key)
}

// The kinds of problems.
const (
	Lost       = "lost"         // acknowledged, and not there
	Undone     = "undone"       // removed or moved, acknowledged, and still where it was
	Phantom    = "phantom"      // there, though refused or never written
	Twice      = "twice"        // executed more than once
	Torn       = "torn"         // half of a transaction
	Miscounted = "miscounted"   // a counter that does not fit
	Disordered = "disordered"   // a register whose history is not linearizable
	Undecided  = "undecided"    // a register whose history exceeds the checker
	Misbehaved = "misbehaviour" // an answer that must not be given
)

// A Problem is one violation.
type Problem struct {
	What string // one of the constants
	Text string
}

func (p Problem) String() string { return p.What + ": " + p.Text }

// fate is the set of possible outcomes for an element.
type fate struct {
	allowed map[string]bool // keys; "" is gone
	removed bool            // by an acknowledged write
	story   []*Write
}

// CheckLedger judges the state after all processes have come to rest. Elements without any write in
// the log are phantoms.
func CheckLedger(writes []Write, s *State) []Problem {
	fates := map[Elem]*fate{}
	for i := range writes {
		w := &writes[i]
		for _, e := range w.Effects {
			f := fates[e.Elem]
			if f == nil {
				f = &fate{allowed: map[string]bool{"": true}}
				fates[e.Elem] = f
			}
			f.apply(w, e.To)
		}
	}
	var found []Problem
	for elem, f := range fates {
		if p, bad := f.judge(elem, s.Places[elem]); bad {
			found = append(found, p)
		}
	}
	for elem, at := range s.Places {
		if fates[elem] == nil {
			found = append(found, Problem{Phantom, fmt.Sprintf("%v in %v was never written", elem, at)})
		}
	}
	found = append(found, torn(writes, fates, s)...)
	return append(found, checkCounters(writes, s)...)
}

// apply records the possible effect of a write.
func (f *fate) apply(w *Write, to string) {
	f.story = append(f.story, w)
	switch w.Outcome {
	case Acked:
		clear(f.allowed)
		f.allowed[to] = true
		f.removed = to == ""
	case Unknown, Unconfirmed:
		f.allowed[to] = true
	}
}

// judge compares with the element's actual place.
func (f *fate) judge(e Elem, at []string) (p Problem, bad bool) {
	now := ""
	switch len(at) {
	case 0:
	case 1:
		now = at[0]
	default:
		return Problem{Twice, f.tell(e, at)}, true
	}
	if f.allowed[now] {
		return p, false
	}
	what := Phantom
	switch {
	case now == "":
		what = Lost
	case f.removed || len(f.story) > 1:
		what = Undone
	}
	return Problem{what, f.tell(e, at)}, true
}

// tell describes the outcome for an element.
func (f *fate) tell(e Elem, at []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s is in %v, should be in %q:", e.Family, e.Tag, at,
		slices.Sorted(maps.Keys(f.allowed)))
	for _, w := range f.story {
		fmt.Fprintf(&b, " [%s]", w)
	}
	return b.String()
}

func (w *Write) String() string {
	return fmt.Sprintf("%s by client %d through proxy %d, %v to %v: %v %s", w.Name, w.Client,
		w.Proxy, w.Call, w.Return, w.Outcome, w.Text)
}

// torn finds unknown writes of several elements with some present and some missing.
func torn(writes []Write, fates map[Elem]*fate, s *State) (found []Problem) {
	for i := range writes {
		w := &writes[i]
		if !w.Outcome.open() || len(w.Effects) < 2 {
			continue
		}
		done := 0
		alone := true
		for _, e := range w.Effects {
			alone = alone && len(fates[e.Elem].story) == 1
			if slices.Contains(s.Places[e.Elem], e.To) {
				done++
			}
		}
		if alone && done != 0 && done != len(w.Effects) {
			found = append(found, Problem{Torn, fmt.Sprintf("%d of %d effects of %s", done,
				len(w.Effects), w)})
		}
	}
	return found
}

// Somewhere checks acknowledged writes that were sent after a moment: elements that were put there
// and not changed again must be in at least one of the states.
func Somewhere(writes []Write, after time.Duration, states ...*State) (found []Problem) {
	changes := map[Elem]int{}
	for i := range writes {
		for _, e := range writes[i].Effects {
			changes[e.Elem]++
		}
	}
	for i := range writes {
		w := &writes[i]
		if w.Outcome != Acked || w.Call <= after {
			continue
		}
		for _, e := range w.Effects {
			there := slices.ContainsFunc(states, func(s *State) bool {
				return slices.Contains(s.Places[e.Elem], e.To)
			})
			if changes[e.Elem] == 1 && !there {
				found = append(found, Problem{Lost, "not in any of the states: " + w.String()})
			}
		}
	}
	return found
}

// checkCounters: each acknowledged increment counts, each unknown one may, no two got the same
// number, and the counter is not below any number that was returned.
func checkCounters(writes []Write, s *State) (found []Problem) {
	type tally struct {
		acked, unknown, highest int64
		given                   map[int64]*Write
	}
	tallies := map[string]*tally{}
	for i := range writes {
		w := &writes[i]
		if w.Counter == "" || w.Outcome == Refused {
			continue
		}
		t := tallies[w.Counter]
		if t == nil {
			t = &tally{given: map[int64]*Write{}}
			tallies[w.Counter] = t
		}
		if w.Outcome.open() {
			t.unknown++
			continue
		}
		t.acked++
		t.highest = max(t.highest, w.Count)
		if other := t.given[w.Count]; other != nil {
			found = append(found, Problem{Lost,
				fmt.Sprintf("%s was %d twice: [%s] [%s]", w.Counter, w.Count, other, w)})
		}
		t.given[w.Count] = w
	}
	for key, t := range tallies {
		v := s.Counters[key]
		switch {
		case v < t.acked || v < t.highest:
			found = append(found, Problem{Lost, fmt.Sprintf("%s is %d: %d increments were "+
				"acknowledged, the highest as %d", key, v, t.acked, t.highest)})
		case v > t.acked+t.unknown:
			found = append(found, Problem{Miscounted, fmt.Sprintf("%s is %d: there were %d "+
				"acknowledged increments and %d unknown", key, v, t.acked, t.unknown)})
		}
	}
	return found
}
