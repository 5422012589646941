package proxy

import (
	"encoding/json"
	"fmt"
	"time"

	"holdfast/proxy/resp"
)

// sweepTrashEvery is the pace at which each proxy looks after the trash.
const sweepTrashEvery = 3 * time.Second

// sweepTrash empties what was kept long enough, makes room when memory is short, and goes on with
// merges that nobody goes on with. The first worker does it, for the whole process.
func (w *worker) sweepTrash() {
	w.loop.AfterFunc(sweepTrashEvery, w.sweepTrash)
	if w.trash.reserved == nil || w.draining || w.sweeping {
		return
	}
	w.sweepNow()
}

func (w *worker) sweepNow() {
	w.sweeping = true
	w.runTrash(scriptSweep, []string{w.trash.memory}, func(v *resp.Value, err error) {
		w.sweeping = false
		if err != nil {
			w.sweepFailed(err)
			return
		}
		w.swept(v)
	})
}

// sweepFailed tells of an error, once until it is another one.
func (w *worker) sweepFailed(err error) {
	if text := err.Error(); text != w.sweepError {
		w.sweepError = text
		w.log.Warn("the trash could not be looked after", "error", err)
	}
}

// swept reads what a sweep has done.
func (w *worker) swept(v *resp.Value) {
	var r struct {
		Expired, Pressed, Merging, Undoing []uint64
		Keys                               int64
		More                               bool
	}
	if err := json.Unmarshal(v.Str, &r); err != nil {
		w.sweepFailed(fmt.Errorf("the reply to a sweep of the trash: %w", err))
		return
	}
	w.sweepError = ""
	for _, id := range r.Expired {
		w.log.Info("an entry of the trash was kept long enough and is emptied", "id", id)
	}
	for _, id := range r.Pressed {
		w.log.Warn("an entry of the trash is emptied early: the server is short of memory", "id", id)
	}
	if r.Keys > 0 {
		w.log.Debug("single keys of the trash were emptied", "keys", r.Keys)
	}
	switch step := fmt.Sprint(mergeKeys); {
	case len(r.Merging) > 0:
		w.sweeping = true
		w.mergeOn(scriptMerge, r.Merging[0], step)
	case len(r.Undoing) > 0:
		w.sweeping = true
		w.mergeOn(scriptUndoKeys, r.Undoing[0], "CONTINUE", step)
	case r.More:
		w.sweepNow()
	}
}

// mergeOn takes a merge to its end. It may be under way elsewhere: then the steps of both add up.
func (w *worker) mergeOn(script string, id uint64, args ...string) {
	w.runTrash(script, append([]string{fmt.Sprint(id)}, args...), func(v *resp.Value, err error) {
		w.sweeping = false
		if err != nil {
			return // done elsewhere, or the next sweep finds out
		}
		m, err := parseMerge(v)
		switch {
		case err != nil:
			w.sweepFailed(err)
		case m.Done:
			w.log.Info("a merge from the trash is complete", "id", id, "keys", m.Moved,
				"left", m.Left)
		case !w.draining:
			w.sweeping = true
			w.mergeOn(script, id, args...)
		}
	})
}
