package policy

import "net/netip"

// Identity is what rules can ask about who sends a request. A condition on something that is false
// or forged is worth nothing: User must be the one that the server authenticated, and Name is
// whatever the client says that it is.
type Identity struct {
	User     string     // "default" where the session did not authenticate
	Addr     netip.Addr // the zero Addr for a client on a Unix socket
	Name     string     // CLIENT SETNAME
	Listener string     // as configured
	Session  uint64     // for limits per session; unique in this process
}

// Client is who sends requests, and what rules and routes were found to say of them: verdicts leave
// behind how the policy looks to the client, and Routes.Match which routes are about it, so that
// rules and routes about other clients cost the next request nothing. The caller keeps one for each
// session and tells it when the session becomes somebody else.
//
// A Client is for one goroutine at a time, and must not be copied once it is in use. The zero
// Client is nobody in particular.
type Client struct {
	seen   seen
	routed clientRoutes
	id     Identity
}

// seen is the view that a client has of a policy, and of what that was worked out.
type seen struct {
	policy *Policy
	db     int
	view   *view
}

// NewClient returns the client that id tells of.
func NewClient(id Identity) *Client { return &Client{id: id} }

// Identity returns who the client is.
func (c *Client) Identity() Identity { return c.id }

// SetIdentity makes the client somebody else.
func (c *Client) SetIdentity(id Identity) { *c = Client{id: id} }

// SetUser notes that the client has logged in as somebody else.
func (c *Client) SetUser(user string) {
	c.id.User = user
	c.forget()
}

// SetName notes that the client calls itself something else.
func (c *Client) SetName(name string) {
	c.id.Name = name
	c.forget()
}

// forget drops what was worked out about another identity.
func (c *Client) forget() { c.seen, c.routed = seen{}, clientRoutes{} }

// ruleSet is a set of rules by Rule.Index, or of routes by Route.Index.
type ruleSet []uint64

func newRuleSet(rules int) ruleSet { return make(ruleSet, (rules+63)/64) }

func (s ruleSet) add(rule int) { s[rule/64] |= 1 << (rule % 64) }

func (s ruleSet) has(rule int) bool { return s[rule/64]&(1<<(rule%64)) != 0 }
