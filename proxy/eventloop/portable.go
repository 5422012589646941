package eventloop

import (
	"net"
	"time"
)

// portable is the driver for every system: each connection is bridged, and all events come through
// the mailbox, so that waiting is waiting for mail.
type portable struct {
	bell  chan struct{} // holds one ring
	timer *time.Timer
}

func newPortable(*Loop) *portable {
	p := &portable{bell: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

func (p *portable) adopt(c *Conn, nc net.Conn) error {
	newBridge(c, nc)
	return nil
}

func (p *portable) wait(ns int64) error {
	switch {
	case ns == 0:
	case ns < 0:
		<-p.bell
	default:
		p.timer.Reset(time.Duration(ns))
		select {
		case <-p.bell:
			p.timer.Stop()
		case <-p.timer.C:
		}
	}
	return nil
}

func (p *portable) dispatch() {}

func (p *portable) wake() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

func (p *portable) free() {}
