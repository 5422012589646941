package proxy

import "holdfast/proxy/telemetry"

// A fence of the journal asks the primary for its replication offset: what was answered before lies
// below it. It is proven when the journal has everything of that history up to there, fsynced, with
// a snapshot that leads to it. The server is done with such a fence at once, and the journal is not
// asked anything: its position comes by itself.

// journalProof is what fences want of the journal; recorder has it. It takes no lock for long.
type journalProof interface {
	confirmed() (replID string, offset int64)
	hurry()
	facks() bool
}

// awaitJournal notes that a fence waits for the journal from now on.
func (d *durability) awaitJournal(fl *flight) {
	d.w.journalWaits.Store(true)
	d.journalMoved()
}

// journalNotified is called by the journal's goroutines.
func (w *worker) journalNotified() {
	if w.journalWaits.Load() && w.journalWaits.CompareAndSwap(true, false) {
		w.loop.Post(w.onJournal)
	}
}

func (w *worker) journalMoved() {
	if w.durable != nil {
		w.durable.journalMoved()
	}
}

// journalMoved ends the fences that the journal's position proves.
func (d *durability) journalMoved() {
	f := d.journalFencer()
	if f == nil || d.w.recorder == nil {
		return
	}
	replID, offset := d.w.recorder.confirmed()
	for i := 0; i < len(f.flights); {
		fl := f.flights[i]
		switch {
		case fl.replID[0] == 0:
			i++ // the server has not said its offset yet
		case fl.epoch != d.epoch || fl.replID != d.replID:
			f.ended(fl, telemetry.FencePrimary, "the primary's history has a new name")
			fl.landed()
		case string(fl.replID[:]) == replID && offset >= fl.offset:
			f.ended(fl, telemetry.FenceProven, "")
			fl.landed()
		default:
			i++
		}
	}
	if len(f.flights) == 0 {
		return
	}
	// It may have moved between the look and now: then nobody is told any more, unless it is
	// looked at again.
	if !d.w.journalWaits.Swap(true) {
		if r, o := d.w.recorder.confirmed(); r != replID || o != offset {
			d.journalMoved()
		}
	}
}

func (d *durability) journalFencer() *fencer {
	for _, f := range d.kinds {
		if f.kind.journal {
			return f
		}
	}
	return nil
}
