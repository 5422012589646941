package eventloop

import (
	"sync"
	"sync/atomic"
)

// The state of the loop, for posters.
const (
	working  uint32 = iota // checks the mailbox before it waits again
	asleep                 // may be blocked in the driver: the next poster wakes it
	notified               // has mail, or Stop was called
)

// mailbox carries functions from any goroutine to the loop. Wake-ups are coalesced: of all posters
// since the loop fell asleep only the first wakes it, and a loop that is at work is not woken.
//
// No mail is missed, since each side writes first and looks second:
//
//	poster                        loop
//	------                        ----
//	append f to mail              CAS working→asleep (fails if notified: no wait)
//	old = swap state→notified     wait, CAS asleep→working
//	if old is asleep: wake        if swap state→working was notified: take the mail
type mailbox struct {
	state atomic.Uint32
	stopF atomic.Bool

	mu     sync.Mutex
	mail   []func() // guarded by mu
	closed bool     // guarded by mu

	running []func() // the loop's: swapped with mail
}

// post accepts f unless the mailbox is closed, and reports whether the caller must wake the loop.
func (m *mailbox) post(f func()) (ok, wake bool) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false, false
	}
	m.mail = append(m.mail, f)
	m.mu.Unlock()
	return true, m.notify()
}

func (m *mailbox) notify() (wake bool) {
	return m.state.Load() != notified && m.state.Swap(notified) == asleep
}

// stop asks the loop to end, and reports whether the caller must wake it.
func (m *mailbox) stop() (wake bool) {
	m.stopF.Store(true)
	return m.notify()
}

func (m *mailbox) stopping() bool { return m.stopF.Load() }

// trySleep announces that the loop is about to wait; false means that there is mail.
func (m *mailbox) trySleep() bool { return m.state.CompareAndSwap(working, asleep) }

// awake undoes trySleep, so that posters do not wake a working loop.
func (m *mailbox) awake() { m.state.CompareAndSwap(asleep, working) }

// run takes the mail and runs it. Functions posted meanwhile wait for the next turn.
func (m *mailbox) run() {
	if m.state.Load() == working || m.state.Swap(working) != notified {
		return
	}
	m.mu.Lock()
	m.mail, m.running = m.running[:0], m.mail
	m.mu.Unlock()
	for i, f := range m.running {
		m.running[i] = nil
		f()
	}
}

// close refuses further mail. Accepted mail remains for a last run.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.state.Store(notified)
}
