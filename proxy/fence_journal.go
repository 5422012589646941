package proxy

import "holdfast/proxy/telemetry"

// A fence of the journal asks the primary for its replication offset: earlier answered writes lie
// below it. It is proven once the journal has that history up to the offset, fsynced, with a
// snapshot that leads to it. The server's part is one command, and the journal needs no query: it
// reports its position.

// journalProof is the fences' interface to the journal, implemented by recorder. It takes no lock
// for long.
type journalProof interface {
	confirmed() (replID string, offset int64)
	hurry()
	facks() bool
}

// awaitJournal notes that a fence waits for the journal.
func (d *durability) awaitJournal() {
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
			i++ // the server's offset has not arrived yet
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
	// The journal may have moved since the check above. Its notification would be lost then, so
	// check again.
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
