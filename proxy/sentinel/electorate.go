package sentinel

import (
	"cmp"
	"slices"
)

// maxSentinels bounds the sentinels that are connected to: a wrong one can list any number.
const maxSentinels = 64

// peer is a sentinel as another one lists it.
type peer struct{ id, address string }

// member is a sentinel that is known, with its last answer.
type member struct {
	address    string
	configured bool
	id         string // SENTINEL MYID; "": it has never answered
	peers      []peer // that it listed last
}

// electorate returns the addresses of the members that count, configured ones first; the peers that
// should become members; and the addresses of the members that should leave. It is a pure function;
// see the package's comment for the rules.
func electorate(members []member) (counts []string, join []peer, leave []string) {
	listed := listings(members)
	base := 0
	seen := map[string]bool{} // ids
	for _, m := range members {
		if m.configured && !seen[m.id] {
			base++
			seen[m.id] = m.id != ""
		}
	}
	clear(seen)
	for _, configured := range []bool{true, false} {
		for _, m := range members {
			known := m.configured || m.id != "" && 2*listed[m.id].by > base
			if m.configured == configured && known && !seen[m.id] {
				counts = append(counts, m.address)
				seen[m.id] = m.id != ""
			}
		}
	}
	wanted := map[string]bool{} // addresses
	for id, l := range listed {
		if 2*l.by <= base || seen[id] {
			continue
		}
		wanted[l.address] = true
		if !hasAddress(members, l.address) {
			join = append(join, peer{id, l.address})
		}
	}
	for _, m := range members {
		if !m.configured && !wanted[m.address] && !slices.Contains(counts, m.address) {
			leave = append(leave, m.address)
		}
	}
	slices.SortFunc(join, func(a, b peer) int { return cmp.Compare(a.id, b.id) })
	return counts, join[:min(max(maxSentinels-len(members), 0), len(join))], leave
}

// listing is how many configured sentinels list an id, and at which address.
type listing struct {
	by      int
	address string
}

// listings counts the lists of the configured members, one of each sentinel.
func listings(members []member) map[string]listing {
	out := map[string]listing{}
	asked := map[string]bool{}
	for _, m := range members {
		if !m.configured || m.id == "" || asked[m.id] {
			continue
		}
		asked[m.id] = true
		for _, p := range m.peers {
			out[p.id] = listing{out[p.id].by + 1, p.address}
		}
	}
	return out
}

func hasAddress(members []member, address string) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.address == address })
}
