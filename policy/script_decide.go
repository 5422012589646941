package policy

import "slices"

// DecideScript is Decide for a request that runs or loads code (Command.RunsCode): the strictest of
// the verdict on the request itself and those on the calls of its code, as req.Script lists them.
//
// A call is decided as if the client had sent it, with its known arguments. Actions that are
// impossible inside code (trash, and the rewriting of a command that stalls) become a refusal.
// Opaque or unseen code gets the rules' strictest verdict for a destructive command, unless a rule
// about opaque code has decided. Commands that guard makes the server refuse inside code do not
// count there; a nil guard means that there is none, or none that was proven.
//
// Unlike Decide, it allocates.
func (p *Policy) DecideScript(req *Request, guard *Guard) Verdict {
	v := p.Decide(req)
	if s := req.Script; s != nil {
		anyDB := s.calls("select")
		for i := range s.Calls {
			c := bind(req, &s.Calls[i])
			c.req.AnyDB = anyDB
			v = stricter(v, c.verdict(p))
		}
	}
	if (req.Script == nil || req.Script.Opaque) && !v.asksOpaque() {
		v = stricter(v, p.strictestDestructive(req, guard))
	}
	return v
}

// asksOpaque reports whether the rule that decided is one about opaque code.
func (v Verdict) asksOpaque() bool {
	return v.Rule != nil && !v.Observed && v.Rule.cond != nil && v.Rule.cond.opaque
}

// inCode turns a verdict on a command into one on the code that calls it.
func inCode(v Verdict, cmd *Command) Verdict {
	if v.Action == Trash || v.Action == Rewrite && RewriteOf(cmd).spares() {
		v.Action = Deny
	} else if v.Action == Rewrite {
		v.Action = Allow
	}
	return v
}

// boundCall is a call with its known arguments in one request.
type boundCall struct {
	req   Request
	known []bool // of each argument
	open  bool   // more may follow

	// loaded: the code is loaded and does not run now, so that there are no arguments yet.
	// Conditions on them are decided when it runs.
	loaded bool
}

// verdict decides about the call.
func (c *boundCall) verdict(p *Policy) Verdict {
	cmd := p.table.Lookup(c.req.Args)
	v := inCode(c.decide(p, cmd), cmd)
	if len(c.known) > 1 && c.known[1] || len(c.known) == 1 && !c.open {
		return v
	}
	for _, sub := range cmd.Subs { // it may be any of them
		v = stricter(v, inCode(c.decide(p, sub), sub))
	}
	return v
}

// bind puts the request's keys and arguments into the call.
func bind(req *Request, call *Call) *boundCall {
	c := &boundCall{req: *req, open: call.Open}
	c.loaded = req.Cmd != nil && !req.Cmd.Effects.Any(EffectScript)
	c.req.Cmd, c.req.Args, c.req.Script = nil, nil, nil
	keys, argv, ok := codeArgs(req)
	add := func(arg []byte, known bool) {
		c.req.Args, c.known = append(c.req.Args, arg), append(c.known, known)
	}
	for _, arg := range call.Args {
		switch {
		case arg.Kind == ArgLiteral:
			add([]byte(arg.Text), true)
		case arg.Kind == ArgKey && ok && arg.Index <= len(keys):
			add(keys[arg.Index-1], true)
		case arg.Kind == ArgArgv && ok && arg.Index <= len(argv):
			add(argv[arg.Index-1], true)
		case arg.Kind == ArgAllKeys && ok:
			for _, key := range keys {
				add(key, true)
			}
		case arg.Kind == ArgAllArgv && ok:
			for _, a := range argv {
				add(a, true)
			}
		default:
			add(nil, false)
			c.open = c.open || arg.Kind == ArgAllKeys || arg.Kind == ArgAllArgv
		}
	}
	return c
}

// codeArgs returns the values of KEYS and ARGV in the code that a request runs.
func codeArgs(req *Request) (keys, argv [][]byte, ok bool) {
	if req.Cmd == nil || !req.Cmd.Effects.Any(EffectScript) || len(req.Args) < 3 {
		return nil, nil, false
	}
	n, ok := parseCount(req.Args[2])
	if !ok || n > len(req.Args)-3 {
		return nil, nil, false
	}
	return req.Args[3 : 3+n], req.Args[3+n:], true
}

// decide decides about the call as one of cmd.
func (c *boundCall) decide(p *Policy, cmd *Command) Verdict {
	d := &p.decisions[cmd.ID]
	if d.candidates == nil {
		return d.fixed
	}
	c.req.doubt = c.open || slices.Contains(c.known, false)
	k := &keySet{}
	k.find(c.req.Args, cmd)
	doubt, named := c.open, k.keys[:0]
	for _, known := range c.known {
		doubt = doubt || !known && !cmd.fixedKeys()
	}
	for _, key := range k.keys {
		if c.known[key.Pos] {
			named = append(named, key)
		} else {
			doubt = true
		}
	}
	k.keys = named
	if c.loaded {
		k.unnamed = cmd.unnamed
	} else {
		k.unnamed = k.unnamed || doubt
		k.past = c.past(cmd)
	}
	return d.decideKeys(p, &c.req, cmd, k)
}

// past is maybe if the command may take a time that is not among the known arguments.
func (c *boundCall) past(cmd *Command) truth {
	switch cmd.Name {
	case "getex":
		return maybeUnless(c.options(2))
	case "hgetex", "hsetex", "msetex":
		return maybeUnless(c.options(2))
	case "set":
		return maybeUnless(c.options(3))
	case "restore", "restore-asking":
		return maybeUnless(c.options(4) && len(c.known) > 2 && c.known[2])
	}
	return maybeUnless(len(c.known) > 2 && c.known[2])
}

// options reports whether the options that matter are known, from a place on. A relative time does
// not matter: the server refuses one in the past.
func (c *boundCall) options(from int) bool {
	for i := from; i < len(c.known); i++ {
		if !c.known[i] {
			return false
		}
		if word := c.req.Args[i]; isWord(word, "ex") || isWord(word, "px") {
			i++
		}
	}
	return !c.open
}

func maybeUnless(certain bool) truth {
	if certain {
		return no
	}
	return maybe
}

// fixedKeys reports whether the places of keys do not depend on the values of other arguments.
func (c *Command) fixedKeys() bool {
	if c.special != nil {
		return false
	}
	for i := range c.KeySpecs {
		if s := &c.KeySpecs[i]; s.Begin.Kind != BeginIndex || s.Find.Kind != FindRange {
			return false
		}
	}
	return true
}

// strictestDestructive is the strictest verdict for a destructive or stalling command that code can
// call, with unknown arguments.
func (p *Policy) strictestDestructive(req *Request, guard *Guard) Verdict {
	var v Verdict
	c := &boundCall{req: *req, open: true}
	c.req.Cmd, c.req.Args, c.req.Script, c.req.AnyDB = nil, nil, nil, true
	readOnly := req.Cmd != nil && req.Cmd.Flags.Has(FlagReadonly) // EVAL_RO: the server sees to it
	for _, cmd := range p.table.cmds {
		if cmd.Flags.Has(FlagNoScript) || !cmd.Effects.Any(Destructive|EffectStall) ||
			readOnly && cmd.Flags.Has(FlagWrite) || guard != nil && guard.Refuses(cmd) {
			continue
		}
		v = stricter(v, inCode(c.decide(p, cmd), cmd))
	}
	return v
}

// RunsCode reports whether the command runs or loads code, and so needs DecideScript.
func (c *Command) RunsCode() bool { return c.runsCode }
