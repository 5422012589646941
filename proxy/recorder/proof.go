package recorder

import (
	"slices"

	"holdfast/journal"
	"holdfast/proxy/durable"
	"holdfast/proxy/upstream"
)

// The journal's answers to durable routes. All functions here but Watch may be called from event
// loops: they take no lock and never wait.

// Confirmed implements durable.Journal. replID is the primary's master_replid.
func (r *Recorder) Confirmed() (replID string, offset int64) {
	return r.tap.Load().ConfirmedIn()
}

// unavailable says why the journal cannot prove a write made now.
func (r *Recorder) unavailable() durable.Lack {
	switch r.journal.Load().State() {
	case journal.StateFailed:
		return durable.Lasting("the journal has failed")
	case journal.StateFull:
		return durable.Lasting("the journal's disk is full")
	}
	if why := r.heldBack(); why != "" {
		return durable.Lasting(why)
	}
	switch t := r.tap.Load(); {
	case !t.Attached():
		return durable.Passing("the journal does not follow the server")
	case !t.Covered():
		return durable.Passing("the journal has no snapshot that leads to the present yet")
	}
	return durable.Lack{}
}

// Elsewhere is a Lack that ends with the control connection's next look: after a feed or a failover the server is on a history that the journal follows already
// and the control connection has not seen yet.
var Elsewhere = durable.Passing("the server goes on under another replication id, which is being looked at")

// Lacks says why the journal cannot prove a write made now to the server that the control
// connection sees. Until that connection sees the journal's history, a write would be answered
// -UNCONFIRMED.
func (r *Recorder) Lacks(i *upstream.Info) durable.Lack {
	why := r.unavailable()
	if why.Is() || i.ReplID == "" {
		return why
	}
	if replID, _ := r.Confirmed(); replID != "" && replID != i.ReplID {
		return Elsewhere
	}
	return durable.Lack{}
}

// FACKs implements durable.Journal.
func (r *Recorder) FACKs() bool { return r.options().FACK }

// Hurry implements durable.Journal.
func (r *Recorder) Hurry() { r.tap.Load().Hurry() }

// Watch has fn called whenever the answer of Confirmed or unavailable may have changed: right after
// each fsync, when the journal attaches or detaches, becomes restorable, fails, fills its disk or
// goes on, and when the history changes. Several goroutines may call fn concurrently; it must not
// block, and should only load a flag while there is no waiter.
func (r *Recorder) Watch(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []func()
	if old := r.watchers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = append(all, fn)
	r.watchers.Store(&all)
}

// notify calls the watchers.
func (r *Recorder) notify() {
	if all := r.watchers.Load(); all != nil {
		for _, fn := range *all {
			fn()
		}
	}
}
