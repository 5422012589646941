package journal

// span is the part of a history that one timeline holds.
type span struct {
	id       TimelineID
	from, to int64
}

// lineage returns the timelines that make up the history of id, its oldest ancestor first. Each
// ends where the next one forks off; the last ends at its End.
//
//	timeline 1  ----------+-------x        lineage(1) = [1: 0-22)
//	                       \
//	timeline 2              +----------    lineage(2) = [1: 0-11) [2: 11-22)
func (c *catalog) lineage(id TimelineID) []span {
	t := c.find(id)
	if t == nil {
		return nil
	}
	spans := []span{{t.ID, t.Start, t.End}}
	limit := t.Start
	for t.Parent != 0 && t.Parent < t.ID {
		limit = min(limit, t.Fork)
		parent := c.find(t.Parent)
		if parent == nil {
			break
		}
		spans = append([]span{{parent.ID, parent.Start, min(limit, parent.End)}}, spans...)
		t, limit = parent, min(limit, parent.Start)
	}
	return spans
}

// baseOn reports whether a base lies on a lineage, and so leads to the stream after it there.
func baseOn(spans []span, b Base) bool {
	for _, s := range spans {
		if s.id == b.Timeline {
			return b.Offset >= s.from && b.Offset <= s.to
		}
	}
	return false
}
