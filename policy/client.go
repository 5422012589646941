package policy

import "net/netip"

// Client is what rules can ask about who sends a request. The caller keeps one for each session and
// changes its fields as the session changes. A condition on something that is false or forged is
// worth nothing: User must be the one that the server authenticated, and Name is whatever the
// client says that it is.
//
// Verdicts leave behind which rules the client matches, and Routes.Match which routes are about it,
// so that rules and routes about other clients cost the next request nothing. A Client is therefore
// for one goroutine at a time, and must not be copied once it is in use.
type Client struct {
	User     string     // "default" where the session did not authenticate
	Addr     netip.Addr // the zero Addr for a client on a Unix socket
	Name     string     // CLIENT SETNAME
	Listener string     // as configured
	Session  uint64     // for limits per session; unique in this process

	known  clientRules
	routed clientRoutes
}

// clientRules is the rules that a client matches, and of what that was worked out.
type clientRules struct {
	policy               *Policy
	user, name, listener string
	addr                 netip.Addr
	matching             ruleSet
}

// matching returns the rules of p that are about the client, as far as it goes; nil: the client is
// not known, and all may be.
func (p *Policy) matching(c *Client) ruleSet {
	if c == nil {
		return nil
	}
	k := &c.known
	if k.policy != p || k.user != c.User || k.name != c.Name || k.listener != c.Listener ||
		k.addr != c.Addr {
		*k = clientRules{p, c.User, c.Name, c.Listener, c.Addr, newRuleSet(len(p.rules))}
		for i, r := range p.rules {
			if r.cond == nil || r.cond.client(c) {
				k.matching.add(i)
			}
		}
	}
	return k.matching
}

// ruleSet is a set of rules by Rule.Index, or of routes by Route.Index.
type ruleSet []uint64

func newRuleSet(rules int) ruleSet { return make(ruleSet, (rules+63)/64) }

func (s ruleSet) add(rule int) { s[rule/64] |= 1 << (rule % 64) }

func (s ruleSet) has(rule int) bool { return s[rule/64]&(1<<(rule%64)) != 0 }
