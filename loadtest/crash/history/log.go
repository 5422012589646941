package history

import (
	"strings"
	"time"
)

// Outcome is what a client knows about its command.
type Outcome uint8

// The outcomes. The zero value is the one that claims nothing.
const (
	Unknown     Outcome = iota // may have been executed
	Unconfirmed                // executed by the primary, which may be lost with it
	Acked                      // acknowledged
	Refused                    // answered as not executed
)

func (o Outcome) String() string {
	return [...]string{"unknown", "unconfirmed", "acknowledged", "refused"}[o]
}

// open reports that the command may have been executed, and need not be there.
func (o Outcome) open() bool { return o == Unknown || o == Unconfirmed }

// Never is the time of what did not return.
const Never = time.Duration(1<<63 - 1)

// A Span is when and where something was asked. Times count from the beginning of the log; they
// bound the true interval from outside.
type Span struct {
	Client, Proxy int
	Call, Return  time.Duration
	Outcome       Outcome
	Text          string // the error that it was answered, if any
}

// An Elem names a trace. All keys whose name begins with the same family ("pay:set:…" is of family
// "set") together hold it once at most.
type Elem struct{ Family, Tag string }

// An Effect is what a write does to one element: To is the key that holds it afterwards, empty for
// none.
type Effect struct {
	Elem Elem
	To   string
}

// A Write is a command whose effects can be told from all others'. Effects of one write are atomic.
// Writes on one element stand in the log in the order in which they were sent, and the next is sent
// only after the one before was answered.
type Write struct {
	Span
	Name    string // of the command, for people
	Effects []Effect
	Counter string // a key that it increments by one; empty: none
	Count   int64  // what the server answered then, if acknowledged
}

// Kind is what an operation does to a register.
type Kind uint8

// The kinds. All but Set tell the value that they found.
const (
	Get  Kind = iota
	Set       // writes
	Swap      // writes and tells what was there
	CAS       // writes if it finds Expect, and tells what it found
)

func (k Kind) String() string { return [...]string{"get", "set", "swap", "cas"}[k] }

// An Op is an operation on a register. The empty value is that of a register which nobody wrote.
type Op struct {
	Span
	Key    string
	Kind   Kind
	Write  string // what it writes
	Expect string // of CAS
	Saw    string // what it found, if it was acknowledged; not of Set
}

// A Log is what one client did, or several of them after one another.
type Log struct {
	Writes []Write
	Ops    []Op
}

// Join puts the logs of several clients together.
func Join(logs []*Log) *Log {
	all := &Log{}
	for _, l := range logs {
		all.Writes = append(all.Writes, l.Writes...)
		all.Ops = append(all.Ops, l.Ops...)
	}
	return all
}

// Through is the part of the log that went through one proxy, for writes that are not continued
// elsewhere. Effects on an element that came through another proxy first stay in doubt.
func (l *Log) Through(proxy int) *Log {
	part := &Log{}
	for _, w := range l.Writes {
		if w.Proxy != proxy && w.Outcome == Acked {
			w.Outcome = Unknown
		}
		part.Writes = append(part.Writes, w)
	}
	for _, op := range l.Ops {
		if op.Proxy != proxy && op.Outcome == Acked && op.Kind != Get {
			op.Outcome = Unknown
		}
		part.Ops = append(part.Ops, op)
	}
	return part
}

// Within is the log as the life of a primary saw it that began and ended within two times each: what
// was acknowledged for certain between the inner ones is its, and what may have been is in doubt.
func (l *Log) Within(begin, end Turmoil) *Log {
	part := &Log{}
	for _, w := range l.Writes {
		if cut(&w.Span, begin, end) {
			part.Writes = append(part.Writes, w)
		}
	}
	for _, op := range l.Ops {
		if cut(&op.Span, begin, end) {
			part.Ops = append(part.Ops, op)
		}
	}
	return part
}

// cut reports whether something may belong to a life at all, and changes its outcome accordingly.
func cut(s *Span, begin, end Turmoil) bool {
	// What is unknown may be executed long after the client has given it up.
	if s.Call > end.To || s.Return < begin.From && !s.Outcome.open() {
		return false
	}
	if (s.Call < begin.To || s.Return > end.From) && s.Outcome == Acked {
		s.Outcome = Unknown
	}
	return true
}

// Family is the part of a key's name that tells what is in it: "set" of "pay:set:1".
func Family(key string) string {
	_, rest, _ := strings.Cut(key, ":")
	family, _, _ := strings.Cut(rest, ":")
	return family
}
