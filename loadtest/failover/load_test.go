package failover

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

// A kind of clients. Its name begins the names of their keys, but for that of the routes.
type kind struct{ name, prefix string }

// The kinds.
var (
	plain   = &kind{"plain", "plain"}
	journal = &kind{"journal", "journal"}
	one     = &kind{"replicas: 1", "one"}
	every   = &kind{"replicas: 2", "every"}
	direct  = &kind{"direct", "direct"}
	haproxy = &kind{"HAProxy", "haproxy"}
)

// shares are the kinds of a load; client n is of kind n, modulo their number. HAProxy is there in the full form.
var shares = []*kind{plain, journal, one, plain, journal, every, plain, journal, one, direct, haproxy}

// shownKinds are the kinds in the order of the table.
var shownKinds = []*kind{plain, journal, one, every, direct, haproxy}

const (
	// patience bounds the wait for a reply. No proxy holds a command for longer.
	patience = 30 * time.Second
	// think is the mean pause of a client between two commands.
	think = 4 * time.Millisecond
	// registers of each kind.
	registers = 3
)

// A load is clients that write and read until stop.
type load struct {
	*harness.Workers
	addresses func(c *client) []string // where a client may connect, best first
	struck    atomic.Int64             // when the failure began, by the load's clock; 0: it has not
	clients   []*client
}

func startLoad(n int, seed uint64, kinds []*kind, addresses func(*client) []string) *load {
	shares := slices.DeleteFunc(slices.Clone(shares), func(k *kind) bool { return !slices.Contains(kinds, k) })
	l := &load{Workers: harness.NewWorkers(), addresses: addresses}
	for i := range n {
		c := &client{load: l, id: i, kind: shares[i%len(shares)], rng: rand.New(rand.NewPCG(seed, uint64(i))),
			errors: map[string]int{}}
		l.clients = append(l.clients, c)
		l.Go(c.run)
	}
	return l
}

// strike notes that the failure begins now.
func (l *load) strike() { l.struck.Store(int64(l.Clock())) }

// stop ends the load.
func (l *load) stop() { l.Stop(time.Second) }

// A client is one of the load, in a goroutine of its own.
type client struct {
	*load
	kind *kind
	id   int
	rng  *rand.Rand
	conn *harness.Client // nil: none
	tags int

	acked atomic.Int64 // commands with a reply that is no error

	// Read these once the load has stopped.
	log    history.Log
	last   time.Duration  // the last such reply
	gap    time.Duration  // the longest time between two of them, of which the later one is after the failure
	errors map[string]int // since the failure
}

func (c *client) run() {
	for !c.Stopping() {
		if c.conn == nil && !c.connect() {
			c.Pause(20 * time.Millisecond)
			continue
		}
		if c.rng.IntN(6) == 0 {
			c.register()
		} else {
			c.push()
		}
		c.Pause(time.Duration(c.rng.Int64N(int64(2 * think))))
	}
	c.disconnect()
}

func (c *client) connect() bool {
	for _, addr := range c.addresses(c) {
		if conn, err := c.Dial(addr, patience); err == nil {
			c.conn = conn
			return true
		}
	}
	return false
}

func (c *client) disconnect() {
	if c.conn != nil {
		c.Drop(c.conn)
		c.conn = nil
	}
}

// tag is a value that is written once.
func (c *client) tag() string {
	c.tags++
	return fmt.Sprintf("%d.%d", c.id, c.tags)
}

// push appends to a list of the client's own.
func (c *client) push() {
	tag, key := c.tag(), fmt.Sprintf("%s:log:%d", c.kind.prefix, c.id)
	_, s := c.ask("RPUSH", key, tag)
	c.log.Writes = append(c.log.Writes, history.Write{Span: s, Name: "RPUSH",
		Effects: []history.Effect{{Elem: history.Elem{Family: "log", Tag: tag}, To: key}}})
}

// register reads, writes or swaps a register of the kind's.
func (c *client) register() {
	op := history.Op{Key: fmt.Sprintf("%s:reg:%d", c.kind.prefix, c.rng.IntN(registers))}
	var v any
	switch c.rng.IntN(3) {
	case 0:
		op.Kind = history.Get
		v, op.Span = c.ask("GET", op.Key)
	case 1:
		op.Kind, op.Write = history.Set, c.tag()
		_, op.Span = c.ask("SET", op.Key, op.Write)
	default:
		op.Kind, op.Write = history.Swap, c.tag()
		v, op.Span = c.ask("SET", op.Key, op.Write, "GET")
	}
	op.Saw, _ = v.(string)
	c.log.Ops = append(c.log.Ops, op)
}

// ask sends a command and waits for its reply.
func (c *client) ask(args ...string) (any, history.Span) {
	s := history.Span{Client: c.id, Call: c.Clock()}
	v, err := c.conn.Do(args...)
	s.Return = c.Clock()
	e, refused := v.(harness.ErrReply)
	switch {
	case err != nil:
		s.Text, s.Return = err.Error(), history.Never
		c.disconnect()
		c.failed("connection lost")
	case refused:
		s.Text = string(e)
		var known bool
		if s.Outcome, known = history.OutcomeOf(s.Text); !known {
			s.Outcome = history.Unknown
		}
		c.failed(sort(s.Text, s.Outcome))
		if strings.HasPrefix(s.Text, "READONLY") && (c.kind == direct || c.kind == haproxy) {
			c.disconnect()
		}
	default:
		s.Outcome = history.Acked
		c.answered(s.Return)
	}
	return v, s
}

// sort is the sort of an error, for the table.
func sort(text string, o history.Outcome) string {
	code, _, _ := strings.Cut(text, " ")
	if code == "UPSTREAM" && o == history.Unknown {
		return "UPSTREAM (may have been executed)"
	}
	return code
}

// failed counts an error. Those before the failure count as well: there should be none.
func (c *client) failed(what string) {
	if !c.Stopping() {
		c.errors[what]++
	}
}

// answered notes a reply.
func (c *client) answered(now time.Duration) {
	if at := c.struck.Load(); at != 0 && int64(now) > at {
		c.gap = max(c.gap, now-c.last)
	}
	c.last = now
	c.acked.Add(1)
}
