package proxy

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/upstream"
)

// The journal's answers to durable routes. All functions here but watch may be called from event
// loops: they take no lock and never wait.

// Confirmed implements durable.Journal. replID is the primary's master_replid.
func (r *recorder) Confirmed() (replID string, offset int64) {
	return r.tap.Load().ConfirmedIn()
}

// unavailable says why the journal cannot prove a write made now.
func (r *recorder) unavailable() durable.Lack {
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

// elsewhere: after a feed or a failover the server is on a history that the journal follows already
// and the control connection has not seen yet.
var elsewhere = durable.Passing("the server goes on under another replication id, which is being looked at")

// lacks says why the journal cannot prove a write made now to the server that the control
// connection sees. Until that connection sees the journal's history, a write would be answered
// -UNCONFIRMED.
func (r *recorder) lacks(i *upstream.Info) durable.Lack {
	why := r.unavailable()
	if why.Is() || i.ReplID == "" {
		return why
	}
	if replID, _ := r.Confirmed(); replID != "" && replID != i.ReplID {
		return elsewhere
	}
	return durable.Lack{}
}

var errNewJournal = errors.New("this proxy was started without a journal, and a reload does not " +
	"open one: set journal.dir and start the proxy anew")

// refuseNewJournal says why a reload cannot put the routes in force; nil: it can. Only a start
// opens a journal: until the next one its routes would refuse every write.
func (srv *Server) refuseNewJournal(routes []*policy.Route) error {
	if srv.recorder != nil {
		return nil
	}
	for _, r := range routes {
		if r.Spec.Demand.Journal {
			return fmt.Errorf("route %q demands the journal: %w", r.Spec.Name, errNewJournal)
		}
	}
	return nil
}

// FACKs implements durable.Journal.
func (r *recorder) FACKs() bool { return r.options().FACK }

// Hurry implements durable.Journal.
func (r *recorder) Hurry() { r.tap.Load().Hurry() }

// watch has fn called whenever the answer of Confirmed or unavailable may have changed: right after
// each fsync, when the journal attaches or detaches, becomes restorable, fails, fills its disk or
// goes on, and when the history changes. Several goroutines may call fn concurrently; it must not
// block, and should only load a flag while there is no waiter.
func (r *recorder) watch(fn func()) {
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
func (r *recorder) notify() {
	if all := r.watchers.Load(); all != nil {
		for _, fn := range *all {
			fn()
		}
	}
}
