package proxy

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/policy"
)

// What durable routes ask of the journal. Everything here but watch may be called from event loops:
// it takes no lock and waits for nothing.
//
// Whoever waits for an offset must not miss its coming. Both sides use atomics, so this is enough:
//
//	event loop                                journal's goroutine
//	waiting.Store(true)                       the durable position moves
//	confirmed(): there? then do not wait      watcher: waiting.Load()? then post to the loop

// confirmed gives what is proven: the journal holds, fsynced and with a base that leads to it,
// everything of the history replID below offset. replID is the primary's master_replid. "" proves
// nothing.
func (r *recorder) confirmed() (replID string, offset int64) {
	return r.tap.Load().ConfirmedIn()
}

// unavailable is why the journal cannot prove what is written now; "" means that it can.
func (r *recorder) unavailable() string {
	switch r.journal.Load().State() {
	case journal.StateFailed:
		return "the journal has failed"
	case journal.StateFull:
		return "the journal's disk is full"
	}
	switch t := r.tap.Load(); {
	case !t.Attached():
		return "the journal does not follow the server"
	case !t.Covered():
		return "the journal has no snapshot that leads to the present yet"
	}
	return ""
}

var errNewJournal = errors.New("this proxy was started without a journal, and a reload does not " +
	"open one: set journal.dir and start the proxy anew")

// refuseNewJournal says why a reload cannot put the routes in force; nil if it can. A journal begins
// with the proxy: until the next start its routes would refuse everything.
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

// facks reports that the journal's fsyncs count in the server's own WAITAOF.
func (r *recorder) facks() bool {
	_, o, _ := r.parts()
	return o.FACK
}

// hurry says that something was sent whose proof someone waits for.
func (r *recorder) hurry() { r.tap.Load().Hurry() }

// watcher is one function that watch was given.
type watcher struct{ call func() }

// watch has fn called after what confirmed or unavailable answers may have changed: at once after
// each fsync, when the journal attaches or detaches, becomes restorable, fails, fills its disk or
// goes on, and when the history changes. Calls come from several goroutines, perhaps at once; fn
// must not block, and should do no more than load a flag while nobody waits. After cancel returned
// fn may still be running.
func (r *recorder) watch(fn func()) (cancel func()) {
	w := &watcher{fn}
	r.changeWatchers(func(all []*watcher) []*watcher { return append(all, w) })
	return func() {
		r.changeWatchers(func(all []*watcher) []*watcher {
			return slices.DeleteFunc(all, func(o *watcher) bool { return o == w })
		})
	}
}

func (r *recorder) changeWatchers(change func([]*watcher) []*watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*watcher
	if old := r.watchers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	r.watchers.Store(&all)
}

// notify calls the watchers.
func (r *recorder) notify() {
	if all := r.watchers.Load(); all != nil {
		for _, w := range *all {
			w.call()
		}
	}
}
