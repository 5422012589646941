package trash

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// Room is the trash's room for flushes at the last sweep. A full trash denies further flushes, and
// operators should learn of it before their clients do.
type Room struct {
	Log   *slog.Logger
	state atomic.Pointer[roomState] // nil: there is no trash, or no sweep yet
}

type roomState struct {
	slots, free int
	until       time.Time // when the next entry is emptied; zero: there is none
}

// note takes a sweep's result. It runs on the first worker's loop.
func (r *Room) note(now *roomState) {
	before := r.state.Swap(now)
	was, is := before.full(), now.full()
	switch {
	case is && !was:
		r.Log.Warn("the trash is full: flushes are denied until there is room", "databases", now.slots,
			"next", stamp(now.until))
	case was && !is && now != nil:
		r.Log.Info("the trash has room for flushes again", "databases", now.slots, "free", now.free)
	}
}

func (s *roomState) full() bool { return s != nil && s.free == 0 }

// Troubles reports a full trash, for readiness.
func (r *Room) Troubles() []string {
	s := r.state.Load()
	if !s.full() {
		return nil
	}
	return []string{fmt.Sprintf("trash: full, flushes are denied; the next entry is emptied at %s; UNDO or "+
		"PURGE makes room", stamp(s.until))}
}

// Metric gives the trash's metrics; nil if there is no trash.
func (r *Room) Metric() *telemetry.TrashState {
	s := r.state.Load()
	if s == nil {
		return nil
	}
	return &telemetry.TrashState{Databases: s.slots, Free: s.free}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339)
}

// describeRoom fills in the use of the trash's databases, and which of them are free. flushed lists
// the flushed databases, and those outside of all entries.
func (t *Plan) describeRoom(out *admin.Trash, flushed []entry) {
	n := len(t.Reserved) - 1
	out.Databases, out.Ledger = t.Reserved[:n], t.Reserved[n]
	used := map[int]bool{}
	for i := range flushed {
		e := &flushed[i]
		for _, d := range e.DBs {
			used[d.Slot] = true
		}
		if until := time.UnixMilli(e.Until); e.ID != 0 && e.Merge == nil &&
			(out.RoomAt.IsZero() || until.Before(out.RoomAt)) {
			out.RoomAt = until
		}
	}
	out.Free = n - len(used)
}

// Holds asks a server for the number of slots of the trash that Reserve has reserved there, and the
// number of free ones.
func Holds(ctx context.Context, u *upstream.Upstream, s Settings, p *policy.Policy) (slots, free int, err error) {
	plan := NewPlan(s, nil, p, u.Info())
	if plan.Reserved == nil {
		return 0, 0, plan.Off
	}
	args := []any{"eval", scriptRoom, "0", plan.config}
	reply, err := u.Do(ctx, args...)
	if err != nil {
		return 0, 0, err
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, 0, fmt.Errorf("the script answered %v", reply)
	}
	return len(plan.Reserved) - 1, int(n), nil
}
