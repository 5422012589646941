package replay

import (
	"fmt"
	"maps"

	"holdfast/journal/quantity"
)

// standing words how far towards the plan's point the target's data is.
func (t *target) standing(l look) string {
	plan := t.opts.Plan
	switch {
	case l.loading:
		return "it is loading"
	case !t.onTheWay(l) && l.holds() == "":
		return "it holds nothing"
	case !t.onTheWay(l):
		return "it holds " + l.holds()
	case l.offset == plan.End():
		return "it holds everything up to the point"
	case l.offset == plan.Base.Offset:
		return "it holds the base only: " + l.holds()
	}
	return fmt.Sprintf("it holds the base and the stream up to offset %d of %d: %s", l.offset,
		plan.End(), l.holds())
}

// onTheWay reports whether a target has applied a part of this plan, by its own account; the base
// is the least.
func (t *target) onTheWay(l look) bool {
	plan := t.opts.Plan
	return l.replID == plan.ReplID && l.offset >= plan.Base.Offset && l.offset <= plan.End()
}

// continues reports whether a replica can go on from its offset: it has applied this history up to
// there, by its own account, without other writes or errors.
func (t *target) continues(l look) bool {
	return t.onTheWay(l) && !t.opts.Plan.Edited && l.rejected == 0 &&
		l.info["slave_read_only"] == "1"
}

// atPoint reports that a primary was promoted at this very point before.
func (t *target) atPoint(l look) string {
	if at, ok := l.promotedFrom(t.opts.Plan.ReplID); !ok || l.replica || at != t.opts.Plan.End() {
		return ""
	}
	if since := l.offset - t.opts.Plan.End(); since > 0 {
		return fmt.Sprintf("it was promoted at this very point, and has taken %s of stream since",
			quantity.Of(since, "byte"))
	}
	return "it stands at this very point already"
}

// same reports whether a target holds as many keys as before, in the same databases, and as many
// libraries of functions.
func (l look) same(before look) bool {
	return maps.Equal(l.keys, before.keys) &&
		l.info["number_of_functions"] == before.info["number_of_functions"]
}
