package policy

import "slices"

// shortcut tells at a glance that no rule is about a request, which is so for nearly all of them. It
// is for requests with one key in a known place; whoever it cannot tell of is judged in full.
//
// Most rules with globs over keys ask for names that begin with a certain byte. Which bytes these are
// is one set for all rules about the command, so that the globs of rules about other keys are not
// even looked at.
type shortcut struct {
	key   int       // the place of the key; 0: there is no shortcut
	least int       // how many arguments a request has whose key is there for sure
	first [4]uint64 // the bytes with which a key may begin that some glob matches
	empty bool      // or it may be empty

	// The rules that may be about a request, for a key that some glob may match, and for others.
	named, others ruleSet
}

func newShortcut(rules int, cmd *Command, candidates []candidate) shortcut {
	key := cmd.oneKey()
	s := shortcut{key: key, least: key + 1, named: newRuleSet(rules), others: newRuleSet(rules)}
	if cmd.special != nil {
		s.least = 3 // SET: with less it is no SET, see setKeys
	}
	for i := range candidates {
		rule := candidates[i].rule
		c := rule.cond
		switch {
		case candidates[i].past || c == nil:
			return shortcut{}
		case c.keysOver > 0 || c.opaque:
			continue // it has one key, and no code
		case len(c.keys) == 0:
			s.others.add(rule.Index)
		}
		s.named.add(rule.Index)
		for j := range c.keys {
			s.addGlob(&c.keys[j])
		}
	}
	return s
}

// may returns the rules that may be about a request with this key.
func (s *shortcut) may(key []byte) ruleSet {
	if len(key) == 0 && s.empty || len(key) > 0 && s.first[key[0]>>6]&(1<<(key[0]&63)) != 0 {
		return s.named
	}
	return s.others
}

// oneKey returns the place of the one key that requests of the command have, whatever their other
// arguments; 0 where that can be said of none.
func (c *Command) oneKey() int {
	if len(c.KeySpecs) != 1 || c.unnamed || c.runsCode || c.Flags.Has(FlagModule) ||
		c.special != nil && c.Name != "set" || c.namesDatabases() || c.Effects.Any(EffectScript) {
		return 0
	}
	s := &c.KeySpecs[0]
	fixed := FindKeys{Kind: FindRange, Step: 1}
	if s.Begin.Kind != BeginIndex || s.Find != fixed || s.Flags.Has(KeyIncomplete|KeyNotKey) {
		return 0
	}
	return s.Begin.Index
}

// addGlob adds the bytes with which names may begin that the glob matches.
func (s *shortcut) addGlob(g *Glob) {
	var all = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	text := g.literal
	switch g.kind {
	case globExact, globPrefix:
	case globParts:
		if p := g.parts[0]; !p.star && p.set == nil {
			text = string(p.char)
			break
		}
		fallthrough
	default:
		s.first, s.empty = all, true
		return
	}
	if text == "" {
		s.empty = true
		if g.kind == globPrefix {
			s.first = all
		}
		return
	}
	s.first[text[0]>>6] |= 1 << (text[0] & 63)
}

// misses reports that no rule is about the request. False says nothing.
func (d *decision) misses(p *Policy, req *Request) bool {
	s := &d.shortcut
	if s.key == 0 || len(req.Args) < s.least || req.Client == nil || req.AnyDB {
		return false
	}
	key := req.Args[s.key]
	may := s.may(key)
	matching := p.matching(req.Client)
	before := 0
	for w, word := range d.mask {
		for left := may[w] & matching[w]; left != 0; left &= left - 1 {
			if !d.candidates[before+onesBelow(word, left)].rule.cond.misses(req.DB, key) {
				return false
			}
		}
		before += onesBelow(word, 0)
	}
	return true
}

// misses reports that the conditions on the database and on keys do not hold.
func (c *conditions) misses(db int, key []byte) bool {
	return len(c.databases) > 0 && !slices.Contains(c.databases, db) ||
		len(c.keys) > 0 && !c.keys.match(key)
}
