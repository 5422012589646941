package recorder

import (
	"context"

	"holdfast/journal"
	"holdfast/journal/repair"
	"holdfast/journal/tap"
)

// The journal's part in a failover. The proxy's feeder decides when, and for which servers.

// Attached reports whether the tap follows the server.
func (r *Recorder) Attached() bool { return r.tap.Load().Attached() }

// Following returns the address of the server that the tap follows, or tries to, and how it fares.
func (r *Recorder) Following() (address string, s tap.Stats) {
	t := r.tap.Load()
	return t.Endpoint().Address, t.Stats()
}

// FeedReplicas gives replicas of a primary that is gone the writes that only the journal has. linked: also
// those that believe to be connected to it. ErrRunning: a repair runs, or a feed.
func (r *Recorder) FeedReplicas(ctx context.Context, primary string, replicas []string, linked bool) (
	[]repair.ReplicaFed, error,
) {
	j, o := r.journal.Load(), r.options()
	if err := j.WaitDurable(ctx, j.Received()); err != nil {
		return nil, err
	}
	view, err := j.View()
	if err != nil {
		return nil, err
	}
	ro := repair.ReplicaOptions{Dir: o.Dir, FS: o.FS, View: view, Primary: primary, Places: &r.places,
		Linked: linked, Logger: r.log}
	e := r.tap.Load().Endpoint() // for its login
	for _, e.Address = range replicas {
		ro.Replicas = append(ro.Replicas, e)
	}
	return repair.FeedReplicas(ctx, ro)
}

// LastIncident returns the number of the last incident; 0: there was none.
func (r *Recorder) LastIncident() (n int) {
	for _, i := range r.journal.Load().Incidents() {
		n = max(n, i.N)
	}
	return n
}

// LossesAfter returns the open incidents behind number n whose writes a feed could bring back.
func (r *Recorder) LossesAfter(n int) (out []int) {
	for _, i := range r.journal.Load().Incidents() {
		if i.N > n && i.Open() && i.IsLoss() && !i.Replaced {
			out = append(out, i.N)
		}
	}
	return out
}

// FeedLost feeds the server the lost branch of an incident, and settles the incident. After
// replay.ErrNotFed the server and the incident are as before.
func (r *Recorder) FeedLost(ctx context.Context, incident int) (commands int64, err error) {
	o := r.options()
	unlock, err := repair.Lock(o.FS, o.Dir)
	if err != nil {
		return 0, err
	}
	defer unlock()
	rep, err := repair.Run(ctx, repair.Options{Dir: o.Dir, FS: o.FS, Incident: incident, FeedOnly: true,
		Fresh: func() (*journal.View, error) { return r.journal.Load().View() },
		Live:  r.tap.Load().Endpoint(), Logger: r.log})
	if err == nil {
		_, err = r.settle(context.WithoutCancel(ctx), rep)
	}
	return rep.Fed, err
}
