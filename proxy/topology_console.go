package proxy

import (
	"slices"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// describe is the topology for the console; nil: no sentinels name the server.
func (t *topology) describe() *admin.Sentinels {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher == nil {
		return nil
	}
	v := t.watcher.View()
	out := &admin.Sentinels{Name: v.Name, Votes: v.Votes, Of: v.Of, Quorum: v.Quorum,
		Candidate: v.Candidate, Doubt: t.told.why, Certain: t.told.certain,
		Moves: slices.Clone(t.moves), Total: t.total}
	for i := range v.Sentinels {
		s := &v.Sentinels[i]
		out.List = append(out.List, admin.Sentinel{Address: s.Address, ID: s.ID, Configured: s.Configured,
			Counts: s.Counts, Heard: s.Heard, Names: s.Names, Epoch: s.Epoch, Sign: s.Sign, Error: s.Err})
	}
	return out
}

// metric is the topology for metrics; nil: no sentinels name the server.
func (t *topology) metric() *telemetry.SentinelState {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher == nil {
		return nil
	}
	v := t.watcher.View()
	return &telemetry.SentinelState{Heard: v.Heard(), Of: v.Of, Doubt: t.told.why != "", Moves: t.total}
}

// troubles lists problems for readiness. They make the proxy not ready (grave) while the primary is
// not known or not believed: another proxy may know better.
func (t *topology) troubles() (all []string, grave bool) {
	w := t.current()
	if w == nil {
		return nil, false
	}
	v := w.View()
	return v.Troubles(), v.Primary == "" || v.Certain
}
