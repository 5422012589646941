package policy

import (
	"math/bits"
	"sync"
)

// decision is the rules' answer for one command.
type decision struct {
	fixed      Verdict     // without candidates
	candidates []candidate // the rules that may decide, in order; nil: fixed
	mask       ruleSet     // the same as a set
	counted    bool        // some candidate has a condition on keys, by name or number
}

// candidate is a rule that may decide about a command.
type candidate struct {
	rule *Rule
	past bool // only about requests with a time in the past: the rule covers DEL
}

// newDecision evaluates the rules for cmd, and marks in busy the rules that can decide about it.
func (p *Policy) newDecision(rules []compiled, cmd *Command, busy []bool) decision {
	d := decision{mask: newRuleSet(len(rules))}
	var del *Command // or the other command that a time in the past amounts to
	if cmd.past != nil {
		del = p.table.byName[cmd.pastIs()]
	}
	conditional := false
	for i, r := range rules {
		past := !r.covers[cmd.ID] && cmd.past != nil && del != nil && r.covers[del.ID] &&
			r.rule.Action != Rewrite
		if !r.covers[cmd.ID] && !past {
			continue
		}
		busy[i] = true
		d.mask.add(i)
		d.candidates = append(d.candidates, candidate{r.rule, past})
		c := r.rule.cond
		conditional = conditional || c != nil || past
		d.counted = d.counted || c.keyed() || c != nil && c.keysOver > 0
		if c == nil && !past && !r.rule.Observe {
			break // no request passes it
		}
	}
	if !conditional {
		d.fixed = d.decideInFull(p, &Request{}, cmd)
		d.candidates = nil
	}
	return d
}

// live is a candidate whose conditions hold, or may hold, leaving those on keys aside.
type live struct {
	rule *Rule
	is   truth
}

// maxLive is how many live candidates fit without allocating.
const maxLive = 24

// decide decides by the client's plan, if there is one and it covers the request.
func (d *decision) decide(p *Policy, req *Request, cmd *Command) Verdict {
	if req.Client != nil && !req.AnyDB {
		pl := p.viewOf(req.Client, req.DB).plan(d, cmd)
		if pl.tells(req, cmd) {
			return pl.verdict
		}
	}
	return d.decideInFull(p, req, cmd)
}

func (d *decision) decideInFull(p *Policy, req *Request, cmd *Command) Verdict {
	if !d.counted {
		return d.decideKeys(p, req, cmd, &keySet{})
	}
	k := keySets.Get().(*keySet)
	k.find(req.Args, cmd)
	v := d.decideKeys(p, req, cmd, k)
	k.release()
	return v
}

// decideKeys evaluates the candidates that concern the client, and then the keys.
func (d *decision) decideKeys(p *Policy, req *Request, cmd *Command, k *keySet) Verdict {
	var room [maxLive]live
	list, keyed := room[:0], false
	var about ruleSet // nil: all may be
	if req.Client != nil {
		about = p.viewOf(req.Client, req.DB).about
	}
	before := 0 // candidates in the words gone through
	for w, word := range d.mask {
		left := word
		if about != nil {
			left &= about[w]
		}
		for ; left != 0; left &= left - 1 {
			i := before + onesBelow(word, left)
			l := d.candidates[i].judge(req, cmd, k)
			if l.is == no {
				continue
			}
			list = append(list, l)
			keyed = keyed || l.rule.cond.keyed()
		}
		before += onesBelow(word, 0)
	}
	if !keyed {
		return settle(list, nil, yes)
	}
	return k.strictest(req.Args, list)
}

// onesBelow counts the bits of word below the lowest one of left; all where left has none.
func onesBelow(word, left uint64) int { return bits.OnesCount64(word & (left&-left - 1)) }

// judge evaluates a candidate's conditions, except those on a known client and the globs over keys.
// In doubt, a rule that does not restrict does not match.
func (c *candidate) judge(req *Request, cmd *Command, k *keySet) live {
	restricts := c.rule.Action.restricts()
	is := c.rule.cond.holds(req, cmd, k, restricts)
	if c.past && is != no {
		is = min(is, max(k.past, cmd.past(req.Args, req.Now)))
	}
	if is == maybe && !restricts {
		is = no
	}
	return live{c.rule, is}
}

// settle finds the verdict for one key: the first rule that certainly matches, or a stricter one
// above it that may match. named is yes for a key, no for a request without keys, and maybe for
// unknown keys.
func settle(list []live, key []byte, named truth) Verdict {
	var best Verdict
	var observed *Rule
	found := false
	for _, l := range list {
		is := l.is
		if l.rule.cond.keyed() {
			if named != yes {
				is = min(is, named)
			} else if !l.rule.cond.keys.match(key) {
				is = no
			}
		}
		if is == no || is == maybe && !l.rule.Action.restricts() {
			continue
		}
		if l.rule.Observe {
			if observed == nil {
				observed = l.rule
			}
			continue
		}
		v := Verdict{Action: l.rule.Action, Rule: l.rule, Shadow: observed}
		if !found || v.rank() > best.rank() {
			best, found = v, true
		}
		if is == yes {
			return best
		}
	}
	if !found && observed != nil {
		return Verdict{Action: observed.Action, Rule: observed, Observed: true}
	}
	return best
}

// rank orders verdicts by strictness: by their action, and then those with a limit above those
// without.
func (v Verdict) rank() int {
	n := 2 * int(v.Effective())
	if v.Rule != nil && v.Rule.Limit != nil && !v.Observed {
		n++
	}
	return n
}

// stricter is the stricter of two verdicts about parts of one request. Of two equals it prefers the
// one that has a rule to report, and then the one whose rule stands first.
func stricter(a, b Verdict) Verdict {
	ra, rb := a.rank(), b.rank()
	swap := ra < rb
	if ra == rb && b.Rule != nil {
		swap = a.Rule == nil || a.Observed && !b.Observed ||
			a.Observed == b.Observed && b.Rule.Index < a.Rule.Index
	}
	if swap {
		a, b = b, a
	}
	if a.Shadow == nil && !a.Observed {
		if a.Shadow = b.Shadow; b.Observed && a.Shadow == nil {
			a.Shadow = b.Rule
		}
	}
	return a
}

// keySet is the keys of one request.
type keySet struct {
	keys    []Key
	unnamed bool // there are, or may be, others

	past truth // maybe: a time among the arguments is not known
}

// keySets keeps room for keys, so that a verdict allocates nothing.
var keySets = sync.Pool{New: func() any { return new(keySet) }}

// maxPooledKeys bounds the memory that a request with very many keys leaves in the pool.
const maxPooledKeys = 4096

func (k *keySet) release() {
	if cap(k.keys) > maxPooledKeys {
		k.keys = nil
	}
	k.keys = k.keys[:0]
	keySets.Put(k)
}

func (k *keySet) find(args [][]byte, cmd *Command) {
	complete := false
	k.keys, complete = cmd.Keys(args, k.keys[:0])
	k.unnamed = !complete || cmd.unnamed
}

// over says whether there are more than n keys.
func (k *keySet) over(n int) truth {
	switch {
	case len(k.keys) > n:
		return yes
	case k.unnamed:
		return maybe
	}
	return no
}

// strictest is the strictest of the verdicts of all keys.
func (k *keySet) strictest(args [][]byte, list []live) Verdict {
	var v Verdict
	switch {
	case k.unnamed:
		v = settle(list, nil, maybe)
	case len(k.keys) == 0:
		return settle(list, nil, no)
	default:
		v = settle(list, args[k.keys[0].Pos], yes)
	}
	for i := range k.keys {
		if v.rank() == maxRank {
			break
		}
		v = stricter(v, settle(list, args[k.keys[i].Pos], yes))
	}
	return v
}

// maxRank is the highest possible rank.
const maxRank = 2*int(Deny) + 1
