package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience bounds the check of one register.
const patience = 20 * time.Second

// A Turmoil is the time from the first moment at which a primary may have been gone or replaced
// until its successor was alone.
type Turmoil struct{ From, To time.Duration }

// Life checks the operations up to a moment until which one primary served all of them.
func Life(ops []Op, until time.Duration) []Problem {
	var kept []Op
	for _, op := range ops {
		switch {
		case op.Call > until || op.Kind == Get && op.Return > until:
		case op.Return > until && op.Outcome != Refused:
			op.Outcome = Unknown
			kept = append(kept, op)
		default:
			kept = append(kept, op)
		}
	}
	return linearizable(kept)
}

// Across checks the whole history, across changes of the primary.
func Across(ops []Op, turmoils []Turmoil) []Problem {
	acked := map[string]bool{"": true}
	for _, op := range ops {
		if op.Kind != Get && op.Outcome == Acked {
			acked[op.Write] = true
		}
	}
	last := time.Duration(0)
	for _, t := range turmoils {
		last = max(last, t.To)
	}
	var kept []Op
	for _, op := range ops {
		if op.Kind == Get {
			during := slices.ContainsFunc(turmoils, func(t Turmoil) bool {
				return op.Call <= t.To && op.Return >= t.From
			})
			if during || op.Call < last && !acked[op.Saw] {
				continue
			}
		}
		if op.Outcome == Unconfirmed {
			op.Outcome = Unknown
		}
		kept = append(kept, op)
	}
	return linearizable(kept)
}

// linearizable checks each register by itself: linearizability is local.
func linearizable(ops []Op) (found []Problem) {
	byKey := map[string][]Op{}
	for _, op := range ops {
		byKey[op.Key] = append(byKey[op.Key], op)
	}
	for key, part := range byKey {
		seen := seenValues(part)
		var events []porcupine.Operation
		for _, op := range part {
			if op.Kind != Get && op.Outcome == Refused && seen[op.Write] {
				found = append(found, Problem{Phantom, fmt.Sprintf("%s: a refused write was seen: %s",
					key, &op)})
			}
			if event, ok := operation(&op, seen); ok {
				events = append(events, event)
			}
		}
		switch porcupine.CheckOperationsTimeout(model, events, patience) {
		case porcupine.Illegal:
			found = append(found, Problem{Disordered, key + ":" + trouble(events)})
		case porcupine.Unknown:
			found = append(found, Problem{Undecided, fmt.Sprintf("%s, %d operations", key,
				len(events))})
		}
	}
	return found
}

// seenValues are the values that some operation saw. An open CAS whose own value was seen has seen
// its expected one.
func seenValues(ops []Op) map[string]bool {
	seen := map[string]bool{}
	for _, op := range ops {
		if op.Outcome == Acked && op.Kind != Set {
			seen[op.Saw] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, op := range ops {
			if op.Kind == CAS && op.Outcome.open() && seen[op.Write] && !seen[op.Expect] {
				seen[op.Expect], grown = true, true
			}
		}
	}
	return seen
}

// operation is an operation as the checker takes it, unless it is left out.
func operation(op *Op, seen map[string]bool) (event porcupine.Operation, ok bool) {
	event = porcupine.Operation{ClientId: op.Client, Input: *op, Call: int64(op.Call),
		Return: int64(op.Return)}
	switch {
	case op.Outcome == Acked:
		event.Output = true
	case op.Outcome == Refused || op.Kind == Get:
		return event, false
	case op.Outcome == Unconfirmed:
		event.Output = false
	case !seen[op.Write]:
		return event, false
	default:
		event.Output, event.Return = false, int64(Never)
	}
	return event, true
}

// model is a register. The output includes whether the value seen is known.
var model = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		now, op := state.(string), input.(Op)
		if output.(bool) && op.Kind != Set && op.Saw != now {
			return false, now
		}
		switch {
		case op.Kind == Get, op.Kind == CAS && now != op.Expect:
			return true, now
		}
		return true, op.Write
	},
}

func (op *Op) String() string {
	return fmt.Sprintf("%v writes %q, expects %q, saw %q, client %d, %v to %v: %v %s", op.Kind,
		op.Write, op.Expect, op.Saw, op.Client, op.Call, op.Return, op.Outcome, op.Text)
}

// shown is the number of operations in the output.
const shown = 12

// trouble is the end of the shortest wrong prefix of a history.
func trouble(events []porcupine.Operation) string {
	slices.SortFunc(events, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	n := sort.Search(len(events), func(n int) bool {
		return porcupine.CheckOperationsTimeout(model, beginning(events, n+1), time.Second) ==
			porcupine.Illegal
	})
	var b strings.Builder
	for _, e := range events[max(0, n+1-shown):min(n+1, len(events))] {
		op := e.Input.(Op)
		fmt.Fprintf(&b, "\n    %s", &op)
	}
	return b.String()
}

// beginning is the first n operations. Later ones can only explain the values that these saw: the
// writes among them are there, and open.
func beginning(events []porcupine.Operation, n int) []porcupine.Operation {
	part := slices.Clone(events[:n])
	for _, e := range events[n:] {
		if e.Input.(Op).Kind != Get {
			e.Output, e.Return = false, int64(Never)
			part = append(part, e)
		}
	}
	return part
}
