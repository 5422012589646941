package policy

import "net/netip"

// Identity is the sender of a request, as far as rules can ask. A condition on a forged value is
// worth nothing: User must be the name that the server authenticated, while Name is the client's
// own claim.
type Identity struct {
	User     string     // "default" where the session did not authenticate
	Addr     netip.Addr // the zero Addr for a client on a Unix socket
	Name     string     // CLIENT SETNAME
	Listener string     // as configured
	Session  uint64     // for limits per session; unique in this process
}

// Client is a sender of requests, with the rules and routes that concern it: a verdict caches the
// policy's view of the client, and Routes.Match its routes, so that rules and routes about other
// clients cost the next request nothing. The caller keeps one for each session and updates it when
// the session changes its identity.
//
// A Client is for one goroutine at a time, and must not be copied once it is in use. The zero
// Client is anonymous.
type Client struct {
	seen   seen
	routed clientRoutes
	id     Identity
}

// seen is a client's view of a policy, and the inputs it was derived from.
type seen struct {
	policy *Policy
	db     int
	view   *view
}

// NewClient returns a client with the identity.
func NewClient(id Identity) *Client { return &Client{id: id} }

// Identity returns the client's identity.
func (c *Client) Identity() Identity { return c.id }

// SetIdentity replaces the client's identity.
func (c *Client) SetIdentity(id Identity) { *c = Client{id: id} }

// SetUser records that the client has logged in as another user.
func (c *Client) SetUser(user string) {
	c.id.User = user
	c.forget()
}

// SetName records that the client has changed its name.
func (c *Client) SetName(name string) {
	c.id.Name = name
	c.forget()
}

// forget drops the results for another identity.
func (c *Client) forget() { c.seen, c.routed = seen{}, clientRoutes{} }

// ruleSet is a set of rules by Rule.Index, or of routes by Route.Index.
type ruleSet []uint64

func newRuleSet(rules int) ruleSet { return make(ruleSet, (rules+63)/64) }

func (s ruleSet) add(rule int) { s[rule/64] |= 1 << (rule % 64) }

func (s ruleSet) has(rule int) bool { return s[rule/64]&(1<<(rule%64)) != 0 }
