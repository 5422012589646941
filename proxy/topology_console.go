package proxy

import (
	"slices"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// describe is the topology for the console. At most one of both is set; neither: upstream.address names
// the server.
func (t *topology) describe() (*admin.Sentinels, *admin.Candidates) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s := t.source.(type) {
	case bySentinels:
		return t.describeSentinels(s), nil
	case byCandidates:
		return nil, t.describeCandidates(s)
	}
	return nil, nil
}

// describeSentinels is describe's part under the lock.
func (t *topology) describeSentinels(w bySentinels) *admin.Sentinels {
	v := w.View()
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

// describeCandidates is describe's part under the lock.
func (t *topology) describeCandidates(w byCandidates) *admin.Candidates {
	v := w.View()
	out := &admin.Candidates{Primary: v.Primary, Why: v.Why, Doubt: t.told.why, Certain: t.told.certain,
		Against: v.Against, Moves: slices.Clone(t.moves), Total: t.total}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		out.List = append(out.List, admin.Candidate{Address: c.Address, Heard: c.Heard, Says: c.Says(),
			History: c.ReplID, Continues: c.ReplID2, Offset: c.Offset})
	}
	return out
}

// metric is the topology for metrics; all nil: upstream.address names the server.
func (t *topology) metric() (*telemetry.SuccessionState, *telemetry.SentinelState, *telemetry.CandidateState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := &telemetry.SuccessionState{Doubt: t.told.why != "", Moves: t.total}
	switch s := t.source.(type) {
	case bySentinels:
		v := s.View()
		return all, &telemetry.SentinelState{Heard: v.Heard(), Of: v.Of}, nil
	case byCandidates:
		v := s.View()
		heard, masters := v.Heard(), v.Masters()
		return all, nil, &telemetry.CandidateState{Primaries: masters, Replicas: heard - masters,
			Silent: len(v.Candidates) - heard}
	}
	return nil, nil, nil
}

// troubles lists problems for readiness. They make the proxy not ready (grave) while the primary is
// not known or not believed: another proxy may know better.
func (t *topology) troubles() (all []string, grave bool) {
	w := t.current()
	if w == nil {
		return nil, false
	}
	v := w.belief()
	return w.troubles(), v.primary == "" || v.certain
}
