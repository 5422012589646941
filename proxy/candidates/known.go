package candidates

import (
	"cmp"
	"fmt"
	"slices"
)

// Known is a primary and its history, for a Watcher that begins with them. It is immutable.
type Known struct {
	Primary string   `json:"primary,omitempty"` // its address; "": only the history is known
	Lineage *lineage `json:"lineage"`
	// Watched: a Watcher has followed the candidates up to now, and this primary stays the primary by the rules of
	// one. Otherwise another one may have been promoted since, as after the stop of a proxy.
	Watched bool `json:"watched,omitempty"`
}

// Recorded is the Known of a record of histories: the replication ids that servers had, the last one at the end, and
// the address of the server that had this one, "" if it was not recorded. Without an id it is nil.
func Recorded(ids []string, server string) *Known {
	if len(ids) == 0 {
		return nil
	}
	last := ids[len(ids)-1]
	l := &lineage{Own: []string{last}}
	for _, id := range ids {
		if id != last {
			note(&l.Left, id)
		}
	}
	return &Known{Primary: server, Lineage: l}
}

// among is k with the address of its primary as the candidates have it.
func (k *Known) among(f *facts) *Known {
	if k == nil {
		return nil
	}
	out := *k
	if c := f.at(k.Primary); c != nil {
		out.Primary = c.address
	}
	return &out
}

// outdated reports whether a server that says that it is a primary has a history that was left for another one.
func (l *lineage) outdated(a *account) bool {
	return slices.Contains(l.Left, a.replid) || !a.replica && a.replid2 != "" && slices.Contains(l.Left, a.replid2)
}

// goesOn reports whether such a server has the last history, or was promoted from it.
func (l *lineage) goesOn(a *account) bool {
	return slices.Contains(l.Own, a.replid) || l.compare(a) == newer
}

// against is the reason against a primary that is the only one, while another candidate is silent; "": none is known.
// A proxy that starts cannot know whether the silent one was promoted. But it knows from k which server's clients it
// had last, and which histories they had left by then.
func (k *Known) against(f *facts, m *candidate) string {
	if k == nil || m.address == k.Primary || k.Lineage.goesOn(m.account) {
		return ""
	}
	i := slices.IndexFunc(f.candidates, func(c candidate) bool { return c.account == nil })
	if i < 0 {
		return ""
	}
	silent := f.candidates[i].address
	for _, c := range f.candidates {
		if c.account == nil && c.address == k.Primary {
			silent = c.address
		}
	}
	switch last := f.account(k.Primary); {
	case k.Lineage.outdated(m.account):
		return fmt.Sprintf("its history is older than the last one of %s, and %s does not answer",
			cmp.Or(k.Primary, "the journal"), silent)
	case f.at(k.Primary) == nil, last != nil && !last.master && f.follows(last, m):
		return ""
	}
	return fmt.Sprintf("%s was the primary last, this one was not promoted from its history, and %s does not answer",
		k.Primary, silent)
}

// begin is the history of a primary that was found at the start.
func (k *Known) begin(primary string, a *account) *lineage {
	switch {
	case k == nil:
		return lineageOf(a)
	case primary == k.Primary, slices.Contains(k.Lineage.Own, a.replid):
		l := k.Lineage.clone()
		l.learn(a)
		return l
	}
	l := lineageOf(a)
	for _, id := range slices.Concat(k.Lineage.Left, k.Lineage.Own) {
		if id != a.replid && !slices.Contains(l.File, id) {
			note(&l.Left, id)
		}
	}
	return l
}
