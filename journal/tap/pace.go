package tap

import (
	"context"
	"time"
)

// Each read of the stream leads to an append, a write, an fsync and an acknowledgement, which cost
// far more than the bytes do. While nobody waits for any of it, the tap leaves small reads some
// time to become larger: Options.Pace. As soon as someone waits, it does not.
//
//	nobody waits    read . . . . read . . . . read . . . .     one fsync per pace
//	Hurry           read read read read read read              one after the other

// hurryFor is how long one call of Hurry lasts.
const hurryFor = time.Second

// Hurry says that someone waits for what is being written: for the next second the tap passes on
// everything at once. It never blocks and costs next to nothing while it is in force, so that
// event loops may call it for every write. The primary's own request for an acknowledgement,
// which is what WAIT and WAITAOF make of it, has the same effect.
func (t *Tap) Hurry() {
	now := time.Now().UnixNano()
	till := t.hurryTill.Load()
	if till-now > int64(hurryFor/2) {
		return
	}
	t.hurryTill.Store(now + int64(hurryFor))
	if till < now {
		poke(t.hurried)
	}
}

// linger waits for the pace, unless someone is in a hurry. False means that the context ended.
func (t *Tap) linger(ctx context.Context) bool {
	if t.opts.Pace <= 0 || t.hurryTill.Load() > time.Now().UnixNano() {
		return true
	}
	timer := time.NewTimer(t.opts.Pace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.hurried:
	case <-timer.C:
	}
	return true
}
