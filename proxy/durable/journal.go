package durable

import "holdfast/proxy/telemetry"

// A fence of the journal asks the primary for its replication offset: earlier answered writes lie
// below it. It is proven once the journal has that history up to the offset, fsynced, with a
// snapshot that leads to it. The server's part is one command, and the journal needs no query: it
// reports its position.
//
// A waiter must not miss its offset. Both sides use atomics, so this order is enough:
//
//	event loop                                 journal's goroutine
//	journalWaits.Store(true)                   the durable position moves
//	Confirmed(): there? then do not wait       JournalMoved: journalWaits.Load()? then post to the loop

// awaitJournal notes that a fence waits for the journal.
func (p *Pipeline) awaitJournal() {
	p.journalWaits.Store(true)
	p.lookAtJournal()
}

// JournalMoved is called by the journal's goroutines after each change of its position.
func (p *Pipeline) JournalMoved() {
	if p.journalWaits.Load() && p.journalWaits.CompareAndSwap(true, false) {
		p.env.Post(p.onJournal)
	}
}

// lookAtJournal ends the fences that the journal's position proves.
func (p *Pipeline) lookAtJournal() {
	f := p.journalFencer()
	if f == nil || p.journal == nil || p.env.Disbelieves() {
		return
	}
	replID, offset := p.journal.Confirmed()
	for i := 0; i < len(f.inFlight); {
		fc := f.inFlight[i]
		switch {
		case fc.replID[0] == 0:
			i++ // the server's offset has not arrived yet
		case fc.epoch != p.epoch || fc.replID != p.replID:
			f.ended(fc, telemetry.FencePrimary, "the primary's history has a new name")
			fc.recycle()
		case string(fc.replID[:]) == replID && offset >= fc.offset:
			f.ended(fc, telemetry.FenceProven, "")
			fc.recycle()
		default:
			i++
		}
	}
	if len(f.inFlight) == 0 {
		return
	}
	// The journal may have moved since the check above. Its notification would be lost then, so
	// check again.
	if !p.journalWaits.Swap(true) {
		if r, o := p.journal.Confirmed(); r != replID || o != offset {
			p.lookAtJournal()
		}
	}
}

// Believe is called when Env.Disbelieves has ended.
func (p *Pipeline) Believe() { p.lookAtJournal() }

func (p *Pipeline) journalFencer() *fencer {
	for _, f := range p.kinds {
		if f.kind.journal {
			return f
		}
	}
	return nil
}
