package proxy

import (
	"errors"
	"time"
)

// The OK of a primary in doubt is worth nothing once a replica may have been promoted: a server that was stopped or
// starved goes on with the commands that it had received before, and acknowledges writes that its successor will never have. So from
// believedFor after the first sign on, a link keeps back the reply to a command that may write, and all behind it, until
// the doubt ends:
//
//   - The primary stays: the replies are delivered.
//   - Another server takes its place: the commands are answered, they may have been executed (disown).
//   - upstream.hold is over, or the proxy drains: likewise, if the doubt is a fact; after the sign of one sentinel they are
//     delivered.
//
// A server that answers in time is not concerned: since the sign it gets no such command. Errors are delivered, since they
// promise nothing, and a refused write may be taken back (recall.go). Proofs by a fence or by the journal are kept back
// in the same way (durable.Env).

// believedFor is how long after the first sign of a failover no replica is promoted yet: sentinels take their steps 100 ms apart.
const believedFor = int64(200 * time.Millisecond)

// errDoubted ends a link whose replies were kept back for upstream.hold.
var errDoubted = errors.New("another server is named as the primary")

// disbelieves reports whether the server's word on a write is worth nothing now.
func (o *outage) disbelieves() bool {
	return o.suspects() && !o.doubt.planned && o.w.loop.Now() >= o.doubt.signed+believedFor &&
		(o.suspends() || o.doubt.certain)
}

// withholds keeps p back, the rest of the input, if it begins with a reply that is not believed.
func (l *link) withholds(p []byte) bool {
	o := &l.w.outage
	if !o.disbelieves() || l.up != l.w.up || !l.promises(p) {
		return false
	}
	if !o.suspends() {
		l.fail(errDoubted)
		return true
	}
	l.withhold(p)
	return true
}

func (l *link) withhold(p []byte) {
	l.withheld = append(l.withheld, p...)
	l.conn.PauseRead()
}

// promises reports whether p goes on with a reply that acknowledges a write, or proves one.
func (l *link) promises(p []byte) bool {
	typ := p[0]
	if l.scan.Started() {
		typ = l.scan.Type()
	}
	switch {
	case !l.ready, l.reqs.len() == 0, typ == '-', typ == '>':
		return false
	case l.side != nil:
		return true
	}
	return l.mayWrite(l.reqs.front())
}

// decide delivers the replies that were kept back, or answers their commands, once it is due.
func (o *outage) decide() {
	switch {
	case !o.disbelieves():
		o.believe()
	case !o.suspends():
		o.w.breakLinks(errDoubted, func(l *link) bool { return l.withheld != nil })
	}
}

// believe delivers the replies that were kept back, unless their links break meanwhile.
func (o *outage) believe() {
	for l := range o.w.links {
		if l.withheld != nil {
			o.w.later(l.readWithheld)
		}
	}
	o.w.durable.Believe()
}

func (l *link) readWithheld() {
	p := l.withheld
	l.withheld = nil
	if p != nil && !l.closed {
		l.conn.ResumeRead()
		l.read(p)
	}
}
