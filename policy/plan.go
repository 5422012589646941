package policy

import "math"

// plan is the verdict on requests of one command from clients with one view, worked out beforehand.
// It covers the requests that no rule with a condition on the request itself (its keys, their
// number, a time in the past) concerns. These are nearly all, and cheap to recognize; the others
// are judged in full.
//
// Most globs over keys begin with a literal byte. One set holds these bytes for all rules about the
// command, so that globs of rules about other keys are not even tried.
type plan struct {
	verdict Verdict // on the requests that the plan covers
	full    bool    // it covers none
	past    int     // excludes requests with a time in the past and more arguments than this

	keyed bool      // includes only requests with the following keys
	key   int       // the place of the one key; 0: spans says where they are
	least int       // the number of arguments of a request where that is so
	spans []keySpan // where the keys are
	most  int       // this many keys, and
	first [4]uint64 // none that begins with such a byte and
	empty bool      // (or is empty, and)
	globs globs     // matches one of these
}

// keySpan is one run of keys whose place does not depend on the values of arguments.
type keySpan struct {
	first int
	find  FindKeys
}

// newPlan works out the plan of a command for clients with a view. It follows judge and settle.
func (d *decision) newPlan(v *view, cmd *Command) *plan {
	pl := &plan{past: math.MaxInt, most: math.MaxInt}
	ownDB := !cmd.namesDatabases() && !cmd.Effects.Any(EffectScript)
	var sure []live
	for i := range d.candidates {
		c := &d.candidates[i]
		if n := c.rule.Index; !v.about.has(n) || ownDB && !v.inDB.has(n) {
			continue
		}
		switch cond := c.rule.cond; {
		case c.past:
			pl.past = timeless[cmd.Name]
		case !ownDB && cond != nil && len(cond.databases) > 0:
			pl.full = true
		case cond.asksRequest():
			pl.except(cond, cmd)
		default:
			sure = append(sure, live{c.rule, yes})
			if !c.rule.Observe {
				pl.verdict = settle(sure, nil, yes)
				return pl // no request passes it
			}
		}
	}
	pl.verdict = settle(sure, nil, yes)
	return pl
}

// asksRequest reports whether the rule has conditions beyond the sender and the database.
func (c *conditions) asksRequest() bool {
	return c != nil && (c.opaque || c.keysOver > 0 || len(c.keys)+len(c.arguments) > 0)
}

// except excludes from the plan the requests that a rule may concern.
func (pl *plan) except(c *conditions, cmd *Command) {
	if c.opaque && !cmd.runsCode {
		return // it concerns none
	}
	if c.opaque || c.keysOver == 0 && len(c.keys) == 0 {
		pl.full = true
		return
	}
	spans, ok := cmd.keySpans()
	switch {
	case !ok:
		pl.full = true
		return
	case len(spans) == 0:
		return // it has no keys
	}
	pl.keyed, pl.spans, pl.key = true, spans, cmd.oneKey()
	pl.least = pl.key + 1
	if cmd.special != nil {
		pl.least = 3 // SET: with less it is no SET, see setKeys
	}
	if c.keysOver > 0 {
		pl.most = min(pl.most, c.keysOver)
		return // shorter requests match none, whatever their names
	}
	for i := range c.keys {
		pl.addGlob(c.keys[i])
	}
}

// keySpans returns the places of the keys in all requests of the command; ok is false where they
// depend on the request, or there may be others.
func (c *Command) keySpans() (spans []keySpan, ok bool) {
	if c.unnamed || c.runsCode || c.Flags.Has(FlagModule) || c.special != nil && c.Name != "set" {
		return nil, false
	}
	for i := range c.KeySpecs {
		s := &c.KeySpecs[i]
		switch {
		case s.Flags.Has(KeyNotKey):
		case s.Begin.Kind != BeginIndex || s.Begin.Index < 1 || s.Find.Kind != FindRange ||
			s.Find.Step < 1 || s.Flags.Has(KeyIncomplete):
			return nil, false
		default:
			spans = append(spans, keySpan{s.Begin.Index, s.Find})
		}
	}
	return spans, true
}

// oneKey returns the place of the one key that requests of the command have, whatever their other
// arguments; 0 where there is no such place.
func (c *Command) oneKey() int {
	spans, ok := c.keySpans()
	if !ok || len(spans) != 1 || spans[0].find != (FindKeys{Kind: FindRange, Step: 1}) {
		return 0
	}
	return spans[0].first
}

// addGlob excludes requests with keys that the glob matches.
func (pl *plan) addGlob(g Glob) {
	pl.globs = append(pl.globs, g)
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
		pl.first, pl.empty = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}, true
		return
	}
	switch {
	case text != "":
		pl.first[text[0]>>6] |= 1 << (text[0] & 63)
	case g.kind == globPrefix: // as "*" is none, this cannot be
		pl.first = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
		fallthrough
	default:
		pl.empty = true
	}
}

// tells reports whether the plan covers the request.
func (pl *plan) tells(req *Request, cmd *Command) bool {
	args := req.Args
	if pl.full || len(args) > pl.past && cmd.past(args, req.Now) != no {
		return false
	}
	if !pl.keyed {
		return true
	}
	if len(args) < pl.least {
		return false
	}
	if pl.key > 0 {
		return !pl.mayMatch(args[pl.key])
	}
	return pl.spares(args)
}

// spares reports whether no rule with a condition on keys concerns the request, which may have
// several.
func (pl *plan) spares(args [][]byte) bool {
	argc, keys := len(args), 0
	for i := range pl.spans {
		s := &pl.spans[i]
		last := s.find.last(s.first, argc)
		if last >= argc || last < s.first-1 {
			return false // the arguments do not fit the command
		}
		for at := s.first; at <= last; at += s.find.Step {
			if pl.mayMatch(args[at]) {
				return false
			}
			keys++
		}
	}
	return keys <= pl.most
}

// mayMatch reports whether a glob matches the key.
func (pl *plan) mayMatch(key []byte) bool {
	if len(key) == 0 {
		return pl.empty && pl.globs.match(key)
	}
	return pl.first[key[0]>>6]&(1<<(key[0]&63)) != 0 && pl.globs.match(key)
}
