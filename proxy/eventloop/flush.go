package eventloop

// markDirty has c flushed at the end of the turn.
func (l *Loop) markDirty(c *Conn) {
	if c.state&stateDirty == 0 {
		c.state |= stateDirty
		l.dirty[c.pri] = append(l.dirty[c.pri], c)
	}
}

// flush writes the output of the turn, links before sessions. Connections that become dirty
// meanwhile are flushed in the next turn, which does not wait.
func (l *Loop) flush() {
	for pri := range l.dirty {
		list := l.dirty[pri]
		if len(list) == 0 {
			continue
		}
		l.dirty[pri], l.flushing = l.flushing[:0], nil
		for _, c := range list {
			c.state &^= stateDirty
			if c.state&stateClosed == 0 {
				l.flushConn(c)
			}
		}
		clear(list) // or the list would keep closed connections alive
		l.flushing = list[:0]
	}
}

func (l *Loop) flushConn(c *Conn) {
	if c.out.head != nil && c.state&(stateWaiting|stateBroken) == 0 {
		c.t.flush(c)
	}
	if c.sent != c.queued || c.state&(stateBroken|stateWaiting) != 0 {
		return
	}
	if c.state&stateStalled != 0 {
		c.state &^= stateStalled
		c.t.drained(c)
		if c.state&stateClosing == 0 {
			c.h.OnDrain(c)
		}
	}
	if c.state&(stateClosing|stateHalf|stateClosed) == stateClosing && c.sent == c.queued {
		l.halfClose(c)
	}
}

// halfClose ends a CloseAfterFlush whose output is sent: the peer sees the end of the stream, and
// its further input is discarded for a while. A peer that has closed already sends nothing.
func (l *Loop) halfClose(c *Conn) {
	if c.state&stateEOF != 0 {
		c.Close()
		return
	}
	c.state |= stateHalf
	if err := c.t.halfClose(c); err != nil {
		c.Close()
		return
	}
	if end := l.now + int64(lingerTime); end < c.linger.when {
		c.linger.Reset(lingerTime)
	}
}

// discard counts unwanted input, and closes c above the limit.
func (l *Loop) discard(c *Conn, n int) {
	c.drained += uint32(n)
	if c.drained > lingerBytes {
		c.Close()
	}
}

// wrote accounts for n bytes that the kernel accepted.
func (l *Loop) wrote(c *Conn, n int) {
	c.sent += uint64(n)
}
