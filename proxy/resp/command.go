package resp

// Command is one whole frame.
type Command struct {
	// Raw is the frame's bytes as received; it aliases the buffer given to Scan.
	Raw []byte
	// Args are the arguments. They alias Raw or, for an inline command with quotes, the Scratch,
	// and are valid until the next Scan with the same Scratch. There is at least one.
	Args [][]byte
	// Inline means that the frame needs re-encoding: forward AppendCommand(dst, Args...) instead of
	// Raw. It is set for inline commands, and for multibulk commands with other bytes where RESP
	// has CR and LF, which a lax server skips unread.
	Inline bool
}

// CommandScanner keeps the position of one client's half-read frame. The zero value is ready. It
// is one word when idle; a half-read frame costs about 150 bytes and one word per argument.
type CommandScanner struct {
	half *half
}

// Scan looks for the next whole frame at the start of buf.
//
// With a cmd, the frame ends at buf[:n]; cmd is valid until the next Scan with the same Scratch.
// Without one and n == 0, more bytes are needed: call again with the same bytes at the start of buf,
// which may have grown or moved. Without one and n > 0, buf[:n] are things that Redis ignores without a reply (empty inline lines, *0, *-1): drop them; the rest
// of buf holds no whole frame. Scan reads no byte twice. Ignored bytes can also precede a frame
// within its n bytes; they are never part of Raw.
//
// The error is a *ProtocolError, after which you must close the connection, and Reset the scanner
// before you use it again. lim may be nil. Source: Redis 8.0.2, networking.c.
func (s *CommandScanner) Scan(
	buf []byte, lim *Limits, scratch *Scratch,
) (cmd *Command, n int, err error) {
	scratch.reset()
	for n < len(buf) {
		frame := buf[n:]
		if s.half == nil {
			at := scratch.strict(frame, lim)
			if at.left == 0 && at.pos > 0 {
				raw := frame[:at.pos:at.pos]
				scratch.cmd = Command{Raw: raw, Args: scratch.words.args}
				return &scratch.cmd, n + at.pos, nil
			}
			s.half = scratch.begin(frame, at)
		}
		done, perr := s.half.advance(frame, lim)
		if perr == nil && !done {
			return nil, n, nil
		}
		ok := false
		if done {
			n += s.half.pos
			scratch.cmd, ok, perr = s.half.command(frame, scratch, lim.dialect())
		}
		scratch.put(s.half)
		s.half = nil
		if perr != nil {
			return nil, 0, perr
		}
		if ok {
			return &scratch.cmd, n, nil
		}
	}
	return nil, n, nil
}

// Need returns the number of bytes missing from the argument being read, a lower bound for the
// half-read frame; 0: unknown. Use it as a hint for growing the buffer. The client chose the
// number, up to Limits.MaxBulk, so the caller must bound its cost.
func (s *CommandScanner) Need() int {
	h := s.half
	if h == nil || h.bulk == unknown {
		return 0
	}
	return h.bulk - (h.have - h.pos) + 2
}

// Held returns the memory, in bytes, that the half-read frame will cost once it is whole, in
// addition to its own bytes: for each argument its size, and the slice that Scan returns.
func (s *CommandScanner) Held() int {
	if s.half == nil {
		return 0
	}
	return heldPerArg * len(s.half.sizes)
}

const heldPerArg = 8 + 24

// Idle reports whether no frame is half read.
func (s *CommandScanner) Idle() bool { return s.half == nil }

// Reset forgets the half-read frame.
func (s *CommandScanner) Reset() { s.half = nil }
