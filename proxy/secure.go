package proxy

import (
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/accept"
	"holdfast/proxy/certs"
	"holdfast/proxy/telemetry"
)

// handshakeTurns bounds the TLS handshakes that compute at a time: the number of processors that
// the loops do not need, and at least one.
func handshakeTurns(workers int) chan struct{} {
	return make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-workers))
}

// greet makes a listener one of TLS, of the PROXY protocol, or of both.
func (ln *listener) greet(o Listener, turns chan struct{}, log *slog.Logger) {
	told := &handshakeLog{listener: ln.name, log: log}
	opts := accept.Options{From: o.ProxyFrom, Turns: turns, Failed: told.failed}
	if o.TLS != nil {
		opts.TLS, ln.secure = o.TLS.Config(), true
	}
	ln.greeting = accept.Wrap(ln.net, opts)
	ln.net = ln.greeting
}

// handshakeLog logs failed handshakes, each kind at most once a minute.
type handshakeLog struct {
	listener string
	log      *slog.Logger

	mu   sync.Mutex
	told [accept.NumOutcomes]seldom.Pace // guarded by mu
}

func (h *handshakeLog) failed(remote net.Addr, o accept.Outcome, err error) {
	h.mu.Lock()
	tell := h.told[o].Passes("", time.Now().UnixNano(), time.Minute)
	h.mu.Unlock()
	switch {
	case !tell:
	case o == accept.Left || o == accept.Slow: // health checks, port scans
		h.log.Debug(o.Explain(), "listener", h.listener, "client", remote)
	default:
		h.log.Warn(o.Explain(), "listener", h.listener, "client", remote, "error", err)
	}
}

// watchCertificates checks the certificates' files until the drain begins.
func (srv *Server) watchCertificates() {
	tick := time.NewTicker(certs.Every)
	defer tick.Stop()
	for {
		_ = srv.options().Certificates.Check() // it logs its errors itself
		select {
		case <-tick.C:
		case <-srv.serving.Done():
			return
		}
	}
}

// certificateStates gives the certificates' metrics. With mu held.
func (srv *Server) certificateStates() (out []telemetry.CertificateState) {
	for _, c := range srv.current.Certificates.Certificates() {
		out = append(out, telemetry.CertificateState{
			Place: c.Place, NotAfter: c.Ends(), Unusable: c.Unusable,
		})
	}
	return out
}

// handshakeCounts gives the handshakes' metrics. With mu held.
func (srv *Server) handshakeCounts() (out []telemetry.HandshakeCount) {
	for _, ln := range srv.listeners {
		if ln.greeting == nil {
			continue
		}
		for o := range accept.NumOutcomes {
			o := accept.Outcome(o)
			out = append(out, telemetry.HandshakeCount{
				Listener: ln.name, Outcome: o.String(), N: ln.greeting.Count(o),
			})
		}
	}
	return out
}

// saysTLS reports whether a client begins a TLS handshake on a plain listener (RFC 8446, section
// 5.1: a record of type handshake, version 3.1 to 3.4). The server would wait for the end of a
// line.
func saysTLS(p []byte) bool {
	return len(p) > 2 && p[0] == 22 && p[1] == 3 && p[2] <= 4
}
