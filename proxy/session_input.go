package proxy

import (
	"bytes"
	"log/slog"

	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// The input of a session: frames are cut out of the loop's own buffer, and only those that wait are
// copied.

const (
	// waitHigh is the buffered input at which a waiting session is no longer read.
	waitHigh = 256 << 10
	// ownedFrame is the least size of a frame that, if it fills the input buffer, is given to the
	// link instead of being copied.
	ownedFrame = 128 << 10
)

// input holds a session's unconsumed input: a half frame, or waiting frames.
type input struct {
	buf   []byte
	off   int // the consumed part of buf
	scan  resp.CommandScanner
	alone bool // the frame in hand is the last in buf
}

// kept is the number of waiting bytes.
func (in *input) kept() int { return len(in.buf) - in.off }

// OnData implements eventloop.Handler.
func (s *session) OnData(_ *eventloop.Conn, p []byte) {
	s.w.counters.ClientBytesIn += uint64(len(p))
	s.traffic.in += uint64(len(p))
	if s.ending {
		return
	}
	if s.traffic.in == uint64(len(p)) && saysTLS(p) { // its first bytes
		s.endTLS()
		return
	}
	if s.login != loginIn {
		s.w.door.newInput(s)
	}
	if s.refused && s.wait == goOn {
		s.keep(p)
		s.w.back.queueUp(s)
		return
	}
	if len(s.in.buf) == 0 && s.wait == goOn {
		n := s.consume(p, false)
		if n < len(p) && !s.closed && !s.ending {
			s.keep(p[n:])
		}
		return
	}
	s.keep(p)
	if s.wait == goOn {
		s.consumeKept()
	}
}

// keep appends p to the input buffer and enforces the limits on it.
func (s *session) keep(p []byte) {
	if s.in.buf == nil {
		s.in.buf = s.w.inputBuffer(len(p))
	}
	before := cap(s.in.buf)
	if need := s.in.scan.Need(); cap(s.in.buf)-len(s.in.buf) < len(p) && need > len(s.in.buf) {
		s.in.buf = growTowards(s.in.buf, len(p), need)
	}
	s.in.buf = append(s.in.buf, p...)
	if before == spareSize && cap(s.in.buf) != before {
		s.w.spareMade-- // outgrown
	}
	s.w.inputBytes += int64(len(p))
	s.w.noteMemory()
	if n := s.in.kept() + s.in.scan.Held(); uint64(n) > s.w.limits.ClientInput {
		s.w.again.Tell(s.w.log, slog.LevelWarn, "a client's input is over the limit", nil, "client",
			s.conn.RemoteAddr(), "bytes", n, "limit", s.w.limits.ClientInput)
		s.close(telemetry.CloseInputLimit)
		return
	}
	if s.wait != goOn && (s.in.kept() >= waitHigh || s.w.tight) && !s.conn.ReadPaused() {
		s.w.counters.SessionPauses++
		s.conn.PauseRead()
	}
}

// growTowards returns b with room for more; it doubles, but not beyond the known size of the
// half-read frame.
func growTowards(b []byte, more, need int) []byte {
	size := max(2*cap(b), len(b)+more)
	if limit := len(b) + need + 64; size > limit && limit >= len(b)+more {
		size = limit
	}
	return append(make([]byte, 0, size), b...)
}

// consumeKept carries out the frames in the input buffer.
func (s *session) consumeKept() {
	n := s.consume(s.in.buf[s.in.off:], true)
	switch s.in.off += n; {
	case s.in.buf == nil: // given away, or the session has ended
		s.in.off = 0
	case s.in.off == len(s.in.buf):
		s.releaseInput()
	case s.in.off > len(s.in.buf)/2:
		n := copy(s.in.buf, s.in.buf[s.in.off:])
		s.w.inputBytes -= int64(len(s.in.buf) - n)
		s.in.buf, s.in.off = s.in.buf[:n], 0
	}
	if s.wait == goOn && !s.closed && s.conn.ReadPaused() {
		s.conn.ResumeRead()
	}
}

// releaseInput returns the input buffer: an idle session holds none.
func (s *session) releaseInput() {
	s.w.inputBytes -= int64(len(s.in.buf) + s.in.scan.Held())
	s.in.scan.Reset()
	s.w.recycle(s.in.buf)
	s.in.buf, s.in.off = nil, 0
}

// consume carries out the whole frames at the start of buf and returns their size. kept: buf is the
// rest of the input buffer; a frame that fills it may be given away.
func (s *session) consume(buf []byte, kept bool) int {
	w := s.w
	if s.login < loginFailed {
		s.w.door.knock(s)
		s.wait = waitDoor
		return 0
	}
	pos := 0
	for pos < len(buf) && s.wait == goOn && !s.closed && !s.ending {
		held := s.in.scan.Held()
		cmd, n, err := s.in.scan.Scan(buf[pos:], s.scanLimits(), &w.scratch)
		w.inputBytes += int64(s.in.scan.Held() - held)
		if err != nil {
			s.protocolError(err)
			return len(buf)
		}
		if cmd == nil {
			if n == 0 {
				break
			}
			if s.pin.isRaw() && !s.pin.debug.armed {
				s.pin.send(buf[pos : pos+n]) // newlines are a replica's sign of life
			}
			pos += n // Redis ignores it without an answer
			continue
		}
		if s.pin.isRaw() {
			if passed, wait := s.pin.passRaw(cmd); wait {
				return pos
			} else if !passed {
				return len(buf)
			}
			pos += n
			continue
		}
		s.in.alone = kept && pos+n == len(buf)
		if !s.dispatch(cmd) {
			break // dispatch has set s.wait
		}
		if n >= ownedFrame {
			clear(cmd.Args) // the scanner's own, which would keep the frame alive
			*cmd = resp.Command{}
		}
		if kept && s.in.buf == nil {
			return 0
		}
		pos += n
	}
	return pos
}

// scanLimits are the server's frame limits for this client.
func (s *session) scanLimits() *resp.Limits {
	if s.ident.key.authed {
		return &s.w.frames
	}
	return &s.w.anonFrames
}

// isHTTP reports whether a command is a line of an HTTP request. A web page can make a browser send
// one to any port, with commands in its body. So servers end the connection at the first such line,
// before any other check, and so does the proxy, whatever its rules.
func isHTTP(name []byte) bool {
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end] // the server compares C strings
	}
	return resp.EqualFold(name, "post") || resp.EqualFold(name, "host:")
}
