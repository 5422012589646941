package takeover

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
)

// The sides of a takeover, and its outcomes, as the metric has them.
const (
	Old = "old" // this process had the sockets
	New = "new" // this process came for them

	Done    = "done"    // the new process serves
	Refused = "refused" // one of the two had a reason against it, and nothing has changed
	Failed  = "failed"  // the other process ended, or was too late; the old one serves on, or again
	Left    = "left"    // the old process was told to end before it knew
)

// An Outcome is the end of a takeover, or of an attempt, for one of the two processes.
type Outcome struct {
	Side, Outcome string
	PID           int    // of the other process; 0: unknown
	Why           string // there was no takeover; "": there was one
}

// Text is the outcome in words.
func (o *Outcome) Text() string {
	text := map[string]string{
		Old + Done: "handed over to process %d", New + Done: "taken over from process %d",
		Old + Refused: "refused to process %d", New + Refused: "nothing was taken over from process %d",
		Old + Failed: "process %d does not serve, and this one goes on", New + Failed: "process %d serves again",
		Old + Left: "ended while process %d took over",
	}[o.Side+o.Outcome]
	text = fmt.Sprintf(text, o.PID)
	if o.Why != "" {
		text += ": " + o.Why
	}
	return text
}

// A Count is the number of outcomes of one kind.
type Count struct {
	Side, Outcome string
	N             uint64
}

// A Record has the outcomes of a process, which may serve several times. It is safe for concurrent use. A nil
// Record keeps nothing.
type Record struct {
	mu     sync.Mutex
	tell   func(Outcome)
	counts []Count
	last   Outcome
}

// Tell has f called with each further outcome, on the goroutine of either side. It takes the place of the function
// before.
func (r *Record) Tell(f func(Outcome)) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = f
}

// Counts are the outcomes so far; none that has not occurred.
func (r *Record) Counts() []Count {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Count(nil), r.counts...)
}

// Ended notes that a process which this one has started to take over has ended, or could not be started, unless its
// outcome is known.
func (r *Record) Ended(pid int, err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	known := pid != 0 && r.last.Side == Old && r.last.PID == pid
	r.mu.Unlock()
	if !known {
		r.note(Outcome{Side: Old, Outcome: Failed, PID: pid, Why: cmp.Or(textOf(err), "it has ended")})
	}
}

// note counts an outcome, and tells it.
func (r *Record) note(o Outcome) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.last = o
	r.count(o.Side, o.Outcome)
	tell := r.tell
	r.mu.Unlock()
	if tell != nil {
		tell(o)
	}
}

// noteForeign counts an attempt of another user's process. Any user can make any number of them.
func (r *Record) noteForeign() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(Old, Refused)
}

// count is called with mu held.
func (r *Record) count(side, outcome string) {
	for i := range r.counts {
		if c := &r.counts[i]; c.Side == side && c.Outcome == outcome {
			c.N++
			return
		}
	}
	r.counts = append(r.counts, Count{side, outcome, 1})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// reasoned is the outcome that an error stands for, before anything has changed.
func reasoned(err error) string {
	if errors.Is(err, ErrGone) {
		return Failed
	}
	return Refused
}
