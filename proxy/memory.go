package proxy

import (
	"cmp"
	"slices"

	"holdfast/proxy/telemetry"
)

// limits.memory bounds the buffers of all clients together, in two steps. From a quarter of it on,
// waiting clients are not read further, and others are read in small pieces: while the server is
// away, the input of thousands of clients stays in the kernel. Above the limit, the clients with
// the largest buffers are closed, as the server does with maxmemory-clients.

const (
	// tightShare divides the limit: memory is tight from that quotient on. Buffers are up to twice
	// the size of their contents, and the garbage collector lags.
	tightShare = 4
	// tightRead is the size of one read from a client then.
	tightRead = 4 << 10
)

// holdMemory keeps the buffers within the limit. It runs once in each loop iteration; the count is
// cheap, and it searches only above the limit.
func (w *worker) holdMemory() {
	w.noteMemory()
	if limit := w.memoryLimit(); limit > 0 && w.buffered() > limit {
		w.closeLargest(limit)
	}
}

// memoryLimit is the worker's part of limits.memory; 0: none.
func (w *worker) memoryLimit() int64 {
	return int64(w.limits.Memory / uint64(max(len(w.srv.loops.workers), 1)))
}

// noteMemory updates tight.
func (w *worker) noteMemory() {
	limit := w.memoryLimit()
	tight := limit > 0 && w.buffered() > limit/tightShare
	if tight == w.tight {
		return
	}
	if w.tight = tight; tight {
		w.loop.LimitReads(tightRead)
	} else {
		w.loop.LimitReads(0)
	}
}

// buffered returns the size of all buffers.
func (w *worker) buffered() int64 { return w.inputBytes + w.outBytes + w.gathered }

// closeLargest closes the sessions with the largest buffers until the limit is kept.
func (w *worker) closeLargest(limit int64) {
	type holder struct {
		s *session
		n int
	}
	var all []holder
	for _, s := range w.sessions {
		if n := len(s.in.buf) + s.in.scan.Held() + s.unread() + int(s.gathered); n > 0 {
			all = append(all, holder{s, n})
		}
	}
	slices.SortFunc(all, func(a, b holder) int { return cmp.Compare(b.n, a.n) })
	closed := 0
	for _, h := range all {
		if closed > 0 && w.buffered() <= limit {
			break
		}
		if closed++; closed == 1 {
			w.log.Warn("all buffers together are over the limit; closing the clients that hold the most",
				"client", h.s.conn.RemoteAddr(), "bytes", h.n, "limit", limit)
		}
		h.s.close(telemetry.CloseMemory)
	}
	if closed > 1 {
		w.log.Warn("more clients were closed, as all buffers together were over the limit", "clients", closed)
	}
}
