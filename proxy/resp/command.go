package resp

// Command is one whole frame.
type Command struct {
	// Raw is the frame's bytes as received; it aliases the buffer given to Scan.
	Raw []byte
	// Args are the arguments. They alias Raw, or the Scratch where an inline command had quotes,
	// and are valid until the next Scan with the same Scratch. There is at least one.
	Args [][]byte
	// Inline means that the frame needs re-encoding: forward AppendCommand(dst, Args...) instead
	// of Raw. It is set for inline commands, and for multibulk ones in which the server would skip
	// bytes without looking that are not the CR and LF that RESP has there.
	Inline bool
}

// CommandScanner keeps the position of one client's half-read frame. The zero value is ready. It
// is one word when idle; a half-read frame costs about 150 bytes and one word per argument.
type CommandScanner struct {
	half *half
}

// Scan looks for the next whole frame at the start of buf.
//
// With ok, the frame ends at buf[:n]. With n == 0 and no ok, more bytes are needed: call again
// with the same bytes at the start of buf, which may have grown or moved. With n > 0 and no ok,
// buf[:n] are things that Redis ignores without a reply (empty inline lines, *0, *-1): drop them;
// the rest of buf was looked at too, and holds no whole frame. Bytes that were scanned are not
// scanned again. What Redis ignores can also stand at the start of a frame's n bytes; it is never
// part of Raw.
//
// The error is a *ProtocolError, after which the connection must be closed and the scanner not be
// used, or be Reset. lim may be nil. Source: Redis 8.0.2, networking.c.
func (s *CommandScanner) Scan(
	buf []byte, lim *Limits, scratch *Scratch,
) (cmd Command, n int, ok bool, err error) {
	scratch.reset()
	for n < len(buf) {
		frame := buf[n:]
		if s.half == nil {
			at := scratch.strict(frame, lim)
			if at.left == 0 && at.pos > 0 {
				raw := frame[:at.pos:at.pos]
				return Command{Raw: raw, Args: scratch.words.args}, n + at.pos, true, nil
			}
			s.half = scratch.begin(frame, at)
		}
		done, perr := s.half.advance(frame, lim)
		if perr == nil && !done {
			return Command{}, n, false, nil
		}
		if done {
			n += s.half.pos
			cmd, ok, perr = s.half.command(frame, scratch)
		}
		scratch.put(s.half)
		s.half = nil
		if perr != nil {
			return Command{}, 0, false, perr
		}
		if ok {
			return cmd, n, true, nil
		}
	}
	return Command{}, n, false, nil
}

// Need returns how many further bytes the half-read frame is known to want at the least, 0 when
// unknown: what is missing of the argument that is being read. It is a hint for growing the
// buffer, and it is the client's word, up to Limits.MaxBulk: what it costs is the caller's care.
func (s *CommandScanner) Need() int {
	h := s.half
	if h == nil || h.bulk == unknown {
		return 0
	}
	return h.bulk - (h.have - h.pos) + 2
}

// Idle reports that no frame is half read.
func (s *CommandScanner) Idle() bool { return s.half == nil }

// Reset forgets the half-read frame.
func (s *CommandScanner) Reset() { s.half = nil }
