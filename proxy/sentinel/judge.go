package sentinel

import (
	"cmp"
	"fmt"
	"slices"

	"holdfast/proxy/upstream"
)

// voter is a sentinel that counts, with its last answer.
type voter struct {
	address string
	heard   bool     // it answers
	lingers bool     // it does not, for a short time, and its process may be there
	names   string   // the address that it names as the primary; "": it does not know the name
	changed bool     // it named another one a short time ago
	epoch   int64    // of its configuration
	sign    sign     // of a failover
	lists   []string // the addresses of the replicas
}

// sign is what a sentinel shows of a failover of the server at address.
type sign struct {
	address string // "": it shows none
	what    string // "holds it to be down", "leads a failover"
}

// facts is what a judgement rests on.
type facts struct {
	same    func(a, b string) bool       // two addresses are of one server; nil: if they are equal
	primary string                       // by the last judgement; "": none so far
	voters  []voter                      // the electorate
	roles   map[string]upstream.Standing // by address, as servers last said themselves
	last    history                      // of the server that a majority named last while it was a primary
	late    bool                         // primary was handed over a while ago, and a majority should name it
}

// history is the replication id that a server had as a primary.
type history struct{ address, replID string }

// verdict is a judgement.
type verdict struct {
	primary   string // "": none
	candidate string // named by a majority, and not yet a primary by its own account
	votes, of int    // votes for the address with the most, and the number of voters
	doubt     string // why primary may not be the primary for long; "": no doubt
	certain   bool   // the doubt is not a sign of one sentinel, but a fact: primary is not believed now
	outvoted  []string
	from      string   // primary was handed over by this server, which a majority still names; "": it was not
	ask       []string // the servers whose standing counts
}

// roleMaster is the role of a primary in every reply of every server.
const roleMaster = "master"

// judge decides which server is the primary. It is a pure function; see the package's comment for
// the rules.
func judge(f facts) (v verdict) {
	v.primary, v.of = f.primary, len(f.voters)
	named, votes := f.elect(false)
	v.votes = votes
	if 2*votes <= len(f.voters) {
		named = "" // no majority: the primary stays
	}
	heir := f.heir(cmp.Or(named, f.primary))
	v.ask = []string{named, f.primary, heir}
	switch {
	case heir != "" && f.roles[heir].Role == roleMaster && f.last.replID != "" && f.roles[heir].ReplID2 == f.last.replID:
		v.primary, v.from = heir, f.last.address
	case named == "" || named == f.primary:
	case f.roles[named].Role == roleMaster:
		v.primary = named
	default:
		v.candidate = named
	}
	for _, s := range f.voters {
		if named != "" && s.heard && s.names != "" && !f.isSame(s.names, named) &&
			(v.from == "" || !f.isSame(s.names, v.primary)) {
			v.outvoted = append(v.outvoted, s.address+" names "+s.names)
		}
	}
	v.doubt, v.certain = doubt(&f, &v)
	return v
}

// isSame reports whether two addresses are of one server.
func (f *facts) isSame(a, b string) bool { return a == b || f.same != nil && f.same(a, b) }

// heir is the known replica of which the server that was the primary says that it is one now; "": none. A majority of
// the sentinels must list it. Its address is theirs, since the old primary may have another one, or that of the primary.
func (f *facts) heir(old string) string {
	s := f.roles[old]
	if old == "" || old != f.last.address || s.Role == roleMaster || s.Follows == "" {
		return ""
	}
	lists, listed := 0, ""
	for _, v := range f.voters {
		at := slices.IndexFunc(v.lists, func(a string) bool { return f.isSame(a, s.Follows) })
		if v.heard && at >= 0 {
			lists++
			listed = cmp.Or(listed, v.lists[at])
		}
	}
	switch {
	case 2*lists <= len(f.voters):
		return ""
	case f.primary != "" && f.isSame(listed, f.primary):
		return f.primary
	}
	return listed
}

// elect returns the address that most of the voters name; last: or named before they fell silent. Voters may spell it in
// different ways: a known server keeps its address.
func (f *facts) elect(last bool) (named string, most int) {
	servers, votes := []string{f.primary, f.last.address}, map[string]int{}
	for _, s := range f.voters {
		if !s.heard && !last || s.names == "" {
			continue
		}
		at := slices.IndexFunc(servers, func(a string) bool { return f.isSame(a, s.names) })
		if at < 0 {
			at, servers = len(servers), append(servers, s.names)
		}
		votes[servers[at]]++
		if n := votes[servers[at]]; n > most {
			named, most = servers[at], n
		}
	}
	return named, most
}

// doubt is the reason to doubt the primary of a verdict. Silence ends no doubt: a majority has decided for another
// server even if some of it does not answer now, and a sentinel that leads a failover goes on with it when it is only slow.
// Nor does the end of a failover: until the others have heard of the new primary, its leader alone names it.
func doubt(f *facts, v *verdict) (why string, certain bool) {
	role := f.roles[v.primary].Role
	switch {
	case v.primary == "":
		return "", false
	case v.candidate != "":
		return fmt.Sprintf("%d of %d sentinels name %s, which does not say yet that it is a primary",
			v.votes, v.of, v.candidate), true
	case role != "" && role != roleMaster:
		return v.primary + " says that it is a replica", true
	}
	if rival, n := f.elect(true); 2*n > v.of && !f.isSame(rival, v.primary) && !f.isSame(rival, v.from) {
		return fmt.Sprintf("%d of %d sentinels named %s last, and some of them do not answer now", n, v.of, rival), true
	}
	for _, s := range f.voters {
		if (s.heard || s.lingers) && s.sign.address != "" &&
			(f.isSame(s.sign.address, v.primary) || f.late && f.isSame(s.sign.address, v.from)) {
			return "sentinel " + s.address + " " + s.sign.what, false
		}
	}
	known := f.epochOf(v.primary)
	for _, s := range f.voters {
		if (s.heard || s.lingers) && s.changed && s.epoch > known && s.names != "" &&
			!f.isSame(s.names, v.primary) && !f.isSame(s.names, v.from) {
			return "sentinel " + s.address + " names " + s.names + " since a moment ago", false
		}
	}
	return "", false
}

// epochOf is the newest epoch by which a voter names a server.
func (f *facts) epochOf(address string) (newest int64) {
	for _, s := range f.voters {
		if f.isSame(s.names, address) {
			newest = max(newest, s.epoch)
		}
	}
	return newest
}
