package proxy

import "holdfast/proxy/telemetry"

// holdMemory keeps the buffers of all clients within the limit: when they pass it, the session that
// holds the most is closed, as the server does with maxmemory-clients. It runs once a turn; the
// count is cheap, and the search is made only above the limit.
func (w *worker) holdMemory() {
	limit := w.limits.Memory / uint64(max(len(w.srv.workers), 1))
	if limit == 0 || uint64(w.inputBytes+w.outBytes+w.gathered) <= limit {
		return
	}
	var worst *session
	most := 0
	for _, s := range w.sessions {
		if n := len(s.in) + s.unread() + int(s.gathered); n > most {
			worst, most = s, n
		}
	}
	if worst == nil {
		return
	}
	w.log.Warn("all buffers together are over the limit; closing the client that holds the most",
		"client", worst.conn.RemoteAddr(), "bytes", most, "limit", limit)
	worst.close(telemetry.CloseMemory)
}
