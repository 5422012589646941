package candidates

import (
	"strings"
	"testing"
)

// read reads accounts, one a candidate:
//
//	A=p:R        a primary of history R that was started as one
//	A=p:R<Q      … and continues Q: started again, from a file of that history
//	A=P:R<Q      … promoted from Q: its process was a replica
//	A=r:B:R      a replica that receives history R from B; a trailing ! is one without its connection
//	A=?          no answer
//	A=…          no answer so far
//	A=l          it loads its data, as a primary
//	A=p:R#id     of a process
func read(t *testing.T, text string) (out []candidate) {
	t.Helper()
	for _, word := range strings.Fields(text) {
		address, says, _ := strings.Cut(word, "=")
		c := candidate{address: address, asked: says != "…", starting: says == "l"}
		says, id, _ := strings.Cut(says, "#")
		parts := strings.Split(says, ":")
		switch parts[0] {
		case "p", "P":
			ids := strings.Split(parts[1]+"<", "<")
			c.account = &account{master: true, replid: ids[0], replid2: ids[1], replica: parts[0] == "P"}
		case "r":
			history, cut := strings.CutSuffix(parts[2], "!")
			c.account = &account{follows: parts[1], replid: history, linked: !cut, replica: true}
		case "?", "…", "l":
		default:
			t.Fatalf("%q", word)
		}
		if c.account != nil {
			if c.account.runID = id; id == "" {
				c.account.runID = "run of " + address
			}
		}
		out = append(out, c)
	}
	return out
}

// now is one judgement that follows another.
type now struct {
	says             string
	primary          string
	next, doubt, why string // parts of them; doubt with ! is certain
	against          string // a part of all
}

func TestJudge(t *testing.T) {
	for name, steps := range map[string][]now{
		"a pair":                            {{says: "A=p:1 B=r:A:1", primary: "A", why: "alone"}},
		"the other order":                   {{says: "A=r:B:1 B=p:1", primary: "B"}},
		"one has not answered yet":          {{says: "A=p:1 B=…", why: "B has not answered yet"}},
		"one does not answer":               {{says: "A=p:1 B=?", primary: "A"}},
		"none answers":                      {{says: "A=? B=?", why: "no candidate says"}},
		"no primary":                        {{says: "A=r:B:1! B=r:A:1!", why: "no candidate says"}},
		"a start beside an old primary":     {{says: "A=p:1 B=P:2<1", primary: "B", why: "newest", against: "A says that it is a primary, too: its history is an older one"}},
		"and beside one that is back":       {{says: "A=p:3<1 B=P:2<1", primary: "B"}},
		"and beside one that is back empty": {{says: "A=p:3 B=P:2<1", why: "do not tell"}},
		"a start beside a restarted replica": {
			{says: "A=p:1 B=p:2<1", why: "A and B say that they are primaries"}},
		"a start with unrelated ones":       {{says: "A=p:1 B=p:2", why: "do not tell"}},
		"a start between two heirs":         {{says: "A=? B=P:2<1 C=P:3<1", why: "do not tell"}},
		"a start behind two promotions":     {{says: "A=p:1 B=P:2<1 C=P:3<2", why: "do not tell"}},
		"one server by two names":           {{says: "A=p:1#x B=p:1#x C=r:A:1", primary: "A"}},
		"the promoted one is another":       {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=P:2<1", primary: "B", why: "promoted from the history of A"}},
		"and the old one does not answer":   {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=r:A:1!", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}},
		"and the old one is back":           {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}, {says: "A=p:3<1 B=P:2<1", primary: "B", against: "A says that it is a primary, too: it was started"}},
		"and the old one is back, empty":    {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}, {says: "A=p:3 B=P:2<1", primary: "B", against: "A says"}},
		"and the old one goes on":           {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}, {says: "A=p:1 B=P:2<1", primary: "B", against: "older"}},
		"and goes on alone":                 {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}, {says: "A=p:1 B=?", primary: "B", against: "older"}},
		"and is back, alone":                {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=P:2<1", primary: "B"}, {says: "A=p:3<1 B=?", primary: "B", against: "started"}},
		"there and back again":              {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=P:2<1", primary: "B"}, {says: "A=r:B:2 B=P:2<1", primary: "B"}, {says: "A=P:3<2 B=P:2<1", primary: "A"}, {says: "A=P:3<2 B=P:2<1", primary: "A", against: "B says that it is a primary, too: its history is an older one"}},
		"a replica that was started again":  {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=p:2<1", primary: "A", against: "B says that it is a primary, too: it was started as one"}},
		"and empty":                         {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=p:2", primary: "A", against: "started as one"}},
		"while the primary does not answer": {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=p:2<1", primary: "A", against: "started as one"}},
		"and empty, likewise":               {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=p:2", primary: "A", against: "started as one"}},
		"the primary is started again":      {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:2<1 B=r:A:1!", primary: "A"}, {says: "A=p:2<1 B=r:A:2", primary: "A"}},
		"and then the other is promoted":    {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:2 B=r:A:1!", primary: "A"}, {says: "A=p:2 B=P:3<1", primary: "B"}},
		"started again and gone, unseen":    {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=? B=r:A:2", primary: "A"}, {says: "A=? B=P:3<2", primary: "B"}},
		"a start beside one that loads":     {{says: "A=p:1 B=l", why: "B is loading its data"}, {says: "A=p:1 B=P:2<1", primary: "B"}},
		"and later":                         {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=l", primary: "A"}},
		"a chain, gone before it is asked": {
			{says: "A=p:1 B=r:A:1 C=r:A:1", primary: "A"}, {says: "A=p:1 B=r:A:1 C=r:A:2", primary: "A"},
			{says: "A=? B=P:2<1 C=r:A:2!", primary: "B"}},
		"demoted first":                  {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:B:1! B=r:A:1!", primary: "A", next: "B", doubt: "!A says that it is a replica of B, which does not say yet"}, {says: "A=r:B:1! B=P:2<1", primary: "B", why: "A says that it is a replica of it"}},
		"demoted, to one that is silent": {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:B:1! B=?", primary: "A", next: "B", doubt: "!which does not answer"}},
		"demoted, to a server with other data": {
			{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:B:1! B=p:7", primary: "B"}},
		"demoted, by another name":            {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:b.example:2 B=P:2<1", primary: "B"}},
		"demoted, and the name is unknown":    {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:b.example:7! B=p:7", primary: "A", doubt: "!none of the candidates"}, {says: "A=r:b.example:7 B=p:7", primary: "B"}},
		"demoted to a stranger":               {{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=r:S:1! B=r:A:1!", primary: "A", doubt: "!A says that it is a replica of S, which is none of the candidates"}, {says: "A=p:1 B=r:A:1", primary: "A"}},
		"a stranger":                          {{says: "A=p:1 B=?", primary: "A"}, {says: "A=p:1 B=P:8<7", primary: "A", doubt: "B says that it is a primary, too: the histories do not tell"}},
		"two heirs":                           {{says: "A=p:1 B=r:A:1 C=r:A:1", primary: "A"}, {says: "A=? B=P:2<1 C=P:3<1", primary: "A", doubt: "do not tell"}},
		"an heir's heir":                      {{says: "A=p:1 B=r:A:1 C=r:A:1", primary: "A"}, {says: "A=? B=P:2<1 C=r:B:2", primary: "B"}, {says: "A=p:9<1 B=? C=P:3<2", primary: "C"}},
		"another heir of the one before":      {{says: "A=p:1 B=r:A:1 C=r:A:1", primary: "A"}, {says: "A=? B=P:2<1 C=r:A:1!", primary: "B"}, {says: "A=? B=P:2<1 C=P:3<1", primary: "B", doubt: "C says that it is a primary, too"}},
		"the primary by another of its names": {{says: "A=p:1#x B=p:1#x C=r:A:1", primary: "A"}, {says: "A=? B=p:1#x C=r:A:1", primary: "B", why: "same server"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(Options{})
			for i, step := range steps {
				v := w.after(read(t, step.says))
				doubt, certain := strings.CutPrefix(step.doubt, "!")
				against := strings.Join(v.against, "\n")
				if v.primary != step.primary || v.next != step.next || v.certain != certain ||
					(v.doubt == "") != (doubt == "") || !strings.Contains(v.doubt, doubt) ||
					!strings.Contains(v.why, step.why) || !strings.Contains(against, step.against) {
					t.Fatalf("step %d, %s: got %+v", i, step.says, v)
				}
			}
		})
	}
}

// after is the judgement of one more look.
func (w *Watcher) after(candidates []candidate) verdict {
	f := w.facts(candidates)
	v := judge(f)
	if v.primary != w.primary {
		w.adopt(f, v.primary)
	}
	return v
}

// A proxy that starts beside a journal knows the histories that clients have had (the ids, the last one at the end),
// and which server had the last one. It takes no older one while another candidate is silent.
func TestJudgeWithARecord(t *testing.T) {
	const lost = "is not taken: its history is older than the last one of B, and B does not answer"
	for name, tt := range map[string]struct {
		ids, server string
		steps       []now
	}{
		"an old primary while the promoted one is silent": {"1 2", "B", []now{{says: "A=p:1 B=?", why: lost},
			{says: "A=p:1 B=P:2<1", primary: "B", against: "A says that it is a primary, too: its history is an older one"},
			{says: "A=p:1 B=?", primary: "B", against: "older"}}},
		"and it was started again":             {"1 2", "B", []now{{says: "A=p:3<1 B=?", why: lost}}},
		"and it is the replica of another one": {"1 2", "B", []now{{says: "A=p:1 B=? C=r:A:1", why: lost}}},
		"and it was started from an append-only file": {"1 2", "B", []now{
			{says: "A=p:9 B=?", why: "B was the primary last, this one was not promoted from its history, and B does not answer"}}},
		"where the record has no server": {"1 2", "", []now{
			{says: "A=p:1 B=?", why: "its history is older than the last one of the journal, and B does not answer"}}},
		"and no history of its own":                          {"1 2", "", []now{{says: "A=p:9 B=?", primary: "A"}}},
		"the last primary, while the other is silent":        {"1 2", "A", []now{{says: "A=p:2 B=?", primary: "A"}}},
		"that was started again":                             {"1 2", "A", []now{{says: "A=p:3<2 B=?", primary: "A"}}},
		"without its data":                                   {"1 2", "A", []now{{says: "A=p:9 B=?", primary: "A"}}},
		"with older data":                                    {"1 2", "A", []now{{says: "A=p:9<1 B=?", primary: "A"}}},
		"promoted meanwhile":                                 {"1 2", "A", []now{{says: "A=? B=P:3<2", primary: "B"}, {says: "A=p:2 B=?", primary: "B", against: "older"}, {says: "A=p:1 B=?", primary: "B", against: "older"}}},
		"a replica that was started again":                   {"1 2", "A", []now{{says: "A=? B=p:3<2", why: "A was the primary last"}, {says: "A=p:2 B=p:3<2", why: "A and B say that they are primaries"}}},
		"promoted from a history that is not recorded":       {"1 2", "A", []now{{says: "A=? B=P:8<7", why: "A was the primary last"}}},
		"the last primary follows it, and a third is silent": {"1 2", "A", []now{{says: "A=r:B:7 B=P:8<7 C=?", primary: "B"}}},
		"all answer, and the operator went back":             {"1 2", "B", []now{{says: "A=p:1 B=r:A:1", primary: "A"}, {says: "A=p:1 B=P:3<1", primary: "B"}}},
		"two primaries, one with an older history":           {"1 2", "B", []now{{says: "A=p:1 B=p:9", primary: "B", why: "newest", against: "A says"}}},
		"two primaries of older histories":                   {"1 2 3", "C", []now{{says: "A=p:1 B=P:2<1 C=?", why: "B says that it is a primary, and is not taken: its history is older than the last one of C"}}},
		"another list":                                       {"1 2", "Z", []now{{says: "A=p:9 B=?", primary: "A"}}},
		"and an older one":                                   {"1 2", "Z", []now{{says: "A=p:1 B=?", why: "older than the last one of Z, and B does not answer"}}},
		"the first one again":                                {"1 2 1", "A", []now{{says: "A=p:1 B=?", primary: "A"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(Options{Known: Recorded(strings.Fields(tt.ids), tt.server)})
			for i, step := range tt.steps {
				v := w.after(read(t, step.says))
				if v.primary != step.primary || v.doubt != "" || !strings.Contains(v.why, step.why) ||
					!strings.Contains(strings.Join(v.against, "\n"), step.against) {
					t.Fatalf("step %d, %s: got %+v", i, step.says, v)
				}
			}
		})
	}
	if k := Recorded(nil, "A"); k != nil {
		t.Errorf("without an id: %+v", k)
	}
}

// A server that gets a new id each minute does not fill the memory.
func TestALineageIsBounded(t *testing.T) {
	l := lineageOf(&account{replid: "first"})
	for i := range 3 * keptIDs {
		l.learn(&account{replid: strings.Repeat("x", i+1)})
	}
	if len(l.Own) != keptIDs || l.Own[keptIDs-1] != strings.Repeat("x", 3*keptIDs) {
		t.Errorf("%d ids are kept", len(l.Own))
	}
}
