package candidates

import (
	"fmt"
	"slices"
	"strings"
)

// candidate is one of the servers, with its last account.
type candidate struct {
	address  string
	asked    bool     // it has answered, or failed to, at least once
	starting bool     // it loads its data, as a primary
	account  *account // nil: it does not answer now
}

// facts are the grounds of a judgement.
type facts struct {
	same       func(a, b string) bool // two addresses are of one server; nil: if they are equal
	primary    string                 // by the last judgement; "": none so far
	lineage    *lineage               // of primary
	known      *Known                 // from before, while there is no primary; nil: nothing
	candidates []candidate
}

// verdict is a judgement.
type verdict struct {
	primary string   // "": none
	next    string   // that primary says it follows, and that does not say yet that it is one; "": none
	why     string   // how a primary that is not the last one is known, or why none is
	doubt   string   // why primary may not be the primary for long; "": no doubt
	certain bool     // primary is not believed to be the primary now
	against []string // candidates that say master and are not taken, and why
}

// judge decides which candidate is the primary. It is a pure function; see the package's comment.
func judge(f *facts) verdict {
	if f.primary == "" {
		return f.first()
	}
	v := verdict{primary: f.primary}
	present := f.account(f.primary)
	var heirs, strangers []candidate
	for _, m := range f.masters() {
		a := m.account
		switch {
		case m.address == f.primary, present != nil && a.runID != "" && a.runID == present.runID:
			continue
		case present != nil && !present.master && f.follows(present, &m):
			return verdict{primary: m.address, why: f.primary + " says that it is a replica of it"}
		case present == nil && a.runID != "" && a.runID == f.lineage.RunID:
			return verdict{primary: m.address, why: "it is the same server as " + f.primary}
		}
		switch f.lineage.compare(a) {
		case older:
			v.note(&m, olderHistory)
		case restarted:
			v.note(&m, "it was started as one, and not promoted")
		case newer:
			heirs = append(heirs, m)
		default:
			strangers = append(strangers, m)
		}
	}
	if heir := newest(heirs); heir != nil {
		v.primary, v.why = heir.address, "it was promoted from the history of "+f.primary
		return v
	}
	for _, m := range append(heirs, strangers...) {
		v.note(&m, "the histories do not tell which is the newer")
	}
	switch {
	case present != nil && !present.master:
		v.demoted(f, present)
	case len(heirs)+len(strangers) > 0:
		v.doubt = v.against[len(v.against)-1]
	}
	return v
}

// first is the judgement while no primary is known.
func (f *facts) first() (v verdict) {
	for _, c := range f.candidates {
		if !c.asked {
			v.why = c.address + " has not answered yet"
			return v
		}
		if c.starting {
			v.why = c.address + " is loading its data, and may be the primary then"
			return v
		}
	}
	masters := f.current(&v)
	if len(masters) == 0 {
		v.why = "no candidate says that it is a primary"
		return v
	}
	m := newest(masters)
	if m == nil {
		var names []string
		for _, m := range masters {
			names = append(names, m.address)
		}
		v.why = strings.Join(names, " and ") + " say that they are primaries, and the histories do not tell which is " +
			"the newer: make one a replica of the other"
		return v
	}
	if why := f.known.against(f, m); why != "" {
		v.why = m.address + " says that it is a primary, and is not taken: " + why +
			": wait for that one, or write the address of the primary alone into upstream.address"
		return v
	}
	for _, other := range masters {
		if other.address != m.address {
			v.note(&other, olderHistory)
		}
	}
	v.primary, v.why = m.address, "it alone says that it is a primary"
	if len(v.against) > 0 {
		v.why = "its history is the newest"
	}
	return v
}

const olderHistory = "its history is an older one"

// current are the masters without those whose history was left before this Watcher began, if others remain.
func (f *facts) current(v *verdict) (out []candidate) {
	masters := f.masters()
	if f.known == nil {
		return masters
	}
	var old []candidate
	for _, m := range masters {
		if f.known.Lineage.outdated(m.account) && m.address != f.known.Primary {
			old = append(old, m)
		} else {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return masters
	}
	for _, m := range old {
		v.note(&m, olderHistory)
	}
	return out
}

// newest is the server whose history is newer than all the others'; nil: there is none.
func newest(masters []candidate) *candidate {
	for i := range masters {
		m := &masters[i]
		own := lineageOf(m.account)
		if !slices.ContainsFunc(masters, func(other candidate) bool {
			return other.address != m.address && lineageOf(other.account).compare(m.account) != newer &&
				own.compare(other.account) != older
		}) {
			return m
		}
	}
	return nil
}

// demoted is the doubt of a primary that says that it is a replica, while no other is taken.
func (v *verdict) demoted(f *facts, present *account) {
	v.certain = true
	v.doubt = fmt.Sprintf("%s says that it is a replica of %s", f.primary, present.follows)
	next := f.at(present.follows)
	switch {
	case next == nil:
		v.doubt += ", which is none of the candidates"
	case next.account == nil:
		v.next, v.doubt = next.address, v.doubt+", which does not answer"
	default:
		v.next, v.doubt = next.address, v.doubt+", which does not say yet that it is a primary"
	}
}

// note notes a server that says master and is not taken.
func (v *verdict) note(m *candidate, why string) {
	v.against = append(v.against, m.address+" says that it is a primary, too: "+why)
}

// follows reports whether a replica says that m is its primary: by the address, or, where that is another one, by the
// history that it receives.
func (f *facts) follows(a *account, m *candidate) bool {
	return f.isSame(a.follows, m.address) || a.linked && m.account != nil && a.replid == m.account.replid
}

// isSame reports whether two addresses are of one server.
func (f *facts) isSame(a, b string) bool { return a == b || f.same != nil && f.same(a, b) }

// at is the candidate at an address, however that is spelled; nil: there is none.
func (f *facts) at(address string) *candidate {
	for i := range f.candidates {
		if f.isSame(f.candidates[i].address, address) {
			return &f.candidates[i]
		}
	}
	return nil
}

// masters are the candidates that say that they are primaries; a server with several addresses counts
// once, by that of the present primary or the first one.
func (f *facts) masters() (out []candidate) {
	for _, c := range f.candidates {
		if c.account == nil || !c.account.master {
			continue
		}
		same := slices.IndexFunc(out, func(o candidate) bool {
			return o.account.runID != "" && o.account.runID == c.account.runID
		})
		switch {
		case same < 0:
			out = append(out, c)
		case c.address == f.primary:
			out[same] = c
		}
	}
	return out
}

// account is that of the candidate at an address; nil: it does not answer.
func (f *facts) account(address string) *account {
	for _, c := range f.candidates {
		if c.address == address {
			return c.account
		}
	}
	return nil
}
