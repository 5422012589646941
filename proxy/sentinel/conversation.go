package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"holdfast/proxy/resp"
)

// maxReply bounds an answer of a sentinel: a list of some hundred replicas is far below it.
const maxReply = 1 << 20

// answer is what a sentinel says, all of it at one time.
type answer struct {
	id       string
	names    string // its primary; "": it does not know the name
	sign     sign
	down     bool // it holds the primary to be down
	quorum   int
	epoch    int64 // of the configuration
	peers    []peer
	replicas []Replica
	// downAfter is how long the primary must be silent before this sentinel holds it to be down.
	downAfter time.Duration
}

// listed are the addresses of the replicas.
func (a *answer) listed() []string {
	out := make([]string, len(a.replicas))
	for i, r := range a.replicas {
		out[i] = r.Address
	}
	return out
}

// addresses are those of all servers in it.
func (a *answer) addresses() []string { return append(a.listed(), a.names, a.sign.address) }

// events are the channels that announce a failover. Their text begins with the kind of the server
// ("master mymaster 10.0.0.5 6379 …"), but for +switch-master, which begins with the name.
var events = []string{
	"+switch-master", "+try-failover", "+failover-state-send-slaveof-noone", "+promoted-slave",
	"+failover-end", "+sdown", "-sdown", "+odown", "-odown", "-failover-abort-not-elected",
	"-failover-abort-no-good-slave", "-failover-abort-slave-timeout", "+config-update-from",
	"+sentinel", "+slave", "-role-change", "+role-change", "+reset-master",
}

// questions are asked together; their answers make an answer.
func (o *Options) questions() [][]string {
	return [][]string{
		{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", o.Name},
		{"SENTINEL", "MASTER", o.Name},
		{"SENTINEL", "SENTINELS", o.Name},
		{"SENTINEL", "REPLICAS", o.Name},
	}
}

// conversation is one connection to a sentinel. It belongs to converse, except for the channel of read.
type conversation struct {
	o     *Options
	conn  net.Conn
	in    chan resp.Value
	ended error // why read ended; read it once in is closed

	id      string
	replies []resp.Value // to the questions that are out
	asked   bool         // questions are out
	again   bool         // an event has arrived since they were sent
	last    answer
}

// converse logs in, subscribes, and then asks each time that pace says so, until the connection or
// ctx ends. It reports each answer, and each sign at once.
func (o *Options) converse(ctx context.Context, address string, pace *pace, report func(answer)) error {
	c, end, err := o.open(ctx, address)
	if err != nil {
		return err
	}
	defer end()
	if err := c.begin(ctx); err != nil {
		return err
	}
	return c.follow(ctx, pace, report)
}

// open connects to a sentinel; end closes the connection, and returns when its reader has.
func (o *Options) open(ctx context.Context, address string) (c *conversation, end func(), err error) {
	conn, err := o.dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	c = &conversation{o: o, conn: conn, in: make(chan resp.Value, 16)}
	var reading sync.WaitGroup
	reading.Go(c.read)
	return c, func() {
		conn.Close()
		for range c.in { // read may wait to deliver
		}
		reading.Wait()
	}, nil
}

// greet says hello and logs in.
func (c *conversation) greet(ctx context.Context) error {
	greeting := []string{"HELLO", "3"}
	if c.o.Password != "" {
		user := c.o.Username
		if user == "" {
			user = "default"
		}
		greeting = append(greeting, "AUTH", user, c.o.Password)
	}
	_, err := c.call(ctx, append(greeting, "SETNAME", "holdfast")...)
	return err
}

// begin takes the steps before the first question.
func (c *conversation) begin(ctx context.Context) error {
	if err := c.greet(ctx); err != nil {
		return err
	}
	// A refusal of SUBSCRIBE is a reply, and the server's own text names the command.
	if err := c.send(append([]string{"SUBSCRIBE"}, events...)); err != nil {
		return err
	}
	id, err := c.call(ctx, "SENTINEL", "MYID")
	c.id = string(id.Str)
	return err
}

// call sends one command and returns its reply, or the error that it is.
func (c *conversation) call(ctx context.Context, args ...string) (v resp.Value, err error) {
	if err := c.send(args); err != nil {
		return v, err
	}
	late := time.NewTimer(c.o.Timeout)
	defer late.Stop()
	for {
		select {
		case v, ok := <-c.in:
			switch {
			case !ok:
				return v, c.ended
			case v.Type == '>':
				continue
			case v.Type == '-':
				return v, fmt.Errorf("%s: %s", strings.Join(args[:min(len(args), 2)], " "), v.Str)
			}
			return v, nil
		case <-late.C:
			return v, errSilent
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// errSilent ends a conversation with a sentinel that does not answer in time.
var errSilent = errors.New("no answer in time")

// follow asks, and takes replies and events.
func (c *conversation) follow(ctx context.Context, pace *pace, report func(answer)) error {
	next := time.NewTimer(0)
	defer next.Stop()
	late := time.NewTimer(c.o.Timeout)
	defer late.Stop()
	for {
		select {
		case v, ok := <-c.in:
			if !ok {
				return c.ended
			}
			said, err := c.take(v)
			if err != nil {
				return err
			}
			if said {
				report(c.last)
			}
			switch {
			case c.again && !c.asked:
				next.Reset(0)
			case said && !c.asked:
				next.Reset(pace.interval(c.o))
			}
		case <-pace.hurried:
			next.Reset(0)
		case <-next.C:
			if c.asked {
				continue
			}
			if err := c.ask(); err != nil {
				return err
			}
			late.Reset(c.o.Timeout)
		case <-late.C:
			if c.asked {
				return errSilent
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends the questions.
func (c *conversation) ask() error {
	c.asked, c.again, c.replies = true, false, c.replies[:0]
	return c.send(c.o.questions()...)
}

// take takes a reply or an event. It reports whether c.last has changed.
func (c *conversation) take(v resp.Value) (said bool, err error) {
	if v.Type == '>' {
		return c.event(v), nil
	}
	if !c.asked {
		return false, fmt.Errorf("a reply without a question: %q", v.Type)
	}
	c.replies = append(c.replies, v)
	if len(c.replies) < len(c.o.questions()) {
		return false, nil
	}
	c.asked = false
	now, err := readAnswer(c.replies)
	if err != nil {
		return false, err
	}
	now.id = c.id
	if c.again && now.sign.address == "" {
		now.sign = c.last.sign // the event is younger than these replies
	}
	c.last = now
	return true, nil
}

// event takes a push: it asks for new answers, and reports whether it is a sign by itself.
func (c *conversation) event(v resp.Value) (said bool) {
	if len(v.Elems) != 3 || string(v.Elems[0].Str) != "message" {
		return false
	}
	channel, words := string(v.Elems[1].Str), strings.Fields(string(v.Elems[2].Str))
	if !concerns(words, c.o.Name) {
		return false
	}
	c.again = true
	what := ""
	switch channel {
	case "+try-failover", "+failover-state-send-slaveof-noone", "+promoted-slave":
		what = leadsFailover
	case "+odown":
		what = holdsDown
	}
	if what == "" || c.last.names == "" {
		return false
	}
	c.last.sign = sign{masterOf(words), what}
	return true
}

// concerns reports whether an event is about the primary of that name, or about its replicas and
// sentinels.
func concerns(words []string, name string) bool {
	switch {
	case len(words) == 0:
		return false
	case words[0] == name: // +switch-master
		return true
	case words[0] == "master":
		return len(words) >= 4 && words[1] == name
	}
	// slave 10.0.0.6:6379 10.0.0.6 6379 @ mymaster 10.0.0.5 6379
	return len(words) >= 8 && words[4] == "@" && words[5] == name
}

// masterOf is the primary's address in an event.
func masterOf(words []string) string {
	if words[0] == "master" {
		return net.JoinHostPort(words[2], words[3])
	}
	if len(words) >= 8 && words[4] == "@" {
		return net.JoinHostPort(words[6], words[7])
	}
	return ""
}

// send writes commands.
func (c *conversation) send(commands ...[]string) error {
	var b []byte
	for _, args := range commands {
		b = resp.AppendCommandStrings(b, args...)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

// read is a goroutine of its own: it delivers the sentinel's messages until the connection ends.
func (c *conversation) read() {
	defer close(c.in)
	var have []byte
	chunk := make([]byte, 16<<10)
	for {
		v, n, err := resp.Parse(have)
		switch {
		case err == nil:
			c.in <- v // it keeps its part of have, which is not written again
			have = append([]byte(nil), have[n:]...)
			continue
		case !errors.Is(err, resp.ErrIncomplete):
			c.ended = err
			return
		case len(have) > maxReply:
			c.ended = fmt.Errorf("a reply of more than %d bytes", maxReply)
			return
		}
		got, err := c.conn.Read(chunk)
		have = append(have, chunk[:got]...)
		if err != nil {
			c.ended = err
			return
		}
	}
}
