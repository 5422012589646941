package event

import "holdfast/journal/stream"

// Picker picks an event's own commands: those that destroy, and, if the trash took their place, its
// whole transaction. Other commands of a client's transaction are not the event's.
type Picker struct {
	// Match selects names, in upper case; nil: all flushes and swaps.
	Match func(name string) bool
	// Deletes says that keys deleted one by one count, too, whatever Match says.
	Deletes bool

	trash trash
	unit  unit
	picks []Span
	spans []Span
}

// Span is a piece of the stream, [From, To).
type Span struct{ From, To int64 }

// Take adds a command.
func (p *Picker) Take(c *stream.Command) {
	if len(c.Args) == 0 {
		return
	}
	e, u := effectOf(c), &p.unit
	if !u.inside {
		u.reset()
		u.start, u.inside = c.Start, c.Tx == stream.TxBegin
		p.picks = p.picks[:0]
	}
	u.look(c, e, &Counts{})
	if e.special == set {
		u.sign(c)
	}
	if p.wants(c, e) {
		p.picks = append(p.picks, Span{c.Start, c.End})
	}
	if c.Tx == stream.TxNone || c.Tx == stream.TxEnd {
		u.inside, u.end = false, c.End
		p.finish()
	}
}

func (p *Picker) wants(c *stream.Command, e effect) bool {
	if e.special == deletes && p.Deletes {
		return true
	}
	if p.Match == nil {
		return e.special == flushAll || e.special == flushDB || e.special == swapDB && !c.SwapsNothing()
	}
	return p.Match(upper(c.Args[0]))
}

// finish takes the unit's destructive commands; of the trash's unit it takes all, or nothing.
func (p *Picker) finish() {
	u := &p.unit
	if u.repair {
		return
	}
	entry := u.entry
	if entry == nil && len(u.dropped) == 0 {
		p.spans = append(p.spans, p.picks...)
		return
	}
	u.settle(&p.trash)
	switch {
	case len(u.dropped) > 0 && len(u.kills) > 0: // another command stands between the trash's own
		p.spans = append(p.spans, p.picks...)
		return
	case len(u.dropped) > 0:
		return // it puts back, or empties databases that were moved aside before
	}
	name := entry.name()
	if len(u.kills) > 0 && (p.Match == nil || p.Match(name)) || u.deletes > 0 && p.Deletes ||
		entry.keyed && u.aside > 0 && p.Match != nil && p.Match(name) {
		p.spans = append(p.spans, Span{u.start, u.end})
	}
}

// Spans are the spans picked so far, in order.
func (p *Picker) Spans() []Span { return p.spans }

func upper(name []byte) string {
	b := make([]byte, len(name))
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c &^= 0x20
		}
		b[i] = c
	}
	return string(b)
}
