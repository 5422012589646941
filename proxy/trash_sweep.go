package proxy

import (
	"encoding/json"
	"fmt"
	"time"

	"holdfast/proxy/resp"
)

// sweepTrashEvery is the interval of each proxy's sweeps of the trash.
const sweepTrashEvery = 3 * time.Second

// sweepTrash empties entries that have expired, makes room when memory is short, and resumes
// abandoned merges. The first worker does it, for the whole process.
func (w *worker) sweepTrash() {
	w.loop.AfterFunc(sweepTrashEvery, w.sweepTrash)
	if w.trash.reserved == nil {
		w.srv.trashRoom.note(nil)
	}
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

// sweepFailed logs an error, once until it changes.
func (w *worker) sweepFailed(err error) {
	if text := err.Error(); text != w.sweepError {
		w.sweepError = text
		w.log.Warn("the trash could not be looked after", "error", err)
	}
}

// swept reads a sweep's reply.
func (w *worker) swept(v *resp.Value) {
	var r struct {
		Expired, Pressed, Merging, Undoing []uint64
		Keys                               int64
		More                               bool
		Slots, Free                        int
		Next                               int64
	}
	if err := json.Unmarshal(v.Str, &r); err != nil {
		w.sweepFailed(fmt.Errorf("the reply to a sweep of the trash: %w", err))
		return
	}
	w.sweepError = ""
	w.noteRoom(r.Slots, r.Free, r.Next)
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

// mergeOn completes a merge. It may be under way elsewhere: then the steps of both add up.
func (w *worker) mergeOn(script string, id uint64, args ...string) {
	w.runTrash(script, append([]string{fmt.Sprint(id)}, args...), func(v *resp.Value, err error) {
		w.sweeping = false
		if err != nil {
			return // done elsewhere, or the next sweep resumes it
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
