package proxy

import (
	"slices"

	"holdfast/policy"
	"holdfast/proxy/durable"
	"holdfast/proxy/upstream"
)

// The server's part in durable routes: the proofs that are available to all workers.

// lookAtProofs is called when the available proofs may have changed.
func (srv *Server) lookAtProofs() {
	up := srv.up.Load()
	srv.proofs.Update(func() *durable.Availability {
		info, journal := up.Info(), durable.NoJournal
		if srv.recorder != nil {
			journal = srv.recorder.lacks(info)
		}
		return durable.Available(info, journal)
	})
	srv.loops.each((*worker).proofsMoved)
}

// journalMoved is called after each fsync of the journal, among other times: it looks only after a
// change.
func (srv *Server) journalMoved() {
	up := srv.up.Load()
	now := srv.recorder.lacks(up.Info())
	if now == srv.proofs.Now().Journal {
		return
	}
	if now == elsewhere {
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

// reportRoutes logs changes of the routes that lack their proofs. With mu held.
func (srv *Server) reportRoutes(r *rules, info *upstream.Info) {
	srv.routeLog.Report(r.routes.All(), info, srv.current.Journal.Dir != "",
		srv.current.Upstream.Address)
}
