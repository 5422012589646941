package proxy

import (
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// What a session reads: frames are cut out of the loop's own buffer, and only what has to wait is
// kept.

const (
	// waitHigh is how much input a session that waits may gather before it is no longer read.
	waitHigh = 256 << 10
	// ownedFrame is the size from which on a frame that fills the input buffer is given to the
	// link instead of being copied.
	ownedFrame = 128 << 10
)

// OnData implements eventloop.Handler.
func (s *session) OnData(_ *eventloop.Conn, p []byte) {
	s.w.counters.ClientBytesIn += uint64(len(p))
	if s.ending {
		return
	}
	if s.refused && s.wait == waitNone {
		s.keep(p)
		s.queueUp()
		return
	}
	if len(s.in) == 0 && s.wait == waitNone {
		n := s.consume(p, false)
		if n < len(p) && !s.closed && !s.ending {
			s.keep(p[n:])
		}
		return
	}
	s.keep(p)
	if s.wait == waitNone {
		s.consumeKept()
	}
}

// keep appends p to the input buffer and enforces the limits on it.
func (s *session) keep(p []byte) {
	if s.in == nil {
		s.in = s.w.inputBuffer(len(p))
	}
	before := cap(s.in)
	if need := s.scan.Need(); cap(s.in)-len(s.in) < len(p) && need > len(s.in) {
		s.in = growTowards(s.in, len(p), need)
	}
	s.in = append(s.in, p...)
	if before == spareSize && cap(s.in) != before {
		s.w.spareMade-- // outgrown
	}
	s.w.inputBytes += int64(len(p))
	if uint64(len(s.in)-s.off) > s.w.limits.ClientInput {
		s.w.log.Warn("a client's input is over the limit", "client", s.conn.RemoteAddr(),
			"bytes", len(s.in)-s.off, "limit", s.w.limits.ClientInput)
		s.close(telemetry.CloseInputLimit)
		return
	}
	if s.wait != waitNone && len(s.in)-s.off >= waitHigh && !s.conn.ReadPaused() {
		s.w.counters.SessionPauses++
		s.conn.PauseRead()
	}
}

// growTowards returns b with room for more; it doubles, but not beyond what the half-read frame
// is known to need.
func growTowards(b []byte, more, need int) []byte {
	size := max(2*cap(b), len(b)+more)
	if limit := len(b) + need + 64; size > limit && limit >= len(b)+more {
		size = limit
	}
	return append(make([]byte, 0, size), b...)
}

// consumeKept carries out the frames in the input buffer.
func (s *session) consumeKept() {
	n := s.consume(s.in[s.off:], true)
	switch s.off += n; {
	case s.in == nil: // given away, or the session has ended
		s.off = 0
	case s.off == len(s.in):
		s.releaseInput()
	case s.off > len(s.in)/2:
		n := copy(s.in, s.in[s.off:])
		s.w.inputBytes -= int64(len(s.in) - n)
		s.in, s.off = s.in[:n], 0
	}
	if s.wait == waitNone && !s.closed && s.conn.ReadPaused() {
		s.conn.ResumeRead()
	}
}

// releaseInput gives the input buffer back: an idle session holds none.
func (s *session) releaseInput() {
	s.w.inputBytes -= int64(len(s.in))
	s.w.recycle(s.in)
	s.in, s.off = nil, 0
}

// consume carries out the whole frames at the start of buf and returns how many bytes they were.
// kept says that buf is what is left of the input buffer; a frame that fills it may be given away.
func (s *session) consume(buf []byte, kept bool) int {
	w := s.w
	pos := 0
	for pos < len(buf) && s.wait == waitNone && !s.closed && !s.ending {
		cmd, n, ok, err := s.scan.Scan(buf[pos:], s.scanLimits(), &w.scratch)
		if err != nil {
			s.protocolError(err)
			return len(buf)
		}
		if !ok {
			if n == 0 {
				break
			}
			if s.isReplica() {
				s.pin.send(buf[pos : pos+n]) // by newlines, a replica shows that it is alive
			}
			pos += n // what Redis ignores without an answer
			continue
		}
		if s.isReplica() {
			if !s.fromReplica(&cmd) {
				return len(buf)
			}
			pos += n
			continue
		}
		s.alone = kept && pos+n == len(buf)
		if !s.dispatch(&cmd) {
			break // dispatch has set s.wait
		}
		if n >= ownedFrame {
			clear(cmd.Args) // the scanner's own, which would keep the frame alive
		}
		if kept && s.in == nil {
			return 0
		}
		pos += n
	}
	return pos
}

// scanLimits are the frame limits that the server would apply to this client.
func (s *session) scanLimits() *resp.Limits {
	if s.ident.key.authed {
		return &s.w.frames
	}
	return s.w.anonFrames
}

// protocolError answers as Redis does: the error, then the end of the connection.
func (s *session) protocolError(err error) {
	s.w.counters.ProtocolErrors++
	if s.isReplica() {
		s.close(telemetry.CloseProtocol) // no text may come into the stream
		return
	}
	s.reply(resp.AppendError(nil, "ERR "+err.Error()))
	s.reason = telemetry.CloseProtocol
	s.end()
}
