package history

import (
	"strings"
	"time"
)

// Outcome is a client's knowledge about its command.
type Outcome uint8

// The outcomes. The zero value claims nothing.
const (
	Unknown     Outcome = iota // may have been executed
	Unconfirmed                // executed by the primary, which may be lost with it
	Acked                      // acknowledged
	Refused                    // answered as not executed
)

func (o Outcome) String() string {
	return [...]string{"unknown", "unconfirmed", "acknowledged", "refused"}[o]
}

// open reports that the command may have been executed, and may be missing.
func (o Outcome) open() bool { return o == Unknown || o == Unconfirmed }

// Never is the return time of a command that did not return.
const Never = time.Duration(1<<63 - 1)

// A Span is the time and the place of a command. Times count from the beginning of the log; they
// bound the true interval from outside.
type Span struct {
	Client, Proxy int
	Call, Return  time.Duration
	Outcome       Outcome
	Text          string // the error reply, if any
}

// An Elem names a trace. All keys whose name begins with the same family ("pay:set:…" is of family
// "set") together hold it at most once.
type Elem struct{ Family, Tag string }

// An Effect is a write's effect on one element: To is the key that holds it afterwards, empty for
// none.
type Effect struct {
	Elem Elem
	To   string
}

// A Write is a command with effects distinct from all others'. Effects of one write are atomic.
// Writes on one element are in the log in the order in which they were sent; the next is sent only
// after the answer to the one before.
type Write struct {
	Span
	Name    string // of the command, for people
	Effects []Effect
	Counter string // a key that it increments by one; empty: none
	Count   int64  // the server's answer, if acknowledged
}

// Kind is the kind of an operation on a register.
type Kind uint8

// The kinds. All but Set return the value that they found.
const (
	Get  Kind = iota
	Set       // writes
	Swap      // writes and returns the old value
	CAS       // writes if it finds Expect, and returns the old value
)

func (k Kind) String() string { return [...]string{"get", "set", "swap", "cas"}[k] }

// An Op is an operation on a register. The empty value is that of an unwritten register.
type Op struct {
	Span
	Key    string
	Kind   Kind
	Write  string // the new value
	Expect string // of CAS
	Saw    string // the value it found, if acknowledged; not of Set
}

// A Log is the history of one client, or of several in sequence.
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

// Within is the log as seen by a primary whose life began and ended within two times each: commands
// acknowledged between the inner ones certainly belong to it; commands that overlap the outer ones
// are in doubt.
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

// cut reports whether a command may belong to a life at all, and changes its outcome accordingly.
func cut(s *Span, begin, end Turmoil) bool {
	// An unknown command may be executed long after the client has given it up.
	if s.Call > end.To || s.Return < begin.From && !s.Outcome.open() {
		return false
	}
	if (s.Call < begin.To || s.Return > end.From) && s.Outcome == Acked {
		s.Outcome = Unknown
	}
	return true
}

// Family is the part of a key's name that gives its type: "set" of "pay:set:1".
func Family(key string) string {
	_, rest, _ := strings.Cut(key, ":")
	family, _, _ := strings.Cut(rest, ":")
	return family
}
