package sentinel

import (
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/upstream"
)

// standingOf reads "master", "master 2<1" (a primary of history 2 that continues 1) and "slave A", a replica of A.
func standingOf(text string) (s upstream.Standing) {
	role, more, _ := strings.Cut(text, " ")
	s.Role = role
	if role == roleMaster {
		s.ReplID, s.ReplID2, _ = strings.Cut(more, "<")
	} else {
		s.Follows = more
	}
	return s
}

// votersOf reads "A A B! - ?": a sentinel that names A, …, B as one that leads a failover of B; one
// that knows no primary (?), one that is silent (-), and silent ones that named A before, or led a failover of it (A~ A!~).
// B2 names B by epoch 2 and named another server before; the others name theirs by epoch 1.
func votersOf(text string) (out []voter) {
	for i, word := range strings.Fields(text) {
		word, silent := strings.CutSuffix(word, "~")
		word, changed := strings.CutSuffix(word, "2")
		v := voter{address: "s" + string(rune('1'+i)), heard: word != "-" && !silent, lingers: silent, changed: changed, epoch: 1}
		if changed {
			v.epoch = 2
		}
		if name, led := strings.CutSuffix(word, "!"); led {
			v.names, v.sign = name, sign{name, "leads a failover"}
		} else if word != "-" && word != "?" {
			v.names = word
		}
		out = append(out, v)
	}
	return out
}

func TestJudge(t *testing.T) {
	for _, row := range []struct {
		name, before, voters, roles string // roles: "A=master B=slave"
		primary, candidate, doubt   string // doubt: a part of it; with ! it is certain
		outvoted                    int
	}{
		{"all agree at the start", "", "A A A", "A=master", "A", "", "", 0},
		{"and it has not said so", "", "A A A", "", "", "A", "", 0},
		{"and it is a replica", "", "A A A", "A=slave", "", "A", "", 0},
		{"a majority at the start", "", "A A -", "A=master", "A", "", "", 0},
		{"no majority at the start", "", "A - -", "A=master", "", "", "", 0},
		{"half is no majority", "", "A A - -", "A=master", "", "", "", 0},
		{"half against half", "", "A A B B", "A=master B=master", "", "", "", 0},
		{"one alone", "", "A", "A=master", "A", "", "", 0},
		{"none knows the name", "", "? ? ?", "", "", "", "", 0},
		{"no sentinel answers any more", "A", "- - -", "A=master", "A", "", "", 0},
		{"a minority of another opinion", "A", "A A B", "A=master B=master", "A", "", "", 1},
		{"one lies alone", "A", "B - -", "A=master B=master", "A", "", "", 0},
		{"one lies at the start", "", "B A A", "A=master B=master", "A", "", "", 1},
		{"each another opinion", "A", "A B C", "A=master B=master C=master", "A", "", "", 0},
		{"a failover", "A", "B B A", "A=master B=master", "B", "", "", 1},
		{"before the promotion is over", "A", "B B A", "A=master B=slave", "A", "B", "!name B", 1},
		{"and two fall silent", "A", "B B~ B~", "A=master B=slave", "A", "", "!named B last", 0},
		{"and all fall silent", "A", "B~ B~ B~", "A=master B=master", "A", "", "!named B last", 0},
		{"and one of two", "A", "B B~ A", "A=master", "A", "", "!named B last", 0},
		{"one that named another falls silent", "A", "B~ A A", "A=master", "A", "", "", 0},
		{"the leader falls silent", "A", "A!~ A A", "A=master", "A", "", "leads a failover", 0},
		{"the leader has ended it before the others", "A", "B2 A -", "A=master B=master", "A", "", "s1 names B", 0},
		{"and of all", "A", "A B2 A", "A=master B=master", "A", "", "s2 names B", 1},
		{"and falls silent", "A", "A B2~ A", "A=master B=master", "A", "", "s2 names B", 0},
		{"and another follows", "A", "B2 B2 A", "A=master B=master", "B", "", "", 1},
		{"a newer primary, and an old one", "B", "B2 B2 A", "B=master", "B", "", "", 1},
		{"the leader of an older one", "B", "B2 A2 B2", "A=master B=master", "B", "", "", 1},
		{"to a server that is not reached", "A", "B B B", "A=master", "A", "B", "!name B", 0},
		{"the primary was demoted", "A", "A A A", "A=slave", "A", "", "!A says that it is a replica", 0},
		{"the sentinels are gone, and it was demoted", "A", "- - -", "A=slave", "A", "", "!replica", 0},
		{"the first sign", "A", "A A! A", "A=master", "A", "", "s2 leads a failover", 0},
		{"the sign of a minority", "A", "A! - -", "A=master", "A", "", "s1 leads", 0},
		{"the leader ends it after the others", "A", "B B A!", "B=master", "B", "", "", 1},
		{"the failover of another address", "A", "A A B!", "A=master", "A", "", "", 1},
		{"a sign at the start", "", "A! A A", "A=master", "A", "", "s1 leads", 0},
		{"two spellings of one server", "", "A a A", "A=master", "A", "", "", 0},
		{"no majority for one of them", "", "B b -", "B=master", "B", "", "", 0},
		{"another spelling of the primary", "A", "a a a", "A=master", "A", "", "", 0},
		{"and a sign by it", "A", "A a! A", "A=master", "A", "", "s2 leads", 0},
		{"and named last by it", "A", "A a~ a~", "A=master", "A", "", "", 0},
	} {
		f := facts{primary: row.before, voters: votersOf(row.voters), roles: map[string]upstream.Standing{},
			same: strings.EqualFold}
		for _, r := range strings.Fields(row.roles) {
			address, role, _ := strings.Cut(r, "=")
			f.roles[address] = upstream.Standing{Role: role}
		}
		v := judge(f)
		doubt, certain := strings.CutPrefix(row.doubt, "!")
		if v.primary != row.primary || v.candidate != row.candidate || v.certain != certain ||
			(v.doubt == "") != (doubt == "") || !strings.Contains(v.doubt, doubt) ||
			len(v.outvoted) != row.outvoted {
			t.Errorf("%s: got %+v", row.name, v)
		}
		if v.of != len(f.voters) {
			t.Errorf("%s: got %d voters", row.name, v.of)
		}
	}
}

// The primary says that it is a replica of a known one, which is a primary and continues its history: the sentinels
// need not say so, too.
func TestJudgeAHandover(t *testing.T) {
	for name, row := range map[string]struct {
		before, voters, a, b, c string
		unlisted, late          bool
		primary, from, doubt    string // doubt: a part of it; with ! it is certain
	}{
		"handed over":                   {before: "A", voters: "A A! A", a: "slave B", b: "master 2<1", primary: "B", from: "A"},
		"by another address of B":       {before: "A", voters: "A A! A", a: "slave b", b: "master 2<1", primary: "B", from: "A"},
		"and by another one of A":       {before: "B", voters: "B a! a", a: "slave b", b: "master 2<1", primary: "B", from: "A"},
		"and the sentinels follow":      {before: "B", voters: "B A! A", a: "slave B", b: "master 2<1", primary: "B", from: "A"},
		"and most of them":              {before: "B", voters: "B B A!", a: "slave B", b: "master 2<1", primary: "B"},
		"and one names it":              {before: "B", voters: "A B2 A", a: "slave B", b: "master 2<1", primary: "B", from: "A"},
		"and they name a third one":     {before: "B", voters: "C C A", a: "slave B", b: "master 2<1", c: "master 3<1", primary: "C"},
		"without the sentinels":         {before: "A", voters: "A - -", a: "slave B", b: "master 2<1", unlisted: true, primary: "A", doubt: "!replica"},
		"not promoted yet":              {before: "A", voters: "A A! A", a: "slave B", b: "slave A", primary: "A", doubt: "!replica"},
		"not reached":                   {before: "A", voters: "A A! A", a: "slave B", primary: "A", doubt: "!replica"},
		"to a server of other data":     {before: "A", voters: "A A A", a: "slave B", b: "master 9", primary: "A", doubt: "!replica"},
		"to one that was promoted once": {before: "A", voters: "A A A", a: "slave B", b: "master 9<8", primary: "A", doubt: "!replica"},
		"to one that is not known":      {before: "A", voters: "A A A", a: "slave B", b: "master 2<1", unlisted: true, primary: "A", doubt: "!replica"},
		"the old one is a primary":      {before: "A", voters: "A A! A", a: "master 1", b: "master 2<1", primary: "A", doubt: "leads"},
		"and is one again":              {before: "B", voters: "A A A", a: "master 1", b: "master 2<1", primary: "A"},
		"the old one is not reached":    {before: "B", voters: "A A A", b: "master 2<1", primary: "B", doubt: "!name A"},
		"another failover, later":       {before: "B", voters: "A A! A", a: "slave B", b: "master 2<1", late: true, primary: "B", from: "A", doubt: "s2 leads"},
		"none, later":                   {before: "B", voters: "A A A", a: "slave B", b: "master 2<1", late: true, primary: "B", from: "A"},
	} {
		f := facts{primary: row.before, voters: votersOf(row.voters), last: history{"A", "1"}, late: row.late, same: strings.EqualFold,
			roles: map[string]upstream.Standing{"A": standingOf(row.a), "B": standingOf(row.b), "C": standingOf(row.c)}}
		for i := range f.voters {
			if !row.unlisted || i == 0 {
				f.voters[i].lists = []string{"B", "C"}
			}
		}
		v := judge(f)
		doubt, certain := strings.CutPrefix(row.doubt, "!")
		if v.primary != row.primary || v.from != row.from || v.certain != certain || (v.doubt == "") != (doubt == "") ||
			!strings.Contains(v.doubt, doubt) {
			t.Errorf("%s: got %+v", name, v)
		}
		f.last.replID = "" // the user may not run INFO
		if v := judge(f); v.from != "" {
			t.Errorf("%s: without a history: %+v", name, v)
		}
	}
}

func TestElectorate(t *testing.T) {
	a := peer{"ia", "a:1"}
	b := peer{"ib", "b:1"}
	c := peer{"ic", "c:1"}
	d := peer{"id", "d:1"}
	configured := func(p peer, peers ...peer) member { return member{p.address, true, p.id, peers} }
	learnt := func(p peer, peers ...peer) member { return member{p.address, false, p.id, peers} }
	for _, row := range []struct {
		name    string
		members []member
		counts  string
		join    []peer
		leave   string
	}{
		{"not heard yet", []member{{"a:1", true, "", nil}, {"b:1", true, "", nil}}, "a:1 b:1", nil, ""},
		{"all configured", []member{configured(a, b, c), configured(b, a, c), configured(c, a, b)},
			"a:1 b:1 c:1", nil, ""},
		{"one by two addresses", []member{configured(a), configured(peer{"ia", "alias:1"}), configured(b)},
			"a:1 b:1", nil, ""},
		{"a new one", []member{configured(a, b, d), configured(b, a, d)}, "a:1 b:1", []peer{d}, ""},
		{"that a minority lists", []member{configured(a, b, d), configured(b, a)}, "a:1 b:1", nil, ""},
		{"before it has answered", []member{configured(a, b, d), configured(b, a, d), {"d:1", false, "", nil}},
			"a:1 b:1", nil, ""},
		{"after it has answered", []member{configured(a, b, d), configured(b, a, d), learnt(d, a, b)},
			"a:1 b:1 d:1", nil, ""},
		{"under another id", []member{configured(a, b, d), configured(b, a, d), learnt(peer{"ix", "d:1"})},
			"a:1 b:1", nil, ""},
		{"that is gone", []member{configured(a, b), configured(b, a), learnt(d, a, b)}, "a:1 b:1", nil, "d:1"},
		{"one configured, two learnt", []member{configured(a, b, c), learnt(b, a, c), learnt(c, a, b)},
			"a:1 b:1 c:1", nil, ""},
		{"learnt ones vouch for none", []member{configured(a, b), learnt(b, a, c, d)}, "a:1 b:1", nil, ""},
		{"a configured one by its announced address",
			[]member{configured(peer{"ia", "alias:1"}, b), configured(b, a), learnt(a)}, "alias:1 b:1", nil, "a:1"},
	} {
		counts, join, leave := electorate(row.members)
		if strings.Join(counts, " ") != row.counts || !slices.Equal(join, row.join) ||
			strings.Join(leave, " ") != row.leave {
			t.Errorf("%s: got %q, join %v, leave %q", row.name, counts, join, leave)
		}
	}
}

// A sentinel that lists a thousand others does not make the proxy connect to them.
func TestElectorateIsBounded(t *testing.T) {
	liar := member{"a:1", true, "ia", nil}
	for i := range 1000 {
		id := strings.Repeat("x", i+1)
		liar.peers = append(liar.peers, peer{id, id + ":1"})
	}
	if _, join, _ := electorate([]member{liar}); len(join) != maxSentinels-1 {
		t.Errorf("%d join", len(join))
	}
}
