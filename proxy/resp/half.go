package resp

import (
	"bytes"
	"math"
)

// unknown is a bulk whose length has not been read.
const unknown = -1

// half is a half-read frame. All positions count from the start of the frame.
//
// It keeps only the sizes of the arguments: a number has one spelling (parseInt), so the size gives
// the length of an argument's "$<size>" line, and thereby the argument's position.
type half struct {
	pos    int   // bytes parsed: the start of a line, or of a bulk when bulk is known
	seen   int   // no line ends before this position
	have   int   // bytes of the frame that had arrived at the last Scan
	first  int   // start of the first argument's line; 0 before the count line was read
	left   int   // arguments still to come
	bulk   int   // size of the argument at pos, or unknown
	sizes  []int // of the arguments that are whole
	inline bool  // no '*' begins the frame
	lax    bool  // the server skipped, unread, a byte that RESP does not allow there
	stuck  bool  // a NUL stands in the line: see line
}

// advance reads on in buf, which begins with the frame. done reports that the frame ends at h.pos.
func (h *half) advance(buf []byte, lim *Limits) (done bool, err *ProtocolError) {
	h.have = len(buf)
	if h.inline {
		end, err := h.line(buf, '\n', lim, errBigInline)
		if end < 0 {
			return false, err
		}
		h.pos = end + 1
		return true, nil
	}
	if h.first == 0 {
		if ok, err := h.count(buf, lim); !ok {
			return false, err
		}
	}
	for h.left > 0 {
		if h.bulk == unknown {
			if ok, err := h.size(buf, lim); !ok {
				return false, err
			}
		}
		if h.bulk > len(buf)-h.pos-2 {
			return false, nil
		}
		end := h.pos + h.bulk
		if buf[end] != '\r' || buf[end+1] != '\n' {
			if lim.dialect()&StrictCRLF != 0 {
				return false, errCRLF
			}
			h.lax = true
		}
		h.sizes = append(h.sizes, h.bulk)
		h.pos, h.seen, h.bulk = end+2, end+2, unknown
		h.left--
	}
	return true, nil
}

// line returns the index of the end of the line that begins at h.pos, or -1 and, when the line is
// longer than a line may be, tooBig.
//
// A server that searches with strchr stops at a NUL. To it such a line never ends and only grows,
// until it is too big.
func (h *half) line(
	buf []byte, delim byte, lim *Limits, tooBig *ProtocolError,
) (int, *ProtocolError) {
	limit := h.pos + lim.maxInline() + 1
	window := buf[:min(len(buf), limit)]
	if !h.stuck {
		fresh := window[h.seen:]
		end := bytes.IndexByte(fresh, delim)
		if end >= 0 {
			fresh = fresh[:end]
		}
		if (h.inline || lim.dialect()&NULInLines == 0) && bytes.IndexByte(fresh, 0) >= 0 {
			h.stuck = true
		} else {
			h.seen += len(fresh)
			if end >= 0 {
				return h.seen, nil
			}
		}
	}
	if len(buf) >= limit {
		return -1, tooBig
	}
	return -1, nil
}

// lineEnd returns the index of the '\r' of the line at h.pos, or -1 when more bytes are needed. The
// server waits for the byte after it, too; see passLine.
func (h *half) lineEnd(buf []byte, lim *Limits, tooBig *ProtocolError) (int, *ProtocolError) {
	end, err := h.line(buf, '\r', lim, tooBig)
	if end < 0 || end+2 > len(buf) {
		return -1, err
	}
	return end, nil
}

// count reads the count line, "*<count>".
func (h *half) count(buf []byte, lim *Limits) (ok bool, err *ProtocolError) {
	end, err := h.lineEnd(buf, lim, errBigMultibulk)
	if end < 0 {
		return false, err
	}
	n, ok := parseInt(buf[1:end])
	switch {
	case buf[end+1] != '\n' && lim.dialect()&StrictCRLF != 0:
		return false, errCRLF
	case !ok || n > math.MaxInt32: // INT_MAX is the server's own limit and comes first
		return false, errMultibulkLength
	case n > unauthMaxArgs && lim.unauthenticated():
		return false, errUnauthMultibulk
	case n > lim.maxArgs():
		return false, errMultibulkLength
	}
	h.passLine(buf, end)
	h.first = h.pos
	h.left = int(max(n, 0))
	return true, nil
}

// size reads an argument's line, "$<size>".
func (h *half) size(buf []byte, lim *Limits) (ok bool, err *ProtocolError) {
	end, err := h.lineEnd(buf, lim, errBigBulk)
	if end < 0 {
		return false, err
	}
	if buf[h.pos] != '$' {
		return false, errExpectedBulk(buf[h.pos])
	}
	n, ok := parseInt(buf[h.pos+1 : end])
	switch {
	case buf[end+1] != '\n' && lim.dialect()&StrictCRLF != 0:
		return false, errCRLF
	case !ok || n < 0 || n > lim.maxBulk():
		return false, errBulkLength
	case n > unauthMaxBulk && lim.unauthenticated():
		return false, errUnauthBulk
	}
	h.passLine(buf, end)
	h.bulk = int(n)
	return true, nil
}

// passLine moves past the line whose '\r' is at end. Only a strict server checks the byte after it.
func (h *half) passLine(buf []byte, end int) {
	h.lax = h.lax || buf[end+1] != '\n'
	h.pos, h.seen = end+2, end+2
}

// args appends the arguments of the whole frame in buf to dst.
func (h *half) args(dst [][]byte, buf []byte) [][]byte {
	pos := h.first
	for _, size := range h.sizes {
		pos += 1 + digits(size) + 2
		dst = append(dst, buf[pos:pos+size:pos+size])
		pos += size + 2
	}
	return dst
}

// command makes the command of the whole frame in buf. ok is false for a frame that the server
// ignores.
func (h *half) command(buf []byte, sc *Scratch, d Dialect) (cmd Command, ok bool, err *ProtocolError) {
	raw := buf[:h.pos:h.pos]
	if !h.inline {
		sc.words.args = h.args(sc.words.args, buf)
		return Command{Raw: raw, Args: sc.words.args, Inline: h.lax}, len(h.sizes) > 0, nil
	}
	line := raw[:len(raw)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if !sc.words.split(line, d) {
		return Command{}, false, errQuotes
	}
	return Command{Raw: raw, Args: sc.words.args, Inline: true}, len(sc.words.args) > 0, nil
}
