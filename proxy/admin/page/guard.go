package page

import (
	"net"
	"net/http"
	"net/netip"

	"holdfast/proxy/admin"
)

// maxForm bounds the body of a request.
const maxForm = 4 << 10

// guard sets the headers of every response, and refuses changes that another origin asks for.
func (p *Page) guard(next http.Handler) http.Handler {
	var cross http.CrossOriginProtection
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.crossed.Tell(p.log, levelWarn, "page: a change that another web page asked for is refused", nil,
			"client", r.RemoteAddr, "origin", admin.Clean(r.Header.Get("Origin")))
		p.fail(w, r, http.StatusForbidden, "this request comes from another web page")
	}))
	return headers(cross.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})))
}

// headers keep other pages from framing, reading and scripting this one. The policy of referrers is not
// no-referrer, with which browsers would hide the origin of our own forms, too.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// operator is the address of a request's client, for the audit log.
func operator(r *http.Request) string {
	if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil {
		return "unix"
	}
	return r.RemoteAddr
}

// host is the address by which wrong passwords are counted.
func host(r *http.Request) string {
	var remote net.Addr
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		remote = net.TCPAddrFromAddrPort(a)
	}
	return admin.HostOf(remote)
}
