package proxy

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/recorder"
	"holdfast/proxy/upstream"
)

// The server's part in durable routes: the proofs that are available to all workers.

// lookAtProofs is called when the available proofs may have changed.
func (srv *Server) lookAtProofs() {
	up := srv.up.Load()
	var before, now *durable.Availability
	srv.proofs.Update(func() *durable.Availability {
		info, journal := up.Info(), durable.NoJournal
		if srv.recorder != nil {
			journal = srv.recorder.Lacks(info)
		}
		before, now = srv.proofs.Now(), durable.Available(info, journal, srv.topology.deaf())
		return now
	})
	switch {
	case now.Cut && !before.Cut:
		srv.log.Warn("durable routes take no writes", "why", now.Server.Why)
	case before.Cut && !now.Cut:
		srv.log.Info("the server is not cut off", "lacks", now.Server.Why)
	}
	srv.loops.each((*worker).proofsMoved)
}

// journalMoved is called after each fsync of the journal, among other times: it looks only after a
// change.
func (srv *Server) journalMoved() {
	up := srv.up.Load()
	now := srv.recorder.Lacks(up.Info())
	if now == srv.proofs.Now().Journal {
		return
	}
	if now == recorder.Elsewhere {
		up.Recheck()
	}
	srv.lookAtProofs()
}

// askForProofs takes the routes in force from now on.
func (srv *Server) askForProofs(routes []*policy.Route) {
	up := srv.up.Load()
	up.WatchClosely(len(routes) > 0)
	up.WatchReplicas(slices.ContainsFunc(routes, func(r *policy.Route) bool {
		return r.Spec.Demand.AOFReplicas > 0
	}))
	srv.proofs.SetRoutes(routes)
}

var errNewJournal = errors.New("this proxy was started without a journal, and a reload does not " +
	"open one: set journal.dir and restart the proxy")

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

// reportRoutes logs changes of the routes that lack their proofs. With mu held.
func (srv *Server) reportRoutes(r *rules, info *upstream.Info) {
	srv.routeLog.Report(r.routes.All(), info, srv.current.Journal.Dir != "",
		srv.current.Upstream.Address)
}
