package admin

import (
	"net"
	"sync"
	"time"
)

// places bounds the clients of a console so that no stranger can keep the operator out. A stranger
// is a client that has not logged in or, without a password, has not sent a command. Strangers have
// places of their own, never those of operators. They must log in within strangerTime, and they
// make room for newcomers, first the oldest of the address with the most strangers. Among known
// clients, one that has been idle for knownIdle makes room.
type places struct {
	max       int // of known clients
	strangers int // of strangers

	mu   sync.Mutex
	list []*framedConn // in the order of arrival
}

const (
	strangerTime = 10 * time.Second
	knownIdle    = time.Minute
)

func newPlaces(maxKnown int) *places {
	return &places{max: maxKnown, strangers: max(maxKnown/4, 2)}
}

// enter gives a new connection a place, by closing another stranger if none is free.
func (p *places) enter(c *framedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count(func(o *framedConn) bool { return !o.known }) >= p.strangers {
		p.drop(p.crowding())
	}
	c.used = time.Now()
	p.list = append(p.list, c)
}

// recognize gives a stranger the place of a known client, and reports whether there is one.
func (p *places) recognize(c *framedConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if c.used = now; c.known {
		return true
	}
	known := func(o *framedConn) bool { return o.known }
	if p.count(known) >= p.max {
		idle := p.oldest(known)
		if now.Sub(idle.used) < knownIdle {
			return false
		}
		p.drop(idle)
	}
	c.known = true
	return true
}

// leave removes an ended connection.
func (p *places) leave(c *framedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(c)
}

// deadline returns the time until which a client may be silent.
func (p *places) deadline(c *framedConn, t time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := c.used.Add(strangerTime); !c.known && end.Before(t) {
		return end
	}
	return t
}

func (p *places) count(is func(*framedConn) bool) (n int) {
	for _, c := range p.list {
		if is(c) {
			n++
		}
	}
	return n
}

// oldest returns the least recently used client of a kind. There must be one.
func (p *places) oldest(is func(*framedConn) bool) (oldest *framedConn) {
	for _, c := range p.list {
		if is(c) && (oldest == nil || c.used.Before(oldest.used)) {
			oldest = c
		}
	}
	return oldest
}

// crowding returns the oldest stranger of the address with the most strangers.
func (p *places) crowding() *framedConn {
	of := map[string]int{}
	most := ""
	for _, c := range p.list {
		if !c.known {
			if of[c.host]++; most == "" || of[c.host] > of[most] {
				most = c.host
			}
		}
	}
	return p.oldest(func(c *framedConn) bool { return !c.known && c.host == most })
}

// drop closes a connection. Its place is free at once.
func (p *places) drop(c *framedConn) {
	p.remove(c)
	_ = c.Conn.Close() // its goroutine sees the error
}

func (p *places) remove(c *framedConn) {
	for i, o := range p.list {
		if o == c {
			p.list = append(p.list[:i], p.list[i+1:]...)
			return
		}
	}
}

// HostOf returns the address of a peer without its port; of IPv6, the network of one customer.
func HostOf(remote net.Addr) string {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return "unix"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return ip.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String()
}
